"""Embeds many images into one file.

Shapes: N images that could be read, D embedding size.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vireid.atomic import replacing, require_writable
from vireid.data.cache import Unreadable, decode_blocks
from vireid.data.files import IMAGE_SUFFIXES
from vireid.data.manifest import read_csv
from vireid.embedder import Embedder, load, resolve_modalities
from vireid.errors import InputError
from vireid.sample import Modality


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of the readable images of a source.

    Attributes:
        embeddings: `(N, D)` float32, rows of length 1.
        paths: `(N,)` as given, or relative to the source folder's parent as found.
        modality: `(N,)` `visible` or `infrared`.
        unreadable: path and reason of each image left out.
    """

    embeddings: np.ndarray
    paths: list[str]
    modality: list[str]
    unreadable: Unreadable


def embed_source(
    source: Path,
    output: Path,
    *,
    model: str = "default",
    modality: Literal["visible", "infrared", "auto"] = "auto",
    device: str = "auto",
) -> Embeddings:
    """Embed an image, a folder (with its sub-folders) or a manifest into `output` (`.npz` or `.parquet`).

    With `auto` a manifest's own modality column counts; elsewhere grey images are taken for infrared, and a line on
    stderr says how many of each were found. Images that cannot be read are listed there and left out.

    Raises:
        InputError: nothing to embed, an unknown output format, or no image can be read.
    """
    _require_output(output)
    paths, known = find_images(source)
    embedder = load(model, device=device)
    result = embed_paths(embedder, paths, known if modality == "auto" and known else modality)
    if modality == "auto" and not known:
        grey = result.modality.count("infrared")
        _say(f"modality guessed from colour: {len(result.modality) - grey} visible, {grey} infrared")
    for path, reason in result.unreadable:
        _say(f"skipped {path}: {reason}")
    if not result.paths:
        raise InputError(f"none of the {len(paths)} images of {source} can be read; give person crops as JPEG or PNG")
    _save(result, output)
    skipped = f", {len(result.unreadable)} skipped" if result.unreadable else ""
    _say(f"{output}: {len(result.paths)} embeddings of {result.embeddings.shape[1]} numbers{skipped}")
    return result


def find_images(source: Path) -> tuple[list[Path], list[Modality]]:
    """Image files of a source in a fixed order, and their modalities where a manifest tells them."""
    if source.suffix.lower() == ".csv":
        samples = read_csv(source)
        return [sample.path for sample in samples], [sample.modality for sample in samples]
    if source.is_file():
        return [source], []
    if not source.is_dir():
        raise InputError(f"{source} does not exist; give an image, a folder of images or a manifest.csv")
    found = sorted(
        p
        for p in source.rglob("*")
        if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".") and p.is_file() and not _is_mask(p)
    )
    if not found:
        raise InputError(f"{source} holds no image; expected files ending in {', '.join(sorted(IMAGE_SUFFIXES))}")
    return found, []


def _is_mask(path: Path) -> bool:
    """Whether a file lies in the folder of silhouettes that `vireid synth --masks` writes beside its manifest."""
    return any(folder.name == "masks" and (folder.parent / "manifest.csv").is_file() for folder in path.parents)


def embed_paths(
    embedder: Embedder, paths: Sequence[Path], modality: str | Sequence[Modality], *, block: int = 512
) -> Embeddings:
    """Embed files block by block, so that memory does not grow with their number."""
    embeddings, kept, names = [], [], []
    unreadable: Unreadable = []
    start = 0
    for decoded in decode_blocks(paths, embedder.height, embedder.width, block=block, description="embed"):
        good = np.flatnonzero(decoded.readable).tolist()
        pixels = decoded.pixels[good]
        given = modality if isinstance(modality, str) else [modality[start + index] for index in good]
        modalities = resolve_modalities(given, pixels)
        if good:
            embeddings.append(embedder.embed_pixels(pixels, modalities))
        kept += [str(paths[start + index]) for index in good]
        names += [Modality(value).name.lower() for value in modalities]
        unreadable += decoded.unreadable
        start += len(decoded.readable)
    vectors = np.concatenate(embeddings) if embeddings else np.empty((0, 0), np.float32)
    return Embeddings(vectors, kept, names, unreadable)


def _require_output(output: Path) -> None:
    if output.suffix not in (".npz", ".parquet"):
        raise InputError(f"--output {output}: expected a file ending in .npz or .parquet")
    require_writable(output)
    if output.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise InputError("writing .parquet needs pyarrow: pip install pyarrow, or choose an .npz file") from None


def _save(result: Embeddings, output: Path) -> None:
    try:
        with replacing(output) as temporary, temporary.open("wb") as file:
            if output.suffix == ".npz":
                np.savez(
                    file,
                    embeddings=result.embeddings,
                    paths=np.array(result.paths),
                    modality=np.array(result.modality),
                )
            else:
                import pyarrow as pa
                from pyarrow import parquet

                vectors = pa.FixedSizeListArray.from_arrays(result.embeddings.ravel(), result.embeddings.shape[1])
                columns = {"embedding": vectors, "path": result.paths, "modality": result.modality}
                parquet.write_table(pa.table(columns), file)
    except OSError as error:
        raise InputError(f"cannot write {output}: {error.strerror or error}; free some disk space") from None


def _say(line: str) -> None:
    print(line, file=sys.stderr)
