"""PSMG: shared convolutions, the whole body and its strips, and centres that meet across the modalities.

Re-implementation from the abstract of Chan et al., Parameter sharing and multi-granularity feature learning for
cross-modality person re-identification, Complex & Intelligent Systems 10, 2024,
https://doi.org/10.1007/s40747-023-01189-y. Only the abstract was used: every number and equation it does not give
is a decision of ours, listed in docs/methods/psmg.md.

Idea: two streams that share the parameters of their convolutions find more of what the modalities have in common.
Strips alone lack the structure and the contour of a body, so a branch for the whole map stands beside them. A centre
alignment loss gathers the whole-body features of an identity around one centre for both modalities; a hetero-centre
triplet loss does less strictly, for the strips, what a triplet loss does.

Decided: all convolutions are shared, stem and layer1 have one BatchNorm per modality. The whole map goes through GeM
to a BNNeck; each of 4 strips through average pooling, a 1x1 convolution to 512 and a BNNeck of its own. Middle images
(MMN) are on, as the abstract's baseline, 74.0 less 3.4, equals the 70.6 of MMN: our inference. Then the losses between
images are means over MMN's four pairings, and the identity loss sees images and middle images. `split: 1, bn_specific:
[], granularities: [4], part_dim: null` with the triplet loss instead of those between centres is MMN.

Published (not measured here): 74.0 Rank-1 and 70.51 mAP on SYSU-MM01 all-search.

Shapes: B images, N rows (images, then their middle images), C channels, h and w of the layer4 map, D embedding size.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, final

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from vireid.losses.center_alignment import center_alignment_loss
from vireid.losses.gaussian_consistency import OptionalConsistency, consistency_loss
from vireid.losses.hetero_center import hetero_center_triplet_loss
from vireid.losses.identity import identity_loss
from vireid.losses.middle_modality import mean_over_pairings, middle_consistency_loss
from vireid.losses.triplet import triplet_loss
from vireid.methods.base import Method, trunk_and_rest
from vireid.models.feature_weakening import OptionalWeakening, weakened_stages
from vireid.models.middle_modality import MiddleModalityGenerator, ProjectionHead
from vireid.models.multi_granularity import WHOLE, MultiGranularityHead
from vireid.models.two_stream_resnet import Stage, TwoStreamResNet
from vireid.sample import Batch


class CenterAlignmentWeights(BaseModel):
    """Factors of the three terms of the centre alignment loss; all 0 leaves it out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alignment: float = Field(1.0, ge=0, description="visible centre to infrared centre")
    cluster: float = Field(1.0, ge=0, description="feature to centre")
    push: float = Field(1.0, ge=0, description="centres of different people apart")


