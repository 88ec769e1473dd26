"""Walls of rooms and fronts of houses, in bays side by side; metres, fronts toward -y."""

from collections.abc import Callable

import numpy as np

from vireid.synth import paints, props
from vireid.synth.paints import Rng
from vireid.synth.solids import Paint, Solids, Texture, block, join, post

Prop = Callable[[Rng], Solids]


def row(rng: Rng, length: float, bay: Prop) -> Solids:
    """Bays side by side along +x from the origin, their fronts toward -y, until `length` metres are full."""
    parts, at = [], 0.0
    while at < length:
        part = bay(rng)
        width = 2 * float(part.half[0, 0])
        parts.append(part.moved(at + width / 2, 0))
        at += width
    return join(parts)


def _on_wall(rng: Rng, width: float) -> list[Solids]:
    """What hangs on or stands at a bay of an indoor wall."""
    x, kind = rng.uniform(-0.2, 0.2) * width, rng.integers(9)
    if kind <= 1:
        door = paints.pick(rng, [paints.timber(rng, 1.5), paints.lacquer(rng, 0, Texture.PANEL, 1.1)])
        frame = block(x, -0.02, (1.15, 0.08, 2.2), paints.lacquer(rng))
        return [frame, block(x, -0.05, (0.95, 0.06, 2.1), door), block(x, -0.07, (0.25, 0.06, 0.9), paints.GLASS, 1.0)]
    if kind == 2:
        paint = paints.lacquer(rng, 0.5, Texture.POSTER, rng.uniform(0.3, 0.9))
        return [block(x, -0.02, (0.75 * width, 0.06, rng.uniform(0.7, 1.3)), paint, rng.uniform(0.9, 1.3))]
    if kind == 3:
        bright = Paint(np.array([0.8, 0.85, 0.9]), 0.5, -4.0, paints.pick(rng, [Texture.GLASS, Texture.STRIPES]), 0.06)
        return [
            block(x, -0.02, (0.7 * width, 0.06, 1.4), bright, 1.0),
            props.radiator(rng).moved(x, -0.12),
        ]
    if kind == 4:
        return [props.rack(rng).moved(x, -0.3)]
    if kind == 5:
        return [props.cabinet(rng).moved(x, -0.3), props.cabinet(rng).moved(x + 1.2, -0.3)]
    if kind == 6:
        red = Paint(np.array([0.5, 0.03, 0.03]), 0.5)
        return [post(x, -0.1, 0.09, 0.5, red, 0.7), block(x, -0.02, (0.3, 0.05, 0.3), paints.lacquer(rng), 1.5)]
    if kind == 7:
        low = block(0, -0.02, (width, 0.05, 1.1), paints.lacquer(rng, 0, Texture.TILES, 0.2))
        return [low, block(x, -0.06, (0.5, 0.04, 0.35), paints.lacquer(rng, 6.0, Texture.POSTER, 0.35), 1.5)]
    return [props.bench(rng).moved(x, -0.4)]


def room_bay(paint: Paint, skirting: Paint, height: float) -> Prop:
    """Draws bays of a room's wall with what hangs on it or stands before it."""

    def bay(rng: Rng) -> Solids:
        width = rng.uniform(1.8, 3.4)
        parts = [block(0, 0.1, (width, 0.2, height), paint), block(0, -0.01, (width, 0.04, 0.12), skirting)]
        return join(parts + _on_wall(rng, width))

    return bay


def _front(rng: Rng, width: float) -> list[Solids]:
    """The ground floor of a house: shop window, shutter, doors or a plain wall with bits."""
    kind, parts = rng.integers(5), []
    if kind <= 1:
        pane = paints.pick(rng, [paints.GLASS, paints.lacquer(rng, -1.5, Texture.SHELVES, 0.5)])
        parts.append(block(0, -0.02, (0.8 * width, 0.08, 2.0), pane, 0.5))
        parts += [block(x * width, -0.05, (0.09, 0.1, 2.1), paints.metal(rng), 0.45) for x in (-0.4, 0.05, 0.4)]
        sign = paints.lacquer(rng, 1.0, Texture.POSTER, rng.uniform(0.5, 1.4))
        parts.append(block(0, -0.1, (0.9 * width, 0.2, 0.6), sign, 2.6))
        if rng.random() < 0.5:
            parts.append(block(0, -0.6, (0.9 * width, 1.2, 0.08), paints.lacquer(rng, 2.0), 2.5))
    elif kind == 2:
        slats = paints.lacquer(rng, rng.uniform(-2, 3), Texture.STRIPES, 0.11)
        parts += [block(x * width, -0.03, (0.42 * width, 0.08, 2.5), slats) for x in (-0.25, 0.25)]
        parts.append(block(0, -0.06, (1.2, 0.1, 0.8), paints.lacquer(rng, 0.0, Texture.POSTER, 0.6), 1.2))
    elif kind == 3:
        door = paints.pick(rng, [paints.timber(rng, 0.3), paints.lacquer(rng, 2.0, Texture.PANEL, 0.9)])
        x = rng.uniform(-0.3, 0.3) * width
        parts += [block(x, -0.02, (1.5, 0.08, 2.5), paints.wall_paint(rng)), block(x, -0.05, (1.2, 0.08, 2.3), door)]
        parts.append(block(x, -0.3, (1.8, 0.6, 0.16), paints.wall_paint(rng, Texture.TILES, 0.6)))
        parts.append(block(-x + 0.4, -0.03, (1.3, 0.06, 1.2), paints.GLASS, 1.0))
    else:
        parts.append(block(0, -0.02, (0.5 * width, 0.04, 1.1), paints.lacquer(rng, 0.0, Texture.POSTER, 0.7), 1.0))
        # The outlet of an air conditioner is warm.
        parts.append(block(0.33 * width, -0.2, (0.8, 0.35, 0.6), paints.lacquer(rng, 7.0, Texture.STRIPES, 0.05), 1.6))
        parts.append(props.cabinet(rng).moved(-0.3 * width, -0.3))
    parts.append(post(0.48 * width, -0.08, 0.05, 6, paints.metal(rng)))
    return parts


def house(rng: Rng) -> Solids:
    """One house front of a street."""
    width, height = rng.uniform(4, 9), rng.uniform(5, 14)
    wall = paints.brick(rng) if rng.random() < 0.4 else paints.wall_paint(rng)
    floor = Paint(wall.albedo, wall.nir, wall.heat, Texture.GRID, rng.uniform(0.9, 1.7))
    base = wall if rng.random() < 0.5 else paints.wall_paint(rng, Texture.TILES, 0.5)
    parts = [block(0, 0.2, (width, 0.4, height - 3.2), floor, 3.2), block(0, 0.2, (width, 0.4, 3.2), base)]
    parts.append(block(0, -0.03, (width, 0.1, 0.45), paints.wall_paint(rng)))
    return join(parts + _front(rng, width))


def garden(rng: Rng) -> Solids:
    """A garden wall or a fence, with green behind it."""
    width = rng.uniform(2.5, 5)
    if rng.random() < 0.5:
        front = block(0, 0, (width, 0.25, rng.uniform(0.6, 2)), paints.brick(rng))
    else:
        bars = Paint(paints.tone(rng, 0.03, 0.4), 0.4, -1.5, Texture.FENCE, 0.12)
        front = block(0, 0, (width, 0.05, rng.uniform(1.0, 1.9)), bars)
    back = paints.pick(rng, [props.tree, props.bush, props.hedge])(rng).moved(0, rng.uniform(0.9, 2.5))
    return join([front, back, props.bush(rng).moved(rng.uniform(-1, 1), 0.9)])
