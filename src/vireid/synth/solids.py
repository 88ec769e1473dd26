"""The pieces a scene is built of: boxes, ellipsoids and upright cylinders with a paint.

World frame of a place: the camera hangs over the origin and looks along +y; z is up; metres.
Shapes: N solids.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Kind(IntEnum):
    """The shape of a solid."""

    BOX = 0
    ELLIPSOID = 1
    CYLINDER = 2


class Texture(IntEnum):
    """What covers a surface; each also changes the near-infrared reflectance and the heat."""

    PLAIN = 0  # plaster, concrete, lacquer: stains and dirt at the foot
    TILES = 1  # square tiles or slabs with joints
    BRICK = 2  # running bond with mortar
    WOOD = 3  # boards with grain
    FOLIAGE = 4  # leaves, with holes where the solid is an ellipsoid or a box
    GRID = 5  # rows of windows in a wall
    POSTER = 6  # pictures and lines of text in colours of their own
    PANEL = 7  # doors of lockers and cabinets
    SHELVES = 8  # rows of goods or books
    STRIPES = 9  # shutters, blinds, road paint
    ASPHALT = 10  # grains, patches and cracks
    FENCE = 11  # upright bars with holes between them
    GLASS = 12  # a dark pane that mirrors the sky or the lamps
    LAMP = 13  # gives light
    GRASS = 14  # blades, without holes


@dataclass(frozen=True, slots=True)
class Paint:
    """A surface.

    Attributes:
        albedo: `(3,)` visible reflectance, linear, 0 to 1.
        nir: near-infrared reflectance, 0 to 1.
        heat: degrees C above the air.
        texture: what covers it.
        scale: metres of one element of the texture.
    """

    albedo: Array
    nir: float
    heat: float = 0.0
    texture: Texture = Texture.PLAIN
    scale: float = 0.5


@dataclass(frozen=True, slots=True)
class Solids:
    """N solids.

    Attributes:
        kind: `(N,)` int32, see `Kind`.
        center: `(N, 3)` metres.
        half: `(N, 3)` half sizes, metres.
        yaw: `(N,)` radians about z.
        albedo: `(N, 3)` visible reflectance, linear, 0 to 1.
        nir: `(N,)` near-infrared reflectance, 0 to 1.
        heat: `(N,)` degrees C above the air.
        texture: `(N,)` int32, see `Texture`.
        scale: `(N,)` metres of one element of the texture.
        seed: `(N,)` int32 of the texture's randomness.
    """

    kind: Array
    center: Array
    half: Array
    yaw: Array
    albedo: Array
    nir: Array
    heat: Array
    texture: Array
    scale: Array
    seed: Array

    @classmethod
    def empty(cls) -> "Solids":
        """No solids."""
        whole, real, triple = np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros((0, 3), np.float32)
        return cls(whole, triple, triple, real, triple, real, real, whole, real, whole)

    def __len__(self) -> int:
        """How many."""
        return len(self.kind)

    def __add__(self, other: "Solids") -> "Solids":
        """Both, these first."""
        return join([self, other])

    def take(self, where: Array) -> "Solids":
        """Those chosen by a mask `(N,)` or by indices."""
        return Solids(*(getattr(self, field.name)[where] for field in fields(self)))

    def moved(self, x: float, y: float, yaw: float = 0.0) -> "Solids":
        """Turned about the z axis by `yaw` radians, then shifted by (x, y) metres."""
        c, s = math.cos(yaw), math.sin(yaw)
        turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
        center = (self.center @ turn + [x, y, 0]).astype(np.float32)
        return replace(self, center=center, yaw=(self.yaw + yaw).astype(np.float32))

    def seeded(self, rng: np.random.Generator) -> "Solids":
        """The same with new seeds of their textures."""
        return replace(self, seed=rng.integers(1, 1 << 20, len(self)).astype(np.int32))

    def visible(self, origin: Array, forward: Array, tangent: float, sideways: float | None = None) -> Array:
        """Mask `(N,)` of the solids that may meet a cone; none that does is left out.

        A solid is left out if one of the planes around the cone has all corners of its box outside.

        Args:
            origin: `(3,)` the tip of the cone.
            forward: `(3,)` its axis, any length.
            tangent: of the angle between axis and side.
            sideways: the same to the left and right only, for an upright picture of a level camera.
        """
        axis = np.asarray(forward, np.float64) / np.linalg.norm(forward)
        right = np.cross(axis, [0, 0, 1] if abs(axis[2]) < 0.9 else [1, 0, 0])
        right /= np.linalg.norm(right)
        turns = np.arange(8) * math.pi / 4
        planes = np.cos(turns)[:, None] * right + np.sin(turns)[:, None] * np.cross(right, axis) - tangent * axis
        if sideways is not None:
            planes = np.concatenate([planes, [right - sideways * axis, -right - sideways * axis]])
        corners = self._corners() - np.asarray(origin, np.float64)
        near: Array = ((corners @ planes.T).min(1) <= 1e-3).all(1) & ((corners @ axis).max(1) > 0)
        return near

    def _corners(self) -> Array:
        """Corners `(N, 8, 3)` of the boxes around the solids."""
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
        local = signs * self.half[:, None]
        c, s = np.cos(self.yaw)[:, None], np.sin(self.yaw)[:, None]
        x, y = c * local[..., 0] - s * local[..., 1], s * local[..., 0] + c * local[..., 1]
        return np.asarray(self.center[:, None] + np.stack([x, y, local[..., 2]], -1))

    def in_view(self, origin: Array, forward: Array, tangent: float, sideways: float | None = None) -> "Solids":
        """Those that a ray inside the cone of `visible` can meet."""
        return self.take(self.visible(origin, forward, tangent, sideways))


def join(parts: Sequence[Solids]) -> Solids:
    """All solids of all parts, in their order."""
    parts = parts or [Solids.empty()]
    return Solids(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Solids)))


def solid(kind: Kind, center: Sequence[float], half: Sequence[float] | Array, paint: Paint, yaw: float = 0.0) -> Solids:
    """One solid; `center` and `half` are (x, y, z) in metres, `yaw` radians about z."""
    return Solids(
        kind=np.array([kind], np.int32),
        center=np.array([center], np.float32),
        half=np.array([half], np.float32),
        yaw=np.array([yaw], np.float32),
        albedo=np.array([paint.albedo], np.float32),
        nir=np.array([paint.nir], np.float32),
        heat=np.array([paint.heat], np.float32),
        texture=np.array([paint.texture], np.int32),
        scale=np.array([paint.scale], np.float32),
        seed=np.zeros(1, np.int32),
    )


def block(
    x: float, y: float, size: Sequence[float] | Array, paint: Paint, bottom: float = 0.0, yaw: float = 0.0
) -> Solids:
    """A box of full `size` (x, y, z) metres over (x, y), standing at the height `bottom`."""
    return solid(Kind.BOX, (x, y, bottom + size[2] / 2), [s / 2 for s in size], paint, yaw)


def post(x: float, y: float, radius: float, height: float, paint: Paint, bottom: float = 0.0) -> Solids:
    """An upright cylinder over (x, y), metres."""
    return solid(Kind.CYLINDER, (x, y, bottom + height / 2), (radius, radius, height / 2), paint)


def ball(center: Sequence[float], half: Sequence[float] | Array, paint: Paint, yaw: float = 0.0) -> Solids:
    """An ellipsoid with half axes `half` (x, y, z) metres."""
    return solid(Kind.ELLIPSOID, center, half, paint, yaw)
