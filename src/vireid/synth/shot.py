"""One image: place figures before a camera, draw them, shade them in a band and sense the light.

Shapes: H and W pixels.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import warp as wp

from vireid.synth import backdrop, raster
from vireid.synth.cameras import Camera, sensor_now
from vireid.synth.fabrics import LUMINANCE
from vireid.synth.garment import Figure
from vireid.synth.raster import Frame, Shape, Stood
from vireid.synth.scenery import Solids
from vireid.synth.sensor import Meter, meter_heat, meter_light, sense_nir, sense_thermal, sense_visible
from vireid.synth.shade import Light, shade
from vireid.synth.spectra import SKIN_TEMPERATURE, Band, Wardrobe
from vireid.synth.surface import Actor

Array = npt.NDArray[Any]
Rng = np.random.Generator

BANDS = {Band.VISIBLE: 0, Band.NIR: 1, Band.LWIR: 2}
SUN_WARMS = 7.0  # degrees that full sun warms a black cloth in still air; chosen
VIEW = (48, 64)  # pixels of the camera's whole view that its exposure goes by
SUN_SAMPLES = 192  # of the buffer that the sun sees, in both directions


@dataclass(frozen=True, slots=True)
class Performer:
    """Somebody dressed, on the device: the shape, the materials and the height in metres."""

    shape: Shape
    table: Any
    cut: Any
    height: float

    @classmethod
    def of(cls, figure: Figure, clothes: Wardrobe, device: str) -> "Performer":
        """A figure with these materials."""
        arrays = (figure.vertices, figure.normals, figure.faces, figure.attributes, figure.parts)
        table: Any = wp.array(clothes.table, dtype=float, device=device)
        cut: Any = wp.array(clothes.cut, dtype=float, device=device)
        return cls(raster.upload(*arrays, device), table, cut, float(figure.vertices[:, 2].max()))


@dataclass(frozen=True, slots=True)
class Stance:
    """Where somebody stands, which way the body faces (radians) and how the detector cropped.

    Attributes:
        position: `(3,)` metres in the world.
        heading: 0 towards the camera's side of the world (-y), radians.
        margin: height of the crop over that of the person.
        shift: `(2,)` of the crop's centre, as shares of its height.
        aspect: width of the box over what the picture's shape asks for; the picture is squeezed or stretched by it.
    """

    position: Array
    heading: float
    margin: float
    shift: Array
    aspect: float


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture.

    Attributes:
        image: `(H, W, C)` uint8, C 3 or 1.
        silhouette: `(H, W)` share of each pixel that shows the person, 0 to 1.
        shown: share of the person in the crop that nothing hides, 0 to 1.
    """

    image: Array
    silhouette: Array
    shown: float


def draw_stance(camera: Camera, heading: float, rng: Rng) -> Stance:
    """A place before the camera for somebody seen from `heading` (0 is from the front), and a detector's box."""
    near, far = camera.distance * 0.75, camera.distance * 1.3
    position = camera.place.draw_spot(rng, (near, far))
    side = math.atan2(position[0], position[1])
    loose = rng.random() < 0.12  # a poor box, too tight or too wide
    margin = rng.uniform(0.88, 1.35) if loose else rng.uniform(1.02, 1.16)
    shift = rng.normal(0, [0.03, 0.04] if loose else [0.015, 0.015])
    return Stance(position, heading - side, margin, shift, rng.uniform(0.85, 1.15))


def nudge(stance: Stance, rng: Rng) -> Stance:
    """The same instant from a camera mounted right beside: a small parallax and nearly the same box."""
    turned = stance.heading + rng.normal(0, 0.02)
    position = stance.position + np.array([rng.normal(0, 0.04), rng.normal(0, 0.04), 0])
    shift = stance.shift + rng.normal(0, 0.008, 2)
    return Stance(position, turned, stance.margin * rng.uniform(0.985, 1.015), shift, stance.aspect)


