"""AGW: attention, generalised-mean pooling and a weighted triplet loss.

Paper: Ye et al., Deep Learning for Person Re-identification: A Survey and Outlook, TPAMI 2021,
https://arxiv.org/abs/2001.04193, section 4.

Idea: on a two-stream ResNet-50 with its own stem per modality, non-local blocks relate distant positions, GeM
pooling weighs strong responses, and a triplet loss without a margin weighs all pairs by their hardness.

Changed: the triplet weights are a true softmax by default; `wrt_mode: peer` gives the authors' formula, whose
negatives vanish at large distances. `nl_width: 1` is the inner width of the authors' code; null gives half of
the channels, as the paper on non-local blocks has it. Modality-specific BatchNorm, dynamic feature weakening (of
DFW-SLN) and a loss on the modalities' distributions (of EMIF) are options. The last epoch is reported, not the best
one on the test set.

Published (not measured here): 47.50 Rank-1 and 47.65 mAP on SYSU-MM01 all-search, 70.05 and 66.37 on RegDB
visible to infrared.

Shapes: B images, D embedding size.
"""

from typing import Any, Literal, final

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional as F

from vireid.losses.gaussian_consistency import OptionalConsistency, consistency_loss
from vireid.losses.identity import identity_loss
from vireid.losses.weighted_triplet import weighted_triplet_loss
from vireid.methods.base import Method, trunk_and_rest
from vireid.models.bnneck import BNNeck
from vireid.models.feature_weakening import OptionalWeakening, weakened_stages
from vireid.models.pooling import GeM
from vireid.models.two_stream_resnet import Stage, TwoStreamResNet
from vireid.sample import Batch


class LossWeights(BaseModel):
    """Factors of the losses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: float = Field(1.0, gt=0)
    weighted_triplet: float = Field(1.0, ge=0)


class Config(BaseModel):
    """Options of AGW."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = "resnet50"
    weights: str = Field("imagenet", description="imagenet, default, none, or the path of a state dict")
    split: int = Field(1, ge=0, le=4, description="number of modality-specific stages")
    bn_specific: tuple[Stage, ...] = Field((), description="stages with one BatchNorm per modality")
    nl_width: int | None = Field(1, ge=1, description="inner channels of the non-local blocks; null: C / 2")
    gem_p: float = Field(3.0, ge=1, le=20)
    learn_p: bool = False
    loss: LossWeights = LossWeights()
    wrt_mode: Literal["stable", "peer"] = "stable"
    dfw: OptionalWeakening = OptionalWeakening()
    consistency: OptionalConsistency = OptionalConsistency()
    trunk_lr_scale: float = Field(0.1, gt=0, description="1.0 suits training from scratch")


@final
class AGW(Method):
    """AGW's network and losses."""

    def __init__(self, config: Config, num_identities: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = TwoStreamResNet(
            config.backbone,
            split=config.split,
            bn_specific=config.bn_specific,
            weights=config.weights,
            non_local={"layer2": 2, "layer3": 3},
            non_local_width=config.nl_width,
        )
        self.pool = GeM(config.gem_p, learn=config.learn_p)
        self.neck = BNNeck(self.backbone.channels["layer4"], num_identities)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses `identity`, `weighted_triplet` and `consistency`, those with a factor above 0."""
        weights = self.config.loss
        pooled = self._pooled(batch.images, batch.modalities)
        embeddings = self.neck(pooled, batch.modalities)
        logits = self.neck.classify(embeddings)
        losses = {"identity": weights.identity * identity_loss(logits, batch.pids)}
        if weights.weighted_triplet:
            triplet = weighted_triplet_loss(pooled, batch.pids, mode=self.config.wrt_mode)
            losses["weighted_triplet"] = weights.weighted_triplet * triplet
        if self.config.consistency.weight:
            losses["consistency"] = consistency_loss(
                embeddings, batch.pids, batch.modalities, self.config.consistency, epoch=self.epoch
            )
        return losses

    def _pooled(self, images: Tensor, modalities: Tensor) -> Tensor:
        pooled: Tensor = self.pool(weakened_stages(self.backbone, images, modalities, self.config.dfw))
        return pooled

    def embed(self, images: Tensor, modalities: Tensor) -> Tensor:
        """The features after the neck, L2-normalised: `(B, D)` float32."""
        embeddings: Tensor = self.neck(self._pooled(images, modalities), modalities)
        return F.normalize(embeddings.float())

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Trunk with its non-local blocks at `trunk_lr_scale`, the rest at the full rate."""
        return trunk_and_rest(self, [self.backbone], self.config.trunk_lr_scale)


def build(config: Config, num_identities: int) -> AGW:
    """AGW for a training set of `num_identities`."""
    return AGW(config, num_identities)
