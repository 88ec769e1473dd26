"""People: postures, clothes that hang in the right order, straps, and what changes between days."""

from dataclasses import astuple, replace
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("warp", reason="not installed: pip install 'vireid[synth]'")
pytest.importorskip("anny", reason="not installed: pip install 'vireid[synth]'")

from vireid.synth import body as b
from vireid.synth.garment import Part, beard_mask, bottom_mask, dress, hair_mask, top_mask
from vireid.synth.identity import BAGS, OPEN, SHORTEST, TALLEST, WORN, draw_identity
from vireid.synth.poses import ACTIVITIES, WALK_CHANGES, Gait, Posture, draw_posture
from vireid.synth.shapes import convex_radii, curve, hanging, ribbon, tube, vertex_normals

WALK = Posture(phase=0.4)


@pytest.fixture(scope="module")
def body():
    return b.Body()


@pytest.fixture(scope="module")
def people():
    return [draw_identity(np.random.default_rng(seed), 2) for seed in range(300)]


@pytest.fixture(scope="module")
def attributes(body, people):
    return posed(body, people[0], WALK).attributes


def posed(body, person, *postures):
    return body.pose(postures, person.phenotype, person.changes)


def wearing(person, bag="none", skirt=None, **top):
    """The person and the first day, with another bag, top or skirt."""
    day = replace(person.days[0], bag=bag, top=replace(person.days[0].top, **top))
    bottom = replace(person.bottom, kind="skirt", leg=-9.0, skirt_length=skirt) if skirt else person.bottom
    return replace(person, bottom=bottom), day


def points(figure, part):
    return figure.vertices[np.unique(figure.faces[figure.parts == part])]


def test_a_batch_is_what_its_poses_are_one_by_one(body, people):
    person, day = people[0], people[0].days[0]
    postures = (WALK, Posture("cycling", 2.0), Posture("carrying", 1.0, walks=False))
    together = dress(body, person, day, posed(body, person, *postures), range(3))
    for posture, figure in zip(postures, together, strict=True):
        (alone,) = dress(body, person, day, posed(body, person, posture), [0])
        np.testing.assert_array_equal(figure.faces, alone.faces)
        np.testing.assert_array_equal(figure.parts, alone.parts)
        np.testing.assert_allclose(figure.vertices, alone.vertices, atol=1e-5)
        # A triangle with hardly any area has no good normal.
        assert np.quantile(np.abs(figure.normals - alone.normals).max(1), 0.99) < 1e-2


def test_the_same_seed_gives_the_same_bytes(body):
    def once():
        rng = np.random.default_rng(7)
        person = draw_identity(rng, 2)
        return dress(body, person, person.days[1], posed(body, person, draw_posture(rng, person.gait)), [0])[0]

    assert once().vertices.tobytes() == once().vertices.tobytes()


@pytest.mark.parametrize("activity", ACTIVITIES)
def test_every_activity_stands_on_the_ground(body, people, activity):
    person = people[3]
    (figure,) = dress(body, person, person.days[0], posed(body, person, Posture(activity, 1.0, walks=False)), [0])
    for array in (figure.vertices, figure.normals, figure.attributes):
        assert np.isfinite(array).all()
        assert array.dtype == np.float32
    assert figure.faces.dtype == figure.parts.dtype == np.int32
    assert len(figure.faces) < 36_000
    np.testing.assert_allclose(np.linalg.norm(figure.normals, axis=1).max(), 1, atol=1e-5)
    touching = Part.BICYCLE if activity == "cycling" else Part.SHOE
    assert abs(points(figure, touching)[:, 2].min()) < 0.03
    assert figure.vertices[:, 2].min() > -0.03
    assert figure.vertices[:, 2].max() < 2.3


def test_hands_hold_what_is_carried(body, people):
    person, day = wearing(people[0])
    for activity, part, bones in (
        ("phone", Part.PHONE, "R"),
        ("call", Part.PHONE, "R"),
        ("carrying", Part.PARCEL, "LR"),
    ):
        pose = posed(body, person, Posture(activity, walks=False))
        (figure,) = dress(body, person, day, pose, [0])
        for side in bones:
            hand = pose.bones[0, body.bone[f"finger3-1.{side}"], :3, 3]
            assert np.linalg.norm(points(figure, part) - hand, axis=1).min() < 0.07


