"""The things that stand about: each function draws one, at the origin, its front toward -y; metres."""

import math

import numpy as np

from vireid.synth.paints import (
    BLACK,
    GLASS,
    LAMP,
    WHITE,
    Rng,
    brick,
    lacquer,
    leaves,
    metal,
    pick,
    timber,
    tone,
    wall_paint,
)
from vireid.synth.solids import Paint, Solids, Texture, ball, block, join, post


def car(rng: Rng) -> Solids:
    """A parked car, its length along x; some have just arrived, bonnet and tyres warm."""
    arrived = rng.random() < 0.4
    length, height = rng.uniform(3.7, 4.7), rng.uniform(0.55, 0.68)
    body = Paint(
        tone(rng, 0.02, 0.8, 0.9 if rng.random() < 0.3 else 0.15),
        rng.uniform(0.1, 0.6),
        rng.uniform(-4, 0),
        Texture.PLAIN,
        1.0,
    )
    bonnet = Paint(body.albedo, body.nir, 14.0 if arrived else -3.0)
    tyre = Paint(BLACK.albedo, BLACK.nir, rng.uniform(5, 12) if arrived else 0.5)
    cabin, van = rng.uniform(0.5, 0.62), rng.random() < 0.2
    top = 1.0 if van else cabin
    shift = -0.05 * length
    parts = [
        block(shift, 0, (length * 0.8, 1.72, height), body, 0.24),
        block(0.42 * length, 0, (length * 0.24, 1.68, height - 0.14), bonnet, 0.24),
        block(shift, 0, (length * (0.7 if van else 0.5), 1.56, top), body if van else GLASS, 0.24 + height),
        block(shift, 0, (length * 0.44, 1.6, 0.07), body, 0.24 + height + top),
        block(0, 0, (length * 1.06, 1.6, 0.16), BLACK, 0.26),
        block(0.535 * length, 0, (0.06, 1.4, 0.12), Paint(np.full(3, 0.7), 0.6, -1), 0.58),
    ]
    for x in (-0.3 * length, 0.33 * length):
        parts += [ball((x, y, 0.32), (0.32, 0.11, 0.32), tyre) for y in (-0.82, 0.82)]
    return join(parts)


def tree(rng: Rng) -> Solids:
    """A trunk and a crown of a few ellipsoids."""
    height, radius = rng.uniform(1.6, 3.2), rng.uniform(0.08, 0.22)
    bark = Paint(np.array([0.16, 0.12, 0.09]) * rng.uniform(0.7, 1.6), 0.35, rng.normal(0, 0.7), Texture.WOOD, 0.06)
    parts = [post(0, 0, radius, height + 1, bark)]
    crown = leaves(rng, rng.uniform(0.12, 0.3))
    for _ in range(rng.integers(5, 9)):
        x, y, z = rng.normal(0, 0.8), rng.normal(0, 0.8), height + rng.uniform(0.2, 2.4)
        parts.append(ball((x, y, z), rng.uniform(0.5, 1.2, 3), crown))
    return join(parts)


def bush(rng: Rng) -> Solids:
    """Rounds of leaves on the ground."""
    coat = leaves(rng, rng.uniform(0.05, 0.1))
    parts = []
    for _ in range(rng.integers(4, 7)):
        half = rng.uniform(0.2, 0.5, 3)
        center = (rng.normal(0, 0.35), rng.normal(0, 0.25), half[2] * rng.uniform(0.6, 1.4))
        parts.append(ball(center, half, coat))
    return join(parts)


def hedge(rng: Rng) -> Solids:
    """A clipped hedge along x."""
    return block(0, 0, (rng.uniform(2, 6), 0.7, rng.uniform(0.7, 1.8)), leaves(rng, rng.uniform(0.06, 0.12)))


def planter(rng: Rng) -> Solids:
    """A pot with leaves."""
    width, height, coat = rng.uniform(0.35, 0.9), rng.uniform(0.35, 0.6), leaves(rng, 0.08)
    tub = wall_paint(rng)
    pot = block(0, 0, (width, width, height), tub) if rng.random() < 0.5 else post(0, 0, width / 2, height, tub)
    parts = [pot]
    for _ in range(3):
        half = rng.uniform(0.25, 0.5, 3) * width
        parts.append(ball((*rng.normal(0, 0.15 * width, 2), height + half[2] * rng.uniform(0.5, 1.6)), half, coat))
    return join(parts)


