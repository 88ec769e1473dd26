"""`results.json`: every trial of every evaluation of a run, with all that is needed to read the numbers."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vireid.atomic import write_text
from vireid.errors import InputError
from vireid.evaluation.metrics import CmcUnit, RetrievalMetrics
from vireid.sample import Direction

RANKS = (1, 5, 10, 20)
SCORES = (*(f"rank{k}" for k in RANKS), "mAP", "mINP")
FORMAT = 1

RerankName = Literal["off", "k-reciprocal"]
RerankChoice = Literal["off", "k-reciprocal", "both"]


class TrialScores(BaseModel):
    """Scores of one trial, fractions from 0 to 1; `rankK` is the CMC at K."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rank1: float
    rank5: float
    rank10: float
    rank20: float
    mAP: float
    mINP: float
    num_queries: int
    num_valid_queries: int
    num_gallery: int

    @classmethod
    def of(cls, metrics: RetrievalMetrics, *, num_queries: int, num_gallery: int) -> "TrialScores":
        """From the metrics of a trial; the curve must reach rank 20."""
        ranks = {f"rank{k}": metrics.rank(k) for k in RANKS}
        return cls(
            **ranks,
            mAP=metrics.mean_ap,
            mINP=metrics.mean_inp,
            num_queries=num_queries,
            num_valid_queries=metrics.num_valid_queries,
            num_gallery=num_gallery,
        )


class Result(BaseModel):
    """One row of a results file: one method on one data set in one direction, re-ranked or not.

    `mean` and `std` hold `rank1`, `rank5`, `rank10`, `rank20`, `mAP` and `mINP` over the trials (population
    standard deviation, so 0 for one trial); `cmc` is the mean curve from rank 1 on; `chance` the expected
    `rank1` and `mAP` of a random order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: str
    dataset: str
    protocol: str
    direction: Direction
    rerank: RerankName
    cmc_unit: CmcUnit
    selection: str = Field("last", description="which epoch: last, or val for the best on held-out identities")
    seed: int = 0
    data_root: str = ""
    trials: tuple[TrialScores, ...] = Field(min_length=1)
    mean: dict[str, float]
    std: dict[str, float]
    cmc: tuple[float, ...]
    chance: dict[str, float] = {}
    unreadable: tuple[str, ...] = Field((), description="images that could not be read and take no part")
    versions: dict[str, str] = {}

    @property
    def key(self) -> tuple[str, ...]:
        """What tells rows apart; a new row with the same key takes the place of the old one."""
        model = (self.method, self.selection, str(self.seed))
        test = (self.dataset, self.data_root, self.protocol, str(len(self.trials)))
        return (*model, *test, self.direction.value, self.rerank)

    @property
    def test(self) -> tuple[object, ...]:
        """What tells tests apart, wherever the data lie: rows of one test can be compared."""
        first = self.trials[0]
        counts = (len(self.trials), first.num_queries, first.num_gallery)
        # The licensed sets are the same for everybody; own crops are told apart by where they lie.
        return (
            self.dataset,
            self.data_root if self.dataset == "manifest" else "",
            self.protocol,
            self.direction,
            *counts,
        )

    @property
    def title(self) -> str:
        """The test in words: data set, protocol and direction."""
        where = {"synthvi": [], "manifest": [f"own crops in {self.data_root}"]}.get(self.dataset, [self.dataset])
        return ", ".join([*where, self.protocol, self.direction.words])


def by_test(results: Mapping[str, Iterable[Result]]) -> list[dict[str, list[Result]]]:
    """The rows of several runs, by the runs' names, test by test; runs that were not tested so have none."""
    tests = dict.fromkeys(row.test for rows in results.values() for row in rows)
    return [{name: [row for row in rows if row.test == test] for name, rows in results.items()} for test in tests]


