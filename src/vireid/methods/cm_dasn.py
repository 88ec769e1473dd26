"""CM-DASN: a vision transformer that learns shared and specific features in turn, each from its best attention heads.

Paper: Li et al., CM-DASN: Visible-Infrared Cross-Modality Person Re-Identification via Dynamic Attention Selection
Network, Multimedia Systems, 2025, https://link.springer.com/journal/530. This is a re-implementation from the
abstract: we had neither the full text nor the code, so all that the abstract leaves open is our decision
(docs/methods/cm_dasn.md lists it).

Idea: late in training a module scores the attention heads of the last block by a softmax and keeps the best of them
(dynamic attention selection, DASM), once for features that both modalities share and once for those of one modality.
The two are supervised in alternation. All along, the modalities are aligned on several scales, stage by stage: the
whole image and horizontal strips, in more and more layers.

Decided: trunk, first two stages and losses are those of PMT (methods/pmt.py), by the same senior author, as heads
exist in a transformer only. Stages: `gray` and `rgb` as in PMT; `select:shared` and `select:specific` are the turns of
the third, which begins after two thirds of the epochs. Without DASM the third stage is called `align`.

Published (not measured here): the abstract names SYSU-MM01 and RegDB and gives no numbers.

Shapes: B images, D width of a token, D or 2 D size of the embedding.
"""

import copy
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, final

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from vireid.errors import InputError
from vireid.losses.discriminative_center import discriminative_center_loss
from vireid.losses.identity import identity_loss
from vireid.losses.scale_alignment import AlignmentConfig, parts_of, scale_alignment_loss
from vireid.losses.shared_enhancement import modality_shared_enhancement_loss
from vireid.losses.triplet import triplet_loss
from vireid.methods.base import Method, trunk_and_rest
from vireid.models.bnneck import BNNeck
from vireid.models.gray import to_gray
from vireid.models.head_selection import HeadGate, HeadSelection, Role, SelectionConfig
from vireid.models.two_stream_resnet import TwoStreamStage
from vireid.models.vision_transformer import VisionTransformer
from vireid.sample import Batch, Modality

ROLES: dict[str, tuple[Role, ...]] = {
    "both": ("shared", "specific"),
    "shared": ("shared",),
    "specific": ("specific",),
    "off": (),
}
TEST_FEATURES: dict[str, tuple[Role, ...]] = {"shared": ("shared",), "plain": (), "concat": ("shared", "specific")}


class LossWeights(BaseModel):
    """Factors of the losses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: float = Field(1.0, gt=0, description="of the sum over the two modalities")
    triplet: float = Field(1.0, ge=0, description="within each modality in the stage gray, across both after it")
    shared_enhancement: float = Field(0.5, ge=0, description="MSEL, from the stage rgb on")
    discriminative_center: float = Field(0.5, ge=0, description="DCL, from the stage rgb on")
    alignment: float = Field(0.1, ge=0)
    selection: float = Field(0.5, gt=0, description="identity and triplet loss of the roles whose turn it is")


class Config(BaseModel):
    """Options of CM-DASN; the defaults are those for SYSU-MM01."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = "vit_base_patch16_224"
    weights: str = Field("imagenet", description="imagenet, none, or the path of a state dict")
    grid: tuple[PositiveInt, PositiveInt] = Field((21, 10), description="rows and columns of patches with a position")
    stride: int = Field(12, ge=1, description="pixels from one patch to the next")
    heads: int | None = Field(None, ge=1, description="attention heads; null: as many as the backbone has")
    dropout: float = Field(0.03, ge=0, lt=1)
    drop_path: float = Field(0.1, ge=0, lt=1)
    progressive_epochs: int = Field(6, ge=0, description="epochs of the stage gray")
    dasm: SelectionConfig = SelectionConfig()
    align: AlignmentConfig = AlignmentConfig()
    loss: LossWeights = LossWeights()
    margin: float = Field(0.1, ge=0, description="of the triplet losses")
    test_feature: Literal["shared", "plain", "concat"] = Field("shared", description="what an image is embedded by")
    trunk_lr_scale: float = Field(0.5, gt=0, description="of patches and blocks; 1.0 suits training from scratch")


class Features(NamedTuple):
    """What the trunk makes of images.

    Attributes:
        plain: the class token after the last norm `(B, D)`.
        roles: the same with selected heads, for each role that was asked for.
        taps: tokens `(B, 1 + h*w, D)` after the tapped blocks.
    """

    plain: Tensor
    roles: dict[Role, Tensor]
    taps: list[Tensor]


