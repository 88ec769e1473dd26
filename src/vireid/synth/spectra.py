"""What each material looks like in visible light, near infrared and thermal infrared, and the sensors.

The constants are plausible guesses, not measurements. Shapes: N surface points, H and W pixels.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from vireid.synth import body as b
from vireid.synth.garment import Part, hair_mask, top_mask
from vireid.synth.identity import LUMINANCE, Fabric, Identity
from vireid.synth.raycast import fractal_noise

Array = npt.NDArray[Any]

SKIN_TEMPERATURE = 33.5  # degrees Celsius


class Band(StrEnum):
    """A spectral band; near and long-wave infrared are both the modality infrared."""

    VISIBLE = "visible"
    NIR = "nir"
    LWIR = "lwir"


@dataclass(slots=True)
class Surface:
    """Materials at N points.

    Attributes:
        albedo: `(N, 3)` visible reflectance, 0 to 1.
        nir: `(N,)` near-infrared reflectance, 0 to 1.
        warmth: `(N,)` 0 at the air's temperature, 1 at the skin's.
        bump: `(N,)` strength of the folds.
        gloss: `(N,)` strength of the highlight.
    """

    albedo: Array
    nir: Array
    warmth: Array
    bump: Array
    gloss: Array

    @classmethod
    def empty(cls, n: int) -> "Surface":
        """All zero."""
        return cls(np.zeros((n, 3), np.float32), *(np.zeros(n, np.float32) for _ in range(4)))

    def put(
        self, where: Array, albedo: Array, nir: float, warmth: float, bump: float = 0.0, gloss: float = 0.0
    ) -> None:
        """Set the points `where` `(N,)` to one material."""
        self.albedo[where] = albedo
        self.nir[where] = nir
        self.warmth[where] = warmth
        self.bump[where] = bump
        self.gloss[where] = gloss

    def put_cloth(self, where: Array, fabric: Fabric, a: Array, thickness: float, bump: float = 0.35) -> None:
        """Set the points `where` to a cloth; its print is never seen in the warmth."""
        at = np.flatnonzero(where)
        if not len(at):
            return
        points = a[at, :3]
        share = print_share(fabric, points)
        self.albedo[at] = fabric.color + share[:, None] * (fabric.print_color - fabric.color)
        self.nir[at] = fabric.nir + share * (fabric.print_nir - fabric.nir)
        uneven = 0.22 * (fractal_noise(points * [9, 9, 7], 7) - 0.5)
        self.warmth[at] = (1 - fabric.insulation * thickness) * 0.75 + uneven
        self.bump[at] = bump
        self.gloss[at] = fabric.gloss


def print_share(fabric: Fabric, points: Array) -> Array:
    """How much of the print colour each point `(N, 3)` shows: `(N,)` in 0 to 1."""
    x, y, z = points[:, 0], points[:, 1], points[:, 2]
    frequency = fabric.frequency
    share: Array
    if fabric.pattern == "hstripe":
        share = np.sin(z * frequency * 6) > 0.2
    elif fabric.pattern == "vstripe":
        share = np.sin(x * frequency * 7) > 0.3
    elif fabric.pattern == "check":
        share = 0.5 * (np.sin(z * frequency * 5) > 0) + 0.5 * (np.sin(x * frequency * 5) > 0)
    elif fabric.pattern == "block":
        share = z > 0.1 + 0.009 * frequency
    elif fabric.pattern == "logo":
        rng = np.random.default_rng(fabric.seed)
        u = (x - rng.uniform(-0.04, 0.04)) / rng.uniform(0.07, 0.12)
        v = (z - rng.uniform(0.22, 0.32)) / rng.uniform(0.07, 0.12)
        inside = np.maximum(np.abs(u), np.abs(v)) < 1 if rng.random() < 0.5 else np.hypot(u, v) < 1
        blobs = fractal_noise(np.stack([u * 3 + 9, v * 3 + 9, 0 * u + 9], 1), fabric.seed % 99) > 0.35
        share = inside & (y < 0) & blobs
    else:
        share = np.zeros(len(points))
    return np.asarray(share, np.float32)


_THICKNESS = {"tee": 0.7, "tank": 0.6, "long": 0.85}


def materials(person: Identity, a: Array, part: Array) -> Surface:
    """The materials of a dressed person at N points with attributes `a` `(N, COLUMNS)` and `part` `(N,)`."""
    s = Surface.empty(len(a))
    on_body = part == Part.BODY
    _skin_and_face(s, person, a, on_body)
    _lower(s, person, a, on_body)
    _upper(s, person, a, on_body)
    clothed = on_body & (s.bump > 0.15)
    arm = a[:, b.IN_ARM] > 0.5
    # Trunk warm, limbs cooler.
    s.warmth += clothed * np.where(
        arm,
        -0.06 * np.clip(a[:, b.ARM] - 0.6, 0, 1.4),
        0.10 * np.exp(-(((a[:, b.TORSO] - 0.75) / 0.35) ** 2)) - 0.05 * np.clip(a[:, b.LEG], 0, 2),
    ).astype(np.float32)
    hair_nir = 0.28 + 0.6 * float(person.hair.mean())
    s.put_cloth(part == Part.SKIRT, person.bottom.fabric, a, 0.9, 0.4)
    s.put_cloth(part == Part.COAT, person.top.fabric, a, 1.3, 0.4)
    s.put(part == Part.HAIR, person.hair, hair_nir, 0.35, 0.7, 0.2)
    s.put_cloth(part == Part.BAG, person.bag_fabric, a, 1.3, 0.2)
    s.warmth[part == Part.BAG] = 0.1
    s.put_cloth(part == Part.HAT, person.hat_fabric, a, 1.0, 0.2)
    s.put_cloth(part == Part.HOOD, person.top.fabric, a, 1.2, 0.4)
    shoes = part == Part.SHOE
    s.put(shoes, person.footwear.color, person.footwear.nir, 0.28, 0.05, 0.25)
    s.put(shoes & (a[:, b.Z] < -0.075), person.footwear.sole, 0.4, 0.2)
    return s


def _skin_and_face(s: Surface, person: Identity, a: Array, on_body: Array) -> None:
    s.put(on_body, person.skin, 0.42 + 0.16 * float(person.skin @ LUMINANCE), 0.97, 0.05, 0.1)
    s.warmth[on_body & (a[:, b.IN_HAND] > 0.5)] = 0.85
    x, y, z = (a[:, column] for column in (b.HEAD_X, b.HEAD_Y, b.HEAD_Z))
    face = on_body & (a[:, b.IN_HEAD] > 0.5)
    lips = face & (z < -0.52) & (z > -0.72) & (np.abs(x) < 0.22) & (y < -0.6)
    s.albedo[lips] *= np.array([0.8, 0.5, 0.5], np.float32)
    eyes = face & (np.abs(z) < 0.13) & (np.abs(np.abs(x) - 0.28) < 0.14) & (y < -0.35)
    s.put(eyes, np.array([0.07, 0.05, 0.05]), 0.25, 0.97)
    brows = face & (np.abs(z - 0.24) < 0.05) & (np.abs(np.abs(x) - 0.3) < 0.2) & (y < -0.5)
    s.put(brows, person.hair, 0.3, 0.95)
    if person.hair_style != "bald":
        s.put(face & hair_mask(a), person.hair, 0.28 + 0.6 * float(person.hair.mean()), 0.5, 0.6, 0.2)


def _lower(s: Surface, person: Identity, a: Array, on_body: Array) -> None:
    bottom, footwear = person.bottom, person.footwear
    legs = on_body & (a[:, b.IN_ARM] < 0.5)
    socks = legs & (a[:, b.LEG] > 1.78) & (a[:, b.IN_LEG] > 0.4)
    s.put(socks, footwear.sock_color, footwear.sock_nir, 0.6, 0.2)
    if bottom.kind == "skirt":
        if bottom.tights:
            s.put(legs & (a[:, b.TORSO] < 0.24) & (a[:, b.LEG] < 1.78), np.array([0.05, 0.05, 0.06]), 0.5, 0.8)
    else:
        below = legs & (a[:, b.TORSO] < 0.24) & (a[:, b.LEG] < bottom.leg) & (a[:, b.IN_FOOT] < 0.6)
        s.put_cloth(below, bottom.fabric, a, 0.75)
    s.put(on_body & (a[:, b.IN_FOOT] > 0.3) & (a[:, b.LEG] > 1.93), footwear.color, footwear.nir, 0.3, 0.1, 0.3)


def _upper(s: Surface, person: Identity, a: Array, on_body: Array) -> None:
    top = person.top
    where = on_body & top_mask(a, top.sleeve, top.hem) & (a[:, b.IN_HEAD] < 0.45)
    if top.kind in ("tank", "tee"):
        front = (a[:, b.Y] < 0) & (np.abs(a[:, b.X]) < 0.09)
        where &= ~(front & (a[:, b.HEAD_Z] > -2.9) & (a[:, b.TORSO] > 0.9))
    s.put_cloth(where, top.fabric, a, _THICKNESS.get(top.kind, 1.25))
    if top.is_open:
        gap = 0.055 + 0.05 * (1 - a[:, b.TORSO])
        front = (a[:, b.IN_ARM] < 0.3) & (a[:, b.Y] < 0) & (np.abs(a[:, b.X]) < gap)
        s.put_cloth(where & front, top.inner, a, 0.7)


def blur(image: Array, sigma: float) -> Array:
    """Gaussian blur of `(H, W, C)` with edge padding; `sigma` in pixels."""
    radius = max(1, int(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(image.dtype)
    height, width = image.shape[:2]
    padded = np.pad(image, ((radius, radius), (0, 0), (0, 0)), "edge")
    image = sum(kernel[i] * padded[i : i + height] for i in range(2 * radius + 1))
    padded = np.pad(image, ((0, 0), (radius, radius), (0, 0)), "edge")
    return np.asarray(sum(kernel[i] * padded[:, i : i + width] for i in range(2 * radius + 1)))


def sense_visible(light: Array, blur_sigma: float, noise: float, rng: np.random.Generator) -> Array:
    """Visible sensor: blur, tone curve, gamma and noise; `(H, W, 3)` radiance to 0 to 1."""
    image = np.maximum(blur(light, blur_sigma * (len(light) / 128) ** 0.5), 0)
    image = (image / (1 + 0.25 * image)) ** (1 / 2.2)
    return np.asarray((image + rng.normal(0, noise, image.shape)).clip(0, 1))


def sense_nir(light: Array, exposure: float, blur_sigma: float, noise: float, rng: np.random.Generator) -> Array:
    """Near-infrared sensor: automatic exposure on the bright end, blur, gamma, noise; `(H, W, 1)` 0 to 1."""
    image = light / (np.percentile(light, 97) + 0.05) * exposure * 0.78
    image = np.maximum(blur(image, blur_sigma * (len(light) / 128) ** 0.5), 0) ** (1 / 1.5) * 0.95
    return np.asarray((image + rng.normal(0, noise * 0.8, image.shape)).clip(0, 1))


def sense_thermal(temperature: Array, rng: np.random.Generator) -> Array:
    """Thermal sensor: blur, automatic gain with a margin, pixel and column noise; `(H, W, 1)`, 0 to 1."""
    height, width = temperature.shape[:2]
    image = blur(temperature, 0.75 * (height / 128) ** 0.7)
    low, high = np.percentile(image, 2), np.percentile(image, 99.5)
    low, high = low - rng.uniform(0.5, 7), high + rng.uniform(0.3, 3)
    image = (image - low) / (high - low)
    image = image + rng.normal(0, 0.008, image.shape) + rng.normal(0, 0.006, (1, width, 1))
    return np.asarray(image.clip(0, 1))
