"""Scenes: where rays meet solids, that textures stick to them, what stands in places."""

import math

import numpy as np
import pytest

wp = pytest.importorskip("warp")

from vireid.synth.backdrop import Scenery, Seen, look, shadowed, upload  # noqa: E402
from vireid.synth.scenery import Place, draw_obstacle, make_place  # noqa: E402
from vireid.synth.solids import Kind, Paint, Solids, Texture, ball, block, join, post, solid  # noqa: E402

GRAY = Paint(np.full(3, 0.4), 0.5, 1.0)


@wp.kernel
def _look(
    scenery: Scenery,
    origins: wp.array(dtype=wp.vec3),
    rays: wp.array(dtype=wp.vec3),
    light: wp.vec3,
    seen: wp.array(dtype=Seen),
    dark: wp.array(dtype=int),
):
    i = wp.tid()
    seen[i] = look(scenery, origins[i], rays[i])
    dark[i] = shadowed(scenery, origins[i], light)


def _meet(place: Place, solids: Solids, origins, rays, light=(0.0, 0.0, 1.0)):
    """What rays `(N, 3)` of any length meet: a structured array `(N,)`, and whether their origins are shadowed."""
    rays = np.asarray(rays, np.float32).reshape(-1, 3)
    rays = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    origins = np.broadcast_to(np.asarray(origins, np.float32), rays.shape)
    out, dark = wp.empty(len(rays), dtype=Seen, device="cpu"), wp.empty(len(rays), dtype=int, device="cpu")
    starts = wp.array(np.ascontiguousarray(origins), dtype=wp.vec3, device="cpu")
    args = [upload(place, solids, "cpu"), starts, wp.array(rays, dtype=wp.vec3, device="cpu"), wp.vec3(*light)]
    wp.launch(_look, len(rays), [*args, out, dark], device="cpu")
    return out.numpy(), dark.numpy()


@pytest.fixture(scope="module")
def place() -> Place:
    return make_place(3, indoor=False)


def _fan(yaw: float, pitch: float, tangent: float, n: int = 24):
    """A forward axis and n x n rays within a square inside the cone with this tangent."""
    forward = np.array([math.sin(yaw) * math.cos(pitch), math.cos(yaw) * math.cos(pitch), math.sin(pitch)])
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    steps = np.linspace(-1, 1, n) * tangent / math.sqrt(2)
    across, up = np.meshgrid(steps, steps)
    return forward, (forward + across[..., None] * right + up[..., None] * np.cross(right, forward)).reshape(-1, 3)


@pytest.mark.parametrize(
    ("thing", "origin", "ray", "distance", "normal"),
    [
        (block(0, 5, (2, 2, 2), GRAY), (0, 0, 1), (0, 1, 0), 4, (0, -1, 0)),
        (block(0, 5, (2, 2, 2), GRAY), (0, 5, 6), (0, 0, -1), 4, (0, 0, 1)),
        # A cube turned by 45 degrees shows its edge, at sqrt(2) before its middle.
        (block(0.0, 5, (2, 2, 2), GRAY, yaw=math.pi / 4), (0.001, 0, 1), (0, 1, 0), 3.587, (0.707, -0.707, 0)),
        (ball((0, 5, 1), (1, 2, 0.5), GRAY), (0, 0, 1), (0, 1, 0), 3, (0, -1, 0)),
        # At x = 0.6 the unit circle is 0.8 deep.
        (post(0, 5, 1, 2, GRAY), (0.6, 0, 1), (0, 1, 0), 4.2, (0.6, -0.8, 0)),
        (post(0, 5, 1, 2, GRAY), (0, 5, 6), (0, 0, -1), 4, (0, 0, 1)),
        (Solids.empty(), (0, 0, 3), (0, 4, -3), 5, (0, 0, 1)),
    ],
)
def test_a_ray_meets_a_solid_where_geometry_says(place, thing, origin, ray, distance, normal):
    seen, _ = _meet(place, thing, origin, ray)
    assert seen["distance"][0] == pytest.approx(distance, abs=2e-3)
    assert seen["normal"][0] == pytest.approx(normal, abs=2e-3)
    assert seen["sky"][0] == 0
    assert seen["ground"][0] == (len(thing) == 0)


