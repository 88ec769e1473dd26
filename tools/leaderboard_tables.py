"""The tables of docs/leaderboard.md: what others published, and apart from it what vireid measured.

Published scores come from `benchmarks/published`, ours from the files in `benchmarks/results/leaderboard` that
`vireid evaluate --output` wrote. A table holds one test: data set, protocol, direction and whether it is re-ranked.
"""

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, TypeAdapter, ValidationError, model_validator

from vireid.config import WordLoader
from vireid.demo import MODELS
from vireid.errors import InputError
from vireid.evaluation.results import Result, load_results
from vireid.sample import Direction

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = ROOT / "benchmarks" / "published" / "leaderboard.yaml"
DFW_SLN = PUBLISHED.with_name("dfw_sln.yaml")
RESULTS = ROOT / "benchmarks" / "results"

Dataset = Literal["sysu_mm01", "regdb", "llcm"]
TITLES: dict[Dataset, str] = {"sysu_mm01": "SYSU-MM01", "regdb": "RegDB", "llcm": "LLCM"}
SEARCHES = {"all": "all search", "indoor": "indoor search", "not stated": "search not stated"}
SHOTS = {1: "one shot", 10: "ten shots", "not stated": "shots not stated"}
WAYS = {
    **{str(way): way.words for way in Direction},
    "not stated": "direction not stated",
    "mean of both": "mean of both directions",
}
LLCM = (None, "paper", "repo_script", "not stated")
SCORES = {"rank1": "Rank-1", "rank10": "Rank-10", "rank20": "Rank-20", "mAP": "mAP", "mINP": "mINP"}


class Test(BaseModel):
    """What two scores must have in common to stand in one table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: Dataset
    search: Literal["all", "indoor", "not stated"] | None = None
    shots: Literal[1, 10, "not stated"] | None = None
    protocol: Literal[LLCM] = None
    direction: Literal["i2v", "v2i", "not stated", "mean of both"]
    rerank: Literal["off", "k-reciprocal", "other"]

    @model_validator(mode="after")
    def _fits_the_data_set(self) -> "Test":
        sysu = self.dataset == "sysu_mm01"
        if sysu != (self.search is not None) or sysu != (self.shots is not None):
            raise ValueError(f"'search' and 'shots' are given for sysu_mm01 and for it alone, not for {self.dataset}")
        # From infrared to visible LLCM's two protocols are one.
        divided = self.dataset == "llcm" and self.direction != "i2v"
        if divided != (self.protocol is not None):
            raise ValueError("'protocol' is given for llcm unless the direction is i2v, and for nothing else")
        return self

    @property
    def title(self) -> str:
        """Without the data set."""
        search = [SEARCHES[self.search], SHOTS[self.shots]] if self.search and self.shots else []
        protocol = {None: [], "not stated": ["protocol not stated"]}.get(self.protocol, [f"protocol `{self.protocol}`"])
        ours = ["as vireid defines it"] if search and self.direction == "v2i" else []
        rerank = {"off": [], "other": ["re-ranked in another way"]}.get(self.rerank, [f"re-ranked ({self.rerank})"])
        text = ", ".join([*search, WAYS[self.direction], *protocol, *ours, *rerank])
        return text[0].upper() + text[1:]


class Score(Test):
    """A published score in percent and the test it was reached in."""

    rank1: float = Field(ge=0, le=100)
    rank10: float | None = Field(None, ge=0, le=100)
    rank20: float | None = Field(None, ge=0, le=100)
    mAP: float | None = Field(None, ge=0, le=100)
    mINP: float | None = Field(None, ge=0, le=100)
    remark: str = ""

    @model_validator(mode="after")
    def _grows_with_rank(self) -> "Score":
        curve = [value for value in (self.rank1, self.rank10, self.rank20) if value is not None]
        if curve != sorted(curve):
            raise ValueError(f"Rank-1, Rank-10 and Rank-20 must not fall, and are {curve}")
        return self

    @property
    def test(self) -> Test:
        """What it can be compared in."""
        return Test.model_validate({name: getattr(self, name) for name in Test.model_fields})


class Entry(BaseModel):
    """Scores of one method from one source; a method may have several."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str = Field(min_length=1)
    year: int | None = Field(ge=2017, description="null where the source gives none")
    source: str = Field(min_length=1, description="whose table it is, in words")
    confidence: Literal["primary", "abstract", "second-hand"]
    link: HttpUrl | None = None
    page: str = Field("", description="of these docs, in the place of a link")
    scores: tuple[Score, ...] = Field(min_length=1)


