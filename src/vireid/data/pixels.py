"""Images as arrays, without torch: reading, resizing, and telling infrared from visible by colour.

Shapes: N images, H and W the height and width asked for, h and w those of a source in pixels.
"""

from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from vireid.errors import InputError
from vireid.sample import Modality

# Infrared crops arrive as one channel or as three that differ by compression noise only; a visible photograph of a
# person has skin and cloth whose channels differ by far more (grey levels, 0 to 255).
GREY_TOLERANCE = 4.0

Source = str | Path | npt.NDArray[np.uint8]


def read_pixels(source: Source) -> npt.NDArray[np.uint8]:
    """One image `(3, h, w)` uint8, 0 to 255, in three channels; one-channel images have three equal ones.

    Args:
        source: an image file, turned upright as its EXIF data say, or an array `(h, w, 3)` or `(h, w)` uint8.

    Raises:
        InputError: the file cannot be read, or the array has another shape or type.
    """
    return _from_array(source) if isinstance(source, np.ndarray) else _from_file(Path(source))


def resized(source: Source, height: int, width: int) -> npt.NDArray[np.uint8]:
    """One image `(3, H, W)` uint8, resized by antialiased bilinear interpolation; the aspect ratio is not kept.

    Pillow and torch round differently: on the shipped crops no value differs by more than 2 of 255 from
    `vireid.data.cache.decode`, nor does more than one in fifty differ.

    Raises:
        InputError: the file cannot be read, or the array has another shape or type.
    """
    pixels = read_pixels(source)
    if pixels.shape[1:] == (height, width):
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    return _from_array(np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)))


def resolve_modalities(modality: str | Modality | Sequence[Modality], pixels: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """`Modality` values `(N,)` int64 for decoded images.

    Args:
        modality: `"visible"`, `"infrared"`, `"auto"` (grey images count as infrared), or one per image.
        pixels: `(N, 3, H, W)` uint8, an array or a tensor in main memory.

    Raises:
        InputError: the modality is none of these, or there are not as many as images.
    """
    array = np.asarray(pixels)
    if isinstance(modality, Modality):
        return np.full(len(array), modality, np.int64)
    if not isinstance(modality, str):
        if len(modality) != len(array):
            raise InputError(f"got {len(modality)} modalities for {len(array)} images; give one per image")
        return np.asarray(modality, np.int64)
    if modality == "auto":
        colour = array.max(1) - array.min(1)
        grey = colour.mean((1, 2)) < GREY_TOLERANCE
        return np.where(grey, Modality.INFRARED, Modality.VISIBLE).astype(np.int64)
    known = {"visible": Modality.VISIBLE, "infrared": Modality.INFRARED}
    if modality not in known:
        raise InputError(f"modality '{modality}': expected visible, infrared or auto")
    return np.full(len(array), known[modality], np.int64)


def eight_bits(image: Image.Image) -> npt.NDArray[np.uint8]:
    """An opened image as uint8 `(h, w, 3)` or, if it has one channel of 16 bits, `(h, w)`, turned upright.

    Upright as its EXIF data say; as it lies where they say nothing or cannot be read.
    """
    image.load()
    with suppress(Exception):  # of many kinds; damaged EXIF data are no damaged image
        image = ImageOps.exif_transpose(image)
    # Pillow would clip 16-bit grey levels at 255 instead of scaling them.
    if image.mode.startswith("I;16"):
        return (np.asarray(image).astype(np.uint16) // 257).astype(np.uint8)
    return np.asarray(image.convert("RGB"))


def _from_array(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)) or not array.size:
        raise InputError(f"got an array {array.shape} {array.dtype}, expected uint8 (h, w, 3) or (h, w)")
    channels = np.broadcast_to(array[..., None], (*array.shape, 3)) if array.ndim == 2 else array
    return np.ascontiguousarray(channels.transpose(2, 0, 1))


def _from_file(path: Path) -> npt.NDArray[np.uint8]:
    try:
        data = path.read_bytes()
        if not data:
            raise ValueError("empty file")
        with Image.open(BytesIO(data)) as image:
            return _from_array(eight_bits(image))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or _first_line(error)}") from None
    # The decoders report damaged files by many kinds of error, SyntaxError among them.
    except Exception as error:
        raise InputError(f"{path}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
