"""How far the run in a folder has come, read from its files alone."""

import json
from pathlib import Path
from typing import Any, Literal

from vireid import config as configuration
from vireid.ablation.sweep import PlannedRun
from vireid.errors import InputError
from vireid.evaluation.results import Result, load_results, rerank_states
from vireid.sample import Direction
from vireid.training import checkpoint

State = Literal["new", "begun", "trained", "done", "failed"]
FAILURE = "failed.txt"
# Where the data lie and how fast they are scored says nothing about what was trained.
FREE = ("data.root", "evaluation.direction", "evaluation.rerank", "evaluation.batch_size")


def run_state(run: PlannedRun, folder: Path) -> State:
    """`done` means trained to the last epoch and evaluated in every wanted direction and re-ranking state."""
    if (folder / FAILURE).exists():
        return "failed"
    if not (folder / "config.yaml").exists():
        return "new"
    logged = len(epochs_logged(folder))
    # The log is asked first: a checkpoint is hundreds of megabytes, or deleted on purpose.
    if logged >= run.config.train.epochs and _has_wanted_rows(run, folder):
        return "done"
    if not (folder / "checkpoint.pt").exists():
        return "new"
    epoch = checkpoint.load(folder / "checkpoint.pt")["epoch"]
    return "trained" if epoch >= run.config.train.epochs else "begun"


def require_same_config(run: PlannedRun, folder: Path) -> None:
    """Raise `InputError` if the folder holds a run of another config than the sweep file now gives."""
    path = folder / "config.yaml"
    if not path.exists():
        return
    old, new = configuration.load(path).flat(), run.config.flat()
    for key in old | new:
        if key not in FREE and old.get(key) != new.get(key):
            raise InputError(
                f"{folder} was trained with {key} {old.get(key)!r}, the sweep now asks for {new.get(key)!r}; "
                "choose another --output, or delete that folder to train it anew"
            )


def own_results(folder: Path) -> list[Result]:
    """The rows of a run on its own test set, not those of `vireid evaluate --data`."""
    if not (folder / "results.json").exists():
        return []
    root = configuration.load(folder / "config.yaml").data.root
    return [row for row in load_results(folder / "results.json") if row.data_root == root]


def epochs_logged(folder: Path) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl`, one an epoch; a line that a killed process wrote half is left out."""
    path = folder / "metrics.jsonl"
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def _has_wanted_rows(run: PlannedRun, folder: Path) -> bool:
    asked = run.config.evaluation
    directions = list(Direction) if asked.direction == "both" else [Direction(asked.direction)]
    found = {(row.direction, row.rerank) for row in own_results(folder)}
    return all((direction, rerank) in found for direction in directions for rerank in rerank_states(asked.rerank))
