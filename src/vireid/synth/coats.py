"""The textures of a scene as Warp functions: what a surface looks like at one point, in all three bands.

A texture takes the paint of its solid as `vec4` (visible reflectance and near infrared), a chart `vec3`
(metres across, metres up, height of the surface), the size of one element in metres and a seed.
Near-infrared and thermal constants, sources where there are any:
- leaves reflect 40 to 60 % in near infrared and near 10 % of green light (Gates et al., Applied Optics 4, 1965);
- dyes and inks other than carbon black let near infrared pass, so a print's near-infrared value is drawn
  apart from its colour; all other reflectances and all temperatures are chosen.
"""

import warp as wp

from vireid.synth import kernels as kernels  # sets Warp up
from vireid.synth.noise import fractal, hash_unit, value_noise
from vireid.synth.solids import Texture

TILES = wp.constant(int(Texture.TILES))
BRICK = wp.constant(int(Texture.BRICK))
WOOD = wp.constant(int(Texture.WOOD))
FOLIAGE = wp.constant(int(Texture.FOLIAGE))
GRID = wp.constant(int(Texture.GRID))
POSTER = wp.constant(int(Texture.POSTER))
PANEL = wp.constant(int(Texture.PANEL))
SHELVES = wp.constant(int(Texture.SHELVES))
STRIPES = wp.constant(int(Texture.STRIPES))
ASPHALT = wp.constant(int(Texture.ASPHALT))
FENCE = wp.constant(int(Texture.FENCE))
GLASS = wp.constant(int(Texture.GLASS))
LAMP = wp.constant(int(Texture.LAMP))
GRASS = wp.constant(int(Texture.GRASS))


@wp.struct
class Coat:
    """A surface at one point; `basks` is degrees C gained in full sun, `glow` light given off per albedo."""

    albedo: wp.vec3
    nir: float
    heat: float
    basks: float
    glow: float


@wp.func
def pierced(texture: int) -> int:
    """1 if the texture has holes."""
    if texture == FOLIAGE or texture == FENCE:
        return 1
    return 0


@wp.func
def there(texture: int, p: wp.vec3, half: wp.vec3, scale: float, seed: int) -> int:
    """0 in a hole of a crown or a fence at the point `p` in the solid's frame, else 1."""
    if texture == FOLIAGE:
        if value_noise(p * (1.6 / scale) + wp.vec3(90.0, 90.0, 90.0), seed) < 0.36:
            return 0
    if texture == FENCE:
        across = p[0] + half[0]
        if half[1] > half[0]:
            across = p[1] + half[1]
        rail = wp.min(half[2] - wp.abs(p[2]), wp.abs(p[2] - 0.2 * half[2]))
        if across / scale - wp.floor(across / scale) > 0.3 and rail > 0.04:
            return 0
    return 1


@wp.func
def _dye(seed: int, i: int, j: int) -> wp.vec3:
    """A colour for a cell, from near black to white, most of them muted."""
    light = hash_unit(i, j, 1, seed)
    strength = 0.9 * hash_unit(i, j, 2, seed)
    turn = 6.2832 * hash_unit(i, j, 3, seed)
    hue = wp.vec3(1.0 + wp.cos(turn), 1.0 + wp.cos(turn - 2.0944), 1.0 + wp.cos(turn + 2.0944)) * 0.5
    return (wp.vec3(1.0, 1.0, 1.0) * (1.0 - strength) + hue * strength) * (0.04 + 0.7 * light * light)


@wp.func
def _coat(paint: wp.vec4, shade: float, nir_shade: float, heat: float) -> Coat:
    coat = Coat()
    coat.albedo = wp.vec3(paint[0], paint[1], paint[2]) * shade
    coat.nir = paint[3] * nir_shade
    coat.heat = heat
    # Full sun warms a dark dry surface by some 10 degrees and a white one by few (chosen).
    coat.basks = (2.0 + 8.0 * shade) * (1.2 - wp.min(1.0, (paint[0] + paint[1] + paint[2]) * 0.333))
    return coat


@wp.func
def _plain(paint: wp.vec4, chart: wp.vec3, heat: float, seed: int) -> Coat:
    stain = fractal(wp.vec3(chart[0] * 1.7, chart[1] * 1.1, 0.5), seed, 3)
    foot = wp.exp(-chart[1] * 3.0)
    grain = value_noise(wp.vec3(chart[0] * 21.0, chart[1] * 21.0, 7.5), seed)
    shade = (0.64 + 0.56 * stain + 0.16 * grain) * (1.0 - 0.25 * foot)
    return _coat(paint, shade, 0.8 + 0.4 * stain, heat + 2.4 * (stain - 0.5) - 0.8 * foot)


