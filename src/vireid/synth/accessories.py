"""Collars, hoods on the back, scarves, shoes, bags and their straps, made to the measure of the clothed body."""

import numpy as np

from vireid.synth import body as b
from vireid.synth.fit import Array, Fit, Part, Piece
from vireid.synth.identity import Day, Identity, Top
from vireid.synth.shapes import (
    BACK,
    FRONT,
    convex_radii,
    curve,
    grid_faces,
    look_up,
    outlines,
    ribbon,
    superellipsoid,
    tube,
)

_LIFT = 0.008  # straps lie this far off the cloth


def make_accessories(person: Identity, day: Day, fit: Fit) -> list[Piece]:
    """Everything that is worn below the head and beside the clothes, except what the hands hold."""
    pieces = _shoes(fit) + _neck(day, fit)
    if day.top.is_open:
        pieces += _lapels(day.top, fit)
    make = {"backpack": _backpack, "crossbody": _crossbody, "tote": _tote}.get(day.bag)
    return pieces + (make(person.bag_size, fit) if make else [])


def _shoes(fit: Fit) -> list[Piece]:
    pieces = []
    a = fit.attributes
    for side, sign in (("L", 1), ("R", -1)):
        foot = a[(a[:, b.IN_FOOT] > 0.5) & (a[:, b.X] * sign > 0)][:, :3].astype(np.float64)
        low, high = foot.min(0), foot.max(0)
        origin = fit.at(f"foot.{side}")
        center, radii = (low + high) / 2 - origin, (high - low) / 2 * [1.02, 1.07, 0.62]
        center[2] = low[2] - origin[2] + radii[2] - 0.004
        local, faces = superellipsoid(center, radii, 0.62, 20, 12)
        toe = np.clip(-(local[:, 1] - center[1]) / radii[1], 0, 1)
        local[:, 2] -= toe * 0.3 * np.clip(local[:, 2] - center[2], 0, 1)
        pieces.append(Piece(Part.SHOE, local + origin, faces, f"foot.{side}", local=local))
    return pieces


class _Neck:
    """The tilted ring where the neck leaves the shoulders."""

    def __init__(self, fit: Fit) -> None:
        neck = fit.at("neck01")
        self._base, self._back = neck[2], neck[1] + 0.05
        # The shoulders spoil a measure at the ring itself, so it is taken where the neck is free.
        p = fit.surface[(np.abs(fit.surface[:, 0]) < 0.075) & (fit.attributes[:, b.IN_ARM] < 0.2)]
        p = p[np.abs(p[:, 2] - self._height(p[:, 1]) - 0.035) < 0.015]
        self.center = np.array([0, (p[:, 1].min() + p[:, 1].max()) / 2])
        self._radii = outlines(p[:, :2] - self.center, p[:, 2], np.array([0.0, 1.0]), 9.0) + 0.006

    def _height(self, y: Array) -> Array:
        return np.asarray(self._base + 0.5 * (y - self._back))

    def ring(self, angle: Array, off: Array | float, up: Array | float) -> Array:
        """Points `(N, 3)` at angles `(N,)`, `off` metres outside of the neck and `up` above the ring."""
        radius = look_up(self._radii, 0 * angle, angle)
        direction = np.stack([np.cos(angle), np.sin(angle)], 1)
        z = self._height((self.center + radius[:, None] * direction)[:, 1]) + up
        return np.column_stack([self.center + (radius + off)[:, None] * direction, z])


