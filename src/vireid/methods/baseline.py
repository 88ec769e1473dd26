"""Plain two-stream baseline: ResNet, pooling, BNNeck, identity and batch-hard triplet loss.

Papers: Ye et al., Deep Learning for Person Re-identification: A Survey and Outlook (its two-stream baseline),
TPAMI 2021, https://arxiv.org/abs/2001.04193, and Luo et al., Bag of Tricks and a Strong Baseline, CVPR
workshops 2019, https://arxiv.org/abs/1903.07071.

Idea: each modality has its own first layers, the rest is shared, so that both end in one embedding space. A
cross-entropy over identities after a BatchNorm shapes the classes, a triplet loss before it the distances.

Changed or added: GeM pooling, modality-specific BatchNorm, a hetero-centre triplet loss, a cross-modality
contrastive loss, a cosine softmax, dynamic feature weakening (of DFW-SLN), a loss on the modalities' distributions (of
EMIF) and a network before all that cuts the person out are options. The triplet loss leaves out anchors without a
positive.

Published (not measured here): 54.81 Rank-1 and 51.75 mAP on SYSU-MM01 all-search, 85.46 and 77.63 on RegDB
visible to infrared, for `split: 2` in the ablation of the DFW-SLN paper.

Shapes: B images, D embedding size.
"""

from typing import Any, Literal, final

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from vireid.errors import InputError
from vireid.losses.contrastive import cross_modality_contrastive_loss
from vireid.losses.gaussian_consistency import OptionalConsistency, consistency_loss
from vireid.losses.hetero_center import hetero_center_triplet_loss
from vireid.losses.identity import cosine_logits, identity_loss
from vireid.losses.triplet import triplet_loss
from vireid.methods.base import Method, trunk_and_rest
from vireid.models.bnneck import BNNeck
from vireid.models.feature_weakening import OptionalWeakening, weakened_stages
from vireid.models.foreground import Foreground, OptionalForeground, cut_out, foreground_loss
from vireid.models.pooling import AveragePool, GeM
from vireid.models.two_stream_resnet import Stage, TwoStreamResNet
from vireid.sample import Batch


class LossWeights(BaseModel):
    """Factors of the losses; 0 leaves a loss out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: float = Field(1.0, ge=0)
    triplet: float = Field(1.0, ge=0)
    hetero_center: float = Field(0.0, ge=0)
    contrastive: float = Field(0.0, ge=0, description="cross-modality supervised contrastive loss")

    @model_validator(mode="after")
    def _some_loss(self) -> "LossWeights":
        if not any((self.identity, self.triplet, self.hetero_center, self.contrastive)):
            raise ValueError("every factor is 0; set one above 0")
        return self


class CosineSoftmax(BaseModel):
    """Identity loss on normalised embeddings and classes, for training from scratch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: float = Field(30.0, gt=0)
    margin: float = Field(0.0, ge=0, lt=1)


