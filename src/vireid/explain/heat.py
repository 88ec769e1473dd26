"""Heat maps: which places of an image make its embedding similar to another one.

Convolutional networks: HiResCAM (Draelos and Carin, 2020, https://arxiv.org/abs/2011.08891), the member of the Grad-CAM
family that multiplies gradients and activations cell by cell, by captum, on the map that the embedding is pooled from.
There is no class in a search, so the score is the cosine similarity to a target embedding. It is divided among the
cells: the length of the embedding counts as a constant, and what does not depend on the image, such as the mean that a
BatchNorm takes off, is shared by all cells alike. For average pooling, GeM and strips of either, whose value is the sum
of activations times gradients, the cells then add up to the similarity. The length is told from the rest by
`torch.nn.functional.normalize`, by which every method here ends; one that divides by a norm itself gets a flat map.

Transformers: attention rollout (Abnar and Zuidema, ACL 2020, https://arxiv.org/abs/2005.00928), which knows no target:
it tells what the class token saw at all.

Shapes: N images, H and W height and width in pixels, h and w of a map, D embedding size, T tokens, A attention heads.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from vireid.data.augment import normalize
from vireid.errors import InputError
from vireid.methods.base import Method
from vireid.models.head_selection import project
from vireid.models.vision_transformer import VisionTransformer

Kind = Literal["HiResCAM", "attention rollout"]
Maps = npt.NDArray[np.float32]
BATCH = 16


def kind_of_map(method: Method) -> Kind:
    """What `heat_maps` computes for a method.

    Raises:
        InputError: the method has no trunk that maps can be taken from.
    """
    if any(isinstance(module, VisionTransformer) for module in method.modules()):
        return "attention rollout"
    if method.pooled_layers():
        return "HiResCAM"
    raise InputError(
        f"{type(method).__name__} has neither a TwoStreamResNet nor a VisionTransformer, which heat maps know; name "
        "the layers that it pools in pooled_layers"
    )


def heat_maps(
    method: Method, pixels: Tensor, modalities: npt.NDArray[np.int64], targets: npt.NDArray[np.float32]
) -> Maps:
    """A map for each image, `(N, H, W)`, its highest place 1; all 0 where no place speaks for the target.

    Args:
        method: with its weights, in eval mode; it is left as it was.
        pixels: `(N, 3, H, W)` uint8.
        modalities: `(N,)` values of `Modality`.
        targets: `(N, D)`, of length 1: the embedding that each image is compared with. Rollout does not look at it.

    Raises:
        InputError: see `kind_of_map`, or the numbers of images, modalities and targets differ.
    """
    if not len(pixels) == len(modalities) == len(targets):
        raise InputError(
            f"got {len(pixels)} images, {len(modalities)} modalities and {len(targets)} targets; give one of each"
        )
    compute = _cam if kind_of_map(method) == "HiResCAM" else _rollout
    device = next(method.parameters()).device
    parts = [np.empty((0, *pixels.shape[2:]), np.float32)]
    for start in range(0, len(pixels), BATCH):
        rows = slice(start, start + BATCH)
        images = normalize(pixels[rows].to(device))
        kinds = torch.as_tensor(modalities[rows], device=device)
        maps = compute(method, images, kinds, torch.as_tensor(targets[rows], device=device))
        large = F.interpolate(maps[:, None], images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
        parts.append((large / large.amax((1, 2), keepdim=True).clamp(min=1e-12)).cpu().numpy())
    return np.concatenate(parts)


def rollout(attentions: Sequence[Tensor]) -> Tensor:
    """How much each token's output has of each token's input, `(N, T, T)`, rows of sum 1.

    The product over the blocks of `(mean over heads of attention + identity) / 2`, as every block adds to what it got.

    Args:
        attentions: of each block from first to last, `(N, A, T, T)`, rows of sum 1.
    """
    first = attentions[0]
    mixed = torch.eye(first.shape[-1], device=first.device).expand(len(first), -1, -1)
    for attention in attentions:
        mixed = (attention.mean(1) @ mixed + mixed) / 2
    return mixed


def _cam(method: Method, images: Tensor, modalities: Tensor, targets: Tensor) -> Tensor:
    """Above 0 the cells' shares in the similarity, `(N, h, w)`; those below 0 speak against it and are set to 0."""
    return shares(method, images, modalities, targets).relu()


def shares(method: Method, images: Tensor, modalities: Tensor, targets: Tensor) -> Tensor:
    """Each cell's share in the similarity of normalised images `(N, 3, H, W)` to targets `(N, D)`: `(N, h, w)`."""
    cells = _cells(method, images, modalities, targets)
    with torch.no_grad():
        rest = (method.embed(images, modalities) * targets).sum(1) - cells.sum((1, 2))
    return cells + rest[:, None, None] / cells[0].numel()


def _cells(method: Method, images: Tensor, modalities: Tensor, targets: Tensor) -> Tensor:
    """The shares less what no cell brought in, such as the shift of a BatchNorm: activation times gradient."""
    try:
        from captum.attr import LayerGradientXActivation
    except ImportError:
        raise InputError("heat maps need captum: pip install 'vireid[figures]'") from None

    def similarity(inputs: Tensor) -> Tensor:
        return (method.embed(inputs, modalities) * targets).sum(1)

    cells = torch.zeros(len(images), 1, 1, device=images.device)
    with _ConstantLength():
        for layer in method.pooled_layers():
            # Captum takes gradients of the layer only if those of the input are asked for.
            found = LayerGradientXActivation(similarity, layer).attribute(images.clone().requires_grad_())
            cells = cells + found.detach().sum(1)
    return cells


class _ConstantLength(TorchFunctionMode):
    """Normalisation has the same values, but its gradient takes the length for a constant.

    Otherwise the cells' shares would say how the direction changes, and add up to 0.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function is F.normalize:
            rows: Tensor = args[0]
            return rows / torch.linalg.vector_norm(rows.detach(), dim=1, keepdim=True).clamp(min=1e-12)
        return function(*args, **(kwargs or {}))


def _rollout(method: Method, images: Tensor, modalities: Tensor, targets: Tensor) -> Tensor:
    """The class token's row of `rollout` on the grid of patches `(N, h, w)`, less its lowest: every patch is seen some.

    CM-DASN's gates take no part: of its last blocks it is the plain class token that is followed.
    """
    trunk = next(module for module in method.modules() if isinstance(module, VisionTransformer))
    with torch.no_grad(), _attention_of(trunk) as attentions:
        method.embed(images, modalities)
    seen = rollout(attentions)[:, 0, 1:].reshape(-1, *trunk.grid_of(images))
    return seen - seen.amin((1, 2), keepdim=True)


@contextmanager
def _attention_of(trunk: VisionTransformer) -> Iterator[list[Tensor]]:
    """A list that gets the attention `(N, A, T, T)` of each block as images pass."""
    attentions: list[Tensor] = []

    def note(attention: nn.Module, norm: nn.Module, inputs: object, normed: Tensor) -> None:
        if normed.shape[1] > 1:  # else it is the class token's further way through a block
            query, key, _ = project(attention, normed)
            attentions.append((query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(3))

    handles = [
        block.get_submodule("norm1").register_forward_hook(partial(note, block.get_submodule("attn")))
        for block in trunk.blocks
    ]
    try:
        yield attentions
    finally:
        for handle in handles:
            handle.remove()