def labelled(results: Mapping[str, Sequence[Result]]) -> list[tuple[str, Result]]:
    """The rows of one test with a label each: the run's name, and what else tells its rows apart."""
    found = []
    for name, rows in results.items():
        several = {key for key in ("method", "selection", "seed") if len({getattr(row, key) for row in rows}) > 1}
        for row in rows:
            parts = [f"{key} {getattr(row, key)}" for key in ("method", "selection", "seed") if key in several]
            found.append((", ".join([name, *parts, *([row.rerank] if row.rerank != "off" else [])]), row))
    return found


def rerank_states(choice: RerankChoice) -> list[RerankName]:
    """The re-ranking states of the rows that a choice asks for; `both` gives the plain row first, then the "RK" row."""
    return ["off", "k-reciprocal"] if choice == "both" else [choice]


def summary(trials: Sequence[TrialScores]) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and population standard deviation of every score over the trials."""
    columns = {name: np.array([getattr(trial, name) for trial in trials]) for name in SCORES}
    mean = {name: float(values.mean()) for name, values in columns.items()}
    return mean, {name: float(values.std()) for name, values in columns.items()}


def save_results(path: Path, rows: Iterable[Result]) -> list[Result]:
    """Add rows to a results file, each in the place of an earlier one with the same key; returns all rows.

    The file is written whole or not at all.

    Raises:
        InputError: the file exists and is not a results file.
    """
    merged = {row.key: row for row in (load_results(path) if path.exists() else [])}
    merged.update({row.key: row for row in rows})
    plain = {"format": FORMAT, "results": [row.model_dump(mode="json") for row in merged.values()]}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(plain, indent=1) + "\n")
    return list(merged.values())


def load_results(path: Path) -> list[Result]:
    """The rows of a results file.

    Raises:
        InputError: it is missing, is not JSON, or has other content.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"results not found: {path}; write them with `vireid evaluate`") from None
    except ValueError:
        raise InputError(f"{path} is not JSON; expected a results file of `vireid evaluate`: move it away") from None
    if not isinstance(plain, dict) or plain.get("format") != FORMAT or not isinstance(plain.get("results"), list):
        raise InputError(f"{path} is not a results file of format {FORMAT}; move it away or choose another --output")
    try:
        return [Result.model_validate(row) for row in plain["results"]]
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise InputError(f"{path}: bad value at '{where}': {fault['msg']}; move the file away") from None


def table(rows: Sequence[Result]) -> str:
    """A plain-text table in percent, mean ± standard deviation over trials, and the chance level below it."""
    head = [
        "method",
        "data set",
        "protocol",
        "direction",
        "re-ranking",
        *("R" + str(k) for k in RANKS),
        "mAP",
        "mINP",
    ]
    lines = [[*head, "trials", "queries", "gallery"]]
    for row in rows:
        lines.append(_cells(row))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    texts.insert(1, "  ".join("-" * width for width in widths))
    levels = {
        f"chance, {row.dataset}, {row.protocol}, {row.direction}: "
        f"R1 {100 * row.chance['rank1']:.2f}, mAP {100 * row.chance['mAP']:.2f}": None
        for row in rows
        if row.chance
    }
    texts += levels
    missing = max((len(row.unreadable) for row in rows), default=0)
    if missing:
        texts.append(f"{missing} images could not be read and take no part; they are listed in the results file")
    return "\n".join(texts)


def _cells(row: Result) -> list[str]:
    several = len(row.trials) > 1
    scores = [f"{100 * row.mean[name]:.2f}" + (f" ± {100 * row.std[name]:.2f}" if several else "") for name in SCORES]
    # The field writes a re-ranked row as "Ours (RK)".
    method = row.method if row.rerank == "off" else f"{row.method} (RK)"
    names = [method, row.dataset, row.protocol, row.direction.value, row.rerank]
    valid, asked = row.trials[0].num_valid_queries, row.trials[0].num_queries
    queries = str(asked) if valid == asked else f"{valid} of {asked}"
    return [*names, *scores, str(len(row.trials)), queries, str(row.trials[0].num_gallery)]