def bench(rng: Rng) -> Solids:
    """A seat of boards with a back."""
    width, wood, iron = rng.uniform(1.2, 2.2), timber(rng, 0.1), metal(rng)
    legs = [block(x, 0, (0.08, 0.42, 0.42), iron) for x in (-0.4 * width, 0.4 * width)]
    return join([block(0, 0, (width, 0.45, 0.06), wood, 0.42), block(0, 0.24, (width, 0.05, 0.3), wood, 0.55), *legs])


def bin_(rng: Rng) -> Solids:
    """A waste bin, round or square."""
    coat, height = lacquer(rng, texture=Texture.PANEL, scale=0.4), rng.uniform(0.7, 1.1)
    if rng.random() < 0.5:
        return join([post(0, 0, 0.24, height, coat), post(0, 0, 0.26, 0.06, BLACK, height)])
    return join([block(0, 0, (0.55, 0.6, height), coat), block(0, 0, (0.6, 0.66, 0.07), lacquer(rng), height)])


def bollard(rng: Rng) -> Solids:
    """A short post with a ring."""
    radius, height = rng.uniform(0.05, 0.12), rng.uniform(0.7, 1.05)
    ring = post(0, 0, radius * 1.05, 0.1, WHITE, height * 0.8)
    return join([post(0, 0, radius, height, lacquer(rng)), ring])


def lamp_post(rng: Rng) -> Solids:
    """A mast with a lamp."""
    height = rng.uniform(3.2, 6)
    head = block(0, -0.3, (0.25, 0.7, 0.12), LAMP, height)
    box = block(0, -0.02, (0.2, 0.2, rng.uniform(0.6, 1.0)), metal(rng))
    return join([post(0, 0, rng.uniform(0.05, 0.09), height, metal(rng)), head, box])


def sign(rng: Rng) -> Solids:
    """A traffic sign or a board on a post."""
    size, high = rng.uniform(0.45, 0.8), rng.uniform(1.5, 2.4)
    board = block(0, -0.06, (size, 0.04, size * rng.uniform(0.8, 1.5)), lacquer(rng, -2, Texture.POSTER, size), high)
    return join([post(0, 0, 0.035, high + 0.4, metal(rng)), board])


def board(rng: Rng) -> Solids:
    """A standing advertisement or an information board."""
    width, height, low = rng.uniform(0.6, 1.4), rng.uniform(0.9, 1.8), pick(rng, [0.05, 0.4])
    paint = lacquer(rng, 1.0, Texture.POSTER, width * pick(rng, [0.5, 1.0]))
    legs = [block(x, 0, (0.06, 0.06, low + 0.1), BLACK) for x in (-0.4 * width, 0.4 * width)]
    return join([block(0, 0, (width, 0.1, height), paint, low), *legs])


def column(rng: Rng) -> Solids:
    """An advertising column or a pillar."""
    coat = pick(
        rng,
        [
            lacquer(rng, 0, Texture.POSTER, 0.8),
            wall_paint(rng),
            wall_paint(rng, Texture.TILES, 0.3),
            brick(rng),
        ],
    )
    radius, height = rng.uniform(0.2, 0.6), rng.uniform(2.4, 5)
    base = post(0, 0, radius * 1.12, 0.25, wall_paint(rng))
    if rng.random() < 0.5:
        return join([post(0, 0, radius, height, coat), base])
    return join([block(0, 0, (2 * radius, 2 * radius, height), coat), base])


def cabinet(rng: Rng) -> Solids:
    """A switch cabinet, a locker or a closet; some are warm inside."""
    width, height = rng.uniform(0.6, 1.6), rng.uniform(0.9, 2.0)
    coat = lacquer(rng, pick(rng, [0.0, 0.0, 3.0]), Texture.PANEL, rng.uniform(0.3, 0.6))
    parts = [block(0, 0, (width, 0.45, height), coat)]
    if rng.random() < 0.5:
        parts.append(block(rng.uniform(-0.2, 0.2), 0, (0.4, 0.35, rng.uniform(0.2, 0.4)), lacquer(rng), height))
    return join(parts)


def railing(rng: Rng) -> Solids:
    """Upright bars along x."""
    bars = Paint(tone(rng, 0.02, 0.5), 0.3, rng.uniform(-3, 0), Texture.FENCE, rng.uniform(0.09, 0.16))
    return block(0, 0, (rng.uniform(2, 4.5), 0.04, rng.uniform(0.9, 1.5)), bars)


