"""Distances between embeddings.

Shapes: Q queries, G gallery images, D embedding size.
"""

import numpy as np
import numpy.typing as npt

from vireid.errors import InputError


def distances(query: npt.NDArray[np.float32], gallery: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Cosine distances `(Q, G)`, 1 - cosine, from 0 (same) to 2 (opposite).

    For rows of length 1 this ranks as the Euclidean distance does, whose square is twice as large.

    Args:
        query: `(Q, D)` L2-normalised embeddings.
        gallery: `(G, D)` L2-normalised embeddings.

    Raises:
        InputError: the two have different sizes D.
    """
    if query.ndim != 2 or gallery.ndim != 2 or query.shape[1] != gallery.shape[1]:
        raise InputError(f"embeddings have shapes {query.shape} and {gallery.shape}; expected (Q, D) and (G, D)")
    matrix = query @ gallery.T
    np.subtract(1, matrix, out=matrix)
    return matrix