class LossWeights(BaseModel):
    """Factors of the losses; 0 leaves a loss out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: float = Field(1.0, gt=0, description="of the mean over branches")
    triplet: float = Field(0.0, ge=0, description="of the mean over branches")
    center_alignment: CenterAlignmentWeights = CenterAlignmentWeights()
    hetero_center: float = Field(1.0, ge=0, description="of the mean over strips plus that of all strips together")
    middle_consistency: float = Field(0.2, ge=0, description="of the mean over branches; unused with middle off")


class Config(BaseModel):
    """Options of PSMG."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = "resnet50"
    weights: str = Field("imagenet", description="imagenet, default, none, or the path of a state dict")
    split: int = Field(0, ge=0, le=4, description="number of modality-specific stages")
    bn_specific: tuple[Stage, ...] = Field(("stem", "layer1"), description="stages with one BatchNorm per modality")
    granularities: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (WHOLE, 4), min_length=1, description="into how many strips the map is cut; 1: the whole map"
    )
    gem_p: float = Field(3.0, ge=1, le=20, description="of the whole map, and of the strips with part_pool gem")
    part_pool: Literal["avg", "gem"] = "avg"
    part_dim: int | None = Field(512, ge=1, description="embedding size of a strip; null: as pooled, without reduction")
    middle: Literal["mmn", "off"] = Field("mmn", description="middle images as in MMN")
    fuse: Literal["none", "middle", "sum"] = Field("none", description="embed the image, its middle image or both")
    dfw: OptionalWeakening = OptionalWeakening()
    consistency: OptionalConsistency = Field(OptionalConsistency(), description="of the whole-map embeddings")
    loss: LossWeights = LossWeights()
    margin: float = Field(0.3, ge=0, description="of the triplet losses")
    center_margin: float = Field(0.7, ge=0, description="rho of the centre alignment loss")
    trunk_lr_scale: float = Field(0.1, gt=0, description="1.0 suits training from scratch")

    @field_validator("granularities")
    @classmethod
    def _each_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value):
            raise ValueError("a number of strips stands there twice; name each once")
        return value

    @model_validator(mode="after")
    def _every_loss_has_its_features(self) -> "Config":
        if WHOLE not in self.granularities and (_any(self.loss.center_alignment) or self.consistency.weight):
            raise ValueError(
                "center_alignment and consistency look at the whole map; add 1 to granularities or set their factors "
                "to 0"
            )
        if set(self.granularities) == {WHOLE} and self.loss.hetero_center:
            raise ValueError("hetero_center looks at strips; add for example 4 to granularities or set it to 0")
        if self.middle == "off" and self.fuse != "none":
            raise ValueError(f"fuse is {self.fuse}, but middle is off; set middle to mmn or fuse to none")
        return self


def _any(factors: CenterAlignmentWeights) -> bool:
    return any((factors.alignment, factors.cluster, factors.push))


