"""Finds the person in a crop, so that what follows sees the person and not the scene.

A small U-Net (Ronneberger et al., MICCAI 2015, https://arxiv.org/abs/1505.04597) learns from silhouettes, which come
with rendered people. Cutting people out by a mask before they are compared is the idea of Song et al., Mask-Guided
Contrastive Attention Model for Person Re-Identification, CVPR 2018; here the mask is computed from the image alone.

Shapes: B images, H and W height and width in pixels.
"""

from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from vireid.models.precision import through

WIDTH = 24  # channels at half the image's size


class OptionalForeground(BaseModel):
    """Cutting the person out as a plug-in of a method: off unless enabled."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    enabled: bool = False
    weight: float = Field(
        1.0, ge=0, description="of the loss on silhouettes; 0: it stays as train.start_from has it, and needs none"
    )
    epochs: int = Field(0, ge=0, description="first epochs, in which nothing else is learned")


class Foreground(nn.Module):
    """Where the person is: a U-Net of four scales, the finest at half the image's size."""

    def __init__(self) -> None:
        super().__init__()
        c = WIDTH
        self.down1, self.down2 = _block(3, c, 2), _block(c, 2 * c, 2)
        self.down3 = nn.Sequential(_block(2 * c, 4 * c, 2), _block(4 * c, 4 * c, 1))
        self.down4 = nn.Sequential(_block(4 * c, 4 * c, 2), _block(4 * c, 4 * c, 1))
        self.up3, self.up2, self.up1 = _block(8 * c, 4 * c, 1), _block(6 * c, 2 * c, 1), _block(3 * c, c, 1)
        self.last = nn.Conv2d(c, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(B, 1, ceil(H/2), ceil(W/2))` of the person's share of each cell, for images `(B, 3, H, W)`."""
        half = self.down1(images)
        quarter = self.down2(half)
        eighth = through(self.down3, quarter)
        x = self.up3(_joined(through(self.down4, eighth), eighth))
        x = self.up2(_joined(x, quarter))
        logits: Tensor = self.last(self.up1(_joined(x, half)))
        return logits


def person_share(logits: Tensor, size: Sequence[int]) -> Tensor:
    """How sure it is that a pixel shows the person, `(B, 1, H, W)` float32 from 0 to 1, for `size` (H, W).

    Twice the logits: a probability of 0.9 is sure enough to keep nearly all.
    """
    return F.interpolate(torch.sigmoid(2 * logits.float()), list(size), mode="bilinear")


def cut_out(images: Tensor, logits: Tensor) -> Tensor:
    """Images `(B, 3, H, W)` whose scene has faded to the mean colour."""
    return images * person_share(logits, images.shape[2:]).to(images.dtype)


def foreground_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy of logits `(B, 1, h, w)` and the person's share of each cell, from masks `(B, 1, H, W)`."""
    height, width = logits.shape[2:]
    share = F.adaptive_avg_pool2d(masks, (height, width))
    return F.binary_cross_entropy_with_logits(logits.float(), share)


def _block(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def _joined(small: Tensor, large: Tensor) -> Tensor:
    return torch.cat([F.interpolate(small, large.shape[2:], mode="bilinear"), large], 1)
