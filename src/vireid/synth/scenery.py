"""Places: what stands where, the light and the weather, drawn from a seed."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vireid.synth import sites
from vireid.synth.obstacles import draw_obstacle as draw_obstacle
from vireid.synth.solids import Paint as Paint
from vireid.synth.solids import Solids as Solids
from vireid.synth.solids import Texture as Texture

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

    def is_free(self, position: Array, margin: float = 0.45) -> bool:
        """Whether a person can stand at `position` `(3,)` and be seen from the hips up.

        Args:
            position: metres, on the ground.
            margin: metres to the nearest solid.
        """
        solids, x, y = self.solids, float(position[0]), float(position[1])
        low, high = solids.center[:, 2] - solids.half[:, 2], solids.center[:, 2] + solids.half[:, 2]
        if ((high > 0.15) & (low < 2.0) & (_gap(solids, x, y) < margin)).any():
            return False
        for share in np.linspace(0.15, 0.95, 17):
            sight = 3.0 * (1 - share) + 0.9 * share  # of a camera at 3 m to the hips
            if ((high > sight) & (low < sight) & (_gap(solids, x * share, y * share) < 0.25)).any():
                return False
        return True

    def draw_spot(self, rng: np.random.Generator, distance: tuple[float, float], angle: float = 0.25) -> Array:
        """A position `(3,)` for a person, free where the place allows it.

        Args:
            rng: the source of randomness.
            distance: least and greatest metres from the camera's foot.
            angle: greatest radians from the +y axis.
        """
        spots = []
        for _ in range(40):
            d, a = rng.uniform(*distance), rng.uniform(-angle, angle)
            spots.append(np.array([d * math.sin(a), d * math.cos(a), 0.0]))
            if self.is_free(spots[-1]):
                return spots[-1]
        return min(spots, key=lambda spot: float(np.hypot(spot[0], spot[1])))


def _gap(solids: Solids, x: float, y: float) -> Array:
    """Level distance `(N,)` in metres from (x, y) to the boxes around the solids, 0 inside."""
    c, s = np.cos(solids.yaw), np.sin(solids.yaw)
    dx, dy = x - solids.center[:, 0], y - solids.center[:, 1]
    across = np.maximum(np.abs(c * dx + s * dy) - solids.half[:, 0], 0)
    along = np.maximum(np.abs(c * dy - s * dx) - solids.half[:, 1], 0)
    return np.asarray(np.hypot(across, along))


def make_place(seed: int, indoor: bool, day: int = 0) -> Place:
    """The place with this seed on a day, which brings weather, light and temperature of its own."""
    rng = np.random.default_rng(np.random.SeedSequence([77, seed, int(indoor)]))
    solids, ground = sites.room(rng) if indoor else sites.open_air(rng)
    solids = solids.seeded(rng)
    rng = np.random.default_rng(np.random.SeedSequence([76, seed, int(indoor), day]))
    weather = "indoor" if indoor else str(rng.choice(["sunny", "overcast", "dusk", "night"], p=[0.4, 0.3, 0.15, 0.15]))
    low_sun = weather == "dusk"
    azimuth, elevation = rng.uniform(0, 2 * math.pi), rng.uniform(0.15, 0.35) if low_sun else rng.uniform(0.5, 1.2)
    sun = np.array(
        [math.cos(azimuth) * math.cos(elevation), math.sin(azimuth) * math.cos(elevation), math.sin(elevation)]
    )
    ambient, lamp_light, tint = _light(rng, weather)
    air = rng.uniform(18, 25) if indoor else rng.uniform(0, 28) - (4 if weather == "night" else 0)
    return Place(
        seed=seed,
        indoor=indoor,
        weather=weather,
        solids=solids,
        ground=ground,
        sky=_sky(rng, weather, air),
        sun_direction=sun,
        sun={"sunny": rng.uniform(0.7, 1.6), "dusk": rng.uniform(0.05, 0.4)}.get(weather, 0.0),
        ambient=ambient,
        lamp=np.array([rng.uniform(-3, 3), rng.uniform(3, 10), 3.2 if indoor else rng.uniform(4, 7)]),
        lamp_light=lamp_light,
        tint=tint,
        air=air,
        haze=0.0 if indoor else rng.uniform(0, 0.006) * (2.0 if weather == "overcast" else 1),
    )


def _light(rng: np.random.Generator, weather: str) -> tuple[float, float, Array]:
    """Ambient light, lamp light and the colour `(3,)` of both."""
    ambient = {"indoor": rng.uniform(0.3, 0.7), "sunny": rng.uniform(0.3, 0.5), "overcast": rng.uniform(0.6, 0.9)}
    ambient |= {"dusk": rng.uniform(0.15, 0.35), "night": rng.uniform(0.03, 0.12)}
    lamp = {"indoor": rng.uniform(0.2, 0.6), "dusk": rng.uniform(0.1, 0.4), "night": rng.uniform(0.3, 0.8)}
    warm = {"indoor": rng.uniform(-0.04, 0.14), "dusk": rng.uniform(-0.08, 0.2), "night": rng.uniform(0.0, 0.35)}
    tint = 1 + warm.get(weather, rng.uniform(-0.05, 0.03)) * np.array([1.0, 0.0, -1.0])
    return ambient[weather], lamp.get(weather, 0.0), tint


def _sky(rng: np.random.Generator, weather: str, air: float) -> Sky:
    """The sky of a weather; indoors what windows show."""
    blue = np.array([0.35, 0.5, 0.8])
    gray = np.array([0.75, 0.78, 0.82])
    if weather == "indoor":
        return Sky(gray, 0.6, -6.0, 1.0)
    if weather == "overcast":
        return Sky(gray * rng.uniform(0.8, 1.1), 0.8, rng.uniform(-9, -3), 1.0)
    # Swinbank (1963): a clear sky radiates like a black body at 0.0552 T^1.5 kelvin over all wavelengths; in the
    # 8 to 14 micrometre window it is colder still (the factor is chosen).
    clear = (0.0552 * (air + 273.15) ** 1.5 - air - 273.15) * rng.uniform(1.3, 2.0)
    share = {"sunny": 1.0, "dusk": 0.35, "night": 0.02}[weather]
    glow = np.array([0.35, 0.15, -0.1]) * (weather == "dusk")
    return Sky((blue + glow) * share, 0.45 * share, clear, rng.uniform(0.1, 0.7))
