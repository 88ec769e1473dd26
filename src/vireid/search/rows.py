"""Rows for a store: from embedded crops, from images that are in no file, and from files of `vireid embed`.

Shapes: N crops, D embedding size.
"""

import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from vireid.bulk import FINGERPRINT, TOLD, Embeddings, content_id
from vireid.data.manifest import MODALITIES
from vireid.data.pixels import eight_bits
from vireid.errors import InputError
from vireid.search import store as stores
from vireid.search.where import parse_time

ROWS_AT_ONCE = 20_000  # of a file of embeddings
THUMBNAIL = 128  # pixels of its height


def rows_of(part: Embeddings, thumbnails: bool) -> tuple[pa.Table, int]:
    """Rows of embedded crops, and for how many a time was given that cannot be understood."""
    pictures = [_thumbnail(crop.path) if thumbnails else b"" for crop in part.crops]
    told = {name: [getattr(crop, name) for crop in part.crops] for name in TOLD}
    columns = {"id": part.ids, "path": [str(path.resolve()) for path in (crop.path for crop in part.crops)]}
    return table_of(part.embeddings, {**columns, "modality": part.modality, "thumbnail": pictures, **told})


def table_of(embeddings: npt.NDArray[np.float32], columns: dict[str, Any]) -> tuple[pa.Table, int]:
    """Rows of embeddings `(N, D)` and N values of each other column, and how many times were not understood.

    Times are texts in `columns`; the first of several rows with one id is kept.
    """
    count, dimensions = embeddings.shape
    times = [_time(text) for text in columns["time"]]
    wanted = stores.schema(dimensions)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel(), pa.float32()), dimensions)
    values = {**columns, "embedding": vectors, "time": times, "added": np.full(count, time.time())}
    values.setdefault("thumbnail", [b""] * count)
    table = pa.table([pa.array(values[f.name], f.type) if f.name != "embedding" else vectors for f in wanted], wanted)
    lost = sum(bool(text) and moment is None for text, moment in zip(columns["time"], times, strict=True))
    return _first_of_each(table), lost


def _first_of_each(table: pa.Table) -> pa.Table:
    names = np.asarray(table.column("id").to_pylist())
    return table.take(np.sort(np.unique(names, return_index=True)[1]))


def _time(text: str) -> float | None:
    """Data sets write days and instants in words of their own; those say nothing here."""
    try:
        return parse_time(text) if text else None
    except InputError:
        return None


def _thumbnail(path: Path) -> bytes:
    with Image.open(path) as image:
        return small_jpeg(Image.fromarray(eight_bits(image)))


def small_jpeg(image: Image.Image) -> bytes:
    """A small copy of an image."""
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def read_file(path: Path, dimensions: int) -> Iterator[tuple[str, pa.Table, int]]:
    """By `ROWS_AT_ONCE` rows: the fingerprint of their model, the rows, and how many times were not understood."""
    expected = f"{path}: expected embeddings of {dimensions} numbers, path and modality, as `vireid embed` writes them"
    try:
        file = parquet.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{expected} to a .parquet file; it cannot be read ({error})") from None
    names = set(file.schema_arrow.names)
    if missing := {"embedding", "path", "modality"} - names:
        raise InputError(f"{expected}; it has no column {min(missing)}")
    fingerprint = (file.schema_arrow.metadata or {}).get(FINGERPRINT.encode(), b"").decode()
    columns = ["embedding", *sorted(names & {"path", "modality", "id", *TOLD})]
    try:
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
            yield fingerprint, *_file_rows(batch, dimensions, expected)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path} is damaged ({error}); write it anew") from None


def _file_rows(batch: pa.RecordBatch, dimensions: int, expected: str) -> tuple[pa.Table, int]:
    values = batch.column("embedding").flatten().to_numpy(zero_copy_only=False)
    if values.dtype.kind != "f" or values.size != batch.num_rows * dimensions or not np.isfinite(values).all():
        raise InputError(f"{expected}; the column embedding holds something else")
    vectors = values.astype(np.float32, copy=False).reshape(-1, dimensions)
    told = {name: batch.column(name).to_pylist() for name in batch.schema.names if name != "embedding"}
    unknown = [""] * batch.num_rows
    texts = {name: [str(each or "") for each in told.get(name, unknown)] for name in ("path", "modality", *TOLD)}
    if wrong := set(texts["modality"]) - set(MODALITIES):
        raise InputError(f"{expected}; modality is '{min(wrong)}', expected visible or infrared")
    ids = told["id"] if "id" in told else [content_id(row.tobytes()) for row in vectors]
    return table_of(vectors, {**texts, "id": ids})
