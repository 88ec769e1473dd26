"""Wires data, method, loop and protocol from a config; the only file that knows them all.

A run is a folder: `config.yaml`, `checkpoint.pt`, `metrics.jsonl`, `environment.json`, `results.json`, `tensorboard/`.
"""

import json
import os
import platform
import subprocess
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric

from vireid import config as configuration
from vireid.atomic import write_text
from vireid.claim import claim
from vireid.config import ExperimentConfig, Named
from vireid.data.cache import DecodedImages
from vireid.data.synthvi import find_parts
from vireid.embedder import Run, build_method, load_run, load_weights, require_run, without_download
from vireid.errors import InputError
from vireid.evaluation import protocols
from vireid.evaluation.chance import chance
from vireid.evaluation.distance import distances
from vireid.evaluation.evaluate import evaluate_protocol
from vireid.evaluation.extract import extract
from vireid.evaluation.metrics import retrieval_metrics
from vireid.evaluation.results import (
    RerankChoice,
    RerankName,
    Result,
    load_results,
    rerank_states,
    save_results,
)
from vireid.methods.base import Method
from vireid.models.precision import device_name, resolve_device
from vireid.sample import Direction, Sample
from vireid.training import checkpoint
from vireid.training.loop import TrainingSet, launch_fabric, make_sampler, train

# What `vireid evaluate --set data.<key>=...` may change: how the test is held, not what was trained on.
PROTOCOL_KEYS = ("search", "shots", "gallery", "trial", "trials", "protocol", "size")
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
        protocols.build(data.options, data.name, _test_samples(data), Direction.I2V)


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
        images = _decoded(training, config)
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


def _decoded(samples: Sequence[Sample], config: ExperimentConfig) -> DecodedImages:
    return DecodedImages.build([sample.path for sample in samples], config.images.height, config.images.width)


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
    images = _decoded(held, config)
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
        batch_size = config.evaluation.batch_size
        embeddings = extract(method, images, modalities, device=fabric.device, batch_size=batch_size, progress=False)
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


def evaluate_to_file(
    name: str,
    *,
    root: Path | None = None,
    direction: str | None = None,
    rerank: RerankChoice | None = None,
    mixed_gallery: bool = False,
    overrides: Sequence[str] = (),
    output: Path | None = None,
    device: str = "auto",
) -> list[Result]:
    """Evaluate a run and keep the rows in its `results.json`, or in `output`.

    Args:
        name: a run folder, or `default` for the shipped model.
        root: other data than the run's own. Its kind is recognised; without this the run's own test set is used.
        direction: `i2v`, `v2i` or `both`; None for the config's.
        rerank: `off`, `k-reciprocal` or `both`; None for the config's.
        mixed_gallery: visible and infrared images answer, in the place of the data set's own protocol.
        overrides: `data.<key>=value` for the keys in `PROTOCOL_KEYS`, for example `data.search=indoor`.
        output: where the rows go; rows of the same test that are already there are replaced. The shipped model is
            not written to, its rows are only returned unless `output` is given.
        device: `auto` or a torch device.
    """
    run = load_run(name)
    protocol = _protocol_changes(overrides)
    target = output or (run.path / "results.json" if name != "default" else None)
    if target is not None:
        _require_results_file(target)
    if run.epoch < run.config.train.epochs and run.config.evaluation.select == "last":
        warnings.warn(
            f"{run.path} is not trained to its end: epoch {run.epoch} of {run.config.train.epochs}", stacklevel=2
        )
    wanted = direction or run.config.evaluation.direction
    rows = evaluate_run(
        run,
        root=root,
        directions=Direction.of(wanted),
        reranks=rerank_states(rerank or run.config.evaluation.rerank),
        mixed_gallery=mixed_gallery,
        protocol=protocol,
        device=device,
    )
    if target is not None:
        save_results(target, rows)
    return rows


def _protocol_changes(overrides: Sequence[str]) -> dict[str, Any]:
    """`data.<key>=value` texts as a mapping; only what the test is may change, not what was trained."""
    changes = {}
    for override in overrides:
        key, value = configuration.parse_override(override)
        section, _, name = key.partition(".")
        if section != "data" or name not in PROTOCOL_KEYS:
            known = ", ".join(f"data.{known}" for known in PROTOCOL_KEYS)
            raise InputError(f"--set {key}: an evaluation can change {known}; the rest belongs to the run")
        changes[name] = value
    return changes