def test_a_phone_call_is_made_at_the_ear(body, people):
    person, day = wearing(people[0])
    pose = posed(body, person, Posture("call", walks=False))
    (figure,) = dress(body, person, day, pose, [0])
    eye = pose.bones[0, body.bone["eye.R"], :3, 3]
    assert np.linalg.norm(points(figure, Part.PHONE) - eye, axis=1).min() < 0.16


def test_a_coat_lies_outside_of_the_skirt_below_it(body, people):
    for person in people[:6]:
        person, day = wearing(person, skirt=1.1, kind="coat", hem=-0.1, coat_length=1.0, is_open=False)
        pose = posed(body, person, WALK)
        (figure,) = dress(body, person, day, pose, [0])
        center = pose.bones[0, body.bone["root"], :2, 3]
        skirt, coat = (points(figure, part) for part in (Part.SKIRT, Part.COAT))
        checked = 0
        for z in np.linspace(coat[:, 2].min() + 0.02, coat[:, 2].max() - 0.1, 6):
            outer = coat[np.abs(coat[:, 2] - z) < 0.06][:, :2] - center
            inner = skirt[np.abs(skirt[:, 2] - z) < 0.015][:, :2] - center
            if len(inner):
                checked += 1
                angle, radius = np.arctan2(inner[:, 1], inner[:, 0]), np.hypot(*inner.T)
                reach = convex_radii(outer, 80)
                column = np.round(angle / (2 * np.pi) * 80).astype(int) % 80
                assert (radius < reach[column]).all()
        assert checked


def test_a_coat_covers_the_hips(body, people):
    person, day = wearing(people[1], kind="coat", hem=-0.1, coat_length=1.0, is_open=False)
    pose = posed(body, person, WALK)
    (figure,) = dress(body, person, day, pose, [0])
    coat = points(figure, Part.COAT)
    z = (coat[:, 2].min() + coat[:, 2].max()) / 2
    center = pose.bones[0, body.bone["root"], :2, 3]
    legs = pose.vertices[0][(pose.attributes[:, b.IN_ARM] < 0.1) & (np.abs(pose.vertices[0][:, 2] - z) < 0.02)][:, :2]
    reach = convex_radii(coat[np.abs(coat[:, 2] - z) < 0.06][:, :2] - center, 72)
    away = legs - center
    column = np.round(np.arctan2(away[:, 1], away[:, 0]) / (2 * np.pi) * 72).astype(int) % 72
    assert (np.hypot(*away.T) < reach[column] + 0.005).all()


def test_loose_tops_hang_further_from_the_waist(body, people):
    person = people[2]
    pose = posed(body, person, Posture("standing", walks=False))
    waist = (np.abs(pose.attributes[:, b.TORSO] - 0.35) < 0.06) & (pose.attributes[:, b.IN_ARM] < 0.2)

    def girth(looseness):
        _, day = wearing(person, kind="tee", hem=-0.05, looseness=looseness, is_open=False, hood_up=False)
        (figure,) = dress(body, person, day, pose, [0])
        at = figure.vertices[: len(waist)][waist][:, :2]
        return np.hypot(*(at - at.mean(0)).T).mean()

    assert girth(0.9) > girth(0.1) + 0.005


def test_wide_trousers_are_wider_than_slim_ones(body, people):
    person = people[2]
    pose = posed(body, person, Posture("standing", walks=False))
    shin = (np.abs(pose.attributes[:, b.LEG] - 1.6) < 0.1) & (pose.attributes[:, b.X] > 0)

    def width(cut):
        bottom = replace(person.bottom, kind="trousers", leg=1.94, cut=cut)
        dressed = replace(person, bottom=bottom)
        (figure,) = dress(body, dressed, person.days[0], pose, [0])
        return np.ptp(figure.vertices[: len(shin)][shin][:, 0])

    assert width("wide") > width("straight") > width("slim")