@wp.func
def _cells(
    paint: wp.vec4, chart: wp.vec3, width: float, height: float, shift: float, joint: float, heat: float, seed: int
) -> Coat:
    """Tiles or bricks with joints; `shift` is the offset of every other row, `joint` in metres."""
    row = wp.floor(chart[1] / height)
    across = chart[0] / width + shift * (row - 2.0 * wp.floor(0.5 * row))
    column = wp.floor(across)
    fu = (across - column) * width
    fv = chart[1] - row * height
    # Some floors are of one batch, some of many.
    batch = hash_unit(1, 2, 6, seed)
    own = 0.5 + batch * batch * (hash_unit(int(column), int(row), 5, seed) - 0.5)
    grain = fractal(wp.vec3(chart[0] * 1.4, chart[1] * 1.4, 3.5), seed, 2)
    dirt = value_noise(wp.vec3(chart[0] * 15.0, chart[1] * 15.0, 9.5), seed)
    if fu < joint or fv < joint:
        return _coat(paint, 0.55 + 0.3 * grain, 0.75, heat + 0.9 + 1.6 * (grain - 0.5))
    shade = 0.45 + 0.5 * own + 0.44 * grain + 0.16 * dirt
    return _coat(paint, shade, 0.6 + 0.4 * own + 0.4 * grain, heat + 2.0 * (own - 0.5) + 2.6 * (grain - 0.5))


@wp.func
def _wood(paint: wp.vec4, chart: wp.vec3, scale: float, heat: float, seed: int) -> Coat:
    board = wp.floor(chart[0] / scale)
    fu = chart[0] / scale - board
    own = hash_unit(int(board), 7, 1, seed)
    grain = value_noise(wp.vec3(chart[0] * 40.0, chart[1] * 2.5 + 9.0 * own, 0.5), seed)
    if fu < 0.06:
        return _coat(paint, 0.35, 0.6, heat - 0.4)
    return _coat(paint, 0.6 + 0.4 * own + 0.35 * grain, 0.85 + 0.25 * grain, heat + 1.4 * (own - 0.5) + 0.5 * grain)


@wp.func
def _leaves(paint: wp.vec4, p: wp.vec3, scale: float, heat: float, seed: int) -> Coat:
    leaf = fractal(p * (1.7 / scale) + wp.vec3(50.0, 50.0, 50.0), seed + 3, 2)
    clump = value_noise(p * 1.8 + wp.vec3(50.0, 50.0, 50.0), seed + 5)
    coat = _coat(paint, 0.1 + 1.6 * leaf * clump + 0.3 * leaf, 0.35 + 0.9 * leaf, heat + 3.0 * (leaf - 0.5))
    coat.heat = coat.heat + 1.5 * (clump - 0.5)
    # Leaves cool themselves: the sun warms them by few degrees.
    coat.basks = 2.5
    return coat


@wp.func
def _windows(paint: wp.vec4, chart: wp.vec3, scale: float, heat: float, seed: int, sky_heat: float, lit: float) -> Coat:
    """Windows in a wall: frame, glass with a mirrored sky, blinds, some with light behind."""
    column = wp.floor(chart[0] / scale)
    row = wp.floor(chart[1] / (scale * 1.25))
    fu = chart[0] / scale - column
    fv = chart[1] / (scale * 1.25) - row
    i = int(column)
    j = int(row)
    edge = wp.min(wp.min(fu - 0.16, 0.84 - fu), wp.min(fv - 0.25, 0.9 - fv))
    if edge < 0.0:
        coat = _plain(paint, chart, heat, seed)
        if fv > 0.19 and fv < 0.25 and fu > 0.12 and fu < 0.88:
            coat.albedo = coat.albedo * 1.4
            coat.heat = coat.heat - 1.0
        return coat
    if edge < 0.035 or wp.abs(fu - 0.5) < 0.012:
        return _coat(wp.vec4(0.5, 0.5, 0.48, 0.55), 1.0, 1.0, heat + 0.3)
    own = hash_unit(i, j, 11, seed)
    mirror = value_noise(wp.vec3(chart[0] * 1.5, chart[1] * 2.5, 0.5), seed + 2)
    coat = _coat(wp.vec4(0.06, 0.075, 0.09, 0.08), 0.4 + 1.8 * mirror, 0.5 + mirror, heat)
    # Glass mirrors about a tenth of the sky in long-wave infrared and more at a slant (chosen: 0.08 to 0.28).
    coat.heat = heat + sky_heat * (0.08 + 0.2 * mirror) + 3.0 * (own - 0.4)
    coat.basks = 2.0
    if hash_unit(i, j, 12, seed) < 0.35 and fv > 0.3 + 0.5 * own:
        slat = wp.floor(chart[1] * 22.0)
        coat.albedo = wp.vec3(0.45, 0.43, 0.38) * (0.75 + 0.25 * (slat - 2.0 * wp.floor(slat * 0.5)))
        coat.nir = 0.5
    if hash_unit(i, j, 13, seed) < lit:
        coat.albedo = wp.vec3(0.9, 0.75, 0.5) * (0.3 + 0.7 * mirror)
        coat.glow = 0.9
    return coat


