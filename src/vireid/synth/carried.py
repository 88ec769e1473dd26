"""What somebody holds or rides, made for one pose: phone, parcel, handbag and bicycle.

Positions are of the posed body: z up, facing -y; metres.
"""

from collections.abc import Callable

import numpy as np

from vireid.synth.body import Body, Posed
from vireid.synth.fit import Array, Part
from vireid.synth.identity import Day, Identity
from vireid.synth.poses import Posture
from vireid.synth.shapes import curve, superellipsoid, tube

Thing = tuple[Part, Array, Array, Array]  # part, points, faces, local position
At = Callable[[str], Array]

WHEEL = 0.335


def make_carried(body: Body, person: Identity, day: Day, posed: Posed, index: int) -> list[Thing]:
    """What is in the hands in pose `index`."""

    def at(bone: str) -> Array:
        return np.asarray(posed.bones[index, body.bone[bone], :3, 3], np.float64)

    posture = posed.postures[index]
    things: list[Thing] = []
    if day.bag == "handbag":
        things += _handbag(_holds(posture, at), person.bag_size)
    if posture.activity == "phone":
        things.append(
            _box(Part.PHONE, _hand(at, "R") + np.array([0.0, -0.015, 0.045]), (0.037, 0.006, 0.075), (0.0, 0.35, 1.0))
        )
    if posture.activity == "call":
        things.append(
            _box(Part.PHONE, _hand(at, "R") + np.array([0.012, 0.0, 0.03]), (0.006, 0.037, 0.075), (0.0, 0.3, 1.0))
        )
    if posture.activity == "carrying":
        middle = (_hand(at, "L") + _hand(at, "R")) / 2
        wide = abs(at("wrist.L")[0] - at("wrist.R")[0]) / 2
        tall = 0.1 + 0.05 * abs(posture.sway)
        things.append(
            _box(Part.PARCEL, middle + np.array([0, 0.0, tall - 0.01]), (wide + 0.01, 0.12, tall), (0, 0, 1.0), 0.2)
        )
    if posture.activity == "cycling":
        things += _bicycle(at)
    return things


def _hand(at: At, side: str) -> Array:
    return np.asarray(0.4 * at(f"wrist.{side}") + 0.6 * at(f"finger3-1.{side}"))


def _holds(posture: Posture, at: At) -> Array:
    """Where a handbag's handle hangs: in the hand, in the crook of a bent arm, or on the handlebar."""
    if posture.activity in ("crossed", "carrying", "pockets", "running"):
        return np.asarray(0.6 * at("lowerarm01.L") + 0.4 * at("wrist.L"))
    return _hand(at, "L")


def _box(
    part: Part, center: Array, half: tuple[float, float, float], up: tuple[float, float, float], exponent: float = 0.3
) -> Thing:
    """A box that leans to `up` in the plane of y and z."""
    local, faces = superellipsoid(np.zeros(3), np.array(half), exponent, 16, 10)
    z = np.array(up) / np.linalg.norm(up)
    turn = np.stack([[1.0, 0, 0], np.cross(z, [1.0, 0, 0]), z])
    return part, local @ turn + center, faces, local


def _handbag(hook: Array, size: float) -> list[Thing]:
    half = np.array([0.05, 0.145, 0.105]) * size
    top = hook - np.array([0, 0, 0.11])
    bag, faces = superellipsoid(np.zeros(3), half, 0.35, 20, 12)
    # Narrower towards the clasp.
    bag[:, :2] *= (1 - 0.35 * np.clip(bag[:, 2:] / half[2], 0, 1)) ** 1.0
    things: list[Thing] = [(Part.BAG, bag + top - np.array([0, 0, half[2] * 0.9]), faces, bag)]
    arch = curve(
        [(0, -0.55 * half[1], -0.02), (0, -0.045, 0.09), (0, 0, 0.115), (0, 0.045, 0.09), (0, 0.55 * half[1], -0.02)],
        15,
    )
    handle, handle_faces = tube(arch + top, np.full(15, 0.008), 6)
    return [*things, (Part.STRAP, handle, handle_faces, handle - top)]


def _bicycle(at: At) -> list[Thing]:
    """A bicycle under a rider: its cranks at the feet, its saddle below the pelvis, its bar in the hands."""
    foot = {side: at(f"foot.{side}") + np.array([0, -0.09, -0.085]) for side in ("L", "R")}
    hand = {side: _hand(at, side) for side in ("L", "R")}
    crank = (foot["L"] + foot["R"]) / 2 * [0, 1, 1]
    seat = at("root") * [0, 1, 1] + np.array([0, 0.09, -0.115])
    stem = (hand["L"] + hand["R"]) / 2 * [0, 1, 1] + np.array([0, 0.02, 0.0])
    front = np.array([0, min(stem[1] - 0.14, crank[1] - 0.5), WHEEL])
    rear = np.array([0, crank[1] + 0.44, WHEEL])
    head = stem + np.array([0, -0.02, -0.1])
    bars = [
        (stem, head),
        (head, front),
        (head, crank),
        (crank, seat),
        (head - np.array([0, 0.0, 0.06]), seat - np.array([0, 0.03, 0.12])),
    ]
    bars += [(rear, crank), (rear, seat - np.array([0, 0.03, 0.12]))]
    parts = [tube(np.linspace(p, q, 2), np.full(2, 0.017), 8) for p, q in bars]
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    circle = WHEEL * np.stack([0 * angle, np.cos(angle), np.sin(angle)], 1)
    for hub in (front, rear):
        parts.append(tube(circle * (1 - 0.018 / WHEEL) + hub, np.full(28, 0.018), 6, closed=True))
        parts += [tube(np.stack([hub + 0.95 * p, hub - 0.95 * p]), np.full(2, 0.0022), 3) for p in circle[:14:2]]
    grips = [hand["L"] * [1.12, 1, 1], hand["L"], stem, hand["R"], hand["R"] * [1.12, 1, 1]]
    parts.append(tube(curve(grips, 13), np.full(13, 0.014), 6))
    parts.append(superellipsoid(seat, np.array([0.075, 0.13, 0.035]), 0.8, 14, 8))
    for side, sign in (("L", 1), ("R", -1)):
        pedal = foot[side]
        arm = np.stack([crank + np.array([0.07 * sign, 0, 0]), [0.07 * sign, pedal[1], pedal[2]]])
        parts.append(tube(arm, np.full(2, 0.012), 6))
        parts.append(superellipsoid(pedal, np.array([0.05, 0.04, 0.012]), 0.4, 10, 6))
    return [(Part.BICYCLE, points, faces, points) for points, faces in parts]
