"""What stands between the camera and a person and hides part of the person; metres.

Shapes: N solids, R rays.
"""

import math

import numpy as np

from vireid.synth import paints, props
from vireid.synth.paints import Rng
from vireid.synth.solids import Array, Kind, Paint, Solids, Texture, ball, block, join, post

_CAMERA = np.array([0.0, 0.0, 3.0])
_LEAST, _MOST = 0.08, 0.6  # hidden share of the person, seen from a camera at 3 m


def draw_obstacle(rng: Rng, position: Array, indoor: bool) -> Solids:
    """One to four solids between the camera and a person at `position` `(3,)` that hide part of the person."""
    kit = [_pole, _bars, _low_box, _planter, _counter] + ([_seat, _jamb] if indoor else [_bonnet, _hedge, _branch])
    distance, angle = math.hypot(position[0], position[1]), math.atan2(position[0], position[1])
    thing = _pole
    for attempt in range(30):
        if attempt % 5 == 0:
            thing = paints.pick(rng, kit)
        solids = thing(rng, distance).moved(0, 0, -angle)
        if _LEAST < _hidden(solids, position) < _MOST:
            break
    return solids.seeded(rng)


def _hidden(solids: Solids, position: Array) -> float:
    """Share of a person at `position` that the solids hide from a camera at 3 m, by 8 x 20 rays."""
    angle = math.atan2(position[0], position[1])
    across, up = np.meshgrid(np.linspace(-0.22, 0.22, 8), np.linspace(0.05, 1.7, 20))
    targets = np.stack([position[0] + across * math.cos(angle), position[1] - across * math.sin(angle), up], -1)
    ray = targets.reshape(-1, 1, 3) - _CAMERA
    c, s = np.cos(solids.yaw), np.sin(solids.yaw)
    turn = np.zeros((len(solids), 3, 3))
    turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1], turn[:, 2, 2] = c, s, -s, c, 1.0
    start = np.einsum("nij,nj->ni", turn, _CAMERA - solids.center) / solids.half
    toward = np.einsum("nij,rnj->rni", turn, np.broadcast_to(ray, (len(ray), len(solids), 3))) / solids.half
    toward = np.where(np.abs(toward) < 1e-9, 1e-9, toward)
    near, far = (-1 - start) / toward, (1 - start) / toward
    enter, leave = np.minimum(near, far).max(-1), np.maximum(near, far).min(-1)
    hit = (enter < leave) & (enter > 0) & (enter < 1)  # (R, N)
    closest = -(start * toward).sum(-1) / (toward**2).sum(-1)
    passing = np.linalg.norm(start + closest[..., None] * toward, axis=-1)
    hit &= (solids.kind != Kind.ELLIPSOID) | (passing < 1)
    return float(hit.any(1).mean())


def _before(rng: Rng, distance: float, gap: float) -> tuple[float, float]:
    """A spot a little to one side of the line to the person, `gap` metres before them."""
    return rng.uniform(-0.4, 0.4), distance - gap


def _pole(rng: Rng, distance: float) -> Solids:
    y = distance * rng.uniform(0.5, 0.88)
    x, radius = rng.uniform(-0.25, 0.25) * y / distance, rng.uniform(0.03, 0.11)
    paint = paints.pick(rng, [paints.metal(rng), paints.lacquer(rng), paints.timber(rng, 0.05)])
    parts = [post(x, y, radius, 5, paint), post(x, y, 1.6 * radius, 0.3, paints.metal(rng))]
    if rng.random() < 0.5:
        size, low = rng.uniform(0.3, 0.5), rng.uniform(0.9, 2.1)
        parts.append(block(x, y - radius, (size, 0.03, size), paints.lacquer(rng, -1, Texture.POSTER, size), low))
    return join(parts)


def _bars(rng: Rng, distance: float) -> Solids:
    x, y = _before(rng, distance, rng.uniform(0.5, 1.3))
    coat = paints.pick(rng, [paints.metal(rng), paints.lacquer(rng)])
    bars = Paint(coat.albedo, coat.nir, coat.heat, Texture.FENCE, rng.uniform(0.1, 0.16))
    width, height, top = rng.uniform(1.2, 3), rng.uniform(0.8, 1.3), paints.lacquer(rng)
    rail = block(x, y, (width, 0.07, 0.06), top, height)
    return join([block(x, y, (width, 0.04, height), bars), rail])