def test_a_ray_over_everything_meets_the_sky_and_flat_things_are_ground(place):
    flat = block(0, 5, (4, 4, 0.02), GRAY)
    seen, _ = _meet(place, flat, (0, 5, 2), [(0, 1, 0.2), (0, 0, -1)])
    assert list(seen["sky"]) == [1, 0]
    assert list(seen["ground"]) == [0, 1]
    assert seen["distance"][0] == pytest.approx(1e6)


def test_a_solid_shadows_what_stands_behind_it(place):
    _, dark = _meet(place, block(0, 5, (2, 2, 2), GRAY, 1), [(0, 5, 0), (0, 8, 0), (0, 5, 3.1)], [(0, 0, 1)] * 3)
    assert list(dark) == [1, 0, 0]


@pytest.mark.parametrize("texture", list(Texture))
@pytest.mark.parametrize("kind", list(Kind))
def test_the_texture_sticks_to_the_surface(place, kind, texture):
    thing = solid(kind, (0, 5, 1), (0.8, 0.5, 1), Paint(np.array([0.5, 0.3, 0.2]), 0.5, 1, texture, 0.3), 0.4)
    steps = np.linspace(-0.45, 0.45, 9)
    targets = np.array([(x, 4.2, 1 + z) for x in steps for z in steps])
    first, _ = _meet(place, thing, (0, -3, 2), targets - (0, -3, 2))
    hit = (first["distance"] < 1e5) & (first["ground"] == 0)
    points = np.array([0, -3, 2]) + first["distance"][:, None] * _unit(targets - (0, -3, 2))
    second, _ = _meet(place, thing, (0.5, -2, 1.5), points - (0.5, -2, 1.5))
    same = hit & (np.abs(second["distance"] - np.linalg.norm(points - (0.5, -2, 1.5), axis=1)) < 1e-3)
    assert same.sum() > 20
    # A point on the very edge of a tile may fall to its other side by rounding.
    for field in ("albedo", "nir", "heat"):
        apart = np.abs(first[field] - second[field]).reshape(len(points), -1).max(1)[same]
        assert (apart < 1e-2).mean() > 0.95
    assert np.isfinite(first["albedo"]).all()
    assert (first["nir"][hit] >= 0).all()


def _slim(forward, rays, sideways):
    """Mask of the rays at most this tangent to the left or right of the axis."""
    right = np.cross(forward, [0, 0, 1])
    return np.abs(rays @ right) / np.linalg.norm(right) <= sideways * (rays @ forward)


def _unit(v):
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def test_every_texture_has_structure_in_all_bands(place):
    for texture in Texture:
        wall = block(0, 5, (6, 0.2, 4), Paint(np.full(3, 0.4), 0.5, 0, texture, 0.4))
        rays = np.array([(x, 4.9, z) for x in np.linspace(-2.5, 2.5, 30) for z in np.linspace(-1.4, 1.4, 30)])
        seen, _ = _meet(place, wall.seeded(np.random.default_rng(1)), (0, 0, 2), rays)
        on_wall = seen["distance"] < 8
        for field in ("albedo", "nir", "heat"):
            assert seen[field][on_wall].std() > 0.015, (texture, field)


