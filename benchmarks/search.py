"""How fast a gallery takes in and finds crops: `python benchmarks/search.py --rows 100000 --output FILE.json`.

Made-up embeddings: people are random directions, their crops lie around them, fifty each; 12 cameras, 7 days. They are
written to a Parquet file as `vireid embed` does, added to a new gallery in a folder of its own, indexed and searched.
Beside each other: the gallery's answers and those of comparing every row in memory (NumPy); the index and exact search.
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import parquet
from refusal import refusing
from tqdm import tqdm

from vireid.atomic import require_writable, write_text
from vireid.bulk import FINGERPRINT, content_id
from vireid.errors import InputError
from vireid.models.precision import device_name
from vireid.search.gallery import Gallery
from vireid.search.store import Facts, create
from vireid.search.where import Where

CROPS, CAMERAS, DAYS = 50, 12, 7  # of each person; in all
SPREAD = 1.0  # of a person's crops, over the length of the direction they lie around: cosines of about one half
K, BATCH = 20, 64
PIECE = 50_000  # rows made and written at once
MODEL = Facts("none", "0" * 16, 0)


def people(rows: int, dimensions: int, start: int, count: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Embeddings `(count, D)` of the rows from `start` on, and whose they are; the same whatever the pieces."""
    pids = np.arange(start, start + count) % max(rows // CROPS, 1)
    vectors = np.stack([np.random.default_rng((1, pid)).standard_normal(dimensions, np.float32) for pid in pids])
    noise = np.random.default_rng((2, start)).standard_normal((count, dimensions), np.float32)
    vectors += SPREAD * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, pids


def write_file(path: Path, rows: int, dimensions: int) -> npt.NDArray[np.float32]:
    """A file of embeddings; returns them `(rows, D)`."""
    every = np.empty((rows, dimensions), np.float32)
    writer = None
    for start in tqdm(range(0, rows, PIECE), "embeddings", leave=False):
        vectors, pids = people(rows, dimensions, start, min(PIECE, rows - start))
        every[start : start + len(vectors)] = vectors
        numbers = np.arange(start, start + len(vectors))
        table = pa.table(
            {
                "embedding": pa.FixedSizeListArray.from_arrays(vectors.ravel(), dimensions),
                "path": [f"crops/{number}.jpg" for number in numbers],
                "modality": np.where(numbers % 2, "infrared", "visible"),
                "id": [content_id(row.tobytes()) for row in vectors],
                "pid": pids.astype(str),
                "camera": (numbers % CAMERAS).astype(str),
                "time": [f"2026-03-0{1 + number % DAYS}" for number in numbers],
                "track": [""] * len(vectors),
            }
        ).replace_schema_metadata({FINGERPRINT: MODEL.fingerprint})
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()
    return every


def timed(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Median seconds of a call, and what the last one gave."""
    seconds, result = [], None
    for _ in range(repeats):
        started = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds)), result


def recall(found: list[Any], expected: npt.NDArray[np.int64]) -> float:
    """Share of the K nearest that were found."""
    shares = [
        len({int(hit.path[6:-4]) for hit in hits} & set(row.tolist())) / len(row)
        for hits, row in zip(found, expected, strict=True)
    ]
    return float(np.mean(shares))


def nearest(query: npt.NDArray[np.float32], rows: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The K rows of highest inner product, by comparing all."""
    scores = query @ rows.T
    top = np.argpartition(-scores, K - 1, axis=1)[:, :K]
    return np.take_along_axis(top, np.argsort(-np.take_along_axis(scores, top, 1), axis=1, kind="stable"), 1)


def searches(gallery: Gallery, every: npt.NDArray[np.float32], repeats: int) -> dict[str, Any]:
    """Latencies and recall of single queries, of batches and behind a filter."""
    rng = np.random.default_rng(3)
    picked = rng.choice(len(every), BATCH, replace=False)
    query = every[picked] + 0.3 * SPREAD * rng.standard_normal((BATCH, every.shape[1])) / np.sqrt(every.shape[1])
    query = (query / np.linalg.norm(query, axis=1, keepdims=True)).astype(np.float32)
    numpy_one, _ = timed(lambda: nearest(query[:1], every), repeats)
    numpy_all, expected = timed(lambda: nearest(query, every), repeats)
    singles = [timed(lambda row=row: gallery.search_many(row[None], K), 1)[0] for row in query[:repeats]]
    batch, found = timed(lambda: gallery.search_many(query, K), repeats)
    where = Where(cameras=("1", "4"), start=1772323200.0, end=1772496000.0)  # two cameras, two days: about a twentieth
    numbers = np.arange(len(every))
    kept = np.flatnonzero(np.isin(numbers % CAMERAS, (1, 4)) & (numbers % DAYS < 2))
    filtered, behind = timed(lambda: gallery.search_many(query, K, where=where), repeats)
    return {
        "one": {"seconds": float(np.median(singles)), "over numpy": float(np.median(singles)) / numpy_one},
        "batch": {"seconds": batch, "each": batch / BATCH, "over numpy": batch / numpy_all},
        "recall": recall(found, expected),
        "filtered": {
            "share": len(kept) / len(every),
            "seconds": filtered,
            "each": filtered / BATCH,
            "recall": recall(behind, kept[nearest(query, every[kept])]),
        },
    }


def measure(folder: Path, rows: int, dimensions: int, repeats: int) -> dict[str, Any]:
    """Everything about a gallery of so many rows."""
    file = folder / "crops.parquet"
    every = write_file(file, rows, dimensions)
    gallery = Gallery(create(str(folder / "gallery"), Facts(MODEL.model, MODEL.fingerprint, dimensions)))
    adding, added = timed(lambda: gallery.add_file(file), 1)
    again, known = timed(lambda: gallery.add_file(file), 1)
    if (added.new, known.new, gallery.count()) != (rows, 0, rows):
        raise InputError(f"{added.new} of {rows} rows were added, then {known.new} again: there are {gallery.count()}")
    before = searches(gallery, every, repeats)
    optimizing, _ = timed(gallery.store.optimize, 1)
    after = searches(gallery, every, repeats)
    size = sum(path.stat().st_size for path in (folder / "gallery").rglob("*") if path.is_file())
    return {
        "rows": rows,
        "add": {"seconds": adding, "rows a second": rows / adding, "again": rows / again},
        "optimize": {"seconds": optimizing, "indexed": gallery.store.indexed},
        "exact": before,
        "optimized": after,
        "bytes a row": size / rows,
        "peak memory, GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def text(found: dict[str, Any]) -> str:
    """What was measured, in lines."""
    add = found["add"]
    lines = [
        f"{found['rows']:,} rows: added {add['rows a second']:,.0f} a second, again {add['again']:,.0f}; "
        f"optimized in {found['optimize']['seconds']:.0f} s; {found['bytes a row']:,.0f} bytes a row; "
        f"peak memory {found['peak memory, GB']:.1f} GB"
    ]
    for name in ("exact", "optimized"):
        part = found[name]
        lines.append(
            f"{name:9}: one query {1000 * part['one']['seconds']:.1f} ms ({part['one']['over numpy']:.2f} of NumPy), "
            f"{BATCH} at once {1000 * part['batch']['each']:.1f} ms each ({part['batch']['over numpy']:.2f} of NumPy), "
            f"recall@{K} {part['recall']:.3f}; behind a filter of {part['filtered']['share']:.1%} "
            f"{1000 * part['filtered']['each']:.1f} ms each, recall {part['filtered']['recall']:.3f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000])
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with refusing("search"):
        if min(*options.rows, options.dimensions, options.repeats) < 1 or min(options.rows) < BATCH:
            raise InputError(f"--rows, --dimensions, --repeats: give at least {BATCH} rows, and 1 of the others")
        if options.output is not None:
            require_writable(options.output)
        sizes = []
        for rows in options.rows:
            with TemporaryDirectory() as folder:
                sizes.append(measure(Path(folder), rows, options.dimensions, options.repeats))
            print(text(sizes[-1]), flush=True)
        machine = {"cores": os.cpu_count(), "cpu": device_name("cpu")}
        report = {"settings": {"dimensions": options.dimensions, "k": K, "batch": BATCH}, "machine": machine}
        if options.output is not None:
            write_text(options.output, json.dumps(report | {"sizes": sizes}, indent=1) + "\n")


if __name__ == "__main__":
    main()
