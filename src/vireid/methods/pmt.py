"""PMT: a vision transformer that meets grey images first, and losses that ask for features common to both modalities.

Paper: Lu et al., Learning Progressive Modality-Shared Transformers for Effective Visible-Infrared Person
Re-Identification, AAAI 2023, https://arxiv.org/abs/2212.00226.

Idea: one ViT sees both modalities. For the first epochs (stage `gray`) visible images are turned grey, which is
nearer to infrared, and triplets stay within a modality. Then (stage `rgb`) they keep their colours, and three losses
look across: triplets of both modalities, MSEL, which asks that a person's images be as far apart across the modalities
as within them, and DCL, which draws people to their centre and away from the nearer of the others.

Changed: losses group by identity and modality, not by a row's place in the batch. Images are turned grey after they
are normalised and erased, not before. The learning rate moves step by step, not epoch by epoch. Positions are resized
to the grid of any image. The last epoch is reported, not the best one on the test set.

Published (not measured here): 67.53 Rank-1, 64.98 mAP and 51.86 mINP on SYSU-MM01 all-search; 84.81 and 76.55 (Rank-1
and mAP, as later papers cite it) on RegDB visible to infrared.

Shapes: B images, D width of a token and of the embedding.
"""

from typing import Any, Literal, final

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from vireid.losses.discriminative_center import discriminative_center_loss
from vireid.losses.identity import identity_loss
from vireid.losses.shared_enhancement import modality_shared_enhancement_loss
from vireid.losses.triplet import triplet_loss
from vireid.methods.base import Method, trunk_and_rest
from vireid.models.bnneck import BNNeck
from vireid.models.gray import to_gray
from vireid.models.vision_transformer import VisionTransformer
from vireid.sample import Batch, Modality


class LossWeights(BaseModel):
    """Factors of the losses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: float = Field(1.0, gt=0, description="of the sum over the two modalities")
    triplet: float = Field(1.0, ge=0, description="within each modality in the stage gray, across both after it")
    shared_enhancement: float = Field(0.5, ge=0, description="MSEL, from the stage rgb on")
    discriminative_center: float = Field(0.5, ge=0, description="DCL, from the stage rgb on")


class Config(BaseModel):
    """Options of PMT."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = "vit_base_patch16_224"
    weights: str = Field("imagenet", description="imagenet, none, or the path of a state dict")
    grid: tuple[PositiveInt, PositiveInt] = Field((21, 10), description="rows and columns of patches with a position")
    stride: int = Field(12, ge=1, description="pixels from one patch to the next")
    heads: int | None = Field(None, ge=1, description="attention heads; null: as many as the backbone has")
    dropout: float = Field(0.03, ge=0, lt=1)
    drop_path: float = Field(0.1, ge=0, lt=1)
    progressive_epochs: int = Field(6, ge=0, description="epochs of the stage gray")
    loss: LossWeights = LossWeights()
    margin: float = Field(0.1, ge=0, description="of the triplet loss")
    trunk_lr_scale: float = Field(0.5, gt=0, description="of patches and blocks; 1.0 suits training from scratch")


@final
class PMT(Method):
    """PMT's network and losses."""

    def __init__(self, config: Config, num_identities: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = VisionTransformer(
            config.backbone,
            weights=config.weights,
            grid=config.grid,
            stride=config.stride,
            heads=config.heads,
            dropout=config.dropout,
            drop_path=config.drop_path,
        )
        self.neck = BNNeck(self.backbone.width, num_identities)

    @property
    def stage(self) -> Literal["gray", "rgb"]:
        """The stage that training is in."""
        return "gray" if self.epoch < self.config.progressive_epochs else "rgb"

    def start_epoch(self, epoch: int, epochs: int) -> str:
        """Called before each epoch; returns the stage it belongs to, `gray` or `rgb`."""
        super().start_epoch(epoch, epochs)
        return self.stage

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses `identity`, `triplet`, and after the stage gray `shared_enhancement` and `discriminative_center`."""
        images, pids, modalities = batch.images, batch.pids, batch.modalities
        weights = self.config.loss
        if self.stage == "gray":
            images = to_gray(images, modalities == Modality.VISIBLE)
        features = self.backbone(images)[:, 0]
        logits = self.neck.classify(self.neck(features, modalities))
        halves = [modalities == modality for modality in Modality if (modalities == modality).any()]
        identities = [identity_loss(logits[half], pids[half]) for half in halves]
        losses = {"identity": weights.identity * torch.stack(identities).sum()}
        if weights.triplet:
            groups = halves if self.stage == "gray" else [slice(None)]
            triplets = [triplet_loss(features[rows], pids[rows], margin=self.config.margin) for rows in groups]
            losses["triplet"] = weights.triplet * torch.stack(triplets).sum()
        if weights.shared_enhancement and self.stage == "rgb":
            shared = modality_shared_enhancement_loss(features, pids, modalities)
            losses["shared_enhancement"] = weights.shared_enhancement * shared
        if weights.discriminative_center and self.stage == "rgb":
            losses["discriminative_center"] = weights.discriminative_center * discriminative_center_loss(features, pids)
        return losses

    def embed(self, images: Tensor, modalities: Tensor) -> Tensor:
        """The class token after the neck, L2-normalised: `(B, D)` float32. Images keep their colours."""
        embeddings: Tensor = self.neck(self.backbone(images)[:, 0], modalities)
        return F.normalize(embeddings.float())

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Patches and blocks at `trunk_lr_scale`; class token, positions, last norm and neck at the full rate."""
        trunk = [self.backbone.patch_embed, self.backbone.blocks]
        return trunk_and_rest(self, trunk, self.config.trunk_lr_scale)


def build(config: Config, num_identities: int) -> PMT:
    """PMT for a training set of `num_identities`."""
    return PMT(config, num_identities)
