"""Identity classification losses.

Shapes: N embeddings, D embedding size, I identities.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from vireid.losses.distance import full_precision


def identity_loss(logits: Tensor, pids: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of logits `(N, I)` against class indices `(N,)`, in float32 under autocast too.

    Args:
        logits: unnormalised scores.
        pids: class indices, 0 to I - 1.
        label_smoothing: share of the target spread evenly over all identities, in [0, 1).
    """
    with torch.autocast(logits.device.type, enabled=False):
        return F.cross_entropy(full_precision(logits), pids, label_smoothing=label_smoothing)


def cosine_logits(
    embeddings: Tensor, class_weights: Tensor, pids: Tensor, *, scale: float = 30.0, margin: float = 0.0
) -> Tensor:
    """Logits `(N, I)`, `scale * (cos(embedding, class) - margin * [class is the right one])`.

    Bounded logits that do not reward long embeddings: a network trained from scratch leaves its first plateau
    earlier with them. Source: Wang et al., CosFace, CVPR 2018, https://arxiv.org/abs/1801.09414.

    Args:
        embeddings: `(N, D)`.
        class_weights: `(I, D)`.
        pids: class indices `(N,)`.
        scale: the logits lie in [-scale (1 + margin), scale].
        margin: how much better than the others the right class must be, in cosine.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        rows = F.normalize(full_precision(embeddings))
        cosines = rows @ F.normalize(full_precision(class_weights)).T
        return scale * (cosines - margin * F.one_hot(pids, len(class_weights)))
