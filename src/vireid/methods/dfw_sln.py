"""DFW-SLN: dynamic feature weakening and a segmented learning network.

Paper: Dynamic Feature Weakening for Cross-Modality Person Re-Identification, Computers and Electrical
Engineering, 2023 (https://www.sciencedirect.com/journal/computers-and-electrical-engineering), read as manuscript
COMPELECENG-D-23-00104R1. Equations and tables are numbered as there.

Idea: a two-stream ResNet relies on a few strongly responding regions. DFW weakens these regions of the map that
layer4 gets, SLN gives layer4 a twin and penalises the two for looking at one place, and a hetero-centre triplet
loss holds the joined descriptors of both modalities together.

Changed or decided, because the paper leaves it open or its equations do not fit together (docs/methods/dfw_sln.md
says why): f is a spatial map, M is a constant to the gradient, sigmoid(f M) gates the map instead of replacing it,
the overlap penalty works in pixels, gets its gradient from a soft peak (as printed it has none) and is divided by
S, and the twin starts with 1 % of noise. The published rows use the matrix M_D1.

Published (not measured here): 64.24 Rank-1 and 62.04 mAP on SYSU-MM01 all-search, 93.18 and 89.83 on RegDB
visible to infrared.

Shapes: B images, C channels, h and w of a map, D embedding size.
"""

import copy
from typing import Any, Literal, final

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from vireid.losses.hetero_center import hetero_center_triplet_loss
from vireid.losses.identity import identity_loss
from vireid.losses.triplet import triplet_loss
from vireid.methods.base import Method, trunk_and_rest
from vireid.models.bnneck import BNNeck
from vireid.models.feature_weakening import WeakeningConfig, weakened_stages
from vireid.models.pooling import GeM
from vireid.models.two_stream_resnet import Stage, TwoStreamResNet, copy_sharing_convolutions
from vireid.sample import Batch

NOISE = 0.01  # relative, on the twin of layer4: where two soft peaks coincide the penalty has no direction
TEMPERATURE = 0.1  # of the soft peak and the soft masks, for maps scaled to 0 ... 1


class SegmentationConfig(BaseModel):
    """Segmented learning network and its overlap penalty, Eqs. 4 and 5."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, serialize_by_alias=True)

    enabled: bool = True
    share: Literal["none", "conv", "all"] = Field(
        "none", description="what the two layer4 have in common; all: one layer4 with two classifiers, no penalty"
    )
    metric: Literal["pixel", "grid", "grid_sq", "flat_index"] = Field("pixel", description="unit of distances and S")
    peak: Literal["st", "soft", "hard", "oap"] = Field(
        "st", description="straight-through, soft, or hard argmax (no gradient); oap: product of soft masks"
    )
    S: float = Field(100.0, ge=0, description="separation from which on there is no penalty")
    lambda_: float = Field(0.5, ge=0, alias="lambda", description="factor of the penalty, 0 leaves it out")
    op_scale: Literal["by_S", "raw"] = Field("by_S", description="by_S: the penalty lies in 0 ... 1")


class LossWeights(BaseModel):
    """Factors of the losses beside the overlap penalty."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: float = Field(1.0, gt=0)
    triplet: float = Field(1.0, ge=0)
    hetero_center: float | None = Field(None, ge=0, description="null: 1 with SLN, 0 without, as in the paper")


