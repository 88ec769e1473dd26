"""How places are laid out: walls, floors and what stands before them; metres.

The stage, where people walk, is the sector about the +y axis in front of the camera; things stand at its sides,
behind it, and few of them inside it.
"""

import math
from collections.abc import Sequence

import numpy as np

from vireid.synth import paints, props
from vireid.synth.facades import Prop, garden, house, room_bay, row
from vireid.synth.paints import Rng
from vireid.synth.solids import Paint, Solids, Texture, block, join, post


def scatter(rng: Rng, kit: Sequence[Prop], count: int, x: tuple[float, float], y: tuple[float, float]) -> Solids:
    """Things of the kit at random in a rectangle, at least 1.1 m apart."""
    spots: list[tuple[float, float]] = []
    parts = []
    for _ in range(count):
        spot = (rng.uniform(*x), rng.uniform(*y))
        if all(math.dist(spot, other) > 1.1 for other in spots):
            spots.append(spot)
            parts.append(props.turned(rng, paints.pick(rng, kit)(rng)).moved(*spot))
    return join(parts)


def flats(rng: Rng, coats: Sequence[Paint], count: int, reach: float) -> Solids:
    """Patches, mats, covers and drains that lie on the ground before the camera."""
    parts = []
    for k in range(count):
        paint = paints.pick(rng, coats)
        x, y, lift = rng.uniform(-0.4, 0.4) * reach, rng.uniform(3, reach), 0.004 + 0.0006 * k
        if rng.random() < 0.3:
            cover = Paint(np.full(3, rng.uniform(0.05, 0.2)), 0.2, rng.uniform(-1, 5), Texture.TILES, 0.07)
            parts.append(post(x, y, rng.uniform(0.2, 0.4), lift, cover))
        else:
            size = (rng.uniform(0.4, 2.5), rng.uniform(0.4, 4), lift)
            parts.append(block(x, y, size, paint, 0.0, paints.pick(rng, [0.0, 0.0, rng.uniform(-0.6, 0.6)])))
    return join(parts)


def _span(a: float, b: float) -> tuple[float, float]:
    return min(a, b), max(a, b)


def _floor_paint(rng: Rng) -> Paint:
    gray = rng.uniform(0.15, 0.55) * (1 + rng.uniform(-0.1, 0.15) * np.array([1, 0, -1]))
    kind = rng.integers(4)
    if kind == 0:
        return Paint(gray, rng.uniform(0.35, 0.6), 0.0, Texture.TILES, paints.pick(rng, [0.3, 0.45, 0.6, 1.0]))
    if kind == 1:
        return paints.timber(rng, rng.uniform(0.1, 0.2))
    if kind == 2:
        return Paint(paints.tone(rng, 0.05, 0.4), rng.uniform(0.3, 0.6), 0.3, Texture.ASPHALT, 0.03)
    return Paint(gray, rng.uniform(0.35, 0.6), 0.0, Texture.TILES, rng.uniform(1.5, 3))


def _paving_paint(rng: Rng) -> Paint:
    gray = rng.uniform(0.1, 0.35) * (1 + rng.uniform(-0.08, 0.15) * np.array([1, 0, -1]))
    kind = rng.integers(4)
    if kind == 0:
        return Paint(gray, rng.uniform(0.2, 0.35), 0.0, Texture.TILES, paints.pick(rng, [0.3, 0.4, 0.6]))
    if kind == 1:
        return Paint(gray, rng.uniform(0.2, 0.35), 0.0, Texture.BRICK, paints.pick(rng, [0.2, 0.3]))
    if kind == 2:
        return Paint(gray, rng.uniform(0.2, 0.35), 0.5, Texture.TILES, rng.uniform(1.2, 3))
    # Asphalt, from worn gray to new black.
    return Paint(gray * 0.6, rng.uniform(0.1, 0.25), 1.0, Texture.ASPHALT, rng.uniform(0.015, 0.04))