def _neck(day: Day, fit: Fit) -> list[Piece]:
    neck, top = _Neck(fit), day.top
    pieces = []
    if top.collar in ("shirt", "stand"):
        gap = np.radians(26 if top.is_open else 12)
        angle = np.linspace(FRONT + gap, FRONT + 2 * np.pi - gap, 29)
        shirt = [(0.004, -0.03), (0.003, 0.03), (0.007, 0.036), (0.018, 0.018), (0.03, -0.012)]
        stand = [(0.012, -0.04), (0.008, 0.02), (0.010, 0.05), (0.015, 0.053), (0.024, -0.01)]
        grid = np.stack([neck.ring(angle, off, up) for off, up in (shirt if top.collar == "shirt" else stand)])
        pieces.append(Piece(Part.COLLAR, grid.reshape(-1, 3), grid_faces(len(grid), len(angle), closed=False)))
    if top.collar == "hood" and not top.hood_up:
        angle = np.linspace(FRONT + 0.75, FRONT + 2 * np.pi - 0.75, 25)
        rear = 0.5 + 0.5 * np.cos(angle - BACK)
        path = neck.ring(angle, 0.012 + 0.03 * rear, -0.012 * rear)
        radii = np.stack([0.012 + 0.024 * rear, 0.014 + 0.028 * rear], 1)
        pieces.append(Piece(Part.HOOD, *tube(path, radii)))
        rear_y = fit.trunk[np.abs(fit.trunk[:, 0]) < 0.05][:, 1].max()
        low = np.array([0, rear_y - 0.005, fit.at("neck01")[2] - 0.085])
        pieces.append(Piece(Part.HOOD, *superellipsoid(low, np.array([0.1, 0.032, 0.075]), 0.8)))
    if day.scarf:
        angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        wave = 0.006 * np.cos(3 * angle + day.fold_seed)
        radii = np.stack([0.026 + wave, 0.036 - wave], 1)
        pieces.append(Piece(Part.SCARF, *tube(neck.ring(angle, 0.02, 0.02 + wave), radii, closed=True)))
        z = neck.ring(np.array([FRONT]), 0.0, 0.0)[0, 2] - np.linspace(0.0, 0.2 + 0.0001 * day.fold_seed, 10)
        x = 0.045 if day.fold_seed % 2 else -0.045
        path = np.column_stack([np.full(10, x), fit.front(x, z) - 0.022, z])
        pieces.append(Piece(Part.SCARF, *ribbon(path, np.tile([0, -1.0, 0], (10, 1)), 0.085)))
    return pieces


def _lapels(top: Top, fit: Fit) -> list[Piece]:
    """The edges of an open front."""
    pieces = []
    low, high = fit.at("upperleg01.L")[2], fit.at("neck01")[2]
    torso = np.linspace(0.88, max(top.hem, 0.1 if top.kind == "coat" else -9.0), 16)
    for sign in (-1, 1):
        x = sign * (0.055 + 0.05 * (1 - torso))
        z = low + torso * (high - low)
        y = np.array([fit.front(float(at), np.array([height]))[0] for at, height in zip(x, z, strict=True)])
        y = np.convolve(np.pad(y, 1, "edge"), [0.25, 0.5, 0.25], "valid") - 0.004
        path = np.column_stack([x, y, z])
        width = 0.045 if top.collar == "shirt" else 0.022
        pieces.append(Piece(Part.COLLAR, *ribbon(path, np.tile([0.35 * sign, -1.0, 0], (16, 1)), width)))
    return pieces


def _box(center: Array, radii: Array, bone: str, exponent: float = 0.4) -> Piece:
    local, faces = superellipsoid(np.zeros(3), radii, exponent, 24, 14)
    return Piece(Part.BAG, local + center, faces, bone, local=local)


def _arc(points: Array, start: float, end: float, count: int) -> tuple[Array, Array]:
    """Points `(N, 2)` on the convex outline of `points` around the origin, and the directions outward."""
    angle = np.linspace(start, end, count)
    radius = look_up(np.stack([convex_radii(points, 72)] * 2), 0 * angle, angle) + _LIFT
    outward = np.stack([np.cos(angle), np.sin(angle)], 1)
    return radius[:, None] * outward, outward


def _over_shoulder(fit: Fit, x: float, start: float, end: float, level: float) -> tuple[Array, Array]:
    """A strap in the upright plane at `x`: angles from the back (0) over the top to the front (pi)."""
    near = fit.trunk[np.abs(fit.trunk[:, 0] - x) < 0.022]
    origin = np.array([near[:, 1].mean(), level])
    path, outward = _arc(near[near[:, 2] > level - 0.05][:, 1:] - origin, start, end, 20)
    full = np.full((20, 1), x)
    return np.hstack([full, path + origin]), np.hstack([0 * full, outward])


def _strap(path: Array, outward: Array, width: float) -> Piece:
    return Piece(Part.STRAP, *ribbon(path, outward, width))


