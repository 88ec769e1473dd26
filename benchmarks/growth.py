"""How cost grows with size: `python benchmarks/growth.py --output FILE.json`.

Seconds at several sizes, and the exponent of the power of the size that fits them best: the evaluation of 2,000 queries
against GALLERIES images, re-ranking of as many queries as gallery images (RERANKED of each), and one query of a gallery
of ROWS crops, with all of them compared and by the index. Embeddings of 512 numbers.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from search import measure as search_gallery
from timing import in_turns, people, run

from vireid.evaluation.distance import distances
from vireid.evaluation.metrics import retrieval_metrics
from vireid.evaluation.rerank import k_reciprocal

QUERIES, DIMENSIONS, IMAGES = 2000, 512, 20


def exponent(seconds: Mapping[int, float]) -> float:
    """The slope of the line through the logarithms."""
    return float(np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)[0])


def evaluation(size: int, turns: int) -> float:
    """Seconds from embeddings to scores."""
    gallery, gallery_ids = people(size, size // IMAGES, DIMENSIONS, seed=1)
    query, query_ids = people(QUERIES, size // IMAGES, DIMENSIONS, seed=2)

    def action() -> None:
        retrieval_metrics(distances(query, gallery), query_ids, gallery_ids)

    return min(in_turns({"": action}, turns)[""])


def reranking(size: int, turns: int) -> float:
    """Seconds of `size` + `size` images."""
    query, gallery = (people(size, size // IMAGES, DIMENSIONS, seed=seed)[0] for seed in (1, 2))
    return min(in_turns({"": lambda: k_reciprocal(query, gallery)}, turns)[""])


def measure(
    turns: int = 3,
    galleries: tuple[int, ...] = (12_500, 25_000, 50_000, 100_000),
    reranked: tuple[int, ...] = (1250, 2500, 5000, 10_000),
    rows: tuple[int, ...] = (100_000, 160_000, 250_000, 400_000),
) -> dict[str, Any]:
    """Every size of every kind."""
    found = {
        "evaluation, by gallery images": {size: evaluation(size, turns) for size in galleries},
        "re-ranking, by images": {2 * size: reranking(size, turns) for size in reranked},
    }
    searched = {}
    for size in rows:
        with TemporaryDirectory() as folder:
            searched[size] = search_gallery(Path(folder), size, DIMENSIONS, 20)
    for words, way in (("all compared", "exact"), ("index", "optimized")):
        seconds = {size: each[way]["batch"]["each"] for size, each in searched.items()}
        found[f"a query of a gallery, {words}, by crops"] = seconds
    return {"growth": {name: {"seconds": each, "exponent": exponent(each)} for name, each in found.items()}}


if __name__ == "__main__":
    run(measure)
