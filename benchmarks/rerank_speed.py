"""k-reciprocal re-ranking beside whole matrices: `python benchmarks/rerank_speed.py --output FILE.json`.

At the sizes of RegDB and SYSU-MM01: `k_reciprocal`, and the algorithm as it is published, with whole matrices and image
by image, in 32 bits; both beside the latter in 64 bits. Then LARGE + LARGE and HUGE + HUGE images, each in a process of
its own, with its peak memory. Embeddings of 2,048 numbers, ten images a person.
"""

import time
from typing import Any

import numpy as np
import numpy.typing as npt
from timing import in_child, in_turns, median, people, rates, run, shares

from vireid.evaluation.rerank import k_reciprocal, k_reciprocal_blocks

CASES = {"RegDB, 2060 + 2060": (2060, 2060), "SYSU-MM01, 3803 + 301": (3803, 301)}
DIMENSIONS, SPREAD, IMAGES = 2048, 1.5, 10


def embeddings(count: int, seed: int) -> npt.NDArray[np.float32]:
    """Of `count / IMAGES` people."""
    return people(count, max(2, count // IMAGES), DIMENSIONS, seed=seed, spread=SPREAD)[0]


def plain(
    query: npt.NDArray[np.floating], gallery: npt.NDArray[np.floating], k1: int = 20, k2: int = 6, weight: float = 0.3
) -> npt.NDArray[np.floating]:
    """Re-ranked distances with whole matrices, in the number format of the embeddings."""
    features = np.concatenate([query, gallery])
    count, kind = len(features), features.dtype
    norms = (features**2).sum(axis=1)
    original = np.maximum(norms[:, None] + norms - 2 * features @ features.T, 0)
    np.fill_diagonal(original, 0)
    original /= original.max(axis=1, keepdims=True)
    rank = np.argsort(original, axis=1)

    def mutual(image: int, k: int) -> npt.NDArray[np.int64]:
        forward = rank[image, : k + 1]
        return forward[(rank[forward, : k + 1] == image).any(axis=1)]

    encoding = np.zeros((count, count), kind)
    for image in range(count):
        core = members = mutual(image, k1)
        for candidate in core:
            half = mutual(candidate, round(k1 / 2))
            if len(np.intersect1d(half, core)) > 2 / 3 * len(half):
                members = np.append(members, half)
        members = np.unique(members)
        weights = np.exp(-original[image, members])
        encoding[image, members] = weights / weights.sum()
    encoding = np.stack([encoding[rank[image, :k2]].mean(axis=0) for image in range(count)])
    holders = [np.flatnonzero(encoding[:, image]) for image in range(count)]
    result = np.empty((len(query), len(gallery)), kind)
    for image in range(len(query)):
        overlap = np.zeros(count, kind)
        for member in np.flatnonzero(encoding[image]):
            held = holders[member]
            overlap[held] += np.minimum(encoding[image, member], encoding[held, member])
        jaccard = 1 - overlap / (2 - overlap)
        result[image] = (1 - weight) * jaccard[len(query) :] + weight * original[image, len(query) :]
    return result


def compare(queries: int, gallery: int, turns: int) -> dict[str, Any]:
    """Seconds and ratio of one size, and the largest differences from 64 bits."""
    left, right = embeddings(queries, 1), embeddings(gallery, 2)
    exact = plain(left.astype(np.float64), right.astype(np.float64))
    differences = {"vireid": np.abs(k_reciprocal(left, right) - exact).max()}
    differences["plain"] = np.abs(plain(left, right) - exact).max()
    seconds = median(
        in_turns({"vireid": lambda: k_reciprocal(left, right), "plain": lambda: plain(left, right)}, turns)
    )
    return {
        "seconds": seconds,
        "plain over vireid": seconds["plain"] / seconds["vireid"],
        "largest difference from 64 bits": {name: float(value) for name, value in differences.items()},
        "operations": operations(queries, gallery),
    }


def operations(queries: int, gallery: int) -> int:
    """Of the matrix products: every image with every other one, and the queries with the gallery."""
    return 2 * DIMENSIONS * ((queries + gallery) ** 2 + queries * gallery)


def whole(count: int) -> dict[str, float]:
    """Seconds of `count` + `count` images, the result in memory."""
    left, right = embeddings(count, 1), embeddings(count, 2)
    started = time.perf_counter()
    k_reciprocal(left, right)
    return {"seconds": time.perf_counter() - started}


def in_blocks(count: int) -> dict[str, float]:
    """Seconds of `count` + `count` images, the result block by block, as an evaluation takes it."""
    left, right = embeddings(count, 1), embeddings(count, 2)
    started = time.perf_counter()
    for _ in k_reciprocal_blocks(left, right):
        pass
    return {"seconds": time.perf_counter() - started}


def measure(turns: int = 5, large: int = 10_000, huge: int = 50_000) -> dict[str, Any]:
    """All sizes."""
    report: dict[str, Any] = {"rates": rates()}
    report["cases"] = {name: compare(*case, turns) for name, case in CASES.items()}
    for name, count, function in (("large", large, whole), ("huge", huge, in_blocks)):
        found, peak = in_child(function, count)
        report[name] = {"images": count, "peak, GB": peak, "operations": operations(count, count)} | found
    left, right = embeddings(large // 2, 1), embeddings(large // 2, 2)
    return report | {"where": shares(lambda: k_reciprocal(left, right))}


if __name__ == "__main__":
    run(measure)
