"""The shared vocabulary: modalities, directions, samples and batches.

Shapes: N images in a batch, H and W the image height and width in pixels.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

# For its types only: what embeds without torch shares these names.
if TYPE_CHECKING:
    import torch


class Modality(IntEnum):
    """What kind of light an image was taken in; use the names, never the numbers."""

    VISIBLE = 0
    INFRARED = 1

    @property
    def other(self) -> "Modality":
        """The modality on the other side of a cross-modality search."""
        return Modality.INFRARED if self is Modality.VISIBLE else Modality.VISIBLE


class Direction(StrEnum):
    """Which modality asks (query) and which one answers (gallery)."""

    I2V = "i2v"
    V2I = "v2i"

    @classmethod
    def of(cls, choice: str) -> "list[Direction]":
        """The directions that `i2v`, `v2i` or `both` asks for."""
        return list(cls) if choice == "both" else [cls(choice)]

    @property
    def words(self) -> str:
        """`infrared to visible` or `visible to infrared`."""
        return f"{self.query_modality.name} to {self.gallery_modality.name}".lower()

    @property
    def query_modality(self) -> Modality:
        """The modality of the query images."""
        return Modality.INFRARED if self is Direction.I2V else Modality.VISIBLE

    @property
    def gallery_modality(self) -> Modality:
        """The modality of the gallery images."""
        return self.query_modality.other


@dataclass(frozen=True, slots=True)
class Sample:
    """One person crop on disk.

    Attributes:
        path: the image file.
        pid: the person's number, as the data set writes it (not a class index).
        modality: visible or infrared.
        camid: the camera's number; 0 where the data set has none.
        split: `train`, `val`, `test`, or, where a data set fixes the roles itself, `query` or `gallery`.
        track: name of the tracklet or of the instant the crop belongs to; empty if unknown.
        time: time of capture as the data set writes it; empty if unknown.
        mask: a picture of its size that is white where the person is; None where the data set has none.
    """

    path: Path
    pid: int
    modality: Modality
    camid: int = 0
    split: str = "test"
    track: str = ""
    time: str = ""
    mask: Path | None = None


class Batch(NamedTuple):
    """A training batch on its device: first the visible block, then the infrared block.

    Attributes:
        images: `(N, 3, H, W)` float, normalised.
        pids: `(N,)` int64 class indices, 0 to num_identities - 1.
        modalities: `(N,)` int64 values of `Modality`.
        masks: `(N, 1, H, W)` float, the share of each pixel that shows the person, for methods that need it; else None.
    """

    images: "torch.Tensor"
    pids: "torch.Tensor"
    modalities: "torch.Tensor"
    masks: "torch.Tensor | None" = None
