"""How far the run in a folder has come, read from its files alone."""

import json
from itertools import product
from pathlib import Path
from typing import Any, Literal

import yaml

from vireid import config as configuration
from vireid.ablation.sweep import SCORING, PlannedRun
from vireid.config import ExperimentConfig
from vireid.errors import InputError
from vireid.evaluation.results import Result, load_results, rerank_states
from vireid.sample import Direction
from vireid.training import checkpoint

State = Literal["new", "begun", "trained", "done", "failed"]
FAILURE = "failed.txt"
# The rows that the sweep asked for; `results.json` also takes those of an evaluation by hand, under other protocols.
OWN_RESULTS = "results-ablation.json"


def run_state(run: PlannedRun, folder: Path) -> State:
    """`done` means trained to the last epoch and evaluated in every wanted direction and re-ranking state.

    Raises:
        InputError: a file is damaged, or the weights were deleted and other scores are wanted now.
    """
    if (folder / FAILURE).exists():
        return "failed"
    if not (folder / "config.yaml").exists():
        return "new"
    # The scores are asked first: a checkpoint is hundreds of megabytes, or deleted on purpose.
    if _has_wanted_rows(run, folder):
        return "done"
    if not (folder / "checkpoint.pt").exists():
        if own_results(folder) or len(epochs_logged(folder)) >= run.config.train.epochs:
            raise InputError("it is trained, but its weights were deleted, and other scores are wanted now")
        return "new"
    epoch = checkpoint.load(folder / "checkpoint.pt")["epoch"]
    return "trained" if epoch >= run.config.train.epochs else "begun"


def require_same_config(run: PlannedRun, folder: Path) -> None:
    """Raise `InputError` if the folder holds a run of another config than the sweep file now gives."""
    path = folder / "config.yaml"
    if not path.exists():
        return
    old, new = _load_whole(path).flat(), run.config.flat()
    for key in old | new:
        if key not in SCORING and old.get(key) != new.get(key):
            moved = f", or, if the same images lie there now, change {path}" if key == "data.root" else ""
            raise InputError(
                f"{folder} was trained with {key} {old.get(key)!r}, the sweep now asks for {new.get(key)!r}; "
                f"choose another --output, or delete that folder to train it anew{moved}"
            )


def _load_whole(path: Path) -> ExperimentConfig:
    """A config in which every section stands, as vireid writes it."""
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8", errors="replace"))
        if not isinstance(plain, dict) or set(plain) != set(ExperimentConfig.__dataclass_fields__):
            raise InputError("sections are missing")
        return configuration.from_dict(plain)
    except (yaml.YAMLError, InputError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is damaged ({reason}); delete {path.parent} to train it anew") from None


def own_results(folder: Path) -> list[Result]:
    """The rows that the sweep asked for."""
    return load_results(folder / OWN_RESULTS) if (folder / OWN_RESULTS).exists() else []


def epochs_logged(folder: Path) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl`, one an epoch; a line that a killed process wrote half is left out."""
    path = folder / "metrics.jsonl"
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def _has_wanted_rows(run: PlannedRun, folder: Path) -> bool:
    asked = run.config.evaluation
    found = {(row.direction, row.rerank) for row in own_results(folder)}
    return found.issuperset(product(Direction.of(asked.direction), rerank_states(asked.rerank)))
