"""Alignment of the two modalities on several scales: the whole image, and horizontal strips of it.

Shapes: B images, h and w of the grid of patches, D width of a token, S parts (the whole image and its strips).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor
from torch.nn import functional as F

from vireid.losses.distance import full_precision, nothing_to_compare
from vireid.losses.gaussian_consistency import distribution_consistency_loss
from vireid.losses.hetero_center import modality_centers
from vireid.losses.shared_enhancement import modality_shared_enhancement_loss

Kind = Literal["centers", "msel", "mmd"]


class AlignmentConfig(BaseModel):
    """Multi-stage, multi-scale alignment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    taps: tuple[int, ...] | None = Field(None, description="blocks that are aligned, from 1; null: thirds of the depth")
    strips: tuple[int, ...] = Field((1, 3, 7), description="numbers of horizontal strips, beside the class token")
    stages: Literal["progressive", "all"] = Field(
        "progressive", description="first tap and number of strips, then the first two, then all; or all from the start"
    )
    kind: Kind = Field("centers", description="distance of centres, or PMT's MSEL or MMD on every part")

    @field_validator("taps", "strips")
    @classmethod
    def _ascending(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (not value or min(value) < 1 or list(value) != sorted(set(value))):
            raise ValueError("expected one or more whole numbers from 1 on, the smallest first")
        return value


def parts_of(tokens: Tensor, grid: tuple[int, int], strips: Sequence[int]) -> Tensor:
    """The whole image and its strips, from the tokens of a vision transformer.

    Args:
        tokens: `(B, 1 + h*w, D)`, the class token first, then the patches row by row.
        grid: h and w.
        strips: for each number in it the rows of patches are cut into so many strips, whose heights differ by a row
            at most, the taller ones on top; a grid with fewer rows than that gives one strip per row.

    Returns:
        `(B, S, D)`: the class token, then the mean of each strip, number by number, top first.
    """
    rows = tokens[:, 1:].reshape(len(tokens), *grid, -1)
    means = [strip.mean((1, 2)) for number in strips for strip in rows.tensor_split(min(number, grid[0]), 1)]
    return torch.stack([tokens[:, 0], *means], 1)


def scale_alignment_loss(parts: Tensor, pids: Tensor, modalities: Tensor, *, kind: Kind = "centers") -> Tensor:
    """`mean_{s, i} |v_i^s - r_i^s|^2`: the visible and the infrared centre of identity i agree in every part s.

    The parts are L2-normalised before their means, v and r, are taken, so the loss lies in [0, 4]. A re-implementation
    from the abstract of CM-DASN (methods/cm_dasn.py), which asks for "multi-stage, multi-scale alignment" and gives no
    equation.

    Args:
        parts: `(B, S, D)`, of one or several layers.
        pids: `(B,)`.
        modalities: `(B,)`.
        kind: `centers`, or another loss on each normalised part: `msel`, the modality-shared enhancement loss, or
            `mmd`, the maximum mean discrepancy between all images of the two modalities.

    Returns:
        A scalar, at least 0; 0 with a warning if no identity has both modalities.
    """
    with torch.autocast(parts.device.type, enabled=False):
        unit = F.normalize(full_precision(parts), dim=2, eps=1e-12)
    if kind == "msel":
        return torch.stack([modality_shared_enhancement_loss(rows, pids, modalities) for rows in unit.unbind(1)]).mean()
    if kind == "mmd":
        losses = [distribution_consistency_loss(rows, pids, modalities, kind="mmd") for rows in unit.unbind(1)]
        return torch.stack(losses).mean()
    centers, center_pids = modality_centers(unit.flatten(1), pids, modalities)
    paired = center_pids[1:] == center_pids[:-1]  # rows are sorted by identity: the two centres of one are neighbours
    if not paired.any():
        return nothing_to_compare(parts, "it needs an identity in both modalities")
    gap = centers[1:][paired] - centers[:-1][paired]
    squares: Tensor = gap.view(-1, *parts.shape[1:]).square()
    return squares.sum(2).mean()
