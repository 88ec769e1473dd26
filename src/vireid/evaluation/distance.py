"""Distances between embeddings.

Shapes: Q queries, G gallery images, D embedding size.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vireid.errors import InputError
from vireid.models.precision import exact_products


def distances(
    query: npt.NDArray[np.float32] | Tensor, gallery: npt.NDArray[np.float32] | Tensor
) -> npt.NDArray[np.float32]:
    """Cosine distances `(Q, G)`, 1 - cosine, from 0 (same) to 2 (opposite); computed where the gallery is.

    For rows of length 1 this ranks as the Euclidean distance does, whose square is twice as large.

    Args:
        query: `(Q, D)` L2-normalised embeddings.
        gallery: `(G, D)` L2-normalised embeddings, on any device.

    Raises:
        InputError: the two have different sizes D.
    """
    if query.ndim != 2 or gallery.ndim != 2 or query.shape[1] != gallery.shape[1]:
        raise InputError(
            f"embeddings have shapes {tuple(query.shape)} and {tuple(gallery.shape)}; expected (Q, D) and (G, D)"
        )
    right = as_tensor(gallery).float()
    with exact_products():
        cosine = as_tensor(query).to(right) @ right.T
    result: npt.NDArray[np.float32] = cosine.neg_().add_(1).cpu().numpy()
    return result


def as_tensor(values: npt.ArrayLike | Tensor) -> Tensor:
    """The values as a tensor; shares memory with an array that may be written to."""
    if isinstance(values, Tensor):
        return values.detach()
    return torch.from_numpy(np.require(values, requirements=["C", "W"]))


def blocks(rows: int, columns: int, entries: int) -> Iterator[slice]:
    """Rows of a matrix in blocks of at most `entries` entries, of one row at least."""
    step = max(1, entries // max(1, columns))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))
