"""Wires data, method, loop and protocol from a config; the only file that knows them all.

A run is a folder: `config.yaml`, `checkpoint.pt`, `metrics.jsonl`, `environment.json`, `results.json`, `tensorboard/`.
"""

import json
import platform
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from vireid import config as configuration
from vireid.config import ExperimentConfig
from vireid.data.cache import DecodedImages
from vireid.embedder import Run, build_method, load_run, load_weights
from vireid.errors import InputError
from vireid.evaluation import protocols
from vireid.evaluation.evaluate import evaluate_protocol
from vireid.evaluation.extract import extract
from vireid.evaluation.results import Result, save_results
from vireid.methods.base import Method
from vireid.sample import Direction, Sample
from vireid.training import checkpoint
from vireid.training.loop import TrainingSet, launch_fabric, train


def train_run(config: ExperimentConfig, output: Path, *, device: str = "auto") -> Path:
    """Train a config from its start into a new run folder.

    Raises:
        InputError: anything about the config or the data that would fail later, before training starts.
    """
    if (output / "checkpoint.pt").exists():
        raise InputError(f"{output} already holds a run; choose another --output, or continue it with --resume {output}")
    return _train(config, output, None, device)


def resume_run(run: Path, overrides: Sequence[str] = (), *, device: str = "auto") -> Path:
    """Continue an interrupted run exactly where its checkpoint stands.

    Raises:
        InputError: there is nothing to continue, the run is finished, or its checkpoint is another method's.
    """
    config = configuration.load(run / "config.yaml", overrides)
    state = checkpoint.load(run / "checkpoint.pt")
    if state["method"] != config.method.name:
        raise InputError(
            f"{run}: the checkpoint holds method '{state['method']}', the config asks for '{config.method.name}'; "
            "start a new run instead"
        )
    if state["epoch"] >= config.train.epochs:
        raise InputError(
            f"{run} is finished ({state['epoch']} of {config.train.epochs} epochs); evaluate it, or train on with "
            f"--set train.epochs={config.train.epochs * 2}"
        )
    return _train(config, run, state, device)


def _train(config: ExperimentConfig, output: Path, resume: dict[str, Any] | None, device: str) -> Path:
    fabric = launch_fabric(device, config.train.precision)
    samples = hold_out(config.data.module.load(config.data.options), config.train.val_identities, config.train.seed)
    training = [sample for sample in samples if sample.split == "train"]
    if not training:
        raise InputError(f"{config.data.options.root} has no training images; expected split 'train' in it")
    data, identities = _training_set(training, config, fabric)
    torch.manual_seed(config.train.seed)
    method = config.method.module.build(config.method.options, len(identities))
    if resume is None and config.train.start_from is not None:
        source = load_run(config.train.start_from)
        if source.config.method.name != config.method.name:
            raise InputError(
                f"train.start_from {config.train.start_from} holds method '{source.config.method.name}', "
                f"this config trains '{config.method.name}'"
            )
        load_weights(method, source.weights, str(config.train.start_from), skip_classifier=True)
    if fabric.is_global_zero:
        output.mkdir(parents=True, exist_ok=True)
        config.save(output / "config.yaml")
        write_environment(output / "environment.json", str(fabric.device))
    metadata = {"method": config.method.name, "num_identities": len(identities), "identities": identities}
    train(
        method,
        data,
        config.train,
        config.images.augment,
        fabric,
        output,
        metadata=metadata,
        resume=resume,
        on_epoch_end=_validator(samples, config, fabric, output, metadata),
    )
    return output


def hold_out(samples: Sequence[Sample], identities: int, seed: int) -> list[Sample]:
    """Move all images of that many training identities, drawn by `seed`, to the split `val`."""
    known = sorted({sample.pid for sample in samples if sample.split == "train"})
    if identities >= len(known) and identities > 0:
        raise InputError(f"train.val_identities is {identities}, but there are {len(known)} training identities")
    held = set(np.random.default_rng(seed).permutation(known)[:identities].tolist())
    return [
        replace(sample, split="val") if sample.split == "train" and sample.pid in held else sample
        for sample in samples
    ]


def _training_set(
    training: Sequence[Sample], config: ExperimentConfig, fabric: Fabric
) -> tuple[TrainingSet, list[int]]:
    # One process decodes; the others then find the finished cache.
    with fabric.rank_zero_first():
        images = _decoded(training, config)
    if images.unreadable:
        names = "; ".join(f"{path} ({reason})" for path, reason in images.unreadable[:5])
        raise InputError(
            f"{len(images.unreadable)} of {len(training)} training images cannot be read: {names}"
            f"{' ...' if len(images.unreadable) > 5 else ''}; repair or remove them"
        )
    identities = sorted({sample.pid for sample in training})
    index = {pid: number for number, pid in enumerate(identities)}
    pids = np.array([index[sample.pid] for sample in training], np.int64)
    modalities = np.array([sample.modality for sample in training], np.int64)
    return TrainingSet(images, pids, modalities), identities


def _decoded(samples: Sequence[Sample], config: ExperimentConfig) -> DecodedImages:
    return DecodedImages.build([sample.path for sample in samples], config.images.height, config.images.width)


def _validator(
    samples: Sequence[Sample], config: ExperimentConfig, fabric: Fabric, output: Path, metadata: dict[str, Any]
) -> Callable[[Method, int], dict[str, float]] | None:
    """Rank-1 and mAP on the held-out identities, every infrared image against every visible one and the reverse."""
    held = [replace(sample, split="test") for sample in samples if sample.split == "val"]
    if not held:
        return None
    images = _decoded(held, config)
    modalities = np.array([sample.modality for sample in held], np.int64)
    best = -1.0

    def validate(method: Method, epoch: int) -> dict[str, float]:
        nonlocal best
        if epoch % config.train.val_every and epoch != config.train.epochs:
            return {}
        batch_size = config.evaluation.batch_size
        embeddings = extract(method, images, modalities, device=fabric.device, batch_size=batch_size, progress=False)
        row = {}
        for direction in Direction:
            result = evaluate_protocol(embeddings, protocols.manifest(held, direction))
            row |= {f"val/{direction}/rank1": result.mean["rank1"], f"val/{direction}/mAP": result.mean["mAP"]}
        score = sum(value for name, value in row.items() if name.endswith("mAP"))
        if config.evaluation.select == "val" and score > best:
            best = score
            state = {**metadata, "model": method.state_dict(), "epoch": epoch, "step": 0}
            checkpoint.save(output / "checkpoint_val.pt", state)
        return row

    return validate


def evaluate_run(
    run: Run,
    *,
    root: Path | None = None,
    directions: Sequence[Direction],
    reranks: Sequence[str],
    device: str = "auto",
) -> list[Result]:
    """Every trial of the run's protocol, one result per direction and re-ranking state.

    Args:
        run: from `load_run`.
        root: another place (or another test set of the same kind) than the config's `data.root`.
    """
    config = run.config if root is None else run.config.override({"data.root": str(root)})
    fabric_device = torch.device("cuda" if device == "auto" and torch.cuda.is_available() else "cpu")
    samples = [s for s in config.data.module.load(config.data.options) if s.split not in ("train", "val")]
    return evaluate_method(build_method(run), samples, config, directions, reranks, fabric_device, run.epoch)
