"""Surveillance cameras: where they hang in a place and what their sensors are like.

World frame: the camera hangs over the origin at its height and looks along +y; z is up; metres. All constants are
chosen.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vireid.synth.scenery import Place
from vireid.synth.sensor import Sensor
from vireid.synth.spectra import Band

Array = npt.NDArray[Any]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera.

    Attributes:
        camid: its number.
        band: what it sees.
        place: where it hangs.
        height: metres above the ground.
        distance: metres at which people usually pass.
        sensor: what it makes of the light, on average.
        flash: strength of its own near-infrared lamp.
        beam: how fast that lamp fades away from its axis.
    """

    camid: int
    band: Band
    place: Place
    height: float
    distance: float
    sensor: Sensor
    flash: float
    beam: float


def make_camera(camid: int, band: Band, place: Place) -> Camera:
    """The camera with this number."""
    rng = np.random.default_rng(np.random.SeedSequence([78, camid, place.seed]))
    dark = place.ambient < 0.35
    sensor = Sensor(
        blur=rng.uniform(0.35, 0.95),
        smear=1.0,
        noise=rng.uniform(0.006, 0.02) * (1.6 if dark else 1.0),
        balance=rng.uniform(0.9, 1.1, 3),
        aim=rng.uniform(0.16, 0.34),
        veil=rng.uniform(0.0, 0.12),
        room=(0.0, 0.0),
        equalize=0.0,
        detail=1.0,
        curve=1.0,
        stripes=0.0,
    )
    if band is Band.NIR:
        sensor = replace(sensor, aim=rng.uniform(0.85, 1.25), veil=rng.uniform(0.0, 0.1))
    if band is Band.LWIR:
        sensor = replace(
            sensor,
            blur=rng.uniform(0.6, 1.2),
            noise=rng.uniform(0.05, 0.12),
            equalize=rng.uniform(0.1, 0.9),
            detail=rng.uniform(1.3, 4.5),
            curve=rng.uniform(0.35, 1.0),
            stripes=rng.uniform(0.02, 0.1),
        )
    return Camera(
        camid=camid,
        band=band,
        place=place,
        height=rng.uniform(2.2, 3.0) if place.indoor else rng.uniform(1.6, 4.0),
        distance=rng.uniform(5, 9),
        sensor=sensor,
        flash=rng.uniform(0.8, 1.2),
        beam=rng.uniform(10, 24),
    )


def sensor_now(camera: Camera, rng: Rng) -> Sensor:
    """The sensor at one moment: focus, motion, exposure and gain vary from picture to picture."""
    usual = camera.sensor
    blurred = usual.blur * rng.uniform(0.7, 1.4) * (rng.uniform(1.5, 3.0) if rng.random() < 0.1 else 1.0)
    now = replace(
        usual,
        blur=blurred,
        smear=rng.uniform(2, 4) if rng.random() < 0.12 else 1.0,
        aim=usual.aim * rng.uniform(0.85, 1.15),
        noise=usual.noise * rng.uniform(0.8, 1.25),
        balance=usual.balance * rng.uniform(0.97, 1.03, 3),
    )
    if camera.band is Band.LWIR:
        room = (rng.uniform(0.0, 4.0), rng.uniform(-0.8, 2.0))
        now = replace(now, room=room, detail=max(1.0, usual.detail * rng.uniform(0.7, 1.3)))
    return now
