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
from vireid.evaluation.distance import blocks

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
        distances: `(Q, G)`, small means similar; infinite entries are allowed, NaN only where it does not count.
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
    return summarise([query_scores(matrix, queries, gallery, mask, cmc_unit=cmc_unit)], max_rank=max_rank)


def query_scores(
    distances: npt.NDArray[Any],
    query_ids: npt.NDArray[Any],
    gallery_ids: npt.NDArray[Any],
    ignore: BoolArray | None,
    *,
    cmc_unit: CmcUnit,
) -> QueryScores:
    """Scores of queries with distances `(Q, G)`, as `retrieval_metrics`; queries without a match are left out."""
    if cmc_unit not in ("identity", "image"):
        raise InputError(f"cmc_unit '{cmc_unit}': expected identity or image")
    if distances.dtype not in (np.float16, np.float32, np.float64):
        distances = distances.astype(np.float64)
    people = _by_identity(gallery_ids)
    parts = [
        _score(distances[rows], query_ids[rows], people, None if ignore is None else ignore[rows], cmc_unit)
        for rows in blocks(len(query_ids), len(gallery_ids), BLOCK_ENTRIES)
    ]
    return QueryScores(*map(np.concatenate, zip(*parts, strict=True)))


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


class _People(NamedTuple):
    """The gallery by identity.

    Attributes:
        order: `(G,)` columns; those of an identity stand together, in ascending order.
        identities: `(U,)` ascending.
        starts: `(U,)` where each begins in `order`.
        counts: `(U,)` images of each.
        codes: `(G,)` number of each column's identity.
    """

    order: IntArray
    identities: npt.NDArray[Any]
    starts: IntArray
    counts: IntArray
    codes: IntArray


def _by_identity(gallery_ids: npt.NDArray[Any]) -> _People:
    identities, codes, counts = np.unique(gallery_ids, return_inverse=True, return_counts=True)
    return _People(np.argsort(codes, kind="stable"), identities, np.cumsum(counts) - counts, counts, codes)


def _score(
    distances: npt.NDArray[Any],
    query_ids: npt.NDArray[Any],
    people: _People,
    ignore: BoolArray | None,
    cmc_unit: CmcUnit,
) -> QueryScores:
    """Scores of a block of queries `(B, G)`; M is the most matches of one.

    The gallery is not ranked: its distances are sorted without their columns, which is faster, and the few of the
    matches are looked up in them.
    """
    slots, seen = _matches(query_ids, people, ignore)
    valid = seen.any(axis=1)
    if not valid.all():
        slots, seen, distances = slots[valid], seen[valid], distances[valid]
        ignore = None if ignore is None else ignore[valid]
    ranked = np.take(distances, people.order, axis=1)
    if ignore is not None:
        ranked[np.take(ignore, people.order, axis=1)] = np.inf
    matches = np.where(seen, np.take_along_axis(ranked, slots, axis=1), np.inf)
    # Nearest first; a hidden match stands behind one that is seen, however far.
    by_distance = np.lexsort((~seen, matches))
    matches, slots, seen = (np.take_along_axis(each, by_distance, axis=1) for each in (matches, slots, seen))
    nearest = np.minimum.reduceat(ranked, people.starts, axis=1) if cmc_unit == "identity" else None
    ranked.sort(axis=1)
    if np.isnan(ranked[:, -1]).any():
        raise InputError("distances hold NaN; expected numbers: check the embeddings and the weights they come from")
    below, up_to = (
        torch.searchsorted(torch.from_numpy(ranked), torch.from_numpy(matches), side=side).numpy()
        for side in ("left", "right")
    )
    places = below + 1
    nearer = np.zeros_like(below[:, 0]) if nearest is None else (nearest < matches[:, :1]).sum(axis=1)
    # Equal distances, seldom: those of earlier columns come first.
    tied = seen & (up_to - below > 1)
    for match in np.flatnonzero(tied.any(axis=0)):
        rows = np.flatnonzero(tied[:, match])
        value, column = matches[rows, match, None], people.order[slots[rows, match, None]]
        earlier = (distances[rows] == value) & (np.arange(len(people.order)) < column)
        if ignore is not None:
            earlier &= ~ignore[rows]
        places[rows, match] += earlier.sum(axis=1)
        if match == 0 and nearest is not None:
            nearer[rows] += _first_at(earlier, nearest[rows] == value, people.codes)
    ranks = places[:, 0] if nearest is None else nearer + 1
    counts = seen.sum(axis=1)
    precisions = np.where(seen, np.arange(1, seen.shape[1] + 1) / places, 0).sum(axis=1) / counts
    last = np.take_along_axis(places, counts[:, None] - 1, axis=1)[:, 0]
    return QueryScores(ranks, precisions, counts / last)


def _matches(query_ids: npt.NDArray[Any], people: _People, ignore: BoolArray | None) -> tuple[IntArray, BoolArray]:
    """Places of each query's matches in `people.order`, and which of them it sees; both `(B, M)`."""
    person = np.searchsorted(people.identities[:-1], query_ids)
    counts = np.where(people.identities[person] == query_ids, people.counts[person], 0)[:, None]
    number = np.arange(max(1, counts.max()))
    seen = number < counts
    slots = people.starts[person, None] + np.where(seen, number, 0)
    if ignore is not None:
        seen &= ~np.take_along_axis(ignore, people.order[slots], axis=1)
    return slots, seen


def _first_at(earlier: BoolArray, nearest_here: BoolArray, codes: IntArray) -> IntArray:
    """Identities `(T,)` whose nearest image is as far as the first match and comes before it.

    Args:
        earlier: `(T, G)` images as far as the first match and before it.
        nearest_here: `(T, U)` identities whose nearest image is as far as the first match.
        codes: `(G,)` number of each image's identity.
    """
    rows, columns = np.nonzero(earlier)
    found = np.zeros_like(nearest_here)
    found[rows, codes[columns]] = True
    result: IntArray = (found & nearest_here).sum(axis=1)
    return result


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
