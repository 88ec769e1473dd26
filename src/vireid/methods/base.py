"""The interface between a method and everything that trains, evaluates or serves it.

Shapes: N images, B images, D embedding size, H and W image height and width.
"""

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn

from vireid.sample import Batch


class Method(nn.Module):
    """A network with its training losses. One published method is one final subclass in its own file."""

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
