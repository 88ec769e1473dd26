"""Re-ranking with k-reciprocal encoding (Zhong et al., CVPR 2017), with sparse neighbourhoods.

The published code keeps several `(N, N)` matrices. Here only the nearest neighbours are kept, in sparse
matrices, and distances are computed block by block; memory grows with N x k1 x k2 and with the result.

Shapes: Q queries, G gallery images, N = Q + G, D embedding size, B rows of one block, K = k1 + 1 neighbours.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from vireid.errors import InputError
from vireid.evaluation.distance import as_tensor, blocks
from vireid.evaluation.metrics import BoolArray, FloatArray, IntArray
from vireid.models.precision import exact_products

# Entries of the distance matrix that are computed at once; smaller blocks would slow the matrix product down.
DISTANCE_BLOCK = 16_000_000
# Pairs whose distance is computed at once from gathered rows; they stay near the processor.
PAIR_BLOCK = 256
# Squared distances of unit vectors in 32 bits were off by 1.3e-6 at most (D = 64, 512, 2048; 16 million pairs each).
ROUNDING = 1e-5


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
    largest one. Distances are computed in 32 bits, and again in 64 for the images whose neighbours rounding could
    change; in 16 bits, as in published code, it does change them.

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
    left, right = as_tensor(query), as_tensor(gallery)
    result = np.empty((*left.shape[:1], *right.shape[:1]), np.float32)
    for rows, block in k_reciprocal_blocks(left, right, k1=k1, k2=k2, lambda_value=lambda_value, apart=apart):
        result[rows] = block
    return result


def k_reciprocal_blocks(
    query: npt.ArrayLike | torch.Tensor,
    gallery: npt.ArrayLike | torch.Tensor,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    apart: BoolArray | None = None,
) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """As `k_reciprocal`, block of queries by block: `(rows of the query, distances (B, G) float32)`.

    Distances are computed on the device of `gallery`.
    """
    right = as_tensor(gallery)
    if right.device.type == "mps":  # knows no 64 bits
        right = right.cpu()
    left = as_tensor(query).to(right.device)
    _check(left, right, k1, k2, lambda_value)
    count, split = len(left) + len(right), len(left)
    features = torch.cat([left, right])
    barred = None if apart is None else _barred(apart)
    sizes = [min(size, count) for size in (k1 + 1, round(k1 / 2) + 1, k2)]
    neighbours, largest = _nearest(features, sizes, barred)
    features = features.float()
    encoding = _encode(features, neighbours, largest, k1, barred)
    if k2 > 1:
        encoding = _average(encoding, neighbours[:, :k2])
    gallery_columns = encoding[split:].tocsc()
    norms = _squared_norms(features[split:])
    for rows in blocks(split, count - split, DISTANCE_BLOCK):
        result = _squared_distances(features[rows], features[split:], norms).cpu().numpy()
        result *= lambda_value / largest[rows, None]
        _add_jaccard(result, encoding[rows], gallery_columns, 1 - lambda_value)
        yield rows, result


def _squared_norms(features: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(features, dim=1)  # unlike a sum of squares, without a copy
    return norms.square()


def _squared_distances(left: Tensor, right: Tensor, right_norms: Tensor) -> Tensor:
    """`(B, N)` of rows `(B, D)` and `(N, D)`."""
    with exact_products():
        result = torch.addmm(right_norms, left, right.T, alpha=-2)
    result += _squared_norms(left)[:, None]
    return result.clamp_(min=0)


def _barred(apart: BoolArray) -> sparse.csr_array:
    """1 where two images must not be neighbours, `(N, N)`, in both senses."""
    pairs = sparse.csr_array(apart.astype(np.int32))
    return sparse.block_array([[None, pairs], [pairs.T, None]], format="csr", dtype=np.int32)


def _nearest(features: Tensor, sizes: Sequence[int], barred: sparse.csr_array | None) -> tuple[IntArray, FloatArray]:
    """The nearest images `(N, max(sizes))` of each image, itself first, and its largest distance `(N,)`.

    The first n are the same set as in 64 bits for each n of `sizes`. -1 stands where an image may have fewer
    neighbours.
    """
    count, k = len(features), max(sizes)
    neighbours, largest = np.empty((count, k), np.int64), np.empty(count)
    coarse = features.float()
    norms = _squared_norms(coarse)
    margin = ROUNDING * float(norms.max())
    # Where the last of a set and the next image are equally far but for rounding, the set is in doubt.
    cuts = torch.tensor([size for size in sizes if size < count], dtype=torch.int64, device=features.device)
    doubtful = []
    for rows in blocks(count, count, DISTANCE_BLOCK):
        block = _squared_distances(coarse[rows], coarse, norms)
        largest[rows] = block.amax(1).cpu()
        _mark(block, np.arange(rows.start, rows.stop), barred)
        values, columns = block.topk(min(k + 1, count), largest=False)
        doubt = (values[:, cuts] - values[:, cuts - 1] <= margin).any(1)
        doubtful.append(rows.start + doubt.nonzero()[:, 0].cpu().numpy())
        neighbours[rows] = torch.where(values.isinf(), -1, columns)[:, :k].cpu()
    again = np.concatenate(doubtful)
    for part in blocks(len(again), 2 * count, DISTANCE_BLOCK):
        neighbours[again[part]], largest[again[part]] = _nearest_exactly(features, again[part], k, barred)
    # All images equal: every distance is 0, whatever it is divided by.
    return neighbours, np.where(largest > 0, largest, 1)


def _nearest_exactly(
    features: Tensor, rows: IntArray, k: int, barred: sparse.csr_array | None
) -> tuple[IntArray, FloatArray]:
    """As `_nearest` for some rows, in 64 bits; equally near images by their number."""
    count, own = len(features), features[torch.from_numpy(rows)].double()
    parts = (features[part].double() for part in blocks(count, features.shape[1], DISTANCE_BLOCK))
    block = torch.cat([_squared_distances(own, part, _squared_norms(part)) for part in parts], 1)
    largest: FloatArray = block.amax(1).cpu().numpy()
    _mark(block, rows, barred)
    values, columns = _smallest(block, k)
    return torch.where(values.isinf(), -1, columns).cpu().numpy(), largest


def _smallest(block: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The `k` smallest entries of each row in ascending order and their columns `(B, k)`; equal ones by column."""
    last = block.topk(k, largest=False).values[:, -1:]
    rows, columns = (block <= last).nonzero(as_tuple=True)  # more than k where entries equal the last
    values = block[rows, columns]
    order = values.argsort(stable=True)
    order = order[rows[order].argsort(stable=True)]
    counts = rows.bincount(minlength=len(block))
    chosen = order[(counts.cumsum(0) - counts)[:, None] + torch.arange(k, device=block.device)]
    return values[chosen], columns[chosen]


