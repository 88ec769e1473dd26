"""Losses between images and their middle images (MMN).

Shapes: N images, D embedding size.
"""

from collections.abc import Callable

import torch
from torch import Tensor

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
    Source: Zhang et al., Towards a Unified Middle Modality Learning for Visible-Infrared Person
    Re-Identification, ACM MM 2021, https://doi.org/10.1145/3474085.3475250, as the authors' code has it.

    Args:
        loss: of embeddings `(N, D)`, pids `(N,)` and modalities `(N,)`, a scalar.
        original: embeddings `(N, D)` of the images.
        middle: embeddings `(N, D)` of their middle images, in the same order.
        pids: `(N,)`.
        modalities: `(N,)`.

    Returns:
        A scalar.
    """
    visible = (modalities == Modality.VISIBLE)[:, None]
    pairings = [
        torch.where(visible, of_visible, of_infrared)
        for of_visible in (original, middle)
        for of_infrared in (original, middle)
    ]
    return torch.stack([loss(rows, pids, modalities) for rows in pairings]).mean()