@pytest.mark.parametrize("indoor", [True, False])
def test_culling_drops_nothing_that_is_seen(indoor):
    for seed in range(6):
        place, origin = make_place(seed, indoor), np.array([0, 0, 2.8])
        forward, rays = _fan(0.2 - 0.08 * seed, -0.25, 0.3)
        fewer = place.solids.in_view(origin, forward, 0.3)
        assert len(fewer) < 0.8 * len(place.solids)
        narrow = place.solids.in_view(origin, forward, 0.3, sideways=0.1)
        assert len(narrow) < len(fewer)
        everything, _ = _meet(place, place.solids, origin, rays)
        culled, _ = _meet(place, fewer, origin, rays)
        np.testing.assert_array_equal(everything, culled)
        slim = _slim(forward, rays, 0.1)
        in_narrow, _ = _meet(place, narrow, origin, rays[slim])
        np.testing.assert_array_equal(everything[slim], in_narrow)


@pytest.mark.parametrize("indoor", [True, False])
def test_an_obstacle_hides_part_of_the_person_but_not_all(place, indoor):
    shares = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        distance, angle = rng.uniform(4, 9), rng.uniform(-0.25, 0.25)
        position = np.array([distance * math.sin(angle), distance * math.cos(angle), 0])
        thing = draw_obstacle(rng, position, indoor)
        assert 1 <= len(thing) <= 12
        across, up = np.meshgrid(np.linspace(-0.22, 0.22, 10), np.linspace(0.1, 1.7, 24))
        target = position + np.stack([across, 0 * across, up], -1).reshape(-1, 3)
        seen, _ = _meet(place, thing, (0, 0, 3), target - (0, 0, 3))
        shares.append((seen["distance"] < np.linalg.norm(target - (0, 0, 3), axis=1) - 0.1).mean())
    assert min(shares) > 0.01
    assert max(shares) < 0.75
    assert 0.15 < np.mean(shares) < 0.5


def test_places_are_the_same_for_a_seed_and_differ_between_seeds():
    first, again, other = make_place(5, False), make_place(5, False), make_place(6, False)
    np.testing.assert_array_equal(first.solids.center, again.solids.center)
    np.testing.assert_array_equal(first.solids.seed, again.solids.seed)
    assert len(first.solids) != len(other.solids) or not np.allclose(first.solids.center, other.solids.center)
    weathers = {make_place(seed, False).weather for seed in range(25)}
    assert weathers == {"sunny", "overcast", "dusk", "night"}
    assert make_place(1, True).weather == "indoor"
    assert make_place(1, True).sun == 0


@pytest.mark.parametrize("indoor", [True, False])
def test_places_are_plausible_and_busy(indoor):
    for seed in range(12):
        place = make_place(seed, indoor)
        assert np.linalg.norm(place.sun_direction) == pytest.approx(1)
        assert 0 < place.ambient <= 1
        assert ((place.solids.albedo >= 0) & (place.solids.albedo <= 1)).all()
        assert ((place.solids.nir >= 0) & (place.solids.nir <= 1)).all()
        assert (place.solids.half > 0).all()
        forward, rays = _fan(0.0, -0.15, 0.25, n=32)
        seen, _ = _meet(place, place.solids.in_view(np.array([0, 0, 2.8]), forward, 0.25), (0, 0, 2.8), rays)
        assert seen["albedo"].std() > 0.03
        assert seen["heat"].std() > 0.25


@pytest.mark.parametrize("indoor", [True, False])
def test_people_find_a_free_spot(indoor):
    for seed in range(8):
        place = make_place(seed, indoor)
        spots = [place.draw_spot(np.random.default_rng(k), (4.0, 9.0)) for k in range(6)]
        assert np.mean([place.is_free(spot) for spot in spots]) > 0.8
        assert not place.is_free(place.solids.center[0] * [1, 1, 0])


def test_solids_join_move_and_keep_their_order():
    both = block(0, 0, (1, 1, 1), GRAY) + post(2, 0, 0.5, 1, GRAY)
    assert list(both.kind) == [Kind.BOX, Kind.CYLINDER]
    moved = both.moved(1, 0, math.pi / 2)
    np.testing.assert_allclose(moved.center, [(1, 0, 0.5), (1, 2, 0.5)], atol=1e-6)
    assert len(join([])) == 0
    assert len(Solids.empty() + both) == 2