@wp.func
def _poster(paint: wp.vec4, chart: wp.vec3, scale: float, heat: float, seed: int) -> Coat:
    """Sheets or signs: a ground colour, a picture of a few inks and lines of text."""
    column = wp.floor(chart[0] / scale)
    row = wp.floor(chart[1] / (scale * 1.4))
    fu = chart[0] / scale - column
    fv = chart[1] / (scale * 1.4) - row
    i = int(column) * 7
    j = int(row) * 5
    own = hash_unit(i, j, 21, seed)
    sheet = _coat(paint, 0.9, 1.0, heat + 0.8 * (own - 0.5))
    if wp.min(wp.min(fu, 1.0 - fu), wp.min(fv, 1.0 - fv)) < 0.05:
        return sheet
    ink = _dye(seed, i, j)
    depth = 0.25 + 0.7 * hash_unit(i, j, 4, seed)
    picture = value_noise(wp.vec3(fu * 4.0 + float(i), fv * 4.0 + float(j), 0.5), seed)
    if fv > 0.35 + 0.3 * own:
        level = int(picture * 4.0)
        ink = _dye(seed, i + 1 + level, j)
        depth = 0.25 + 0.7 * hash_unit(i + 1 + level, j, 4, seed)
    else:
        line = wp.floor(fv * 14.0)
        word = wp.floor(fu * 9.0 + 3.0 * hash_unit(int(line), i, 22, seed))
        even = line - 2.0 * wp.floor(line * 0.5)
        if even > 0.5 and hash_unit(int(word), int(line) + j, 23, seed) > 0.3:
            ink = _dye(seed, i + 31, j)
            depth = depth * 0.5
    sheet.albedo = ink
    sheet.nir = depth
    return sheet


@wp.func
def _panels(paint: wp.vec4, chart: wp.vec3, scale: float, heat: float, seed: int) -> Coat:
    """Doors side by side with gaps, a handle and a vent or a plate."""
    column = wp.floor(chart[0] / scale)
    fu = (chart[0] / scale - column) * scale
    own = hash_unit(int(column), 3, 31, seed)
    gap = wp.min(wp.min(fu, scale - fu), wp.min(chart[1], chart[2] - chart[1]))
    if gap < 0.012:
        return _coat(paint, 0.15, 0.3, heat - 0.5)
    up = chart[1] / chart[2]
    if fu > scale - 0.12 and fu < scale - 0.07 and wp.abs(up - 0.5) < 0.05:
        return _coat(wp.vec4(0.5, 0.5, 0.5, 0.55), 1.0, 1.0, heat - 2.0)
    shine = value_noise(wp.vec3(chart[0] * 3.0, chart[1] * 2.0, 0.5), seed)
    coat = _coat(paint, 0.65 + 0.4 * own + 0.25 * shine, 0.85 + 0.2 * own, heat + 1.5 * (own - 0.5) + shine - 0.5)
    if own < 0.6 and up > 0.72 and up < 0.86 and wp.abs(fu - 0.5 * scale) < 0.32 * scale:
        slot = wp.floor(chart[1] * 50.0)
        if own < 0.3:
            coat.albedo = coat.albedo * (0.35 + 0.65 * (slot - 2.0 * wp.floor(slot * 0.5)))
        else:
            coat.albedo = _dye(seed, int(column), 3)
            coat.nir = own + 0.3
    return coat


@wp.func
def _shelves(paint: wp.vec4, chart: wp.vec3, scale: float, heat: float, seed: int) -> Coat:
    """Rows of goods of different widths, heights and inks on boards."""
    row = wp.floor(chart[1] / scale)
    fv = (chart[1] / scale - row) * scale
    j = int(row)
    width = scale * (0.12 + 0.4 * hash_unit(j, 1, 41, seed))
    item = wp.floor(chart[0] / width)
    i = int(item)
    fu = chart[0] / width - item
    if fv < 0.03:
        return _coat(paint, 1.0, 1.0, heat)
    kind = int(hash_unit(i / 3, j, 43, seed) * 7.0)
    own = hash_unit(i, j, 42, seed)
    if fv > scale * (0.55 + 0.35 * hash_unit(kind, j, 44, seed) - 0.15 * own) or own < 0.08:
        return _coat(wp.vec4(0.03, 0.03, 0.03, 0.08), 1.0, 1.0, heat - 0.8)
    round = 1.0 - 0.5 * wp.abs(2.0 * fu - 1.0)
    coat = _coat(paint, 1.0, 1.0, heat + 2.0 * (hash_unit(kind, j, 45, seed) - 0.5) + 0.6 * round)
    coat.albedo = _dye(seed, kind, j) * round * 1.2
    coat.nir = (0.15 + 0.7 * hash_unit(kind, j, 46, seed)) * round
    if wp.abs(fv / scale - 0.35) < 0.09:
        coat.albedo = _dye(seed, kind + 9, j) * round
    return coat


