"""Re-ranking with k-reciprocal encoding (Zhong et al., CVPR 2017), with sparse neighbourhoods.

The published code keeps several `(N, N)` matrices. Here only the nearest neighbours are kept, in sparse
matrices, and distances are computed block by block; memory grows with N x k1 x k2 and with the result.

Shapes: Q queries, G gallery images, N = Q + G, D embedding size, B rows of one block, K = k1 + 1 neighbours.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from vireid.errors import InputError
from vireid.evaluation.metrics import BoolArray, FloatArray, IntArray, as_numpy

# Entries of the distance matrix that are computed at once; smaller blocks would slow the matrix product down.
DISTANCE_BLOCK = 4_000_000
# Pairs whose distance is computed at once from gathered rows.
PAIR_BLOCK = 2048


def k_reciprocal(
    query: npt.ArrayLike | torch.Tensor,
    gallery: npt.ArrayLike | torch.Tensor,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    apart: BoolArray | None = None,
) -> npt.NDArray[np.float32]:
    """Re-ranked distances `(Q, G)`, from 0 to 1.

    Each image is encoded by its mutual neighbours; two images are near if these encodings overlap (Jaccard
    distance). The result is (1 - lambda) x Jaccard + lambda x squared Euclidean distance over the query's
    largest one. Everything is computed in 64 bits: in 16 bits, as in published code, rounding changes the
    neighbours.

    Args:
        query: `(Q, D)` embeddings, L2-normalised.
        gallery: `(G, D)` embeddings, L2-normalised.
        k1: neighbours that encode an image; with k1 >= N - 1 all images do, as in the published code.
        k2: nearest images whose encodings are averaged, all of them if k2 > N; 1 leaves encodings as they are.
        lambda_value: weight of the original distance, from 0 to 1.
        apart: `(Q, G)`, true for pairs that are never neighbours, in neither sense. Leaving such pairs out of the
            ranking alone would not do: their common neighbours would tell.

    Raises:
        InputError: shapes disagree, a side is empty, an embedding is not finite, or a setting is out of
            range.
    """
    blocks = k_reciprocal_blocks(query, gallery, k1=k1, k2=k2, lambda_value=lambda_value, apart=apart)
    return np.concatenate([block.astype(np.float32) for _, block in blocks])


def k_reciprocal_blocks(
    query: npt.ArrayLike | torch.Tensor,
    gallery: npt.ArrayLike | torch.Tensor,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    apart: BoolArray | None = None,
) -> Iterator[tuple[slice, FloatArray]]:
    """As `k_reciprocal`, block of queries by block: `(rows of the query, distances (B, G) in 64 bits)`."""
    q, g = as_numpy(query), as_numpy(gallery)
    _check(q, g, k1, k2, lambda_value)
    features = np.concatenate([q, g]).astype(np.float64)
    count = len(features)
    barred = None if apart is None else _barred(apart)
    neighbours, largest = _nearest(features, min(max(k1 + 1, k2), count), barred)
    encoding = _encode(features, neighbours, largest, k1, barred)
    if k2 > 1:
        encoding = _average(encoding, neighbours[:, :k2])
    gallery_columns = encoding[len(q) :].tocsc()
    step = max(1, DISTANCE_BLOCK // len(g))
    for start in range(0, len(q), step):
        rows = slice(start, min(start + step, len(q)))
        jaccard = _jaccard(encoding[rows], gallery_columns)
        original = _squared_distances(features[rows], features[len(q) :]) / largest[rows, None]
        yield rows, (1 - lambda_value) * jaccard + lambda_value * original


def _squared_distances(left: FloatArray, right: FloatArray) -> FloatArray:
    result: FloatArray = (-2 * left) @ right.T
    result += np.einsum("nd,nd->n", left, left)[:, None]
    result += np.einsum("nd,nd->n", right, right)
    return np.maximum(result, 0, out=result)


def _barred(apart: BoolArray) -> sparse.csr_array:
    """1 where two images must not be neighbours, `(N, N)`, in both senses."""
    pairs = sparse.csr_array(apart.astype(np.int32))
    return sparse.block_array([[None, pairs], [pairs.T, None]], format="csr", dtype=np.int32)


def _nearest(features: FloatArray, k: int, barred: sparse.csr_array | None) -> tuple[IntArray, FloatArray]:
    """The `k` nearest images `(N, k)` of each image, itself first, and its largest distance `(N,)`.

    -1 stands where an image may have fewer neighbours than `k`.
    """
    count = len(features)
    neighbours = np.empty((count, k), np.int64)
    largest = np.empty(count)
    step = max(1, DISTANCE_BLOCK // count)
    for start in range(0, count, step):
        rows = np.arange(start, min(start + step, count))
        block = _squared_distances(features[rows], features)
        largest[rows] = block.max(axis=1)
        # Below every rounding error: an exact duplicate never takes the image's own place.
        block[np.arange(len(rows)), rows] = -1
        if barred is not None:
            block[barred[rows].nonzero()] = np.inf
        nearest = _smallest(block, k)
        neighbours[rows] = np.where(np.isinf(np.take_along_axis(block, nearest, axis=1)), -1, nearest)
    # All images equal: every distance is 0, whatever it is divided by.
    return neighbours, np.where(largest > 0, largest, 1)


def _smallest(block: FloatArray, k: int) -> IntArray:
    """Columns of the `k` smallest entries of each row in ascending order; equal ones by column."""
    if k >= block.shape[1]:
        return np.argsort(block, axis=1, kind="stable")
    chosen = np.sort(np.argpartition(block, k - 1, axis=1)[:, :k], axis=1)
    values = np.take_along_axis(block, chosen, axis=1)
    result: IntArray = np.take_along_axis(chosen, np.argsort(values, axis=1, kind="stable"), axis=1)
    # Where equal entries stand on both sides of the cut, the partition may have kept the wrong ones.
    cut = values.max(axis=1, keepdims=True)
    torn = (block <= cut).sum(axis=1) > k
    if torn.any():
        result[torn] = np.argsort(block[torn], axis=1, kind="stable")[:, :k]
    return result


def _encode(
    features: FloatArray, neighbours: IntArray, largest: FloatArray, k1: int, barred: sparse.csr_array | None
) -> sparse.csr_array:
    """Gaussian weights `(N, N)` of each image's expanded set of mutual neighbours; rows sum to 1."""
    mutual = _mutual(neighbours[:, : k1 + 1])
    half = _mutual(neighbours[:, : round(k1 / 2) + 1])
    # A neighbour brings its own, narrower set along if more than two thirds of that set are mutual already.
    shared = (mutual @ half.T).multiply(mutual).tocsr()
    sizes = np.diff(half.indptr)
    trusted = shared.copy()
    trusted.data = (3 * shared.data > 2 * sizes[shared.indices]).astype(np.int32)
    trusted.eliminate_zeros()
    members = (mutual + trusted @ half).tocsr()
    if barred is not None:
        members = (members - members.multiply(barred)).tocsr()
        members.eliminate_zeros()
    members.sort_indices()
    rows = np.repeat(np.arange(len(features)), np.diff(members.indptr))
    distances = _pair_distances(features, rows, members.indices) / largest[rows]
    weights = np.exp(-distances)
    sums = np.bincount(rows, weights, minlength=len(features))
    shape = (len(features), len(features))
    return sparse.csr_array((weights / sums[rows], members.indices, members.indptr), shape=shape)