class Config(BaseModel):
    """Options of DFW-SLN; the defaults are the paper's last row on SYSU-MM01."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = "resnet50"
    weights: str = Field("imagenet", description="imagenet, default, none, or the path of a state dict")
    split: int = Field(2, ge=0, le=4, description="number of modality-specific stages")
    bn_specific: tuple[Stage | Literal["neck"], ...] = Field((), description="stages with one BatchNorm per modality")
    gem_p: float = Field(3.0, ge=1, le=20)
    dfw: WeakeningConfig = WeakeningConfig()
    sln: SegmentationConfig = SegmentationConfig()
    loss: LossWeights = LossWeights()
    margin: float = Field(0.3, ge=0, description="of the triplet losses")
    mining: Literal["hard", "random"] = Field("hard", description="triplets: the hardest, or random as the authors say")
    center_reduction: Literal["mean", "sum"] = Field("mean", description="over the anchors of Eq. 6")
    trunk_lr_scale: float = Field(0.1, gt=0, description="1.0 suits training from scratch")


@final
class DFWSLN(Method):
    """The network and losses; without DFW and SLN it is the paper's baseline."""

    def __init__(self, config: Config, num_identities: int) -> None:
        super().__init__()
        self.config = config
        stages = [stage for stage in config.bn_specific if stage != "neck"]
        self.backbone = TwoStreamResNet(config.backbone, split=config.split, bn_specific=stages, weights=config.weights)
        self.pool = GeM(config.gem_p)
        width, specific = self.backbone.channels["layer4"], "neck" in config.bn_specific
        self.necks = nn.ModuleList([BNNeck(width, num_identities, specific=specific)])
        self.twin: nn.Module | None = None
        # Last, so that with and without SLN a seed gives the same first branch.
        if config.sln.enabled:
            self.necks.append(BNNeck(width, num_identities, specific=specific))
            if config.sln.share != "all":
                self.twin = _twin(self.backbone.get_submodule("layer4"), config.sln.share)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses `identity`, `triplet`, `hetero_center` and `overlap` (Eq. 7), those with a factor above 0."""
        config, weights = self.config, self.config.loss
        maps = self._maps(batch.images, batch.modalities)
        descriptors = [self.pool(branch) for branch in maps]
        losses = {"identity": weights.identity * self._identity_loss(descriptors, batch)}
        if weights.triplet:
            triplets = [
                triplet_loss(rows, batch.pids, margin=config.margin, mining=config.mining) for rows in descriptors
            ]
            losses["triplet"] = weights.triplet * torch.stack(triplets).mean()
        factor = float(config.sln.enabled) if weights.hetero_center is None else weights.hetero_center
        if factor:
            losses["hetero_center"] = factor * hetero_center_triplet_loss(
                torch.cat(descriptors, 1),
                batch.pids,
                batch.modalities,
                margin=config.margin,
                reduction=config.center_reduction,
            )
        if self.twin is not None and config.sln.lambda_:
            size = (batch.images.shape[2], batch.images.shape[3])
            focus = [focus_map(branch, self.pool) for branch in maps]
            losses["overlap"] = config.sln.lambda_ * overlap_penalty(focus[0], focus[1], config.sln, image_size=size)
        return losses

    def _maps(self, images: Tensor, modalities: Tensor) -> list[Tensor]:
        """The layer4 map `(B, C, h, w)` of each branch."""
        x = weakened_stages(self.backbone, images, modalities, self.config.dfw, last="layer3")
        first = self.backbone.stages(x, modalities, first="layer4")
        if self.twin is None:
            return [first] * len(self.necks)
        return [first, self.twin(x, modalities)]

    def _identity_loss(self, descriptors: list[Tensor], batch: Batch) -> Tensor:
        losses = []
        for neck, rows in zip(self.necks, descriptors, strict=True):
            assert isinstance(neck, BNNeck)
            losses.append(identity_loss(neck.classify(neck(rows, batch.modalities)), batch.pids))
        return torch.stack(losses).mean()

    def embed(self, images: Tensor, modalities: Tensor) -> Tensor:
        """The features after the necks, joined and L2-normalised: `(B, D)` float32."""
        maps = self._maps(images, modalities)
        embeddings = [neck(self.pool(branch), modalities) for neck, branch in zip(self.necks, maps, strict=True)]
        return F.normalize(torch.cat(embeddings, 1).float())

    def pooled_layers(self) -> list[nn.Module]:
        """The layer4 of each branch."""
        return [self.backbone.get_submodule("layer4"), *([] if self.twin is None else [self.twin])]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The pretrained trunk with both layer4 at `trunk_lr_scale`, the necks at the full rate."""
        trunk = [self.backbone] if self.twin is None else [self.backbone, self.twin]
        return trunk_and_rest(self, trunk, self.config.trunk_lr_scale)


def build(config: Config, num_identities: int) -> DFWSLN:
    """DFW-SLN for a training set of `num_identities`."""
    return DFWSLN(config, num_identities)


def focus_map(features: Tensor, pool: GeM) -> Tensor:
    """GeM over the channels of `(B, C, h, w)`: where a branch looks, `(B, h, w)` float32 (Eq. 4)."""
    height, width = features.shape[2:]
    # The pool takes means over the last two axes; here the channels are one of them.
    pooled: Tensor = pool(features.flatten(2).transpose(1, 2).unsqueeze(3))
    return pooled.view(-1, height, width)


