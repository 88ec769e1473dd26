"""Runs a sweep: trains and evaluates what is missing and keeps the table up to date after every run."""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vireid.ablation.report import write
from vireid.ablation.state import FAILURE, OWN_RESULTS, State, own_results, require_same_config, run_state
from vireid.ablation.sweep import SEED, PlannedRun, Sweep, load_sweep, portable
from vireid.atomic import write_text
from vireid.claim import claim
from vireid.errors import InputError
from vireid.evaluation.results import save_results
from vireid.experiment.evaluate import evaluate_to_file
from vireid.experiment.train import require_runnable, resume_run, train_run
from vireid.training.guard import TrainingDiverged
from vireid.training.loop import Interrupted


def run_sweep(
    path: Path, overrides: Sequence[str] = (), output: Path | None = None, *, device: str = "auto"
) -> dict[str, Any]:
    """Train and evaluate every run of a sweep file that is not finished yet; returns what `ablation.json` holds.

    Args:
        path: the sweep file.
        overrides: `key=value` changes of every run.
        output: the folder for all runs and the table; default `runs/<name of the sweep file>`.
        device: `auto` or a torch device.

    Raises:
        InputError: the sweep is wrong or its folder holds other runs; nothing has been trained then. Or a run cannot
            start, for example for want of images.
        Interrupted: on Ctrl-C; the same call goes on.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("vireid ablate runs in one process, but torchrun started several; start it without torchrun")
    sweep = load_sweep(path, overrides)
    output = output if output is not None else Path("runs") / path.stem
    _require_own_table(sweep, output)
    with claim(output):
        states = _check(sweep, output)
        write(sweep, output)
        _run_all(sweep, states, output, device)
        ablation = write(sweep, output)
    _say(f"table, data and chart: {output / 'ablation.md'}, .json, .png and .svg")
    return ablation


def _require_own_table(sweep: Sweep, output: Path) -> None:
    """Raise `InputError` if the folder belongs to another sweep, whose table would be lost."""
    try:
        there = json.loads((output / "ablation.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # none, or one that is of no use to anybody
    if isinstance(there, dict) and (there.get("sweep"), there.get("base")) != (sweep.path.name, portable(sweep.base)):
        raise InputError(
            f"{output} holds the table of the sweep {there.get('sweep')} (base {there.get('base')}); choose another "
            "--output"
        )


def _check(sweep: Sweep, output: Path) -> list[State]:
    """The state of every run, once nothing stands in the way of any of them."""
    for run in sweep.runs:
        require_same_config(run, output / run.folder)
    states = []
    for run in sweep.runs:
        try:
            states.append(run_state(run, output / run.folder))
        except InputError as error:
            raise InputError(f"{run.label}: {error}; delete {output / run.folder} to train it anew") from None
    checked = set()
    for run, state in zip(sweep.runs, states, strict=True):
        # Says now what is missing, not after hours of other rows; rows that read the same images need one look.
        sections = {key: value for key, value in run.trained().items() if not key.startswith(("method.", "images."))}
        sections.pop(SEED)
        if state not in ("done", "failed") and repr(sections) not in checked:
            checked.add(repr(sections))
            try:
                require_runnable(run.config)
            except InputError as error:
                raise InputError(f"{run.label}: {error}") from None
    return states


def _run_all(sweep: Sweep, states: Sequence[State], output: Path, device: str) -> None:
    todo = [number for number, state in enumerate(states) if state not in ("done", "failed")]
    if len(todo) < len(states):
        _say(f"{len(states) - len(todo)} of {len(states)} runs are finished already")
    seconds: list[float] = []
    for position, number in enumerate(todo):
        run = sweep.runs[number]
        _say(f"run {number + 1} of {len(states)}: {run.label}{_time_left(seconds, len(todo) - position)}")
        started = time.perf_counter()
        try:
            _finish(run, states[number], output / run.folder, device)
        except (Interrupted, KeyboardInterrupt):
            raise Interrupted(
                f"stopped in run {number + 1} of {len(states)} ({run.label}); the same command goes on from there; "
                f"the table so far is {output / 'ablation.md'}"
            ) from None
        except InputError as error:
            raise InputError(f"{run.label}: {error}") from None
        if states[number] == "new":
            seconds.append(time.perf_counter() - started)
        if not sweep.keep_checkpoints and own_results(output / run.folder):
            for name in ("checkpoint.pt", "checkpoint_val.pt"):
                (output / run.folder / name).unlink(missing_ok=True)
        write(sweep, output)


def _finish(run: PlannedRun, state: State, folder: Path, device: str) -> None:
    """Whatever is left of a run: training, the rest of it, the evaluation."""
    if state != "new":
        run.config.save(folder / "config.yaml")  # other directions may be wanted now; nothing else differs
    try:
        if state in ("new", "begun"):
            for name in ("results.json", OWN_RESULTS):
                (folder / name).unlink(missing_ok=True)  # of earlier weights
        if state == "new":
            train_run(run.config, folder, device=device)
        elif state == "begun":
            resume_run(folder, device=device)
    except TrainingDiverged as error:
        _say(f"{run.label} failed: {error}")
        write_text(folder / FAILURE, f"{error}\n")
        return
    save_results(folder / OWN_RESULTS, evaluate_to_file(str(folder), device=device))


def _time_left(seconds: Sequence[float], runs: int) -> str:
    """From the runs that this call did from start to end."""
    if not seconds:
        return ""
    minutes = sum(seconds) / len(seconds) * runs / 60
    text = f"{minutes / 60:.1f} h" if minutes >= 90 else f"{max(round(minutes), 1)} min"
    return f" (about {text} left)"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
