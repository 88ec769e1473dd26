"""Shared by the tests of the application: a stand-in for the model, and made-up images."""

from io import BytesIO

import numpy as np
from PIL import Image

TOKEN = "correct-horse-battery-staple"
LIMITS = {"image_bytes": 200_000, "body_bytes": 600_000, "images": 4, "pixels": 400 * 400, "seconds": 5}


class StandIn:
    """Embeddings of eight numbers: the mean colours of the halves of an image."""

    height, width, dimensions, fingerprint = 16, 8, 8, "f" * 16

    def embed_pixels(self, pixels, modalities):
        halves = pixels.float().unflatten(2, (2, 8)).mean((3, 4)).flatten(1).numpy() - 100
        vectors = np.concatenate([halves, np.ones((len(halves), 2))], 1)
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def colours(seed, shape=(32, 16, 3)):
    """An image of two colours."""
    generator = np.random.default_rng(seed)
    image = np.empty(shape, np.uint8)
    image[: shape[0] // 2], image[shape[0] // 2 :] = generator.integers(0, 256, (2, *shape[2:]))
    return image


def encoded(image, kind="PNG", **options):
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()
