"""Centre alignment loss: identities into their centres, both modalities into one, centres apart.

Shapes: N embeddings, D embedding size, I identities in the batch.
"""

import torch
from torch import Tensor

from vireid.losses.distance import euclidean, full_precision, nothing_to_compare
from vireid.losses.hetero_center import modality_centers


def center_alignment_loss(
    embeddings: Tensor,
    pids: Tensor,
    modalities: Tensor,
    *,
    margin: float = 0.7,
    alignment: float = 1.0,
    cluster: float = 1.0,
    push: float = 1.0,
) -> Tensor:
    """`a mean_i d(v_i, r_i) + b mean_n d(x_n, c_{y_n}) + c mean_{i<j} max(0, margin - d(c_i, c_j))`, d Euclidean.

    `v_i` and `r_i` are the centres of identity i in the two modalities, `c_i` is the mean of all its embeddings, `x_n`
    an embedding and `y_n` its identity. The abstract of PSMG asks for three things and gives no equation: less
    difference between the modalities (the first term, ours), clusters around the centres and relations between the
    identities (second and third term, the cross-modality centre loss of Wu et al., Discover Cross-Modality Nuances for
    Visible-Infrared Person Re-Identification, CVPR 2021, https://doi.org/10.1109/CVPR46437.2021.00431).
    Rows are grouped by identity and modality, so their order does not matter.

    Args:
        embeddings: `(N, D)`, not normalised.
        pids: `(N,)`.
        modalities: `(N,)`.
        margin: in units of distance; two centres this far apart are left alone.
        alignment: a, not below 0; the mean is over the identities that have both modalities.
        cluster: b, not below 0.
        push: c, not below 0.

    Returns:
        A scalar; 0 with a warning if no identity has both modalities and another identity to compare with.
    """
    halves, half_pids = modality_centers(embeddings, pids, modalities)
    paired = half_pids[1:] == half_pids[:-1]  # rows are sorted by identity: the two halves of one are neighbours
    if not paired.any() or (half_pids == half_pids[0]).all():
        return nothing_to_compare(embeddings, "it needs two identities, one of them in both modalities")
    rows = full_precision(embeddings)
    centers, own = _centers(rows, pids)
    # The norm's gradient at 0 is 0.
    aligned = torch.linalg.vector_norm(halves[1:][paired] - halves[:-1][paired], dim=1).mean()
    clustered = torch.linalg.vector_norm(rows - centers[own], dim=1).mean()
    loss: Tensor = alignment * aligned + cluster * clustered + push * _shortfalls(centers, margin).mean()
    return loss


def _centers(rows: Tensor, pids: Tensor) -> tuple[Tensor, Tensor]:
    """The mean `(I, D)` of each identity's rows over both modalities, and each row's place in it `(N,)`."""
    unique, own = torch.unique(pids, return_inverse=True)
    sums = rows.new_zeros(len(unique), rows.shape[1]).index_add(0, own, rows)
    return sums / own.bincount()[:, None], own


def _shortfalls(centers: Tensor, margin: float) -> Tensor:
    """By how much each pair of `(I, D)` is closer than the margin, `(I (I - 1) / 2,)`."""
    first, second = torch.triu_indices(len(centers), len(centers), 1, device=centers.device).unbind()
    distances = euclidean(centers, centers)[first, second]
    return torch.relu(margin - distances)
