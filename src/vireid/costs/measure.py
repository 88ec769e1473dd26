"""What a method costs: parameters, multiply-accumulates, time of a training step, images embedded per second."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import Tensor, nn
from tqdm import tqdm

from vireid.costs.macs import count_macs
from vireid.methods.base import Method
from vireid.sample import Batch, Modality
from vireid.training.memory import keep_freed_memory

LAST_EPOCH = 999  # what is timed is a step of the last epoch, when all of a method is learned


@dataclass(frozen=True)
class Profile:
    """The cost of a method at one image size.

    Attributes:
        height: of the images, in pixels.
        width: of the images, in pixels.
        parameters: those that an embedding depends on.
        training_parameters: others, without the identity classifiers.
        classifier_parameters: of the identity classifiers.
        macs_per_pair: multiply-accumulates to embed one visible and one infrared image; see `count_macs`.
        step_images: images in a training step, half of them visible.
        embedding_batch: images per batch when embedding.
        device: where the times were measured.
        precision: in which they were measured, for example `bf16-mixed`.
        threads: CPU threads torch used.
        step_seconds: median time of a training step (losses, gradients, an SGD update); None if not measured.
        embedded_per_second: images embedded per second, median; None if not measured.
    """

    height: int
    width: int
    parameters: int
    training_parameters: int
    classifier_parameters: int
    macs_per_pair: int
    step_images: int
    embedding_batch: int
    device: str
    precision: str
    threads: int
    step_seconds: float | None = None
    embedded_per_second: float | None = None


@dataclass(frozen=True)
class Setting:
    """What methods are profiled with.

    Attributes:
        height: of the images, in pixels.
        width: of the images, in pixels.
        num_identities: of the methods' classifiers.
        step_images: images in a training step, an even number; 4 at least.
        embedding_batch: images per batch when embedding.
        repeats: timed rounds, after one round to warm up; 0 counts only.
        device: for example `cpu` or `cuda`.
        precision: `32-true` or `bf16-mixed`.
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


def count(method: Method, setting: Setting) -> Profile:
    """Move a method to the device and count it, without times."""
    method = method.to(torch.device(setting.device))
    classifier = sum(p.numel() for name, p in method.named_parameters() if "classifier" in name.split("."))
    embedding = sum(p.numel() for p in embedding_parameters(method, setting.height, setting.width))
    return Profile(
        height=setting.height,
        width=setting.width,
        parameters=embedding,
        training_parameters=sum(p.numel() for p in method.parameters()) - embedding - classifier,
        classifier_parameters=classifier,
        macs_per_pair=count_macs(method, setting.height, setting.width),
        step_images=setting.step_images,
        embedding_batch=setting.embedding_batch,
        device=setting.device,
        precision=setting.precision,
        threads=torch.get_num_threads(),
    )


def embedding_parameters(method: Method, height: int, width: int) -> list[nn.Parameter]:
    """The parameters that embeddings of images `(3, height, width)` of either modality are computed from."""
    trained = [parameter.requires_grad for parameter in method.parameters()]
    training = method.training
    images = torch.zeros(2, 3, height, width, device=next(method.parameters()).device)
    modalities = torch.tensor([Modality.VISIBLE, Modality.INFRARED], device=images.device)
    with torch.enable_grad():
        embeddings = method.eval().requires_grad_().embed(images, modalities)
    used = _leaves(embeddings)
    method.train(training)
    for parameter, flag in zip(method.parameters(), trained, strict=True):
        parameter.requires_grad_(flag)
    return [parameter for parameter in method.parameters() if id(parameter) in used]


def _leaves(tensor: Tensor) -> set[int]:
    """Ids of the parameters at the ends of a tensor's graph."""
    seen, ends, nodes = set(), set(), [tensor.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        ends.add(id(getattr(node, "variable", None)))
        nodes += [following for following, _ in node.next_functions]
    return ends


def compare(
    methods: Sequence[Method], counted: Sequence[Profile], setting: Setting, *, progress: bool = False
) -> list[Compared]:
    """Time counted methods on random images, the reference first; spoils their weights and BatchNorm statistics.

    All methods are held at once, and each round times every one of them in turn on the same images: a machine that
    slows down for a while slows all of them down.
    """
    if not setting.repeats:
        return [Compared(profile, None, None) for profile in counted]
    if torch.device(setting.device).type == "cpu":
        keep_freed_memory()  # as training does
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
            replace(profile, step_seconds=median(step), embedded_per_second=setting.embedding_batch / median(embed)),
            step_ratio=_median_ratio(step, step_seconds[0]),
            embed_ratio=_median_ratio(embed_seconds[0], embed),  # of speeds, so the first method's time is on top
        )
        for profile, step, embed in zip(counted, step_seconds, embed_seconds, strict=True)
    ]


def _random_batch(size: int, setting: Setting, layout: torch.memory_format) -> Batch:
    """Visible block first, four images per identity and modality, as a training batch has them.

    A small batch has fewer per identity, so that there are always two: with one, triplet losses find no negatives.
    """
    images = torch.randn(size, 3, setting.height, setting.width, generator=torch.Generator().manual_seed(0))
    half = size // 2
    pids = (torch.arange(half) // min(4, half // 2) % setting.num_identities).repeat(2)
    modalities = torch.tensor([Modality.VISIBLE] * half + [Modality.INFRARED] * half)
    device = setting.device
    masks = torch.ones(size, 1, setting.height, setting.width, device=device)
    return Batch(images.to(device, memory_format=layout), pids.to(device), modalities.to(device), masks)


def _training_step(method: Method, batch: Batch, precision: str) -> Callable[[], None]:
    parameters = [parameter for group in method.parameter_groups() for parameter in group["params"]]
    # The rate is tiny: random images must not drive the weights to infinity while the clock runs.
    optimizer = torch.optim.SGD(parameters, lr=1e-6, momentum=0.9, nesterov=True, foreach=True)
    method.train()
    method.start_epoch(LAST_EPOCH, LAST_EPOCH + 1)

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
    return torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16-mixed")


def _seconds_in_turn(actions: Sequence[Callable[[], None]], setting: Setting, label: str | None) -> list[list[float]]:
    """Seconds of each action in each round; no label, no progress bar.

    A first round, which warms up, is left out, and of several actions each turn begins with an untimed run: the first
    one after another method pays for memory and caches that the other one took.
    """
    rounds, runs = setting.repeats + 1, 2 if len(actions) > 1 else 1
    seconds: list[list[float]] = [[] for _ in actions]
    with tqdm(total=rounds * len(actions), desc=label, unit="turn", disable=label is None, leave=False) as bar:
        for _ in range(rounds):
            for action, own in zip(actions, seconds, strict=True):
                own.append([_seconds(action, setting.device) for _ in range(runs)][-1])
                bar.update()
    return [own[1:] for own in seconds]


def _seconds(action: Callable[[], None], device: str) -> float:
    start = time.perf_counter()
    action()
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Median of the ratios round by round."""
    return median(numerator / denominator for numerator, denominator in zip(numerators, denominators, strict=True))
