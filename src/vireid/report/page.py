"""`vireid report`: runs compared on one page that needs no other file and no network."""

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vireid.atomic import require_writable, write_text
from vireid.embedder import Run
from vireid.errors import InputError
from vireid.evaluation.results import RANKS, Result, by_test, labelled, load_results, rerank_states, save_results
from vireid.experiment.embedded import EmbeddedTest
from vireid.experiment.evaluate import score_test
from vireid.figures import page
from vireid.figures.rank_sheet import KEY
from vireid.figures.sheet import html_sheet
from vireid.figures.style import inline
from vireid.report.pictures import (
    CHOSEN,
    Pictures,
    cmc_chart,
    draw_distances,
    draw_map,
    draw_training,
    heat_rows,
    ranked,
    search_all,
)
from vireid.report.runs import Runs, Tests, embed_all, open_runs
from vireid.sample import Direction, Sample

SHOWN = 4  # runs whose hits and heat maps are shown
QUERIES = 3  # of each kind; one with more than two runs, or the page would grow beyond what a mail takes
PEOPLE = 4
LARGEST = 5_000_000
Results = Mapping[str, Sequence[Result]]
Section = tuple[str, str]


def write_report(
    folders: Sequence[str], output: Path | None, *, root: Path | None = None, seed: int = 0, device: str = "auto"
) -> Path:
    """Compare runs on a page; returns its path.

    What a run has no result of is evaluated first; its `results.json` keeps the rows.

    Args:
        folders: run folders, or `default`.
        output: an HTML file; None for `report.html` in the first run's folder.
        root: other data than the first run's own test set.
        seed: of the draw of who is shown.
        device: `auto` or a torch device.

    Raises:
        InputError: a run or the data cannot be used, the runs' test sets differ, or the file cannot be written.
    """
    runs = open_runs(folders)
    if output is None and folders[0] == "default":
        raise InputError("the shipped model is not written to; say with --output where the report goes")
    output = output or next(iter(runs.values())).path / "report.html"
    require_writable(output)
    for run in runs.values():  # what is damaged is said now, not after minutes of work
        _read_environment(run)
    sets = embed_all(runs, root=root, device=device)
    results = {
        name: _results(folder, run, [tests[name] for tests in sets])
        for folder, (name, run) in zip(folders, runs.items(), strict=True)
    }
    tested = ", ".join(next(iter(each.values())).name for each in sets)
    intro = (
        f"{len(runs)} run{'s' if len(runs) > 1 else ''} on {tested}. All scores in percent, of the last epoch unless "
        "the configuration says evaluation.select: val."
    )
    text = build_page(f"vireid: {', '.join(runs)}", intro, runs, results, sets, seed=seed)
    if len(text) > LARGEST:
        warnings.warn(f"the page has {len(text) / 1e6:.1f} MB; report fewer runs for one to send on", stacklevel=2)
    write_text(output, text)
    return output


def _results(folder: str, run: Run, tests: Sequence[EmbeddedTest]) -> list[Result]:
    """The rows of these tests: those that the run has, and those that are missing, which are scored now and kept."""
    file, about = run.path / "results.json", run.config.evaluation
    rows = load_results(file) if file.is_file() else []
    roots = {test.data.root for test in tests}
    found = [row for row in rows if row.data_root in roots]
    for test in tests:
        there = {(row.protocol, row.direction) for row in found if row.data_root == test.data.root}
        rules = test.protocols(Direction.of(about.direction))
        missing = [protocol for protocol in rules if (protocol.name, protocol.direction) not in there]
        found += score_test(test, run.config, missing, rerank_states(about.rerank))
    if folder != "default":
        save_results(file, found)
    return found


def build_page(title: str, intro: str, runs: Runs, results: Results, sets: Sequence[Tests], *, seed: int = 0) -> str:
    """The page.

    Args:
        title: of the page.
        intro: plain text below it.
        runs: by name; all are in tables and curves, the first four in pictures.
        results: rows by name of the run, or of whatever else was measured.
        sets: the runs' test sets, embedded.
        seed: of the draw of who is shown.
    """
    few = [dict(list(tests.items())[:SHOWN]) for tests in sets]
    sections = [
        ("Scores", score_table(results)),
        ("What differs" if len(runs) > 1 else "Configuration", _configuration(runs)),
        ("Curves", _charts(inline(cmc_chart(rows)) for rows in by_test(results))),
        ("Training", _charts(chart for name, run in runs.items() for chart in _training(name, run))),
        ("Distances", page.paragraph(_DISTANCES) + _charts(_drawn(draw_distances(few, seed=seed)))),
        ("Map", page.paragraph(_MAP) + _charts(_drawn(draw_map(few, seed=seed)))),
        *_ranks(few, seed),
        *_heat(few, seed),
        ("Data", _data(runs, sets)),
        ("Environment", _environment(runs)),
    ]
    return page.page(title, sections, intro=intro)


_DISTANCES = (
    "Cosine distances between visible and infrared images of one person and of two; the gap is between their means. "
    "The less the two hills overlap, the better people are told apart."
)
_MAP = (
    "Each mark is an image, each number a person. Near means similar; sizes of groups and the distances between them "
    "mean nothing."
)


