"""Who a person is and what they wear, drawn from a seed.

A person keeps body, hair, trousers and shoes; the bag and for some the upper garment change between days; hat, scarf
and bag are put off at times, jackets and hoods opened and closed, so that no single thing gives an identity away.
Colours are linear reflectances, 0 to 1.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vireid.synth.body import LOCAL_CHANGES
from vireid.synth.fabrics import Fabric, draw_color, draw_fabric, draw_nir
from vireid.synth.poses import Gait

Array = npt.NDArray[Any]
Rng = np.random.Generator

# Colours of the skin; chosen.
SKINS = np.array([(0.75, 0.55, 0.45), (0.62, 0.43, 0.33), (0.5, 0.33, 0.24), (0.33, 0.21, 0.15), (0.22, 0.14, 0.1)])
# Colours of the hair; chosen.
HAIRS = np.array([(0.03, 0.025, 0.02), (0.08, 0.05, 0.03), (0.2, 0.12, 0.06), (0.4, 0.28, 0.14), (0.35, 0.34, 0.33)])

# Mean and spread of adults' height in metres: chosen. The means are near the 1.635 and 1.771 of people born in 1996 in
# the United States (NCD-RisC, eLife 2016;5:e13410) and above those of the world, 1.71 for men.
STATURE = {"female": (1.64, 0.068), "male": (1.77, 0.075)}
# The shortest and the tallest that are drawn, in metres; chosen.
SHORTEST = 1.50
TALLEST = 1.98
_ADULT = 0.667  # anny's age parameter at the end of growth
OUTER = ("jacket", "coat", "hoodie")  # tops that are worn over another
BAGS = ("none", "backpack", "crossbody", "tote", "handbag")


@dataclass(frozen=True, slots=True)
class Top:
    """Upper garment.

    Attributes:
        kind: tee, tank, long, jacket, coat or hoodie.
        sleeve: where it ends along the arm (0 shoulder, 1 elbow, 2 wrist).
        hem: where it ends along the torso (0 hip, 1 neck); 0.24 and above it is tucked in.
        offset: metres off the body.
        looseness: 0 follows the body, 1 hangs from the chest.
        fabric: the cloth.
        inner: the cloth of what is worn below an open or short jacket.
        under: where that ends along the torso; at or above `hem` it stays hidden.
        coat_length: how far a coat hangs from the waist, 1 at the knee.
        collar: none, shirt, stand or hood.
        closure: none, zip or buttons.
        is_open: whether the front is open.
        hood_up: whether a hood is worn.
    """

    kind: str
    sleeve: float
    hem: float
    offset: float
    looseness: float
    fabric: Fabric
    inner: Fabric
    under: float
    coat_length: float
    collar: Literal["none", "shirt", "stand", "hood"]
    closure: Literal["none", "zip", "buttons"]
    is_open: bool = False
    hood_up: bool = False

    @property
    def opens(self) -> bool:
        """Whether it is worn over something and can be opened."""
        return self.kind in OUTER and self.closure != "none"


@dataclass(frozen=True, slots=True)
class Bottom:
    """Lower garment: `leg` ends along the leg; `skirt_length` is 0 at the waist and 1 at the knee."""

    kind: str
    leg: float
    offset: float
    cut: Literal["slim", "straight", "wide", "flared"]
    fabric: Fabric
    skirt_length: float
    skirt_flare: float
    tights: bool
    belt: bool


@dataclass(frozen=True, slots=True)
class Footwear:
    """Shoes and socks: colours `(3,)` and near-infrared reflectances."""

    color: Array
    nir: float
    sole: Array
    sole_nir: float
    sock_color: Array
    sock_nir: float


# How often a hat, a scarf and a bag that somebody has along are worn or carried when a camera looks; chosen: hats and
# scarves go off indoors, bags are put down.
WORN = {"hat": 0.5, "scarf": 0.6, "bag": 0.65}
# How often a garment that opens is open, and a hood up; chosen.
OPEN = 0.5
HOOD_UP = 0.2


@dataclass(frozen=True, slots=True)
class Day:
    """What may change from day to day: upper garment, bag (one of `BAGS`), hat, scarf and folds."""

    top: Top
    bag: str
    hat: bool
    scarf: bool
    fold_seed: int

    def at_a_moment(self, rng: Rng) -> "Day":
        """The same as a camera finds it: a jacket open or closed, a hood up or down, hat, scarf and bag on or off."""
        worn = {name: rng.random() < share for name, share in WORN.items()}
        top = replace(
            self.top,
            is_open=self.top.opens and rng.random() < OPEN,
            hood_up=self.top.collar == "hood" and rng.random() < HOOD_UP,
        )
        return replace(
            self,
            top=top,
            bag=self.bag if worn["bag"] else "none",
            hat=self.hat and worn["hat"] and not top.hood_up,
            scarf=self.scarf and worn["scarf"] and not top.hood_up,
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """One person; two with different numbers differ in all of these.

    Attributes:
        skin: colour `(3,)`.
        hair: colour `(3,)`.
        hair_style: bald, buzz, short, bob, long, ponytail, bun or afro.
        hair_length: 0 to 1 within the style.
        beard: whether a beard is worn.
        glasses: whether glasses are worn.
        phenotype: anny's values, 0 to 1.
        changes: anny's local changes `(20,)`, -1 to 1.
        gait: how the person walks on average.
        bottom: lower garment.
        footwear: shoes and socks.
        bag_fabric: cloth of every bag of this person.
        bag_size: 0.8 to 1.2.
        hat_kind: cap, beanie or brim.
        hat_fabric: cloth of the hat.
        scarf_fabric: cloth of the scarf.
        days: at least one.
    """

    skin: Array
    hair: Array
    hair_style: str
    hair_length: float
    beard: bool
    glasses: bool
    phenotype: dict[str, float]
    changes: Array
    gait: Gait
    bottom: Bottom
    footwear: Footwear
    bag_fabric: Fabric
    bag_size: float
    hat_kind: Literal["cap", "beanie", "brim"]
    hat_fabric: Fabric
    scarf_fabric: Fabric
    days: tuple[Day, ...]

    @property
    def changes_top(self) -> bool:
        """Whether the upper garment differs between days."""
        return any(day.top is not self.days[0].top for day in self.days)

    @property
    def changes_bag(self) -> bool:
        """Whether the bag differs between days."""
        return any(day.bag != self.days[0].bag for day in self.days)


_CASUAL = {"cotton": 0.65, "polyester": 0.35}
# kind: share, sleeve (None: drawn), hem, offset, loosest, fibres, collars
_TOPS: dict[str, tuple[float, float | None, float, float, float, dict[str, float], dict[str, float]]] = {
    "tee": (0.24, None, -0.03, 0.006, 0.95, _CASUAL, {"none": 0.8, "shirt": 0.2}),
    "tank": (0.05, 0.0, 0.0, 0.004, 0.6, _CASUAL, {"none": 1.0}),
    "long": (
        0.23,
        1.92,
        -0.04,
        0.008,
        0.9,
        {"cotton": 0.6, "polyester": 0.2, "wool": 0.2},
        {"none": 0.5, "shirt": 0.5},
    ),
    "jacket": (
        *(0.21, 1.97, -0.1, 0.018, 0.95),
        {"polyester": 0.35, "nylon": 0.25, "denim": 0.2, "leather": 0.2},
        {"stand": 0.45, "shirt": 0.35, "hood": 0.2},
    ),
    "coat": (
        *(0.12, 1.97, -0.1, 0.02, 0.95),
        {"wool": 0.5, "polyester": 0.35, "nylon": 0.15},
        {"shirt": 0.5, "stand": 0.3, "hood": 0.2},
    ),
    "hoodie": (0.15, 1.95, -0.06, 0.016, 1.0, {"cotton": 0.7, "polyester": 0.3}, {"hood": 1.0}),
}


def _draw_top(rng: Rng) -> Top:
    kind = _choose(rng, {name: row[0] for name, row in _TOPS.items()})
    _, sleeve, hem, offset, loosest, fibres, collars = _TOPS[kind]
    collar = _choose(rng, collars)
    outer = kind in OUTER
    if kind == "long" and rng.random() < 0.15:
        sleeve = rng.uniform(1.05, 1.5)  # rolled up
    tucked = not outer and rng.random() < 0.2
    hem = 0.24 if tucked else hem + rng.uniform(-0.06, 0.05)
    closure = "none"
    if kind in ("jacket", "coat") or (kind == "hoodie" and rng.random() < 0.4):
        closure = "buttons" if rng.random() < {"jacket": 0.3, "coat": 0.75}.get(kind, 0.0) else "zip"
    elif collar == "shirt":
        closure = "buttons"
    return Top(
        kind=kind,
        sleeve=rng.uniform(0.45, 0.95) if sleeve is None else sleeve,
        hem=hem,
        offset=offset * rng.uniform(0.8, 1.4),
        looseness=rng.uniform(0.3, loosest) * (0.5 if tucked else 1.0),
        fabric=draw_fabric(rng, fibres),
        inner=draw_fabric(rng, _CASUAL),
        under=hem + rng.uniform(-0.14, 0.06) if outer else 1.0,
        coat_length=rng.uniform(0.5, 1.3),
        collar=collar,  # type: ignore[arg-type]
        closure=closure,  # type: ignore[arg-type]
    )


_FIBRES = {
    "trousers": {"cotton": 0.5, "polyester": 0.35, "wool": 0.15},
    "jeans": {"denim": 1.0},
    "shorts": {"cotton": 0.5, "polyester": 0.3, "denim": 0.2},
    "skirt": {"cotton": 0.4, "polyester": 0.35, "wool": 0.15, "denim": 0.1},
}
_CUTS = {"slim": 0.3, "straight": 0.45, "wide": 0.17, "flared": 0.08}


def _draw_bottom(rng: Rng, female: bool) -> Bottom:
    kinds = ["trousers", "jeans", "shorts", "skirt"]
    kind = str(rng.choice(kinds, p=[0.38, 0.25, 0.15, 0.22] if female else [0.46, 0.34, 0.2, 0.0]))
    legs = {"trousers": 1.94, "jeans": 1.95, "shorts": rng.uniform(0.5, 1.1), "skirt": -9.0}
    cut = _choose(rng, {"straight": 0.6, "wide": 0.4} if kind == "shorts" else _CUTS)
    return Bottom(
        kind=kind,
        leg=legs[kind] - (rng.uniform(0.05, 0.2) if cut == "slim" and rng.random() < 0.3 else 0.0),
        offset=rng.uniform(0.005, 0.01),
        cut=cut,  # type: ignore[arg-type]
        fabric=draw_fabric(rng, _FIBRES[kind], darker=0.75, patterns=0.25),
        skirt_length=rng.uniform(0.6, 1.7),
        skirt_flare=rng.uniform(0.0, 0.11),
        tights=bool(rng.random() < 0.4),
        belt=bool(rng.random() < 0.4) and kind != "skirt",
    )


# Shares of the materials of shoes and socks; chosen. Canvas is cotton, the mesh of sports shoes polyester.
SHOES = {"leather": 0.5, "cotton": 0.25, "polyester": 0.25}
SOCKS = {"cotton": 0.75, "wool": 0.15, "polyester": 0.1}


def _draw_footwear(rng: Rng) -> Footwear:
    color = draw_color(rng) * 0.6 if rng.random() < 0.75 else np.full(3, 0.6)
    sole, sock = np.full(3, rng.choice([0.05, 0.5, 0.7])), draw_color(rng)
    return Footwear(
        color=color,
        nir=draw_nir(rng, _choose(rng, SHOES), color),
        sole=sole,
        sole_nir=draw_nir(rng, "rubber", sole),
        sock_color=sock,
        sock_nir=draw_nir(rng, _choose(rng, SOCKS), sock),
    )


_HAIR_STYLES = {
    "female": {"short": 0.07, "bob": 0.23, "long": 0.3, "ponytail": 0.22, "bun": 0.12, "afro": 0.06},
    "male": {"bald": 0.08, "buzz": 0.25, "short": 0.55, "bob": 0.03, "long": 0.03, "ponytail": 0.02, "afro": 0.04},
}


def draw_identity(rng: Rng, days: int) -> Identity:
    """One person and what they wear and carry on `days` days."""
    sex = "female" if rng.random() < 0.5 else "male"
    female = sex == "female"
    gait = Gait(rng.uniform(16, 29), rng.uniform(6, 28), rng.uniform(0, 10))
    return Identity(
        skin=SKINS[rng.integers(len(SKINS))] * rng.uniform(0.9, 1.1),
        hair=HAIRS[rng.choice(len(HAIRS), p=[0.35, 0.3, 0.15, 0.1, 0.1])] * rng.uniform(0.8, 1.2),
        hair_style=_choose(rng, _HAIR_STYLES[sex]),
        hair_length=rng.uniform(),
        beard=bool(rng.random() < 0.35) and not female,
        glasses=bool(rng.random() < 0.3),
        phenotype=_draw_phenotype(rng, sex),
        changes=rng.normal(0, 0.33, len(LOCAL_CHANGES)).clip(-0.75, 0.75),
        gait=gait,
        bottom=_draw_bottom(rng, female),
        footwear=_draw_footwear(rng),
        bag_fabric=draw_fabric(rng, {"nylon": 0.5, "leather": 0.35, "cotton": 0.15}, patterns=0.3),
        bag_size=rng.uniform(0.8, 1.2),
        hat_kind=_choose(rng, {"cap": 0.5, "beanie": 0.35, "brim": 0.15}),  # type: ignore[arg-type]
        hat_fabric=draw_fabric(rng, {"cotton": 0.6, "wool": 0.4}, patterns=0.2),
        scarf_fabric=draw_fabric(rng, {"wool": 0.7, "cotton": 0.3}, patterns=0.4),
        days=_draw_days(rng, days, female),
    )


def _draw_phenotype(rng: Rng, sex: str) -> dict[str, float]:
    mean, spread = STATURE[sex]
    stature = mean + spread * rng.standard_normal()
    while not SHORTEST + 0.02 < stature < TALLEST - 0.02:
        stature = mean + spread * rng.standard_normal()
    shortest, slope = (1.224, 1.089) if sex == "female" else (1.364, 1.09)  # of anny's height parameter in metres
    return {
        "gender": rng.uniform(0.85, 1.0) if sex == "female" else rng.uniform(0.0, 0.15),
        "age": rng.uniform(_ADULT, 0.95),
        "muscle": rng.uniform(0.25, 0.75),
        "weight": rng.beta(2.2, 2.2) * 0.8 + 0.15,
        "height": (stature - shortest) / slope,
        "proportions": rng.uniform(0.3, 0.9),
    }


def _draw_days(rng: Rng, count: int, female: bool) -> tuple[Day, ...]:
    """About 20 % change the upper garment and about 35 % the bag after the first of two days."""
    shares = [0.42, 0.24, 0.14, 0.1, 0.1] if female else [0.5, 0.32, 0.14, 0.03, 0.01]
    hat_habit, scarf_habit = rng.random() < 0.25, rng.random() < 0.2
    top, bag = _draw_top(rng), str(rng.choice(BAGS, p=shares))
    result = []
    for day in range(count):
        if day and rng.random() < 0.2:
            top = _draw_top(rng)
        if day and rng.random() < 0.35:
            others = [(name, share) for name, share in zip(BAGS, shares, strict=True) if name != bag]
            bag = _choose(rng, dict(others))
        hat, scarf = hat_habit and rng.random() < 0.75, scarf_habit and rng.random() < 0.75
        scarf = scarf and top.kind not in ("tee", "tank")
        result.append(Day(top, bag, bool(hat), bool(scarf), int(rng.integers(1000))))
    return tuple(result)


def _choose(rng: Rng, shares: dict[str, float]) -> str:
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))
