"""Fixed cameras in fixed places: the person moves and turns, the wall does not.

World frame: the camera stands over the origin at its height and looks along +y; z is up; metres.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vireid.synth.identity import draw_color
from vireid.synth.raycast import fractal_noise
from vireid.synth.spectra import Band

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Ground and three walls with tiles and panels, the same for every image taken there."""

    seed: int
    indoor: bool
    depth: float
    half_width: float
    ground: Array
    wall: Array
    tiles: Array
    sun_direction: Array
    sun: float
    air: float


@dataclass(frozen=True, slots=True)
class Camera:
    """One surveillance camera: where it hangs and how it answers to light."""

    camid: int
    band: Band
    place: Place
    height: float
    distance: float
    balance: Array
    exposure: float
    blur: float
    noise: float


@dataclass(frozen=True, slots=True)
class Backdrop:
    """The scene behind the person at N rays.

    Attributes:
        points: `(N, 3)` world positions.
        normals: `(N, 3)`.
        distance: `(N,)` metres from the camera.
        on_ground: `(N,)` bool.
        albedo: `(N, 3)`.
        heat: `(N,)` degrees above the air.
    """

    points: Array
    normals: Array
    distance: Array
    on_ground: Array
    albedo: Array
    heat: Array

    def take(self, at: Array) -> "Backdrop":
        """The rays with indices `at` `(M,)`."""
        fields = (self.points, self.normals, self.distance, self.on_ground, self.albedo, self.heat)
        return Backdrop(*(field[at] for field in fields))


def make_place(seed: int, indoor: bool) -> Place:
    """The place with this seed."""
    rng = np.random.default_rng(np.random.SeedSequence([77, seed]))
    azimuth, elevation = rng.uniform(0, 2 * math.pi), rng.uniform(0.6, 1.2)
    sun = (
        math.cos(azimuth) * math.cos(elevation),
        math.sin(azimuth) * math.cos(elevation),
        math.sin(elevation),
    )
    return Place(
        seed=seed,
        indoor=indoor,
        depth=rng.uniform(11, 15) if indoor else rng.uniform(13, 22),
        half_width=rng.uniform(2.2, 3.5) if indoor else rng.uniform(5, 9),
        ground=draw_color(rng) * 0.3 + rng.uniform(0.15, 0.4),
        wall=draw_color(rng) * 0.4 + rng.uniform(0.2, 0.5),
        tiles=rng.uniform(0.3, 1.5, 2),
        sun_direction=np.array(sun),
        sun=0.0 if indoor else rng.uniform(0.4, 1.6),
        air=rng.uniform(18, 24) if indoor else rng.uniform(8, 22),
    )


def make_camera(camid: int, band: Band, place: Place) -> Camera:
    """The camera with this number."""
    rng = np.random.default_rng(np.random.SeedSequence([78, camid, place.seed]))
    return Camera(
        camid=camid,
        band=band,
        place=place,
        height=rng.uniform(2.2, 3.0) if place.indoor else rng.uniform(2.4, 4.0),
        distance=rng.uniform(5, 9),
        balance=rng.uniform(0.9, 1.1, 3),
        exposure=rng.uniform(0.85, 1.2),
        blur=rng.uniform(0.3, 0.8),
        noise=rng.uniform(0.006, 0.02),
    )


def _hash(i: Array, j: Array, seed: int) -> Array:
    mixed = (i.astype(np.int64) * 73856093) ^ (j.astype(np.int64) * 19349663) ^ (seed * 83492791)
    mixed = (mixed ^ (mixed >> 13)) * 1274126177
    return ((mixed ^ (mixed >> 16)) & 0xFFFF) / 65535.0


def backdrop(place: Place, origin: Array, rays: Array) -> Backdrop:
    """What N unit `rays` `(N, 3)` from `origin` `(3,)`, in the world frame, meet in an empty place."""
    with np.errstate(divide="ignore"):
        planes = np.stack(
            [
                np.where(rays[:, 2] < -1e-6, -origin[2] / rays[:, 2], 1e6),
                np.where(rays[:, 1] > 1e-6, (place.depth - origin[1]) / rays[:, 1], 1e6),
                np.where(rays[:, 0] > 1e-6, (place.half_width - origin[0]) / rays[:, 0], 1e6),
                np.where(rays[:, 0] < -1e-6, (-place.half_width - origin[0]) / rays[:, 0], 1e6),
            ]
        )
    which = planes.argmin(0)
    distance = planes[which, np.arange(len(rays))]
    points = origin + distance[:, None] * rays
    normals = np.array([(0, 0, 1), (0, -1, 0), (-1, 0, 0), (1, 0, 0)], np.float32)[which]
    ground = which == 0
    along = np.where(which >= 2, points[:, 1] + 31 * which, points[:, 0])
    up = np.where(ground, points[:, 1], points[:, 2])
    grid = np.stack([along, up, which * 3.0], 1)
    texture = 0.65 + 0.7 * (fractal_noise(grid * 2.3, place.seed, 3) - 0.5)
    tile = np.where(ground[:, None], place.tiles * 1.3, place.tiles)
    texture *= np.where(((along / tile[:, 0]) % 1 < 0.04) | ((up / tile[:, 1]) % 1 < 0.05), 0.6, 1)
    # Panels, doors and posters: some cells of the walls have a colour and a temperature of their own.
    column, row = np.floor(along / 0.9).astype(int), np.where(ground, 0, np.floor(up / 1.4)).astype(int)
    panel = (_hash(column, row, place.seed) > 0.68) & ~ground
    tint = np.stack([0.6 + 0.8 * _hash(column, row, place.seed + s) for s in (1, 2, 3)], 1)
    albedo = np.where(ground[:, None], place.ground, place.wall)
    albedo = np.where(panel[:, None], (0.08 + 0.4 * _hash(column, row, place.seed + 4))[:, None] * tint, albedo)
    heat = np.where(ground, -0.8, 0.6) + 2 * (fractal_noise(grid * 1.2, place.seed + 5) - 0.5)
    heat += panel * (_hash(column, row, place.seed + 9) - 0.4) * 4
    return Backdrop(points, normals, distance, ground, albedo * texture[:, None], heat)
