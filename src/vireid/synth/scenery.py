"""Places: what stands where, the light and the weather, drawn from a seed."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vireid.synth.solids import Paint as Paint
from vireid.synth.solids import Solids as Solids
from vireid.synth.solids import Texture as Texture
from vireid.synth.solids import block, post

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Sky:
    """The sky.

    Attributes:
        albedo: `(3,)` its brightness in linear visible light, 0 to 1.
        nir: its brightness in near infrared, 0 to 1.
        heat: apparent degrees C above the air overhead in long-wave infrared; strongly negative when clear.
        clouds: 0 clear to 1 covered.
    """

    albedo: Array
    nir: float
    heat: float
    clouds: float


@dataclass(frozen=True, slots=True)
class Place:
    """A place, the same for every image taken there.

    Attributes:
        seed: what it was drawn from.
        indoor: whether it has walls and a ceiling.
        weather: "indoor", "sunny", "overcast", "dusk" or "night".
        solids: all that stands there.
        ground: the paint of the plane z = 0.
        sky: what is seen where nothing stands.
        sun_direction: `(3,)` unit vector to the sun.
        sun: its strength, 0 indoors, overcast and at night.
        ambient: light from everywhere, 0 to 1.
        lamp: `(3,)` metres, the position of the main lamp.
        lamp_light: its strength, 0 to 1.
        tint: `(3,)` colour of the light, mean 1.
        air: degrees C.
        haze: share of the view lost to haze per metre.
    """

    seed: int
    indoor: bool
    weather: str
    solids: Solids
    ground: Paint
    sky: Sky
    sun_direction: Array
    sun: float
    ambient: float
    lamp: Array
    lamp_light: float
    tint: Array
    air: float
    haze: float


def make_place(seed: int, indoor: bool) -> Place:
    """The place with this seed."""
    rng = np.random.default_rng(np.random.SeedSequence([77, seed, int(indoor)]))
    azimuth, elevation = rng.uniform(0, 2 * math.pi), rng.uniform(0.6, 1.2)
    sun = [
        math.cos(azimuth) * math.cos(elevation),
        math.sin(azimuth) * math.cos(elevation),
        math.sin(elevation),
    ]
    wall = Paint(rng.uniform(0.2, 0.6, 3), 0.6, 0.5, Texture.BRICK, 0.25)
    solids = block(0, 15, (20, 0.3, 4), wall) + post(2.5, 12, 0.15, 3, wall)
    return Place(
        seed=seed,
        indoor=indoor,
        weather="indoor" if indoor else "sunny",
        solids=solids.seeded(rng),
        ground=Paint(rng.uniform(0.15, 0.4, 3), 0.2, -0.5, Texture.TILES, 0.6),
        sky=Sky(np.array([0.5, 0.6, 0.8]), 0.4, -30.0, 0.3),
        sun_direction=np.array(sun),
        sun=0.0 if indoor else 1.0,
        ambient=0.6,
        lamp=np.array([0.0, 6.0, 3.0]),
        lamp_light=0.5 if indoor else 0.0,
        tint=np.ones(3),
        air=rng.uniform(18, 24) if indoor else rng.uniform(5, 25),
        haze=0.0,
    )


def draw_obstacle(rng: np.random.Generator, position: Array, indoor: bool) -> Solids:
    """One to four solids between the camera and a person at `position` `(3,)` that hide part of the person."""
    near = np.asarray(position, float) * rng.uniform(0.6, 0.85)
    height = rng.uniform(0.5, 1.1)
    paint = Paint(rng.uniform(0.05, 0.6, 3), 0.4, 1.0)
    return block(near[0], near[1], (0.6, 0.4, height), paint, yaw=rng.uniform(0, 1)).seeded(rng)
