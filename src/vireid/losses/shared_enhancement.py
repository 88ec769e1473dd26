"""Modality-shared enhancement loss (MSEL).

Shapes: N embeddings, D embedding size.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from vireid.losses.distance import euclidean, full_precision, nothing_to_compare

Distance = Literal["euclidean", "cosine", "center"]


def modality_shared_enhancement_loss(
    embeddings: Tensor, pids: Tensor, modalities: Tensor, *, distance: Distance = "euclidean"
) -> Tensor:
    """A person's images should be as far from those of the other modality as from those of their own.

    `1/2 sum_m mean_a (mean_c d(a, c) - mean_o d(a, o))^2`: anchors a of modality m, c the images of the anchor's
    identity in the other modality, o its other images in the same one. Rows are grouped by identity and modality, so
    their order does not matter. Source: Lu et al., Learning Progressive Modality-Shared Transformers for Effective
    Visible-Infrared Person Re-Identification, AAAI 2023, https://arxiv.org/abs/2212.00226.

    Args:
        embeddings: `(N, D)`, not normalised.
        pids: `(N,)`.
        modalities: `(N,)`.
        distance: `euclidean` or `cosine` (1 - cosine similarity) between images; `center` is the Euclidean distance
            to the mean of the images c, and to that of the images o. In the authors' code, which does not use this
            last one, the infrared images are compared with a centre of visible ones where their own is meant.

    Returns:
        A scalar, at least 0; 0 with a warning if no image has a second one of its identity in its own modality and
        one in the other. A modality without such an image is left out of the mean over both.
    """
    same = pids[:, None] == pids[None, :]
    within = modalities[:, None] == modalities[None, :]
    cross = same & ~within
    intra = same & within & ~torch.eye(len(pids), dtype=torch.bool, device=pids.device)
    anchors = cross.any(1) & intra.any(1)
    if not anchors.any():
        return nothing_to_compare(embeddings, "no identity has two images in one modality and one in the other")
    with torch.autocast(embeddings.device.type, enabled=False):
        rows = full_precision(embeddings)
        far, near = (_mean_distance(rows, positive, distance) for positive in (cross, intra))
        squares = (far - near).square()[anchors]
    groups = modalities[anchors]
    return torch.stack([squares[groups == modality].mean() for modality in torch.unique(groups)]).mean()


def _mean_distance(rows: Tensor, positive: Tensor, distance: Distance) -> Tensor:
    """For each row `(N,)` its distance to its positives `(N, N)`, their mean; anything where it has none."""
    share = positive.to(rows.dtype) / positive.sum(1, keepdim=True).clamp(min=1)
    if distance == "center":
        to_center: Tensor = torch.linalg.vector_norm(rows - share @ rows, dim=1)  # its gradient at 0 is 0
        return to_center
    if distance == "cosine":
        unit = F.normalize(rows)
        return ((1 - unit @ unit.T) * share).sum(1)
    return (euclidean(rows, rows) * share).sum(1)
