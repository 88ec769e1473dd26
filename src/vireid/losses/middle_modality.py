"""Losses between images and their middle images (MMN).

Source of all: Zhang et al., Towards a Unified Middle Modality Learning for Visible-Infrared Person
Re-Identification, ACM MM 2021, https://doi.org/10.1145/3474085.3475250, and the authors' code.

Shapes: N images, D embedding size.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from vireid.losses.distance import euclidean, full_precision, nothing_to_compare
from vireid.sample import Modality


def mean_over_pairings(
    loss: Callable[[Tensor, Tensor, Tensor], Tensor],
    original: Tensor,
    middle: Tensor,
    pids: Tensor,
    modalities: Tensor,
) -> Tensor:
    """The mean of a metric loss over (v, r), (v, r'), (v', r), (v', r').

    v and r are the visible and the infrared rows of `original`, v' and r' those of `middle`; a pairing never holds
    an image together with its own middle image. Rows keep their places, so their order matters to no pairing.

    Args:
        loss: of embeddings `(N, D)`, pids `(N,)` and modalities `(N,)`, a scalar.
        original: embeddings `(N, D)` of the images.
        middle: embeddings `(N, D)` of their middle images, in the same order.
        pids: `(N,)`.
        modalities: `(N,)`.

    Returns:
        A scalar.
    """
    views = (original, middle)
    pairings = [_pairing(of_visible, of_infrared, modalities) for of_visible in views for of_infrared in views]
    return torch.stack([loss(rows, pids, modalities) for rows in pairings]).mean()


def _pairing(of_visible: Tensor, of_infrared: Tensor, modalities: Tensor) -> Tensor:
    """`(N, D)` with the visible rows of one tensor and the infrared rows of another."""
    return torch.where((modalities == Modality.VISIBLE)[:, None], of_visible, of_infrared)


def middle_consistency_loss(
    projected: Tensor, pids: Tensor, modalities: Tensor, *, mode: Literal["all_pairs", "peer"] = "all_pairs"
) -> Tensor:
    """The paper's distribution consistency loss: how far v' and r' of an identity lie apart after a projection.

    `mean_{(a, b)} |p_a / |p_a| - p_b / |p_b||`, a visible and b infrared.

    Args:
        projected: of middle images, `(N, D)`, any length.
        pids: `(N,)`.
        modalities: `(N,)`.
        mode: over which pairs (a, b) of an identity. `peer`, as the authors' code, takes its first visible row with
            its first infrared one, and so on, which is as good as any other match: nothing but chance orders the
            images of an identity. `all_pairs` takes every pair, and so the mean over all such matches; it does not
            depend on the order of rows. Equal with one image per identity and modality.

    Returns:
        A scalar from 0 to 2; 0 with a warning if no identity has both modalities.
    """
    visible, infrared = modalities == Modality.VISIBLE, modalities == Modality.INFRARED
    same = pids[:, None] == pids[None, :]
    pairs = same[visible][:, infrared]
    if mode == "peer":
        # How many rows of the same identity and modality stand before a row.
        place = (same & (modalities[:, None] == modalities[None, :])).tril(-1).sum(1)
        pairs = pairs & (place[visible][:, None] == place[infrared][None, :])
    if not pairs.any():
        return nothing_to_compare(projected, "it needs an identity in both modalities")
    with torch.autocast(projected.device.type, enabled=False):
        unit = F.normalize(full_precision(projected))
    return euclidean(unit[visible], unit[infrared])[pairs].mean()


def pairing_gap(
    original: Tensor, middle: Tensor, pids: Tensor, modalities: Tensor, *, mode: Literal["strict", "peer"] = "strict"
) -> Tensor:
    """How much further apart an identity lies in (v, r') than in (v', r), or the other way round.

    `|m(v, r') - m(v', r)|` with `m` the mean over anchors of the mean distance to the images of their identity,
    themselves included. Only the larger of the two gets a gradient, so that the wider pairing contracts. The
    authors' training makes this loss and does not use it.

    Args:
        original: embeddings `(N, D)` of the images.
        middle: embeddings `(N, D)` of their middle images, in the same order.
        pids: `(N,)`.
        modalities: `(N,)`.
        mode: `strict` is the formula; `peer` repeats a slip of the authors' code, where the distances of (v', r)
            are the square roots of those of (v, r').

    Returns:
        A scalar; 0 with a warning if every identity has a single image.
    """
    same = pids[:, None] == pids[None, :]
    if not (same.sum(1) > 1).any():
        return nothing_to_compare(original, "it needs an identity with two images")
    first = _pairing(original, middle, modalities)
    distances = euclidean(first, first)
    if mode == "peer":
        distances = distances.clamp(min=1e-6)
        others = distances.sqrt()
    else:
        second = _pairing(middle, original, modalities)
        others = euclidean(second, second)
    spreads = torch.stack([((each * same).sum(1) / same.sum(1)).mean() for each in (distances, others)])
    return spreads.max() - spreads.min().detach()
