"""People, places and what the cameras see of them."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("warp", reason="not installed: pip install 'vireid[synth]'")

from vireid.synth.cameras import make_camera
from vireid.synth.identity import draw_identity
from vireid.synth.painter import Painter
from vireid.synth.presets import make_job
from vireid.synth.scenery import Solids, make_place
from vireid.synth.shot import draw_stance, shoot, take_meter
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
    # What stands before somebody hides a little more from one camera than from the one beside it.
    shown = [min(a.shot.shown, b.shot.shown) for a, b in zip(pictures[::2], pictures[1::2], strict=True)]
    free = [value for value, share in zip(same, shown, strict=True) if share > 0.9]
    assert len(free) >= 8
    assert min(free) > 0.75
    assert min(same) > 0.6
    assert np.mean(same) > np.mean(other) + 0.1


def test_people_glow_in_the_thermal_band(painter):
    """On a cold night with nothing about; in the sun the ground may be as warm as somebody's coat."""
    person = painter.identity(0)
    performers = painter._perform(person, np.random.default_rng(0), 4)
    night = replace(make_place(3, False), solids=Solids.empty(), sun=0.0, air=5.0)
    camera = make_camera(2, Band.LWIR, night)
    meter = take_meter(camera, "cpu")
    rng = np.random.default_rng(1)
    for performer in performers * 2:
        stance = draw_stance(camera, rng.uniform(0, 6), rng)
        shot = shoot(performer, camera, meter, stance, (64, 32), 2, rng, obstacle=Solids.empty())
        image, body = shot.image[:, :, 0], shot.silhouette > 0.99
        assert image[body].mean() > image[shot.silhouette < 0.01].mean() + 20


def test_silhouettes_fill_the_picture(pictures):
    for picture in pictures:
        assert picture.shot.image.shape == (64, 32, 3 if picture.camid == 1 else 1)
        assert 0.1 < picture.shot.silhouette.mean() < 0.7
        assert picture.shot.shown > 0.4


def test_an_identity_does_not_depend_on_how_many_there_are(painter, pictures):
    more = Painter(make_job("lwir", "regdb", 400, (64, 32), 5))
    np.testing.assert_array_equal(images(more.pictures(0)), images(pictures))


def test_another_seed_gives_other_people_and_places(painter, pictures):
    other = Painter(make_job("lwir", "manifest", 2, (64, 32), 6))
    assert np.abs(images(other.pictures(0)).astype(int) - images(pictures)).mean() > 15
    people = [one.identity(0) for one in (painter, other)]
    assert np.abs(people[0].changes - people[1].changes).max() > 0.1


def test_cameras_2_and_3_share_a_place_and_no_others_do():
    painter = Painter(make_job("nir", "manifest", 2, (64, 32), 5))
    lenses = painter._lenses("nir", 0, np.random.default_rng(0))
    cameras = {camid: lens.camera for camid, lens in lenses.items()}
    assert [cameras[c].band for c in (2, 3)] == [Band.VISIBLE, Band.NIR]
    seeds = {c: camera.place.seed for c, camera in cameras.items()}
    assert seeds[2] == seeds[3]
    assert len(set(seeds.values())) == 5


def test_some_people_change_their_top_or_bag_between_days():
    people = [draw_identity(np.random.default_rng(seed), 2) for seed in range(200)]
    assert 0.1 < np.mean([person.changes_top for person in people]) < 0.35
    assert 0.2 < np.mean([person.changes_bag for person in people]) < 0.5
