"""Decoded images: every file is decoded and resized once, then read from one memory-mapped array.

Shapes: N images, H and W the height and width in pixels, B images of a batch. Pixels are uint8, 0 to 255, in
three channels; one-channel images have three equal ones.
"""

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from tqdm import tqdm

from vireid.data.pixels import Source as Source
from vireid.data.pixels import read_pixels
from vireid.errors import InputError
from vireid.sample import Sample

VERSION = 3  # raise when the same file gives other pixels
BLOCK = 256  # images decoded between two writes
STALE_SECONDS = 24 * 3600

Unreadable = list[tuple[Path, str]]


def cache_folder() -> Path:
    """`$VIREID_CACHE`, or `~/.cache/vireid`."""
    named = os.environ.get("VIREID_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "vireid"


def decode(source: Source, height: int, width: int) -> Tensor:
    """One image `(3, H, W)` uint8, resized by antialiased bilinear interpolation.

    The aspect ratio is not kept.

    Args:
        source: an image file, or an array `(h, w, 3)` or `(h, w)` uint8.
        height: H.
        width: W.

    Raises:
        InputError: the file cannot be read, or the array has another shape or type.
    """
    image = torch.from_numpy(read_pixels(source))
    if image.shape[1:] == (height, width):
        return image
    return interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0]


@dataclass(frozen=True)
class Decoded:
    """A block of images in memory.

    Attributes:
        pixels: `(N, 3, H, W)` uint8; black where an image cannot be read.
        readable: `(N,)` bool.
        unreadable: path and reason of each image that cannot be read.
    """

    pixels: Tensor
    readable: npt.NDArray[np.bool_]
    unreadable: Unreadable


def decode_blocks(
    paths: Sequence[Path],
    height: int,
    width: int,
    *,
    block: int = BLOCK,
    workers: int | None = None,
    description: str = "decode",
) -> Iterator[Decoded]:
    """Images in memory, `block` at a time, in the order of `paths`; unreadable ones are told, never raised.

    Args:
        paths: image files.
        height: H.
        width: W.
        block: images per result.
        workers: threads; default one per core. Decoding and resizing run outside Python's lock.
        description: what the progress bar says.
    """

    def attempt(path: Path) -> Tensor | str:
        try:
            return decode(path, height, width)
        except InputError as error:
            return str(error).removeprefix(f"{path}: ")

    with (
        ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool,
        tqdm(total=len(paths), unit="image", desc=description, leave=False) as bar,
    ):
        for start in range(0, len(paths), block):
            part = paths[start : start + block]
            with _single_threaded_torch():
                results = list(pool.map(attempt, part))
            black = torch.zeros(3, height, width, dtype=torch.uint8)
            pixels = torch.stack([black if isinstance(result, str) else result for result in results])
            readable = np.array([not isinstance(result, str) for result in results])
            failed = [(path, r) for path, r in zip(part, results, strict=True) if isinstance(r, str)]
            bar.update(len(part))
            yield Decoded(pixels, readable, failed)


def find_unreadable(paths: Sequence[Path]) -> Unreadable:
    """Path and reason of every image that cannot be decoded."""
    if not paths:
        return []
    blocks = decode_blocks(paths, 16, 16, description="reading images")
    return [entry for block in blocks for entry in block.unreadable]


