"""What the metric losses share: distances and the answer when a batch has nothing to compare.

Shapes: N embeddings, M embeddings, D embedding size.
"""

import warnings

import torch
from torch import Tensor


def euclidean(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances `(N, M)` between `(N, D)` and `(M, D)` in float32 (or float64), under autocast too.

    Computed from differences, not from inner products, which lose close pairs to cancellation. The gradient
    at distance 0 is 0.
    """
    with torch.autocast(a.device.type, enabled=False):
        return torch.cdist(full_precision(a), full_precision(b), compute_mode="donot_use_mm_for_euclid_dist")


def full_precision(x: Tensor) -> Tensor:
    """`x` as float32, or as it is if float64."""
    return x if x.dtype == torch.float64 else x.float()


def nothing_to_compare(embeddings: Tensor, what: str) -> Tensor:
    """A zero that still belongs to the graph, with a warning that says what the batch lacks."""
    warnings.warn(f"the loss is 0: {what}", stacklevel=3)
    return full_precision(embeddings).sum() * 0
