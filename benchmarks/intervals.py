"""Scores of single queries, and how sure their mean is: intervals by drawing people, not images, with replacement.

Images of one person are alike, so a mean over them is less sure than their number suggests. Used by the scripts beside
this one. Shapes: Q queries, G gallery images, P people.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vireid.evaluation.chance import expected_average_precision
from vireid.evaluation.metrics import query_scores
from vireid.evaluation.protocols import Protocol, Trial

DRAWS, LEVEL = 2000, 0.95
SCORES = ("rank1", "mAP")
# Indices of queries `(Q,)` and of gallery images `(G,)` to distances `(Q, G)`.
Distance = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[np.floating]]


@dataclass(frozen=True)
class ByQuery:
    """Scores of Q queries with a match, means over the trials; fractions.

    Attributes:
        pids: `(Q,)` identities.
        scores: `(Q, 2)` share of trials with the right person first, and average precision.
        chance: `(Q, 2)` what a random order would reach on average.
    """

    pids: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    chance: npt.NDArray[np.float64]


def score_queries(protocol: Protocol, distance: Distance) -> ByQuery:
    """Every query of a protocol that has a match in some trial, in ascending order of its index."""
    rows: dict[int, list[npt.NDArray[np.float64]]] = {}
    for trial in protocol.trials:
        valid, values = _score_trial(protocol, trial, distance)
        for index, row in zip(valid.tolist(), values, strict=True):
            rows.setdefault(index, []).append(row)
    order = sorted(rows)
    means = np.array([np.mean(rows[index], axis=0) for index in order])
    return ByQuery(protocol.pids[order], means[:, :2], means[:, 2:])


def _score_trial(
    protocol: Protocol, trial: Trial, distance: Distance
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Indices of the queries that have a match `(V,)`; their Rank-1, AP and both by chance `(V, 4)`."""
    query_ids, gallery_ids = protocol.pids[trial.query], protocol.pids[trial.gallery]
    ignore = protocol.ignore_mask(trial.query, trial.gallery)
    kept = np.ones((len(query_ids), len(gallery_ids)), bool) if ignore is None else ~ignore
    matches, seen = ((query_ids[:, None] == gallery_ids) & kept).sum(1), kept.sum(1)
    found = query_scores(
        distance(trial.query, trial.gallery), query_ids, gallery_ids, ignore, cmc_unit=protocol.cmc_unit
    )
    valid = matches > 0
    by_chance = matches[valid] / seen[valid], expected_average_precision(matches[valid], seen[valid])
    return trial.query[valid], np.stack([found.rank == 1, found.average_precision, *by_chance], axis=1)


def mean_of(parts: Sequence[ByQuery]) -> ByQuery:
    """The mean over runs, query by query."""
    return ByQuery(parts[0].pids, np.mean([part.scores for part in parts], axis=0), parts[0].chance)


def interval(
    values: npt.NDArray[np.float64], pids: npt.NDArray[np.int64], *, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the mean of `values` `(Q,)`: P people drawn with replacement, each with all of their queries.

    >>> interval(np.array([0.5, 0.5, 0.5]), np.array([1, 1, 2]))
    (0.5, 0.5)
    """
    people, row = np.unique(pids, return_inverse=True)
    sums, counts = np.bincount(row, values), np.bincount(row)
    drawn = np.random.default_rng(seed).integers(len(people), size=(draws, len(people)))
    low, high = np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def summarise(found: ByQuery) -> dict[str, dict[str, float]]:
    """For `rank1` and `mAP`: mean, its interval, chance, and the interval of what lies above chance."""
    summary = {}
    for column, name in enumerate(SCORES):
        values, level = found.scores[:, column], found.chance[:, column]
        low, high = interval(values, found.pids)
        above = interval(values - level, found.pids)
        summary[name] = {
            "mean": float(values.mean()),
            "low": low,
            "high": high,
            "chance": float(level.mean()),
            "above_low": above[0],
            "above_high": above[1],
        }
    return summary
