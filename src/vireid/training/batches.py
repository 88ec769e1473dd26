"""Batches of a training set, augmented on the training device; for a GPU they are read ahead.

Shapes: N images of the set, B images of a batch, H and W their height and width in pixels.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vireid.data.augment import AugmentConfig, place, recolor
from vireid.sample import Batch

# Images augmented at once. Larger pieces take longer: what is between two steps no longer fits near the processor, and
# memory for it is asked of the system each time.
PIECE = 32
AHEAD = 2  # batches read before they are asked for, for a GPU


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


def batches(
    data: TrainingSet,
    drawn: Iterable[tuple[int, Sequence[int]]],
    augmentation: AugmentConfig,
    device: torch.device,
    *,
    seed: int,
    epoch: int,
    rank: int = 0,
) -> Iterator[tuple[int, Batch]]:
    """`(step, batch)` for each step of an epoch and the indices it draws, in their order.

    What is random depends on seed, epoch, step and rank alone. The global generator, which dropout draws from, is
    seeded when a batch is handed over.

    Args:
        data: the training set.
        drawn: number of each step and its B indices.
        augmentation: what is done to the images.
        device: where the batches go; images are augmented there.
        seed: of the run.
        epoch: counted from 0.
        rank: number of this process.
    """

    def gather(indices: Sequence[int]) -> Tensor:
        images = data.images.gather(indices)
        if data.masks is not None:
            images = torch.cat([images, data.masks.gather(indices)[:, :1]], 1)
        # From pinned memory a copy to the GPU runs beside the computation.
        return images.pin_memory() if device.type == "cuda" else images

    def make(step: int, indices: Sequence[int], images: Tensor) -> Batch:
        words = np.random.SeedSequence([seed, epoch, step, rank]).generate_state(2)
        torch.manual_seed(int(words[0]))
        generator = torch.Generator(device=device).manual_seed(int(words[1]))
        images = images.to(device, non_blocking=images.is_pinned())
        pids, modalities = (torch.from_numpy(each[indices]).to(device) for each in (data.pids, data.modalities))
        pixels = torch.empty_like(images[:, :3], dtype=torch.float32, memory_format=torch.contiguous_format)
        masks = None if data.masks is None else torch.empty_like(pixels[:, :1])
        for start in range(0, len(images), PIECE):
            piece = slice(start, start + PIECE)
            moved = place(images[piece], augmentation, generator)
            recolor(moved[:, :3], modalities[piece], augmentation, generator, out=pixels[piece])
            if masks is not None:
                masks[piece] = moved[:, 3:].float() / 255
        return Batch(pixels, pids, modalities, masks)

    for step, indices, images in _read(gather, drawn, ahead=AHEAD if device.type == "cuda" else 0):
        yield step, make(step, indices, images)


def _read(
    gather: Callable[[Sequence[int]], Tensor], drawn: Iterable[tuple[int, Sequence[int]]], ahead: int
) -> Iterator[tuple[int, Sequence[int], Tensor]]:
    """Steps with their indices and images, read `ahead` steps early by a thread.

    With 0 there is no thread: on a CPU it would take a core from those that compute, and they wait for each other.
    """
    if not ahead:
        yield from ((step, indices, gather(indices)) for step, indices in drawn)
        return
    with ThreadPoolExecutor(1, "read") as pool:
        waiting: deque[tuple[int, Sequence[int], Future[Tensor]]] = deque()
        for step, indices in drawn:
            waiting.append((step, indices, pool.submit(gather, indices)))
            if len(waiting) > ahead:
                step, indices, images = waiting.popleft()
                yield step, indices, images.result()
        for step, indices, images in waiting:
            yield step, indices, images.result()
