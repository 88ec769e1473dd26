"""What a random order of the gallery would score: the level every result should be held against.

Shapes: Q queries, G gallery images.
"""

import numpy as np
import numpy.typing as npt

from vireid.errors import InputError
from vireid.evaluation.distance import blocks
from vireid.evaluation.metrics import BLOCK_ENTRIES, FloatArray, IntArray
from vireid.evaluation.protocols import Protocol, Trial


def chance(protocol: Protocol) -> dict[str, float]:
    """Expected `rank1` and `mAP` of a random order, as fractions: mean over valid queries, then over trials.

    Exact, not simulated. With m matches among n gallery images that the query may see, Rank-1 is m / n for
    both CMC units, and AP is (H + (m - 1) / (n - 1) (n - H)) / n with the harmonic number H = 1 + 1/2 + ...
    + 1/n.

    Raises:
        InputError: no query of a trial has a match.
    """
    scores = np.array([_trial_chance(protocol, trial) for trial in protocol.trials]).mean(axis=0)
    return {"rank1": float(scores[0]), "mAP": float(scores[1])}


def expected_average_precision(matches: npt.ArrayLike, seen: npt.ArrayLike) -> FloatArray:
    """AP of a random order with that many matches among the images seen, element by element."""
    m, n = np.asarray(matches, np.int64), np.asarray(seen, np.int64)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, n.max(initial=0) + 1))])[n]
    others = (m - 1) / np.maximum(n - 1, 1)
    result: FloatArray = (harmonic + others * (n - harmonic)) / n
    return result


def _trial_chance(protocol: Protocol, trial: Trial) -> tuple[float, float]:
    rows = blocks(len(trial.query), len(trial.gallery), BLOCK_ENTRIES)
    counts = [_count(protocol, trial.query[block], trial.gallery) for block in rows]
    matches, seen = np.concatenate(counts, axis=1)
    matches, seen = matches[matches > 0], seen[matches > 0]
    if not len(matches):
        raise InputError("no query has a match in the gallery; check that both hold the same identities")
    return float((matches / seen).mean()), float(expected_average_precision(matches, seen).mean())


def _count(protocol: Protocol, query: IntArray, gallery: IntArray) -> IntArray:
    match = protocol.pids[query][:, None] == protocol.pids[gallery][None, :]
    ignore = protocol.ignore_mask(query, gallery)
    kept = np.ones_like(match) if ignore is None else ~ignore
    counts: IntArray = np.stack([(match & kept).sum(axis=1), kept.sum(axis=1)])
    return counts
