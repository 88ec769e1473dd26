"""Dress a posed body: offset cloth, hanging skirts and coats, hair, hats, shoes and bags.

Cloth that follows the body is the body mesh itself, smoothed and pushed outward where the canonical
attributes say the garment is; only what hangs or is rigid gets its own surface.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from vireid.synth import body as b
from vireid.synth.body import Body, Posed
from vireid.synth.identity import Day, Identity
from vireid.synth.raycast import Mesh, fractal_noise
from vireid.synth.shapes import Surface, envelope, superellipsoid, vertex_normals

Array = npt.NDArray[Any]


class Part(IntEnum):
    """Which surface a triangle belongs to."""

    BODY = 0
    SKIRT = 1
    COAT = 2
    HAIR = 3
    BAG = 4
    HAT = 5
    HOOD = 6
    SHOE = 7


@dataclass(frozen=True, slots=True)
class Figure:
    """A dressed person, ready to be cast.

    Attributes:
        vertices: `(V, 3)` standing at the origin, facing -y.
        faces: `(F, 3)`.
        normals: `(V, 3)` unit vectors.
        attributes: `(V, COLUMNS)`, canonical on the body, position only on other parts.
        parts: `(F,)` values of `Part`.
        mesh: the same triangles for ray casting.
    """

    vertices: Array
    faces: Array
    normals: Array
    attributes: Array
    parts: Array
    mesh: Mesh


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
    return np.asarray((z > 0.62 - 0.85 * (y + 0.75)) & ~ears & (z > -1.0))


def dress(body: Body, person: Identity, day: Day, posed: Posed, index: int) -> Figure:
    """The dressed figure of pose `index` of `posed`."""
    surface = _cloth(body, person, day, posed.vertices[index], posed.attributes)
    parts: list[tuple[Part, Surface, Array | None]] = []
    rig = _Rig(body, posed, index)
    parts += _hanging(person, surface, posed.attributes, rig)
    parts += _head(person, day, rig)
    parts += _shoes(posed.attributes, rig)
    parts += _bag(day, rig)
    return _join(surface, body.faces, posed.attributes, parts)


class _Rig:
    """Carries points from the rest frame of a bone to its pose."""

    def __init__(self, body: Body, posed: Posed, index: int) -> None:
        self._index, self._bones, self._rest = body.bone, posed.bones[index], posed.rest_bones

    def at(self, bone: str) -> Array:
        return np.asarray(self._bones[self._index[bone], :3, 3])

    def rest(self, bone: str) -> Array:
        return np.asarray(self._rest[self._index[bone], :3, 3])

    def attach(self, bone: str, points: Array) -> Array:
        i = self._index[bone]
        turn = self._bones[i, :3, :3] @ self._rest[i, :3, :3].T
        return np.asarray(points @ turn.T + self._bones[i, :3, 3])


_HAIR_THICKNESS = {"short": 0.012, "bob": 0.028, "long": 0.024, "bald": 0.0}


def _cloth(body: Body, person: Identity, day: Day, vertices: Array, a: Array) -> Array:
    """Body vertices pushed out to where the cloth is."""
    top, bottom = person.top, person.bottom
    in_top = top_mask(a, top.sleeve, top.hem)
    in_bottom = ~in_top & bottom_mask(a, bottom.leg)
    in_shoe = (a[:, b.LEG] > 1.93) & (a[:, b.IN_FOOT] > 0.25)
    # Anatomy under cloth and toes in shoes are smoothed away; the more, the thicker the garment.
    thick = top.offset > 0.02
    keep = np.where(in_shoe, 0.15, np.where(in_top, 0.06 if thick else 0.22, np.where(in_bottom, 0.2, 1.0)))
    smooth = body.smooth(vertices, 30 if thick else 14)
    vertices = smooth + keep[:, None].astype(np.float32) * (vertices - smooth)
    offset = np.zeros(len(vertices), np.float32)
    fold = fractal_noise(a[:, :3] * [11, 11, 16], day.fold_seed, 2) - 0.5
    cuff = 1 + 0.8 * np.clip((a[:, b.ARM] - 0.2) / 1.5, 0, 1) * (a[:, b.IN_ARM] > 0.5)
    offset[in_top] = (top.offset * cuff + fold * (top.offset + 0.004) * 1.5)[in_top]
    wide = 1 + 0.9 * np.clip(a[:, b.LEG] / 1.9, 0, 1)
    offset[in_bottom] = (bottom.offset * wide + fold * (bottom.offset + 0.006) * 1.6)[in_bottom]
    offset[in_shoe] = 0.012
    in_hair = hair_mask(a) & (a[:, b.IN_HEAD] > 0.3)
    strands = 0.6 + fractal_noise(a[in_hair, b.HEAD_X : b.HEAD_Z + 1] * 4, 3)
    offset[in_hair] = np.maximum(offset[in_hair], 0) + _HAIR_THICKNESS[person.hair_style] * strands
    return np.asarray(vertices + vertex_normals(vertices, body.faces) * body.smooth(offset[:, None], 2))


def _hanging(person: Identity, vertices: Array, a: Array, rig: _Rig) -> list[tuple[Part, Surface, Array | None]]:
    """Skirt first, then the coat over everything below it, the skirt included."""
    result: list[tuple[Part, Surface, Array | None]] = []
    waist = rig.at("spine04")[2]
    knee = (rig.at("lowerleg01.L")[2] + rig.at("lowerleg01.R")[2]) / 2
    center = rig.at("root")[:2]
    covered = vertices[a[:, b.IN_ARM] < 0.5]
    if person.bottom.kind == "skirt":
        heights = np.linspace(waist + 0.045, waist - (waist - knee) * person.bottom.skirt_length, 9)
        skirt = envelope(covered, heights, center, 0.05)
        result.append((Part.SKIRT, skirt, None))
        covered = np.concatenate([covered, _ring_points(skirt[0], 9)])
    if person.top.kind == "coat":
        heights = np.linspace(waist + 0.06, waist - (waist - knee) * person.top.coat_length, 9)
        coat, faces = envelope(covered, heights, center, 0.035)
        coat[:, :2] += (coat[:, :2] - center) * 0.04
        result.append((Part.COAT, (coat, faces), None))
    return result


def _ring_points(vertices: Array, rings: int, between: int = 4) -> Array:
    """Points along a ringed surface, dense enough in height to be seen by another envelope."""
    grid = vertices.reshape(rings, -1, 3)
    steps = np.linspace(0, 1, between, endpoint=False)[:, None, None, None]
    return np.asarray((grid[:-1] * (1 - steps) + grid[1:] * steps).reshape(-1, 3))


def _head(person: Identity, day: Day, rig: _Rig) -> list[tuple[Part, Surface, Array | None]]:
    result: list[tuple[Part, Surface, Array | None]] = []

    def add(part: Part, center: tuple[float, ...], radii: tuple[float, ...]) -> None:
        local, faces = superellipsoid(np.array(center), np.array(radii))
        result.append((part, (rig.attach("head", local), faces), local))

    if person.hair_style == "bob":
        add(Part.HAIR, (0, 0.065, 0.01), (0.088, 0.06, 0.15))
    if person.hair_style == "long":
        add(Part.HAIR, (0, 0.085, -0.07), (0.09, 0.055, 0.24))
    if person.top.hood_up:
        add(Part.HOOD, (0, 0.085, 0.07), (0.125, 0.115, 0.165))
    elif day.hat:
        add(Part.HAT, (0, 0.01, 0.13), (0.097, 0.115, 0.07))
        add(Part.HAT, (0, -0.06, 0.115), (0.09, 0.1, 0.012))
    return result


def _shoes(a: Array, rig: _Rig) -> list[tuple[Part, Surface, Array | None]]:
    result: list[tuple[Part, Surface, Array | None]] = []
    for side, sign in (("L", 1), ("R", -1)):
        foot = a[(a[:, b.IN_FOOT] > 0.5) & (a[:, b.X] * sign > 0)][:, :3]
        low, high = foot.min(0), foot.max(0)
        origin = rig.rest(f"foot.{side}")
        center, radii = (low + high) / 2 - origin, (high - low) / 2 * [1.02, 1.07, 0.62]
        center[2] = low[2] - origin[2] + radii[2] - 0.004
        local, faces = superellipsoid(center, radii, 0.62, 20, 12)
        toe = np.clip(-(local[:, 1] - center[1]) / radii[1], 0, 1)
        local[:, 2] -= toe * 0.3 * np.clip(local[:, 2] - center[2], 0, 1)
        result.append((Part.SHOE, (rig.attach(f"foot.{side}", local), faces), local))
    return result


def _bag(day: Day, rig: _Rig) -> list[tuple[Part, Surface, Array | None]]:
    result: list[tuple[Part, Surface, Array | None]] = []
    if day.bag == "backpack":
        boxes: list[tuple[tuple[float, ...], tuple[float, ...], float]] = [
            ((0, 0.185, 0.06), (0.155, 0.085, 0.22), 0.45)
        ]
        boxes += [((sign * 0.1, -0.02, 0.12), (0.024, 0.165, 0.2), 0.7) for sign in (-1, 1)]
        for center, radii, exponent in boxes:
            local, faces = superellipsoid(np.array(center), np.array(radii), exponent, 24, 14)
            result.append((Part.BAG, (rig.attach("spine02", local), faces), local))
    if day.bag == "handbag":
        local, faces = superellipsoid(np.array((0.03, 0, -0.26)), np.array((0.06, 0.15, 0.13)), 0.45, 24, 14)
        result.append((Part.BAG, (local + rig.at("wrist.L"), faces), local))
    return result


def _join(surface: Array, faces: Array, a: Array, parts: list[tuple[Part, Surface, Array | None]]) -> Figure:
    vertices, triangles, attributes = [surface], [faces], [a]
    labels = [np.zeros(len(faces), np.int8)]
    start = len(surface)
    for part, (points, indices), local in parts:
        extra = np.zeros((len(points), a.shape[1]), np.float32)
        extra[:, :3] = points if local is None else local
        vertices.append(points.astype(np.float32))
        triangles.append((indices + start).astype(np.int32))
        attributes.append(extra)
        labels.append(np.full(len(indices), int(part), np.int8))
        start += len(points)
    v, f = np.concatenate(vertices).astype(np.float32), np.concatenate(triangles)
    return Figure(v, f, vertex_normals(v, f), np.concatenate(attributes), np.concatenate(labels), Mesh(v, f))