def crates(rng: Rng) -> Solids:
    """Boxes on one another."""
    parts, height = [], 0.0
    for _ in range(rng.integers(2, 5)):
        size = rng.uniform(0.3, 0.7, 3)
        coat = Paint(np.array([0.42, 0.29, 0.17]) * rng.uniform(0.6, 1.2), 0.6, rng.normal(0, 0.6))
        if rng.random() < 0.4:
            coat = lacquer(rng, texture=Texture.POSTER, scale=0.3)
        bottom = height if rng.random() < 0.6 else 0.0
        x = rng.normal(0, 0.08) if bottom else rng.normal(0, 0.5)
        parts.append(block(x, rng.normal(0, 0.1), size, coat, bottom, rng.normal(0, 0.3)))
        height = max(height, bottom + size[2])
    return join(parts)


def sacks(rng: Rng) -> Solids:
    """Rubbish bags, tied at the top."""
    coat = Paint(tone(rng, 0.02, 0.3, 0.5), rng.uniform(0.1, 0.6), rng.uniform(0, 3))
    parts = []
    for _ in range(rng.integers(1, 4)):
        x, y, half = rng.normal(0, 0.3), rng.normal(0, 0.15), rng.uniform((0.2, 0.2, 0.16), (0.32, 0.3, 0.27))
        parts.append(ball((x, y, 0.75 * half[2]), half, coat, rng.uniform(0, 3)))
        parts.append(ball((x + 0.03, y, 1.6 * half[2]), (0.07, 0.05, 0.16), coat))
    return join(parts)


def cones(rng: Rng) -> Solids:
    """Traffic cones and a barrier."""
    orange, plank = Paint(np.array([0.75, 0.2, 0.04]), 0.7), lacquer(rng, 0, Texture.POSTER, 0.3)
    parts = [block(0, 0, (rng.uniform(1.2, 2), 0.06, 0.25), plank, 0.75)]
    for x in (-0.7, 0.0, 0.7):
        parts += [post(x, 0, 0.06, 0.75, orange), post(x, 0, 0.075, 0.14, WHITE, 0.4)]
    return join(parts)


def shelter(rng: Rng) -> Solids:
    """A bus stop: glass back, roof, bench and a poster."""
    width, iron = rng.uniform(2.4, 4), metal(rng)
    poster = block(width / 2, -0.6, (0.1, 1.2, 1.7), lacquer(rng, 4.0, Texture.POSTER, 1.2), 0.4)
    posts = [block(x, y, (0.08, 0.08, 2.4), iron) for x in (-width / 2, width / 2) for y in (-1.2, 0)]
    pane = block(0, 0, (width, 0.03, 1.7), GLASS, 0.4)
    roof = block(0, -0.6, (width + 0.3, 1.5, 0.1), lacquer(rng, -6), 2.4)
    return join([pane, roof, poster, *posts, block(0, -0.3, (width * 0.6, 0.35, 0.06), timber(rng), 0.45)])


def passer_by(rng: Rng) -> Solids:
    """A person far off, of ellipsoids; only for places behind the stage."""
    upper, lower = tone(rng, 0.02, 0.6), tone(rng, 0.02, 0.4)
    shirt, pants = Paint(upper, rng.uniform(0.1, 0.7), 5.0), Paint(lower, rng.uniform(0.1, 0.6), 4.0)
    skin = Paint(np.array([0.5, 0.32, 0.23]) * rng.uniform(0.3, 1.2), 0.5, 11.0)
    step, scale = rng.uniform(0.02, 0.2), rng.uniform(0.92, 1.08)
    parts = [ball((x, y, 0.44), (0.085, 0.1, 0.46), pants) for x, y in ((-0.1, -step), (0.1, step))]
    parts += [ball((x, y, 1.1), (0.06, 0.07, 0.34), shirt) for x, y in ((-0.24, step), (0.24, -step))]
    parts += [ball((0, 0, 1.13), (0.21, 0.13, 0.37), shirt), ball((0, 0, 1.6 * scale), (0.09, 0.1, 0.13), skin)]
    return join(parts)


def desk(rng: Rng) -> Solids:
    """A table with a screen and a drawer unit."""
    width, wood = rng.uniform(1.2, 1.8), timber(rng, 0.6)
    parts = [block(0, 0, (width, 0.7, 0.04), wood, 0.72)]
    parts += [block(x, 0, (0.04, 0.65, 0.72), metal(rng)) for x in (-width / 2 + 0.05, width / 2 - 0.05)]
    parts.append(block(0.3 * width, 0, (0.42, 0.55, 0.6), lacquer(rng, 0, Texture.PANEL, 0.42)))
    screen = Paint(np.array([0.15, 0.2, 0.3]), 0.1, 7.0, pick(rng, [Texture.LAMP, Texture.POSTER]), 0.3)
    return join([*parts, block(rng.normal(0, 0.2), 0.15, (0.55, 0.05, 0.34), screen, 0.86), chair(rng).moved(0, -0.6)])


