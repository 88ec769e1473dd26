"""Cloth: its colours, its print and its fibre, drawn from a seed. Colours are linear reflectances, 0 to 1."""

import colorsys
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Rng = np.random.Generator
Fibre = Literal["cotton", "polyester", "wool", "denim", "leather", "nylon"]

# Weights of linear sRGB in luminance: ITU-R BT.709.
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])

# Least and greatest NIR reflectance, at about 850 nm, of a material whose dye does not absorb there. The numbers are
# chosen, as no table by fibre was found. What was found: blood, which absorbs, shows in infrared on most fabrics of
# cotton, polyester and wool, and no better than to the eye on leather (Forensic Science International 331, 2022,
# researchportal.be/nl/node/9120888); on 69 dark fabrics infrared showed it best (doi:10.1111/1556-4029.14643); black
# felt is bright (dwarmstr.blogspot.com, A blue hat day); leather's own fibres reflect (tfl.com, COOL TEC); indigo is
# told from other blues by infrared pictures (publications.mingei.org, Blue Gold, essay 9), so denim is near cotton.
CLEAR_NIR = {
    "cotton": (0.55, 0.8),
    "denim": (0.5, 0.75),
    "polyester": (0.5, 0.75),
    "nylon": (0.45, 0.7),
    "wool": (0.45, 0.7),
    "leather": (0.35, 0.6),
    "rubber": (0.45, 0.7),
}
# Share of the dark pieces that carbon black, another pigment or a coat keeps dark in NIR; chosen. That there are such:
# some dark fabrics absorb NIR strongly (Mercer, iabpa.org, Daniel Rahn grant 2014), not all black cloth is alike (Near
# Infrared and You, Museum of Science, Boston); 0.05 g/kg of carbon black in a print lowers the NIR reflectance of
# cotton and nylon (Effect of carbon black nanoparticles on reflective behavior of printed cotton/nylon fabrics,
# mallakpour.iut.ac.ir), and it sets that of polyester dyed in the mass (pccc.icrc.ac.ir/article_81612.html); coloured
# leathers usually absorb it (tfl.com, COOL dyes).
DARK_SHARE = {
    "cotton": 0.25,
    "denim": 0.15,
    "polyester": 0.35,
    "nylon": 0.4,
    "wool": 0.15,
    "leather": 0.65,
    "rubber": 0.9,
}
# NIR reflectance of those pieces, and the luminance below which a piece can be one; chosen, as carbon black absorbs
# all visible light and goes on beyond (When black is white, pcimag.com/articles/86552).
DARK_NIR = (0.05, 0.15)
DARK_BELOW = 0.2
# Greatest share of the NIR that a black dye takes, less the lighter its colour is, none from this luminance on; chosen.
DYE_TAKES = 0.35
DYE_LIGHT = 0.5
# Share of the prints that are pigments, which absorb NIR, and the shares of the ground's reflectance that those and the
# dyed ones have; chosen.
PIGMENT_SHARE = 0.5
PIGMENT_NIR = (0.3, 0.5)
DYED_NIR = (0.88, 1.1)
# How much of the skin's warmth hides, 0 to 1: chosen by what the fibres are woven into.
INSULATION = {
    "cotton": (0.3, 0.6),
    "polyester": (0.3, 0.7),
    "wool": (0.5, 0.8),
    "denim": (0.4, 0.6),
    "leather": (0.5, 0.75),
    "nylon": (0.4, 0.8),
}
# Strength of the highlights of what shines, and of all else; chosen.
GLOSS = {"leather": (0.15, 0.35), "nylon": (0.1, 0.25)}
GLOSS_ELSE = (0.0, 0.1)
# A print is meant to be seen: least difference of luminance from the ground; chosen.
PRINT_CONTRAST = 0.08


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


def draw_nir(rng: Rng, material: str, color: Array) -> float:
    """Near-infrared reflectance of a piece of `material`, one of `CLEAR_NIR`, dyed in this colour `(3,)`.

    Most dyes are transparent there, so the material shows; carbon black and pigments absorb.
    """
    light = float(color @ LUMINANCE)
    if light < DARK_BELOW and rng.random() < DARK_SHARE[material]:
        return rng.uniform(*DARK_NIR)
    depth = max(0.0, 1 - light / DYE_LIGHT)
    return rng.uniform(*CLEAR_NIR[material]) * (1 - rng.uniform(0, DYE_TAKES) * depth)


def _draw_print(rng: Rng, ground: Array) -> Array:
    color = draw_color(rng)
    while abs(float((color - ground) @ LUMINANCE)) < PRINT_CONTRAST:
        color = draw_color(rng)
    return color


def draw_fabric(rng: Rng, fibres: dict[str, float], *, darker: float = 1.0, patterns: float = 0.65) -> Fabric:
    """A cloth of one of `fibres` (by their shares); `patterns` is the share that is not plain."""
    shares = np.array(list(fibres.values()))
    fibre: Any = str(rng.choice(list(fibres), p=shares / shares.sum()))
    color = _draw_denim(rng) if fibre == "denim" else draw_color(rng) * darker
    if fibre == "leather":
        color, patterns = color * 0.6, 0.0
    print_color = _draw_print(rng, color)
    nir = draw_nir(rng, fibre, color)
    pattern = "plain"
    if rng.random() < patterns and fibre != "denim":
        kinds = ["hstripe", "vstripe", "check", "block", "logo", "floral"]
        pattern = str(rng.choice(kinds, p=[0.21, 0.09, 0.21, 0.18, 0.24, 0.07]))
    pigment = rng.random() < PIGMENT_SHARE
    return Fabric(
        color=color,
        print_color=print_color,
        nir=nir,
        print_nir=nir * rng.uniform(*(PIGMENT_NIR if pigment else DYED_NIR)),
        pattern=pattern,
        frequency=rng.uniform(8, 28),
        insulation=rng.uniform(*INSULATION[fibre]),
        gloss=rng.uniform(*GLOSS.get(fibre, GLOSS_ELSE)),
        seed=int(rng.integers(1_000_000)),
        fibre=fibre,
    )
