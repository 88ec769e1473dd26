"""EMIF: features that both modalities share, helped by a branch per modality and by a loss on distributions.

Paper: Zhang et al., Learning enhancing modality-invariant features for visible-infrared person re-identification,
International Journal of Machine Learning and Cybernetics 16(1), 55-73, 2025,
https://research.buaa.edu.cn/en/publications/learning-enhancing-modality-invariant-features-for-visible-infrar/.

This is a re-implementation from the abstract: it names two modules and no equation, layer or number. All else is
decided here; docs/methods/emif.md lists what and why.

Idea: shared layers and a metric loss leave two things undone. What is particular to one modality could make
features more discriminative, so in training each modality has a branch of its own, in which an identity is pulled
together and pushed away from others. And the two modalities' features still differ in distribution, so a loss takes
both as Gaussian and penalises their divergence.

Decided: the path of AGW without its non-local blocks (GeM, BNNeck, cross-entropy, weighted triplet loss) is the
invariant one and alone gives the embedding. A branch starts after layer3 with its own layer4. The abstract's Gaussian
loss is the symmetric Kullback-Leibler divergence with diagonal variances. An embedding that joins in the own
modality's branch is left out: nothing makes the two branches comparable.

Published (not measured here): the abstract gives no figures.

Shapes: B images, n of one modality, C channels, h and w of the layer3 map, I identities, D embedding size.
"""

import copy
from typing import Any, Literal, final

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from vireid.losses.distance import full_precision
from vireid.losses.gaussian_consistency import ConsistencyConfig, consistency_loss
from vireid.losses.hetero_center import modality_centers
from vireid.losses.identity import identity_loss
from vireid.losses.triplet import triplet_loss
from vireid.losses.weighted_triplet import weighted_triplet_loss
from vireid.methods.base import Method, trunk_and_rest
from vireid.models.bnneck import BNNeck
from vireid.models.pooling import GeM
from vireid.models.precision import through
from vireid.models.two_stream_resnet import SharedStage, Stage, TwoStreamResNet
from vireid.sample import Batch, Modality


class IntraConfig(BaseModel):
    """The intra-modality enhancing module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    branch: Literal["layer4", "head", "off"] = Field(
        "layer4", description="what a modality has for itself: a layer4, or a linear layer on the shared one's features"
    )
    weight: float = Field(0.5, gt=0, description="of the sum over modalities of the three losses")
    margin: float = Field(0.3, ge=0, description="of the triplet loss within a modality")
    compactness: float = Field(0.5, ge=0, description="of the distance to the identity's centre, within the sum")
    distill: float = Field(0.0, ge=0, description="of the divergence of the invariant path's classes from a branch's")


class LossWeights(BaseModel):
    """Factors of the invariant path's losses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: float = Field(1.0, gt=0)
    weighted_triplet: float = Field(1.0, ge=0)


