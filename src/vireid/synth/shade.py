"""Light, near-infrared light or temperature of every pixel, as one Warp kernel for the CPU or a GPU.

A pixel averages `samples` by `samples` samples of the figures; what stands behind and before them is asked once per
pixel.
"""

from typing import Any

import warp as wp

from vireid.synth.backdrop import Scenery, Seen, hidden, look, shadowed
from vireid.synth.raster import Window, depth_of, edge, sun_depth_of
from vireid.synth.surface import Actor, Material, folds, material, uneven

VISIBLE, NIR, LWIR = (wp.constant(k) for k in range(3))
NOTHING = wp.constant(wp.uint64(0x7FFFFFFFFFFFFFFF))
BIAS = wp.constant(0.02)  # metres that a point may lie behind what the sun sees before it counts as in the shadow


@wp.struct
class Light:
    """The light of one picture.

    Attributes:
        band: 0 visible, 1 near infrared, 2 thermal.
        origin, right, up, forward: the camera's frame in the world, turned towards the person.
        axis: where the camera itself looks.
        feet: where the person stands.
        sun_direction, sun: unit vector towards it, and its strength.
        sun_right, sun_up, sun_forward: the frame the sun's buffer is drawn in.
        sky: colour of the light from everywhere, times its strength.
        lamp, lamp_light: a lamp's position and strength.
        haze: share of the view lost per metre.
        reach: metres at which the camera's own near-infrared lamp is as bright as it should be; its strength.
        beam: how fast that lamp fades away from its axis.
        ambient_nir: near-infrared light that is there without the lamp.
        air, skin: degrees Celsius.
        wind: 1 in still air, less where wind cools the cloth.
        sky_heat: degrees above the air that the sky looks like on average.
        absorb: degrees that full sun warms a black cloth.
    """

    band: int
    origin: wp.vec3
    right: wp.vec3
    up: wp.vec3
    forward: wp.vec3
    axis: wp.vec3
    feet: wp.vec3
    sun_direction: wp.vec3
    sun: float
    sun_right: wp.vec3
    sun_up: wp.vec3
    sun_forward: wp.vec3
    sky: wp.vec3
    lamp: wp.vec3
    lamp_light: float
    haze: float
    reach: float
    beam: float
    flash: float
    ambient_nir: float
    air: float
    skin: float
    wind: float
    sky_heat: float
    absorb: float


@wp.func
def sunlit(buffer: wp.array(dtype=wp.uint64), window: Window, light: Light, p: wp.vec3) -> float:
    """1 where the sun reaches a point past the figures, 0 in their shadow."""
    x = int(wp.floor((wp.dot(p, light.sun_right) - window.left) * window.across))
    y = int(wp.floor((-wp.dot(p, light.sun_up) - window.top) * window.down))
    if x < 0 or y < 0 or x >= window.width or y >= window.height:
        return 1.0
    key = buffer[y * window.width + x]
    if key == NOTHING or sun_depth_of(key) + BIAS > wp.dot(p, light.sun_forward):
        return 1.0
    return 0.0


@wp.func
def visible(light: Light, p: wp.vec3, n: wp.vec3, color: wp.vec3, sun: float) -> wp.vec3:
    """Light that a matt surface throws back: from the sky, the ground, a lamp and the sun."""
    around = light.sky * (0.62 + 0.38 * n[2])
    to_lamp = light.lamp - p
    lamp = light.lamp_light * wp.max(wp.dot(n, wp.normalize(to_lamp)), 0.0)
    direct = wp.max(wp.dot(n, light.sun_direction), 0.0) * sun * light.sun
    total = around + lamp * wp.vec3(1.04, 1.0, 0.92) + direct * wp.vec3(1.05, 1.0, 0.9)
    return wp.cw_mul(color, total)


@wp.func
def lamp_at(light: Light, ray: wp.vec3, distance: float) -> float:
    """How bright the camera's own near-infrared lamp is along a ray."""
    fade = light.reach / wp.max(distance, 1.0)
    return light.flash * fade * fade * wp.exp(-light.beam * (1.0 - wp.dot(ray, light.axis)))


@wp.func
def near_infrared(light: Light, ray: wp.vec3, distance: float, n: wp.vec3, reflectance: float, sun: float) -> float:
    """Light of the camera's own lamp, which fades with distance and towards the edge of its beam, and daylight."""
    facing = wp.max(-wp.dot(n, ray), 0.0)
    own = lamp_at(light, ray, distance) * wp.pow(facing, 0.75)
    day = light.ambient_nir * (0.6 + 0.4 * n[2] + light.sun * sun * wp.max(wp.dot(n, light.sun_direction), 0.0))
    return reflectance * (own + day + 0.02)


