"""The training loop.

Every step draws its randomness from (seed, epoch, step, rank) and the learning rate is a function of the epoch and the
step, so a checkpoint needs no generator or scheduler state and on a CPU, with as many threads, a resumed run equals an
uninterrupted one bit for bit. (A GPU may add up in another order from run to run.)
"""

import json
import logging
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from vireid.atomic import write_text
from vireid.data.augment import AugmentConfig
from vireid.data.samplers import CrossModalPKSampler
from vireid.errors import InputError, Stopped
from vireid.methods.base import Method
from vireid.models.precision import AnyPrecision, resolve_device, resolve_precision
from vireid.sample import Batch
from vireid.training import checkpoint
from vireid.training.batches import TrainingSet, batches
from vireid.training.guard import LossGuard
from vireid.training.memory import keep_freed_memory
from vireid.training.optim import OptimizerConfig, ScheduleConfig, build_optimizer, set_learning_rate


class TrainConfig(BaseModel):
    """The training section of a config. Batches hold `identities` x `images_per_modality` images per modality."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(80, ge=1)
    steps_per_epoch: int | None = Field(None, ge=1, description="null: once through the larger modality")
    identities: int = Field(8, ge=2)
    images_per_modality: int = Field(4, ge=1, le=256)
    paired: float = Field(0.0, ge=0, le=1, description="share of identities drawn as pairs of one track")
    seed: int = Field(0, ge=0, lt=2**63)
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    precision: AnyPrecision = "auto"
    channels_last: bool = True
    clip_grad_norm: float | None = Field(None, gt=0)
    checkpoint_every: int = Field(5, ge=1)
    start_from: str | None = Field(None, description="a run folder, a checkpoint or `default`; null: method.weights")
    val_identities: int = Field(0, ge=0, description="training identities held out to watch (and select) by")
    val_every: int = Field(5, ge=1)


class Interrupted(Stopped):
    """Training was stopped by a signal after it wrote its checkpoint."""


def launch_fabric(device: str, precision: AnyPrecision) -> Fabric:
    """Fabric on `device` (`auto`, `cpu`, `cuda`, `cuda:1`); several processes when started by torchrun.

    `auto` precision is bf16 where the device computes in it, 32 bits elsewhere.
    """
    place = resolve_device(device)
    accelerator = place.type
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    devices: int | list[int] = processes if place.index is None else [place.index]
    nodes = int(os.environ.get("WORLD_SIZE", "1")) // processes
    chosen = resolve_precision(precision, accelerator)
    # Its remarks on precision would stand before every error message.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # In a stage of a method, or where a loss has a factor of 0, parameters may rest without a gradient.
    strategy = "ddp_find_unused_parameters_true" if processes * nodes > 1 else "auto"
    fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, precision=chosen, strategy=strategy)
    fabric.launch()
    return fabric


def train(
    method: Method,
    data: TrainingSet,
    config: TrainConfig,
    augmentation: AugmentConfig,
    fabric: Fabric,
    run: Path,
    *,
    metadata: dict[str, Any],
    resume: dict[str, Any] | None = None,
    on_start: Callable[[], None] | None = None,
    on_epoch_end: Callable[[Method, int], dict[str, float]] | None = None,
) -> None:
    """Train until `config.epochs`, writing `checkpoint.pt`, `metrics.jsonl` and `tensorboard/` into `run`.

    Args:
        method: the network, on any device; on return it holds the trained weights.
        data: training images; one process of several reads its own share.
        config: the train section.
        augmentation: what is done to the images of each batch, on the training device.
        fabric: from `launch_fabric`.
        run: an existing folder.
        metadata: plain values kept in the checkpoint beside the weights (method name, identities, config).
        resume: a loaded checkpoint to go on from.
        on_start: called on rank 0 when everything has been checked, before anything is written.
        on_epoch_end: called on rank 0 after each epoch with the method and the number of finished epochs; what it
            returns is logged.

    Raises:
        InputError: the sampler or the checkpoint does not fit.
        Interrupted: on Ctrl-C or SIGTERM, after a checkpoint of the last whole step was written.
        TrainingDiverged: a loss is not finite.
    """
    method = method.to(memory_format=torch.channels_last if config.channels_last else torch.contiguous_format)
    optimizer = build_optimizer(method, config.optimizer)
    if fabric.device.type == "cpu":
        keep_freed_memory()
    first_epoch, first_step = 0, 0
    sums = defaultdict[str, float](float)
    if resume is not None:
        method.load_state_dict(resume["model"])
        first_epoch, first_step = resume["epoch"], resume["step"]
        sums.update(resume.get("sums", {}))
    wrapped, wrapped_optimizer = fabric.setup(method, optimizer)
    if resume is not None:
        _load_optimizer(optimizer, resume["optimizer"])
    ranks = (fabric.global_rank, fabric.world_size)
    sampler = make_sampler(config, data.pids, data.modalities, data.tracks, *ranks)

    def save(epoch: int, step: int) -> None:
        if fabric.is_global_zero:
            state = {"model": method.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch, "step": step}
            checkpoint.save(run / "checkpoint.pt", {**metadata, **state, "sums": dict(sums)})

    if on_start is not None and fabric.is_global_zero:
        on_start()
    guard = LossGuard()
    log = _Log(run, enabled=fabric.is_global_zero, keep_epochs=first_epoch)
    steps = len(sampler)
    done = first_epoch * steps + first_step
    bar = tqdm(total=config.epochs * steps, initial=done, unit="step", desc="train", disable=not fabric.is_global_zero)
    with _stop_signals() as stop, bar:
        for epoch in range(first_epoch, config.epochs):
            wrapped.train()
            stage = method.start_epoch(epoch, config.epochs)
            where_now = f"epoch {epoch + 1}/{config.epochs}" + (f" {stage}" if stage else "")
            sampler.set_epoch(epoch)
            started = time.perf_counter()
            drawn = islice(enumerate(sampler), first_step, None)
            made = batches(
                data, drawn, augmentation, fabric.device, seed=config.seed, epoch=epoch, rank=fabric.global_rank
            )
            for step, batch in made:
                rate = config.optimizer.lr * config.schedule.scale(epoch, config.epochs, step / steps)
                set_learning_rate(optimizer, rate)
                values = _gradients(fabric, wrapped, wrapped_optimizer, batch, config.clip_grad_norm)
                guard.check(values, f"epoch {epoch + 1}, step {step + 1}")
                wrapped_optimizer.step()
                for name, value in values.items():
                    sums[name] += value
                bar.update()
                shown = " ".join(f"{name} {value:.3f}" for name, value in values.items())
                bar.set_postfix_str(f"{where_now} {shown}")
                if step + 1 < steps and _any_rank(fabric, stop.is_set()):
                    save(epoch, step + 1)
                    where = f"stopped in epoch {epoch + 1} after step {step + 1} of {steps}"
                    raise Interrupted(f"{where}; go on with: vireid train --resume {run}")
            guard.check_weights(method, f"epoch {epoch + 1}")
            trained = steps - first_step
            seconds = time.perf_counter() - started
            images = trained * config.identities * config.images_per_modality * 2 * fabric.world_size
            row: dict[str, Any] = {"stage": stage} if stage else {}
            row |= {f"loss/{name}": value / steps for name, value in sums.items()}
            sums.clear()
            row |= {"lr": rate, "seconds": seconds, "images_per_second": images / seconds, **method.notes()}
            first_step = 0
            last = epoch + 1 == config.epochs
            if on_epoch_end is not None and fabric.is_global_zero:
                row |= on_epoch_end(method, epoch + 1)
            log.write(epoch + 1, row)
            stopped = _any_rank(fabric, stop.is_set()) and not last
            if last or stopped or (epoch + 1) % config.checkpoint_every == 0:
                save(epoch + 1, 0)
            fabric.barrier()
            if stopped:
                where = f"stopped after epoch {epoch + 1} of {config.epochs}"
                raise Interrupted(f"{where}; go on with: vireid train --resume {run}")
    log.close()


def make_sampler(
    config: TrainConfig,
    pids: np.ndarray,
    modalities: np.ndarray,
    tracks: Sequence[str],
    rank: int = 0,
    world_size: int = 1,
) -> CrossModalPKSampler:
    """The sampler of a train section for images with `pids (N,)`, `modalities (N,)` and `tracks (N,)`."""
    return CrossModalPKSampler(
        pids,
        modalities,
        identities=config.identities,
        images_per_modality=config.images_per_modality,
        seed=config.seed,
        rank=rank,
        world_size=world_size,
        steps=config.steps_per_epoch,
        tracks=tracks,
        paired=config.paired,
    )


def _load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    try:
        optimizer.load_state_dict(state)
    except (ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"the checkpoint's optimizer state does not fit ({reason}); train the run anew") from None


def _gradients(
    fabric: Fabric, method: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, clip: float | None
) -> dict[str, float]:
    """Forward and backward; returns the losses by name and leaves the (clipped) gradients of their sum."""
    losses: dict[str, torch.Tensor] = method(batch)
    values = torch.stack(list(losses.values()))
    optimizer.zero_grad(set_to_none=True)
    fabric.backward(values.sum())
    if clip is not None:
        fabric.clip_gradients(method, optimizer, max_norm=clip)
    return dict(zip(losses, values.tolist(), strict=True))  # one wait for the device, whatever the number of losses


def _any_rank(fabric: Fabric, stopped: bool) -> bool:
    if fabric.world_size == 1:
        return stopped
    votes = fabric.all_reduce(torch.tensor(float(stopped), device=fabric.device), reduce_op="sum")
    return bool(torch.as_tensor(votes) > 0)


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """The first Ctrl-C or SIGTERM asks the loop to stop after the step; a second one acts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, previous[signal.Signals(number)])

    for number in previous:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Log:
    """`metrics.jsonl`, one line an epoch, and tensorboard; a resumed run drops the lines it will write again."""

    def __init__(self, run: Path, enabled: bool, keep_epochs: int) -> None:
        self.path = run / "metrics.jsonl"
        self.board = SummaryWriter(run / "tensorboard") if enabled else None
        if enabled:
            old = self.path.read_text(errors="replace").splitlines() if keep_epochs and self.path.exists() else []
            kept = [line for line in old if 0 < _epoch_of(line) <= keep_epochs]
            write_text(self.path, "".join(line + "\n" for line in kept))

    def write(self, epoch: int, row: dict[str, Any]) -> None:
        if self.board is None:
            return
        with self.path.open("a") as file:
            file.write(json.dumps({"epoch": epoch, **row}) + "\n")
        for name, value in row.items():
            if isinstance(value, int | float):
                self.board.add_scalar(name, value, epoch)
        self.board.flush()

    def close(self) -> None:
        if self.board is not None:
            self.board.close()


def _epoch_of(line: str) -> int:
    """The epoch of a line of the log; 0 for one that a killed process wrote half."""
    try:
        return int(json.loads(line)["epoch"])
    except (ValueError, KeyError, TypeError):
        return 0