def _backpack(size: float, fit: Fit) -> list[Piece]:
    neck, shoulder = fit.at("neck01"), fit.at("upperarm01.L")[0]
    half = np.array([0.145, 0.068, 0.205]) * size
    z = neck[2] - 0.1 - half[2]
    middle = fit.trunk[(np.abs(fit.trunk[:, 0]) < 0.1) & (np.abs(fit.trunk[:, 2] - z) < 0.2)]
    y = middle[:, 1].max() + 0.8 * half[1]
    pieces = [
        _box(np.array([0, y, z]), half, "spine02"),
        _box(np.array([0, y + 0.95 * half[1], z - 0.3 * half[2]]), half * [0.75, 0.4, 0.55], "spine02"),
    ]
    level = neck[2] - 0.22
    for sign in (-1, 1):
        path, outward = _over_shoulder(fit, sign * 0.53 * shoulder, np.radians(25), np.radians(190), level)
        pieces.append(_strap(path, outward, 0.05))
        # Under the arm, back to the foot of the bag.
        end = path[-1]
        around = fit.trunk[np.abs(fit.trunk[:, 2] - end[2] + 0.04) < 0.035][:, :2] - np.array([0, path[:, 1].mean()])
        start = np.arctan2(end[1] - path[:, 1].mean(), abs(end[0]))
        side, normal = _arc(around, start, np.radians(62), 14)
        low = np.column_stack(
            [sign * side[:, 0], side[:, 1] + path[:, 1].mean(), np.linspace(end[2], end[2] - 0.11, 14)]
        )
        pieces.append(_strap(low, np.column_stack([sign * normal[:, 0], normal[:, 1], 0 * side[:, 0]]), 0.034))
    return pieces


def _crossbody(size: float, fit: Fit) -> list[Piece]:
    """A strap around the trunk from one shoulder to the other hip."""
    shoulder, hip = fit.at("upperarm01.L"), fit.at("upperleg01.L")
    high = np.array([0.42 * shoulder[0], 0, fit.at("neck01")[2]])
    low = np.array([-1.3 * hip[0], 0, hip[2] + 0.03])
    down = (low - high) / np.linalg.norm(low - high)
    backward = np.array([0, 1.0, 0])
    middle = (high + low) / 2 + np.array([0, fit.trunk[:, 1].mean(), 0])
    near = fit.trunk[np.abs((fit.trunk - middle) @ np.cross(down, backward)) < 0.035] - middle
    loop, outward = _arc(np.stack([near @ backward, -near @ down], 1), 0, 2 * np.pi, 44)
    frame = np.stack([backward, -down])
    path = middle + loop @ frame
    at = path[path[:, 2].argmin()]
    half = np.array([0.045, 0.13, 0.095]) * size
    bag = _box(at + np.array([-0.6 * half[0], 0.04, -0.4 * half[2]]), half, "root")
    return [_strap(path, outward @ frame, 0.035), bag]


def _tote(size: float, fit: Fit) -> list[Piece]:
    """Two handles over a shoulder, the bag under the arm."""
    x, level = 0.82 * fit.at("upperarm01.L")[0], fit.at("spine01")[2]
    arc, normals = _over_shoulder(fit, x, np.radians(5), np.radians(175), level)
    waist = fit.trunk[np.abs(fit.trunk[:, 2] - fit.at("spine03")[2]) < 0.12]
    half = np.array([0.05, 0.17, 0.16]) * size
    top = np.array([waist[:, 0].max() + 0.6 * half[0], arc[:, 1].mean() + 0.05, fit.at("spine02")[2] - 0.02])
    pieces = [_box(top - np.array([0, 0, half[2]]), half, "spine03", 0.3)]
    for shift in (0.0, 0.02):
        ends = [top + np.array([shift, sign * 0.6 * half[1], -0.02]) for sign in (1, -1)]
        path = curve(
            np.concatenate(
                [ends[:1], arc[::3] + np.array([shift, 0, 0]), arc[-1:] + np.array([shift, 0, 0]), ends[1:]]
            ),
            26,
        )
        outward = np.concatenate([normals[:1], normals[::3], normals[-1:], normals[-1:]])
        outward = outward[np.linspace(0, len(outward) - 1, 26).round().astype(int)]
        pieces.append(_strap(path, outward + np.array([0.4, 0, 0]), 0.028))
    return pieces
