"""Who a person is and what they wear, drawn from a seed.

A person keeps body, gait, hair and the clothes of a day; what they carry and whether they wear a hat changes
between days, so that no single accessory gives an identity away. Colours are linear reflectances, 0 to 1.
"""

import colorsys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vireid.synth.body import LOCAL_CHANGES, Gait

Array = npt.NDArray[Any]
Rng = np.random.Generator

SKINS = np.array([(0.75, 0.55, 0.45), (0.62, 0.43, 0.33), (0.5, 0.33, 0.24), (0.33, 0.21, 0.15), (0.22, 0.14, 0.1)])
HAIRS = np.array([(0.03, 0.025, 0.02), (0.08, 0.05, 0.03), (0.2, 0.12, 0.06), (0.4, 0.28, 0.14), (0.35, 0.34, 0.33)])
LUMINANCE = np.array([0.3, 0.6, 0.1])


@dataclass(frozen=True, slots=True)
class Fabric:
    """One cloth.

    Attributes:
        color: ground colour `(3,)`.
        print_color: colour `(3,)` of the pattern.
        nir: near-infrared reflectance of the ground, partly independent of its colour.
        print_nir: the same for the pattern; a dyed pattern fades there, a pigment stays.
        pattern: plain, hstripe, vstripe, check, block or logo.
        frequency: how fine the pattern is.
        insulation: how much of the skin's warmth it hides, 0 to 1.
        gloss: strength of the highlight.
        seed: seed of the logo.
    """

    color: Array
    print_color: Array
    nir: float
    print_nir: float
    pattern: str
    frequency: float
    insulation: float
    gloss: float
    seed: int


@dataclass(frozen=True, slots=True)
class Top:
    """Upper garment: `sleeve` ends along the arm, `hem` along the torso; `offset`: metres off the body."""

    kind: str
    sleeve: float
    hem: float
    offset: float
    fabric: Fabric
    inner: Fabric
    is_open: bool
    coat_length: float
    hood_up: bool


@dataclass(frozen=True, slots=True)
class Bottom:
    """Lower garment: `leg` ends along the leg; `skirt_length` is 0 at the waist and 1 at the knee."""

    kind: str
    leg: float
    offset: float
    fabric: Fabric
    skirt_length: float
    tights: bool


@dataclass(frozen=True, slots=True)
class Footwear:
    """Shoes and socks: colours `(3,)` and near-infrared reflectances."""

    color: Array
    nir: float
    sole: Array
    sock_color: Array
    sock_nir: float


@dataclass(frozen=True, slots=True)
class Day:
    """What changes from day to day: bag (none, backpack, handbag), hat and the folds of the clothes."""

    bag: str
    hat: bool
    fold_seed: int


@dataclass(frozen=True, slots=True)
class Identity:
    """One person; two with different numbers differ in all of these."""

    skin: Array
    hair: Array
    hair_style: str
    phenotype: dict[str, float]
    changes: Array
    gait: Gait
    top: Top
    bottom: Bottom
    footwear: Footwear
    bag_fabric: Fabric
    hat_fabric: Fabric
    days: tuple[Day, ...]


def draw_color(rng: Rng) -> Array:
    """A clothing colour: greys, navy blues and a tail of saturated ones, as on a street."""
    kind = rng.choice(3, p=[0.42, 0.2, 0.38])
    if kind == 0:
        return np.asarray(rng.choice([0.03, 0.05, 0.08, 0.2, 0.35, 0.7]) * rng.uniform(0.9, 1.1, 3) ** 0.3)
    if kind == 1:
        hsv = (rng.uniform(0.57, 0.66), rng.uniform(0.4, 0.8), rng.uniform(0.06, 0.35))
    else:
        hsv = (rng.uniform(), rng.uniform(0.3, 0.75), rng.uniform(0.1, 0.5))
    return np.array(colorsys.hsv_to_rgb(*hsv))


def draw_fabric(rng: Rng, *, darker: float = 1.0, patterns: float = 0.55) -> Fabric:
    """A cloth; `patterns` is the share that is not plain.

    Most dyes are transparent in the near infrared, so the fibre shows; carbon black and pigments absorb.
    """
    color, print_color = draw_color(rng) * darker, draw_color(rng)
    if rng.random() < 0.22:
        nir = rng.uniform(0.06, 0.16)
    else:
        nir = rng.uniform(0.5, 0.8) * (0.55 + 0.45 * min(1.0, float(color @ LUMINANCE) * 2 + rng.uniform(0.1, 0.6)))
    pattern = "plain"
    if rng.random() < patterns:
        kinds = ["hstripe", "vstripe", "check", "block", "logo"]
        pattern = str(rng.choice(kinds, p=[0.22, 0.09, 0.23, 0.19, 0.27]))
    pigment = rng.random() < 0.35
    return Fabric(
        color=color,
        print_color=print_color,
        nir=nir,
        print_nir=nir * (rng.uniform(0.3, 0.5) if pigment else rng.uniform(0.88, 1.1)),
        pattern=pattern,
        frequency=rng.uniform(8, 28),
        insulation=rng.uniform(0.3, 0.75),
        gloss=rng.uniform(0, 0.15),
        seed=int(rng.integers(1_000_000)),
    )


