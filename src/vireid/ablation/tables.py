"""The tables of an ablation, from the content of its `ablation.json` alone: as Markdown and as plain text."""

import re
from dataclasses import dataclass
from typing import Any

from vireid.ablation.file import plain
from vireid.sample import Direction

COLUMNS = {"rank1": "R1", "rank10": "R10", "rank20": "R20", "mAP": "mAP", "mINP": "mINP"}
COMPARED = "mAP"

Plain = dict[str, Any]
Group = tuple[str, str, str, str]


@dataclass(frozen=True)
class Table:
    """One test: a heading, the cells by line (names of the columns first) and what is said below."""

    heading: str
    lines: list[list[str]]
    notes: list[str]


def markdown(ablation: Plain, level: int = 1) -> str:
    """The document `ablation.md`; `level` is that of its title."""
    parts = [f"{'#' * level} {_escaped(ablation['title'])}", _conditions(ablation), _changes(ablation)]
    names = {row["row"] for row in ablation["rows"]}
    for table in build(ablation):
        head, *body = ([_escaped(cell) if cell in names else cell for cell in line] for line in table.lines)
        rule = ["---", *["---:"] * (len(head) - 1)]
        lines = ["| " + " | ".join(cells) + " |" for cells in (head, rule, *body)]
        parts += [f"{'#' * (level + 1)} {table.heading}", "\n".join(lines), *table.notes]
    return "\n\n".join([*parts, *_failures(ablation), caption(ablation)]) + "\n"


def text(ablation: Plain) -> str:
    """The same for a terminal."""
    parts = [ablation["title"], _conditions(ablation)]
    for table in build(ablation):
        widths = [max(map(len, column)) for column in zip(*table.lines, strict=True)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in table.lines]
        lines.insert(1, "  ".join("-" * width for width in widths))
        parts.append("\n".join([table.heading, "", *lines, *table.notes]))
    return "\n\n".join([*parts, *_failures(ablation), caption(ablation)])


def _escaped(name: str) -> str:
    """Text that Markdown shows as it stands."""
    return re.sub(r"([\\`*_<|])", r"\\\1", name)


def _conditions(ablation: Plain) -> str:
    """Where the numbers come from, in a line."""
    common = "; ".join(f"{key}: {plain(value)}" for key, value in ablation["set"].items())
    repeat = [f"{key} {', '.join(map(plain, values))}" for key, values in ablation["repeat"].items()]
    epochs = sorted({run["epochs"] for row in ablation["rows"] for run in row["runs"] if run["status"] == "done"})
    machine = [ablation["environment"][name] for name in ("device", "device_name")]
    parts = [
        f"Base: {ablation['base']}" if ablation["base"] else "",
        f"All rows: {common}" if common else "",
        "; ".join([f"Seeds: {', '.join(map(str, ablation['seeds']))}", *repeat]),
        f"Epochs: {' or '.join(map(str, epochs))}" if epochs else "",
        f"Device: {', '.join(filter(None, machine))}" if any(machine) else "",
    ]
    return ". ".join(filter(None, parts)) + "."


def _changes(ablation: Plain) -> str:
    """What each row changes, as a list."""
    lines = []
    for row in ablation["rows"]:
        changes = ", ".join(f"`{key}: {plain(value)}`" for key, value in row["changes"].items())
        lines.append(f"- {_escaped(row['row'])}: {changes or 'the base as it is'}")
    return "\n".join(lines)


def groups(ablation: Plain) -> list[Group]:
    """Data set, protocol, direction and re-ranking of every test that some row was evaluated on."""
    entries = [entry for row in ablation["rows"] for entry in row["summary"]]
    return list(dict.fromkeys(group_of(entry) for entry in entries))


def group_of(entry: Plain) -> Group:
    """The test that a summary entry or a result belongs to."""
    return entry["dataset"], entry["protocol"], entry["direction"], entry["rerank"]


def heading(group: Group) -> str:
    """A test in words."""
    dataset, protocol, direction, rerank = group
    reranked = "" if rerank == "off" else f", {rerank} re-ranking (RK)"
    return f"{dataset}, {protocol}, {Direction(direction).words}{reranked}"


def build(ablation: Plain) -> list[Table]:
    """One table for each test; a row that has not been run yet is a line of dashes in all of them."""
    compared = f"Δ {COMPARED} [95 % CI]"
    against = ["against"] if _has_pairs(ablation) else []
    head = ["row", *COLUMNS.values(), compared, *against, "p (Holm)", "runs"]
    tables = []
    tests: list[Group | None] = list(groups(ablation))
    for group in tests or [None]:
        lines = [_line(row, group, bool(against)) for row in ablation["rows"] if belongs(row, group)]
        title = heading(group) if group is not None else "No run is finished yet"
        tables.append(Table(title, [head, *lines], [*_chance(ablation, group), *_unreadable(ablation, group)]))
    return tables


def _has_pairs(ablation: Plain) -> bool:
    """Whether some row is compared with another one than the first."""
    first = ablation["reference"]
    return any(row.get("against", first) not in (None, first) for row in ablation["rows"])


def belongs(row: Plain, group: Group | None) -> bool:
    """Whether a row has a line in a test's table: it was evaluated there, or nowhere yet."""
    return not row["summary"] or any(group_of(entry) == group for entry in row["summary"])


