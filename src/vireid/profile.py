"""What a method costs: parameters, multiply-accumulates, time of a training step, images embedded per second.

Shapes: B images, C channels, H and W height and width in pixels.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vireid.methods.base import Method
from vireid.sample import Batch, Modality


@dataclass(frozen=True)
class Profile:
    """The cost of a method at one image size.

    Attributes:
        height: of the images, in pixels.
        width: of the images, in pixels.
        parameters: without the identity classifiers, which no search needs.
        classifier_parameters: those left out.
        macs_per_pair: multiply-accumulates to embed one visible and one infrared image; see `count_macs`.
        step_seconds: median time of a training step (losses, gradients, an SGD update); None if not measured.
        step_images: images in that step, half of them visible.
        embedded_per_second: images embedded per second, median; None if not measured.
        embedding_batch: images per batch in that measurement.
        device: where the times were measured.
        precision: in which they were measured, for example `bf16-mixed`.
        threads: CPU threads torch used.
    """

    height: int
    width: int
    parameters: int
    classifier_parameters: int
    macs_per_pair: int
    step_seconds: float | None = None
    step_images: int = 0
    embedded_per_second: float | None = None
    embedding_batch: int = 0
    device: str = "cpu"
    precision: str = "32-true"
    threads: int = 1

    def table(self) -> str:
        """One line per quantity, for people."""
        rows = [
            ("input", f"{self.height} x {self.width} (height x width)"),
            (
                "parameters",
                f"{self.parameters / 1e6:.2f} M + {self.classifier_parameters / 1e6:.2f} M classifier",
            ),
            ("MACs", f"{self.macs_per_pair / 1e9:.3f} G for a visible + an infrared image"),
        ]
        where = f"{self.device}, {self.precision}, {self.threads} threads"
        if self.step_seconds is not None:
            rows.append(("training step", f"{self.step_seconds:.3f} s for {self.step_images} images ({where})"))
        if self.embedded_per_second is not None:
            speed = f"{self.embedded_per_second:.1f} images/s in batches of {self.embedding_batch} ({where})"
            rows.append(("embedding", speed))
        return "\n".join(f"{name:<14} {value}" for name, value in rows)

    def to_dict(self) -> dict[str, Any]:
        """All fields, plain types only."""
        return asdict(self)


def profile(
    method: Method,
    *,
    height: int,
    width: int,
    num_identities: int,
    step_images: int = 64,
    embedding_batch: int = 64,
    repeats: int = 3,
    device: str = "cpu",
    precision: str = "32-true",
    channels_last: bool = True,
) -> Profile:
    """Count and time a method on random images; the timing spoils its weights and BatchNorm statistics.

    Args:
        method: the network; it is moved to `device`.
        height: of the images, in pixels.
        width: of the images, in pixels.
        num_identities: of the method's classifier.
        step_images: images in a training step; a multiple of 8 (four of an identity, in both modalities).
        embedding_batch: images per batch when embedding.
        repeats: timed runs, after one run to warm up; 0 counts only.
        device: for example `cpu` or `cuda`.
        precision: `32-true`, `bf16-mixed` or `16-mixed`.
        channels_last: memory format of network and images.
    """
    method = method.to(torch.device(device))
    classifier = sum(p.numel() for name, p in method.named_parameters() if "classifier" in name.split("."))
    step_seconds = embedding_seconds = None
    macs = count_macs(method, height, width)
    if repeats:
        layout = torch.channels_last if channels_last else torch.contiguous_format
        method = method.to(memory_format=layout)
        batch = _random_batch(step_images, height, width, num_identities, device, layout)
        step_seconds = _median_seconds(_training_step(method, batch, precision), repeats, device)
        batch = _random_batch(embedding_batch, height, width, num_identities, device, layout)
        embedding_seconds = _median_seconds(_embedding(method.eval(), batch, precision), repeats, device)
    return Profile(
        height=height,
        width=width,
        parameters=sum(p.numel() for p in method.parameters()) - classifier,
        classifier_parameters=classifier,
        macs_per_pair=macs,
        step_seconds=step_seconds,
        step_images=step_images,
        embedded_per_second=embedding_batch / embedding_seconds if embedding_seconds else None,
        embedding_batch=embedding_batch,
        device=device,
        precision=precision,
        threads=torch.get_num_threads(),
    )


def count_macs(method: Method, height: int, width: int) -> int:
    """Multiply-accumulates to embed one visible and one infrared image of `(3, height, width)`.

    The convention of fvcore, in which this field's tables are: convolutions, linear layers and matrix
    products at one per multiply-accumulate; BatchNorm in eval mode at two per output element (scale and
    shift); pooling, activations and sums not counted.
    """
    images = torch.zeros(2, 3, height, width, device=next(method.parameters()).device)
    modalities = torch.tensor([Modality.VISIBLE, Modality.INFRARED], device=images.device)
    training = method.training
    # Not inference_mode: there composite operators reach the counter whole, as names it does not know.
    with torch.no_grad(), _MacCounter() as counter:
        method.eval().embed(images, modalities)
    method.train(training)
    return int(counter.macs)


class _MacCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the multiply-accumulates of every operator that runs under it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs: int = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.macs += _macs(func._schema.name.removeprefix("aten::"), args, result)
        return result


def _macs(operator: str, args: tuple[Any, ...], result: Any) -> int:
    output = result[0] if isinstance(result, tuple) else result
    outputs: int = output.numel() if isinstance(output, Tensor) else 0
    if "convolution" in operator:
        # The weight is (C_out, C_in / groups, kernel height, kernel width).
        return outputs * int(prod(args[1].shape[1:]))
    if operator in ("mm", "bmm"):
        return outputs * int(args[0].shape[-1])
    if operator in ("addmm", "baddbmm"):
        return outputs * int(args[1].shape[-1])
    if "batch_norm" in operator:
        return 2 * outputs
    if "scaled_dot_product" in operator:
        query, key, value = args[:3]  # (B, heads, length, size): scores, then their product with the values
        return int(query.numel()) * int(key.shape[-2]) + outputs * int(value.shape[-2])
    return 0


def _random_batch(
    size: int, height: int, width: int, num_identities: int, device: str, layout: torch.memory_format
) -> Batch:
    """Visible block first, four images per identity and modality, as a training batch has them."""
    images = torch.randn(size, 3, height, width, generator=torch.Generator().manual_seed(0))
    half = size // 2
    pids = (torch.arange(half) // 4 % num_identities).repeat(2)
    modalities = torch.tensor([Modality.VISIBLE] * half + [Modality.INFRARED] * half)
    return Batch(images.to(device, memory_format=layout), pids.to(device), modalities.to(device))


def _training_step(method: Method, batch: Batch, precision: str) -> Callable[[], None]:
    parameters = [parameter for group in method.parameter_groups() for parameter in group["params"]]
    # The rate is tiny: random images must not drive the weights to infinity while the clock runs.
    optimizer = torch.optim.SGD(parameters, lr=1e-6, momentum=0.9, nesterov=True)
    method.train()

    def step() -> None:
        with _autocast(batch.images.device.type, precision):
            loss = torch.stack(list(method(batch).values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _embedding(method: Method, batch: Batch, precision: str) -> Callable[[], None]:
    def embed() -> None:
        with torch.inference_mode(), _autocast(batch.images.device.type, precision):
            method.embed(batch.images, batch.modalities)

    return embed


def _autocast(device: str, precision: str) -> torch.autocast:
    dtype = torch.float16 if precision == "16-mixed" else torch.bfloat16
    return torch.autocast(device, dtype=dtype, enabled=precision != "32-true")


def _median_seconds(action: Callable[[], None], repeats: int, device: str) -> float:
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        action()
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])