_TOPS = {  # sleeve (None: drawn), hem, offset
    "tee": (None, -0.02, 0.012),
    "tank": (0.0, 0.0, 0.005),
    "long": (1.92, -0.03, 0.014),
    "jacket": (1.97, -0.1, 0.026),
    "coat": (1.97, -0.1, 0.03),
    "hoodie": (1.95, -0.06, 0.026),
}


def _draw_top(rng: Rng) -> Top:
    kind = str(rng.choice(list(_TOPS), p=[0.25, 0.07, 0.2, 0.2, 0.13, 0.15]))
    sleeve, hem, offset = _TOPS[kind]
    short = rng.uniform(0.45, 0.95)
    return Top(
        kind=kind,
        sleeve=short if sleeve is None else sleeve,
        hem=hem + rng.uniform(-0.06, 0.05),
        offset=offset * rng.uniform(0.7, 1.5),
        fabric=draw_fabric(rng),
        inner=draw_fabric(rng),
        is_open=bool(rng.random() < 0.6) and kind in ("jacket", "coat"),
        coat_length=rng.uniform(0.55, 1.25),
        hood_up=bool(rng.random() < 0.25) and kind == "hoodie",
    )


def _draw_bottom(rng: Rng, female: bool) -> Bottom:
    kinds = ["trousers", "jeans", "shorts", "skirt"]
    kind = str(rng.choice(kinds, p=[0.38, 0.2, 0.17, 0.25] if female else [0.5, 0.27, 0.23, 0.0]))
    legs = {"trousers": 1.93, "jeans": 1.95, "shorts": rng.uniform(0.55, 1.3), "skirt": -9.0}
    offsets = {"trousers": rng.uniform(0.01, 0.03), "jeans": 0.008, "shorts": 0.022, "skirt": 0.0}
    return Bottom(
        kind=kind,
        leg=legs[kind],
        offset=offsets[kind],
        fabric=draw_fabric(rng, darker=0.75, patterns=0.18),
        skirt_length=rng.uniform(0.6, 1.6),
        tights=bool(rng.random() < 0.4),
    )


def draw_identity(rng: Rng, days: int) -> Identity:
    """One person with `days` days of accessories."""
    female = bool(rng.random() < 0.5)
    styles = ["short", "bob", "long", "bald"]
    phenotype = {
        "gender": rng.uniform(0.8, 1.0) if female else rng.uniform(0.0, 0.2),
        "age": rng.uniform(0.62, 0.85),
        "muscle": rng.uniform(0.2, 0.75),
        "weight": rng.uniform(0.2, 0.88),
        "height": rng.uniform(0.25, 0.75),
        "proportions": rng.uniform(0.3, 0.9),
    }
    bags = rng.permutation(["none", "backpack", "handbag"])
    usual_bag = str(rng.choice(bags, p=[0.5, 0.3, 0.2]))
    hat_habit = rng.random() < 0.2
    return Identity(
        skin=SKINS[rng.integers(len(SKINS))] * rng.uniform(0.9, 1.1),
        hair=HAIRS[rng.choice(len(HAIRS), p=[0.35, 0.3, 0.15, 0.1, 0.1])],
        hair_style=str(rng.choice(styles, p=[0.1, 0.35, 0.5, 0.05] if female else [0.75, 0.1, 0.05, 0.1])),
        phenotype=phenotype,
        changes=rng.normal(0, 0.33, len(LOCAL_CHANGES)).clip(-0.75, 0.75),
        gait=Gait(rng.uniform(16, 29), rng.uniform(6, 28), rng.uniform(0, 10)),
        top=_draw_top(rng),
        bottom=_draw_bottom(rng, female),
        footwear=Footwear(
            color=draw_color(rng) * 0.6 if rng.random() < 0.75 else np.full(3, 0.6),
            nir=rng.uniform(0.1, 0.6),
            sole=np.full(3, rng.choice([0.05, 0.5, 0.7])),
            sock_color=draw_color(rng),
            sock_nir=rng.uniform(0.3, 0.7),
        ),
        bag_fabric=draw_fabric(rng, patterns=0.3),
        hat_fabric=draw_fabric(rng, patterns=0.2),
        days=tuple(_draw_day(rng, usual_bag, hat_habit) for _ in range(days)),
    )


def _draw_day(rng: Rng, usual_bag: str, hat_habit: bool) -> Day:
    others = [bag for bag in ("none", "backpack", "handbag") if bag != usual_bag]
    bag = usual_bag if rng.random() < 0.75 else str(rng.choice(others))
    return Day(bag=bag, hat=bool(hat_habit and rng.random() < 0.75), fold_seed=int(rng.integers(1000)))
