"""What people do in front of a camera: postures, and the bone rotations that make them.

Rotations are in degrees about the axes of the rest pose (x to the person's left, y backward, z up): about x a
limb swings backward and the trunk leans forward. Phases are in radians, 0 to 2 pi is one cycle of two steps.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Rng = np.random.Generator

# Shares of what people do before surveillance cameras; chosen, as no count of them was at hand.
ACTIVITIES = {
    "walking": 0.60,
    "standing": 0.12,
    "phone": 0.07,
    "call": 0.04,
    "pockets": 0.045,
    "crossed": 0.025,
    "carrying": 0.03,
    "running": 0.03,
    "cycling": 0.04,
}
# How often somebody walks while doing it; crossed arms stand, a phone is read either way.
_ON_THE_MOVE = {"walking": 1.0, "phone": 0.5, "call": 0.6, "pockets": 0.6, "carrying": 0.8}
# Left upper arm (x, y, z) and forearm (x, z), found by fitting the wrist and the elbow of an average body to a
# place: before the chest, at the ear, in a pocket, across the chest, under a parcel, at a handlebar. The right
# arm mirrors them.
_ARMS = {
    "phone": (-13.7, 28.1, -21.1, -37.8, -38.6),
    "call": (-29.9, -14.0, -46.9, -96.7, -96.1),
    "pockets": (14.7, 24.0, -9.4, 15.1, -24.7),
    "crossed": (-8.4, 29.8, -19.3, -4.7, -68.9),
    "carrying": (-17.0, 26.6, -19.9, -14.7, -14.6),
    "cycling": (-95.9, 33.9, 5.9, 47.8, -17.5),
}


@dataclass(frozen=True, slots=True)
class Gait:
    """How somebody walks: stride and arm swing and forward lean in degrees."""

    stride: float
    arm_swing: float
    slouch: float


# Standard deviations of stride, arm swing and forward lean, in degrees, from one walk of a person to the next; chosen,
# as wide as people differ: pace, shoes, mood and what is carried change a walk, and one picture does not tell a gait.
WALK_CHANGES = (4.0, 6.0, 3.0)


def draw_walk(rng: Rng, gait: Gait) -> Gait:
    """How a person with this gait walks at a moment."""
    stride, arm_swing, slouch = rng.normal((gait.stride, gait.arm_swing, gait.slouch), WALK_CHANGES)
    return Gait(max(stride, 10.0), max(arm_swing, 2.0), max(slouch, -2.0))


@dataclass(frozen=True, slots=True)
class Posture:
    """One instant of what somebody does.

    Attributes:
        activity: a key of `ACTIVITIES`.
        phase: of the walk, the run or the pedals, radians.
        walks: whether the legs walk (else they stand).
        turn: the head's turn to the left, degrees.
        nod: the head's nod forward, degrees.
        sway: which leg bears the weight of somebody who stands, -1 to 1.
        spread: how far the arms are held off the body, degrees.
        gait: how they walk just then.
    """

    activity: str = "walking"
    phase: float = 0.0
    walks: bool = True
    turn: float = 0.0
    nod: float = 0.0
    sway: float = 0.0
    spread: float = 0.0
    gait: Gait = Gait(22.0, 17.0, 5.0)


def draw_posture(rng: Rng, gait: Gait) -> Posture:
    """What somebody with this gait does when a camera looks."""
    activity = str(rng.choice(list(ACTIVITIES), p=list(ACTIVITIES.values())))
    return Posture(
        activity=activity,
        phase=rng.uniform(0, 2 * math.pi),
        walks=bool(rng.random() < _ON_THE_MOVE.get(activity, 0.0)),
        turn=rng.normal(0, 12),
        nod=rng.normal(4, 5) + (16 if activity == "phone" else 0),
        sway=rng.uniform(-1, 1),
        spread=rng.normal(0, 2),
        gait=draw_walk(rng, gait),
    )


def rotations(posture: Posture) -> dict[str, Array]:
    """Rotation matrices `(3, 3)` by the name of the bone they turn."""
    pose = _legs(posture) | _arms(posture)
    lean = {"running": 10.0, "cycling": 24.0}.get(posture.activity, 0.0)
    twist = math.cos(posture.phase) if posture.walks or posture.activity == "running" else 0.2 * posture.sway
    pose["spine03"] = _about(z=5 * twist) @ _about(x=posture.gait.slouch + lean)
    pose["root"] = _about(z=-4 * twist) @ _about(x=14.0 if posture.activity == "cycling" else 0.0)
    ahead = -0.4 * posture.gait.slouch - 0.8 * lean - (14 if posture.activity == "cycling" else 0)
    pose["neck01"] = _about(x=ahead, z=0.5 * posture.turn)
    pose["head"] = _about(x=posture.nod, z=0.5 * posture.turn)
    for side, sign in (("L", 1), ("R", -1)):
        for finger in range(2, 6):
            for joint in (1, 2):
                pose[f"finger{finger}-{joint}.{side}"] = _about(y=sign * 18)
    return pose


def _legs(posture: Posture) -> dict[str, Array]:
    """An analytic gait: cosine hip swing and a Gaussian knee bend while the leg swings forward."""
    pose = {}
    for side, sign, offset in (("L", 1, 0.0), ("R", -1, math.pi)):
        angle = (posture.phase + offset) % (2 * math.pi)
        swing = math.exp(-(((angle - 1.42 * math.pi) / (0.27 * math.pi)) ** 2))
        together = 7.0
        if posture.activity == "running":
            hip, knee = 1.5 * posture.gait.stride * math.cos(angle) + 14, 22 + 72 * swing
        elif posture.activity == "cycling":
            hip, knee = 58 + 26 * math.cos(angle), 72 + 34 * math.cos(angle + 0.6)
        elif posture.walks:
            hip, knee = posture.gait.stride * math.cos(angle) + 4, 6 + 52 * swing
        else:
            rest = max(0.0, sign * posture.sway)
            hip, knee, together = 3 + 8 * rest, 2 + 15 * rest, 4.5 - 3 * rest
        pose[f"upperleg01.{side}"] = _about(y=sign * together) @ _about(x=-hip)
        pose[f"lowerleg01.{side}"] = _about(x=knee)
        flat = 0.85 if posture.activity == "cycling" else 1.0 if not posture.walks else 0.45
        pose[f"foot.{side}"] = _about(x=(hip - knee) * flat)
    return pose


def _arms(posture: Posture) -> dict[str, Array]:
    pose = {}
    for side, sign, offset in (("L", 1, 0.0), ("R", -1, math.pi)):
        busy = posture.activity in ("pockets", "crossed", "carrying", "cycling")
        if busy or (side == "R" and posture.activity in ("phone", "call")):
            x, y, z, bend, inward = _ARMS[posture.activity]
            # One forearm lies over the other.
            over = 9 * sign if posture.activity == "crossed" else 0
            upper = _about(z=sign * z) @ _about(x=x - over) @ _about(y=sign * y)
            lower = _about(z=sign * inward) @ _about(x=bend)
        else:
            amount = posture.gait.arm_swing if posture.walks else 2.0
            swing = -amount * math.cos(posture.phase + offset) - 2
            bend = 36 - max(0.0, swing) * 0.5
            if posture.activity == "running":
                swing, bend = swing * 1.6 - 4, -38.0
            upper = _about(x=-swing) @ _about(y=sign * (29 - posture.spread))
            lower = _about(x=bend)
        pose[f"upperarm01.{side}"], pose[f"lowerarm01.{side}"] = upper, lower
    return pose


def _about(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Array:
    """Turns in degrees about x, then y, then z, as `(3, 3)`."""
    result = np.eye(3)
    for axis, degrees in enumerate((x, y, z)):
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turn = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn[i, i], turn[i, j], turn[j, i], turn[j, j] = c, -s, s, c
        result = turn @ result
    return result
