"""Hetero-centre triplet loss.

Shapes: N embeddings, D embedding size, C centres.
"""

from typing import Literal

import torch
from torch import Tensor

from vireid.losses.distance import euclidean, full_precision, nothing_to_compare


def hetero_center_triplet_loss(
    embeddings: Tensor,
    pids: Tensor,
    modalities: Tensor,
    *,
    margin: float = 0.3,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Batch-hard triplet loss between the centres of each identity in each modality.

    `mean_c max(0, margin + d(c, centre of its identity in the other modality) - min_o d(c, o))`, where o runs
    over the centres of all other identities.
    Rows are grouped by identity and modality, so their order does not matter. Source: Liu et al., Parameter
    Sharing Exploration and Hetero-Center Triplet Loss for Visible-Thermal Person Re-Identification, TMM 2021,
    https://arxiv.org/abs/2008.06223, section III-C.

    Args:
        embeddings: `(N, D)`.
        pids: `(N,)`.
        modalities: `(N,)`.
        margin: in units of distance.
        reduction: `mean` over the anchors c as in the authors' code, or `sum` as in their equation.

    Returns:
        A scalar; 0 with a warning if no identity has both modalities and another identity to compare with.
        The centre of an identity that lacks a modality is a negative for others but no anchor.
    """
    centers, center_pids = modality_centers(embeddings, pids, modalities)
    distances = euclidean(centers, centers)
    same = center_pids[:, None] == center_pids[None, :]
    anchors = (same.sum(1) > 1) & (~same).any(1)
    if not anchors.any():
        return nothing_to_compare(embeddings, "it needs two identities, one of them in both modalities")
    # The centre itself is among the masked positives, at distance 0: the maximum is the other modality's.
    positive = distances.masked_fill(~same, -torch.inf).amax(1)[anchors]
    negative = distances.masked_fill(same, torch.inf).amin(1)[anchors]
    hinges = (margin + positive - negative).clamp(min=0)
    return hinges.mean() if reduction == "mean" else hinges.sum()


def modality_centers(embeddings: Tensor, pids: Tensor, modalities: Tensor) -> tuple[Tensor, Tensor]:
    """Mean embedding of every (identity, modality) in the batch: centres `(C, D)` and their pids `(C,)`.

    Rows are sorted by pid, then modality.
    """
    groups, index = torch.unique(torch.stack([pids, modalities], 1), dim=0, return_inverse=True)
    rows = full_precision(embeddings)
    sums = rows.new_zeros(len(groups), rows.shape[1]).index_add(0, index, rows)
    return sums / index.bincount(minlength=len(groups))[:, None], groups[:, 0]