def _low_box(rng: Rng, distance: float) -> Solids:
    """A bin, a cabinet, boxes or a board."""
    x, y = _before(rng, distance, rng.uniform(0.6, 1.2))
    thing = paints.pick(rng, [props.bin_, props.cabinet, props.crates, props.board, props.bollard])(rng)
    return thing.moved(x, y, rng.normal(0, 0.2))


def _planter(rng: Rng, distance: float) -> Solids:
    x, y = _before(rng, distance, rng.uniform(0.6, 1.2))
    return join([props.planter(rng).moved(x, y), props.planter(rng).moved(x + 0.9, y)])


def _counter(rng: Rng, distance: float) -> Solids:
    x, y = _before(rng, distance, rng.uniform(0.7, 1.2))
    return props.counter(rng).moved(x + rng.uniform(-0.8, 0.8), y)


def _bonnet(rng: Rng, distance: float) -> Solids:
    """The front of a parked car with its cabin, one tyre and a bumper; the bonnet is often warm."""
    x, y = _before(rng, distance, rng.uniform(1.3, 1.6))
    side = rng.choice([-1.0, 1.0])
    body = Paint(paints.tone(rng, 0.02, 0.8, 0.6), rng.uniform(0.1, 0.6), rng.choice([-3.0, 2.0, 15.0]))
    parts = [
        block(x, y, (2.2, 1.7, 0.6), body, 0.28),
        block(x + side * 1.5, y, (1.9, 1.5, 0.6), paints.GLASS, 0.85),
        ball((x - side * 0.4, y - 0.82, 0.32), (0.32, 0.1, 0.32), paints.BLACK),
        block(x, y, (2.3, 1.6, 0.18), paints.BLACK, 0.28),
    ]
    return join(parts)


def _hedge(rng: Rng, distance: float) -> Solids:
    x, y = _before(rng, distance, rng.uniform(0.6, 1.1))
    size = (rng.uniform(0.6, 2.5), rng.uniform(0.4, 0.7), rng.uniform(0.6, 1.3))
    coat = paints.leaves(rng, rng.uniform(0.05, 0.09))
    top = [ball((x + dx * size[0], y, size[2]), (0.3 * size[0], 0.3, 0.2), coat) for dx in (-0.25, 0.3)]
    return join([block(x, y, size, coat), *top])


def _branch(rng: Rng, distance: float) -> Solids:
    """Leaves that hang into the view from one side."""
    share = rng.uniform(0.4, 0.75)
    high = 3.0 - share * (3.0 - rng.uniform(0.9, 2.0))
    x, coat = rng.uniform(-0.4, 0.4), paints.leaves(rng, rng.uniform(0.035, 0.07))
    parts = []
    for _ in range(3):
        center = (x + rng.normal(0, 0.2), share * distance + rng.normal(0, 0.2), high + rng.normal(0, 0.15))
        parts.append(ball(center, rng.uniform(0.15, 0.35, 3), coat))
    return join(parts)


def _seat(rng: Rng, distance: float) -> Solids:
    """Backs of seats, or a desk with a chair before it."""
    x, y = _before(rng, distance, rng.uniform(0.5, 0.9))
    coat = paints.lacquer(rng)
    if rng.random() < 0.4:
        top = block(x, y, (1.4, 0.7, 0.05), paints.timber(rng, 0.6), 0.72)
        screen = block(x + rng.uniform(-0.4, 0.4), y, (0.55, 0.06, 0.38), paints.BLACK, 0.85)
        return join([top, block(x, y, (1.3, 0.6, 0.72), paints.lacquer(rng, 0, Texture.PANEL, 0.5)), screen])
    backs = [block(x + dx, y, (0.5, 0.1, 0.65), coat, 0.4) for dx in (-0.58, 0.0, 0.58)]
    return join([*backs, block(x, y, (1.7, 0.3, 0.1), coat, 0.35)])


def _jamb(rng: Rng, distance: float) -> Solids:
    """A door frame or a pillar that covers one side."""
    y = distance * rng.uniform(0.45, 0.85)
    side, width = rng.choice([-1.0, 1.0]), rng.uniform(0.2, 0.7)
    inner = rng.uniform(-0.1, 0.15) * y / distance
    paint = paints.pick(rng, [paints.wall_paint(rng), paints.lacquer(rng), paints.brick(rng), paints.timber(rng, 0.2)])
    frame = paints.lacquer(rng)
    wall = block(side * (inner + width / 2), y, (width, 0.2, 4), paint)
    return join([wall, block(side * inner, y - 0.02, (0.07, 0.26, 4), frame)])