def _mark(block: Tensor, rows: IntArray, barred: sparse.csr_array | None) -> None:
    """Make each image of `rows` its own nearest and barred pairs infinitely far, in place."""
    # Below every rounding error: an exact duplicate never takes the image's own place.
    block[torch.arange(len(rows)), torch.from_numpy(rows)] = -1
    if barred is not None:
        block[tuple(map(torch.from_numpy, barred[rows].nonzero()))] = torch.inf


def _encode(
    features: Tensor, neighbours: IntArray, largest: FloatArray, k1: int, barred: sparse.csr_array | None
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


def _pair_distances(features: Tensor, rows: IntArray, columns: IntArray) -> FloatArray:
    distances = torch.empty(len(rows), device=features.device)
    left, right = (torch.from_numpy(each).to(features.device, torch.int64) for each in (rows, columns))
    for start in range(0, len(rows), PAIR_BLOCK):
        part = slice(start, start + PAIR_BLOCK)
        distances[part] = (features[left[part]] - features[right[part]]).square_().sum(1)
    return distances.double().cpu().numpy()


def _average(encoding: sparse.csr_array, nearest: IntArray) -> sparse.csr_array:
    near = _near(nearest)
    shares = 1 / np.diff(near.indptr)
    return (sparse.diags_array(shares) @ near @ encoding).tocsr()


def _add_jaccard(
    result: npt.NDArray[np.float32], encoding: sparse.csr_array, gallery: sparse.csc_array, weight: float
) -> None:
    """Add `weight` x Jaccard distance of encodings `(B, N)` to the gallery's `(G, N)`, by inverted lists."""
    for row in range(len(result)):
        span = slice(encoding.indptr[row], encoding.indptr[row + 1])
        starts = gallery.indptr[encoding.indices[span]]
        lengths = gallery.indptr[encoding.indices[span] + 1] - starts
        # Positions of all entries of these columns, one column after the other.
        offsets = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        smaller = np.minimum(np.repeat(encoding.data[span], lengths), gallery.data[offsets])
        overlap = np.bincount(gallery.indices[offsets], smaller, minlength=result.shape[1])
        # Both encodings sum to 1, so the sum of their larger weights is 2 - overlap.
        result[row] += weight * (1 - overlap / (2 - overlap))


def _check(query: Tensor, gallery: Tensor, k1: int, k2: int, weight: float) -> None:
    if query.ndim != 2 or gallery.ndim != 2 or query.shape[1] != gallery.shape[1]:
        shapes = f"{tuple(query.shape)} and {tuple(gallery.shape)}"
        raise InputError(f"embeddings have shapes {shapes}; expected (Q, D) and (G, D)")
    if not len(query) or not len(gallery):
        raise InputError(f"got {len(query)} queries and {len(gallery)} gallery images; expected at least one of each")
    if not query.isfinite().all() or not gallery.isfinite().all():
        raise InputError("embeddings hold NaN or infinity; check the weights they come from")
    if k1 < 1 or k2 < 1 or not 0 <= weight <= 1:
        raise InputError(f"got k1={k1}, k2={k2}, lambda={weight}; expected k1 >= 1, k2 >= 1 and lambda from 0 to 1")
