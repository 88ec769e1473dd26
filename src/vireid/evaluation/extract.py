"""Embeddings of many images.

Shapes: N images, B images of one batch, D embedding size, H and W image height and width.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from vireid.data.augment import normalize
from vireid.errors import InputError
from vireid.methods.base import Method
from vireid.models.precision import AnyPrecision, Precision, resolve_precision

CPU_BATCH = 16  # more are slower: their maps no longer fit near the processor


class ImageSource(Protocol):
    """Decoded images that can be taken by index, such as `DecodedImages`."""

    def __len__(self) -> int:
        """Number of images N."""

    def gather(self, indices: npt.NDArray[np.int64], /) -> Tensor:
        """Images `(B, 3, H, W)` uint8."""


def extract(
    method: Method,
    images: ImageSource | Tensor | npt.NDArray[np.uint8],
    modalities: npt.NDArray[np.int64] | Tensor,
    *,
    device: torch.device | str = "cpu",
    batch_size: int = 128,
    precision: AnyPrecision = "32-true",
    progress: bool = True,
) -> npt.NDArray[np.float32]:
    """Embeddings `(N, D)` float32, in the order of the images.

    The method stands on `device` and in eval mode while it works, so that no image changes another one's
    embedding; afterwards each of its modules is in the mode it was in before.

    Args:
        method: with trained weights or without.
        images: an image source, or uint8 images `(N, 3, H, W)`.
        modalities: `(N,)` values of `Modality`.
        device: where to compute.
        batch_size: images at once, on a CPU at most 16; changes speed and memory only.
        precision: `32-true`, `bf16-mixed`, faster where the device computes in bf16 and good to about 1
            percent, or `auto`, the faster of the two.
        progress: show a bar, if there is more than one batch.

    Raises:
        InputError: the number of modalities is not that of the images, or a setting is out of range.
    """
    count = len(images)
    if len(modalities) != count:
        raise InputError(f"got {len(modalities)} modalities for {count} images; give one per image")
    if batch_size < 1 or precision not in ("auto", *get_args(Precision)):
        raise InputError(
            f"got batch_size={batch_size}, precision={precision}; expected 1 or more, auto, 32-true or bf16-mixed"
        )
    device = torch.device(device)
    precision = resolve_precision(precision, device)
    kinds = torch.as_tensor(np.asarray(modalities), dtype=torch.int64)
    overlaps = device.type == "cuda"
    if device.type == "cpu":
        batch_size = min(batch_size, CPU_BATCH)
    layout = torch.channels_last if precision == "bf16-mixed" else torch.contiguous_format
    rows: list[Tensor] = []
    method.to(device)
    with _eval_mode(method), torch.inference_mode(), _autocast(device, precision):
        starts = range(0, count, batch_size)
        for start in tqdm(starts, "embed", unit="batch", disable=not progress or len(starts) < 2, leave=False):
            indices = np.arange(start, min(start + batch_size, count))
            read = _gather(images, indices)
            if overlaps:  # so that the next batch is read while this one is computed
                read = read if read.is_cuda else read.pin_memory()
            pixels = normalize(read.to(device, non_blocking=overlaps)).contiguous(memory_format=layout)
            found = method.embed(pixels, kinds[start : start + batch_size].to(device))
            rows.append(found.float().to("cpu", non_blocking=overlaps))
    if overlaps:
        torch.cuda.synchronize(device)
    if not rows:
        return np.empty((0, 0), np.float32)
    embeddings: npt.NDArray[np.float32] = torch.cat(rows).numpy()
    return embeddings


def _gather(images: ImageSource | Tensor | npt.NDArray[np.uint8], indices: npt.NDArray[np.int64]) -> Tensor:
    if isinstance(images, Tensor):
        return images[torch.from_numpy(indices)]
    if isinstance(images, np.ndarray):
        return torch.from_numpy(images[indices])
    return images.gather(indices)


def _autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16-mixed" else nullcontext()


@contextmanager
def _eval_mode(method: Method) -> Iterator[None]:
    # Parts of a method may be frozen in eval mode while the rest trains, so each module has its own state.
    modes = {module: module.training for module in method.modules()}
    method.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
