"""A vision transformer on overlapping patches, all of whose layers see both modalities.

Papers: Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021, https://arxiv.org/abs/2010.11929, and He et
al., TransReID, ICCV 2021, https://arxiv.org/abs/2102.04378, whose patches overlap.

Shapes: B images, H and W height and width in pixels, h and w of the grid of patches, D width of a token.
"""

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any

import timm
import torch
from timm.models import vision_transformer
from torch import Tensor, nn
from torch.nn import functional as F

from vireid.errors import InputError
from vireid.models.weights import load_weights


class VisionTransformer(nn.Module):
    """A ViT of timm on overlapping patches, shared by both modalities.

    Args:
        name: a plain ViT of timm with a class token and one learned position per patch, for example
            `vit_small_patch16_224`.
        weights: `imagenet` (timm), the path of a state dict, or `none`. Positions of another grid, which a
            pretrained file has for square images, are resized bilinearly to `grid`.
        grid: rows and columns of patches that a position is learned for; 21 x 10 are those of 256 x 128 pixels.
        stride: pixels from one patch to the next; patches overlap where it is less than their size.
        heads: attention heads of each block, which must divide D; None for the model's own number.
        dropout: probability of dropping a token's value, after the positions and in every block.
        drop_path: probability of skipping the last block's layers, falling linearly to 0 at the first block.

    Attributes:
        width: D.
        patch: height and width of a patch in pixels.
        depth: number of blocks.
        heads: attention heads of each block.
        blocks: the blocks of timm.
        norm: the last LayerNorm.

    Raises:
        InputError: no such ViT, heads that do not divide D, unusable weights.
    """

    def __init__(
        self,
        name: str = "vit_base_patch16_224",
        *,
        weights: str = "imagenet",
        grid: tuple[int, int] = (21, 10),
        stride: int = 12,
        heads: int | None = None,
        dropout: float = 0.03,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        _check(weights, heads)
        trunk = _create(name, heads, dropout, drop_path)
        self.grid = grid
        self.width: int = trunk.embed_dim
        self.depth = len(trunk.blocks)
        self.heads: int = trunk.blocks[0].attn.num_heads
        projection: nn.Conv2d = trunk.patch_embed.proj
        projection.stride = (stride, stride)
        self.patch: int = projection.kernel_size[0]
        if stride > self.patch:
            raise InputError(f"method.stride is {stride}, more than a patch of {self.patch} pixels; make it smaller")
        self.stride = stride
        # The names of the parameters are timm's, so that its state dicts fit.
        self.patch_embed = nn.Sequential(OrderedDict(proj=projection))
        self.cls_token: nn.Parameter = trunk.cls_token
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + grid[0] * grid[1], self.width))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(trunk.blocks)
        for block in trunk.blocks:
            # On a CPU the fused kernel is slower than its parts: half as fast again for a training step of 51 tokens.
            block.attn.fused_attn = torch.cuda.is_available()
        self.norm: nn.LayerNorm = trunk.norm
        load_weights(self, weights, name, adapt=partial(_with_positions_for, grid=grid, square=weights == "imagenet"))

    def forward(self, images: Tensor) -> Tensor:
        """Tokens `(B, 1 + h*w, D)` of images `(B, 3, H, W)` after all blocks and the last norm."""
        tokens = self.tokens(images)
        for block in self.blocks:
            tokens = block(tokens)
        normed: Tensor = self.norm(tokens)
        return normed

    def tokens(self, images: Tensor) -> Tensor:
        """What the first block sees: the class token, then the patches row by row, positions added.

        Args:
            images: `(B, 3, H, W)` of any size from one patch on; positions are resized to their grid.

        Returns:
            `(B, 1 + h*w, D)`.

        Raises:
            InputError: the images are smaller than a patch.
        """
        grid = self.grid_of(images)
        patches = self.patch_embed(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(images.shape[0], -1, -1), patches], 1)
        dropped: Tensor = self.drop(tokens + resize_positions(self.pos_embed, self.grid, grid))
        return dropped

    def grid_of(self, images: Tensor) -> tuple[int, int]:
        """Rows h and columns w of the patches of images `(B, 3, H, W)`.

        Raises:
            InputError: the images are smaller than a patch.
        """
        height, width = images.shape[2:]
        if min(height, width) < self.patch:
            raise InputError(
                f"images are {height} x {width} pixels, less than a patch of {self.patch} x {self.patch}; set "
                f"images.height and images.width to {self.patch} or more"
            )
        return (height - self.patch) // self.stride + 1, (width - self.patch) // self.stride + 1


