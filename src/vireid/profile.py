"""What a method costs: parameters, multiply-accumulates, time of a training step, images embedded per second.

Shapes: B images, C channels, H and W height and width in pixels.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import prod
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from tqdm import tqdm

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


@dataclass(frozen=True)
class Setting:
    """What methods are profiled with.

    Attributes:
        height: of the images, in pixels.
        width: of the images, in pixels.
        num_identities: of the methods' classifiers.
        step_images: images in a training step; a multiple of 8 (four of an identity, in both modalities), 16 at least.
        embedding_batch: images per batch when embedding.
        repeats: timed rounds, after one round to warm up; 0 counts only.
        device: for example `cpu` or `cuda`.
        precision: `32-true`, `bf16-mixed` or `16-mixed`.
        channels_last: memory format of networks and images.
    """

    height: int
    width: int
    num_identities: int
    step_images: int = 64
    embedding_batch: int = 64
    repeats: int = 3
    device: str = "cpu"
    precision: str = "32-true"
    channels_last: bool = True


@dataclass(frozen=True)
class Compared:
    """The cost of a method beside that of the first method it was compared with.

    Attributes:
        profile: its own cost.
        step_ratio: time of its training step over the first method's, median over rounds; None if not measured.
        embed_ratio: its images per second over the first method's, median over rounds; None if not measured.
    """

    profile: Profile
    step_ratio: float | None
    embed_ratio: float | None


def compare(methods: Sequence[Method], setting: Setting, *, progress: bool = False) -> list[Compared]:
    """Count and time methods on random images, the reference first; spoils their weights and BatchNorm statistics.

    All methods are held at once, and each round times every one of them in turn on the same images: a machine that
    slows down for a while slows all of them down.
    """
    methods = [method.to(torch.device(setting.device)) for method in methods]
    macs = [count_macs(method, setting.height, setting.width) for method in methods]
    layout = torch.channels_last if setting.channels_last else torch.contiguous_format
    methods = [method.to(memory_format=layout) for method in methods]
    batch = _random_batch(setting.step_images, setting, layout)
    steps = [_training_step(method, batch, setting.precision) for method in methods]
    step_seconds = _seconds_in_turn(steps, setting, "training steps" if progress else None)
    batch = _random_batch(setting.embedding_batch, setting, layout)
    embeds = [_embedding(method.eval(), batch, setting.precision) for method in methods]
    embed_seconds = _seconds_in_turn(embeds, setting, "embedding" if progress else None)
    return [
        Compared(
            _profile(method, count, step, embed, setting),
            step_ratio=_median_ratio(step, step_seconds[0]),
            embed_ratio=_median_ratio(embed_seconds[0], embed),  # of speeds, so the first method's time is on top
        )
        for method, count, step, embed in zip(methods, macs, step_seconds, embed_seconds, strict=True)
    ]


def _profile(method: Method, macs: int, step: list[float], embed: list[float], setting: Setting) -> Profile:
    classifier = sum(p.numel() for name, p in method.named_parameters() if "classifier" in name.split("."))
    return Profile(
        height=setting.height,
        width=setting.width,
        parameters=sum(p.numel() for p in method.parameters()) - classifier,
        classifier_parameters=classifier,
        macs_per_pair=macs,
        step_seconds=median(step) if step else None,
        step_images=setting.step_images,
        embedded_per_second=setting.embedding_batch / median(embed) if embed else None,
        embedding_batch=setting.embedding_batch,
        device=setting.device,
        precision=setting.precision,
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


def _random_batch(size: int, setting: Setting, layout: torch.memory_format) -> Batch:
    """Visible block first, four images per identity and modality, as a training batch has them."""
    images = torch.randn(size, 3, setting.height, setting.width, generator=torch.Generator().manual_seed(0))
    half = size // 2
    pids = (torch.arange(half) // 4 % setting.num_identities).repeat(2)
    modalities = torch.tensor([Modality.VISIBLE] * half + [Modality.INFRARED] * half)
    device = setting.device
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


def _seconds_in_turn(actions: Sequence[Callable[[], None]], setting: Setting, label: str | None) -> list[list[float]]:
    """Seconds of each action in each round; a first round, which warms up, is left out. No label, no progress bar."""
    rounds = setting.repeats + 1 if setting.repeats else 0
    seconds: list[list[float]] = [[] for _ in actions]
    hidden = label is None or not rounds
    with tqdm(total=rounds * len(actions), desc=label, unit="run", disable=hidden, leave=False) as bar:
        for _ in range(rounds):
            for action, own in zip(actions, seconds, strict=True):
                start = time.perf_counter()
                action()
                if torch.device(setting.device).type == "cuda":
                    torch.cuda.synchronize()
                own.append(time.perf_counter() - start)
                bar.update()
    return [own[1:] for own in seconds]


def _median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float | None:
    """Median of the ratios round by round; None without rounds."""
    ratios = [numerator / denominator for numerator, denominator in zip(numerators, denominators, strict=True)]
    return median(ratios) if ratios else None
