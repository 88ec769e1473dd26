"""Cross-modality supervised contrastive loss.

Shapes: N embeddings, D embedding size.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from vireid.losses.distance import full_precision, nothing_to_compare


def cross_modality_contrastive_loss(
    embeddings: Tensor, pids: Tensor, modalities: Tensor, *, temperature: float = 0.2
) -> Tensor:
    """Pick the own identity out of all images of the other modality.

    For an anchor a, with O(a) the images of the other modality, P(a) those of its identity among them and s the
    cosine similarity: `-1/|P(a)| sum_{p in P(a)} log( exp(s_ap / t) / sum_{o in O(a)} exp(s_ao / t) )`, mean over
    the anchors. Unlike a triplet loss it has no margin to collapse on, which lets a network without pretrained
    weights leave its start. Source: the supervised contrastive loss of Khosla et al., NeurIPS 2020,
    https://arxiv.org/abs/2004.11362, equation 2, with positives and negatives from the other modality only (ours).

    Args:
        embeddings: `(N, D)`, any length.
        pids: `(N,)`.
        modalities: `(N,)`.
        temperature: t, greater than 0.

    Returns:
        A scalar; 0 with a warning if no identity has both modalities and another identity to compare with.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        unit = F.normalize(full_precision(embeddings), eps=1e-12)
        logits = unit @ unit.T / temperature
    other = modalities[:, None] != modalities[None, :]
    positive = other & (pids[:, None] == pids[None, :])
    anchors = positive.any(1) & (other & ~positive).any(1)
    if not anchors.any():
        return nothing_to_compare(embeddings, "it needs two identities, one of them in both modalities")
    logits, other, positive = logits[anchors], other[anchors], positive[anchors]
    log_probability = logits - logits.masked_fill(~other, -torch.inf).logsumexp(1, keepdim=True)
    return -(log_probability * positive).sum(1).div(positive.sum(1)).mean()
