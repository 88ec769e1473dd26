"""Weighted regularised triplet loss (WRT) of AGW.

Shapes: N embeddings, D embedding size.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from vireid.losses.distance import euclidean, nothing_to_compare


def weighted_triplet_loss(embeddings: Tensor, pids: Tensor, *, mode: Literal["stable", "peer"] = "stable") -> Tensor:
    """`mean_a softplus(sum_p w_ap d(a, p) - sum_n w_an d(a, n))`, no margin.

    The weights are `w_ap = softmax_p d(a, p)` over the images of the anchor's identity (itself included, as
    in the authors' code) and `w_an = softmax_n -d(a, n)` over the others. Source: Ye et al., Deep Learning
    for Person Re-identification: A Survey and Outlook, TPAMI 2021, https://arxiv.org/abs/2001.04193, section
    5.

    Args:
        embeddings: `(N, D)`, as a rule not normalised.
        pids: `(N,)`.
        mode: `stable` is the formula; `peer` repeats the authors' code, whose negative weights are divided by
            `sum + 1e-6` without a shift and so vanish when distances pass 14: there the loss no longer sees
            negatives.

    Returns:
        A scalar; 0 with a warning if no anchor has both another image of its identity and a negative.
    """
    distances = euclidean(embeddings, embeddings)
    same = pids[:, None] == pids[None, :]
    anchors = (same.sum(1) > 1) & (~same).any(1)
    if not anchors.any():
        return nothing_to_compare(embeddings, "no image has both a positive and a negative in the batch")
    distances, same = distances[anchors], same[anchors]
    softmax = _softmax if mode == "stable" else _peer_softmax
    positive = (distances * softmax(distances, same)).sum(1)
    negative = (distances * softmax(-distances, ~same)).sum(1)
    return F.softplus(positive - negative).mean()


def _softmax(values: Tensor, mask: Tensor) -> Tensor:
    return values.masked_fill(~mask, -torch.inf).softmax(1)


def _peer_softmax(values: Tensor, mask: Tensor) -> Tensor:
    # The masked entries count as 0 in the maximum, which for negated distances is therefore always 0.
    values = values * mask
    exponentials = (values - values.amax(1, keepdim=True)).exp() * mask
    return exponentials / (exponentials.sum(1, keepdim=True) + 1e-6)