def score_table(results: Results) -> str:
    """HTML: a table for each test and direction, every run's rows below the level of chance."""
    names = {**{f"Rank-{k}": f"rank{k}" for k in RANKS}, "mAP": "mAP", "mINP": "mINP"}
    parts, several = [], False
    for rows in by_test(results):
        chosen = labelled(rows)
        first = chosen[0][1]
        level = {column: _percent(first.chance[score]) for column, score in names.items() if score in first.chance}
        body = [{"run": "chance (a random order)", **level}] if level else []
        for label, row in chosen:
            scores = {column: _spread(row, score) for column, score in names.items()}
            body.append({"run": label, "re-ranking": row.rerank, **scores})
        several |= len(first.trials) > 1
        parts.append(page.heading(first.title) + page.table(["run", "re-ranking", *names], body))
    if not parts:
        return page.paragraph("No run has been evaluated.")
    spread = "±: standard deviation over the gallery draws of a test." if several else ""
    return "".join(parts) + page.paragraph(spread)


def _spread(row: Result, score: str) -> str:
    text = _percent(row.mean[score])
    return f"{text} ± {_percent(row.std[score])}" if len(row.trials) > 1 else text


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _configuration(runs: Runs) -> str:
    """The keys whose values differ; of a single run all of them, folded away."""
    flat = {name: run.config.flat() for name, run in runs.items()}
    keys = dict.fromkeys(key for values in flat.values() for key in values)
    rows = {key: [json.dumps(values[key]) if key in values else "-" for values in flat.values()] for key in keys}
    different = {key: values for key, values in rows.items() if len(set(values)) > 1}
    shown = different or rows
    text = page.table(["key", *flat], [{"key": key, **dict(zip(flat, row, strict=True))} for key, row in shown.items()])
    if len(runs) > 1:
        same = f"{len(rows) - len(different)} other keys agree." if different else "All keys agree:"
        return page.paragraph(same) + text
    return page.folded(f"All {len(rows)} keys of the configuration", text)


def _training(name: str, run: Run) -> Iterator[str]:
    """Its curves; nothing for the shipped model and others without a log."""
    if (run.path / "metrics.jsonl").is_file():
        yield from _drawn(draw_training({name: run}))


def _drawn(pictures: Pictures) -> Iterator[str]:
    """Pictures, or the reason why there are none."""
    try:
        for _, figure in pictures:
            yield inline(figure)
    except InputError as error:
        yield page.paragraph(f"None: {error}.")


def _charts(charts: Iterable[str]) -> str:
    found = "".join(charts)
    return f'<div class="charts">{found}</div>' if found else page.paragraph("Nothing to draw.")


def _ranks(sets: Sequence[Tests], seed: int) -> Iterator[Section]:
    for tests in sets:
        count = QUERIES if len(tests) <= 2 else 1
        first, test = next(iter(tests.items()))
        by = f", by {first}" if len(tests) > 1 else ""
        for protocol in test.protocols():
            searches, parts = search_all(tests, protocol, seed), []
            for choice, words in CHOSEN.items():
                try:
                    sheets = ranked(tests, searches, choice, count, 10, seed)
                except InputError as error:
                    parts = [page.paragraph(f"None: {error}.")]
                    break
                for name, rows in sheets.items():
                    parts.append(page.heading(f"{name}: {words}") + html_sheet(rows))
            note = (
                f"{protocol.name}. {KEY[0].upper()}{KEY[1:]}. One query a person, chosen{by} from one gallery, without "
                "re-ranking."
            )
            yield f"Found: {test.name}, {protocol.direction.words}", page.paragraph(note) + "".join(parts)


def _heat(sets: Sequence[Tests], seed: int) -> Iterator[Section]:
    for tests in sets:
        heading = f"Heat maps: {next(iter(tests.values())).name}"
        try:
            rows, title, key = heat_rows(tests, PEOPLE, seed)
        except InputError as error:
            yield heading, page.paragraph(f"None: {error}.")
            continue
        order = ", ".join(["visible image", *tests, "infrared image", *tests])
        note = f"{title}. From left to right: {order}. {key[0].upper()}{key[1:]}."
        yield heading, page.paragraph(note) + html_sheet(rows)


def _data(runs: Runs, sets: Sequence[Tests]) -> str:
    """What was tested on, and what each run was trained on where that can still be read."""
    rows = []
    for tests in sets:
        test = next(iter(tests.values()))
        rows += [{"data": f"tested: {test.name}", **row} for row in _counts(test.samples)]
    for name, run in runs.items():
        try:
            samples = run.config.data.module.load(run.config.data.options)
        except InputError:
            rows.append({"data": f"trained: {name}", "split": f"{run.config.data.root} is not here"})
            continue
        trained = [sample for sample in samples if sample.split in ("train", "val")]
        rows += [{"data": f"trained: {name}", **row} for row in _counts(trained)]
    return page.table(["data", "split", "modality", "people", "images", "cameras"], rows)


def _counts(samples: Sequence[Sample]) -> Iterator[dict[str, str]]:
    for split, modality in dict.fromkeys((sample.split, sample.modality) for sample in samples):
        chosen = [sample for sample in samples if (sample.split, sample.modality) == (split, modality)]
        cameras = len({sample.camid for sample in chosen} - {0})
        yield {
            "split": split,
            "modality": modality.name.lower(),
            "people": f"{len({sample.pid for sample in chosen}):,}",
            "images": f"{len(chosen):,}",
            "cameras": str(cameras) if cameras else "not known",
        }


def _environment(runs: Runs) -> str:
    """What each run was trained with."""
    facts = {name: _read_environment(run) for name, run in runs.items()}
    keys = dict.fromkeys(key for values in facts.values() for key in values)
    if not keys:
        return page.paragraph("Not known: no run has an environment.json.")
    rows = [{"": key, **{name: str(values.get(key, "-")) for name, values in facts.items()}} for key in keys]
    return page.table(["", *facts], rows)


def _read_environment(run: Run) -> dict[str, Any]:
    file = run.path / "environment.json"
    if not file.is_file():
        return {}
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise InputError(f"{file} is damaged: expected a JSON object; remove it")
    return facts