@final
class PSMG(Method):
    """PSMG's network and losses."""

    def __init__(self, config: Config, num_identities: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = TwoStreamResNet(
            config.backbone, split=config.split, bn_specific=config.bn_specific, weights=config.weights
        )
        self.head = MultiGranularityHead(
            self.backbone.channels["layer4"],
            num_identities,
            granularities=config.granularities,
            gem_p=config.gem_p,
            part_pool=config.part_pool,
            part_dim=config.part_dim,
        )
        self.generator = MiddleModalityGenerator() if config.middle == "mmn" else None
        self.projections = nn.ModuleDict()
        if config.middle == "mmn" and config.loss.middle_consistency:
            self.projections.update({str(dim): ProjectionHead(dim) for dim in self.head.dims})
            self.projections.requires_grad_(False)  # never trained, as in the authors' code of MMN

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses `identity`, `triplet`, `center_alignment`, `hetero_center`, `middle_consistency`, `consistency`.

        Those with a factor above 0. With middle images on, the second to the fourth and the last are means over
        MMN's pairings.
        """
        weights, images, modalities = self.config.loss, batch.images, batch.modalities
        if self.generator is not None:
            images, modalities = torch.cat([images, self.generator(images, modalities)]), modalities.repeat(2)
        features = self._features(images, modalities)
        embeddings = self.head.embed(features, modalities)
        losses = {"identity": weights.identity * self._identity_loss(embeddings, batch.pids)}
        if weights.triplet:
            losses["triplet"] = weights.triplet * self._triplet_loss(features, batch)
        if _any(weights.center_alignment):
            losses["center_alignment"] = self._center_alignment_loss(features, batch)
        if weights.hetero_center:
            losses["hetero_center"] = weights.hetero_center * self._hetero_center_loss(features, batch)
        if self.projections:
            losses["middle_consistency"] = weights.middle_consistency * self._middle_consistency_loss(features, batch)
        if self.config.consistency.weight:
            losses["consistency"] = self._consistency_loss(embeddings, batch)
        return losses

    def _features(self, images: Tensor, modalities: Tensor) -> list[Tensor]:
        """Of each branch, before its neck, `(N, D)`."""
        features: list[Tensor] = self.head(weakened_stages(self.backbone, images, modalities, self.config.dfw))
        return features

    def _of(self, rows: list[Tensor], *, whole: bool) -> list[Tensor]:
        """Those of the branches for the whole map, or those of the strips."""
        return [each for each, size in zip(rows, self.head.sizes, strict=True) if (size == WHOLE) == whole]

    def _identity_loss(self, embeddings: list[Tensor], pids: Tensor) -> Tensor:
        pids = pids.repeat(len(embeddings[0]) // len(pids))
        return torch.stack([identity_loss(logits, pids) for logits in self.head.classify(embeddings)]).mean()

    def _triplet_loss(self, features: list[Tensor], batch: Batch) -> Tensor:
        def loss(rows: Tensor, pids: Tensor, modalities: Tensor) -> Tensor:
            return triplet_loss(rows, pids, margin=self.config.margin)

        return torch.stack([self._between_modalities(loss, rows, batch) for rows in features]).mean()

    def _center_alignment_loss(self, features: list[Tensor], batch: Batch) -> Tensor:
        factors = self.config.loss.center_alignment
        loss = partial(center_alignment_loss, margin=self.config.center_margin, **factors.model_dump())
        return self._between_modalities(loss, self._of(features, whole=True)[0], batch)

    def _hetero_center_loss(self, features: list[Tensor], batch: Batch) -> Tensor:
        loss = partial(hetero_center_triplet_loss, margin=self.config.margin)
        strips = self._of(features, whole=False)
        each = torch.stack([self._between_modalities(loss, rows, batch) for rows in strips])
        return each.mean() + self._between_modalities(loss, torch.cat(strips, 1), batch)

    def _middle_consistency_loss(self, features: list[Tensor], batch: Batch) -> Tensor:
        losses = []
        for rows in features:
            projected = self.projections[str(rows.shape[1])](rows.chunk(2)[1])
            losses.append(middle_consistency_loss(projected, batch.pids, batch.modalities))
        return torch.stack(losses).mean()

    def _consistency_loss(self, embeddings: list[Tensor], batch: Batch) -> Tensor:
        loss = partial(consistency_loss, config=self.config.consistency, epoch=self.epoch)
        return self._between_modalities(loss, self._of(embeddings, whole=True)[0], batch)

    def _between_modalities(
        self, loss: Callable[[Tensor, Tensor, Tensor], Tensor], rows: Tensor, batch: Batch
    ) -> Tensor:
        """A loss between visible and infrared rows, with middle images on its mean over MMN's pairings."""
        if self.generator is None:
            return loss(rows, batch.pids, batch.modalities)
        original, middle = rows.chunk(2)
        return mean_over_pairings(loss, original, middle, batch.pids, batch.modalities)

    def embed(self, images: Tensor, modalities: Tensor) -> Tensor:
        """The features after all necks, joined and L2-normalised, of what `fuse` says: `(B, D)` float32.

        With `sum` it is the normalised sum of the normalised embeddings of image and middle image. Its inner products
        are then the sums of the four similarities, but for the length of each sum.
        """
        views = [] if self.config.fuse == "middle" else [images]
        if self.config.fuse != "none":
            assert self.generator is not None
            views.append(self.generator(images, modalities))
        embeddings = [self._embed(view, modalities) for view in views]
        return embeddings[0] if len(embeddings) == 1 else F.normalize(embeddings[0] + embeddings[1])

    def _embed(self, images: Tensor, modalities: Tensor) -> Tensor:
        joined = torch.cat(self.head.embed(self._features(images, modalities), modalities), 1)
        return F.normalize(joined.float())

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The pretrained trunk and, as in MMN, the generator at `trunk_lr_scale`, the head at the full rate."""
        trunk = [self.backbone] if self.generator is None else [self.backbone, self.generator]
        return trunk_and_rest(self, trunk, self.config.trunk_lr_scale)


def build(config: Config, num_identities: int) -> PSMG:
    """PSMG for a training set of `num_identities`."""
    return PSMG(config, num_identities)
