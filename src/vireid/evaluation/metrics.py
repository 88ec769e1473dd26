"""Retrieval metrics from a distance matrix: cumulative matching curve (CMC), mAP and mINP.

Shapes: Q queries, G gallery images, B queries of one block, U distinct gallery identities, V queries that
have a match.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from vireid.errors import InputError

CmcUnit = Literal["identity", "image"]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# Entries of the distance matrix that are sorted at once; few enough to stay near the processor meanwhile.
BLOCK_ENTRIES = 500_000


@dataclass(frozen=True, eq=False)
class RetrievalMetrics:
    """Mean scores over the queries that have at least one match in the gallery; fractions from 0 to 1.

    Attributes:
        cmc: `(max_rank,)`; entry k - 1 is the share of queries whose person is among the first k.
        mean_ap: mean average precision over gallery images.
        mean_inp: mean inverse negative penalty, matches divided by the position of the last one (Ye et al.,
            2021).
        num_valid_queries: queries that had a match; the others are in no mean.
    """

    cmc: FloatArray
    mean_ap: float
    mean_inp: float
    num_valid_queries: int

    def rank(self, k: int) -> float:
        """The CMC at rank `k`, counted from 1."""
        if not 1 <= k <= len(self.cmc):
            raise InputError(f"rank {k} asked for, the curve goes from 1 to {len(self.cmc)}; raise max_rank")
        return float(self.cmc[k - 1])


class QueryScores(NamedTuple):
    """Scores of each query that has a match, `(V,)`: rank of the first match (from 1), AP and INP."""

    rank: IntArray
    average_precision: FloatArray
    inverse_penalty: FloatArray


def retrieval_metrics(
    distances: npt.ArrayLike | torch.Tensor,
    query_ids: npt.ArrayLike | torch.Tensor,
    gallery_ids: npt.ArrayLike | torch.Tensor,
    *,
    ignore: npt.ArrayLike | torch.Tensor | None = None,
    cmc_unit: CmcUnit = "identity",
    max_rank: int = 20,
) -> RetrievalMetrics:
    """Rank the gallery for each query by ascending distance and score the ranking.

    Equal distances keep the order of the gallery. AP and INP always count images; AP is the mean over
    matches j of j / position of j. A gallery with fewer than `max_rank` entries gives a curve that goes on
    with its last value.

    Args:
        distances: `(Q, G)`, small means similar; infinite entries are allowed, NaN is not.
        query_ids: `(Q,)` identities.
        gallery_ids: `(G,)` identities.
        ignore: `(Q, G)`, true where the query must not see the gallery image; it then takes no position
            either.
        cmc_unit: `"identity"` counts each gallery identity once, at its best image (SYSU-MM01, LLCM);
            `"image"` counts images (RegDB).
        max_rank: length of the curve.

    Raises:
        InputError: shapes disagree, query or gallery is empty, a distance is NaN, or no query has a match.

    >>> scores = retrieval_metrics([[0.1, 0.2, 0.3]], [7], [8, 7, 7], max_rank=2)
    >>> scores.cmc.tolist(), round(scores.mean_ap, 4), round(scores.mean_inp, 4)
    ([0.0, 1.0], 0.5833, 0.6667)
    """
    matrix, queries, gallery = as_numpy(distances), as_numpy(query_ids), as_numpy(gallery_ids)
    mask = None if ignore is None else as_numpy(ignore).astype(bool, copy=False)
    _check(matrix, queries, gallery, mask)
    step = block_rows(len(gallery))
    blocks = (slice(start, start + step) for start in range(0, len(queries), step))
    return summarise(
        (
            query_scores(matrix[b], queries[b], gallery, None if mask is None else mask[b], cmc_unit=cmc_unit)
            for b in blocks
        ),
        max_rank=max_rank,
    )


def block_rows(num_gallery: int) -> int:
    """Queries to score at once, so that memory does not grow with their number."""
    return max(1, BLOCK_ENTRIES // max(1, num_gallery))


def query_scores(
    distances: npt.NDArray[Any],
    query_ids: npt.NDArray[Any],
    gallery_ids: npt.NDArray[Any],
    ignore: BoolArray | None,
    *,
    cmc_unit: CmcUnit,
) -> QueryScores:
    """Scores of a block of queries with distances `(B, G)`; queries without a match are left out."""
    if cmc_unit not in ("identity", "image"):
        raise InputError(f"cmc_unit '{cmc_unit}': expected identity or image")
    order = _stable_order(distances)
    match = gallery_ids[order] == query_ids[:, None]
    if ignore is None:
        kept = np.ones_like(match)
    else:
        kept = ~np.take_along_axis(ignore, order, axis=1)
        match &= kept
    rows, columns = np.nonzero(match)
    if not len(rows):
        return QueryScores(np.empty(0, np.int64), np.empty(0), np.empty(0))
    positions = np.cumsum(kept, axis=1, dtype=np.int32)[rows, columns]
    _, starts, counts = np.unique(rows, return_index=True, return_counts=True)
    nth = np.arange(len(rows)) - np.repeat(starts, counts) + 1
    average_precision = np.add.reduceat(nth / positions, starts) / counts
    inverse_penalty = counts / positions[starts + counts - 1]
    if cmc_unit == "image":
        rank = positions[starts].astype(np.int64)
    else:
        rank = _identity_ranks(order[rows[starts]], kept[rows[starts]], columns[starts], gallery_ids)
    return QueryScores(rank, average_precision, inverse_penalty)


def summarise(parts: Iterable[QueryScores], *, max_rank: int = 20) -> RetrievalMetrics:
    """Means over the queries of all blocks; raises `InputError` if none of them has a match."""
    if max_rank < 1:
        raise InputError(f"max_rank {max_rank}: expected 1 or more")
    columns = list(zip(*parts, strict=True))
    ranks, precisions, penalties = (np.concatenate(column) for column in columns)
    valid = len(ranks)
    if not valid:
        raise InputError("no query has a match in the gallery; check that both hold the same identities")
    hits = np.bincount(np.minimum(ranks, max_rank + 1), minlength=max_rank + 2)[1 : max_rank + 1]
    return RetrievalMetrics(np.cumsum(hits) / valid, float(precisions.mean()), float(penalties.mean()), valid)


def as_numpy(values: npt.ArrayLike | torch.Tensor) -> npt.NDArray[Any]:
    """The values as a numpy array, whatever device or type they had."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.asarray(values)