@wp.func
def temperature(light: Light, p: wp.vec3, n: wp.vec3, m: Material, sun: float) -> float:
    """The temperature a thermal camera reads: what is emitted and what is mirrored of sky and ground."""
    cloth = wp.clamp(m.warmth * light.wind, 0.0, 1.05)
    if m.bump > 0.15:
        cloth = cloth + 0.45 * m.warmth * uneven(p)
    surface = light.air + (light.skin - light.air) * cloth
    warmed = light.absorb * m.dark * light.wind * light.sun * sun * wp.max(wp.dot(n, light.sun_direction), 0.0)
    surface = surface + warmed
    around = light.air + light.sky_heat * 0.5 * (1.0 + n[2])
    return m.emits * surface + (1.0 - m.emits) * around


@wp.func
def person(
    actor: Actor,
    index: int,
    x: float,
    y: float,
    light: Light,
    sun_buffer: wp.array(dtype=wp.uint64),
    sun_window: Window,
    open_sky: float,
) -> wp.vec3:
    """One sample of a figure at image plane coordinates (x, y)."""
    face = actor.faces[index]
    a = actor.plane[face[0]]
    b = actor.plane[face[1]]
    c = actor.plane[face[2]]
    inverse = 1.0 / edge(a, b, c[0], c[1])
    u = edge(b, c, x, y) * inverse / a[2]
    v = edge(c, a, x, y) * inverse / b[2]
    w = edge(a, b, x, y) * inverse / c[2]
    weights = wp.vec3(u, v, w) / (u + v + w)
    p = weights[0] * actor.world[face[0]] + weights[1] * actor.world[face[1]] + weights[2] * actor.world[face[2]]
    smooth = (
        weights[0] * actor.normals[face[0]] + weights[1] * actor.normals[face[1]] + weights[2] * actor.normals[face[2]]
    )
    rest = wp.vec3(0.0, 0.0, 0.0)
    for axis in range(3):
        rest[axis] = (
            weights[0] * actor.attributes[face[0], axis]
            + weights[1] * actor.attributes[face[1], axis]
            + weights[2] * actor.attributes[face[2], axis]
        )
    m = material(actor, index, weights)
    ray = wp.normalize(p - light.origin)
    n = wp.normalize(smooth)
    if wp.dot(n, ray) > 0.0:
        n = -n
    if light.band != LWIR and m.bump > 0.01:
        n = n + folds(rest, m.bump)
        # A fold may lean away from the camera, but not show its back.
        n = wp.normalize(n - wp.max(wp.dot(n, ray), 0.0) * ray)
    sun = float(0.0)
    if light.sun > 0.0 and open_sky > 0.0 and light.band != LWIR:
        sun = open_sky * sunlit(sun_buffer, sun_window, light, p + n * 0.01)
    distance = wp.length(p - light.origin)
    if light.band == LWIR:
        # Who walks is in the sun now and then, and cloth takes its time: no sharp shadow, and half of the sun.
        sun = 0.5 * open_sky
        # uneven() wants the rest pose, so that creases stay with the cloth.
        return wp.vec3(temperature(light, rest, n, m, sun), 0.0, 0.0)
    facing = wp.max(-wp.dot(n, ray), 0.0)
    if light.band == NIR:
        value = near_infrared(light, ray, distance, n, m.nir, sun)
        lamp = lamp_at(light, ray, distance)
        value = value + m.gloss * wp.pow(facing, 12.0) * 0.12 * lamp
        if m.retro > 0.0 and facing > 0.75:
            value = value + 0.8 * lamp
        return wp.vec3(value, 0.0, 0.0)
    result = visible(light, p, n, m.color, sun)
    return result + m.gloss * wp.pow(facing, 8.0) * 0.12 * light.sky


@wp.func
def behind(
    seen: Seen,
    p: wp.vec3,
    ray: wp.vec3,
    light: Light,
    sun_buffer: wp.array(dtype=wp.uint64),
    sun_window: Window,
    open_sky: float,
) -> wp.vec3:
    """One pixel of the place."""
    if seen.sky == 1:
        if light.band == LWIR:
            return wp.vec3(light.air + seen.heat, 0.0, 0.0)
        if light.band == NIR:
            return wp.vec3(seen.nir * light.ambient_nir, 0.0, 0.0)
        return wp.cw_mul(seen.albedo, light.sky) * 1.2
    if light.band == LWIR:
        return wp.vec3(light.air + seen.heat - 0.7 * seen.sunlit * (1.0 - open_sky), 0.0, 0.0)
    aside = p - light.feet
    near = (aside[0] * aside[0] + aside[1] * aside[1]) / 0.12
    contact = 1.0 - 0.45 * float(seen.ground) * wp.exp(-near)
    sun = float(0.0)
    if light.sun > 0.0 and open_sky > 0.0:
        sun = open_sky * sunlit(sun_buffer, sun_window, light, p + seen.normal * 0.01)
    if light.band == NIR:
        value = near_infrared(light, ray, seen.distance, seen.normal, seen.nir, sun)
        return wp.vec3(value * contact + seen.glow * 0.4, 0.0, 0.0)
    return visible(light, p, seen.normal, seen.albedo, sun) * contact + seen.glow * seen.albedo


