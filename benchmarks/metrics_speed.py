"""Metrics beside a plain evaluator and sorting alone: `python benchmarks/metrics_speed.py --output FILE.json`.

Three parts. From a distance matrix of the sizes of SYSU-MM01 and RegDB: `retrieval_metrics`, `numpy.argsort` of the
same matrix, and an evaluator that goes query by query, as published ones do. From embeddings: all four protocols of
SYSU-MM01 with ten draws each. And a matrix of distances that is never whole: QUERIES x GALLERY, with the peak memory.
"""

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from timing import COUNTS, in_child, in_turns, median, rates, run, shares

from vireid.evaluation.evaluate import evaluate_protocol
from vireid.evaluation.metrics import retrieval_metrics
from vireid.evaluation.protocols import Protocol, Trial, sysu_ignore, sysu_mm01
from vireid.sample import Direction, Modality, Sample

# Queries, gallery images, identities, what the CMC counts.
CASES = {
    "SYSU-MM01, 3803 x 301": (3803, 301, 96, "identity"),
    "SYSU-MM01, 3803 x 3010": (3803, 3010, 96, "identity"),
    "RegDB, 2060 x 2060": (2060, 2060, 206, "image"),
}
DIMENSIONS = 2048


def plain(
    distances: npt.NDArray[np.float64],
    query_ids: npt.NDArray[np.int64],
    gallery_ids: npt.NDArray[np.int64],
    ignore: npt.NDArray[np.bool_] | None,
    unit: str,
) -> tuple[float, float, float]:
    """Rank-1, mAP and mINP, one query after the other."""
    order = np.argsort(distances, axis=1)
    first, precisions, penalties = [], [], []
    for query in range(len(query_ids)):
        ranking = order[query]
        if ignore is not None:
            ranking = ranking[~ignore[query][ranking]]
        found = gallery_ids[ranking]
        matches = found == query_ids[query]
        if not matches.any():
            continue
        if unit == "identity":
            _, places = np.unique(found, return_index=True)
            first.append(found[np.sort(places)][0] == query_ids[query])
        else:
            first.append(matches[0])
        hits = np.cumsum(matches)
        precisions.append((hits / np.arange(1, len(hits) + 1) * matches).sum() / matches.sum())
        last = int(np.flatnonzero(matches)[-1])
        penalties.append(hits[last] / (last + 1))
    return float(np.mean(first)), float(np.mean(precisions)), float(np.mean(penalties))


def compare(queries: int, gallery: int, identities: int, unit: str, turns: int) -> dict[str, Any]:
    """Seconds and ratios of one size; raises `AssertionError` if the two evaluators disagree."""
    rng = np.random.default_rng(0)
    query_ids, gallery_ids = rng.integers(0, identities, queries), rng.permutation(np.arange(gallery) % identities)
    distances = rng.random((queries, gallery)) - 0.3 * (query_ids[:, None] == gallery_ids)
    cameras = rng.choice([3, 6], queries), rng.choice([1, 2, 4, 5], gallery)
    ignore = sysu_ignore(*cameras) if unit == "identity" else None
    ours = partial(retrieval_metrics, distances, query_ids, gallery_ids, ignore=ignore, cmc_unit=unit)
    theirs = partial(plain, distances, query_ids, gallery_ids, ignore, unit)
    scores = ours()
    np.testing.assert_allclose((scores.rank(1), scores.mean_ap, scores.mean_inp), theirs(), rtol=0, atol=1e-12)
    actions = {"argsort": lambda: np.argsort(distances, axis=1), "vireid": ours, "plain": theirs}
    seconds = median(in_turns(actions, turns))
    return {
        "seconds": seconds,
        "vireid over argsort": seconds["vireid"] / seconds["argsort"],
        "plain over vireid": seconds["plain"] / seconds["vireid"],
    }


def sysu_samples() -> list[Sample]:
    """The test images of SYSU-MM01 by their published numbers, without files."""
    counts = json.loads(COUNTS.read_text())["counts"]
    return [
        Sample(Path(), int(pid), Modality.INFRARED if camid in (3, 6) else Modality.VISIBLE, camid, "test")
        for pid, cameras in counts.items()
        for camid, count in enumerate(cameras, 1)
        for _ in range(count)
    ]


def unit_rows(count: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Random embeddings of length 1."""
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSIONS), np.float32)
    for start in range(0, count, 1000):
        rows[start : start + 1000] /= np.linalg.norm(rows[start : start + 1000], axis=1, keepdims=True)
    return rows


def ten_draws(turns: int) -> dict[str, Any]:
    """Seconds of the four protocols with ten draws each, and of the plain evaluator with one draw of each."""
    samples = sysu_samples()
    embeddings = unit_rows(len(samples))
    rules = [
        sysu_mm01(samples, Direction.I2V, search=search, shots=shots, gallery="agw")
        for search in ("all", "indoor")
        for shots in (1, 10)
    ]

    def ours() -> list[Any]:
        return [evaluate_protocol(embeddings, protocol) for protocol in rules]

    def theirs() -> None:
        for protocol in rules:
            query, gallery = protocol.trials[0].query, protocol.trials[0].gallery
            distances = -embeddings[query] @ embeddings[gallery].T
            ids = protocol.pids[query], protocol.pids[gallery]
            plain(distances, *ids, protocol.ignore_mask(query, gallery), "identity")

    seconds = median(in_turns({"vireid": ours, "plain, one draw": theirs}, turns))
    products = sum(2 * len(t.query) * len(t.gallery) * DIMENSIONS for protocol in rules for t in protocol.trials)
    return {
        "seconds": seconds,
        "plain over vireid, one draw": 10 * seconds["plain, one draw"] / seconds["vireid"],
        "operations": products,
        "where": shares(ours),
    }


def large(queries: int, gallery: int) -> dict[str, Any]:
    """Seconds of an evaluation whose distances do not fit into memory."""
    embeddings = unit_rows(queries + gallery)
    rng = np.random.default_rng(1)
    pids = rng.integers(0, max(1, gallery // 20), queries + gallery)
    cameras = rng.integers(1, 7, queries + gallery)
    trial = Trial(np.arange(queries), queries + np.arange(gallery))
    tracks = np.full(queries + gallery, -1)
    protocol = Protocol("large", "all", Direction.I2V, "identity", "same_place", pids, cameras, tracks, (trial,))
    started = time.perf_counter()
    result = evaluate_protocol(embeddings, protocol)
    return {"seconds": time.perf_counter() - started, "mAP": result.mean["mAP"]}


def measure(turns: int = 5, queries: int = 20_000, gallery: int = 100_000) -> dict[str, Any]:
    """All three parts."""
    report: dict[str, Any] = {"rates": rates()}
    report["matrix"] = {name: compare(*case, turns) for name, case in CASES.items()}
    report["draws"] = ten_draws(turns)
    found, peak = in_child(large, queries, gallery)
    size = {"queries": queries, "gallery": gallery, "whole matrix, GB": 4e-9 * queries * gallery}
    report["large"] = size | found | {"peak, GB": peak, "operations": 2 * queries * gallery * DIMENSIONS}
    return report


if __name__ == "__main__":
    run(measure)
