"""People, places and what the cameras see of them."""

import numpy as np
import pytest

pytest.importorskip("warp", reason="not installed: pip install 'vireid[synth]'")

from vireid.synth.cameras import backdrop, make_camera, make_place
from vireid.synth.identity import draw_identity
from vireid.synth.painter import Painter, _cameras
from vireid.synth.presets import make_job
from vireid.synth.raycast import Mesh
from vireid.synth.shapes import superellipsoid, vertex_normals
from vireid.synth.spectra import Band


def overlap(a, b):
    """Intersection over union of two silhouettes, or 0."""
    return np.minimum(a, b).sum() / np.maximum(a, b).sum()


def images(pictures):
    return np.concatenate([picture.shot.image.ravel() for picture in pictures])


def test_pairs_of_one_instant_overlap(pictures):
    visible = [picture.shot.silhouette for picture in pictures[::2]]
    thermal = [picture.shot.silhouette for picture in pictures[1::2]]
    same = [overlap(a, b) for a, b in zip(visible, thermal, strict=True)]
    other = [overlap(visible[i], thermal[i - 3]) for i in range(10)]
    assert min(same) > 0.75
    assert np.mean(same) > np.mean(other)


def test_people_glow_in_the_thermal_band(pictures):
    for picture in pictures[1::2]:
        image, person = picture.shot.image[:, :, 0], picture.shot.silhouette > 0.99
        assert image[person].mean() > image[picture.shot.silhouette < 0.01].mean() + 20


def test_silhouettes_fill_the_picture(pictures):
    for picture in pictures:
        assert picture.shot.image.shape == (64, 32, 3 if picture.camid == 1 else 1)
        assert 0.1 < picture.shot.silhouette.mean() < 0.7


def test_an_identity_does_not_depend_on_how_many_there_are(painter, pictures):
    more = Painter(make_job("lwir", "regdb", 400, (64, 32), 5))
    np.testing.assert_array_equal(images(more.pictures(0)), images(pictures))


def test_another_seed_gives_other_people_and_places(pictures):
    other = Painter(make_job("lwir", "manifest", 2, (64, 32), 6)).pictures(0)
    assert np.abs(images(other).astype(int) - images(pictures)).mean() > 15
    people = [draw_identity(np.random.default_rng([seed, 0]), 2) for seed in (5, 6)]
    assert np.abs(people[0].changes - people[1].changes).max() > 0.1
    first, second = (_cameras("nir", seed)[1].place for seed in (5000, 6000))
    assert not np.allclose(first.wall, second.wall)


def test_only_some_people_change_their_bag():
    people = [draw_identity(np.random.default_rng(seed), 2) for seed in range(60)]
    changed = [person.days[0].bag != person.days[1].bag for person in people]
    assert 0.1 < np.mean(changed) < 0.6


def test_cameras_2_and_3_share_a_place():
    cameras = _cameras("nir", 5000)
    assert [cameras[c].band for c in (2, 3)] == [Band.VISIBLE, Band.NIR]
    rays = np.array([[0.0, 0.9, -0.1], [0.3, 0.8, 0.2], [-0.4, 0.7, -0.5]])
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    seen = {c: backdrop(camera.place, np.array([0, 0, 2.5]), rays) for c, camera in cameras.items()}
    np.testing.assert_array_equal(seen[2].albedo, seen[3].albedo)
    np.testing.assert_array_equal(seen[2].points, seen[3].points)
    others = [c for c in (1, 4, 5, 6) if np.allclose(seen[c].albedo, seen[2].albedo)]
    assert not others


def test_a_place_looks_the_same_every_time():
    first, again = (make_camera(4, Band.VISIBLE, make_place(4, False)) for _ in range(2))
    assert first.height == again.height
    np.testing.assert_array_equal(first.balance, again.balance)
    np.testing.assert_array_equal(first.place.ground, again.place.ground)


def test_rays_hit_a_ball_where_they_should():
    points, faces = superellipsoid(np.zeros(3), np.ones(3), 1.0, 64, 48)
    hits = Mesh(points, faces).cast(np.array([0, -3.0, 0]), np.array([[0, 1.0, 0], [0, -1.0, 0], [1.0, 0, 0]]))
    assert hits.face[0] >= 0
    assert hits.distance[0] == pytest.approx(2, abs=0.02)
    assert (hits.face[1:] == -1).all()
    corner = hits.weights[0] @ points[faces[hits.face[0]]]
    np.testing.assert_allclose(corner, [0, -1, 0], atol=0.02)
    dark = Mesh(points, faces).shadowed(np.array([[0, 3.0, 0], [0, -3.0, 0]]), np.array([0, -1.0, 0]))
    assert dark.tolist() == [True, False]
    normals = vertex_normals(points, faces)
    np.testing.assert_allclose(np.abs((normals * points).sum(1)), 1, atol=0.05)
