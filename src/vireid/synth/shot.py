"""One image: place a figure before a camera, cast, shade in a band and sense.

Shapes: H and W pixels, N = H W supersampling^2 rays.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vireid.synth.cameras import Backdrop, Camera, backdrop
from vireid.synth.garment import Figure
from vireid.synth.identity import Identity, draw_color
from vireid.synth.raycast import noise_gradient
from vireid.synth.spectra import (
    SKIN_TEMPERATURE,
    Band,
    Surface,
    materials,
    sense_nir,
    sense_thermal,
    sense_visible,
)

Array = npt.NDArray[Any]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Stance:
    """Where in the world a person stands, the direction of the body (radians) and how loose the crop is."""

    position: Array
    heading: float
    margin: float
    shift: Array


@dataclass(frozen=True, slots=True)
class Shot:
    """An image `(H, W, C)` uint8, C 3 or 1, and the person's silhouette `(H, W)`, 0 to 1."""

    image: Array
    silhouette: Array


def draw_stance(camera: Camera, heading: float, rng: Rng) -> Stance:
    """A place before the camera for somebody seen from `heading` (0 is from the front)."""
    distance = camera.distance * rng.uniform(0.8, 1.2)
    side = rng.uniform(-0.22, 0.22)
    position = np.array([distance * math.sin(side), distance * math.cos(side), 0.0])
    return Stance(position, heading - side, rng.uniform(1.04, 1.16), rng.normal(0, [0.02, 0.015]))


def nudge(stance: Stance, rng: Rng) -> Stance:
    """The same instant from a camera mounted right beside: a small parallax and its own crop."""
    turned = stance.heading + rng.normal(0, 0.03)
    position = stance.position + np.array([rng.normal(0, 0.05), rng.normal(0, 0.05), 0])
    shift = stance.shift + rng.normal(0, 0.008, 2)
    return Stance(position, turned, stance.margin * rng.uniform(0.985, 1.015), shift)


def shoot(
    figure: Figure,
    person: Identity,
    camera: Camera,
    stance: Stance,
    size: tuple[int, int],
    samples: int,
    rng: Rng,
    cover: Rng | None,
) -> Shot:
    """Take one picture.

    Args:
        figure: the dressed person.
        person: whose materials to use.
        camera: where it hangs and what it sees.
        stance: where the person stands.
        size: (height, width) in pixels.
        samples: supersampling per axis.
        rng: light and noise.
        cover: if given, draws a thing in the foreground that hides part of the person.
    """
    height, width = size
    view = _View(figure, camera, stance, height * samples, width * samples)
    hits = figure.mesh.cast(view.origin, view.rays)
    seen = hits.face >= 0
    rays = view.rays[seen]
    corners = figure.faces[hits.face[seen]]
    weights = hits.weights[seen].astype(np.float32)
    attributes = _mix(weights, figure.attributes[corners])
    normals = _mix(weights, figure.normals[corners])
    surface = materials(person, attributes, figure.parts[hits.face[seen]])
    normals = _fold(normals, attributes, surface.bump, rays)
    points = view.origin + hits.distance[seen, None] * rays
    behind = _backdrop(view, camera, samples, seen)
    scene = _Scene(view, figure, surface, points, normals, rays, hits.distance[seen], seen, behind)
    if camera.band is Band.VISIBLE:
        light = _shade_visible(scene, camera, rng)
    elif camera.band is Band.NIR:
        light = _shade_nir(scene, camera)
    else:
        light = _shade_thermal(scene, camera, rng)
    light = light.reshape(height * samples, width * samples, -1)
    mask = seen.reshape(height * samples, width * samples).astype(np.float32)
    if cover is not None:
        _occlude(light, mask, camera, cover)
    light = light.reshape(height, samples, width, samples, -1).mean((1, 3))
    silhouette = mask.reshape(height, samples, width, samples).mean((1, 3))
    if camera.band is Band.VISIBLE:
        image = sense_visible(light, camera.blur, camera.noise, rng)
    elif camera.band is Band.NIR:
        image = sense_nir(light, camera.exposure, camera.blur, camera.noise, rng)
    else:
        image = sense_thermal(light, rng)
    return Shot((image * 255).round().astype(np.uint8), silhouette)


