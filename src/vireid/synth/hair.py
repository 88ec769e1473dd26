"""Hair that hangs or stands off, and what is worn on the head: hats and hoods, made to the measure of the head."""

import numpy as np

from vireid.synth import body as b
from vireid.synth.fit import Array, Fit, Part, Piece
from vireid.synth.identity import Day, Identity
from vireid.synth.shapes import FRONT, curve, grid_faces, superellipsoid, tube, widest

_COLUMNS = 32
_STEP = 0.009
_ANGLE = np.linspace(0, 2 * np.pi, _COLUMNS, endpoint=False)
# How far each column is turned from the face, 0 to pi.
_ASIDE = np.abs((_ANGLE - FRONT + np.pi) % (2 * np.pi) - np.pi)


class _Head:
    """The head in the rest pose; heights in `unit`, from the eyes (0) to the crown (1)."""

    def __init__(self, fit: Fit) -> None:
        a = fit.attributes
        head = a[:, b.IN_HEAD] > 0.5
        above = head & (a[:, b.HEAD_Z] > -0.2)
        points = fit.surface[above]
        self.eye = float((fit.at("eye.L") + fit.at("eye.R"))[2] / 2)
        self.crown = float(points[:, 2].max())
        self.unit = self.crown - self.eye
        self.back, self.axis = float(points[:, 1].max()), (points[:, 1].max() + points[:, 1].min()) / 2
        self.neck = fit.at("neck01")
        self.knots = np.arange(self.crown, self.neck[2] - 0.35, -_STEP)
        away = fit.surface - np.array([0, self.axis, 0])
        self.radii = widest(away[head, :2], away[head, 2], self.knots, 0.01, _COLUMNS)
        # At the back hair lies on the shoulders; at the sides it may fall before or behind them.
        rear = (a[:, b.IN_ARM] < 0.5) & (a[:, b.TORSO] > 0.45) & (away[:, 1] > 0)
        low = widest(away[rear, :2], away[rear, 2], self.knots, 0.018, _COLUMNS)
        self.radii[:, _ASIDE > 2.1] = np.maximum(self.radii, low)[:, _ASIDE > 2.1]

    def level(self, units: float) -> float:
        return self.eye + units * self.unit

    def shell(
        self, ends: Array, thick: float, rows: int = 18, cling: float = 0.985, rounded: bool = False
    ) -> tuple[Array, Array]:
        """A surface `thick` off the head from the crown down to `ends` `(C,)`; lower down it hangs, or closes."""
        share = np.linspace(0, 1, rows)[:, None] ** 1.8
        z = self.crown + thick + share * (ends[None] - self.crown - thick)
        closing = np.sqrt(np.clip(1 - (share / 1.001) ** 3, 0, 1)) if rounded else 1.0
        # Above the eyes the surface is a dome that stands off upward as much as sideways.
        dome = np.clip((z - self.eye) / (self.unit + thick), 0, 1)
        below = np.where(z > self.eye, self.eye + dome * self.unit, z)
        off = thick * closing * np.sqrt(1 - dome**2)
        row = np.clip((self.crown - below) / _STEP, 0, len(self.knots) - 1)
        i = np.minimum(row.astype(int), len(self.knots) - 2)
        column = np.arange(_COLUMNS)[None]
        radius = self.radii[i, column] * (1 - row + i) + self.radii[i + 1, column] * (row - i) + off
        radius[0] = 0.004
        for k in range(2, rows):
            radius[k] = np.maximum(radius[k], radius[k - 1] * cling)
        radius[1:] = (np.roll(radius[1:], 1, 1) + 2 * radius[1:] + np.roll(radius[1:], -1, 1)) / 4
        x, y = radius * np.cos(_ANGLE), self.axis + radius * np.sin(_ANGLE)
        return np.stack([x, y, z], 2), grid_faces(rows, _COLUMNS)


