"""From a feature map to one vector per image.

Shapes: B images, C channels, h and w of the map.
"""

import torch
from torch import Tensor, nn


class GeM(nn.Module):
    """Generalised-mean pooling, `(mean(x^p))^(1/p)`: p = 1 is the average, a large p nears the maximum.

    Negative inputs count as 0. Source: Radenovic et al., Fine-tuning CNN Image Retrieval with No Human
    Annotation, TPAMI 2019, https://arxiv.org/abs/1711.02512.

    Args:
        p: the exponent, in [1, 20].
        learn: whether `p` is a parameter; it is then kept in [1, 20].
    """

    def __init__(self, p: float = 3.0, *, learn: bool = False) -> None:
        super().__init__()
        # A power with a plain number takes half the time of one with a tensor.
        self.p: nn.Parameter | float = nn.Parameter(torch.tensor(float(p))) if learn else float(p)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, h, w)` to `(B, C)`, computed and returned in float32 (or float64) under autocast too."""
        with torch.autocast(x.device.type, enabled=False):
            x = x if x.dtype == torch.float64 else x.float()
            p = self.p if isinstance(self.p, float) else self.p.to(x.dtype).clamp(1, 20)
            # GeM(x) = s GeM(x / s): with s the maximum no power overflows or underflows to a 0 that has no
            # root, and as the value does not depend on s, s needs no gradient.
            scale = x.detach().amax((2, 3), keepdim=True).clamp(min=1e-12)
            mean = (x / scale).clamp(min=1e-12).pow(p).mean((2, 3))
            # Only a map of zeros comes near 0, where the root's gradient, to p as well, is not finite.
            return mean.clamp(min=1e-37).pow(1 / p) * scale.flatten(1)


class AveragePool(nn.Module):
    """The mean over the map."""

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, h, w)` to `(B, C)`, computed and returned in float32 (or float64) under autocast too."""
        return (x if x.dtype == torch.float64 else x.float()).mean((2, 3))