STREET: tuple[Prop, ...] = (
    props.car,
    props.tree,
    props.bin_,
    props.bollard,
    props.lamp_post,
    props.sign,
    props.board,
    props.cabinet,
)
STREET += (props.planter, props.cones, props.sacks, props.bench, props.railing)
PARK = (props.tree, props.bush, props.bench, props.bin_, props.lamp_post, props.hedge, props.board)
HALL: tuple[Prop, ...] = (
    props.column,
    props.planter,
    props.bench,
    props.machine,
    props.board,
    props.queue,
    props.bin_,
    props.counter,
)
HALL += (props.sofa, props.crates)
SMALL: tuple[Prop, ...] = (
    props.bin_,
    props.bollard,
    props.planter,
    props.bush,
    props.cones,
    props.sacks,
    props.board,
    props.bench,
)
SMALL += (props.crates, props.cabinet, props.sign)
OFFICE = (props.desk, props.chair, props.rack, props.planter, props.cabinet, props.sofa, props.desk, props.crates)
SHOP = (props.rack, props.rack, props.counter, props.board, props.crates, props.machine)
STORE = (props.rack, props.crates, props.crates, props.column, props.cabinet, props.cones, props.sacks)


def room(rng: Rng) -> tuple[Solids, Paint]:
    """A corridor, a hall, an office, a shop or a store: its solids and its floor."""
    kind = rng.integers(5)
    wide = rng.uniform(1.5, 2.4) if kind == 0 else rng.uniform(3, 6)
    deep = rng.uniform(10, 20) if kind < 2 else rng.uniform(9.5, 14)
    kit = (HALL, HALL, OFFICE, SHOP, STORE)[kind]
    height = rng.uniform(3.3, 4.5)
    paint = (
        paints.brick(rng)
        if rng.random() < 0.12
        else paints.wall_paint(rng, paints.pick(rng, [Texture.PLAIN, Texture.PLAIN, Texture.TILES]), 0.4)
    )
    bay = room_bay(paint, paints.lacquer(rng), height)
    parts = [
        row(rng, 2 * wide, bay).moved(-wide, deep),
        row(rng, deep, bay).moved(-wide, 0, math.pi / 2),
        row(rng, deep, bay).moved(wide, deep, -math.pi / 2),
        block(0, deep / 2, (2 * wide, deep, 0.2), paints.wall_paint(rng, Texture.TILES, 0.6), height),
    ]
    lamps = [block(x * wide, y, (0.3, 1.4, 0.06), paints.LAMP, height - 0.06) for x in (-0.5, 0.5) for y in (4, 9, 14)]
    mats = [paints.lacquer(rng, 0.4), _floor_paint(rng), Paint(paints.tone(rng, 0.05, 0.5), 0.5, 3.0)]
    parts += [*lamps, flats(rng, mats, 7, deep)]
    if kind:
        parts.append(scatter(rng, kit, 12, (-wide + 0.6, wide - 0.6), (0.6 * deep, deep - 0.8)))
        parts.append(scatter(rng, kit, 4, (-2.5, 2.5), (5.5, 0.6 * deep)))
        parts.append(scatter(rng, [props.passer_by], int(rng.integers(3)), (-3, 3), (12.5, max(13, deep - 1))))
        for side in (-1, 1):
            parts.append(scatter(rng, kit, 8, _span(side * wide * 0.5, side * (wide - 0.6)), (2.5, deep)))
    return join(parts), _floor_paint(rng)


def _road(rng: Rng, y: float, width: float) -> Solids:
    """A road across the view with kerbs, lines and parked cars; perhaps a crossing."""
    asphalt = Paint(np.full(3, rng.uniform(0.05, 0.14)), rng.uniform(0.1, 0.25), 1.5, Texture.ASPHALT, 0.03)
    kerb = Paint(np.full(3, rng.uniform(0.25, 0.5)), 0.4, 0.0, Texture.TILES, 1.0)
    white = Paint(np.full(3, 0.6), 0.55, 0.0)
    parts = [block(0, y, (60, width, 0.012), asphalt)]
    parts += [block(0, y + side * width / 2, (60, 0.22, 0.1), kerb) for side in (-1, 1)]
    parts += [block(x, y, (1.6, 0.12, 0.02), white) for x in np.arange(-9, 10, 3.2)]
    if rng.random() < 0.4:
        at = rng.uniform(-3, 3)
        parts += [block(at + 0.9 * k, y, (0.5, width - 0.6, 0.018), white) for k in range(-2, 3)]
    at = -10.0
    while at < 10:
        if rng.random() < 0.6:
            parts.append(props.car(rng).moved(at, y + width / 2 - 1.1, math.pi * rng.integers(2)))
        at += rng.uniform(5, 6.5)
    return join(parts)


