"""What DFW-SLN does to an image: the cells that feature weakening turns down, and where each branch looks.

Shapes: N images, H and W height and width in pixels, h and w of a map.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vireid.data.augment import normalize
from vireid.errors import InputError
from vireid.methods.base import Method
from vireid.methods.dfw_sln import focus_map
from vireid.models.feature_weakening import WeakeningConfig, pooled_response, weakening_matrix
from vireid.models.pooling import GeM
from vireid.models.two_stream_resnet import TwoStreamResNet


@dataclass(frozen=True, eq=False)
class Weakening:
    """Of N images.

    Attributes:
        factors: by stage, M of Eq. 2 on its map, `(N, h, w)`, 0 to 1: 1 where a cell is kept as it is.
        peaks: for each branch the pixel `(N, 2)`, row and column, in the middle of the cell it responds to most.
        enabled: whether the method weakens what it embeds; if not, `factors` are what it would do.
        separation: S of Eq. 5, in pixels; None where there is no second branch or S has another unit.
    """

    factors: dict[str, npt.NDArray[np.float32]]
    peaks: list[npt.NDArray[np.float32]]
    enabled: bool
    separation: float | None


def weakening_of(method: Method, pixels: Tensor, modalities: npt.NDArray[np.int64]) -> Weakening:
    """What weakening does to images `(N, 3, H, W)` uint8 of `modalities (N,)` in a method on a two-stream ResNet.

    The masks are those of the method's own settings, and of DFW-SLN's defaults where it has none.

    Raises:
        InputError: the method has another trunk, or weakens whole channels, which have no place in the image.
    """
    trunk = next((module for module in method.modules() if isinstance(module, TwoStreamResNet)), None)
    if trunk is None:
        raise InputError(f"feature weakening works on a two-stream ResNet, and {type(method).__name__} has none")
    options: Any = method.config
    config: WeakeningConfig = getattr(options, "dfw", WeakeningConfig(enabled=False))
    if config.pool != "channel":
        raise InputError(
            f"method.dfw.pool is {config.pool}: whole channels are weakened, which cannot be shown on the image; "
            "expected channel"
        )
    branches = method.pooled_layers()
    stages: list[str] = sorted(set(config.after))
    device = next(method.parameters()).device
    layers = [*(trunk.get_submodule(stage) for stage in stages), *branches]
    with torch.no_grad(), _outputs_of(layers) as outputs:
        method.embed(normalize(pixels.to(device)), torch.as_tensor(modalities, device=device))
        maps = [outputs[layer] for layer in layers]
        factors = {
            stage: weakening_matrix(pooled_response(x, "channel"), config)[:, 0].cpu().numpy()
            for stage, x in zip(stages, maps[: len(stages)], strict=True)
        }
        pool = next((module for module in method.modules() if isinstance(module, GeM)), GeM(3.0))
        size = (pixels.shape[2], pixels.shape[3])
        peaks = [_peak(focus_map(x.relu(), pool), size) for x in maps[len(stages) :]]
    sln: Any = getattr(options, "sln", None)
    measured = len(peaks) > 1 and getattr(sln, "metric", "") == "pixel"
    return Weakening(factors, peaks, config.enabled and not config.train_only, sln.S if measured else None)


def _peak(focus: Tensor, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """The middle of the highest cell of maps `(N, h, w)`, in pixels of an image of that height and width."""
    cells = np.stack(np.unravel_index(focus.flatten(1).argmax(1).cpu().numpy(), focus.shape[1:]), 1)
    middle: npt.NDArray[np.float32] = ((cells + 0.5) * np.array(size) / np.array(focus.shape[1:])).astype(np.float32)
    return middle


@contextmanager
def _outputs_of(layers: Sequence[nn.Module]) -> Iterator[dict[nn.Module, Tensor]]:
    """A mapping that gets what each layer gives as images pass."""
    outputs: dict[nn.Module, Tensor] = {}

    def note(layer: nn.Module, inputs: object, output: Tensor) -> None:
        outputs[layer] = output

    handles = [layer.register_forward_hook(note) for layer in layers]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
