"""Embeds many images into one file, and says of each what is known of it.

Shapes: N images that could be read, D embedding size.
"""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from vireid import load
from vireid.atomic import replacing, require_writable
from vireid.data.cache import Unreadable, decode_blocks
from vireid.data.files import IMAGE_SUFFIXES
from vireid.data.manifest import read_csv
from vireid.data.pixels import resolve_modalities
from vireid.embedder import Embedder
from vireid.errors import InputError
from vireid.onnx_embedder import OnnxEmbedder
from vireid.sample import Modality

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 512  # images that are decoded, embedded and handed on together
FINGERPRINT = "vireid.fingerprint"  # under which a Parquet file says whose embeddings it holds
TOLD = ("pid", "camera", "time", "track")  # what a manifest tells of a crop, as text; empty where it does not


@dataclass(frozen=True)
class Crop:
    """An image file and what a manifest tells of it; without one everything else is unknown."""

    path: Path
    modality: Modality | None = None
    pid: str = ""
    camera: str = ""
    time: str = ""
    track: str = ""


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of the readable images of a source.

    Attributes:
        embeddings: `(N, D)` float32, rows of length 1.
        crops: the N images, each with its modality.
        ids: N names of the images' contents: equal files have equal ones.
        unreadable: path and reason of each image left out.
        fingerprint: of the model's weights.
    """

    embeddings: npt.NDArray[np.float32]
    crops: list[Crop]
    ids: list[str]
    unreadable: Unreadable
    fingerprint: str

    @property
    def paths(self) -> list[str]:
        """`(N,)` as given, or as found in the source folder."""
        return [str(crop.path) for crop in self.crops]

    @property
    def modality(self) -> list[str]:
        """`(N,)` `visible` or `infrared`."""
        return [crop.modality.name.lower() for crop in self.crops if crop.modality is not None]


def embed_source(
    source: Path,
    output: Path,
    *,
    model: str = "default",
    modality: Literal["visible", "infrared", "auto"] = "auto",
    device: str = "auto",
    runtime: Literal["torch", "onnx", "openvino"] | None = None,
) -> Embeddings:
    """Embed an image, a folder (with its sub-folders) or a manifest into `output` (`.npz` or `.parquet`).

    With `auto` a manifest's own modality column counts; elsewhere grey images are taken for infrared, and a line on
    stderr says how many of each were found. Images that cannot be read are listed there and left out.

    Raises:
        InputError: nothing to embed, an unknown output format, or no image can be read.
    """
    _require_output(output)
    crops = find_crops(source)
    result = embed_crops(load(model, device=device, runtime=runtime), crops, modality)
    say_modalities(result.crops, crops, modality)
    say_unreadable(result.unreadable)
    if not result.crops:
        raise InputError(f"none of the {len(crops)} images of {source} can be read; give person crops as JPEG or PNG")
    _save(result, output)
    skipped = f", {len(result.unreadable)} skipped" if result.unreadable else ""
    _say(f"{output}: {len(result.crops)} embeddings of {result.embeddings.shape[1]} numbers{skipped}")
    return result


def find_crops(source: Path) -> list[Crop]:
    """The image files of a source in a fixed order, with what a manifest tells of them.

    Raises:
        InputError: there is nothing at `source`, no image in it, or a row of the manifest is malformed.
    """
    if source.suffix.lower() == ".csv":
        return [
            Crop(s.path, s.modality, str(s.pid), str(s.camid) if s.camid else "", s.time, s.track)
            for s in read_csv(source)
        ]
    if source.is_file():
        return [Crop(source)]
    if not source.is_dir():
        raise InputError(f"{source} does not exist; give an image, a folder of images or a manifest.csv")
    found = sorted(
        p
        for p in source.rglob("*")
        if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".") and p.is_file() and not _is_mask(p)
    )
    if not found:
        raise InputError(f"{source} holds no image; expected files ending in {', '.join(sorted(IMAGE_SUFFIXES))}")
    return [Crop(path) for path in found]


def _is_mask(path: Path) -> bool:
    """Whether a file lies in the folder of silhouettes that `vireid synth --masks` writes beside its manifest."""
    return any(folder.name == "masks" and (folder.parent / "manifest.csv").is_file() for folder in path.parents)


def content_id(content: bytes) -> str:
    """A name for a content: 32 hexadecimal digits, for equal contents the same."""
    return blake2b(content, digest_size=16).hexdigest()


def content_ids(paths: Sequence[Path]) -> list[str]:
    """Names of files' contents; empty for a file that cannot be read."""

    def attempt(path: Path) -> str:
        try:
            return content_id(path.read_bytes())
        except OSError:
            return ""

    with ThreadPoolExecutor() as pool:
        return list(pool.map(attempt, paths))