def _line(row: Plain, group: Group | None, pairs: bool) -> list[str]:
    entry = next((entry for entry in row["summary"] if group_of(entry) == group), None)
    failed = sum(run["status"] == "failed" for run in row["runs"])
    count = f"{entry['n'] if entry else 0} of {len(row['runs'])}" + (f", {failed} failed" if failed else "")
    if entry is None:
        mark = "failed" if failed == len(row["runs"]) else "-"
        return [row["row"], *[mark] * len(COLUMNS), *["-"] * (3 if pairs else 2), count]
    scores = [_score(entry, score) for score in COLUMNS]
    difference, p = _difference(entry["difference"])
    against = [row["against"] or "-"] if pairs else []
    return [row["row"], *scores, difference, *against, p, count]


def _score(entry: Plain, score: str) -> str:
    spread = entry["std"][score]
    return _percent(entry["mean"][score]) + (f" ± {_percent(spread)}" if spread is not None else "")


def _difference(difference: Plain | None) -> list[str]:
    if difference is None:
        return ["-", "-"]
    compared = difference[COMPARED]
    cell = _signed(compared["mean"])
    if compared["low"] is not None:
        cell += f" [{_signed(compared['low'])}, {_signed(compared['high'])}]"
    p = compared["p_holm"]
    return [cell, "-" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"]


def _chance(ablation: Plain, group: Group | None) -> list[str]:
    runs = [run for row in ablation["rows"] for run in row["runs"]]
    results = [result for run in runs for result in run["results"] if group_of(result) == group]
    levels = [result["chance"] for result in results if result["chance"]]
    if not levels:
        return []
    rank1, mean_ap = (sum(level[score] for level in levels) / len(levels) for score in ("rank1", "mAP"))
    sizes = dict.fromkeys(f"{r['queries']} queries, {r['gallery']} gallery images" for r in results)
    trials = max(result["trials"] for result in results)
    drawn = f", {trials} gallery draws in each run" if trials > 1 else ""
    return [f"Chance: R1 {_percent(rank1)}, mAP {_percent(mean_ap)} ({' or '.join(sizes)}{drawn})."]


def _unreadable(ablation: Plain, group: Group | None) -> list[str]:
    rows = [(row["row"], e["unreadable"]) for row in ablation["rows"] for e in row["summary"] if group_of(e) == group]
    told = [f"row '{name}': {count} test images could not be read" for name, count in rows if count]
    return [f"Not the same test for all rows: {'; '.join(told)}."] if told else []


def _failures(ablation: Plain) -> list[str]:
    runs = [run for row in ablation["rows"] for run in row["runs"] if run["status"] == "failed"]
    return [f"Failed: {run['folder']}: {run['message']}." for run in runs]


def caption(ablation: Plain) -> str:
    """What the numbers, the ±, the intervals and the p-values are."""
    means = sorted({entry["n"] for row in ablation["rows"] for entry in row["summary"]})
    runs = [run for row in ablation["rows"] for run in row["runs"]]
    missing = sum(run["status"] == "missing" for run in runs)
    parts = [
        "In percent. R1, R10, R20: queries with a right match among the first 1, 10, 20; mAP: mean average precision; "
        "mINP: mean inverse negative penalty."
    ]
    axes = {"seeds": ablation["seeds"], **ablation["repeat"]}
    over = " and ".join([name for name, values in axes.items() if len(values) > 1] or ["one seed"])
    if means:
        few = f"{means[0]}" if len(means) == 1 else f"{means[0]} to {means[-1]}"
        parts.append(f"Each score is the mean of {few} run{'s' if means[-1] > 1 else ''} ({over}).")
    if missing:
        parts.append(f"{missing} of {len(runs)} runs are still to come.")
    if any(run["status"] == "failed" for run in runs):
        parts.append("The mean of a row with failed runs is that of the others.")
    if means and means[-1] > 1:
        parts.append(
            "± is the sample standard deviation (divisor n - 1) over runs, each run's score being the mean over its "
            "gallery draws."
        )
        parts.append(
            f"Δ is the mean difference to {_reference(ablation)} over the runs that both have, with the 95 % "
            "confidence interval of a paired t-test; p is its two-sided p-value, corrected by Holm's method for the "
            "number of rows compared in the table; - where it is not defined."
        )
    if ablation["repeat"]:
        # Nadeau and Bengio, Inference for the Generalization Error, Machine Learning 2003.
        names = " and ".join(ablation["repeat"])
        parts.append(f"Runs of different {names} may share data; the test takes them as independent and is optimistic.")
    if means and 2 <= means[-1] <= 4:
        parts.append(f"With {means[-1]} runs a row the test has little power: a high p does not show that rows agree.")
    if means == [1] and not missing:
        parts.append("One run tells nothing about chance: no ±, interval or p-value; give more seeds.")
    facts = {**ablation["environment"], **ablation["environment"]["versions"]}
    mixed = [name for name, value in facts.items() if isinstance(value, str) and ", " in value]
    if mixed:
        parts.append(f"The runs differ in {' and '.join(mixed)}: see ablation.json.")
    return " ".join(parts)


def _reference(ablation: Plain) -> str:
    return "the row under 'against'" if _has_pairs(ablation) else f"row '{ablation['reference']}'"


def _signed(fraction: float) -> str:
    return f"{round(100 * fraction, 2) + 0.0:+.2f}"  # + 0.0: never -0.00


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"


def failed_runs(ablation: Plain) -> list[str]:
    """Folders of the runs that failed."""
    return [run["folder"] for row in ablation["rows"] for run in row["runs"] if run["status"] == "failed"]
