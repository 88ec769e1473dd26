"""Cloth that follows the body: the body's own surface in the rest pose, pushed out to where the garment hangs.

It is cut once for a day and then moves with the bones, so that a pose costs little. Shapes: V vertices.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from vireid.synth import body as b
from vireid.synth.body import Body
from vireid.synth.identity import Bottom, Day, Identity, Top
from vireid.synth.noise import fractal_noise
from vireid.synth.shapes import look_up, outlines, round_off, vertex_normals

Array = npt.NDArray[Any]

CHEST = 0.74  # height along the torso from which loose cloth hangs


def top_mask(attributes: Array, sleeve: float, hem: float) -> Array:
    """Where on the body the upper garment lies: `(N,)` bool."""
    a = attributes
    torso = (a[:, b.TORSO] > hem) & (a[:, b.IN_HEAD] < 0.5) & (a[:, b.TORSO] < 1.02)
    return np.where(a[:, b.IN_ARM] > 0.5, a[:, b.ARM] < sleeve, torso)


def bottom_mask(attributes: Array, leg: float) -> Array:
    """Where on the body the lower garment lies: `(N,)` bool."""
    a = attributes
    below_waist = (a[:, b.TORSO] < 0.24) & (a[:, b.IN_ARM] < 0.5)
    return below_waist & (a[:, b.LEG] < leg) & (a[:, b.IN_FOOT] < 0.6)


def hair_mask(attributes: Array) -> Array:
    """Where on the head hair grows: `(N,)` bool; the face lies towards negative y."""
    x, y, z = (attributes[:, column] for column in (b.HEAD_X, b.HEAD_Y, b.HEAD_Z))
    ears = (np.abs(x) > 0.62) & (z < 0.2) & (y < 0.75)
    # From high on the forehead, which lies at y = -0.25, over the temples down to the nape.
    return np.asarray((z > 0.55 - 0.95 * (y + 0.2)) & ~ears & (z > -1.0))


def beard_mask(attributes: Array) -> Array:
    """Where on the head a beard grows: `(N,)` bool."""
    x, y, z = (attributes[:, column] for column in (b.HEAD_X, b.HEAD_Y, b.HEAD_Z))
    lips = (z <= -0.56) & (z >= -0.72) & (np.abs(x) <= 0.2)
    # Below a line from the ears to the corners of the mouth, and above the lips.
    jaw = (z < -0.42 + 0.36 * y) & (y < 0.6) & (z > -1.25)
    lip = (z < -0.46) & (np.abs(x) < 0.3) & (y < -0.15)
    return np.asarray((jaw | lip) & ~lips)


def tailor(body: Body, person: Identity, day: Day, attributes: Array, joints: Array) -> Array:
    """The clothed surface `(V, 3)` in the rest pose, outer garments outside of inner ones.

    Args:
        body: topology of the mesh.
        person: whose trousers and hair.
        day: whose upper garment and folds.
        attributes: `(V, COLUMNS)` of the rest shape.
        joints: `(J, 3)` bone heads of the rest pose.
    """
    a, top, bottom = attributes, day.top, person.bottom
    rest = a[:, :3].astype(np.float64)
    in_top = top_mask(a, top.sleeve, top.hem)
    in_bottom = ~in_top & bottom_mask(a, bottom.leg)
    in_shoe = (a[:, b.LEG] > 1.93) & (a[:, b.IN_FOOT] > 0.25)
    # Anatomy under cloth and toes in shoes are smoothed away; the more, the thicker the garment.
    thick = top.kind in ("jacket", "coat", "hoodie")
    trunk = in_top & (a[:, b.TORSO] > 0.3) & (a[:, b.IN_ARM] < 0.5)
    keep = np.select([in_shoe, trunk, in_top, in_bottom], [0.1, 0.0, 0.05 if thick else 0.3, 0.3], 1.0)[:, None]
    relief = body.smooth(rest, 20)
    surface = relief + keep * (rest - relief)
    cover = np.minimum(1, 2 * body.smooth(np.column_stack([in_top, in_bottom]), 1)).astype(np.float64)
    surface += _legs(body, bottom, a, surface, joints, cover[:, 1])
    surface += _sleeves(body, top, a, surface, joints, cover[:, 0])
    surface += _trunk(top, a, surface, cover[:, 0])
    normals = vertex_normals(surface[:, None].astype(np.float32), body.faces)[:, 0]
    fold = _folds(a, day.fold_seed)
    offset = np.select([in_top, in_bottom, in_shoe], [top.offset, bottom.offset, 0.012], 0.0)
    offset += fold * np.select([in_top, in_bottom], [0.6 * top.offset + 0.006, 0.011], 0.0)
    if top.is_open:
        # The opened front lies a step deeper.
        gap = 0.055 + 0.05 * (1 - a[:, b.TORSO])
        offset[in_top & (a[:, b.IN_ARM] < 0.3) & (a[:, b.Y] < 0) & (np.abs(a[:, b.X]) < gap)] -= 0.012
    offset = body.smooth(offset[:, None], 1)[:, 0].astype(np.float64) + _hair(person, day, a)
    return np.asarray(surface + normals * offset[:, None], np.float32)


def _trunk(top: Top, a: Array, surface: Array, cover: Array) -> Array:
    """How far the trunk of a top is pushed outward `(V, 3)`: it bridges hollows and hangs from the chest."""
    trunk = (a[:, b.IN_ARM] < 0.5) & (a[:, b.TORSO] > -0.4) & (a[:, b.TORSO] < 1.0)
    center = np.array([0.0, surface[trunk, 1].mean()])
    knots = np.linspace(0.95, top.hem - 0.04, 22)
    away = surface[:, :2] - center
    radius = round_off(outlines(away[trunk], a[trunk, b.TORSO], knots, 0.03), 2)
    for k in range(1, len(knots)):
        if knots[k] < CHEST:
            radius[k] = np.maximum(radius[k], radius[k - 1] * 0.985)
    if top.kind == "hoodie" or (top.kind == "jacket" and top.fabric.seed % 2):
        # A band gathers the hem.
        radius *= 1 - 0.1 * np.exp(-(((knots - top.hem) / 0.07) ** 2))[:, None]
    at = np.flatnonzero((cover > 0) & (a[:, b.IN_ARM] < 0.8) & (a[:, b.TORSO] < 0.95))
    row = (0.95 - a[at, b.TORSO]) / (0.95 - knots[-1]) * (len(knots) - 1)
    own = np.hypot(*away[at].T)
    target = look_up(radius, row, np.arctan2(away[at, 1], away[at, 0]))
    # At the shoulders the cloth lies on the body.
    hangs = np.clip((0.9 - a[at, b.TORSO]) / 0.15, 0, 1) * np.clip(1.2 - 1.6 * a[at, b.IN_ARM], 0, 1)
    push = np.zeros((len(a), 3))
    change = target - own
    # What stands out of the smooth outline, as a nipple does, is pressed flat even under tight cloth.
    grown = np.where(change > 0, top.looseness, 1.0) * hangs * change * cover[at]
    push[at, :2] = away[at] * (grown / np.maximum(own, 0.02))[:, None]
    return push


_CUT_AT_HEM = {"slim": 0.45, "straight": 0.74, "wide": 1.0, "flared": 0.98}
_CUT_AT_KNEE = {"slim": 0.7, "straight": 0.84, "wide": 1.0, "flared": 0.66}


def _legs(body: Body, bottom: Bottom, a: Array, surface: Array, joints: Array, cover: Array) -> Array:
    """How far trouser legs are pushed outward: below the thigh they keep the width of their cut."""
    push = np.zeros((len(a), 3))
    for side, sign in (("L", 1), ("R", -1)):
        leg = np.flatnonzero((a[:, b.IN_LEG] > 0.5) & (a[:, b.X] * sign > 0) & (cover > 0))
        if not len(leg):
            continue
        along = a[leg, b.LEG].astype(np.float64)
        names = [f"{name}.{side}" for name in ("upperleg02", "lowerleg01", "foot")]
        away = surface[leg] - _axis(joints, body, names, along)
        away[:, 2] = 0
        own = np.hypot(away[:, 0], away[:, 1])
        thigh = np.median(own[(along > 0.25) & (along < 0.5)])
        stops = [0.35, 1.0, 1.95]
        width = thigh * np.interp(along, stops, [0.0, _CUT_AT_KNEE[bottom.cut], _CUT_AT_HEM[bottom.cut]])
        if bottom.kind == "shorts":
            width = thigh * np.interp(along, [0.2, bottom.leg], [0.9, 1.3 if bottom.cut == "wide" else 1.15])
        ease = np.clip((along - 0.25) / 0.3, 0, 1)
        grown = ease * np.maximum(width - own, 0) * cover[leg]
        push[leg] = away * (grown / np.maximum(own, 0.02))[:, None]
    return push


def _sleeves(body: Body, top: Top, a: Array, surface: Array, joints: Array, cover: Array) -> Array:
    push = np.zeros((len(a), 3))
    gathered = top.kind == "hoodie" or (top.kind == "jacket" and top.fabric.seed % 2)
    for side, sign in (("L", 1), ("R", -1)):
        arm = np.flatnonzero((a[:, b.IN_ARM] > 0.5) & (a[:, b.X] * sign > 0) & (cover > 0))
        if not len(arm):
            continue
        along = a[arm, b.ARM].astype(np.float64)
        names = [f"{name}.{side}" for name in ("upperarm01", "lowerarm01", "wrist")]
        away = surface[arm] - _axis(joints, body, names, along)
        own = np.linalg.norm(away, axis=1)
        upper = np.median(own[(along > 0.3) & (along < 0.6)]) if (along > 0.3).any() else 0.05
        hem = (0.85 if top.sleeve > 1.5 else 1.3) * (0.75 + 0.35 * top.looseness)
        width = upper * np.interp(along, [0.2, min(top.sleeve, 1.9)], [0.9, hem])
        if gathered:
            width *= 1 - 0.45 * np.clip((along - 1.72) / 0.15, 0, 1)
        grown = np.clip((along - 0.2) / 0.3, 0, 1) * np.maximum(width - own, 0) * cover[arm]
        push[arm] = away * (grown / np.maximum(own, 0.015))[:, None]
    return push


def _axis(joints: Array, body: Body, names: list[str], along: Array) -> Array:
    """Points `(N, 3)` on the bones of a limb at `along` (0 first, 1 second, 2 third joint)."""
    points = np.stack([joints[body.bone[name]] for name in names])
    return np.stack([np.interp(along, [0, 1, 2], points[:, k]) for k in range(3)], 1)


def _folds(a: Array, seed: int) -> Array:
    """Folds `(V,)`, -0.5 to 0.5: across the limb around elbow, knee and waist, along it elsewhere."""
    rest, n = a[:, :3], len(a)
    along = fractal_noise(rest * np.array([26, 26, 5], np.float32), seed, 2)
    across = fractal_noise(rest * np.array([7, 7, 30], np.float32), seed + 9, 2)
    limb = np.where(a[:, b.IN_ARM] > 0.5, a[:, b.ARM], np.where(a[:, b.IN_LEG] > 0.5, a[:, b.LEG], 9.0))
    joint = np.exp(-(((limb - 1) / 0.3) ** 2)) + np.exp(-(((limb - 1.85) / 0.15) ** 2))
    waist = np.where(limb > 8, 0.7 * np.exp(-(((a[:, b.TORSO] - 0.25) / 0.15) ** 2)), 0.0)
    bent = np.clip(joint + waist, 0, 1)
    return np.asarray(along * (1 - bent) + across * bent - 0.5, np.float64).reshape(n)


# Thickness of hair on the scalp in metres; what hangs or stands off has its own surface.
_SCALP = {"bald": 0.0, "buzz": 0.004, "short": 0.014, "afro": 0.01}


def _hair(person: Identity, day: Day, a: Array) -> Array:
    """Thickness `(V,)` of the hair on the scalp and of a beard."""
    result = np.zeros(len(a))
    head = a[:, b.IN_HEAD] > 0.3
    scalp = np.flatnonzero(head & hair_mask(a))
    strands = fractal_noise(a[scalp, b.HEAD_X : b.HEAD_Z + 1] * np.float32(4), int(1000 * person.hair_length), 2)
    thick = _SCALP.get(person.hair_style, 0.007)
    if person.hair_style == "short":
        # Longer on the crown than at the sides.
        thick = thick * (0.5 + (0.3 + 1.2 * person.hair_length) * np.clip(a[scalp, b.HEAD_Z], 0, 1))
    result[scalp] = thick * (0.5 + strands) * (0.5 if day.hat else 1.0)
    if person.beard:
        chin = np.flatnonzero(head & beard_mask(a))
        result[chin] = 0.003 + 0.012 * person.hair_length
    return result
