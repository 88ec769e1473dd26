"""Seconds of a training step on the CPU: `python benchmarks/training_speed.py --output FILE.json`.

For a ResNet-50 at 288x144 (`baseline`, last stride 1) and a ViT-B at 256x128 (`cm_dasn`), with random weights and
IMAGES images a step: a plain script (32 bits, PyTorch defaults), and the step as vireid computes it, in processes of
their own. Then what the training loop adds to a step: the same loop with a network that does nothing, so that only
reading and augmenting images and the loop's own work are left.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from timing import in_child, rates, run
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from vireid import config as configuration
from vireid.config import ExperimentConfig
from vireid.costs.macs import count_macs
from vireid.data.cache import DecodedImages
from vireid.methods.base import Method
from vireid.models.precision import fastest_precision
from vireid.sample import Batch
from vireid.training.batches import TrainingSet
from vireid.training.loop import TrainConfig, launch_fabric, train
from vireid.training.memory import keep_freed_memory
from vireid.training.optim import OptimizerConfig, build_optimizer

CONFIGS = Path(__file__).parents[1] / "configs"
CASES = {"ResNet-50, 288x144": "baseline", "ViT-B, 256x128": "cm_dasn"}
IDENTITIES, LOOP_STEPS = 395, 30


def load(method: str) -> ExperimentConfig:
    """A method's settings for SYSU-MM01, without a download."""
    return configuration.load(CONFIGS / f"{method}_sysu_mm01.yaml", ["method.weights=none"])


def build(config: ExperimentConfig) -> Method:
    """The network, past its warm-up stages."""
    torch.manual_seed(0)
    method: Method = config.method.module.build(config.method.options, IDENTITIES)
    method.train()
    method.start_epoch(config.train.epochs - 1, config.train.epochs)
    return method


def batch_of(config: ExperimentConfig, images: int) -> Batch:
    """Random images, four of each person and modality."""
    half = images // 2
    pixels = torch.randn(images, 3, config.images.height, config.images.width)
    return Batch(pixels, (torch.arange(half) // 4).repeat(2), torch.arange(images) // half, None)


def plain_steps(name: str, images: int, steps: int) -> list[float]:
    """Seconds of steps as a plain script takes them, after one that does not count."""
    config = load(name)
    method, batch = build(config), batch_of(config, images)
    optimizer = torch.optim.SGD(method.parameters(), lr=1e-6, momentum=0.9, weight_decay=5e-4, nesterov=True)
    seconds = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        loss = torch.stack(list(method(batch).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - started)
    return seconds[1:]


def tuned_steps(name: str, images: int, steps: int) -> dict[str, Any]:
    """Seconds of steps as vireid takes them, after two that do not count, and where the time of one more goes."""
    config = load(name)
    keep_freed_memory()
    method, batch = build(config).to(memory_format=torch.channels_last), batch_of(config, images)
    optimizer = build_optimizer(method, OptimizerConfig(lr=1e-6))
    bf16 = fastest_precision("cpu") == "bf16-mixed"

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            values = torch.stack(list(method(batch).values()))
        optimizer.zero_grad(set_to_none=True)
        values.sum().backward()
        optimizer.step()

    seconds = []
    for _ in range(steps + 2):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    with profile(activities=[ProfilerActivity.CPU]) as found:
        step()
    own = {each.key.removeprefix("aten::"): each.self_cpu_time_total for each in found.key_averages()}
    largest = sorted(own, key=lambda key: -own[key])[:8]
    return {"seconds": seconds[2:], "where": {key: own[key] / sum(own.values()) for key in largest}}


class Nothing(Method):
    """A network that only looks at one pixel of each image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One loss."""
        return {"loss": (self.weight * batch.images[:, 0, 0, 0]).mean()}

    def embed(self, images: Tensor, modalities: Tensor) -> Tensor:
        """One number each."""
        return images[:, 0, 0, :1]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The weight."""
        return [{"params": [self.weight], "lr_scale": 1.0}]


def loop_alone(name: str, images: int) -> float:
    """Seconds a step of the training loop takes with a network that does nothing; without its checkpoints' size."""
    config = load(name)
    height, width = config.images.height, config.images.width
    count = 40 * images
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, height, width), np.uint8)
    data = TrainingSet(
        DecodedImages(pixels, [], np.ones(count, bool)), np.arange(count) // 2 // 10, np.arange(count) % 2
    )
    settings = TrainConfig(
        epochs=3, steps_per_epoch=LOOP_STEPS, identities=images // 8, images_per_modality=4, checkpoint_every=1
    )
    ends: list[float] = []
    with TemporaryDirectory() as folder:
        train(
            Nothing(),
            data,
            settings,
            config.images.augment,
            launch_fabric("cpu", "auto"),
            Path(folder),
            metadata={},
            on_epoch_end=lambda method, epoch: ends.append(time.perf_counter()) or {},
        )
    return (ends[-1] - ends[0]) / (LOOP_STEPS * (len(ends) - 1))


def measure(images: int = 64, steps: int = 3) -> dict[str, Any]:
    """Both networks."""
    report: dict[str, Any] = {"images": images, "rates": rates(), "precision": fastest_precision("cpu"), "rows": {}}
    for title, name in CASES.items():
        config = load(name)
        found, peak = in_child(tuned_steps, name, images, steps)
        slow, plain_peak = in_child(plain_steps, name, images, steps, as_command=False)
        alone, _ = in_child(loop_alone, name, images)
        fast = float(np.median(found["seconds"]))
        macs = count_macs(build(config).eval(), config.images.height, config.images.width)
        report["rows"][title] = {
            "method": name,
            "seconds": {"plain": float(np.median(slow)), "vireid": fast},
            "plain over vireid": float(np.median(slow)) / fast,
            "peak, GB": {"plain": plain_peak, "vireid": peak},
            "loop alone": alone,
            "loop over step": alone / fast,
            # Two operations a multiply-add; the backward pass takes twice the forward pass.
            "operations": 3 * 2 * macs * images / 2,
            "where": found["where"],
        }
    return report


if __name__ == "__main__":
    run(measure)
