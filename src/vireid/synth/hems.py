"""The hems of tops and trousers as surfaces of their own, so that they hang around the hips and over the shoes."""

import numpy as np

from vireid.synth import body as b
from vireid.synth.body import COLUMNS
from vireid.synth.fit import Array, Fit, Part, Piece
from vireid.synth.identity import Bottom, Day, Identity, Top
from vireid.synth.shapes import grid_faces, hanging, rings

_AROUND = 36


def make_hems(person: Identity, day: Day, fit: Fit) -> list[Piece]:
    """What hangs below the waist of an untucked top and below the shin of long trousers."""
    pieces = []
    if day.top.kind != "coat" and day.top.hem < 0.2:
        pieces.append(_top(day.top, fit))
    if person.bottom.leg > 1.9 and person.bottom.cut != "slim":
        pieces += [_cuff(person.bottom, side, fit) for side in ("L", "R")]
    return pieces


def _attributes(points: Array, **columns: Array | float) -> Array:
    result = np.zeros((len(points), COLUMNS), np.float32)
    result[:, : b.Z + 1] = points
    # Far from head, arms, legs and feet.
    result[:, b.HEAD_X : b.HEAD_Z + 1] = -9
    for name, value in columns.items():
        result[:, getattr(b, name)] = value
    return result


def _top(top: Top, fit: Fit) -> Piece:
    low, high = fit.at("upperleg01.L")[2], fit.at("neck01")[2]
    torso = np.linspace(0.3, top.hem, 8)
    heights = low + torso * (high - low)
    center = np.array([0.0, fit.trunk[np.abs(fit.trunk[:, 2] - low) < 0.1][:, 1].mean()])
    radii = hanging(fit.trunk, heights, center, 0.006 + 0.016 * top.looseness, 0.4, _AROUND, 0.014)
    if top.kind == "hoodie" or (top.kind == "jacket" and top.fabric.seed % 2):
        radii[-2:] *= np.array([[0.985], [0.95]])
    points, faces = rings(radii, heights, center)
    down = np.linspace(0, 1, 8).repeat(_AROUND)
    where = _attributes(points, TORSO=np.maximum(torso, top.hem + 1e-3).repeat(_AROUND), LEG=9.0)
    return Piece(Part.BODY, points, faces, "root", 0.75 * down, attributes=where)


def _cuff(bottom: Bottom, side: str, fit: Fit) -> Piece:
    """The last part of a trouser leg, down over the shoe."""
    a = fit.attributes
    sign = 1 if side == "L" else -1
    knee, ankle = fit.at(f"lowerleg01.{side}"), fit.at(f"foot.{side}")
    shin = (a[:, b.IN_LEG] > 0.5) & (a[:, b.X] * sign > 0) & (np.abs(a[:, b.LEG] - 1.75) < 0.06)
    center = knee + 0.75 * (ankle - knee)
    away = (fit.surface[shin] - center)[:, :2]
    width = float(np.hypot(*away.T).max())
    along = np.array([1.72, 1.82, 1.92, 2.0, 2.07])
    grow = {"straight": 1.0, "wide": 1.06, "flared": 1.3}[bottom.cut]
    angle = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    scale = width * np.interp(along, [1.72, 2.07], [0.99, grow])
    axis = knee + (along - 1)[:, None] * (ankle - knee)
    points = (axis[:, None] + scale[:, None, None] * circle).reshape(-1, 3)
    # Over the instep the hem lies higher.
    points[-18:, 2] += 0.012 * np.clip(-circle[:, 1], 0, 1)
    where = _attributes(points, TORSO=-5.0, LEG=bottom.leg - 0.02)
    hold = np.full(len(points), 1.0)
    return Piece(Part.BODY, points, grid_faces(5, 18), f"lowerleg02.{side}", hold, attributes=where)