class Config(BaseModel):
    """Options of EMIF."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = "resnet50"
    weights: str = Field("imagenet", description="imagenet, default, none, or the path of a state dict")
    split: int = Field(1, ge=0, le=4, description="number of modality-specific stages")
    bn_specific: tuple[Stage, ...] = Field((), description="stages with one BatchNorm per modality")
    gem_p: float = Field(3.0, ge=1, le=20)
    intra: IntraConfig = IntraConfig()
    consistency: ConsistencyConfig = ConsistencyConfig()
    loss: LossWeights = LossWeights()
    trunk_lr_scale: float = Field(0.1, gt=0, description="1.0 suits training from scratch")


class Branch(nn.Module):
    """One modality's own layers, used in training only.

    Args:
        layer4: its copy of the trunk's layer4; None for a linear layer on the pooled features of the shared one.
        dim: C of layer4.
        num_identities: I.
        gem_p: exponent of the pooling.
    """

    def __init__(self, layer4: nn.Module | None, dim: int, num_identities: int, gem_p: float) -> None:
        super().__init__()
        self.layer4 = layer4
        self.pool = GeM(gem_p)
        self.head = nn.Linear(dim, dim) if layer4 is None else None
        self.neck = BNNeck(dim, num_identities)

    def forward(self, maps: Tensor, pooled: Tensor, modalities: Tensor) -> tuple[Tensor, Tensor]:
        """Features before the neck `(n, D)` and logits `(n, I)` of rows of this modality.

        Args:
            maps: of layer3, `(n, C, h, w)`.
            pooled: features `(n, D)` of the shared layer4.
            modalities: `(n,)`.
        """
        if self.layer4 is not None:
            features = self.pool(through(self.layer4, maps))
        else:
            assert self.head is not None
            features = self.head(pooled)
        return features, self.neck.classify(self.neck(features, modalities))


@final
class EMIF(Method):
    """EMIF's network and losses."""

    def __init__(self, config: Config, num_identities: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = TwoStreamResNet(
            config.backbone, split=config.split, bn_specific=config.bn_specific, weights=config.weights
        )
        self.pool = GeM(config.gem_p)
        width = self.backbone.channels["layer4"]
        self.neck = BNNeck(width, num_identities)
        # Last, so that with and without branches a seed gives the same invariant path.
        self.branches = nn.ModuleDict()
        if config.intra.branch != "off":
            for modality in Modality:
                layer4 = _own_layer4(self.backbone, modality) if config.intra.branch == "layer4" else None
                self.branches[modality.name.lower()] = Branch(layer4, width, num_identities, config.gem_p)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name, those with a factor above 0.

        `identity` and `weighted_triplet` of the invariant path, `intra_identity`, `intra_triplet` and
        `intra_compactness` of the branches, `distill` between the two, and `consistency`.
        """
        weights = self.config.loss
        maps = self.backbone.stages(batch.images, batch.modalities, last="layer3")
        pooled = self.pool(self.backbone.stages(maps, batch.modalities, first="layer4"))
        embeddings = self.neck(pooled, batch.modalities)
        logits = self.neck.classify(embeddings)
        losses = {"identity": weights.identity * identity_loss(logits, batch.pids)}
        if weights.weighted_triplet:
            losses["weighted_triplet"] = weights.weighted_triplet * weighted_triplet_loss(pooled, batch.pids)
        losses |= self._intra_losses(maps, pooled, logits, batch)
        if self.config.consistency.weight:
            losses["consistency"] = consistency_loss(
                embeddings, batch.pids, batch.modalities, self.config.consistency, epoch=self.epoch
            )
        return losses

    def _intra_losses(self, maps: Tensor, pooled: Tensor, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Sums over the modalities of which the batch has two images or more."""
        sums: dict[str, Tensor] = {}
        for name, branch in self.branches.items():
            rows = batch.modalities == Modality[name.upper()]
            if rows.sum() < 2:  # the branch's BatchNorm needs two
                continue
            features, own_logits = branch(maps[rows], pooled[rows], batch.modalities[rows])
            losses = self._branch_losses(features, own_logits, batch.pids[rows])
            if self.config.intra.distill:
                # Weighted so that the sum is a mean over all images of the batch.
                factor = self.config.intra.distill * rows.float().mean()
                losses["distill"] = factor * distillation_loss(logits[rows], own_logits)
            sums = {key: sums[key] + loss if key in sums else loss for key, loss in losses.items()}
        return sums

    def _branch_losses(self, features: Tensor, logits: Tensor, pids: Tensor) -> dict[str, Tensor]:
        config = self.config.intra
        losses = {
            "intra_identity": config.weight * identity_loss(logits, pids),
            "intra_triplet": config.weight * triplet_loss(features, pids, margin=config.margin),
        }
        if config.compactness:
            losses["intra_compactness"] = config.weight * config.compactness * compactness_loss(features, pids)
        return losses

    def embed(self, images: Tensor, modalities: Tensor) -> Tensor:
        """The invariant path's features after the neck, L2-normalised: `(B, D)` float32."""
        embeddings: Tensor = self.neck(self.pool(self.backbone(images, modalities)), modalities)
        return F.normalize(embeddings.float())

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The pretrained trunk and the branches' layer4 at `trunk_lr_scale`, the layers on top at the full rate."""
        own = [branch.layer4 for branch in self.branches.values() if isinstance(branch.layer4, nn.Module)]
        return trunk_and_rest(self, [self.backbone, *own], self.config.trunk_lr_scale)


def build(config: Config, num_identities: int) -> EMIF:
    """EMIF for a training set of `num_identities`."""
    return EMIF(config, num_identities)


def compactness_loss(embeddings: Tensor, pids: Tensor) -> Tensor:
    """`mean_n |x_n - c_{y_n}|`: Euclidean distance of images of one modality to their identity's centre.

    Source: ours, after "intra-class compactness" in EMIF's abstract; the second term of a centre loss. The centre is
    the mean over the batch and takes part in the gradient. An image that is alone adds 0.

    Args:
        embeddings: `(n, D)`.
        pids: `(n,)`.
    """
    centers, center_pids = modality_centers(embeddings, pids, torch.zeros_like(pids))
    own = centers[torch.searchsorted(center_pids.contiguous(), pids.contiguous())]
    # The norm's gradient at 0 is 0.
    distances: Tensor = torch.linalg.vector_norm(full_precision(embeddings) - own, dim=1)
    return distances.mean()


def distillation_loss(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """`mean_n KL(teacher || student)` of the classes of logits `(n, I)`; the teacher gets no gradient from it."""
    with torch.autocast(logits.device.type, enabled=False):
        student, teacher = (full_precision(x).log_softmax(1) for x in (logits, teacher_logits.detach()))
        return F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def _own_layer4(backbone: TwoStreamResNet, modality: Modality) -> nn.Module:
    """A copy of the trunk's layer4 with the BatchNorm of a modality, where it has one for each."""
    stage = backbone.get_submodule("layer4")
    body = stage.body if isinstance(stage, SharedStage) else getattr(stage, modality.name.lower())
    assert isinstance(body, nn.Module)
    return copy.deepcopy(body)
