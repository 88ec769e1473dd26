"""Dress posed bodies: cloth that moves with the bones, hanging skirts and coats, and everything worn or carried.

Shapes: B poses, V vertices, F triangles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from vireid.synth import body as b
from vireid.synth.accessories import make_accessories
from vireid.synth.body import COLUMNS, Body, Posed
from vireid.synth.carried import Thing, make_carried
from vireid.synth.cloth import beard_mask, bottom_mask, hair_mask, tailor, top_mask
from vireid.synth.fit import Fit, Part, Piece
from vireid.synth.hair import make_head
from vireid.synth.hems import make_hems
from vireid.synth.identity import Day, Identity
from vireid.synth.shapes import FRONT, hanging, rings, vertex_normals

__all__ = ["Figure", "Part", "beard_mask", "bottom_mask", "dress", "hair_mask", "top_mask"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """A dressed person.

    Attributes:
        vertices: `(V, 3)` float32, standing at the origin, facing -y.
        faces: `(F, 3)` int32.
        normals: `(V, 3)` float32 unit vectors.
        attributes: `(V, COLUMNS)` float32: canonical on the body; on other parts only the position for patterns.
        parts: `(F,)` int32, values of `Part`.
    """

    vertices: Array
    faces: Array
    normals: Array
    attributes: Array
    parts: Array


def dress(body: Body, person: Identity, day: Day, posed: Posed, indices: Sequence[int]) -> list[Figure]:
    """The dressed figures of the poses `indices` of `posed`."""
    if not len(indices):
        return []
    a, joints = posed.attributes, posed.rest_bones[:, :3, 3]
    surface = tailor(body, person, day, a, joints)
    fit = Fit(body, a, surface, joints)
    pieces = make_hems(person, day, fit) + make_head(person, day, fit) + make_accessories(person, day, fit)
    vertices = _posed(body, fit, pieces, posed.transforms()[list(indices)])
    clothed = top_mask(a, day.top.sleeve, day.top.hem) | bottom_mask(a, person.bottom.leg)
    vertices[: len(surface)] = _settle(body, vertices[: len(surface)], clothed)
    common = _Common(body, a, pieces)
    hung = [_hanging(body, person, day, posed, k, vertices[: len(surface), n]) for n, k in enumerate(indices)]
    vertices = common.append(vertices, hung)
    normals = vertex_normals(vertices, common.faces)
    return [
        common.figure(vertices[:, n], normals[:, n], make_carried(body, person, day, posed, k))
        for n, k in enumerate(indices)
    ]


def _posed(body: Body, fit: Fit, pieces: list[Piece], transforms: Array) -> Array:
    """The clothed body and its pieces in B poses: `(V, B, 3)`."""
    count = len(transforms)
    weights = sparse.vstack([body.weights, fit.weights(pieces)], format="csr")
    rest = np.concatenate([fit.surface, *(piece.points for piece in pieces)]).astype(np.float32)
    moved = weights @ np.ascontiguousarray(transforms.transpose(1, 0, 2, 3)).reshape(-1, count * 12)
    moved = moved.reshape(len(rest), count, 3, 4)
    turned = moved[..., 0] * rest[:, None, :1] + moved[..., 1] * rest[:, None, 1:2] + moved[..., 2] * rest[:, None, 2:]
    return np.asarray(turned + moved[..., 3], np.float32)


def _settle(body: Body, vertices: Array, clothed: Array) -> Array:
    """Cloth `(V, B, 3)` without the creases that bent joints press into it."""
    flat = vertices.reshape(len(vertices), -1)
    smooth = body.smooth(flat, 2)
    result = flat.copy()
    result[clothed] = smooth[clothed]
    return np.asarray(result.reshape(vertices.shape))


@dataclass(frozen=True, slots=True)
class _Hung:
    part: Part
    points: Array
    faces: Array
    local: Array


_RINGS, _AROUND = 11, 40


def _hanging(body: Body, person: Identity, day: Day, posed: Posed, index: int, surface: Array) -> list[_Hung]:
    """Skirt first, then the coat over everything below it, the skirt included."""
    a, top, bottom = posed.attributes, day.top, person.bottom

    def at(bone: str) -> Array:
        return np.asarray(posed.bones[index, body.bone[bone], :3, 3], np.float64)

    waist, center = at("spine04")[2], at("root")[:2]
    knee = (at("lowerleg01.L")[2] + at("lowerleg01.R")[2]) / 2
    # In a riding or running body a knee may come up to the waist; cloth still has the length it was cut to.
    rest = posed.rest_bones[:, 2, 3]
    length = rest[body.bone["spine04"]] - rest[body.bone["lowerleg01.L"]]
    length = max(0.6 * length, min(length, waist - knee))
    covered = surface[a[:, b.IN_ARM] < 0.5].astype(np.float64)
    result: list[_Hung] = []
    skirt = None
    if bottom.kind == "skirt":
        outer = top.hem < 0.2
        inside = surface[(a[:, b.IN_ARM] < 0.5) & (a[:, b.TORSO] < (top.hem + 0.06 if outer else 2.0))]
        start = surface[np.abs(a[:, b.TORSO] - top.hem) < 0.04][:, 2].mean() + 0.025 if outer else waist + 0.045
        heights = np.linspace(start, waist - length * bottom.skirt_length, _RINGS)
        heights = np.maximum(heights, 0.06)
        skirt = hanging(inside, heights, center, bottom.skirt_flare, 0.5, _AROUND)
        result.append(_hung(Part.SKIRT, skirt, heights, center, waist))
        skirt_heights = heights
    if top.kind == "coat":
        heights = np.maximum(np.linspace(waist + 0.06, waist - length * top.coat_length, _RINGS), 0.06)
        coat = hanging(covered, heights, center, 0.04, 0.3, _AROUND, 0.012)
        if skirt is not None:
            coat = np.maximum(coat, _at_heights(skirt, skirt_heights, heights) + 0.012)
            for k in range(1, _RINGS):
                coat[k] = np.maximum(coat[k], coat[k - 1] * 0.95)
        result.append(_hung(Part.COAT, coat, heights, center, waist, top.is_open))
    return result


def _at_heights(radii: Array, heights: Array, wanted: Array) -> Array:
    """Radii `(K, C)` at other heights, the greatest within half a ring's distance, 0 beyond the surface."""
    step = abs(heights[0] - heights[-1]) / (len(heights) - 1)
    result = np.zeros((len(wanted), radii.shape[1]))
    for k, z in enumerate(wanted):
        reach = max(step, abs(wanted[0] - wanted[-1]) / (len(wanted) - 1)) * 1.01
        near = np.abs(heights - z) <= reach
        if near.any():
            result[k] = radii[near].max(0)
    return result