def _mutual(neighbours: IntArray) -> sparse.csr_array:
    """1 where two images are among each other's neighbours, `(N, N)`."""
    near = _near(neighbours)
    return near.multiply(near.T).tocsr()


def _near(neighbours: IntArray) -> sparse.csr_array:
    """1 at each image's neighbours, `(N, N)`."""
    count = len(neighbours)
    there = neighbours >= 0
    indptr = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    return sparse.csr_array((np.ones(indptr[-1], np.int32), neighbours[there], indptr), shape=(count, count))


def _pair_distances(features: FloatArray, rows: IntArray, columns: IntArray) -> FloatArray:
    distances = np.empty(len(rows))
    for start in range(0, len(rows), PAIR_BLOCK):
        part = slice(start, start + PAIR_BLOCK)
        difference = features[rows[part]] - features[columns[part]]
        distances[part] = np.einsum("nd,nd->n", difference, difference)
    return distances


def _average(encoding: sparse.csr_array, nearest: IntArray) -> sparse.csr_array:
    near = _near(nearest)
    shares = 1 / np.diff(near.indptr)
    return (sparse.diags_array(shares) @ near @ encoding).tocsr()


def _jaccard(encoding: sparse.csr_array, gallery: sparse.csc_array) -> FloatArray:
    """Jaccard distances `(B, G)` of encodings `(B, N)` to the gallery's `(G, N)`, by inverted lists."""
    overlap = np.zeros((encoding.shape[0], gallery.shape[0]))
    for row in range(len(overlap)):
        span = slice(encoding.indptr[row], encoding.indptr[row + 1])
        starts = gallery.indptr[encoding.indices[span]]
        lengths = gallery.indptr[encoding.indices[span] + 1] - starts
        # Positions of all entries of these columns, one column after the other.
        offsets = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        smaller = np.minimum(np.repeat(encoding.data[span], lengths), gallery.data[offsets])
        overlap[row] = np.bincount(gallery.indices[offsets], smaller, minlength=len(overlap[row]))
    # Both encodings sum to 1, so the sum of their larger weights is 2 - overlap.
    result: FloatArray = 1 - overlap / (2 - overlap)
    return result


def _check(query: npt.NDArray[np.float64], gallery: npt.NDArray[np.float64], k1: int, k2: int, weight: float) -> None:
    if query.ndim != 2 or gallery.ndim != 2 or query.shape[1] != gallery.shape[1]:
        raise InputError(f"embeddings have shapes {query.shape} and {gallery.shape}; expected (Q, D) and (G, D)")
    if not len(query) or not len(gallery):
        raise InputError(f"got {len(query)} queries and {len(gallery)} gallery images; expected at least one of each")
    if not np.isfinite(query).all() or not np.isfinite(gallery).all():
        raise InputError("embeddings hold NaN or infinity; check the weights they come from")
    if k1 < 1 or k2 < 1 or not 0 <= weight <= 1:
        raise InputError(f"got k1={k1}, k2={k2}, lambda={weight}; expected k1 >= 1, k2 >= 1 and lambda from 0 to 1")
