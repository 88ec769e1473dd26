"""Evaluates a run on its own test set or on other data, by that data's protocol."""

import os
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from vireid import config as configuration
from vireid.config import ExperimentConfig
from vireid.embedder import Run, build_method, load_run
from vireid.errors import InputError
from vireid.evaluation import protocols
from vireid.evaluation.evaluate import evaluate_protocol
from vireid.evaluation.protocols import Protocol
from vireid.evaluation.results import (
    RerankChoice,
    RerankName,
    Result,
    load_results,
    rerank_states,
    save_results,
)
from vireid.experiment.embedded import EmbeddedTest, embed_test
from vireid.experiment.sets import test_samples, test_sets
from vireid.models.precision import resolve_device
from vireid.sample import Direction

# What `vireid evaluate --set data.<key>=...` may change: how the test is held, not what was trained on.
PROTOCOL_KEYS = ("search", "shots", "gallery", "trial", "trials", "protocol", "size")


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
        samples = test_samples(data)
        rules = [
            protocols.build(data.options, data.name, samples, direction, mixed_gallery=mixed_gallery)
            for direction in directions
        ]
        rows += score_test(embed_test(method, data, samples, run.config), run.config, rules, reranks)
    return rows


def score_test(
    test: EmbeddedTest, config: ExperimentConfig, rules: Sequence[Protocol], reranks: Sequence[RerankName]
) -> list[Result]:
    """A row for each protocol and re-ranking state of a test set.

    Images that cannot be read are left out of queries and galleries and named in the rows.
    """
    missing = [str(path) for path, _ in test.images.unreadable]
    gone = dict(zip(np.flatnonzero(~test.images.readable).tolist(), missing, strict=True))
    return [
        evaluate_protocol(
            test.embeddings,
            protocol,
            rerank=rerank,
            device=next(test.method.parameters()).device,
            method=config.method.name,
            seed=config.train.seed,
            selection=config.evaluation.select,
            data_root=test.data.root,
            unreadable=gone,
            versions={"vireid": version("vireid"), "torch": version("torch")},
            progress=True,
        )
        for protocol in rules
        for rerank in reranks
    ]
