"""Consistency of the two modalities' distributions: Gaussian (KLG, W2G), kernel (MMD) or covariance (CORAL).

Any method can add it to its losses; it has no parameters and nothing of it is left at test time.

Shapes: N embeddings, D embedding size, G groups (one per identity, or a single one), n and m images of a group.
"""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from vireid.losses.distance import euclidean, full_precision, nothing_to_compare
from vireid.sample import Modality

VARIANCE_FLOOR = 1e-3  # of embeddings after a BatchNorm, whose variance is about 1
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the five Gaussian kernels, times the mean squared distance

Kind = Literal["klg", "w2g", "mmd", "coral"]
Scope = Literal["modality", "identity"]


class ConsistencyConfig(BaseModel):
    """The loss and its weight over the epochs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = Field("klg", description="Jeffreys divergence or Wasserstein distance of Gaussians, MMD, CORAL")
    scope: Scope = Field("modality", description="compare all images of a modality, or identity by identity")
    margin: float = Field(0.0, ge=0, description="of mmd alone: what is below costs nothing; 1.4 in MMD-ReID")
    weight: float = Field(0.1, ge=0, description="0 leaves the loss out")
    ramp_epochs: int = Field(10, ge=0, description="linear ramp-up; 0: the whole weight from the first epoch")

    def factor(self, epoch: int) -> float:
        """The weight in an epoch, counted from 0; never 0 while `weight` is above 0.

        Distributions mean little before the warm-up is over, hence the ramp.
        """
        return self.weight * min(1.0, (epoch + 1) / max(1, self.ramp_epochs))


class OptionalConsistency(ConsistencyConfig):
    """The loss as a plug-in of another method: off unless it is given a weight."""

    weight: float = Field(0.0, ge=0, description="0 leaves the loss out; 0.1 in EMIF")


def consistency_loss(
    embeddings: Tensor, pids: Tensor, modalities: Tensor, config: ConsistencyConfig, *, epoch: int
) -> Tensor:
    """`distribution_consistency_loss` as the config has it, times its weight in the epoch."""
    return config.factor(epoch) * distribution_consistency_loss(
        embeddings, pids, modalities, kind=config.kind, scope=config.scope, margin=config.margin
    )


def distribution_consistency_loss(
    embeddings: Tensor,
    pids: Tensor,
    modalities: Tensor,
    *,
    kind: Kind = "klg",
    scope: Scope = "modality",
    margin: float = 0.0,
) -> Tensor:
    """How far the visible and the infrared embeddings differ in distribution; 0 where they are the same.

    With means u, v and variances s, t of the modalities in each of the D dimensions (diagonal: a batch is too small
    for D x D):

    - `klg`: `mean_d [s/t + t/s - 2 + (u - v)^2 (1/s + 1/t)] / 4`, half the symmetric Kullback-Leibler (Jeffreys)
      divergence of two Gaussians per dimension.
    - `w2g`: `mean_d [(u - v)^2 + (sqrt s - sqrt t)^2]`, their squared 2-Wasserstein distance per dimension.
    - `mmd`: `mean k(x, x') + mean k(y, y') - 2 mean k(x, y)`, at most 10, k the sum of five Gaussian kernels around
      the mean squared distance, which is a constant to the gradient; less `margin`, at least 0. Jambigi et al.,
      MMD-ReID, BMVC 2021, https://arxiv.org/abs/2111.05059; the value of its code jumps to 0 at the margin, the
      gradient is the same.
    - `coral`: `|C_v - C_r|_F^2 / (4 D^2)` of full covariances. Sun and Saenko, Deep CORAL, ECCV workshops 2016,
      https://arxiv.org/abs/1607.01719.

    KLG and W2G are our reading of the loss "based on the Gaussian distribution assumption" of EMIF's abstract.
    Variances are those of maximum likelihood, divided by the count and not by one less: a modality with one image
    then has variance 0 and not none. They are kept at `VARIANCE_FLOOR` or above, so below it KLG and W2G see no
    difference.

    Args:
        embeddings: `(N, D)`, after a BatchNorm: KLG does not depend on their scale, the floor does.
        pids: `(N,)`.
        modalities: `(N,)`.
        kind: which of the four.
        scope: `modality` takes all images of a modality as one group. `identity` averages over the identities that
            have both modalities: means, kernels and deviations from the mean are those of an identity, variances
            and covariances are pooled over identities, as those of a few images are noise. With one image per
            identity and modality all variances are the floor, so KLG is a squared distance divided by it: large.
            Large, too, is KLG where a dimension is dead in one modality only: eight such of 512 give about 10.
        margin: of `mmd` alone.

    Returns:
        A scalar, at least 0; 0 with a warning if no group has both modalities.
    """
    groups = pids if scope == "identity" else torch.zeros_like(pids)
    visible, infrared = modalities == Modality.VISIBLE, modalities == Modality.INFRARED
    paired = torch.isin(groups, groups[visible]) & torch.isin(groups, groups[infrared])
    if not paired.any():
        what = "of an identity " if scope == "identity" else ""
        return nothing_to_compare(embeddings, f"it needs images {what}in both modalities")
    with torch.autocast(embeddings.device.type, enabled=False):
        rows = full_precision(embeddings)
        sides = [(rows[paired & side], groups[paired & side]) for side in (visible, infrared)]
        if kind == "mmd":
            return _mmd(sides, margin)
        (u, x), (v, y) = (_means_and_deviations(*side) for side in sides)
        if kind == "coral":
            return (x.T @ x / len(x) - y.T @ y / len(y)).square().mean() / 4
        gap = (u - v).square().mean(0)
        s, t = (rows.square().mean(0).clamp(min=VARIANCE_FLOOR) for rows in (x, y))
        if kind == "w2g":
            return (gap + (s.sqrt() - t.sqrt()).square()).mean()
        # (s - t)^2 / (s t) is s/t + t/s - 2 without its cancellation.
        return ((s - t).square() / (s * t) + gap * (1 / s + 1 / t)).mean() / 4


def _means_and_deviations(rows: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """The mean `(G, D)` of each group, in the order of the groups' numbers, and each row less its group's mean."""
    _, index = torch.unique(groups, return_inverse=True)
    counts = index.bincount()
    means = rows.new_zeros(len(counts), rows.shape[1]).index_add(0, index, rows) / counts[:, None]
    return means, rows - means[index]


def _mmd(sides: list[tuple[Tensor, Tensor]], margin: float) -> Tensor:
    (x, x_groups), (y, y_groups) = sides
    both = ((x[x_groups == group], y[y_groups == group]) for group in set(x_groups.tolist()))
    return torch.stack([_mmd_of_group(*rows, margin) for rows in both]).mean()


def _mmd_of_group(x: Tensor, y: Tensor, margin: float) -> Tensor:
    rows = torch.cat([x, y])
    squares = euclidean(rows, rows).square()
    # A constant: with it in the gradient, two single images would be as far apart at any distance.
    scale = (squares.detach().sum() / (len(rows) * (len(rows) - 1))).clamp(min=1e-12)
    kernel = torch.stack([torch.exp(-squares / (width * scale)) for width in BANDWIDTHS]).sum(0)
    n = len(x)
    return (kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean() - margin).clamp(min=0)