class Line(NamedTuple):
    """A line of a table: a score and where it is from."""

    entry: Entry
    score: Score


def published() -> list[Line]:
    """Every published score; those of the DFW-SLN paper's tables only where no better source has the same test."""
    own = _lines(read(PUBLISHED))
    known = {(line.entry.method, line.score.test) for line in own}
    return own + [line for line in _lines(_of_dfw_sln()) if (line.entry.method, line.score.test) not in known]


def _lines(entries: Iterable[Entry]) -> list[Line]:
    return [Line(entry, score) for entry in entries for score in entry.scores]


def read(file: Path) -> list[Entry]:
    """The entries of a file in the manner of `leaderboard.yaml`.

    Raises:
        InputError: it is not YAML, or an entry does not fit the schema.
    """
    try:
        plain = yaml.load(file.read_text(encoding="utf-8"), WordLoader)  # a safe loader
        return TypeAdapter(list[Entry]).validate_python(plain)
    except yaml.YAMLError as error:
        raise InputError(f"{file.name} is not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        fault = error.errors()[0]
        number, *keys = fault["loc"] or ("",)
        which = f" ({plain[number]['method']})" if isinstance(number, int) and "method" in plain[number] else ""
        where = ".".join(map(str, keys)) or "it"
        given = "" if isinstance(fault["input"], dict | list) else f", not {fault['input']!r}"
        raise InputError(
            f"{file.name}, entry {number}{which}: {where}: {fault['msg'].removeprefix('Value error, ')}{given}"
        ) from None


def _of_dfw_sln() -> Iterator[Entry]:
    """Tables 3 and 4 of the DFW-SLN paper, which cites others without their years."""
    content = yaml.safe_load(DFW_SLN.read_text(encoding="utf-8"))
    years = {entry.method: entry.year for entry in read(PUBLISHED)}
    sysu = {"dataset": "sysu_mm01", "shots": 1, "direction": "i2v"}
    halves = {
        "table3": ({**sysu, "search": "all"}, {**sysu, "search": "indoor"}),
        "table4": ({"dataset": "regdb", "direction": "v2i"}, {"dataset": "regdb", "direction": "i2v"}),
    }
    for table, tests in halves.items():
        for row, values in content[table]["rows"].items():
            own, rerank = row.startswith("Ours"), "k-reciprocal" if row.endswith("(RK)") else "off"
            scores = [
                {**test, "rerank": rerank, **dict(zip(("rank1", "rank10", "rank20", "mAP"), half, strict=True))}
                for test, half in zip(tests, (values[:4], values[4:]), strict=True)
                if half[0] is not None
            ]
            yield Entry.model_validate(
                {
                    "method": "DFW-SLN" if own else row,
                    "year": 2023 if own else years.get(row),
                    "source": f"DFW-SLN paper, Table {table[-1]}",
                    "confidence": "primary" if own else "second-hand",
                    "page": "methods/dfw_sln.md#published-not-measured-here",
                    "scores": scores,
                }
            )


def dataset(name: Dataset) -> str:
    """All tables of a data set: the published ones, plain before re-ranked, and then ours."""
    tests: dict[Test, list[Line]] = defaultdict(list)
    for line in published():
        if line.score.dataset == name:
            tests[line.score.test].append(line)
    blocks = [f"### {TITLES[name]} as published, not measured here"]
    for test in sorted(tests, key=_place):
        plain = ", without re-ranking or none mentioned" if test.rerank == "off" else ""
        blocks += [f"#### {test.title}{plain}", _published_table(tests[test])]
    return "\n\n".join([*blocks, f"### {TITLES[name]} measured by vireid", measured(name)])


def _place(test: Test) -> tuple[Any, ...]:
    """Plain tables first, then in the order in which the words are listed above."""
    ways = (list(WAYS).index(test.direction), LLCM.index(test.protocol))
    search, shots = ([None, *words].index(given) for words, given in ((SEARCHES, test.search), (SHOTS, test.shots)))
    return test.rerank != "off", search, shots, *ways, test.rerank


def _published_table(lines: Sequence[Line]) -> str:
    names = [name for name in SCORES if any(getattr(line.score, name) is not None for line in lines)]
    columns = ["method", "year", *(SCORES[name] for name in names), "source", "confidence", "remark"]
    marks = ["---", "---", *["---:"] * len(names), "---", "---", "---"]
    rows = [columns, marks]
    for entry, score in sorted(lines, key=lambda line: _rank(line.score.mAP, line.score.rank1)):
        target = entry.link or entry.page
        source = f"[{entry.source}]({target})" if target else entry.source
        values = [_printed(getattr(score, name)) for name in names]
        rows.append([entry.method, str(entry.year or "-"), *values, source, entry.confidence, _remark(score)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _rank(mean_ap: float | None, rank1: float) -> tuple[bool, float, float]:
    """Highest mAP first; what has none comes last, by Rank-1."""
    return mean_ap is None, -(mean_ap or 0), -rank1


def _printed(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _remark(score: Score) -> str:
    above = score.dataset == "regdb" and score.mAP is not None and score.mAP > score.rank1
    return "; ".join(filter(None, [score.remark, "mAP above Rank-1" if above else ""]))


def measured(name: Dataset) -> str:
    """Our own scores on a data set, a table for each test, or that there are none."""
    found: dict[Test, dict[tuple[str, str], list[Result]]] = defaultdict(lambda: defaultdict(list))
    for row, file in _our_rows():
        test, variant = _test_of(row, file)
        if test.dataset == name:
            found[test][row.method, f"{variant}{row.selection} epoch"].append(row)
    if not found:
        return (
            f"Nothing. {TITLES[name]} is given out by its owners on request, and no run on it could be made so far. "
            "This place fills itself from files of `vireid evaluate --output` in `benchmarks/results/leaderboard`."
        )
    blocks = []
    for test in sorted(found, key=_place):
        blocks += [f"#### Ours: {test.title}", _measured_table(found[test])]
    return "\n\n".join(blocks)


def _our_rows() -> Iterator[tuple[Result, str]]:
    """Each result on a licensed data set with the name of its file; none may be counted twice."""
    seen: dict[tuple[str, ...], str] = {}
    for file in sorted((RESULTS / "leaderboard").glob("*.json")):
        for row in load_results(file):
            if row.key in seen:
                what = f"{row.method}, {row.protocol}, {row.direction}, seed {row.seed}"
                where = f"benchmarks/results/leaderboard/{file.name}"
                raise InputError(f"{where}: '{what}' is in {seen[row.key]} too; take one of them out")
            seen[row.key] = file.name
            yield row, file.name


def _test_of(row: Result, file: str) -> tuple[Test, str]:
    """The table of one of our own results, and what else tells its runs apart from others."""
    parts = row.protocol.split(", ")
    common = {"dataset": row.dataset, "direction": row.direction.value, "rerank": row.rerank}
    try:
        match row.dataset:
            case "sysu_mm01":
                search, shots, gallery, *_ = parts
                which = {"search": search.removesuffix(" search"), "shots": int(shots.removesuffix("-shot"))}
                return Test.model_validate({**common, **which}), f"{gallery}, {len(row.trials)} draws, "
            case "llcm":
                kind = None if row.direction is Direction.I2V else row.protocol.partition(" protocol")[0]
                return Test.model_validate({**common, "protocol": kind}), f"{len(row.trials)} draws, "
            case "regdb" if parts[0].startswith("trial "):
                return Test.model_validate(common), ""
    except ValueError:  # pydantic's error is one
        pass
    raise InputError(
        f"benchmarks/results/leaderboard/{file}: no table for '{row.dataset}, {row.protocol}'; expected SYSU-MM01, "
        "RegDB or LLCM by a protocol of docs/protocols.md, without a mixed gallery: take the file out"
    )


def _measured_table(rows: Mapping[tuple[str, str], Sequence[Result]]) -> str:
    lines = [f"| method | {' | '.join(SCORES.values())} | what was run |", "|---|" + "---:|" * len(SCORES) + "---|"]
    for (method, variant), runs in sorted(rows.items(), key=lambda item: _rank(_mean(item[1], "mAP"), 0)):
        cells = [_ours(runs, name) for name in SCORES]
        lines.append(f"| {method} | {' | '.join(cells)} | {variant}, {_runs(runs)} |")
    note = "In percent. ± is the sample standard deviation over runs; of a single run, the population's over its draws."
    return "\n".join([*lines, "", note])


def _runs(runs: Sequence[Result]) -> str:
    seeds = f"seed {', '.join(map(str, sorted({run.seed for run in runs})))}"
    if runs[0].dataset != "regdb":
        return seeds
    splits = sorted({int(run.protocol.split()[1]) for run in runs})
    short = "" if len(splits) == 10 else " (the published test is the mean of ten)"
    return f"split {', '.join(map(str, splits))}{short}, {seeds}"


def _mean(runs: Sequence[Result], name: str) -> float:
    return statistics.fmean(run.mean[name] for run in runs)


def _ours(runs: Sequence[Result], name: str) -> str:
    several = len(runs) > 1
    spread = statistics.stdev(run.mean[name] for run in runs) if several else runs[0].std[name]
    return _percent(_mean(runs, name), spread if several or len(runs[0].trials) > 1 else None)


def _percent(mean: float, spread: float | None) -> str:
    return f"{100 * mean:.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")


def synthvi_methods() -> str:
    """The methods' sweep on SynthVI, both directions, best mAP first."""
    content = json.loads((RESULTS / "methods" / "methods_synthvi_nir" / "ablation.json").read_text(encoding="utf-8"))
    rows = {
        row["row"]: {entry["direction"]: (entry["mean"], entry["std"]) for entry in row["summary"]}
        for row in content["rows"]
    }
    first = content["rows"][0]["runs"][0]["results"]
    start = load_results(RESULTS / "dfw_sln" / "default.json")
    rows["the start, not trained further"] = {row.direction: (row.mean, {}) for row in start if row.rerank == "off"}
    rows["chance"] = {result["direction"]: (result["chance"], {}) for result in first}
    sizes = "; ".join(
        f"{Direction(result['direction']).words} {result['queries']} queries, {result['gallery']} gallery images"
        for result in first
    )
    note = (
        f"In percent; {first[0]['protocol']}, re-ranking {first[0]['rerank']}, {first[0]['selection']} epoch, mean ± "
        f"sample standard deviation over {len(content['seeds'])} seeds, the start one model; {sizes}."
    )
    return _both_ways(rows, note)


def synthvi_demo() -> str:
    """What the demo reached on SynthVI-mini, a table for each part, re-ranked ones apart."""
    rows = [(model, row) for model in MODELS for row in load_results(RESULTS / "demo" / f"results-{model}.json")]
    blocks = []
    for rerank in ("off", "k-reciprocal"):
        for protocol in dict.fromkeys(row.protocol for _, row in rows):
            chosen = [(name, row) for name, row in rows if (row.protocol, row.rerank) == (protocol, rerank)]
            several = len(chosen[0][1].trials) > 1
            scores: dict[str, dict[str, Any]] = defaultdict(dict)
            for name, row in chosen:
                scores[name][row.direction] = (row.mean, row.std if several else {})
                scores["chance"][row.direction] = (row.chance, {})
            over = f"mean ± standard deviation over {len(chosen[0][1].trials)} gallery draws" if several else "one draw"
            blocks += [f"#### {protocol}, re-ranking {rerank}", _both_ways(scores, f"In percent; {over}, one seed.")]
    return "\n\n".join(blocks)


def _both_ways(rows: Mapping[str, Mapping[str, Any]], note: str) -> str:
    """Rows of `{direction: (mean, spread)}`, sorted by mAP from infrared to visible."""
    names = ("rank1", "mAP", "mINP")
    columns = [f"{SCORES[name]}{', ' + way.words if name == 'rank1' else ''}" for way in Direction for name in names]
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for label, row in sorted(rows.items(), key=lambda item: -item[1]["i2v"][0]["mAP"]):
        cells = []
        for mean, spread in (row[way] for way in Direction):
            cells += [_percent(mean[name], spread.get(name)) if name in mean else "-" for name in names]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", note])


def counts() -> str:
    """How much is transcribed and how sure it is, in a sentence."""
    lines = published()
    kinds = ("primary", "abstract", "second-hand")
    shares = ", ".join(f"{sum(line.entry.confidence == kind for line in lines)} {kind}" for kind in kinds)
    return f"{len(lines)} published scores of {len({line.entry.method for line in lines})} methods: {shares}."