def shoot(
    performer: Performer,
    camera: Camera,
    meter: Meter,
    stance: Stance,
    size: tuple[int, int],
    samples: int,
    rng: Rng,
    *,
    obstacle: Solids,
    passer: tuple[Performer, Stance] | None = None,
) -> Shot:
    """Take one picture.

    Args:
        performer: the person.
        camera: where it hangs and what it sees.
        meter: what its exposure goes by.
        stance: where the person stands.
        size: (height, width) in pixels.
        samples: supersampling per axis.
        rng: light and noise.
        obstacle: what stands before the person.
        passer: somebody else in the picture.
    """
    height, width = size
    middle = np.array([*stance.position[:2], performer.height * 0.52])
    frame = Frame.looking(np.array([0, 0, camera.height]), middle)
    stood = raster.stand(performer.shape, stance.heading, stance.position)
    plane = raster.project(stood, frame, perspective=True)
    box = _crop(plane.numpy(), stance, height * samples, width * samples)
    buffer = raster.blank(height * samples, width * samples, plane.device)
    raster.draw(plane, performer.shape.faces, 0, box, buffer, perspective=True)
    present = int(np.count_nonzero(buffer.numpy() != np.uint64(raster.EMPTY)))
    first = _actor(performer, stood, plane)
    second, others = first, []
    if passer is not None:
        other, where = passer
        others = [raster.stand(other.shape, where.heading, where.position)]
        there = raster.project(others[0], frame, perspective=True)
        raster.draw(there, other.shape.faces, len(performer.shape.faces), box, buffer, perspective=True)
        second = _actor(other, others[0], there)
    light = _light(camera, frame, stance.position, rng)
    sun = _sun(camera, light, [stood, *others])
    scenery = backdrop.upload(camera.place, _near(camera, frame, box, stance) + obstacle, str(plane.device))
    value, mask = shade((first, second), buffer, box, samples, sun, scenery, light, size)
    sense = {Band.VISIBLE: sense_visible, Band.NIR: sense_nir, Band.LWIR: sense_thermal}[camera.band]
    image = sense(value, sensor_now(camera, rng), meter, int(rng.integers(2**30)))
    silhouette = mask.numpy()
    return Shot(image.numpy(), silhouette, float(silhouette.sum()) * samples**2 / max(present, 1))


def take_meter(camera: Camera, device: str) -> Meter:
    """What a camera's exposure goes by: its whole view, 62 degrees wide, with nobody in it."""
    frame = Frame.looking(np.array([0, 0, camera.height]), np.array([0, camera.distance * 1.3, 0.8]))
    box = raster.window(-0.6, -0.45, 1.2, 0.9, *VIEW)
    nobody = Actor()
    light = _light(camera, frame, np.array([0, -100.0, 0]), np.random.default_rng(0))
    scenery = backdrop.upload(camera.place, camera.place.solids, device)
    sun = raster.blank(1, 1, device), raster.window(0.0, 0.0, 1.0, 1.0, 1, 1)
    value, _ = shade((nobody, nobody), raster.blank(*VIEW, device), box, 1, sun, scenery, light, VIEW)
    values = value.numpy().reshape(-1, 3)
    if camera.band is Band.VISIBLE:
        return meter_light(values @ LUMINANCE)
    if camera.band is Band.NIR:
        meter = meter_light(values[:, 0])
        # Somebody in light clothes where people pass counts too.
        return replace(meter, high=max(meter.high, 0.55 * camera.flash))
    air, skin = camera.place.air, SKIN_TEMPERATURE
    return meter_heat(values[:, 0], (air + 0.3 * (skin - air), skin), device)


def _crop(plane: Array, stance: Stance, height: int, width: int) -> Any:
    """A detector's box around the vertices `(V, 3)` on the image plane, in `height` x `width` samples."""
    low, high = plane[:, :2].min(0), plane[:, :2].max(0)
    tall = float(high[1] - low[1]) * stance.margin
    wide = tall * width / height * stance.aspect
    left, top = (low + high) / 2 + stance.shift * tall - np.array([wide, tall]) / 2
    return raster.window(float(left), float(top), wide, tall, height, width)


