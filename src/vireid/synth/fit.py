"""What accessories are made to measure on: the clothed body in the rest pose, and the pieces made on it.

Shapes: N points of a piece, F triangles, V vertices of the body, J bones.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.spatial import cKDTree

from vireid.synth import body as b
from vireid.synth.body import Body

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
    COLLAR = 8
    SCARF = 9
    STRAP = 10
    BICYCLE = 11
    BEARD = 12
    PHONE = 13
    PARCEL = 14


@dataclass(frozen=True, slots=True)
class Piece:
    """A surface beside the body's own.

    Attributes:
        part: what it is.
        points: `(N, 3)` in the rest pose.
        faces: `(F, 3)`.
        bone: the bone it is fixed to; None lets it move with the clothes that it lies on.
        hold: `(N,)` how far each point follows `bone`, 1 everywhere if not given; the rest is as for None.
        local: `(N, 3)` position for patterns; the rest position if not given.
        attributes: `(N, COLUMNS)` of a piece of `Part.BODY`, which is shaded as the body's garments are.
    """

    part: Part
    points: Array
    faces: Array
    bone: str | None = None
    hold: Array | None = None
    local: Array | None = None
    attributes: Array | None = None


class Fit:
    """The clothed body `surface` `(V, 3)` of one person on one day, in the rest pose."""

    def __init__(self, body: Body, attributes: Array, surface: Array, joints: Array) -> None:
        self.attributes, self.surface = attributes, surface
        self._body, self._joints = body, joints
        trunk = (attributes[:, b.IN_ARM] < 0.5) & (attributes[:, b.IN_HEAD] < 0.3) & (attributes[:, b.TORSO] > -0.35)
        self._on_trunk = np.flatnonzero(trunk)
        self.trunk: Array = surface[self._on_trunk].astype(np.float64)

    def at(self, bone: str) -> Array:
        """Where a bone begins: `(3,)`."""
        return np.asarray(self._joints[self._body.bone[bone]], np.float64)

    def front(self, x: float, z: Array) -> Array:
        """The foremost y of the trunk at `x` and heights `z` `(N,)`."""
        near = self.trunk[np.abs(self.trunk[:, 0] - x) < 0.035]
        levels = np.abs(near[None, :, 2] - np.asarray(z)[:, None]) < 0.035
        return np.asarray(np.where(levels, near[None, :, 1], 0.0).min(1))

    def weights(self, pieces: list[Piece]) -> sparse.csr_array:
        """Bone weights `(N, J)` of all pieces in turn: of their bone, or of the nearest vertices of the trunk."""
        hold = np.concatenate([_hold(piece) for piece in pieces])
        bones = [0 if piece.bone is None else self._body.bone[piece.bone] for piece in pieces]
        column = np.repeat(bones, [len(piece.points) for piece in pieces])
        count = len(hold)
        fixed = sparse.csr_array((hold, column, np.arange(count + 1)), (count, self._body.weights.shape[1]))
        free = np.flatnonzero(hold < 1)
        points = np.concatenate([piece.points for piece in pieces])[free]
        distance, nearest = cKDTree(self.trunk).query(points, k=4)
        share = 1 / (distance + 0.01)
        share *= ((1 - hold[free]) / share.sum(1))[:, None]
        start = np.zeros(count + 1, np.int64)
        start[free + 1] = 4
        picked = (share.ravel().astype(np.float32), self._on_trunk[nearest].ravel(), start.cumsum())
        return sparse.csr_array(picked, (count, len(self.surface))) @ self._body.weights + fixed


def _hold(piece: Piece) -> Array:
    if piece.bone is None:
        return np.zeros(len(piece.points), np.float32)
    return np.ones(len(piece.points), np.float32) if piece.hold is None else piece.hold.astype(np.float32)
