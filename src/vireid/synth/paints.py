"""The paints of things, drawn from a generator.

Near-infrared reflectances: wall paint 0.5 to 0.8, asphalt 0.1 to 0.25, leaves near 0.5, glass and rubber dark;
plastics, lacquers and cloth any, apart from their colour. These and all temperatures are chosen.
"""

import colorsys
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from vireid.synth.solids import Array, Paint, Texture

Rng = np.random.Generator
T = TypeVar("T")


def pick(rng: Rng, things: Sequence[T]) -> T:
    """One of the things."""
    return things[int(rng.integers(len(things)))]


def tone(rng: Rng, low: float = 0.04, high: float = 0.75, strength: float = 0.9) -> Array:
    """A colour `(3,)`, linear: most muted, some strong up to the saturation `strength`."""
    value = low + (high - low) * rng.random() ** 1.4
    return np.array(colorsys.hsv_to_rgb(rng.random(), strength * rng.random() ** 1.8, value))


def lacquer(rng: Rng, heat: float = 0.0, texture: Texture = Texture.PLAIN, scale: float = 0.5) -> Paint:
    """Painted metal or plastic of any colour."""
    return Paint(tone(rng), rng.uniform(0.1, 0.75), heat + rng.normal(0, 0.8), texture, scale)


def wall_paint(rng: Rng, texture: Texture = Texture.PLAIN, scale: float = 0.5) -> Paint:
    """Plaster or stone: light, warm or gray."""
    warm = rng.uniform(-0.06, 0.16)
    albedo = rng.uniform(0.18, 0.7) * np.array([1 + warm, 1, 1 - 1.4 * warm])
    if rng.random() < 0.25:
        albedo = 0.5 * albedo + 0.5 * tone(rng, 0.1, 0.7)
    return Paint(albedo.clip(0, 0.9), rng.uniform(0.5, 0.8), rng.normal(0, 1), texture, scale)


def brick(rng: Rng) -> Paint:
    """Red, brown, yellow or gray bricks."""
    base = np.array([[0.32, 0.13, 0.09], [0.22, 0.13, 0.09], [0.45, 0.34, 0.2], [0.3, 0.29, 0.28]])[rng.integers(4)]
    return Paint(base * rng.uniform(0.7, 1.3), rng.uniform(0.35, 0.55), rng.normal(0.5, 1), Texture.BRICK, 0.24)


def timber(rng: Rng, scale: float = 0.14) -> Paint:
    """Boards from pale to dark."""
    albedo = np.array([0.5, 0.33, 0.18]) * rng.uniform(0.25, 1.1)
    return Paint(albedo, rng.uniform(0.45, 0.7), rng.normal(0, 0.8), Texture.WOOD, scale)


def metal(rng: Rng) -> Paint:
    """Galvanised or painted gray steel; bare metal mirrors the cold sky, so it looks colder than it is."""
    gray = rng.uniform(0.08, 0.5)
    return Paint(np.full(3, gray), gray + 0.1, rng.uniform(-4, 0.5))


def leaves(rng: Rng, scale: float = 0.12) -> Paint:
    """Leaves of a crown or a hedge."""
    albedo = np.array([0.09, 0.15, 0.04]) * rng.uniform(0.6, 1.5)
    if rng.random() < 0.15:
        albedo = np.array([0.28, 0.14, 0.04]) * rng.uniform(0.6, 1.2)
    return Paint(albedo, rng.uniform(0.42, 0.6), rng.normal(0, 0.6), Texture.FOLIAGE, scale)


def lawn(rng: Rng) -> Paint:
    """Grass."""
    return Paint(np.array([0.12, 0.17, 0.05]) * rng.uniform(0.6, 1.3), 0.45, rng.uniform(-2, 0), Texture.GRASS, 0.09)


BLACK = Paint(np.full(3, 0.03), 0.06, 0.5)
GLASS = Paint(np.array([0.05, 0.065, 0.075]), 0.08, -0.5, Texture.GLASS)
WHITE = Paint(np.full(3, 0.75), 0.7, 0.0)
LAMP = Paint(np.array([1.0, 0.93, 0.8]), 0.9, 14.0, Texture.LAMP)
