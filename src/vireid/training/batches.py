"""Batches of a training set: read ahead by a thread of its own, augmented on the training device.

Shapes: N images of the set, B images of a batch, H and W their height and width in pixels.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vireid.data.augment import AugmentConfig, place, recolor
from vireid.sample import Batch

AHEAD = 2  # batches read before they are asked for


class Images(Protocol):
    """Where decoded images come from."""

    def gather(self, indices: Sequence[int]) -> Tensor:
        """Images `(B, 3, H, W)` uint8."""


@dataclass(frozen=True)
class TrainingSet:
    """Decoded training images with class indices `pids (N,)`, `modalities (N,)` and track names `(N,)`.

    `masks` are their silhouettes, as images whose channels are equal; only for methods that need them.
    """

    images: Images
    pids: np.ndarray
    modalities: np.ndarray
    tracks: Sequence[str] = ()
    masks: Images | None = None


@dataclass(frozen=True)
class Destination:
    """Where batches go.

    Attributes:
        device: the training device; images are augmented there.
        memory_format: of the images.
        rank: number of this process.
    """

    device: torch.device
    memory_format: torch.memory_format = torch.contiguous_format
    rank: int = 0


def batches(
    data: TrainingSet,
    drawn: Iterable[tuple[int, Sequence[int]]],
    augmentation: AugmentConfig,
    to: Destination,
    *,
    seed: int,
    epoch: int,
) -> Iterator[tuple[int, Batch]]:
    """`(step, batch)` for each step of an epoch and the indices it draws, in their order.

    What is random depends on seed, epoch, step and rank alone. The global generator, which dropout draws from, is
    seeded when a batch is handed over.

    Args:
        data: the training set.
        drawn: number of each step and its B indices.
        augmentation: what is done to the images.
        to: device, layout and process.
        seed: of the run.
        epoch: counted from 0.
    """

    def gather(indices: Sequence[int]) -> Tensor:
        images = data.images.gather(indices)
        if data.masks is not None:
            images = torch.cat([images, data.masks.gather(indices)[:, :1]], 1)
        # From pinned memory a copy to the GPU runs beside the computation.
        return images.pin_memory() if to.device.type == "cuda" else images

    def make(step: int, indices: Sequence[int], images: Tensor) -> Batch:
        words = np.random.SeedSequence([seed, epoch, step, to.rank]).generate_state(2)
        torch.manual_seed(int(words[0]))
        generator = torch.Generator(device=to.device).manual_seed(int(words[1]))
        images = place(images.to(to.device, non_blocking=True), augmentation, generator)
        masks = None if data.masks is None else images[:, 3:].float() / 255
        pids, modalities = (torch.from_numpy(each[indices]).to(to.device) for each in (data.pids, data.modalities))
        images = recolor(images[:, :3], modalities, augmentation, generator)
        return Batch(images.contiguous(memory_format=to.memory_format), pids, modalities, masks)

    with ThreadPoolExecutor(1, "gather") as pool:
        waiting: deque[tuple[int, Sequence[int], Future[Tensor]]] = deque()
        for step, indices in drawn:
            waiting.append((step, indices, pool.submit(gather, indices)))
            if len(waiting) > AHEAD:
                step, indices, images = waiting.popleft()
                yield step, make(step, indices, images.result())
        for step, indices, images in waiting:
            yield step, make(step, indices, images.result())
