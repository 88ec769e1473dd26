"""HCT: strips of a two-stream ResNet, and triplet losses between the centres of identities.

Paper: Liu et al., Parameter Sharing Exploration and Hetero-Center Triplet Loss for Visible-Thermal Person
Re-Identification, TMM 2021, https://arxiv.org/abs/2008.06223.

Idea: how many first stages each modality has for itself is explored, and the stem with layer1 found best
(`split: 2`). The last map is cut into horizontal strips, each pooled, reduced and classified on its own. A
triplet loss compares the centres of identities in the two modalities instead of single images, for each strip and
for all strips together.

Changed: centres are grouped by identity and modality, not by a row's place in the batch, so the order of rows
does not matter. The strips' 1x1 convolutions and classifiers have no bias. A map whose height is no multiple of
`parts` is cut into strips that differ by one row, the taller ones on top; the published map has 18 rows and 6
strips. `parts: 0` is the network without strips: GeM and BNNeck as in the baseline. Modality-specific BatchNorm is
an option. The last epoch is reported, not the best one on the test set.

Published (not measured here): 61.68 Rank-1, 57.51 mAP and 39.54 mINP on SYSU-MM01 all-search, 91.05, 83.28 and 68.84
on RegDB visible to infrared.

Shapes: B images, C channels, h and w of the layer4 map, I identities, D embedding size.
"""

from typing import Any, final

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from vireid.losses.hetero_center import hetero_center_triplet_loss
from vireid.losses.identity import identity_loss
from vireid.methods.base import Method, trunk_and_rest
from vireid.models.bnneck import BNNeck
from vireid.models.pooling import GeM
from vireid.models.strips import cut, reduced
from vireid.models.two_stream_resnet import Stage, TwoStreamResNet
from vireid.sample import Batch


class LossWeights(BaseModel):
    """Factors of the losses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: float = Field(1.0, gt=0, description="of the sum over strips")
    hetero_center: float = Field(1.0, ge=0, description="on all strips together")
    part_hetero_center: float = Field(1.0, ge=0, description="of the sum over strips; unused with parts 0")


class Config(BaseModel):
    """Options of HCT."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = "resnet50"
    weights: str = Field("imagenet", description="imagenet, default, none, or the path of a state dict")
    split: int = Field(2, ge=0, le=4, description="number of modality-specific stages")
    bn_specific: tuple[Stage, ...] = Field((), description="stages with one BatchNorm per modality")
    parts: int = Field(6, ge=0, description="horizontal strips; 0: the whole map, with a BNNeck")
    part_dim: int = Field(256, ge=1, description="embedding size of a strip")
    gem_p: float = Field(3.0, ge=1, le=20)
    learn_p: bool = Field(False, description="one exponent per strip, learned")
    loss: LossWeights = LossWeights()
    margin: float = Field(0.3, ge=0, description="of the hetero-centre triplet losses")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    trunk_lr_scale: float = Field(0.1, gt=0, description="1.0 suits training from scratch")


class StripHead(nn.Module):
    """For each strip GeM, a 1x1 convolution with BatchNorm and ReLU, and a classifier."""

    def __init__(self, config: Config, channels: int, num_identities: int) -> None:
        super().__init__()
        self.strips = nn.ModuleList(
            reduced(GeM(config.gem_p, learn=config.learn_p), channels, config.part_dim) for _ in range(config.parts)
        )
        self.classifier = nn.ModuleList(
            nn.Linear(config.part_dim, num_identities, bias=False) for _ in range(config.parts)
        )
        for weight in self.classifier.parameters():
            nn.init.normal_(weight, std=0.001)

    def forward(self, maps: Tensor) -> list[Tensor]:
        """The features `(B, part_dim)`, not below 0, of each strip of `(B, C, h, w)`, top first."""
        return [strip(rows) for strip, rows in zip(self.strips, cut(maps, len(self.strips)), strict=True)]

    def classify(self, features: list[Tensor], modalities: Tensor) -> list[Tensor]:
        """Logits `(B, I)` of each strip."""
        return [classifier(strip) for classifier, strip in zip(self.classifier, features, strict=True)]

    def embed(self, features: list[Tensor], modalities: Tensor) -> Tensor:
        """`(B, parts * part_dim)`."""
        return torch.cat(features, 1)


class GlobalHead(nn.Module):
    """GeM over the whole map and a BNNeck, called like a `StripHead` with one strip."""

    def __init__(self, config: Config, channels: int, num_identities: int) -> None:
        super().__init__()
        self.pool = GeM(config.gem_p, learn=config.learn_p)
        self.neck = BNNeck(channels, num_identities)

    def forward(self, maps: Tensor) -> list[Tensor]:
        """The pooled features `(B, C)` of `(B, C, h, w)`, the only entry."""
        return [self.pool(maps)]

    def classify(self, features: list[Tensor], modalities: Tensor) -> list[Tensor]:
        """Logits `(B, I)`, the only entry."""
        return [self.neck.classify(self.embed(features, modalities))]

    def embed(self, features: list[Tensor], modalities: Tensor) -> Tensor:
        """The features after the neck, `(B, C)`."""
        embeddings: Tensor = self.neck(features[0], modalities)
        return embeddings


@final
class HCT(Method):
    """HCT's network and losses."""

    def __init__(self, config: Config, num_identities: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = TwoStreamResNet(
            config.backbone, split=config.split, bn_specific=config.bn_specific, weights=config.weights
        )
        head = StripHead if config.parts else GlobalHead
        self.head: StripHead | GlobalHead = head(config, self.backbone.channels["layer4"], num_identities)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses `identity`, `hetero_center` and `part_hetero_center`, those with a factor above 0."""
        config, weights = self.config, self.config.loss
        features: list[Tensor] = self.head(self.backbone(batch.images, batch.modalities))
        logits = self.head.classify(features, batch.modalities)
        identities = [identity_loss(rows, batch.pids, label_smoothing=config.label_smoothing) for rows in logits]
        losses = {"identity": weights.identity * torch.stack(identities).sum()}
        if weights.hetero_center:
            losses["hetero_center"] = weights.hetero_center * self._centers(torch.cat(features, 1), batch)
        if weights.part_hetero_center and config.parts:
            strips = [self._centers(rows, batch) for rows in features]
            losses["part_hetero_center"] = weights.part_hetero_center * torch.stack(strips).sum()
        return losses

    def _centers(self, features: Tensor, batch: Batch) -> Tensor:
        return hetero_center_triplet_loss(features, batch.pids, batch.modalities, margin=self.config.margin)

    def embed(self, images: Tensor, modalities: Tensor) -> Tensor:
        """All strips' features, or those after the neck, L2-normalised: `(B, D)` float32."""
        features: list[Tensor] = self.head(self.backbone(images, modalities))
        return F.normalize(self.head.embed(features, modalities).float())

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The pretrained trunk at `trunk_lr_scale`, the layers on top at the full rate."""
        return trunk_and_rest(self, [self.backbone], self.config.trunk_lr_scale)


def build(config: Config, num_identities: int) -> HCT:
    """HCT for a training set of `num_identities`."""
    return HCT(config, num_identities)