def _yard(rng: Rng, deep: float, wide: float) -> list[Solids]:
    """The rim of an open place: houses or gardens behind and at both sides."""
    sides = [house if rng.random() < 0.65 else garden for _ in range(3)]
    return [
        row(rng, 2 * wide + 8, sides[0]).moved(-wide - 4, deep),
        row(rng, deep, sides[1]).moved(-wide, 1, math.pi / 2),
        row(rng, deep, sides[2]).moved(wide, deep, -math.pi / 2),
    ]


def open_air(rng: Rng) -> tuple[Solids, Paint]:
    """A street, a square, a park, a car park or a lane: its solids and its ground."""
    kind = rng.integers(5)
    deep = (rng.uniform(19, 26), rng.uniform(15, 26), rng.uniform(18, 26), rng.uniform(18, 28), rng.uniform(18, 30))[
        kind
    ]
    wide = (rng.uniform(4, 7), rng.uniform(4, 8), rng.uniform(4, 9), rng.uniform(5, 9), rng.uniform(2.2, 3.6))[kind]
    ground = paints.lawn(rng) if kind == 2 and rng.random() < 0.6 else _paving_paint(rng)
    patches = [_paving_paint(rng), _paving_paint(rng), Paint(np.full(3, 0.06), 0.12, 2.0, Texture.ASPHALT, 0.02)]
    parts = [*_yard(rng, deep, wide), flats(rng, patches, 9, deep)]
    kit = PARK if kind == 2 else STREET
    if kind == 0:
        parts.append(_road(rng, rng.uniform(12, 15), rng.uniform(5, 7)))
    if kind == 2:
        path = Paint(np.array([0.4, 0.32, 0.22]) * rng.uniform(0.5, 1.1), 0.4, 1.5, Texture.ASPHALT, 0.02)
        parts.append(block(rng.uniform(-1, 1), 10, (rng.uniform(1.8, 3), 40, 0.006), path, 0, rng.uniform(-0.25, 0.25)))
        parts.append(block(0, rng.uniform(11, 16), (40, rng.uniform(2, 5), 0.05), paints.lawn(rng)))
        parts.append(scatter(rng, PARK, 12, (-wide, wide), (10, deep)))
    if kind == 3:
        white = Paint(np.full(3, 0.6), 0.55)
        start = rng.uniform(9.5, 13)
        for x in np.arange(-8.1, 8.2, 2.7):
            parts.append(block(x, start + 2.5, (0.12, 5, 0.02), white))
            if rng.random() < 0.65:
                parts.append(props.car(rng).moved(x + 1.35, start + 2.5, math.pi / 2 * paints.pick(rng, [-1, 1])))
    if rng.random() < 0.3:
        parts.append(props.shelter(rng).moved(rng.uniform(-4, 4), rng.uniform(11, 14)))
    parts.append(scatter(rng, kit, 14, (-min(wide, 6.0), min(wide, 6.0)), (9, min(deep - 1, 18))))
    parts.append(scatter(rng, SMALL, 5, (-2.8, 2.8), (5.5, 10)))
    parts.append(scatter(rng, [props.passer_by], int(rng.integers(4)), (-5, 5), (13.5, deep - 1)))
    for side in (-1, 1):
        parts.append(scatter(rng, SMALL, 6, _span(side * 2.4, side * max(2.6, wide - 0.8)), (4, 9)))
    return join(parts), ground