@pytest.mark.parametrize("bag", BAGS[1:])
def test_bags_hang_on_straps_or_handles(body, people, bag):
    for person in people[:4]:
        _, day = wearing(person, bag=bag)
        pose = posed(body, person, WALK)
        (figure,) = dress(body, person, day, pose, [0])
        strap, box = points(figure, Part.STRAP), points(figure, Part.BAG)
        assert np.linalg.norm(strap[:, None] - box[None, ::3], axis=2).min() < 0.05
        if bag == "handbag":
            hand = pose.bones[0, body.bone["finger3-1.L"], :3, 3]
            assert np.linalg.norm(strap - hand, axis=1).min() < 0.09
        else:
            worn = figure.vertices[: len(pose.attributes)][::2]
            near = np.linalg.norm(strap[:, None] - worn[None], axis=2).min(1)
            # A tote's handles leave the shoulder towards the bag.
            assert np.quantile(near, 0.5 if bag == "tote" else 0.9) < 0.07
            assert near.max() < 0.3


def test_no_bag_has_no_strap(body, people):
    _, day = wearing(people[0])
    (figure,) = dress(body, people[0], day, posed(body, people[0], WALK), [0])
    assert not np.isin(figure.parts, [Part.BAG, Part.STRAP]).any()


def test_people_differ_in_height_within_the_range(body, people):
    heights = [np.ptp(posed(body, person, WALK).attributes[:, b.Z]) for person in people[:24]]
    assert min(heights) > SHORTEST - 0.08
    assert max(heights) < TALLEST + 0.1
    assert np.std(heights) > 0.06


def test_some_change_top_and_bag_between_days(people):
    for flag, low, high in (("changes_top", 0.12, 0.28), ("changes_bag", 0.27, 0.43)):
        assert low < np.mean([getattr(person, flag) for person in people]) < high
    for person in people:
        first, second = person.days
        assert person.changes_top == (first.top is not second.top)
        assert person.changes_bag == (first.bag != second.bag)


def test_clothes_are_plausible(people):
    moments = [day.at_a_moment(np.random.default_rng(k)) for k, person in enumerate(people) for day in person.days]
    tops = [moment.top for moment in moments]
    assert {top.collar for top in tops} == {"none", "shirt", "stand", "hood"}
    assert {top.closure for top in tops} == {"none", "zip", "buttons"}
    assert all(top.closure != "none" for top in tops if top.is_open)
    assert all(top.collar == "hood" for top in tops if top.hood_up)
    assert all(0 <= top.looseness <= 1 for top in tops)
    assert not any((moment.hat or moment.scarf) and moment.top.hood_up for moment in moments)


def test_what_a_person_has_along_is_on_and_off(people):
    rng = np.random.default_rng(0)
    days = [day for person in people for day in person.days]
    for thing, share in WORN.items():
        having = [day for day in days if getattr(day, thing) not in (False, "none") and day.top.collar != "hood"]
        worn = [getattr(day.at_a_moment(rng), thing) not in (False, "none") for day in having * 30]
        assert abs(np.mean(worn) - share) < 0.05
        # Nobody has a thing that was left at home.
        without = [day.at_a_moment(rng) for day in days if getattr(day, thing) in (False, "none")]
        assert all(getattr(moment, thing) in (False, "none") for moment in without)
    assert (
        abs(np.mean([day.at_a_moment(rng).top.is_open for day in days if day.top.opens for _ in range(20)]) - OPEN)
        < 0.05
    )


def test_a_walk_differs_as_people_do():
    rng, person = np.random.default_rng(0), Gait(22.0, 17.0, 5.0)
    walks = np.array([astuple(draw_posture(rng, person).gait) for _ in range(600)])
    np.testing.assert_allclose(walks.mean(0), astuple(person), atol=0.6)
    np.testing.assert_allclose(walks.std(0), WALK_CHANGES, rtol=0.15)