def _ease(value: Array, low: float, high: float) -> Array:
    """0 below `low`, 1 above `high` (degrees aside from the face), smooth between."""
    t = np.clip((np.degrees(value) - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def make_head(person: Identity, day: Day, fit: Fit) -> list[Piece]:
    """Hair, hat and hood."""
    head = _Head(fit)
    pieces = [] if day.top.hood_up else _hair(person, day, head)
    if day.top.hood_up:
        ends = head.level(0.9) + (head.neck[2] - 0.03 - head.level(0.9)) * _ease(_ASIDE, 42, 66)
        points, faces = head.shell(ends, 0.024, 16, 0.99)
        hold = np.clip((points[..., 2] - head.neck[2] + 0.02) / 0.08, 0, 1).ravel()
        pieces.append(_piece(Part.HOOD, points, faces, hold))
    elif day.hat:
        pieces += _hat(person, head)
    return pieces


def _piece(part: Part, points: Array, faces: Array, hold: Array | None = None) -> Piece:
    return Piece(part, points.reshape(-1, 3), faces, "head", hold)


def _hair(person: Identity, day: Day, head: _Head) -> list[Piece]:
    style, length = person.hair_style, person.hair_length
    thick = 0.008 if day.hat else 0.02
    hairline = head.level(0.66)
    if style == "bob":
        side = head.level(-0.9 - 0.75 * length)
        return [_piece(Part.HAIR, *head.shell(hairline + (side - hairline) * _ease(_ASIDE, 48, 70), thick))]
    if style == "long":
        shoulder = head.neck[2] + 0.015
        low = shoulder - 0.06 - 0.24 * length
        ends = hairline + (shoulder - hairline) * _ease(_ASIDE, 48, 70)
        ends += (low - shoulder) * _ease(_ASIDE, 100, 140)
        points, faces = head.shell(ends, thick, 20)
        hold = np.clip((points[..., 2] - head.neck[2] + 0.06) / 0.12, 0, 1).ravel()
        return [_piece(Part.HAIR, points, faces, hold)]
    if style == "afro" and not day.hat:
        ends = hairline + (head.level(-0.35) - hairline) * _ease(_ASIDE, 45, 75)
        ends += (head.level(-0.8) - head.level(-0.35)) * _ease(_ASIDE, 100, 150)
        points, faces = head.shell(ends, 0.025 + 0.04 * length, 18, 0.0, rounded=True)
        return [_piece(Part.HAIR, points, faces)]
    z = head.level(0.2 if day.hat is False else -0.1)
    if style == "ponytail":
        drop, y = 0.16 + 0.2 * length, head.back
        knots = [(0, y - 0.01, z), (0, y + 0.045, z + 0.005), (0, y + 0.065, z - 0.4 * drop), (0, y + 0.05, z - drop)]
        points, faces = tube(curve(knots, 10), np.interp(np.arange(10), [0, 2, 6, 9], [0.02, 0.032, 0.03, 0.006]))
        return [_piece(Part.HAIR, points, faces)]
    if style == "bun":
        up = 0.75 * length if not day.hat else 0.0
        center = np.array([0, head.back + 0.022 - 0.06 * up, z + 0.6 * up * head.unit])
        return [_piece(Part.HAIR, *superellipsoid(center, np.array([0.042, 0.036, 0.04])))]
    return []


def _hat(person: Identity, head: _Head) -> list[Piece]:
    off = 0.02 if person.hair_style in ("bob", "long") else 0.012
    if person.hat_kind == "beanie":
        ends = head.level(0.42) + (head.level(-0.12) - head.level(0.42)) * _ease(_ASIDE, 50, 110)
        points, faces = head.shell(ends, off + 0.006, 12)
        # A folded rim.
        rim = head.shell(ends - 0.002, off + 0.014, 12)[0][-4:]
        return [
            _piece(Part.HAT, points, faces),
            _piece(Part.HAT, rim, grid_faces(4, _COLUMNS)),
        ]
    edge = head.level(0.48) + (head.level(0.2) - head.level(0.48)) * _ease(_ASIDE, 40, 140)
    dome, faces = head.shell(edge, off + 0.008, 12)
    outward = np.stack([np.cos(_ANGLE), np.sin(_ANGLE), 0 * _ANGLE], 1)
    if person.hat_kind == "cap":
        width = 0.075 * np.sqrt(np.clip(np.cos(np.clip(_ASIDE / np.radians(62), 0, 1) * np.pi / 2), 0, 1))
        outward[:, 2] = -0.35
        outward[:, 0] *= 0.35  # the visor points forward
    else:
        width = np.full(_COLUMNS, 0.065)
        outward[:, 2] = -0.2
    last = dome[-1]
    brim = np.stack(
        [last, last + 0.5 * width[:, None] * outward + np.array([0, 0, 0.004]), last + width[:, None] * outward]
    )
    return [_piece(Part.HAT, dome, faces), _piece(Part.HAT, brim, grid_faces(3, _COLUMNS))]