@dataclass(frozen=True)
class DecodedImages:
    """All images of a list, decoded once and kept in a memory-mapped file.

    Attributes:
        pixels: `(N, 3, H, W)` uint8; black where an image cannot be read.
        unreadable: path and reason of each image that cannot be read; its index is False in `readable`.
        readable: `(N,)` bool.
    """

    pixels: npt.NDArray[np.uint8]
    unreadable: Unreadable
    readable: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pixels)

    def gather(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Tensor:
        """A copy of the chosen images, `(B, 3, H, W)` uint8, in the order of `indices`."""
        return torch.from_numpy(self.pixels[np.asarray(indices, np.int64)])

    @classmethod
    def build(
        cls,
        images: Sequence[Path | Sample],
        height: int,
        width: int,
        *,
        cache_dir: Path | None = None,
        workers: int | None = None,
    ) -> "DecodedImages":
        """Decode a list of images, or find the result of an earlier call.

        The cache knows the list by its paths, their times of change and sizes, H and W. It appears under its
        name only when it is whole, so an interrupted call leaves nothing behind that a later one would trust.

        Args:
            images: image files or samples.
            height: H.
            width: W.
            cache_dir: folder of the cache; default `cache_folder() / "images"`.
            workers: threads; default one per core.

        Raises:
            InputError: the cache cannot be written, for example because the disk is full.
        """
        paths = [image.path if isinstance(image, Sample) else Path(image) for image in images]
        cache_dir = cache_folder() / "images" if cache_dir is None else cache_dir
        folder = cache_dir / _key(paths, height, width)
        found = cls._find(folder, paths)
        if found is not None:
            # Not only a new file mends a fault: a mount or a permission may have come back.
            mended = len(find_unreadable([path for path, _ in found.unreadable])) < len(found.unreadable)
            if not mended:
                return found
            shutil.rmtree(folder, ignore_errors=True)
        needed = len(paths) * 3 * height * width
        with writing(cache_dir, f"{needed / 1e9:.1f} GB of decoded images"):
            _write(folder, paths, height, width, workers)
        return cls._open(folder, paths)

    @classmethod
    def _find(cls, folder: Path, paths: Sequence[Path]) -> "DecodedImages | None":
        """The result of an earlier call; one that a crash or a full disk damaged is removed."""
        if not folder.is_dir():
            return None
        try:
            return cls._open(folder, paths)
        except (OSError, ValueError, EOFError, AttributeError):
            shutil.rmtree(folder, ignore_errors=True)
            return None

    @classmethod
    def _open(cls, folder: Path, paths: Sequence[Path]) -> "DecodedImages":
        reasons: dict[str, str] = json.loads((folder / "unreadable.json").read_text())
        readable = np.ones(len(paths), np.bool_)
        readable[[int(index) for index in reasons]] = False
        unreadable = [(paths[int(index)], reason) for index, reason in reasons.items()]
        # An empty array cannot be mapped.
        pixels = np.load(folder / "pixels.npy", mmap_mode="r" if paths else None)
        return cls(pixels, unreadable, readable)


@contextmanager
def writing(folder: Path, what: str) -> Iterator[None]:
    """Turn a full disk or a folder that cannot be written into one `InputError` that says how to go on."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(
                f"the disk of {folder} is full: {what} do not fit; free some space or set VIREID_CACHE to a "
                "folder on another disk"
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise InputError(
                f"cannot write {what} to {folder} ({error.strerror}); set VIREID_CACHE to a folder you may write to"
            ) from None
        raise


def unfinished(folder: Path) -> Path:
    """A name beside `folder`, this call's own, to write under until all is there and it can be renamed."""
    return folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")


def _write(folder: Path, paths: Sequence[Path], height: int, width: int, workers: int | None) -> None:
    """Decode into a folder of another name, then rename it."""
    _remove_stale(folder.parent)
    shape = (len(paths), 3, height, width)
    if shutil.disk_usage(folder.parent).free < np.prod(shape):
        raise OSError(errno.ENOSPC, "No space left on device")
    partial = unfinished(folder)
    try:
        partial.mkdir()
        reasons: dict[int, str] = {}
        start = 0
        # Written as a file, not through a map: a full disk is an error here and a crash there.
        with (partial / "pixels.npy").open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for block in decode_blocks(paths, height, width, workers=workers):
                file.write(block.pixels.numpy().data)
                failed = start + np.flatnonzero(~block.readable)
                reasons.update(zip(failed.tolist(), (reason for _, reason in block.unreadable), strict=True))
                start += len(block.pixels)
        (partial / "unreadable.json").write_text(json.dumps(reasons))
        publish(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def publish(partial: Path, folder: Path) -> None:
    """Give a finished folder its name, unless another process was faster: its copy is the same."""
    try:
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _remove_stale(cache_dir: Path) -> None:
    """Delete what a killed process left unfinished a day ago or earlier."""
    for partial in cache_dir.glob(".*.*"):
        if partial.is_dir() and time.time() - partial.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(partial, ignore_errors=True)


def _key(paths: Sequence[Path], height: int, width: int) -> str:
    digest = hashlib.sha256(f"{VERSION} {height} {width}".encode())
    for path in paths:
        try:
            status = path.stat()
            state = f"{status.st_mtime_ns} {status.st_size}"
        except OSError:
            state = "missing"
        digest.update(f"\0{path.absolute()}\0{state}".encode("utf-8", "surrogateescape"))
    return f"{height}x{width}-{len(paths)}-{digest.hexdigest()[:24]}"


@contextmanager
def _single_threaded_torch() -> Iterator[None]:
    """The pool's threads must not start teams of threads of their own."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
