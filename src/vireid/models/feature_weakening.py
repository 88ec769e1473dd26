"""Dynamic feature weakening (DFW): turns down the strongly responding regions of a map.

Source: Dynamic Feature Weakening for Cross-Modality Person Re-Identification, Computers and Electrical Engineering,
2023, read as manuscript COMPELECENG-D-23-00104R1; equations are numbered as there. It has no parameters, so that any
method on a two-stream ResNet can switch it on.

Shapes: B images, C channels, h and w of a map.
"""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from vireid.models.two_stream_resnet import TwoStreamResNet


class WeakeningConfig(BaseModel):
    """Dynamic feature weakening, Eqs. 1 to 3."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    matrix: Literal["D1", "D2", "D3"] = Field(
        "D1", description="threshold and factor: D1 mean, alpha; D2 beta, e; D3 mean, e (e: share of strong cells)"
    )
    alpha: float = Field(0.5, ge=0, le=1, description="factor of D1")
    beta: float = Field(0.5, ge=0, le=1, description="threshold of D2, on f scaled to 0 ... 1")
    pool: Literal["channel", "spatial"] = Field("channel", description="what f is pooled over; channel: f is a map")
    apply: Literal["gate", "mask", "gate_residual", "literal"] = Field(
        "gate", description="F s, F M, F (1 + s) or s alone in every channel, with s = sigmoid(f M)"
    )
    after: tuple[Literal["layer1", "layer2", "layer3"], ...] = Field(("layer3",), min_length=1)
    train_only: bool = Field(False, description="layer4's BatchNorm then keeps the statistics of weakened maps")


class OptionalWeakening(WeakeningConfig):
    """Feature weakening as a plug-in of another method: off unless enabled."""

    enabled: bool = False


def weakened_stages(
    backbone: TwoStreamResNet, images: Tensor, modalities: Tensor, config: WeakeningConfig, *, last: str = "layer4"
) -> Tensor:
    """The map after the stage `last`, weakened where `config` says so, of images `(B, 3, H, W)`."""
    if not config.enabled or (config.train_only and not backbone.training):
        return backbone.stages(images, modalities, last=last)
    first, x = "stem", images
    for stage in sorted(set(config.after)):
        x = weaken(backbone.stages(x, modalities, first=first, last=stage), config)
        first = f"layer{int(stage[-1]) + 1}"
    return x if first > last else backbone.stages(x, modalities, first=first, last=last)


def weaken(features: Tensor, config: WeakeningConfig) -> Tensor:
    """Apply dynamic feature weakening to a map `(B, C, h, w)`, each image by itself; the shape is kept (Eq. 3)."""
    response = pooled_response(features, config.pool)
    matrix = weakening_matrix(response, config)
    gate = torch.sigmoid(response * matrix).to(features.dtype)
    if config.apply == "gate":
        return features * gate
    if config.apply == "mask":
        return features * matrix.to(features.dtype)
    if config.apply == "gate_residual":
        return features * (1 + gate)
    return gate.expand_as(features)


def pooled_response(features: Tensor, pool: Literal["channel", "spatial"]) -> Tensor:
    """Mean + maximum, in float32 (Eq. 1): over the channels `(B, 1, h, w)`, or over the cells `(B, C, 1, 1)`."""
    over = (1,) if pool == "channel" else (2, 3)
    x = features if features.dtype == torch.float64 else features.float()
    return x.mean(over, keepdim=True) + x.amax(over, keepdim=True)


def weakening_matrix(response: Tensor, config: WeakeningConfig) -> Tensor:
    """M_D1, M_D2 or M_D3 of Eq. 2 for a response f of Eq. 1; same shape, no gradient.

    A cell is strong if f >= mean(f) of its own image; e, in (0, 1], is the share of strong cells. D2 compares f,
    scaled to 0 ... 1, with beta instead: as it comes f has no upper end.
    """
    f = response.detach().flatten(1)
    # The mean of a constant map can come out above it by a rounding error.
    strong = f >= torch.minimum(f.mean(1, keepdim=True), f.amax(1, keepdim=True))
    factor = strong.to(f.dtype).mean(1, keepdim=True)
    if config.matrix == "D1":
        factor = torch.full_like(factor, config.alpha)
    if config.matrix == "D2":
        low, high = f.amin(1, keepdim=True), f.amax(1, keepdim=True)
        strong = (f - low) / (high - low).clamp(min=1e-12) >= config.beta
    return torch.where(strong, factor, 1.0).view(response.shape)