def _near(camera: Camera, frame: Frame, box: Any, stance: Stance) -> Solids:
    """The solids that the crop shows, and those that may cast a shadow on the person."""
    wide = max(abs(box.left), abs(box.left + box.width / box.across)) * 1.02
    tall = max(abs(box.top), abs(box.top + box.height / box.down)) * 1.02
    solids, sun = camera.place.solids, camera.place.sun_direction
    shown = solids.visible(frame.origin, frame.forward, math.hypot(wide, tall), wide)
    if camera.place.sun > 0:
        shown = shown | solids.visible(stance.position, sun, 0.3)
    return solids.take(shown)


def _actor(performer: Performer, stood: Stood, plane: Any) -> Any:
    actor = Actor()
    actor.world, actor.normals, actor.plane = stood.world, stood.normals, plane
    actor.faces, actor.attributes, actor.parts = stood.shape.faces, stood.shape.attributes, stood.shape.parts
    actor.table, actor.cut = performer.table, performer.cut
    return actor


def _vector(values: Array) -> Any:
    return wp.vec3(*map(float, values))


def _light(camera: Camera, frame: Frame, feet: Array, rng: Rng) -> Any:
    place = camera.place
    sun = Frame.looking(np.zeros(3), -place.sun_direction)
    light = Light()
    light.band = BANDS[camera.band]
    light.origin, light.right, light.up, light.forward = map(
        _vector, (frame.origin, frame.right, frame.up, frame.forward)
    )
    light.feet = _vector(feet)
    light.sun_direction, light.sun = _vector(place.sun_direction), place.sun * rng.uniform(0.85, 1.1)
    light.sun_right, light.sun_up, light.sun_forward = map(_vector, (sun.right, sun.up, sun.forward))
    light.sky = _vector(place.tint * place.ambient * rng.uniform(0.9, 1.1))
    light.lamp, light.lamp_light = _vector(place.lamp), place.lamp_light
    light.haze = place.haze
    light.flash, light.beam, light.reach = camera.flash, camera.beam, camera.distance
    ahead = np.array([0, camera.distance, 1.0 - camera.height])
    light.axis = _vector(ahead / np.linalg.norm(ahead))
    light.ambient_nir = 0.03 if place.indoor else place.ambient * 0.35
    light.air = place.air + rng.normal(0, 0.7)
    light.skin = SKIN_TEMPERATURE + rng.normal(0, 0.5)
    light.wind = rng.uniform(0.9, 1.05) if place.indoor else rng.uniform(0.65, 1.05)
    # The sky is less cold towards the horizon and where there are clouds; indoors there is none.
    light.sky_heat = 0.0 if place.indoor else 0.7 * place.sky.heat * (1 - 0.7 * place.sky.clouds)
    light.absorb = SUN_WARMS
    return light


def _sun(camera: Camera, light: Any, stood: list[Stood]) -> tuple[Any, Any]:
    """What the sun sees of the figures; one empty cell where there is no sun."""
    device = stood[0].world.device
    if light.sun <= 0:
        return raster.blank(1, 1, device), raster.window(0.0, 0.0, 1.0, 1.0, 1, 1)
    frame = Frame.looking(np.zeros(3), -camera.place.sun_direction)
    planes = [raster.project(one, frame, perspective=False) for one in stood]
    flat = np.concatenate([plane.numpy()[:, :2] for plane in planes])
    low, high = flat.min(0), flat.max(0)
    wide, tall = map(float, high - low + 1e-6)
    box = raster.window(float(low[0]), float(low[1]), wide, tall, SUN_SAMPLES, SUN_SAMPLES)
    buffer = raster.blank(SUN_SAMPLES, SUN_SAMPLES, device)
    for one, plane in zip(stood, planes, strict=True):
        raster.draw(plane, one.shape.faces, 0, box, buffer, perspective=False)
    return buffer, box
