"""Trains a config into a run folder, from its start or from where it was interrupted."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from vireid import config as configuration
from vireid.claim import claim
from vireid.config import ExperimentConfig
from vireid.data.cache import DecodedImages
from vireid.embedder import load_run, load_weights, require_run, without_download
from vireid.errors import InputError
from vireid.evaluation import protocols
from vireid.evaluation.chance import chance
from vireid.evaluation.distance import distances
from vireid.evaluation.extract import extract
from vireid.evaluation.metrics import retrieval_metrics
from vireid.experiment.environment import write_environment
from vireid.experiment.sets import decoded, test_samples, test_sets
from vireid.methods.base import Method
from vireid.sample import Direction, Sample
from vireid.training import checkpoint
from vireid.training.batches import TrainingSet
from vireid.training.loop import launch_fabric, make_sampler, train

RESUME_NEEDS = {"num_identities": int, "identities": list, "step": int, "optimizer": dict}
# What a resumed run cannot change (`data.root` it can): the rest of its steps would belong to another experiment.
FIXED = (
    "method",
    "data",
    "images.height",
    "images.width",
    *(f"train.{name}" for name in ("seed", "identities", "images_per_modality", "steps_per_epoch", "paired")),
    *(f"train.{name}" for name in ("start_from", "val_identities", "optimizer.name")),
)


def train_run(config: ExperimentConfig, output: Path, *, device: str = "auto") -> Path:
    """Train a config from its start into a new run folder.

    Raises:
        InputError: anything about the config or the data that would fail later, before training starts.
    """
    return _train(config, output, None, device)


def resume_run(run: Path, overrides: Sequence[str] = (), *, device: str = "auto") -> Path:
    """Continue an interrupted run exactly where its checkpoint stands.

    Raises:
        InputError: there is nothing to continue, the run is finished, its checkpoint is another method's, or an
            override would make another experiment of it.
    """
    require_run(run)
    if not (run / "checkpoint.pt").exists():
        raise InputError(
            f"{run} was stopped before its first checkpoint; start it again: "
            f"vireid train {run / 'config.yaml'} --output {run}"
        )
    config = configuration.load(run / "config.yaml", overrides)
    state = checkpoint.load(run / "checkpoint.pt", RESUME_NEEDS)
    _require_same_experiment(configuration.load(run / "config.yaml"), config)
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


def complete_run(config: ExperimentConfig, run: Path, *, device: str = "auto") -> Path:
    """Train a run to its end: a new one, one that was interrupted, or nothing if it is finished.

    Raises:
        InputError: as `train_run` and `resume_run`.
    """
    if not (run / "checkpoint.pt").exists():
        return train_run(config, run, device=device)
    if load_run(run).epoch < config.train.epochs:
        return resume_run(run, device=device)
    return run


def _require_same_experiment(old: ExperimentConfig, new: ExperimentConfig) -> None:
    before, after = old.flat(), new.flat()
    for key in before | after:
        fixed = key != "data.root" and any(key == part or key.startswith(f"{part}.") for part in FIXED)
        if fixed and before.get(key) != after.get(key):
            raise InputError(
                f"--set {key}={after.get(key)}: a resumed run keeps {before.get(key)}; start a new run instead"
            )


def _train(config: ExperimentConfig, output: Path, resume: dict[str, Any] | None, device: str) -> Path:
    fabric = launch_fabric(device, config.train.precision)
    with claim(output) if fabric.is_global_zero else nullcontext():
        if resume is None and fabric.is_global_zero:
            _require_no_run(output)
        _train_into(output, config, fabric, resume)
    return output


def _require_no_run(output: Path) -> None:
    if (output / "checkpoint.pt").exists():
        raise InputError(
            f"{output} already holds a run; choose another --output, or continue it with --resume {output}"
        )
    # A run that was killed before its first checkpoint is begun anew; a stranger's config.yaml is not overwritten.
    if (output / "config.yaml").exists() and not (output / "environment.json").exists():
        raise InputError(f"{output} holds a config.yaml that is no run's; choose another --output")


def _train_into(output: Path, config: ExperimentConfig, fabric: Fabric, resume: dict[str, Any] | None) -> None:
    samples = _load_samples(config)
    training = [sample for sample in samples if sample.split == "train"]
    data, identities = _training_set(training, config, fabric)
    if resume is not None and resume["identities"] != identities:
        raise InputError(
            f"{output}: the data have changed since: {len(resume['identities'])} training identities then, "
            f"{len(identities)} now; restore them, or start a new run"
        )
    method = _initial_method(config, len(identities), output, resume)
    if method.needs_masks:
        data = replace(data, masks=_masks(training, config, fabric))
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
        on_start=lambda: _write_head(output, config, str(fabric.device), fresh=resume is None),
        on_epoch_end=_validator(samples, config, fabric, output, metadata, resume),
    )


def _load_samples(config: ExperimentConfig) -> list[Sample]:
    """The data set with its held-out identities; raises `InputError` if there is nothing to train or select by."""
    samples = hold_out(config.data.module.load(config.data.options), config.train.val_identities, config.train.seed)
    if config.evaluation.select == "val" and not any(sample.split == "val" for sample in samples):
        raise InputError("evaluation.select is val, but no identity is held out: set train.val_identities")
    if not any(sample.split == "train" for sample in samples):
        raise InputError(f"{config.data.root} has no training images; expected split 'train' in it")
    return samples


def require_runnable(config: ExperimentConfig) -> None:
    """Raise `InputError` for what is known before training to fail: images, batches, the test set, the start."""
    training = [sample for sample in _load_samples(config) if sample.split == "train"]
    labels = np.array([(sample.pid, sample.modality) for sample in training], np.int64)
    make_sampler(config.train, labels[:, 0], labels[:, 1], [sample.track for sample in training])
    if config.train.start_from is not None:
        load_run(config.train.start_from)
    for data in test_sets(config):
        for direction in Direction.of(config.evaluation.direction):
            protocols.build(data.options, data.name, test_samples(data), direction)


def _initial_method(config: ExperimentConfig, identities: int, output: Path, resume: dict[str, Any] | None) -> Method:
    """The network with the weights that training begins from."""
    start = config.train.start_from
    options = config.method.options
    torch.manual_seed(config.train.seed)
    method: Method = config.method.module.build(
        options if resume is None and start is None else without_download(options), identities
    )
    if method.needs_start and start is None:
        raise InputError(
            f"a part of method {config.method.name} is not to be trained, and train.start_from is not set, so nobody "
            f"teaches it: set train.start_from, for example to default, or {method.needs_start}"
        )
    method.start_epoch(0, config.train.epochs)  # refuses epochs that do not fit before anything is written
    if resume is not None:
        load_weights(method, resume["model"], str(output / "checkpoint.pt"), skip_classifier=False)
    elif start is not None:
        source = load_run(start)
        if source.config.method.name != config.method.name:
            raise InputError(
                f"train.start_from {start} holds method '{source.config.method.name}', "
                f"this config trains '{config.method.name}'"
            )
        load_weights(method, source.weights, str(start), skip_classifier=True)
    return method


def _write_head(output: Path, config: ExperimentConfig, device: str, *, fresh: bool) -> None:
    """What a run folder holds before the first step."""
    if fresh:
        # Of a run that was killed before its first checkpoint.
        (output / "checkpoint_val.pt").unlink(missing_ok=True)
    config.save(output / "config.yaml")
    write_environment(output / "environment.json", device)


def hold_out(samples: Sequence[Sample], identities: int, seed: int) -> list[Sample]:
    """Move all images of that many training identities, drawn by `seed`, to the split `val`."""
    known = sorted({sample.pid for sample in samples if sample.split == "train"})
    if identities >= len(known) and identities > 0:
        raise InputError(f"train.val_identities is {identities}, but there are {len(known)} training identities")
    held = set(np.random.default_rng(seed).permutation(known)[:identities].tolist())
    return [
        replace(sample, split="val") if sample.split == "train" and sample.pid in held else sample for sample in samples
    ]


def _training_set(
    training: Sequence[Sample], config: ExperimentConfig, fabric: Fabric
) -> tuple[TrainingSet, list[int]]:
    # One process decodes; the others then find the finished cache.
    with fabric.rank_zero_first():
        images = decoded(training, config)
    _require_readable(images, "training")
    identities = sorted({sample.pid for sample in training})
    index = {pid: number for number, pid in enumerate(identities)}
    pids = np.array([index[sample.pid] for sample in training], np.int64)
    modalities = np.array([sample.modality for sample in training], np.int64)
    return TrainingSet(images, pids, modalities, [sample.track for sample in training]), identities


def _masks(training: Sequence[Sample], config: ExperimentConfig, fabric: Fabric) -> DecodedImages:
    """The silhouettes of the training images; raises `InputError` if one is missing."""
    paths = [sample.mask for sample in training if sample.mask is not None]
    if len(paths) < len(training):
        raise InputError(
            f"method {config.method.name} is to learn from silhouettes, and {config.data.root} has them for "
            f"{len(paths)} of {len(training)} training images; render SynthVI with --masks, or set "
            "method.foreground.enabled to false, or its weight to 0 and train.start_from to a run that has learned"
        )
    with fabric.rank_zero_first():
        masks = DecodedImages.build(paths, config.images.height, config.images.width)
    _require_readable(masks, "silhouettes of the training")
    return masks


def _require_readable(images: DecodedImages, what: str) -> None:
    if images.unreadable:
        names = "; ".join(f"{path} ({reason})" for path, reason in images.unreadable[:5])
        raise InputError(
            f"{len(images.unreadable)} of {len(images)} {what} images cannot be read: {names}"
            f"{' ...' if len(images.unreadable) > 5 else ''}; repair or remove them"
        )


def _validator(
    samples: Sequence[Sample],
    config: ExperimentConfig,
    fabric: Fabric,
    output: Path,
    metadata: dict[str, Any],
    resume: dict[str, Any] | None,
) -> Callable[[Method, int], dict[str, float]] | None:
    """Rank-1 and mAP on the held-out identities, every infrared image against every visible one and the reverse."""
    held = [replace(sample, split="test") for sample in samples if sample.split == "val"]
    if not held or not fabric.is_global_zero:
        return None
    rules = {direction: protocols.manifest(held, direction, dataset="held-out identities") for direction in Direction}
    for protocol in rules.values():
        chance(protocol)  # says so now if no query has a match
    images = decoded(held, config)
    _require_readable(images, "held-out")
    modalities = np.array([sample.modality for sample in held], np.int64)
    pids = np.array([sample.pid for sample in held], np.int64)
    kept = output / "checkpoint_val.pt"
    best = -1.0
    if resume is not None and kept.exists():
        state = checkpoint.load(kept, {"score": float})
        # A later epoch than the one to go on from will come again.
        best = state["score"] if state["epoch"] <= resume["epoch"] else best

    def validate(method: Method, epoch: int) -> dict[str, float]:
        nonlocal best
        if epoch % config.train.val_every and epoch != config.train.epochs:
            return {}
        embeddings = extract(
            method,
            images,
            modalities,
            device=fabric.device,
            batch_size=config.evaluation.batch_size,
            precision=config.evaluation.precision,
            progress=False,
        )
        row: dict[str, float] = {}
        for direction in Direction:
            trial = rules[direction].trials[0]
            queries, gallery = embeddings[trial.query], embeddings[trial.gallery]
            scores = retrieval_metrics(distances(queries, gallery), pids[trial.query], pids[trial.gallery])
            row |= {f"val/{direction}/rank1": scores.rank(1), f"val/{direction}/mAP": scores.mean_ap}
        score = sum(value for name, value in row.items() if name.endswith("mAP"))
        if config.evaluation.select == "val" and score > best:
            best = score
            state = {**metadata, "model": method.state_dict(), "epoch": epoch, "step": 0, "score": score}
            checkpoint.save(kept, state)
        return row

    return validate
