"""Runs side by side: their names, their test sets, and which queries and people are shown.

Shapes: N samples, Q queries.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vireid.embedder import Run, build_method, load_run
from vireid.errors import InputError
from vireid.evaluation.metrics import query_scores
from vireid.experiment.embedded import EmbeddedTest, Search, embed_test, name_of, require_same_images
from vireid.experiment.sets import test_samples, test_sets
from vireid.models.precision import resolve_device
from vireid.sample import Modality

Choice = Literal["random", "best", "worst"]
Runs = dict[str, Run]
Tests = dict[str, EmbeddedTest]  # one test set, by the names of the runs that embedded it


def open_runs(folders: Sequence[str]) -> Runs:
    """Runs by the end of their paths, of as many folders as it takes to tell them apart.

    Raises:
        InputError: a run is given twice, is missing or is damaged.
    """
    places = [Path(folder) if folder == "default" else Path(folder).resolve() for folder in folders]
    if len(set(places)) < len(places):
        raise InputError(f"a run stands there twice: {' '.join(folders)}; name each once")
    longest = max(len(place.parts) for place in places)
    endings = ([Path(*place.parts[-length:]).as_posix() for place in places] for length in range(1, longest + 1))
    names = next(each for each in endings if len(set(each)) == len(places))
    return {name: load_run(folder) for name, folder in zip(names, folders, strict=True)}


def read_log(run: Run) -> list[dict[str, Any]]:
    """The lines of a run's `metrics.jsonl`.

    Raises:
        InputError: there is none, as of the shipped model, or a line is damaged.
    """
    path = run.path / "metrics.jsonl"
    if not path.is_file():
        raise InputError(f"{run.path} has no metrics.jsonl, so nothing is known of its training; give a trained run")
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError:
        raise InputError(f"{path} is damaged: a line is not JSON; remove that line") from None
    for number, row in enumerate(rows, start=1):
        fault = _fault(row)
        if fault:
            raise InputError(f"{path}, line {number}: {fault}; remove that line")
    return rows


def _fault(row: Any) -> str:
    """What keeps a line of the log from being drawn; empty if nothing does."""
    if not isinstance(row, dict) or not _is_number(row.get("epoch")):
        return f"got {str(row)[:40]}, expected an object with the number of an epoch"
    if not isinstance(row.get("stage", ""), str):
        return f"stage is {row['stage']!r}, expected a word"
    for name, value in row.items():
        if name.startswith(("loss/", "val/", "lr")) and not _is_number(value):
            return f"{name} is {str(value)[:40]!r}, expected a number"
        if name.startswith("heads/") and not (isinstance(value, list) and value and all(map(_is_number, value))):
            return f"{name} is {str(value)[:40]!r}, expected a list of numbers"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def embed_all(runs: Runs, *, root: Path | None, device: str) -> list[Tests]:
    """For each test set that all runs have, their embeddings of the same images, by the runs' names.

    Raises:
        InputError: the runs have no test set in common, it holds different images, or it cannot be read.
    """
    wanted = {
        name: {name_of(data): (data, test_samples(data)) for data in test_sets(run.config, root)}
        for name, run in runs.items()
    }
    common = [each for each in next(iter(wanted.values())) if all(each in own for own in wanted.values())]
    if not common:
        own = "; ".join(f"{name} on {', '.join(found)}" for name, found in wanted.items())
        raise InputError(f"the runs have no test set in common ({own}); give --data for one that suits all")
    for each in common:
        require_same_images({name: found[each][1] for name, found in wanted.items()})
    methods = {name: build_method(run).to(resolve_device(device)) for name, run in runs.items()}
    return [
        {name: embed_test(methods[name], *wanted[name][each], run.config) for name, run in runs.items()}
        for each in common
    ]


def choose_queries(
    search: Search, pids: npt.NDArray[np.int64], choice: Choice, count: int, seed: int
) -> npt.NDArray[np.int64]:
    """Rows of a search to show, at most `count` and one for each person, among queries that have a match.

    Args:
        search: one trial.
        pids: `(N,)` of all samples.
        choice: drawn by `seed`, or those of the highest or lowest average precision.
        count: how many at most.
        seed: of the draw, and of the order among queries that are equally good.

    Raises:
        InputError: no query has a match.
    """
    asked, gallery = pids[search.query], pids[search.gallery]
    match = asked[:, None] == gallery[None, :]
    if search.ignore is not None:
        match &= ~search.ignore
    valid = np.flatnonzero(match.any(1))
    if not len(valid):
        raise InputError("no query has an image of its person in the gallery, so no list of hits can be judged")
    drawn = np.random.default_rng(seed).permutation(len(valid))
    if choice != "random":
        ignore = None if search.ignore is None else search.ignore[valid]
        scores = query_scores(search.distances[valid], asked[valid], gallery, ignore, cmc_unit="image")
        precision = scores.average_precision[drawn]
        drawn = drawn[np.argsort(precision if choice == "worst" else -precision, kind="stable")]
    rows = valid[drawn]
    _, first = np.unique(asked[rows], return_index=True)  # another image of a person seldom shows anything new
    return rows[np.sort(first)[:count]]


def choose_pairs(test: EmbeddedTest, count: int, seed: int) -> list[tuple[int, int]]:
    """For people drawn by `seed`, at most `count`, a visible and an infrared image each.

    Raises:
        InputError: nobody has images of both modalities.
    """
    visible, infrared = test.of(Modality.VISIBLE), test.of(Modality.INFRARED)
    people = np.intersect1d(test.pids[visible], test.pids[infrared])
    if not len(people):
        raise InputError(f"{test.data.root}: nobody has a visible and an infrared test image; expected both of someone")
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(people)[:count].tolist()
    pairs = ((visible[test.pids[visible] == pid], infrared[test.pids[infrared] == pid]) for pid in drawn)
    return [(int(rng.choice(first)), int(rng.choice(second))) for first, second in pairs]


def center_of(test: EmbeddedTest, pid: int, modality: Modality) -> npt.NDArray[np.float32]:
    """The mean embedding `(D,)` of a person's images of a modality, of length 1."""
    rows = test.of(modality)
    rows = rows[test.pids[rows] == pid]
    mean: npt.NDArray[np.float32] = test.embeddings[rows].mean(0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)