def _hung(part: Part, radii: Array, heights: Array, center: Array, waist: float, is_open: bool = False) -> _Hung:
    points, faces = rings(radii, heights, center)
    # Patterns lie on a cylinder that does not move with the stride.
    local, _ = rings(np.full_like(radii, 0.17), heights - waist + 0.26, np.zeros(2))
    if is_open:
        angle = np.arctan2(*(points[:, 1::-1] - center[::-1]).T)
        down = np.repeat(np.linspace(0, 1, len(radii)), radii.shape[1])
        outside = np.abs(np.angle(np.exp(1j * (angle - FRONT)))) > 0.34 + 0.2 * down
        faces = faces[outside[faces].all(1)]
    return _Hung(part, points, faces, local)


class _Common:
    """What all poses of a person share: triangles, parts and attributes."""

    def __init__(self, body: Body, attributes: Array, pieces: list[Piece]) -> None:
        self._attributes = [attributes]
        self._faces = [body.faces]
        self._parts = [np.zeros(len(body.faces), np.int32)]
        self._count = len(attributes)
        for piece in pieces:
            local = piece.points if piece.local is None else piece.local
            self._add(piece.part, local if piece.attributes is None else piece.attributes, piece.faces)
        self.faces = np.concatenate(self._faces)

    def _add(self, part: Part, local: Array, faces: Array) -> None:
        extra = np.zeros((len(local), COLUMNS), np.float32)
        extra[:, : local.shape[1]] = local
        self._attributes.append(extra)
        self._faces.append((faces + self._count).astype(np.int32))
        self._parts.append(np.full(len(faces), int(part), np.int32))
        self._count += len(local)

    def append(self, vertices: Array, hung: list[list[_Hung]]) -> Array:
        """Vertices `(V, B, 3)` with what hangs in each pose, the same things in all."""
        for piece in hung[0]:
            self._add(piece.part, piece.local, piece.faces)
        self.faces = np.concatenate(self._faces)
        more = [np.stack([of_pose[i].points for of_pose in hung], 1) for i in range(len(hung[0]))]
        return np.concatenate([vertices, *(points.astype(np.float32) for points in more)])

    def figure(self, vertices: Array, normals: Array, things: list[Thing]) -> Figure:
        """One pose, with what is carried in it."""
        points, turned, faces = [vertices], [normals], [self.faces]
        attributes, parts = list(self._attributes), list(self._parts)
        start = len(vertices)
        for part, position, triangles, local in things:
            position = position.astype(np.float32)
            points.append(position)
            turned.append(vertex_normals(position[:, None], triangles)[:, 0])
            faces.append((triangles + start).astype(np.int32))
            extra = np.zeros((len(local), COLUMNS), np.float32)
            extra[:, : b.Z + 1] = local
            attributes.append(extra)
            parts.append(np.full(len(triangles), int(part), np.int32))
            start += len(position)
        return Figure(
            np.concatenate(points),
            np.concatenate(faces),
            np.concatenate(turned),
            np.concatenate(attributes),
            np.concatenate(parts),
        )