def _stable_order(distances: npt.NDArray[Any]) -> IntArray:
    """Columns `(B, G)` by ascending distance, equal ones in the order of the gallery."""
    # The unstable sort is several times faster; afterwards only runs of equal values need to be put in order.
    order = np.argsort(distances, axis=1)
    ranked = np.take_along_axis(distances, order, axis=1)
    if np.isnan(ranked[:, -1]).any():
        raise InputError("distances hold NaN; expected numbers: check the embeddings and the weights they come from")
    same = ranked[:, 1:] == ranked[:, :-1]
    if same.any():
        as_previous, as_next = np.pad(same, ((0, 0), (1, 0))), np.pad(same, ((0, 0), (0, 1)))
        rows, columns = np.nonzero(as_previous | as_next)
        run = np.cumsum(~as_previous[rows, columns])
        entries = order[rows, columns]
        order[rows, columns] = entries[np.lexsort((entries, run))]
    return order


def _identity_ranks(order: IntArray, kept: BoolArray, first_match: IntArray, gallery_ids: npt.NDArray[Any]) -> IntArray:
    """Distinct identities up to and including the first match, `(V,)`."""
    unique, code = np.unique(gallery_ids, return_inverse=True)
    # Nothing after the latest first match of the block matters.
    width = int(first_match.max()) + 1
    seen = np.where(kept[:, :width], code[order[:, :width]], len(unique))
    earliest = np.full((len(order), len(unique) + 1), width, np.int32)
    # Written from the back, so the earliest column of an identity is the one that stays.
    backwards = np.arange(width - 1, -1, -1, dtype=np.int32)
    earliest[np.arange(len(order))[:, None], seen[:, ::-1]] = backwards
    ranks: IntArray = (earliest[:, :-1] <= first_match[:, None]).sum(axis=1)
    return ranks


def _check(
    distances: npt.NDArray[Any],
    queries: npt.NDArray[Any],
    gallery: npt.NDArray[Any],
    ignore: BoolArray | None,
) -> None:
    if queries.ndim != 1 or gallery.ndim != 1:
        raise InputError(f"identities have shapes {queries.shape} and {gallery.shape}; expected (Q,) and (G,)")
    if not len(queries) or not len(gallery):
        raise InputError(f"got {len(queries)} queries and {len(gallery)} gallery images; expected at least one of each")
    expected = (len(queries), len(gallery))
    if distances.shape != expected:
        raise InputError(f"distances have shape {distances.shape}; expected (Q, G) = {expected} from the identities")
    if ignore is not None and ignore.shape != expected:
        raise InputError(f"ignore has shape {ignore.shape}; expected (Q, G) = {expected} like the distances")
