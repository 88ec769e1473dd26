"""What a ray meets in a place, as Warp functions for the CPU or a GPU."""

from typing import Any

import numpy as np
import numpy.typing as npt
import warp as wp

from vireid.synth import kernels as kernels  # sets Warp up
from vireid.synth.coats import Coat, pierced, there, wear
from vireid.synth.noise import fractal
from vireid.synth.scenery import Place
from vireid.synth.solids import Solids

Array = npt.NDArray[Any]

FAR = wp.constant(1.0e6)
BOX = wp.constant(0)
ELLIPSOID = wp.constant(1)


@wp.struct
class Scenery:
    """A place on a device; made by `upload`."""

    count: int
    seed: int
    kind: wp.array(dtype=int)
    center: wp.array(dtype=wp.vec3)
    half: wp.array(dtype=wp.vec3)
    turn: wp.array(dtype=wp.vec2)  # cosine and sine of the yaw
    paint: wp.array(dtype=wp.vec4)  # visible and near-infrared reflectance
    feel: wp.array(dtype=wp.vec2)  # heat and the texture's scale
    texture: wp.array(dtype=int)
    grain: wp.array(dtype=int)  # seeds of the textures
    ground_paint: wp.vec4
    ground_feel: wp.vec2
    ground_texture: int
    sky_paint: wp.vec4
    sky_heat: float
    clouds: float
    lit: float  # share of windows with light behind them
    sun_direction: wp.vec3
    sun: float


@wp.struct
class Seen:
    """What one ray met.

    Attributes:
        distance: metres along the unit ray, 1e6 for the sky.
        normal: outward unit normal.
        albedo: visible reflectance, linear (of the sky: its brightness).
        nir: near-infrared reflectance (of the sky: its brightness).
        heat: apparent degrees C above the air, with the sun's warmth on the side toward the sun.
        sunlit: the part of `heat` due to the sun; most of it is missing where there has long been shadow.
        glow: light given off, as a multiple of albedo (lamps, lit windows), usually 0.
        ground: 1 on the ground and on what lies flat on it.
        sky: 1 where nothing stands.
    """

    distance: float
    normal: wp.vec3
    albedo: wp.vec3
    nir: float
    heat: float
    sunlit: float
    glow: float
    ground: int
    sky: int


@wp.func
def _local(scenery: Scenery, i: int, v: wp.vec3) -> wp.vec3:
    turn = scenery.turn[i]
    return wp.vec3(turn[0] * v[0] + turn[1] * v[1], turn[0] * v[1] - turn[1] * v[0], v[2])


@wp.func
def _nonzero(x: float) -> float:
    """Keeps divisions finite for rays along a face."""
    if wp.abs(x) < 1.0e-7:
        return 1.0e-7
    return x


@wp.func
def _span(kind: int, half: wp.vec3, start: wp.vec3, ray: wp.vec3) -> wp.vec2:
    """Where a ray in the solid's frame enters and leaves it; the first is larger if it misses."""
    a = wp.cw_div(start, half)
    b = wp.cw_div(ray, half)
    if kind == ELLIPSOID:
        bb = wp.dot(b, b)
        ab = wp.dot(a, b)
        inside = ab * ab - bb * (wp.dot(a, a) - 1.0)
        if inside <= 0.0:
            return wp.vec2(1.0, 0.0)
        root = wp.sqrt(inside)
        return wp.vec2((-ab - root) / bb, (-ab + root) / bb)
    z = 1.0 / _nonzero(b[2])
    enter = -a[2] * z - wp.abs(z)
    leave = -a[2] * z + wp.abs(z)
    if kind == BOX:
        x = 1.0 / _nonzero(b[0])
        y = 1.0 / _nonzero(b[1])
        enter = wp.max(enter, wp.max(-a[0] * x - wp.abs(x), -a[1] * y - wp.abs(y)))
        leave = wp.min(leave, wp.min(-a[0] * x + wp.abs(x), -a[1] * y + wp.abs(y)))
        return wp.vec2(enter, leave)
    bb = wp.max(b[0] * b[0] + b[1] * b[1], 1.0e-14)
    ab = a[0] * b[0] + a[1] * b[1]
    inside = ab * ab - bb * (a[0] * a[0] + a[1] * a[1] - 1.0)
    if inside <= 0.0:
        return wp.vec2(1.0, 0.0)
    root = wp.sqrt(inside)
    return wp.vec2(wp.max(enter, (-ab - root) / bb), wp.min(leave, (-ab + root) / bb))