def resize_positions(positions: Tensor, grid: tuple[int, int], new_grid: tuple[int, int]) -> Tensor:
    """Positions `(1, 1 + h*w, D)` of a class token and a grid of patches, bilinearly resized to another grid."""
    if grid == new_grid:
        return positions
    patches = positions[:, 1:].transpose(1, 2).reshape(1, -1, *grid)
    resized = F.interpolate(patches, new_grid, mode="bilinear", align_corners=False)
    return torch.cat([positions[:, :1], resized.flatten(2).transpose(1, 2)], 1)


def _with_positions_for(state: Mapping[str, Tensor], grid: tuple[int, int], square: bool) -> dict[str, Tensor]:
    """A state dict whose positions are those of `grid`, resized where they are of a square grid.

    A file with as many patches as `grid` has is taken to hold that very grid, unless it is known to be `square`.
    """
    positions = state.get("pos_embed")
    if positions is None or positions.ndim != 3:
        return dict(state)
    patches = positions.shape[1] - 1
    side = round(patches**0.5)
    if patches == grid[0] * grid[1] and not square:
        return dict(state)
    if side * side != patches:
        raise InputError(
            f"the weights hold positions of {patches} patches, method.grid {grid[0]} x {grid[1]} has "
            f"{grid[0] * grid[1]}; set method.grid to the rows and columns of the file (only a square grid is resized)"
        )
    return {**state, "pos_embed": resize_positions(positions.float(), (side, side), grid)}


def _check(weights: str, heads: int | None) -> None:
    if weights == "default":
        raise InputError(
            "method.weights default: the shipped model is a resnet18, this trunk is a vision transformer; set "
            "method.weights to imagenet, a file or none"
        )
    if weights == "imagenet" and heads is not None:
        raise InputError(
            f"method.heads is {heads}, but ImageNet weights were trained with the model's own number of heads; "
            "remove method.heads, or set method.weights to a file or none"
        )


def _create(name: str, heads: int | None, dropout: float, drop_path: float) -> Any:
    if name not in timm.list_models(module="vision_transformer"):
        raise _unknown(name)
    options: dict[str, Any] = {} if heads is None else {"num_heads": heads}
    options |= {"pos_drop_rate": dropout, "proj_drop_rate": dropout, "drop_path_rate": drop_path}
    try:
        trunk = timm.create_model(name, **options)
    except AssertionError:
        raise InputError(f"method.heads is {heads}, which does not divide the width of {name}; change it") from None
    if not _is_plain(trunk):
        raise _unknown(name)
    return trunk


def _is_plain(trunk: Any) -> bool:
    """Whether a model of timm has nothing but patches, a class token, positions, plain blocks and a last norm."""
    return (
        isinstance(trunk, vision_transformer.VisionTransformer)
        and trunk.has_class_token
        and trunk.reg_token is None
        and trunk.pos_embed is not None
        and not trunk.no_embed_class
        and isinstance(trunk.norm_pre, nn.Identity)
        and isinstance(trunk.norm, nn.LayerNorm)
        and all(type(block) is vision_transformer.Block for block in trunk.blocks)
    )


def _unknown(name: str) -> InputError:
    return InputError(
        f"unknown backbone '{name}', expected a plain ViT of timm with a class token such as vit_tiny_patch16_224, "
        "vit_small_patch16_224 or vit_base_patch16_224"
    )