class _View:
    """The rays of a crop, in the frame of the figure (at the origin, facing -y)."""

    def __init__(self, figure: Figure, camera: Camera, stance: Stance, height: int, width: int) -> None:
        # In the world the camera looks along +y, so heading 0 (facing -y) is towards it.
        c, s = math.cos(stance.heading), math.sin(stance.heading)
        self._turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
        self._position = stance.position
        self.world_origin = np.array([0, 0, camera.height])
        self.origin = (self.world_origin - self._position) @ self._turn
        forward = np.array([0, 0, figure.vertices[:, 2].max() * 0.52]) - self.origin
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        up = np.cross(right, forward)
        self.forward = forward
        relative = figure.vertices - self.origin
        depth = relative @ forward
        px, py = (relative @ right) / depth, -(relative @ up) / depth
        tall = float(py.max() - py.min()) * stance.margin
        wide = tall * width / height
        cx = float(px.max() + px.min()) / 2 + stance.shift[0] * tall
        cy = float(py.max() + py.min()) / 2 + stance.shift[1] * tall
        x = cx + ((np.arange(width) + 0.5) / width - 0.5) * wide
        y = cy + ((np.arange(height) + 0.5) / height - 0.5) * tall
        rays = forward + x[None, :, None] * right - y[:, None, None] * up
        rays = rays.reshape(-1, 3)
        self.shape = (height, width)
        self.rays = (rays / np.linalg.norm(rays, axis=1, keepdims=True)).astype(np.float32)

    def to_world(self, vectors: Array, turn_only: bool = False) -> Array:
        turned = vectors @ self._turn.T.astype(np.float32)
        return np.asarray(turned if turn_only else turned + self._position)

    def to_figure(self, vectors: Array, turn_only: bool = False) -> Array:
        return np.asarray((vectors if turn_only else vectors - self._position) @ self._turn)


@dataclass(frozen=True, slots=True)
class _Scene:
    view: _View
    figure: Figure
    surface: Surface
    points: Array
    normals: Array
    rays: Array
    distance: Array
    seen: Array
    behind: Backdrop

    def merge(self, on_person: Array, on_background: Array) -> Array:
        result = np.empty((len(self.seen), *on_person.shape[1:]), np.float32)
        result[self.seen] = on_person
        result[~self.seen] = on_background
        return result