def embed_blocks(
    embedder: Embedder | OnnxEmbedder, crops: Sequence[Crop], modality: str = "auto", *, block: int = BLOCK
) -> Iterator[Embeddings]:
    """Embed files block by block, so that memory does not grow with their number.

    Args:
        embedder: the model.
        crops: the images.
        modality: `visible`, `infrared`, or `auto`: what a crop's manifest says, else by its colours.
        block: images per result.
    """
    start = 0
    paths = [crop.path for crop in crops]
    for decoded in decode_blocks(paths, embedder.height, embedder.width, block=block, description="embed"):
        good = np.flatnonzero(decoded.readable).tolist()
        here = [crops[start + index] for index in good]
        pixels = decoded.pixels[good]
        modalities = resolve_modalities(modality, pixels)
        if modality == "auto":
            told = [
                guess if crop.modality is None else crop.modality for crop, guess in zip(here, modalities, strict=True)
            ]
            modalities = np.array(told, np.int64)
        vectors = embedder.embed_pixels(pixels, modalities) if good else np.empty((0, 0), np.float32)
        seen = [replace(crop, modality=Modality(value)) for crop, value in zip(here, modalities, strict=True)]
        ids = content_ids([crop.path for crop in seen])
        yield Embeddings(vectors, seen, ids, decoded.unreadable, embedder.fingerprint)
        start += len(decoded.readable)


def embed_crops(
    embedder: Embedder | OnnxEmbedder, crops: Sequence[Crop], modality: str = "auto", *, block: int = BLOCK
) -> Embeddings:
    """As `embed_blocks`, all at once."""
    parts = list(embed_blocks(embedder, crops, modality, block=block))
    vectors = [part.embeddings for part in parts if part.crops]
    return Embeddings(
        np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32),
        [crop for part in parts for crop in part.crops],
        [name for part in parts for name in part.ids],
        [each for part in parts for each in part.unreadable],
        embedder.fingerprint,
    )


def say_modalities(embedded: Sequence[Crop], asked: Sequence[Crop], modality: str) -> None:
    """Say on stderr how many of each modality were guessed, if any had to be."""
    told = {crop.path for crop in asked if crop.modality is not None}
    guessed = [crop for crop in embedded if crop.path not in told]
    if modality == "auto" and guessed:
        grey = sum(crop.modality is Modality.INFRARED for crop in guessed)
        _say(f"modality guessed from colour: {len(guessed) - grey} visible, {grey} infrared")


def say_unreadable(unreadable: Unreadable) -> None:
    """Name on stderr the images that were left out."""
    for path, reason in unreadable:
        _say(f"skipped {path}: {reason}")


def _require_output(output: Path) -> None:
    if output.suffix not in (".npz", ".parquet"):
        raise InputError(f"--output {output}: expected a file ending in .npz or .parquet")
    require_writable(output)
    if output.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise InputError("writing .parquet needs pyarrow: pip install pyarrow, or choose an .npz file") from None


def table_of(result: Embeddings) -> "pa.Table":
    """Columns `embedding`, `path`, `modality`, `id` and what a manifest told; needs pyarrow."""
    import pyarrow as pa

    dimensions = result.embeddings.shape[1] or 1  # there is no list of no numbers, nor are there rows
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(result.embeddings.ravel(), pa.float32()), dimensions)
    texts = {"path": result.paths, "modality": result.modality, "id": result.ids, **_told(result)}
    table = pa.table({"embedding": vectors, **{name: pa.array(values, pa.string()) for name, values in texts.items()}})
    return table.replace_schema_metadata({FINGERPRINT: result.fingerprint})


def _told(result: Embeddings) -> dict[str, list[str]]:
    return {name: [getattr(crop, name) for crop in result.crops] for name in TOLD}


def _save(result: Embeddings, output: Path) -> None:
    try:
        with replacing(output) as temporary, temporary.open("wb") as file:
            if output.suffix == ".npz":
                texts = {"paths": result.paths, "modality": result.modality, "ids": result.ids, **_told(result)}
                arrays: dict[str, Any] = {name: np.array(values) for name, values in texts.items()}
                np.savez(file, embeddings=result.embeddings, fingerprint=np.array(result.fingerprint), **arrays)
            else:
                from pyarrow import parquet

                parquet.write_table(table_of(result), file)
    except OSError as error:
        raise InputError(f"cannot write {output}: {error.strerror or error}; free some disk space") from None


def _say(line: str) -> None:
    print(line, file=sys.stderr)
