"""Triplet loss, batch-hard or with random triplets.

Shapes: N embeddings, D embedding size.
"""

from typing import Literal

import torch
from torch import Tensor

from vireid.losses.distance import euclidean, nothing_to_compare


def triplet_loss(
    embeddings: Tensor,
    pids: Tensor,
    *,
    margin: float = 0.3,
    mode: Literal["strict", "peer"] = "strict",
    mining: Literal["hard", "random"] = "hard",
) -> Tensor:
    """`mean_a max(0, margin + max_p d(a, p) - min_n d(a, n))`: anchors a, positives p, negatives n.

    Modalities are mixed: the hardest positive is usually of the other modality. Source: Hermans et al., In
    Defense of the Triplet Loss, https://arxiv.org/abs/1703.07737.

    Args:
        embeddings: `(N, D)`, as a rule not normalised.
        pids: `(N,)`.
        margin: in units of distance.
        mode: `strict` leaves out anchors without another image of their identity; `peer`, as AGW's code,
            counts an image as a positive of itself at distance 0. Equal where every identity has two images
            or more.
        mining: `hard` takes the hardest positive and negative of each anchor, `random` one of each drawn evenly
            by torch's global generator, as dropout does.

    Returns:
        A scalar; 0 with a warning if no anchor has both a positive and a negative.
    """
    distances = euclidean(embeddings, embeddings)
    same = pids[:, None] == pids[None, :]
    positive = same if mode == "peer" else same & ~torch.eye(len(pids), dtype=torch.bool, device=pids.device)
    anchors = positive.any(1) & (~same).any(1)
    if not anchors.any():
        return nothing_to_compare(embeddings, "no image has both a positive and a negative in the batch")
    if mining == "random":
        chosen_positive, chosen_negative = (
            distances[anchors].gather(1, torch.multinomial(mask[anchors].float(), 1)) for mask in (positive, ~same)
        )
    else:
        chosen_positive = distances.masked_fill(~positive, -torch.inf).amax(1)[anchors]
        chosen_negative = distances.masked_fill(same, torch.inf).amin(1)[anchors]
    return (margin + chosen_positive - chosen_negative).clamp(min=0).mean()