@wp.func
def through_air(light: Light, value: wp.vec3, distance: float) -> wp.vec3:
    """What is left of the light after haze, which adds the sky's."""
    if light.band != VISIBLE:
        return value
    kept = wp.exp(-light.haze * distance)
    return value * kept + light.sky * 0.75 * (1.0 - kept)


@wp.func
def ambience(
    seen: Seen, ray: wp.vec3, light: Light, scenery: Scenery, sun_buffer: wp.array(dtype=wp.uint64), sun_window: Window
) -> wp.vec3:
    """What the place sends along a ray, in its sun or shadow and through the air."""
    p = light.origin + ray * seen.distance
    open_sky = float(1.0)
    if light.sun > 0.0 and seen.sky == 0:
        open_sky = 1.0 - float(shadowed(scenery, p + seen.normal * 0.02, light.sun_direction))
    value = behind(seen, p, ray, light, sun_buffer, sun_window, open_sky)
    return through_air(light, value, wp.min(seen.distance, 60.0))


@wp.kernel
def _shade(
    first: Actor,
    second: Actor,
    faces: int,
    buffer: wp.array(dtype=wp.uint64),
    window: Window,
    samples: int,
    sun_buffer: wp.array(dtype=wp.uint64),
    sun_window: Window,
    scenery: Scenery,
    light: Light,
    out: wp.array2d(dtype=wp.vec3),
    mask: wp.array2d(dtype=float),
) -> None:
    row, column = wp.tid()
    x = window.left + (float(column) + 0.5) * float(samples) / window.across
    y = window.top + (float(row) + 0.5) * float(samples) / window.down
    ray = wp.normalize(light.forward + x * light.right - y * light.up)
    along = wp.dot(ray, light.forward)
    # Where figures fill the pixel and nothing stands before them, the place is not asked.
    filled = int(1)
    nearest = float(1.0e9)
    for i in range(samples):
        for j in range(samples):
            key = buffer[(row * samples + i) * window.width + column * samples + j]
            if key == NOTHING:
                filled = 0
            else:
                nearest = wp.min(nearest, depth_of(key) / along)
    if filled == 1:
        filled = 1 - hidden(scenery, light.origin, ray, nearest)
    seen = Seen()
    seen.distance = 1.0e9
    place = wp.vec3(0.0, 0.0, 0.0)
    if filled == 0:
        seen = look(scenery, light.origin, ray)
    figures_sun = float(0.0)
    if light.sun > 0.0 and nearest < seen.distance:
        figures_sun = 1.0 - float(shadowed(scenery, light.origin + ray * nearest, light.sun_direction))
    done = int(0)
    total = wp.vec3(0.0, 0.0, 0.0)
    share = float(0.0)
    taken = float(0.0)
    for i in range(samples):
        for j in range(samples):
            # Inside a figure the samples on the diagonal are enough: what needs them all is an outline.
            if filled == 0 or i == j:
                taken += 1.0
                sx = window.left + (float(column * samples + j) + 0.5) / window.across
                sy = window.top + (float(row * samples + i) + 0.5) / window.down
                key = buffer[(row * samples + i) * window.width + column * samples + j]
                reach = float(1.0e9)
                if key != NOTHING:
                    reach = depth_of(key) / along
                if reach < seen.distance:
                    index = int(key & wp.uint64(0xFFFFFFFF))
                    value = wp.vec3(0.0, 0.0, 0.0)
                    if index < faces:
                        value = person(first, index, sx, sy, light, sun_buffer, sun_window, figures_sun)
                        share += 1.0
                    else:
                        value = person(second, index - faces, sx, sy, light, sun_buffer, sun_window, figures_sun)
                    total += through_air(light, value, reach)
                else:
                    if done == 0:
                        done = 1
                        place = ambience(seen, ray, light, scenery, sun_buffer, sun_window)
                    total += place
    out[row, column] = total / taken
    mask[row, column] = share / taken


def shade(
    actors: tuple[Any, Any],
    buffer: Any,
    window: Any,
    samples: int,
    sun: tuple[Any, Any],
    scenery: Any,
    light: Any,
    size: tuple[int, int],
) -> tuple[Any, Any]:
    """Light (or temperatures in x) `(H, W)` vectors, and the share of each pixel that is the first figure `(H, W)`."""
    device = buffer.device
    out = wp.empty(size, dtype=wp.vec3, device=device)
    mask = wp.empty(size, dtype=float, device=device)
    faces = 0 if actors[0].faces is None else len(actors[0].faces)
    arguments = [*actors, faces, buffer, window, samples, *sun, scenery, light, out, mask]
    wp.launch(_shade, size, arguments, device=device)
    return out, mask
