"""Non-local block: every position of a map attends to every other one.

Shapes: B images, C channels, h and w of the map, w' the inner width.
"""

from torch import Tensor, nn


class NonLocal(nn.Module):
    """Non-local block with dot-product attention, `y = x + BN(W(A g(x)))`, `A = theta(x)^T phi(x) / (h w)`.

    The BatchNorm starts at zero, so a new block changes nothing at first. Source: Wang et al., Non-local
    Neural Networks, CVPR 2018, https://arxiv.org/abs/1711.07971, section 3.

    Args:
        channels: C.
        width: inner channels; the paper takes C / 2, the code of AGW in effect 1.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.theta = nn.Conv2d(channels, width, 1)
        self.phi = nn.Conv2d(channels, width, 1)
        self.g = nn.Conv2d(channels, width, 1)
        self.out = nn.Conv2d(width, channels, 1)
        self.bn = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.bn.weight)
        nn.init.zeros_(self.bn.bias)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, h, w)` to `(B, C, h, w)`."""
        batch, _, height, width = x.shape
        theta = self.theta(x).flatten(2).transpose(1, 2)  # (B, hw, w')
        phi = self.phi(x).flatten(2)  # (B, w', hw)
        g = self.g(x).flatten(2).transpose(1, 2)  # (B, hw, w')
        attended = (theta @ phi / (height * width)) @ g
        result: Tensor = x + self.bn(self.out(attended.transpose(1, 2).reshape(batch, -1, height, width)))
        return result