def _require_results_file(path: Path) -> None:
    """Raise `InputError` now rather than after the work if the results could not be added to this file."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a file for the results, for example {path / 'results.json'}")
    if path.exists():
        load_results(path)
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"cannot write {path}: {folder} is not a folder you may write to; choose another --output")


def evaluate_run(
    run: Run,
    *,
    root: Path | None = None,
    directions: Sequence[Direction] = tuple(Direction),
    reranks: Sequence[RerankName] = ("off",),
    mixed_gallery: bool = False,
    protocol: Mapping[str, Any] | None = None,
    device: str = "auto",
) -> list[Result]:
    """Every trial of the test set's protocol, one row per direction, re-ranking state and (SynthVI) part.

    `protocol` changes options of the data set that say how it is evaluated, for example `{"search": "indoor"}`.
    """
    method = build_method(run).to(resolve_device(device))
    rows = []
    for data in test_sets(run.config, root, protocol or {}):
        rows += evaluate_method(
            method, data, run.config, directions=directions, reranks=reranks, mixed_gallery=mixed_gallery
        )
    return rows


def embed_test(
    method: Method, data: Named, config: ExperimentConfig, device: str = "auto"
) -> tuple[list[Sample], npt.NDArray[np.float32]]:
    """The samples of a test set and their embeddings `(N, D)`."""
    samples = _test_samples(data)
    return samples, _embed(method.to(resolve_device(device)), samples, _decoded(samples, config), config)


def _test_samples(data: Named) -> list[Sample]:
    return [sample for sample in data.module.load(data.options) if sample.split not in ("train", "val")]


def _embed(
    method: Method, samples: Sequence[Sample], images: DecodedImages, config: ExperimentConfig
) -> npt.NDArray[np.float32]:
    modalities = np.array([sample.modality for sample in samples], np.int64)
    device = next(method.parameters()).device
    return extract(method, images, modalities, device=device, batch_size=config.evaluation.batch_size)


def evaluate_method(
    method: Method,
    data: Named,
    config: ExperimentConfig,
    *,
    directions: Sequence[Direction],
    reranks: Sequence[RerankName],
    mixed_gallery: bool = False,
) -> list[Result]:
    """Embed the test samples once and score every protocol on them.

    Images that cannot be read are left out of queries and galleries and named in the rows.
    """
    samples = _test_samples(data)
    rules = [
        protocols.build(data.options, data.name, samples, direction, mixed_gallery=mixed_gallery)
        for direction in directions
    ]
    images = _decoded(samples, config)
    if images.unreadable:
        names = ", ".join(str(path) for path, _ in images.unreadable[:5])
        warnings.warn(f"{len(images.unreadable)} test images cannot be read and are left out: {names}", stacklevel=2)
    missing = [str(path) for path, _ in images.unreadable]
    gone = dict(zip(np.flatnonzero(~images.readable).tolist(), missing, strict=True))
    embeddings = _embed(method, samples, images, config)
    return [
        evaluate_protocol(
            embeddings,
            protocol,
            rerank=rerank,
            method=config.method.name,
            seed=config.train.seed,
            selection=config.evaluation.select,
            data_root=data.root,
            unreadable=gone,
            versions={"vireid": version("vireid"), "torch": version("torch")},
            progress=True,
        )
        for protocol in rules
        for rerank in reranks
    ]


def test_sets(
    config: ExperimentConfig, root: Path | None = None, protocol: Mapping[str, Any] = MappingProxyType({})
) -> list[Named]:
    """The run's own test set, or the one at `root`; SynthVI with both parts is two test sets."""
    data = config.data
    if root is not None or protocol:
        kind = data.name if root is None else _require_kind(root)
        options = data.options.model_dump() if kind == data.name else {}
        options |= {} if root is None else {"root": root}
        if protocol.get("trial", options.get("trial")) != options.get("trial") and kind == data.name:
            raise InputError(
                f"--set data.trial={protocol['trial']}: the run was trained on split {options['trial']}, which holds "
                "test people of every other; train a model on that split"
            )
        data = configuration.named("data", {"name": kind, **options, **protocol})
    if root is None and getattr(data.options, "train_ids", None) == "all":
        raise InputError(f"the run was trained on every identity of {data.root}; evaluate it on others with --data")
    if data.name != "synthvi":
        return [data]
    parts = find_parts(data.options.root)
    wanted = parts if data.options.part == "all" or data.options.part not in parts else [data.options.part]
    changes = {"train_ids": "train"}
    return [replace(data, options=data.options.model_copy(update={**changes, "part": part})) for part in wanted]


def _require_kind(root: Path) -> str:
    kind = recognise(root)
    if kind is None:
        raise InputError(
            f"--data {root}: no data set found; expected visible/<pid> and infrared/<pid> or manifest.csv (your own "
            "images), cam1 to cam6 (SYSU-MM01), Visible and Thermal (RegDB), test_vis and test_nir (LLCM), or a folder "
            "of `vireid synth`"
        )
    return kind


def recognise(root: Path) -> str | None:
    """Which kind of data set lies at `root`, by its folders, even when some are missing; None for no known one.

    Raises:
        InputError: there is nothing at `root`.
    """
    if str(root) == "mini" or any((root / place / "dataset.json").is_file() for place in (".", "nir", "lwir")):
        return "synthvi"
    if not root.exists():
        raise InputError(f"--data {root} does not exist; give a data set's folder, a manifest.csv or `mini`")
    names = {path.name for path in root.iterdir()} if root.is_dir() else {"manifest.csv"}
    # A file system that ignores case finds RegDB's `Visible` as `visible`, so names are compared as they are listed.
    marks = {
        "manifest": {"manifest.csv", "visible", "infrared"},
        "sysu_mm01": {f"cam{camid}" for camid in range(1, 7)},
        "regdb": {"Visible", "Thermal"},
        "llcm": {"test_vis", "test_nir"},
    }
    return next((kind for kind, mark in marks.items() if names & mark), None)


def write_environment(path: Path, device: str) -> None:
    """Versions, commit and device of a run, for whoever wants to repeat it."""
    packages = ("vireid", "torch", "torchvision", "timm", "lightning-fabric", "numpy")
    facts = {
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
        "commit": _commit(),
        "device": device,
        "device_name": device_name(device),
        "threads": torch.get_num_threads(),
    }
    write_text(path, json.dumps(facts, indent=2) + "\n")


def _commit() -> str | None:
    """The commit of the source tree vireid runs from, `-dirty` if files of it differ; None where there is none."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
