"""MMN: every image comes with a second one from a middle modality, and the losses pair all four kinds.

Paper: Zhang et al., Towards a Unified Middle Modality Learning for Visible-Infrared Person Re-Identification,
ACM MM 2021, https://doi.org/10.1145/3474085.3475250; details from the authors' code.

Idea: a generator of 22 parameters turns each image into its middle image. Image and middle image pass the same
two-stream ResNet, with its own stem per modality, and strips of the last map are pooled and classified on their own. A
triplet loss takes each of the four pairings of a visible with an infrared kind; a consistency loss draws the middle
images of the two modalities together.

Changed: the consistency loss takes all pairs of an identity's visible and infrared middle images instead of those at
the same place in the batch, so the order of rows does not matter. A map whose height is no multiple of `parts` is cut
into strips that differ by one row. As in the authors' code the projection of the consistency loss is not trained, and
the generator learns at the trunk's rate. The embedding is that of the image itself by default; the paper does not say
which of the fusions its authors' script prints is its result. The last epoch is reported, not the best one on the
test set.

Published (not measured here): 70.6 Rank-1 and 66.9 mAP on SYSU-MM01 all-search, 91.6 and 84.1 on RegDB visible to
infrared.

Shapes: B images, D embedding size, C channels.
"""

from typing import Any, Literal, final

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from vireid.losses.identity import identity_loss
from vireid.losses.middle_modality import mean_over_pairings, middle_consistency_loss, pairing_gap
from vireid.losses.triplet import triplet_loss
from vireid.methods.base import Method, trunk_and_rest
from vireid.models.bnneck import BNNeck
from vireid.models.middle_modality import MiddleModalityGenerator, ProjectionHead
from vireid.models.pooling import AveragePool
from vireid.models.strips import cut
from vireid.models.two_stream_resnet import Stage, TwoStreamResNet
from vireid.sample import Batch


class LossWeights(BaseModel):
    """Factors of the losses, each a mean over strips."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: float = Field(1.0, gt=0)
    triplet: float = Field(1.0, ge=0)
    consistency: float = Field(0.2, ge=0, description="of the middle images of the two modalities")
    pairing_gap: float = Field(0.0, ge=0, description="in the authors' code, where it is not used")


class Config(BaseModel):
    """Options of MMN."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = "resnet50"
    weights: str = Field("imagenet", description="imagenet, default, none, or the path of a state dict")
    split: int = Field(1, ge=0, le=4, description="number of modality-specific stages")
    bn_specific: tuple[Stage, ...] = Field((), description="stages with one BatchNorm per modality")
    parts: int = Field(4, ge=1, description="horizontal strips")
    loss: LossWeights = LossWeights()
    margin: float = Field(0.3, ge=0, description="of the triplet loss")
    train_head: bool = Field(False, description="whether the projection of the consistency loss learns")
    fuse: Literal["none", "middle", "sum"] = Field("none", description="embed the image, its middle image, or both")
    trunk_lr_scale: float = Field(0.1, gt=0, description="1.0 suits training from scratch")


@final
class MMN(Method):
    """MMN's network and losses."""

    def __init__(self, config: Config, num_identities: int) -> None:
        super().__init__()
        self.config = config
        self.generator = MiddleModalityGenerator()
        self.backbone = TwoStreamResNet(
            config.backbone, split=config.split, bn_specific=config.bn_specific, weights=config.weights
        )
        self.pool = AveragePool()
        width = self.backbone.channels["layer4"]
        self.necks = nn.ModuleList(BNNeck(width, num_identities) for _ in range(config.parts))
        self.projection: nn.Module | None = None
        if config.loss.consistency:
            # Last, so that with and without it a seed gives the same network.
            self.projection = ProjectionHead(width).requires_grad_(config.train_head)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses `identity`, `triplet`, `consistency` and `pairing_gap`, those with a factor above 0."""
        views = torch.cat([batch.images, self.generator(batch.images, batch.modalities)])
        strips = self._strips(views, batch.modalities.repeat(2))
        by_strip = [self._strip_losses(neck, pooled, batch) for neck, pooled in zip(self.necks, strips, strict=True)]
        weights = dict(self.config.loss)
        return {name: weights[name] * torch.stack([losses[name] for losses in by_strip]).mean() for name in by_strip[0]}

    def _strips(self, images: Tensor, modalities: Tensor) -> list[Tensor]:
        """The mean `(B, C)` of each strip of the last map, top first."""
        return [self.pool(rows) for rows in cut(self.backbone(images, modalities), self.config.parts)]

    def _strip_losses(self, neck: nn.Module, pooled: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Losses, yet without their factors, of a strip of the images and then of their middle images, `(2 B, C)`."""
        assert isinstance(neck, BNNeck)
        weights, pids, modalities = self.config.loss, batch.pids, batch.modalities
        logits = neck.classify(neck(pooled, modalities.repeat(2)))
        losses = {"identity": identity_loss(logits, pids.repeat(2))}
        original, middle = pooled.chunk(2)
        if weights.triplet:
            losses["triplet"] = mean_over_pairings(self._triplet, original, middle, pids, modalities)
        if self.projection is not None:
            losses["consistency"] = middle_consistency_loss(self.projection(middle), pids, modalities)
        if weights.pairing_gap:
            losses["pairing_gap"] = pairing_gap(original, middle, pids, modalities)
        return losses

    def _triplet(self, rows: Tensor, pids: Tensor, modalities: Tensor) -> Tensor:
        return triplet_loss(rows, pids, margin=self.config.margin)

    def embed(self, images: Tensor, modalities: Tensor) -> Tensor:
        """All strips' features after their necks, L2-normalised: `(B, D)` float32.

        With `fuse: sum` the normalised sum of the image's and the middle image's: the inner product of two such
        sums holds the four similarities between the two views of one image and those of the other.
        """
        if self.config.fuse == "none":
            return self._embed(images, modalities)
        middle = self._embed(self.generator(images, modalities), modalities)
        return middle if self.config.fuse == "middle" else F.normalize(self._embed(images, modalities) + middle)

    def _embed(self, views: Tensor, modalities: Tensor) -> Tensor:
        strips = zip(self.necks, self._strips(views, modalities), strict=True)
        return F.normalize(torch.cat([neck(pooled, modalities) for neck, pooled in strips], 1).float())

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The pretrained trunk and the generator at `trunk_lr_scale`, the layers on top at the full rate."""
        return trunk_and_rest(self, [self.backbone, self.generator], self.config.trunk_lr_scale)


def build(config: Config, num_identities: int) -> MMN:
    """MMN for a training set of `num_identities`."""
    return MMN(config, num_identities)