def _backdrop(view: _View, camera: Camera, samples: int, seen: Array) -> Backdrop:
    """The scene behind, at the rays that miss the person; for speed its texture is once per pixel."""
    fine = view.shape
    grid = view.rays.reshape(*fine, 3)
    coarse = grid.reshape(fine[0] // samples, samples, fine[1] // samples, samples, 3).mean((1, 3))
    coarse /= np.linalg.norm(coarse, axis=2, keepdims=True)
    rays = view.to_world(coarse.reshape(-1, 3), turn_only=True)
    whole = backdrop(camera.place, view.world_origin, rays)
    pixel = np.arange(len(rays)).reshape(coarse.shape[:2]).repeat(samples, 0).repeat(samples, 1).ravel()
    return whole.take(pixel[~seen])


def _mix(weights: Array, corners: Array) -> Array:
    w = weights[:, :, None]
    return np.asarray(w[:, 0] * corners[:, 0] + w[:, 1] * corners[:, 1] + w[:, 2] * corners[:, 2])


def _fold(normals: Array, a: Array, bump: Array, rays: Array) -> Array:
    """Normals with fine folds, turned towards the camera."""
    rough = np.flatnonzero(bump > 0.01)
    p = a[rough, :3]
    folds = noise_gradient(p * [20, 20, 12], 5) + 1.3 * noise_gradient(p * [7, 7, 11], 6)
    normals = normals.copy()
    normals[rough] += folds * (1.25 * bump[rough, None])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
    return np.asarray(np.where((normals * rays).sum(1, keepdims=True) > 0, -normals, normals))


def _shade_visible(scene: _Scene, camera: Camera, rng: Rng) -> Array:
    place, view, behind = camera.place, scene.view, scene.behind
    normals = scene.merge(view.to_world(scene.normals, turn_only=True), behind.normals)
    albedo = scene.merge(scene.surface.albedo, behind.albedo)
    sky = np.array([0.9, 0.95, 1.05], np.float32)
    level = (0.55 + 0.35 * normals[:, 2]) * (0.75 if place.indoor else 0.55)
    near = np.hypot(*(behind.points - view.to_world(np.zeros((1, 3)))).T[:2])
    contact = 1 - 0.45 * np.exp(-((near / 0.35) ** 2)) * behind.on_ground
    level *= scene.merge(np.ones(len(scene.points)), contact)
    azimuth = rng.uniform(0, 2 * math.pi)
    lamp = np.array([math.cos(azimuth), math.sin(azimuth), 1.2]) * 0.5 + [0, -0.3, 0]
    level += np.maximum(normals @ lamp.astype(np.float32), 0) * (0.35 if place.indoor else 0.1)
    light = level[:, None] * sky
    if place.sun > 0:
        facing = np.maximum(normals @ place.sun_direction.astype(np.float32), 0)
        points = scene.merge(scene.points, view.to_figure(behind.points))
        # Only what faces the sun and, behind the person, lies near enough can be in the person's shadow.
        ask = facing > 0
        ask[~scene.seen] &= near < 4.0
        at = np.flatnonzero(ask)
        offset = view.to_figure(normals[at], turn_only=True) * 0.01
        toward = view.to_figure(place.sun_direction[None], turn_only=True)[0]
        facing[at] *= ~scene.figure.mesh.shadowed(points[at] + offset, toward)
        light += (place.sun * facing)[:, None] * np.array([1.05, 1, 0.9], np.float32)
    light *= albedo
    glance = np.maximum(-(scene.normals * scene.rays).sum(1), 0) ** 8
    light[scene.seen] += (scene.surface.gloss * glance * 0.15)[:, None]
    return np.asarray(light * (camera.exposure * rng.uniform(0.85, 1.15) * camera.balance).astype(np.float32))


def _shade_nir(scene: _Scene, camera: Camera) -> Array:
    """Lit by the camera's own lamp: falls off with distance and towards the border of its cone."""
    behind = scene.behind
    facing = scene.merge(
        -(scene.normals * scene.rays).sum(1),
        -(scene.view.to_figure(behind.normals, turn_only=True) * scene.view.rays[~scene.seen]).sum(1),
    )
    facing = np.maximum(facing, 0)
    distance = scene.merge(scene.distance, behind.distance)
    reflectance = scene.merge(scene.surface.nir, 0.25 + 0.5 * behind.albedo.mean(1))
    cone = np.exp(-18 * (1 - scene.view.rays @ scene.view.forward.astype(np.float32)))
    falloff = (camera.distance / np.maximum(distance, 1)) ** 2
    light = reflectance * (facing**0.75 * falloff * cone + 0.06)
    light[scene.seen] += scene.surface.gloss * facing[scene.seen] ** 12 * 0.12
    return np.asarray(light[:, None])


def _shade_thermal(scene: _Scene, camera: Camera, rng: Rng) -> Array:
    """Temperatures in degrees Celsius."""
    air = camera.place.air + rng.normal(0, 1)
    edge = 1.2 * (np.maximum(-(scene.normals * scene.rays).sum(1), 0) - 0.7)
    person = air + (SKIN_TEMPERATURE - air) * scene.surface.warmth.clip(0, 1) + edge
    return scene.merge(person, air + scene.behind.heat)[:, None]


def _occlude(light: Array, mask: Array, camera: Camera, rng: Rng) -> None:
    """A plain thing in the foreground hides the legs or one side."""
    height, width = light.shape[:2]
    color = draw_color(rng)
    if rng.random() < 0.5:
        rows, columns = slice(int(height * rng.uniform(0.62, 0.85)), height), slice(0, width)
    else:
        rows = slice(0, height)
        share = rng.uniform(0.12, 0.32)
        left = rng.random() < 0.5
        columns = slice(0, int(width * share)) if left else slice(int(width * (1 - share)), width)
    ramp = (0.8 + 0.4 * np.linspace(0, 1, columns.stop - columns.start))[None, :, None]
    if camera.band is Band.VISIBLE:
        light[rows, columns] = color * 0.7 * ramp
    elif camera.band is Band.NIR:
        light[rows, columns] = (0.15 + 0.5 * color.mean()) * ramp
    else:
        light[rows, columns] = camera.place.air - 1
    mask[rows, columns] = 0
