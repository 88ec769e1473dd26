"""The interface between a method and everything that trains, evaluates or serves it.

Shapes: N images, B images, D embedding size, H and W image height and width.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from vireid.models.two_stream_resnet import TwoStreamResNet
from vireid.sample import Batch


class Method(nn.Module):
    """A network with its training losses. One published method is one final subclass in its own file.

    Attributes:
        epoch: the epoch in training, counted from 0.
        epochs: how many there will be.
        needs_masks: whether its losses look at the silhouettes of a batch.
        needs_start: what to set if a part of it is not trained here and must come from another run; empty if none is.
    """

    epoch: int = 0
    epochs: int = 1
    needs_masks: bool = False
    needs_start: str = ""

    def start_epoch(self, epoch: int, epochs: int) -> str:
        """Called before each epoch of training; what a method does by epoch depends on these two numbers only.

        A resumed run would otherwise not equal an uninterrupted one.

        Returns:
            The name of the stage that training is in, for the log and the progress bar; empty without stages.
        """
        self.epoch, self.epochs = epoch, epochs
        return ""

    def pooled_layers(self) -> list[nn.Module]:
        """The layers whose maps `(B, C, h, w)` the embedding is pooled from, for heat maps; none of a transformer."""
        return [trunk.get_submodule("layer4") for trunk in self.modules() if isinstance(trunk, TwoStreamResNet)]

    def notes(self) -> dict[str, list[float]]:
        """What the log keeps after each epoch beside the losses: lists of numbers by name."""
        return {}

    @abstractmethod
    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Training losses of a batch by name, each a weighted scalar; their sum is minimised."""

    @abstractmethod
    def embed(self, images: Tensor, modalities: Tensor) -> Tensor:
        """Embeddings `(B, D)`, L2-normalised, of normalised images `(B, 3, H, W)` with modalities `(B,)`.

        Each row depends on its own image only, never on the rest of the batch. Call in eval mode.
        """

    @abstractmethod
    def parameter_groups(self) -> list[dict[str, Any]]:
        """Optimiser groups `{"params": [...], "lr_scale": float}`; `lr_scale` multiplies the base rate."""


def trunk_and_rest(method: nn.Module, trunk: Sequence[nn.Module], trunk_lr_scale: float) -> list[dict[str, Any]]:
    """Optimiser groups of most methods: pretrained modules at `trunk_lr_scale`, all that is new at the full rate."""
    pretrained = {id(parameter): parameter for module in trunk for parameter in module.parameters()}
    rest = [p for p in method.parameters() if id(p) not in pretrained and p.requires_grad]
    return [
        {"params": list(pretrained.values()), "lr_scale": trunk_lr_scale},
        {"params": rest, "lr_scale": 1.0},
    ]