class Config(BaseModel):
    """Options of the baseline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = "resnet50"
    weights: str = Field("imagenet", description="imagenet, default, none, or the path of a state dict")
    split: int = Field(1, ge=0, le=4, description="number of modality-specific stages")
    bn_specific: tuple[Stage | Literal["neck"], ...] = Field((), description="stages with one BatchNorm per modality")
    last_stride: Literal[1, 2] = Field(1, description="of the last stage; 2 makes larger images as fast")
    pool: Literal["avg", "gem"] = "avg"
    gem_p: float = Field(3.0, ge=1, le=20)
    learn_p: bool = False
    loss: LossWeights = LossWeights()
    margin: float = Field(0.3, ge=0, description="of the triplet losses")
    temperature: float = Field(0.2, gt=0, description="of the contrastive loss")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    cosine: CosineSoftmax | None = None
    foreground: OptionalForeground = OptionalForeground()
    dfw: OptionalWeakening = OptionalWeakening()
    consistency: OptionalConsistency = OptionalConsistency()
    trunk_lr_scale: float = Field(0.1, gt=0, description="1.0 suits training from scratch")

    @model_validator(mode="after")
    def _consistency_has_something_to_do(self) -> "Config":
        if self.consistency.weight and "neck" in self.bn_specific:
            raise ValueError(
                "with one BatchNorm per modality in the neck both modalities have mean 0 and variance 1 already, and "
                "consistency nothing to do; take neck out of bn_specific or set consistency.weight to 0"
            )
        return self


@final
class Baseline(Method):
    """The baseline's network and losses."""

    def __init__(self, config: Config, num_identities: int) -> None:
        super().__init__()
        self.config = config
        stages = [stage for stage in config.bn_specific if stage != "neck"]
        self.foreground = Foreground() if config.foreground.enabled else None
        self.needs_masks = config.foreground.enabled and config.foreground.weight > 0
        if self.foreground is not None and not self.needs_masks:
            self.foreground.requires_grad_(False)
            self.needs_start = "method.foreground.weight above 0, or method.foreground.enabled to false"
        self.backbone = TwoStreamResNet(
            config.backbone,
            split=config.split,
            bn_specific=stages,
            weights=config.weights,
            last_stride=config.last_stride,
        )
        self.pool = GeM(config.gem_p, learn=config.learn_p) if config.pool == "gem" else AveragePool()
        self.neck = BNNeck(self.backbone.channels["layer4"], num_identities, specific="neck" in config.bn_specific)
        if config.loss.identity == 0:
            self.neck.classifier.requires_grad_(False)
            if config.loss.contrastive == 0 and config.consistency.weight == 0:
                self.neck.requires_grad_(False)  # the other losses look before the neck

    def start_epoch(self, epoch: int, epochs: int) -> str:
        """Only the foreground is learned in its first epochs; raises `InputError` if these are all."""
        super().start_epoch(epoch, epochs)
        if self.needs_masks and self.config.foreground.epochs >= epochs:
            raise InputError(
                f"method.foreground.epochs is {self.config.foreground.epochs} and train.epochs {epochs}, which leaves "
                "none for the embedding: set it lower, or train.epochs higher"
            )
        return "foreground" if self._only_foreground() else ""

    def _only_foreground(self) -> bool:
        return self.needs_masks and self.epoch < self.config.foreground.epochs

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name, those with a factor above 0: those of `LossWeights`, `consistency` and `foreground`."""
        config, weights = self.config, self.config.loss
        losses, images = {}, batch.images
        if self.foreground is not None:
            if not self.needs_masks:
                self.foreground.eval()  # its BatchNorm stays too
            logits = self.foreground(images)
            if self.needs_masks:
                assert batch.masks is not None, "the loop gives masks to a method that needs them"
                losses["foreground"] = config.foreground.weight * foreground_loss(logits, batch.masks)
            if self._only_foreground():
                return losses
            images = cut_out(images, logits.detach())  # the other losses do not move it
        pooled = self._pooled(images, batch.modalities)
        embeddings = self.neck(pooled, batch.modalities)
        if weights.identity:
            losses["identity"] = weights.identity * self._identity_loss(embeddings, batch.pids)
        if weights.triplet:
            losses["triplet"] = weights.triplet * triplet_loss(pooled, batch.pids, margin=config.margin)
        if weights.hetero_center:
            centers = hetero_center_triplet_loss(pooled, batch.pids, batch.modalities, margin=config.margin)
            losses["hetero_center"] = weights.hetero_center * centers
        if weights.contrastive:
            contrast = cross_modality_contrastive_loss(
                embeddings, batch.pids, batch.modalities, temperature=config.temperature
            )
            losses["contrastive"] = weights.contrastive * contrast
        if config.consistency.weight:
            losses["consistency"] = consistency_loss(
                embeddings, batch.pids, batch.modalities, config.consistency, epoch=self.epoch
            )
        return losses

    def _pooled(self, images: Tensor, modalities: Tensor) -> Tensor:
        pooled: Tensor = self.pool(weakened_stages(self.backbone, images, modalities, self.config.dfw))
        return pooled

    def _identity_loss(self, embeddings: Tensor, pids: Tensor) -> Tensor:
        cosine = self.config.cosine
        if cosine is None:
            logits = self.neck.classify(embeddings)
        else:
            classes = self.neck.classifier.weight
            logits = cosine_logits(embeddings, classes, pids, scale=cosine.scale, margin=cosine.margin)
        return identity_loss(logits, pids, label_smoothing=self.config.label_smoothing)

    def embed(self, images: Tensor, modalities: Tensor) -> Tensor:
        """The features after the neck, L2-normalised: `(B, D)` float32."""
        if self.foreground is not None:
            images = cut_out(images, self.foreground(images))
        embeddings: Tensor = self.neck(self._pooled(images, modalities), modalities)
        return F.normalize(embeddings.float())

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The pretrained trunk at `trunk_lr_scale`, the layers on top at the full rate."""
        return trunk_and_rest(self, [self.backbone], self.config.trunk_lr_scale)


def build(config: Config, num_identities: int) -> Baseline:
    """The baseline for a training set of `num_identities`."""
    return Baseline(config, num_identities)