@wp.func
def _strike(scenery: Scenery, i: int, origin: wp.vec3, ray: wp.vec3, nearest: float) -> float:
    """Distance at which a ray meets the solid `i` before `nearest`, else `FAR`."""
    away = origin - scenery.center[i]
    half = scenery.half[i]
    # Most solids are missed by far: the bounding sphere tells so before any turning.
    along = wp.dot(away, ray)
    reach = wp.dot(half, half)
    if wp.dot(away, away) - along * along > reach:
        return FAR
    if -along - nearest > 0.0 and (along + nearest) * (along + nearest) > reach:
        return FAR
    start = _local(scenery, i, away)
    toward = _local(scenery, i, ray)
    span = _span(scenery.kind[i], half, start, toward)
    if span[0] >= span[1] or span[1] < 1.0e-4 or span[0] >= nearest:
        return FAR
    scale = scenery.feel[i][1]
    texture = scenery.texture[i]
    if span[0] > 1.0e-4 and there(texture, start + span[0] * toward, half, scale, scenery.grain[i]) == 1:
        return span[0]
    # Through a hole of a fence or a crown its far side is seen.
    if pierced(texture) == 1 and span[1] < nearest:
        if there(texture, start + span[1] * toward, half, scale, scenery.grain[i]) == 1:
            return span[1]
    return FAR


@wp.func
def _normal(kind: int, half: wp.vec3, p: wp.vec3) -> wp.vec3:
    """Outward normal in the solid's frame at a point on its surface."""
    q = wp.cw_div(p, half)
    if kind == ELLIPSOID:
        return wp.normalize(wp.cw_div(q, half))
    if kind == BOX:
        x = wp.abs(q[0])
        y = wp.abs(q[1])
        if wp.abs(q[2]) >= wp.max(x, y):
            return wp.vec3(0.0, 0.0, wp.sign(q[2]))
        if x >= y:
            return wp.vec3(wp.sign(q[0]), 0.0, 0.0)
        return wp.vec3(0.0, wp.sign(q[1]), 0.0)
    if wp.abs(q[2]) >= wp.sqrt(q[0] * q[0] + q[1] * q[1]):
        return wp.vec3(0.0, 0.0, wp.sign(q[2]))
    return wp.normalize(wp.vec3(q[0] / half[0], q[1] / half[1], 0.0))


@wp.func
def _chart(kind: int, half: wp.vec3, p: wp.vec3, n: wp.vec3) -> wp.vec2:
    """Metres across and up on the surface, from its left lower corner."""
    if kind == BOX:
        if wp.abs(n[2]) > 0.5:
            return wp.vec2(p[0] + half[0], p[1] + half[1])
        if wp.abs(n[0]) > 0.5:
            return wp.vec2(p[1] + half[1], p[2] + half[2])
        return wp.vec2(p[0] + half[0], p[2] + half[2])
    if wp.abs(n[2]) > 0.9:
        return wp.vec2(p[0] + half[0], p[1] + half[1])
    return wp.vec2((wp.atan2(p[1], p[0]) + 3.1416) * half[0], p[2] + half[2])


@wp.func
def _fill(seen: Seen, coat: Coat, scenery: Scenery) -> Seen:
    seen.albedo = coat.albedo
    seen.nir = coat.nir
    sunlit = scenery.sun * wp.max(0.0, wp.dot(seen.normal, scenery.sun_direction))
    seen.sunlit = coat.basks * sunlit
    seen.heat = coat.heat + seen.sunlit
    seen.glow = coat.glow
    return seen


@wp.func
def _sky(scenery: Scenery, ray: wp.vec3) -> Seen:
    seen = Seen()
    seen.distance = FAR
    seen.normal = -ray
    seen.sky = 1
    up = wp.max(ray[2], 0.0)
    cover = wp.clamp(2.0 * (fractal(ray * 4.0, scenery.seed, 3) - 0.5) + scenery.clouds, 0.0, 1.0)
    bright = wp.vec3(scenery.sky_paint[0], scenery.sky_paint[1], scenery.sky_paint[2])
    gray = (bright[0] + bright[1] + bright[2]) / 3.0
    seen.albedo = wp.lerp(bright, wp.vec3(gray, gray, gray) * 1.15, wp.max(0.6 * cover, 0.8 * (1.0 - up)))
    # A clear sky is dark in near infrared and cold in long-wave infrared; clouds and the horizon are neither.
    seen.nir = scenery.sky_paint[3] * (0.4 + 0.6 * cover)
    seen.heat = scenery.sky_heat * (1.0 - 0.7 * cover) * (0.15 + 0.85 * wp.sqrt(up))
    return seen


@wp.func
def _ground(scenery: Scenery, origin: wp.vec3, ray: wp.vec3, distance: float) -> Seen:
    seen = Seen()
    seen.distance = distance
    seen.normal = wp.vec3(0.0, 0.0, 1.0)
    seen.ground = 1
    p = origin + distance * ray
    coat = wear(
        scenery.ground_texture,
        scenery.ground_paint,
        scenery.ground_feel,
        p,
        wp.vec3(p[0] + 100.0, p[1] + 100.0, 10.0),
        scenery.seed,
        scenery.sky_heat,
        scenery.lit,
    )
    return _fill(seen, coat, scenery)


