"""What the materials of people are in visible light, near infrared and thermal infrared.

Every constant says where it is from, or "chosen". Reflectances are 0 to 1, linear; NIR is a band around 850 nm, the
thermal band 8 to 14 um. How warm a surface is follows from how well it insulates: between the skin and the air heat
crosses the clothing's resistance R and that of the air layer on it, so a garment's outside is the share
R_AIR / (R_AIR + R) of the way from the air's temperature to the skin's.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from vireid.synth.fabrics import LUMINANCE, Fabric
from vireid.synth.fit import Part
from vireid.synth.identity import Day, Identity

Array = npt.NDArray[Any]


class Band(StrEnum):
    """A spectral band; near and long-wave infrared are both the modality infrared."""

    VISIBLE = "visible"
    NIR = "nir"
    LWIR = "lwir"


# Skin temperature in degrees Celsius of a comfortable person: chosen between the 33 that the clo is defined with (AMS
# Glossary of Meteorology) and the neutral 33.7 of Gagge's two-node model. How far the face and the hands are from the
# air's temperature to that one: chosen, the face a little warmer and the hands cooler.
SKIN_TEMPERATURE = 33.5
FACE_WARMTH = 1.03
HAND_WARMTH = 0.88
# Emissivity in the thermal band. Skin: Steketee 1973, 0.98 +- 0.01. Cloth: nylon 0.87, cotton and polyester 0.88
# (Belliveau et al., Forensic Chemistry 19, 2020, 8 to 12 um, before blood was put on); the others chosen.
SKIN_EMISSIVITY = 0.98
EMISSIVITY = {"cotton": 0.88, "polyester": 0.88, "nylon": 0.87, "wool": 0.90, "denim": 0.89, "leather": 0.95}
# Resistance of the air layer on a person in still air, 1 / (h_convection + h_radiation): chosen between that of
# standing, 1 / (4.0 + 4.7 W/m2K) = 0.115, and of walking at 0.9 m/s, 1 / (8.1 + 4.7) = 0.078 (convection: 4.0 and
# 8.6 v^0.53, ASHRAE Handbook, Fundamentals, 1997; radiation: 4.7 as in Gagge's two-node model).
R_AIR = 0.09
# Resistance of the cloth where it covers, m2K/W with the air under it: chosen, roughly a garment's value for the whole
# body (T-shirt 0.014, normal trousers 0.039, jacket 0.054, coat 0.093, parka 0.109: engineeringtoolbox.com, Clo) over
# the share of the body that it covers; trousers less.
RESISTANCE = {"tee": 0.04, "tank": 0.03, "long": 0.06, "hoodie": 0.10, "jacket": 0.12, "coat": 0.17}
TROUSERS_RESISTANCE = 0.055
SKIRT_RESISTANCE = 0.09
# NIR reflectance. Skin: a line near what was measured on 100 inner forearms, 0.49 to 0.66 at 850 nm where 550 nm gives
# 0.11 to 0.42 (NIST reference data set of human skin reflectance, doi:10.6028/jres.122.026). Hair: chosen; the longer
# the wave, the less it absorbs and scatters, from 409 to 1064 nm (Journal of Biomedical Optics 14, 024035, 2009).
SKIN_NIR = (0.45, 0.38)  # at no visible reflectance, and the slope on it
HAIR_NIR = (0.20, 0.9)

PATTERNS = ("plain", "hstripe", "vstripe", "check", "block", "logo", "floral")
# Rows of a wardrobe's table: one for each `Part`, then what lies on the body itself.
TOP, INNER, BOTTOM, SOCK, TIGHTS, SOLE, SKIN, ROWS = (len(Part) + k for k in range(8))
# Columns of a row.
COLOR, PRINT_COLOR, NIR, PRINT_NIR, PATTERN, FREQUENCY = 0, 3, 6, 7, 8, 9
WARMTH, EMITS, BUMP, GLOSS, LOGO_X, LOGO_Z, LOGO_W, LOGO_H, SEED, COLUMNS = range(10, 20)


def warmth(resistance: float) -> float:
    """How far the outside of a cloth with resistance in m2K/W is from the air's temperature to the skin's, 0 to 1."""
    return R_AIR / (R_AIR + resistance)


@dataclass(frozen=True, slots=True)
class Wardrobe:
    """The materials of one person on one day.

    Attributes:
        table: `(ROWS, COLUMNS)` float32.
        cut: `(13,)` float32, where garments end and what they have, in the order of `surface.py`.
    """

    table: Array
    cut: Array


def wardrobe(person: Identity, day: Day) -> Wardrobe:
    """Fill the table of a person's materials."""
    table = np.zeros((ROWS, COLUMNS), np.float32)
    table[:, EMITS] = 0.9
    top, bottom, shoes = day.top, person.bottom, person.footwear
    over = RESISTANCE[top.kind]
    hair_nir = HAIR_NIR[0] + HAIR_NIR[1] * float(person.hair @ LUMINANCE)
    skin_nir = SKIN_NIR[0] + SKIN_NIR[1] * float(person.skin @ LUMINANCE)
    table[TOP] = _cloth(top.fabric, over)
    table[INNER] = _cloth(top.inner, RESISTANCE["tee"])
    table[BOTTOM] = _cloth(bottom.fabric, TROUSERS_RESISTANCE)
    table[Part.SKIRT] = _cloth(bottom.fabric, SKIRT_RESISTANCE)
    table[Part.COAT] = _cloth(top.fabric, over + 0.05)
    table[Part.HOOD] = _cloth(top.fabric, over)
    table[Part.COLLAR] = _cloth(top.fabric, over * 0.8)
    table[Part.SCARF] = _cloth(person.scarf_fabric, 0.12)
    table[Part.HAT] = _cloth(person.hat_fabric, 0.10)
    # What is carried has nearly the air's temperature; a strap is warmed by the back it lies on.
    table[Part.BAG] = _cloth(person.bag_fabric, 1.5)
    table[Part.STRAP] = _cloth(person.bag_fabric, 0.25)
    table[SKIN] = _plain(person.skin, skin_nir, 1.0, SKIN_EMISSIVITY, gloss=0.1)
    for row in (Part.HAIR, Part.BEARD):
        table[row] = _plain(person.hair, hair_nir, warmth(0.12), 0.95, bump=0.4, gloss=0.2)
    table[Part.SHOE] = _plain(shoes.color, shoes.nir, warmth(0.25), 0.93, gloss=0.25)
    table[SOLE] = _plain(shoes.sole, shoes.sole_nir, warmth(0.5), 0.93)
    table[SOCK] = _plain(shoes.sock_color, shoes.sock_nir, warmth(0.045), 0.88, bump=0.2)
    table[TIGHTS] = _plain(np.array([0.05, 0.05, 0.06]), 0.5, warmth(0.02), 0.88)
    table[Part.BICYCLE] = _plain(person.bag_fabric.color * 0.8, 0.2, 0.06, 0.8, gloss=0.5)
    table[Part.PHONE] = _plain(np.full(3, 0.04), 0.08, 0.35, 0.9, gloss=0.5)  # its electronics are warm
    table[Part.PARCEL] = _plain(np.array([0.45, 0.32, 0.2]) * person.bag_size**2, 0.6, 0.08, 0.93)
    cut = (
        top.sleeve,
        top.hem,
        bottom.leg,
        float(top.is_open),
        float(top.kind in ("tank", "tee")),
        float(top.closure == "zip"),
        float(top.closure == "buttons"),
        float(bottom.belt),
        float(bottom.kind == "skirt") * (2 if bottom.tights else 1),
        float(person.hair_style != "bald"),
        float(person.beard),
        float(person.glasses),
        top.under,
    )
    return Wardrobe(table, np.array(cut, np.float32))


def _cloth(fabric: Fabric, resistance: float) -> Array:
    rng = np.random.default_rng(fabric.seed)
    # Insulation is how much thicker or thinner than usual the cloth is.
    warm = warmth(resistance * (0.55 + 0.9 * fabric.insulation))
    logo = (rng.uniform(-0.04, 0.04), rng.uniform(0.22, 0.32), *rng.uniform(0.07, 0.12, 2))
    return np.array(
        (
            *fabric.color,
            *fabric.print_color,
            fabric.nir,
            fabric.print_nir,
            PATTERNS.index(fabric.pattern),
            fabric.frequency,
            warm,
            EMISSIVITY[fabric.fibre],
            0.35,
            fabric.gloss,
            *logo,
            fabric.seed % 1000,
        ),
        np.float32,
    )


def _plain(color: Array, nir: float, warm: float, emits: float, *, bump: float = 0.05, gloss: float = 0.0) -> Array:
    row = np.zeros(COLUMNS, np.float32)
    row[COLOR : COLOR + 3] = color
    row[[NIR, PRINT_NIR, WARMTH, EMITS, BUMP, GLOSS]] = (nir, nir, warm, emits, bump, gloss)
    row[FREQUENCY] = 10
    return row