@wp.func
def _stripes(paint: wp.vec4, chart: wp.vec3, scale: float, heat: float, seed: int) -> Coat:
    """Slats one above the other, lit from above."""
    fv = chart[1] / scale - wp.floor(chart[1] / scale)
    wear_off = fractal(wp.vec3(chart[0] * 2.0, chart[1] * 2.0, 0.5), seed, 2)
    shade = (0.45 + 0.6 * fv) * (0.75 + 0.5 * wear_off)
    return _coat(paint, shade, 0.6 + 0.5 * fv, heat + 1.2 * (fv - 0.5) + 2.0 * (wear_off - 0.5))


@wp.func
def _asphalt(paint: wp.vec4, chart: wp.vec3, scale: float, heat: float, seed: int) -> Coat:
    """Grains, patches of repair with edges, and cracks."""
    grains = value_noise(wp.vec3(chart[0] / scale, chart[1] / scale, 0.5), seed)
    broad = fractal(wp.vec3(chart[0] * 0.8, chart[1] * 0.8, 4.5), seed, 3)
    patch = hash_unit(int(wp.floor(chart[0] / 2.7)), int(wp.floor(chart[1] / 3.9)), 51, seed)
    shade = 0.55 + 0.35 * grains + 0.5 * broad
    warm = heat + 3.5 * (broad - 0.5) + 0.5 * (grains - 0.5)
    if patch > 0.72:
        shade = shade * (0.45 + patch * 0.35)
        warm = warm + 1.0
    crooked = value_noise(wp.vec3(chart[0] * 1.1, chart[1] * 1.1, 8.5), seed)
    if wp.abs(crooked + 0.35 * (broad - 0.5) + 0.03 * grains - 0.5) < 0.006 and broad > 0.52:
        shade = shade * 0.5
        warm = warm + 0.8
    return _coat(paint, shade, 0.6 + 0.4 * grains + 0.4 * broad, warm)


@wp.func
def _glass(paint: wp.vec4, chart: wp.vec3, heat: float, seed: int, sky_heat: float) -> Coat:
    mirror = value_noise(wp.vec3(chart[0] * 2.2, chart[1] * 3.5, 0.5), seed)
    coat = _coat(paint, 0.35 + 1.8 * mirror * mirror, 0.5 + mirror, heat + sky_heat * (0.08 + 0.22 * mirror))
    coat.basks = 2.0
    return coat


@wp.func
def wear(
    texture: int,
    paint: wp.vec4,
    feel: wp.vec2,
    p: wp.vec3,
    chart: wp.vec3,
    seed: int,
    sky_heat: float,
    lit: float,
) -> Coat:
    """The surface at the point `p` of the solid's frame.

    Args:
        texture: see `solids.Texture`.
        paint: visible reflectance and near-infrared reflectance.
        feel: degrees C above the air, and metres of one element.
        p: metres.
        chart: metres across, metres up, height of the surface in metres.
        seed: of the randomness.
        sky_heat: apparent degrees C of the sky overhead above the air, mirrored by glass.
        lit: share of windows with light behind them.
    """
    heat = feel[0]
    scale = feel[1]
    if texture == TILES:
        return _cells(paint, chart, scale, scale, 0.0, 0.012 + 0.015 * scale, heat, seed)
    if texture == BRICK:
        return _cells(paint, chart, scale, 0.34 * scale, 0.5, 0.012, heat, seed)
    if texture == WOOD:
        return _wood(paint, chart, scale, heat, seed)
    if texture == FOLIAGE or texture == GRASS:
        return _leaves(paint, p, scale, heat, seed)
    if texture == GRID:
        return _windows(paint, chart, scale, heat, seed, sky_heat, lit)
    if texture == POSTER:
        return _poster(paint, chart, scale, heat, seed)
    if texture == PANEL:
        return _panels(paint, chart, scale, heat, seed)
    if texture == SHELVES:
        return _shelves(paint, chart, scale, heat, seed)
    if texture == STRIPES:
        return _stripes(paint, chart, scale, heat, seed)
    if texture == ASPHALT:
        return _asphalt(paint, chart, scale, heat, seed)
    if texture == GLASS:
        return _glass(paint, chart, heat, seed, sky_heat)
    coat = _plain(paint, chart, heat, seed)
    if texture == LAMP:
        coat.glow = 1.0
    return coat
