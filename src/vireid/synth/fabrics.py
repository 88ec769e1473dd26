"""Cloth: its colours, its print and its fibre, drawn from a seed. Colours are linear reflectances, 0 to 1."""

import colorsys
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Rng = np.random.Generator
Fibre = Literal["cotton", "polyester", "wool", "denim", "leather", "nylon"]

LUMINANCE = np.array([0.3, 0.6, 0.1])


@dataclass(frozen=True, slots=True)
class Fabric:
    """One cloth.

    Attributes:
        color: ground colour `(3,)`.
        print_color: colour `(3,)` of the pattern.
        nir: near-infrared reflectance of the ground, partly independent of its colour.
        print_nir: the same for the pattern; a dyed pattern fades there, a pigment stays.
        pattern: plain, hstripe, vstripe, check, block, logo or floral.
        frequency: how fine the pattern is.
        insulation: how much of the skin's warmth it hides, 0 to 1.
        gloss: strength of the highlight.
        seed: seed of the logo.
        fibre: what it is made of.
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
    fibre: Fibre = "cotton"


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


def _draw_denim(rng: Rng) -> Array:
    if rng.random() < 0.25:
        return np.asarray(rng.choice([0.03, 0.12, 0.5]) * np.ones(3))
    return np.array(colorsys.hsv_to_rgb(rng.uniform(0.57, 0.63), rng.uniform(0.35, 0.7), rng.uniform(0.07, 0.45)))


# How much of the skin's warmth hides, and highlights: chosen by what the fibres are woven into.
_INSULATION: dict[str, tuple[float, float]] = {
    "cotton": (0.3, 0.6),
    "polyester": (0.3, 0.7),
    "wool": (0.5, 0.8),
    "denim": (0.4, 0.6),
    "leather": (0.5, 0.75),
    "nylon": (0.4, 0.8),
}
_GLOSS = {"leather": (0.15, 0.35), "nylon": (0.1, 0.25)}


def draw_fabric(rng: Rng, fibres: dict[str, float], *, darker: float = 1.0, patterns: float = 0.5) -> Fabric:
    """A cloth of one of `fibres` (by their shares); `patterns` is the share that is not plain.

    Most dyes are transparent in the near infrared, so the fibre shows; carbon black and pigments absorb.
    """
    shares = np.array(list(fibres.values()))
    fibre: Any = str(rng.choice(list(fibres), p=shares / shares.sum()))
    color = _draw_denim(rng) if fibre == "denim" else draw_color(rng) * darker
    if fibre == "leather":
        color, patterns = color * 0.6, 0.0
    print_color = draw_color(rng)
    if rng.random() < 0.22:
        nir = rng.uniform(0.06, 0.16)
    else:
        nir = rng.uniform(0.5, 0.8) * (0.55 + 0.45 * min(1.0, float(color @ LUMINANCE) * 2 + rng.uniform(0.1, 0.6)))
    pattern = "plain"
    if rng.random() < patterns and fibre != "denim":
        kinds = ["hstripe", "vstripe", "check", "block", "logo", "floral"]
        pattern = str(rng.choice(kinds, p=[0.21, 0.09, 0.21, 0.18, 0.24, 0.07]))
    pigment = rng.random() < 0.35
    return Fabric(
        color=color,
        print_color=print_color,
        nir=nir,
        print_nir=nir * (rng.uniform(0.3, 0.5) if pigment else rng.uniform(0.88, 1.1)),
        pattern=pattern,
        frequency=rng.uniform(8, 28),
        insulation=rng.uniform(*_INSULATION[fibre]),
        gloss=rng.uniform(*_GLOSS.get(fibre, (0.0, 0.1))),
        seed=int(rng.integers(1_000_000)),
        fibre=fibre,
    )
