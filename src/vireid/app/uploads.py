"""Images from outside: limited while they arrive and before they are decoded, and never written to a file.

Shapes: H and W height and width in pixels.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartParser
from starlette.requests import ClientDisconnect, Request

from vireid.app.refusal import Refused
from vireid.data.pixels import eight_bits

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What one request may ask for.

    Attributes:
        image_bytes: of one image, as sent.
        body_bytes: of a whole request.
        images: that are added at once.
        pixels: of one image. Pillow's own limit, `Image.MAX_IMAGE_PIXELS`, is higher and guards where this does not.
        seconds: in which a body must have arrived.
        waiting: requests that may wait while one is served.
    """

    image_bytes: int = 10 * MEGABYTE
    body_bytes: int = 64 * MEGABYTE
    images: int = 32
    pixels: int = 4096 * 4096
    seconds: float = 30
    waiting: int = 8


@dataclass(frozen=True)
class Form:
    """A multipart body: its texts and its files, by field."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[bytes]] = field(default_factory=dict)


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """A whole body.

    Raises:
        Refused: it is larger than `limit` (413) or takes too long (408).
    """
    parts = [part async for part in _limited(request, limit, seconds)]
    return b"".join(parts)


async def read_form(request: Request, limit: int, limits: Limits) -> Form:
    """A multipart body.

    Args:
        request: whose body it is.
        limit: bytes of the whole.
        limits: of each image, and of their number.

    Raises:
        Refused: it is too large (413), too slow (408) or no multipart body (400).
    """
    parser = _InMemory(
        request.headers,
        _limited(request, limit, limits.seconds),
        max_files=limits.images,
        max_fields=2000,
        max_part_size=4096,
    )
    parser.spool_max_size = limit + 1
    try:
        items = (await parser.parse()).multi_items()
    except (Refused, ClientDisconnect):
        raise
    # The parser meets damaged bodies with many kinds of error, those of the codec that a body names among them.
    except Exception:
        raise Refused(
            400, f"the body is no multipart form with at most {limits.images} files and texts of 4096 bytes"
        ) from None
    form = Form()
    for name, value in items:
        if isinstance(value, UploadFile):
            content = await value.read()
            if len(content) > limits.image_bytes:
                raise Refused(413, f"an image is too large; expected at most {limits.image_bytes} bytes")
            form.files.setdefault(name, []).append(content)
            await value.close()
        else:
            form.texts.setdefault(name, []).append(value)
    return form


def read_image(content: bytes, pixels: int) -> npt.NDArray[np.uint8]:
    """An image as uint8 `(H, W, 3)` or `(H, W)`, upright as its EXIF orientation says.

    Args:
        content: JPEG, PNG, BMP or WebP.
        pixels: most that it may have; looked at before any is decoded.

    Raises:
        Refused: it has more (413), or cannot be decoded (422).
    """
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height <= pixels:
                return eight_bits(image)
    except Image.DecompressionBombError:
        pass
    # The decoders report damaged images by many kinds of error, SyntaxError among them.
    except Exception:
        raise Refused(422, "an image cannot be decoded; expected a whole JPEG, PNG, BMP or WebP image") from None
    raise Refused(413, f"an image has too many pixels; expected at most {pixels}")


class _InMemory(MultiPartParser):
    """With `spool_max_size` above the size of the body, no part of it goes to a temporary file."""


async def _limited(request: Request, limit: int, seconds: float) -> AsyncGenerator[bytes, None]:
    """The body as it arrives, counted; what a client says of its length is believed only if it is too much."""
    too_large = Refused(413, f"the request is too large; expected at most {limit} bytes")
    if _length(request.headers) > limit:
        raise too_large
    received = 0
    end = asyncio.get_running_loop().time() + seconds
    chunks = request.stream()
    while True:
        try:
            async with asyncio.timeout_at(end):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise Refused(408, f"the request did not arrive within {seconds:g} seconds") from None
        if chunk is None:
            return
        received += len(chunk)
        if received > limit:
            raise too_large
        yield chunk


def _length(headers: Mapping[str, str]) -> int:
    told = headers.get("content-length", "")
    return int(told[:20]) if told.isascii() and told.isdigit() else 0