def test_postures_come_at_their_shares():
    drawn = [draw_posture(np.random.default_rng(seed), Gait(22.0, 17.0, 5.0)) for seed in range(1500)]
    for activity, share in ACTIVITIES.items():
        assert abs(np.mean([posture.activity == activity for posture in drawn]) - share) < 0.04
    assert all(posture.walks for posture in drawn if posture.activity == "walking")


def test_longer_garments_cover_more(attributes):
    sleeves = [top_mask(attributes, sleeve, 0.0) for sleeve in (0.0, 0.5, 1.0, 1.97)]
    hems = [top_mask(attributes, 1.0, hem) for hem in (0.3, 0.1, 0.0, -0.1)]
    legs = [bottom_mask(attributes, leg) for leg in (0.3, 0.9, 1.4, 1.95)]
    for masks in (sleeves, hems, legs):
        for shorter, longer in pairwise(masks):
            assert not (shorter & ~longer).any()
            assert longer.sum() > shorter.sum()


def test_sleeves_end_where_they_should(attributes):
    arm = attributes[:, b.IN_ARM] > 0.9
    covered = top_mask(attributes, 1.0, 0.0)
    assert covered[arm & (attributes[:, b.ARM] < 0.95)].all()
    assert not covered[arm & (attributes[:, b.ARM] > 1.05)].any()
    assert not top_mask(attributes, 1.97, 0.0)[attributes[:, b.IN_HEAD] > 0.9].any()


def test_masks_of_the_head_do_not_meet(attributes):
    head = attributes[:, b.IN_HEAD] > 0.5
    hair, beard = hair_mask(attributes) & head, beard_mask(attributes) & head
    assert hair.sum() > 300
    assert beard.sum() > 100
    assert not (hair & beard & (attributes[:, b.HEAD_Y] < 0)).any()
    assert not (top_mask(attributes, 1.9, 0.0) & head).any()
    assert not (bottom_mask(attributes, 1.9) & head).any()


def test_normals_point_out_of_a_box():
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
    faces = np.array([[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6],
                      [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]])  # fmt: skip
    normals = vertex_normals(np.stack([corners, 2 * corners], 1), faces)
    assert normals.shape == (8, 2, 3)
    for pose in range(2):
        assert ((normals[:, pose] * (corners - 0.5)).sum(1) > 0.5).all()


def test_convex_radii_of_a_square():
    square = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1], [0.2, 0]])
    radii = convex_radii(square, 8)
    np.testing.assert_allclose(radii[::2], 1, atol=1e-9)
    np.testing.assert_allclose(radii[1::2], np.sqrt(2), atol=1e-9)


def test_hanging_cloth_never_gets_much_tighter():
    rng = np.random.default_rng(0)
    cone = rng.normal(size=(4000, 3)) * [1, 1, 0]
    cone /= np.linalg.norm(cone, axis=1, keepdims=True)
    z = rng.uniform(0, 1, 4000)
    cone = np.column_stack([cone[:, :2] * (0.1 + 0.2 * z[:, None]), z])
    radii = hanging(cone, np.linspace(1, 0, 6), np.zeros(2), 0.0, 0.0)
    assert (radii[1:] > 0.9 * radii[:-1]).all()
    assert radii[-1].min() > 0.22  # the cone itself is 0.1 wide there


def test_tubes_and_ribbons_follow_their_path():
    path = curve([(0, 0, 0), (0, 1, 0), (0, 2, 1)], 9)
    np.testing.assert_allclose(path[[0, 4, 8]], [(0, 0, 0), (0, 1, 0), (0, 2, 1)], atol=1e-9)
    points, faces = tube(path, np.full(9, 0.1), 8)
    nearest = np.linalg.norm(points[:, None] - path[None], axis=2).min(1)
    np.testing.assert_allclose(nearest, 0.1, atol=1e-6)
    assert faces.max() == len(points) - 1
    band, _ = ribbon(path, np.tile([1.0, 0, 0], (9, 1)), 0.2)
    np.testing.assert_allclose(np.linalg.norm(band[2::3] - band[::3], axis=1), 0.2, atol=1e-9)