def overlap_penalty(
    first: Tensor, second: Tensor, config: SegmentationConfig, *, image_size: tuple[int, int]
) -> Tensor:
    """`mean_b max(0, S - d_b)`, d the distance between the peaks of two maps `(B, h, w)` (Eq. 5).

    The hinge is taken image by image and then averaged; with `op_scale: by_S` it is divided by S. With `peak:
    oap` it is instead the share of the smaller soft mask that the other covers, after the activation penalty of
    Yang et al., CVPR 2019, https://doi.org/10.1109/CVPR.2019.00148.

    Args:
        first: of one branch, not negative.
        second: of the other.
        config: metric, peak, S and op_scale.
        image_size: height and width in pixels of the images the maps belong to.
    """
    # In bf16 positions are rounded to a sixteenth of a cell, more than the branches differ by at first.
    with torch.autocast(first.device.type, enabled=False):
        return _overlap(first, second, config, image_size)


def _overlap(first: Tensor, second: Tensor, config: SegmentationConfig, image_size: tuple[int, int]) -> Tensor:
    if config.peak == "oap":
        masks = [torch.sigmoid((_to_unit(focus) - 0.5) / TEMPERATURE).flatten(1) for focus in (first, second)]
        smaller = torch.minimum(masks[0].sum(1), masks[1].sum(1))
        return ((masks[0] * masks[1]).sum(1) / smaller).mean()
    hard = _distance(_hard_peak(first), _hard_peak(second), config.metric, first.shape, image_size)
    distance = hard
    if config.peak != "hard":
        distance = _distance(_soft_peak(first), _soft_peak(second), config.metric, first.shape, image_size)
    if config.peak == "st":
        # On the distance and not on the positions, whose difference has no direction where both peaks coincide.
        distance = hard + distance - distance.detach()
    penalty = torch.relu(config.S - distance).mean()
    return penalty / config.S if config.op_scale == "by_S" and config.S > 0 else penalty


def _hard_peak(focus: Tensor) -> Tensor:
    """Row and column `(B, 2)` of the largest cell."""
    index = focus.detach().flatten(1).argmax(1)
    return torch.stack([index // focus.shape[2], index % focus.shape[2]], 1).to(focus.dtype)


def _soft_peak(focus: Tensor) -> Tensor:
    """Expected row and column `(B, 2)` under a softmax of the scaled map."""
    share = torch.softmax(_to_unit(focus).flatten(1) / TEMPERATURE, 1).view_as(focus)
    rows, columns = (torch.arange(n, device=focus.device, dtype=focus.dtype) for n in focus.shape[1:])
    return torch.stack([share.sum(2) @ rows, share.sum(1) @ columns], 1)


def _to_unit(focus: Tensor) -> Tensor:
    """Each map `(h, w)` scaled to 0 ... 1."""
    low, high = focus.amin((1, 2), keepdim=True), focus.amax((1, 2), keepdim=True)
    return (focus - low) / (high - low).clamp(min=1e-12)


def _distance(a: Tensor, b: Tensor, metric: str, shape: torch.Size, image_size: tuple[int, int]) -> Tensor:
    """Distances `(B,)` between positions `(B, 2)` in cells of maps `(B, h, w)`."""
    difference = a - b
    if metric == "flat_index":
        return (difference[:, 0] * shape[2] + difference[:, 1]).abs()
    if metric == "pixel":
        difference = difference * difference.new_tensor([image_size[0] / shape[1], image_size[1] / shape[2]])
    # The norm's gradient at 0 is 0.
    return difference.square().sum(1) if metric == "grid_sq" else torch.linalg.vector_norm(difference, dim=1)


def _twin(layer4: nn.Module, share: Literal["none", "conv"]) -> nn.Module:
    """The second layer4: a copy with noise on all it does not share."""
    twin = copy.deepcopy(layer4) if share == "none" else copy_sharing_convolutions(layer4)
    shared = {id(parameter) for parameter in layer4.parameters()}
    with torch.no_grad():
        for parameter in twin.parameters():
            if id(parameter) not in shared:
                parameter.mul_(1 + NOISE * torch.randn_like(parameter))
    return twin