def chair(rng: Rng) -> Solids:
    """A chair."""
    coat, foot = lacquer(rng), metal(rng)
    back = block(0, -0.22, (0.42, 0.06, 0.5), coat, 0.5)
    return join([block(0, 0, (0.46, 0.46, 0.08), coat, 0.42), back, post(0, 0, 0.05, 0.42, foot)]).moved(
        0, 0, rng.uniform(-0.6, 0.6)
    )


def sofa(rng: Rng) -> Solids:
    """A sofa."""
    width, coat = rng.uniform(1.2, 2.2), lacquer(rng, 0.6)
    arms = [block(x, 0, (0.18, 0.8, 0.6), coat) for x in (-width / 2, width / 2)]
    pillow = ball((rng.uniform(-0.4, 0.4), -0.05, 0.55), (0.22, 0.1, 0.2), lacquer(rng))
    return join([block(0, 0, (width, 0.8, 0.42), coat), block(0, 0.32, (width, 0.2, 0.85), coat), pillow, *arms])


def rack(rng: Rng) -> Solids:
    """A shelf with goods or books."""
    size = (rng.uniform(0.9, 2.4), 0.45, rng.uniform(1.2, 2.2))
    coat = Paint(
        tone(rng, 0.1, 0.7, 0.5),
        0.5,
        pick(rng, [0.0, 0.0, -6.0]),
        Texture.SHELVES,
        rng.uniform(0.22, 0.45),
    )
    return join([block(0, 0, size, coat), block(0, 0.0, (size[0] + 0.06, 0.5, 0.06), lacquer(rng), size[2])])


def machine(rng: Rng) -> Solids:
    """A vending or ticket machine with a lit front."""
    coat = lacquer(rng, 2.0)
    front = Paint(tone(rng, 0.3, 0.8), 0.5, rng.uniform(-4, 6), pick(rng, [Texture.SHELVES, Texture.POSTER]), 0.28)
    lit = Paint(tone(rng, 0.4, 0.9), 0.6, 5.0, Texture.LAMP)
    return join(
        [
            block(0, 0, (0.95, 0.8, 1.85), coat),
            block(-0.1, -0.4, (0.6, 0.04, 1.1), front, 0.6),
            block(0, -0.4, (0.9, 0.03, 0.18), lit, 1.64),
            block(0.33, -0.4, (0.14, 0.05, 0.5), BLACK, 0.8),
            block(0.1, -0.4, (0.5, 0.03, 0.2), BLACK, 0.15),
        ]
    )


def queue(rng: Rng) -> Solids:
    """Posts with a band between them."""
    width, band = rng.uniform(1.2, 1.8), lacquer(rng)
    parts = [block(0, 0, (width, 0.02, 0.06), band, 0.85)]
    for x in (-width / 2, width / 2):
        parts += [post(x, 0, 0.03, 0.95, metal(rng)), post(x, 0, 0.16, 0.03, BLACK)]
    return join(parts)


def counter(rng: Rng) -> Solids:
    """A counter with things on it."""
    width = rng.uniform(1.6, 3)
    front = pick(
        rng,
        [timber(rng), lacquer(rng, 0, Texture.PANEL, 0.5), lacquer(rng, 0, Texture.POSTER, 0.9)],
    )
    parts = [block(0, 0, (width, 0.6, 1.0), front), block(0, 0, (width + 0.1, 0.7, 0.05), timber(rng, 0.5), 1.0)]
    for _ in range(3):
        size = rng.uniform(0.12, 0.4, 3)
        parts.append(block(rng.uniform(-0.4, 0.4) * width, 0, size, lacquer(rng, pick(rng, [0.0, 8.0])), 1.05))
    return join(parts)


def radiator(rng: Rng) -> Solids:
    """A warm radiator; it stands at a wall."""
    coat = Paint(np.full(3, 0.7), 0.65, rng.uniform(4, 22), Texture.FENCE, 0.07)
    return join(
        [
            block(0, 0, (rng.uniform(0.7, 1.6), 0.1, 0.55), coat, 0.15),
            block(0, 0.05, (0.7, 0.03, 0.4), WHITE, 0.2),
        ]
    )


def turned(rng: Rng, thing: Solids) -> Solids:
    """The thing turned by a quarter of its own choice and a little more."""
    return thing.moved(0, 0, math.pi / 2 * int(rng.integers(4)) + rng.normal(0, 0.12))
