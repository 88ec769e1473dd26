"""My method: a two-stream baseline with one loss of its own.

Say here what the idea is, where it is from, and what a paper leaves open and you chose.

Shapes: N images of a batch, D embedding size, C centres.
"""

from typing import Any, final

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional as F

from vireid.losses.distance import nothing_to_compare
from vireid.losses.hetero_center import modality_centers
from vireid.losses.identity import identity_loss
from vireid.losses.triplet import triplet_loss
from vireid.methods.base import Method, trunk_and_rest
from vireid.models.bnneck import BNNeck
from vireid.models.feature_weakening import OptionalWeakening, weakened_stages
from vireid.models.pooling import AveragePool
from vireid.models.two_stream_resnet import Stage, TwoStreamResNet
from vireid.sample import Batch


# 1. YOUR LOSS: tensors in, a scalar out. Group by pids and modalities, never by the position in the batch.
def alignment_loss(embeddings: Tensor, pids: Tensor, modalities: Tensor) -> Tensor:
    """Mean over identities of the squared distance between the centres of their two modalities.

    Args:
        embeddings: `(N, D)`.
        pids: `(N,)`.
        modalities: `(N,)`.

    Returns:
        A scalar; 0 with a warning if no identity has both modalities.
    """
    centers, center_pids = modality_centers(embeddings, pids, modalities)  # (C, D) and (C,), sorted by pid
    pairs = (center_pids[1:] == center_pids[:-1]).nonzero().squeeze(1)  # identities with both modalities
    if not len(pairs):
        return nothing_to_compare(embeddings, "no identity of the batch has both modalities")
    return (centers[pairs] - centers[pairs + 1]).square().sum(1).mean()


# 2. YOUR OPTIONS: whatever a config or an ablation may change. 0 switches a loss off.
class LossWeights(BaseModel):
    """Factors of the losses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: float = Field(1.0, gt=0)
    triplet: float = Field(1.0, ge=0)
    alignment: float = Field(0.1, ge=0)


class Config(BaseModel):
    """Options of my method: `method.<option>` in a config."""

    model_config = ConfigDict(frozen=True, extra="forbid")  # a mistyped key is named, not ignored

    backbone: str = "resnet50"
    weights: str = Field("imagenet", description="imagenet, default, none, or the path of a state dict")
    split: int = Field(1, ge=0, le=4, description="number of modality-specific stages")
    bn_specific: tuple[Stage, ...] = Field((), description="stages with one BatchNorm per modality")
    loss: LossWeights = LossWeights()
    margin: float = Field(0.3, ge=0, description="of the triplet loss")
    dfw: OptionalWeakening = OptionalWeakening()  # a plug-in: off unless method.dfw.enabled is true
    trunk_lr_scale: float = Field(0.1, gt=0, description="1.0 suits training from scratch")


# 3. YOUR NETWORK: its parts, what they are trained by, what an embedding is, and which of them learn slowly.
@final
class MyMethod(Method):
    """My method's network and losses."""

    def __init__(self, config: Config, num_identities: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = TwoStreamResNet(
            config.backbone, split=config.split, bn_specific=config.bn_specific, weights=config.weights
        )
        self.pool = AveragePool()
        self.neck = BNNeck(self.backbone.channels["layer4"], num_identities)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses `identity`, `triplet` and `alignment`, those with a factor above 0; their sum is minimised."""
        weights = self.config.loss
        pooled = self._pooled(batch.images, batch.modalities)
        logits = self.neck.classify(self.neck(pooled, batch.modalities))
        losses = {"identity": weights.identity * identity_loss(logits, batch.pids)}
        if weights.triplet:
            losses["triplet"] = weights.triplet * triplet_loss(pooled, batch.pids, margin=self.config.margin)
        if weights.alignment:
            losses["alignment"] = weights.alignment * alignment_loss(pooled, batch.pids, batch.modalities)
        return losses

    def embed(self, images: Tensor, modalities: Tensor) -> Tensor:
        """The features after the neck, L2-normalised: `(B, D)` float32, each of its own image only."""
        embeddings: Tensor = self.neck(self._pooled(images, modalities), modalities)
        return F.normalize(embeddings.float())

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The pretrained trunk at `trunk_lr_scale`, all that is new at the full rate."""
        return trunk_and_rest(self, [self.backbone], self.config.trunk_lr_scale)

    def _pooled(self, images: Tensor, modalities: Tensor) -> Tensor:
        pooled: Tensor = self.pool(weakened_stages(self.backbone, images, modalities, self.config.dfw))
        return pooled


def build(config: Config, num_identities: int) -> MyMethod:
    """My method for a training set of `num_identities`."""
    return MyMethod(config, num_identities)