@wp.func
def look(scenery: Scenery, origin: wp.vec3, ray: wp.vec3) -> Seen:
    """The nearest thing that a unit `ray` from `origin` meets."""
    nearest = float(FAR)
    if ray[2] < -1.0e-6:
        nearest = -origin[2] / ray[2]
    which = int(-1)
    for i in range(scenery.count):
        distance = _strike(scenery, i, origin, ray, nearest)
        if distance < nearest:
            nearest = distance
            which = i
    if which < 0:
        if nearest < FAR:
            return _ground(scenery, origin, ray, nearest)
        return _sky(scenery, ray)
    half = scenery.half[which]
    p = _local(scenery, which, origin - scenery.center[which] + nearest * ray)
    n = _normal(scenery.kind[which], half, p)
    where = _chart(scenery.kind[which], half, p, n)
    seen = Seen()
    seen.distance = nearest
    turn = scenery.turn[which]
    seen.normal = wp.vec3(turn[0] * n[0] - turn[1] * n[1], turn[0] * n[1] + turn[1] * n[0], n[2])
    if wp.dot(seen.normal, ray) > 0.0:  # the far side, seen through a hole
        seen.normal = -seen.normal
    if n[2] > 0.9 and scenery.center[which][2] + half[2] < 0.2:
        seen.ground = 1
    coat = wear(
        scenery.texture[which],
        scenery.paint[which],
        scenery.feel[which],
        p,
        wp.vec3(where[0], where[1], 2.0 * half[2]),
        scenery.grain[which],
        scenery.sky_heat,
        scenery.lit,
    )
    return _fill(seen, coat, scenery)


@wp.func
def hidden(scenery: Scenery, origin: wp.vec3, ray: wp.vec3, distance: float) -> int:
    """1 if a solid stands on a unit `ray` before `distance` metres, else 0; a part of what `look` does."""
    for i in range(scenery.count):
        if _strike(scenery, i, origin, ray, distance) < distance:
            return 1
    return 0


@wp.func
def shadowed(scenery: Scenery, point: wp.vec3, light: wp.vec3) -> int:
    """1 if a solid stands between `point` and a far light in the unit direction `light`, else 0."""
    for i in range(scenery.count):
        if _strike(scenery, i, point + 0.02 * light, light, FAR) < FAR:
            return 1
    return 0


def upload(place: Place, solids: Solids, device: str) -> Scenery:
    """A place with these of its solids (and obstacles) on a Warp device.

    Args:
        place: the light, the ground and the sky.
        solids: what rays can meet, usually `place.solids.in_view(...) + obstacle`.
        device: "cpu" or "cuda".
    """
    # Near ones first: what they hide is then skipped early.
    near = np.linalg.norm(solids.center - [0.0, 0.0, 3.0], axis=1) - np.linalg.norm(solids.half, axis=1)
    solids = solids.take(np.argsort(near, kind="stable"))
    s = Scenery()
    s.count, s.seed = len(solids), place.seed % (1 << 20)
    s.kind = wp.array(solids.kind, dtype=int, device=device)
    s.center = wp.array(solids.center, dtype=wp.vec3, device=device)
    s.half = wp.array(solids.half, dtype=wp.vec3, device=device)
    turn = np.stack([np.cos(solids.yaw), np.sin(solids.yaw)], 1).astype(np.float32)
    s.turn = wp.array(turn, dtype=wp.vec2, device=device)
    paint = np.concatenate([solids.albedo, solids.nir[:, None]], 1).astype(np.float32)
    s.paint = wp.array(paint, dtype=wp.vec4, device=device)
    s.feel = wp.array(np.stack([solids.heat, solids.scale], 1), dtype=wp.vec2, device=device)
    s.texture = wp.array(solids.texture, dtype=int, device=device)
    s.grain = wp.array(solids.seed, dtype=int, device=device)
    ground, sky = place.ground, place.sky
    s.ground_paint = wp.vec4(*(float(c) for c in ground.albedo), float(ground.nir))
    s.ground_feel = wp.vec2(float(ground.heat), float(ground.scale))
    s.ground_texture = int(ground.texture)
    s.sky_paint = wp.vec4(*(float(c) for c in sky.albedo), float(sky.nir))
    s.sky_heat, s.clouds = float(sky.heat), float(sky.clouds)
    s.lit = {"night": 0.45, "dusk": 0.3}.get(place.weather, 0.08)
    s.sun_direction = wp.vec3(*(float(c) for c in place.sun_direction))
    s.sun = float(place.sun)
    return s
