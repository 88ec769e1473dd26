"""Rank sheets: a query beside the gallery images found for it, right ones and wrong ones marked.

Shapes: Q queries, G gallery images.
"""

from collections.abc import Sequence

import numpy as np

from vireid.errors import InputError
from vireid.figures.sheet import Cell
from vireid.sample import Sample

KEY = "solid green: the right person; dashed red: another one; number: cosine similarity"


def rank_rows(
    distances: np.ndarray, ignore: np.ndarray | None, query: Sequence[Sample], gallery: Sequence[Sample], k: int = 10
) -> list[list[Cell]]:
    """For every query a row: itself, and the first `k` gallery images.

    Args:
        distances: `(Q, G)`, smaller is nearer; the score shown is 1 - distance.
        ignore: `(Q, G)` true where the protocol leaves a gallery image out, or None.
        query: the Q query samples.
        gallery: the G gallery samples.
        k: images a row.

    Raises:
        InputError: the gallery is empty.
    """
    if not gallery:
        raise InputError("rank sheet: the gallery is empty; give at least one gallery image")
    masked = distances if ignore is None else np.where(ignore, np.inf, distances)
    order = np.argsort(masked, axis=1, kind="stable")[:, :k]
    rows = []
    for number, sample in enumerate(query):
        row = [Cell(sample.path, f"query, id {sample.pid}", _alt("query", sample), "query")]
        for index in order[number]:
            if np.isfinite(masked[number, index]):
                row.append(_found(sample, gallery[index], 1 - float(distances[number, index])))
        rows.append(row)
    return rows


def _found(query: Sample, sample: Sample, score: float) -> Cell:
    if sample.pid == query.pid:
        return Cell(sample.path, f"✓ {two_digits(score)}", _alt("right", sample), "right")
    return Cell(sample.path, f"✗ {two_digits(score)}", _alt("wrong", sample), "wrong")


def two_digits(score: float) -> str:
    """Rounded; nothing is a zero below zero."""
    return f"{round(score, 2) + 0.0:.2f}"


def _alt(what: str, sample: Sample) -> str:
    camera = f", camera {sample.camid}" if sample.camid else ""
    return f"{what}, {sample.modality.name.lower()}, person {sample.pid}{camera}"
