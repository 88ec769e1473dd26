"""Discriminative centre loss (DCL).

Shapes: N embeddings, D embedding size, I identities in the batch.
"""

import torch
from torch import Tensor

from vireid.losses.distance import euclidean, full_precision, nothing_to_compare


def discriminative_center_loss(embeddings: Tensor, pids: Tensor) -> Tensor:
    """How far people lie from their own centre, as a share of how far the nearer of the others do.

    `mean_{i, p} d(c_i, p) / mean_i mean_n d(c_i, n)`: c_i is the mean of the images of identity i in both modalities,
    p are those images, and n are the images of other identities that are nearer to c_i than the average of them; all
    of them where none is nearer. A ratio has no margin and does not depend on the scale of the embeddings. Source: Lu
    et al., Learning Progressive Modality-Shared Transformers for Effective Visible-Infrared Person Re-Identification,
    AAAI 2023, https://arxiv.org/abs/2212.00226.

    Args:
        embeddings: `(N, D)`, not normalised.
        pids: `(N,)`; the modality of an image plays no part.

    Returns:
        A scalar, at least 0; 0 with a warning if the batch holds one identity only.
    """
    identities, own = torch.unique(pids, return_inverse=True)
    if len(identities) < 2:
        return nothing_to_compare(embeddings, "it needs two identities")
    rows = full_precision(embeddings)
    sums = rows.new_zeros(len(identities), rows.shape[1]).index_add(0, own, rows)
    distances = euclidean(sums / own.bincount()[:, None], rows)
    positive = identities[:, None] == pids[None, :]
    nearer = ~positive & (distances < _mean(distances, ~positive)[:, None])
    # Where all others are equally far, none is nearer than their mean.
    chosen = nearer | (~positive & ~nearer.any(1, keepdim=True))
    return distances[positive].mean() / _mean(distances, chosen).mean().clamp(min=1e-12)


def _mean(distances: Tensor, where: Tensor) -> Tensor:
    """The mean of each row's distances in `where`, `(I,)` of `(I, N)`."""
    return (distances * where).sum(1) / where.sum(1)