@final
class CMDASN(Method):
    """The network and losses; with DASM off and no alignment it is PMT."""

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
        self.taps = _taps(config.align.taps, self.backbone.depth)
        self.neck = BNNeck(self.backbone.width, num_identities)
        self.roles = ROLES[config.dasm.roles]
        dasm = config.dasm
        self.selections = nn.ModuleList(
            HeadSelection(
                self.backbone.heads,
                self.backbone.width,
                roles=self.roles,
                keep=dasm.k,
                per_sample=dasm.select == "per_sample",
            )
            for _ in range(dasm.blocks if self.roles else 0)
        )
        # One BatchNorm per role: with a common one, its statistics at test time would be a mixture of all turns.
        self.role_norms = nn.ModuleDict({role: copy.deepcopy(self.neck.bn) for role in self.roles})
        if "specific" in self.roles:  # one for each modality; the shared role uses the neck's
            self.classifier = TwoStreamStage(*(copy.deepcopy(self.neck.classifier) for _ in Modality))

    @property
    def stage(self) -> int:
        """1 (grey), 2 (colour) or 3 (head selection); where the epochs are too few, the last one stands."""
        if self.epoch >= self._selection_from:
            return 3
        return 1 if self.epoch < self.config.progressive_epochs else 2

    @property
    def _selection_from(self) -> int:
        return round(self.config.dasm.start * self.epochs)

    def start_epoch(self, epoch: int, epochs: int) -> str:
        """Called before each epoch; returns `gray`, `rgb`, `select:<role>`, `select:both` or `align`."""
        super().start_epoch(epoch, epochs)
        if self.stage < 3:
            return ("gray", "rgb")[self.stage - 1]
        if len(self.roles) == 2 and self.config.dasm.alternate != "epoch":
            return "select:both"
        return f"select:{self._supervised()[0]}" if self.roles else "align"

    def _supervised(self) -> tuple[Role, ...]:
        """The roles whose turn it is; the last epoch is the shared role's, by which images are embedded."""
        alternate = self.config.dasm.alternate
        if self.stage < 3:
            return ()
        if len(self.roles) < 2 or alternate == "off":
            return self.roles
        if alternate == "epoch":
            turn = self.epochs - 1 - self.epoch
        else:
            turn = sum(int(self._batches(role)) for role in self.roles)
        return (self.roles[turn % 2],)

    def _gates(self, role: Role) -> list[HeadGate]:
        """The role's gates, block by block."""
        return [selection.gate(role) for selection in self.selections if isinstance(selection, HeadSelection)]

    def _batches(self, role: Role) -> Tensor:
        """How many batches `()` the role was trained on."""
        return self._gates(role)[0].batches

    def notes(self) -> dict[str, list[float]]:
        """`heads/<role>/block<n>`: the running means of the heads' scores in a block, once the role was trained."""
        first = self.backbone.depth - len(self.selections) + 1
        return {
            f"heads/{role}/block{first + index}": gate.mean.tolist()
            for role in self.roles
            for index, gate in enumerate(self._gates(role))
            if gate.batches > 0
        }

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """PMT's losses by their names, `alignment`, and in stage 3 `selected_identity` and `selected_triplet`."""
        images, pids, modalities = batch.images, batch.pids, batch.modalities
        weights, first = self.config.loss, self.stage == 1
        if first:
            images = to_gray(images, modalities == Modality.VISIBLE)
        taps, strips = self._scales() if weights.alignment else ((), ())
        features = self._features(images, self._supervised(), taps)
        logits = self.neck.classify(self.neck(features.plain, modalities))
        losses = {"identity": weights.identity * _identity_losses(logits, batch)}
        if weights.triplet:
            losses["triplet"] = weights.triplet * self._triplet(features.plain, batch, within=first)
        if weights.shared_enhancement and not first:
            shared = modality_shared_enhancement_loss(features.plain, pids, modalities)
            losses["shared_enhancement"] = weights.shared_enhancement * shared
        if weights.discriminative_center and not first:
            center = discriminative_center_loss(features.plain, pids)
            losses["discriminative_center"] = weights.discriminative_center * center
        if weights.alignment:
            grid = self.backbone.grid_of(images)
            parts = torch.cat([parts_of(tokens, grid, strips) for tokens in features.taps], 1)
            aligned = scale_alignment_loss(parts, pids, modalities, kind=self.config.align.kind)
            losses["alignment"] = weights.alignment * aligned
        return losses | self._selection_losses(features.roles, batch)

    def _scales(self) -> tuple[Sequence[int], Sequence[int]]:
        """The taps and the numbers of strips that are aligned in this stage."""
        align = self.config.align
        count = None if align.stages == "all" or self.stage == 3 else self.stage
        return self.taps[:count], align.strips[:count]

    def _features(self, images: Tensor, roles: Sequence[Role], taps: Sequence[int] = ()) -> Features:
        backbone = self.backbone
        tokens = backbone.tokens(images)
        selected: dict[Role, Tensor] = {}
        tapped = []
        first = backbone.depth - len(self.selections)
        for index, block in enumerate(backbone.blocks):
            if not roles or index < first:
                tokens = block(tokens)
            else:
                selected = selected or dict.fromkeys(roles, tokens[:, 0])
                tokens, selected = self.selections[index - first](block, tokens, selected)
            if index + 1 in taps:
                tapped.append(tokens)
        rows = {role: backbone.norm(row) for role, row in selected.items()}
        return Features(backbone.norm(tokens[:, 0]), rows, tapped)

    def _selection_losses(self, roles: dict[Role, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Identity and triplet loss of each role, the mean over both where both are asked for."""
        identities, triplets = [], []
        for role, features in roles.items():
            normed = self.role_norms[role](features, batch.modalities)
            specific = role == "specific"
            logits = self.classifier(normed, batch.modalities) if specific else self.neck.classify(normed)
            identities.append(_identity_losses(logits, batch))
            triplets.append(self._triplet(features, batch, within=specific))
        if not roles:
            return {}
        factor = self.config.loss.selection
        return {
            "selected_identity": factor * torch.stack(identities).mean(),
            "selected_triplet": factor * torch.stack(triplets).mean(),
        }

    def _triplet(self, features: Tensor, batch: Batch, *, within: bool) -> Tensor:
        """Triplet loss of all images together, or the sum of one within each modality."""
        groups = _halves(batch) if within else [torch.ones_like(batch.pids, dtype=torch.bool)]
        losses = [triplet_loss(features[rows], batch.pids[rows], margin=self.config.margin) for rows in groups]
        return torch.stack(losses).sum()

    def embed(self, images: Tensor, modalities: Tensor) -> Tensor:
        """The class token after its neck, with the shared role's heads by default: `(B, D)` float32, L2-normalised.

        `test_feature: concat` joins both roles, `(B, 2 D)`. Instead of a role that has not been trained, or not yet,
        stands the plain class token.
        """
        wanted = TEST_FEATURES[self.config.test_feature]
        features = self._features(images, [role for role in wanted if role in self.roles])
        plain = self.neck(features.plain, modalities)
        rows = [self._role_embedding(role, features, plain, modalities) for role in wanted] or [plain]
        return F.normalize(torch.cat([F.normalize(row.float()) for row in rows], 1))

    def _role_embedding(self, role: Role, features: Features, plain: Tensor, modalities: Tensor) -> Tensor:
        if role not in features.roles:
            return plain
        normed = self.role_norms[role](features.roles[role], modalities)
        return torch.where(self._batches(role) > 0, normed, plain)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Patches and blocks at `trunk_lr_scale`; class token, positions, last norm and what is new at full rate."""
        trunk = [self.backbone.patch_embed, self.backbone.blocks]
        return trunk_and_rest(self, trunk, self.config.trunk_lr_scale)


def build(config: Config, num_identities: int) -> CMDASN:
    """CM-DASN for a training set of `num_identities`."""
    return CMDASN(config, num_identities)


def _taps(taps: tuple[int, ...] | None, depth: int) -> tuple[int, ...]:
    """The blocks, counted from 1, whose tokens are aligned."""
    if taps is None:
        return tuple(sorted({max(1, depth * third // 3) for third in (1, 2, 3)}))
    if taps[-1] > depth:
        raise InputError(f"method.align.taps has {taps[-1]}, but the backbone has {depth} blocks; use 1 to {depth}")
    return taps


def _halves(batch: Batch) -> list[Tensor]:
    """For each modality that is in the batch, which rows `(B,)` have it."""
    halves = [batch.modalities == modality for modality in Modality]
    return [half for half in halves if half.any()]


def _identity_losses(logits: Tensor, batch: Batch) -> Tensor:
    """The sum of the two modalities' mean cross-entropies, as in PMT's code."""
    return torch.stack([identity_loss(logits[half], batch.pids[half]) for half in _halves(batch)]).sum()
