"""The tables of docs/synthvi.md: what the scripts in benchmarks/ measured, and the renderer's constants."""

import ast
import json
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from vireid.sample import Direction

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "synthvi"
SYNTH = ROOT / "src" / "vireid" / "synth"
CONSTANTS = ("fabrics", "spectra", "identity", "poses", "cameras", "sensor", "shot", "painter", "sites", "obstacles")
NETWORKS = ("whole image", "background", "silhouette", "outline", "person")  # of the probes
LONGEST = 200  # characters of a value in the table of constants
LOOKS = {"person": "the same, scene faded out", "scene": "the same, person faded out"}  # of the log of transfer
DEFAULT = "the default model"  # its label in the log of transfer
WAYS = tuple(map(str, Direction))


def probes() -> str:
    """What looks at something else than the person, beside chance and the network that sees everything."""
    content = _content("probes.json")
    if content is None:
        return _missing("synthvi_probes.py")
    lines = [
        "| part | probe | Rank-1, IR to visible | mAP | Rank-1, visible to IR | mAP |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for part, rows in content["parts"].items():
        first = next(iter(rows.values()))
        levels = [f"{100 * first[way][name]['chance']:.1f}" for way in WAYS for name in ("rank1", "mAP")]
        lines.append(f"| {part} | chance | {' | '.join(levels)} |")
        for probe, row in rows.items():
            cells = [_with_interval(row[way][name]) for way in WAYS for name in ("rank1", "mAP")]
            lines.append(f"| {part} | {probe} | {' | '.join(cells)} |")
    stages, data = content["settings"]["recipe"], content["settings"]["data"]
    people = "; ".join(f"{part}: {_people(about, 'test')}" for part, about in data["test"].items())
    steps = " and then ".join(str(stage["train.epochs"] * stage["train.steps_per_epoch"]) for stage in stages)
    last = stages[-1]
    note = (
        f"In percent, with 95 % intervals over people; **bold**: above chance by more than its interval. {people}. "
        f"Networks: {steps} steps from random weights on {_people(data['train']['nir'], 'train', 'test')} of seed "
        f"{data['train']['nir']['seed']}, {last['images.height']}x{last['images.width']}, one training each."
    )
    absent = [kind for kind in NETWORKS if any(f"network: {kind}" not in rows for rows in content["parts"].values())]
    missing = f" Not measured yet: the network on {', '.join(absent)}." if absent else ""
    return "\n".join([*lines, "", note + missing])


def _people(about: dict[str, Any], *splits: str) -> str:
    count = sum(about["identities"][split] for split in splits)
    size = "x".join(map(str, about["size"]))
    return f"generator {about['generator']}, preset {about['preset']}, {count} people, {size}"


def _with_interval(score: dict[str, float]) -> str:
    text = f"{100 * score['mean']:.1f} [{100 * score['low']:.1f}, {100 * score['high']:.1f}]"
    return f"**{text}**" if score["above_low"] > 0 else text


def transfer() -> str:
    """The log: what each change of the renderer or the recipe did to real pairs."""
    file = RESULTS / "transfer.jsonl"
    if not file.is_file():
        return _missing("synthvi_transfer.py")
    log = [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines()]
    columns = ("what was new", "trained on", "runs", "Rank-1, IR to visible", "mAP", "Rank-1, visible to IR", "mAP")
    lines = [f"| {' | '.join(columns)} |", "|---|---|---:|---:|---:|---:|---:|"]
    last = log[-1]
    levels = [f"{100 * last['trained'][way][name]['chance']:.1f}" for way in WAYS for name in ("rank1", "mAP")]
    lines.append(f"| chance | | | {' | '.join(levels)} |")
    rows = [("untrained, as the last line", "untrained", last)]
    for line in log:
        looks = [(text, kind, line) for kind, text in LOOKS.items() if kind in line]  # older lines have none
        rows += [(line["label"], "trained", line), *looks]
    for label, kind, row in rows:
        cells = [_over_runs(row[kind][way][name]) for way in WAYS for name in ("rank1", "mAP")]
        trained_on = _trained_on(row["runs"][0]) if kind == "trained" else ""
        lines.append(f"| {label} | {trained_on} | {len(row['runs'])} | {' | '.join(cells)} |")
    sizes = " and ".join(f"{count} {kind}" for kind, count in last["images"].items())
    note = (
        f"In percent, on {sizes} images of {last['people']} people; mean ± standard deviation over runs that differ in "
    )
    return "\n".join([*lines, "", f"{note}their seed, in brackets the 95 % interval over people."])


def default_transfer() -> str:
    """The shipped model's line of the log, beside chance."""
    log = [json.loads(text) for text in (RESULTS / "transfer.jsonl").read_text(encoding="utf-8").splitlines()]
    row = next(line for line in log if line["label"] == DEFAULT)
    lines = ["| search | Rank-1 | mAP | Rank-1 by chance | mAP by chance |", "|---|---:|---:|---:|---:|"]
    for way in Direction:
        found = [row["trained"][way][name] for name in ("rank1", "mAP")]
        cells = [*map(_over_runs, found), *(f"{100 * score['chance']:.1f}" for score in found)]
        lines.append(f"| {way.words} | {' | '.join(cells)} |")
    sizes = " and ".join(f"{count} {kind}" for kind, count in row["images"].items())
    note = f"In percent, with 95 % intervals over people; {sizes} images of {row['people']} people."
    return "\n".join([*lines, "", note])


def _trained_on(run: dict[str, Any]) -> str:
    """Data and steps of a run; older lines of the log say neither."""
    data = run.get("data")
    if not isinstance(data, dict) or "generator" not in data:
        return ""
    count = sum(data["identities"].values()) if data["train_ids"] == "all" else data["identities"]["train"]
    people = min(count, data["limit"] or count)
    kind = f"generator {data['generator']}, {data['preset']} {data['part']}, seed {data['seed']}"
    return f"{kind}, {people} people, {'x'.join(map(str, run['size']))}, {run['steps']} steps"


def _over_runs(score: dict[str, float]) -> str:
    spread = "" if score["std"] is None else f" ± {100 * score['std']:.1f}"
    return f"{100 * score['mean']:.1f}{spread} [{100 * score['low']:.1f}, {100 * score['high']:.1f}]"


def speed() -> str:
    """Images per hour of this version and the first one; one file for each machine or setting."""
    files = sorted(RESULTS.glob("speed*.json"))
    if not files:
        return _missing("synth_speed.py")
    columns = ("preset", "size", "where", "processes", "version", "images/hour", "with start-up", "ratio")
    lines = [f"| {' | '.join(columns)} |", "|---|---|---|---:|---|---:|---:|---:|"]
    for file in files:
        content = json.loads(file.read_text(encoding="utf-8"))
        about, turns = content["settings"], content["ratios"]
        for name, median in content["median"].items():
            own = name != about["against"]
            where = about["machine"]["gpu" if own else "cpu"]
            ratio = f"{content['ratio']:.1f} ({min(turns):.1f} to {max(turns):.1f})" if own else "1"
            rates = (f"{median[key]:,.0f}" for key in ("rate", "whole"))
            version = "this one" if own else name
            cells = (about["preset"], about["size"], where, str(about["workers"]), version, *rates, ratio)
            lines.append(f"| {' | '.join(cells)} |")
    note = "Medians of turns taken alternately on one machine; with start-up: of a set as small as the measured one."
    return "\n".join([*lines, "", note])


def constants() -> str:
    """Named numbers of materials, people, cameras and places, with the comment that says where they are from."""
    lines = ["| constants | what they are and where they are from |", "|---|---|"]
    for name in CONSTANTS:
        rows = sourced_constants((SYNTH / f"{name}.py").read_text(encoding="utf-8"), f"{name}.py")
        for source, group in groupby(rows, key=lambda row: row[2]):
            cell = "<br>".join(f"`{key}` {value}" for key, value, _ in group)
            lines.append(f"| {cell} | {source} |")
    return "\n".join(lines)


def sourced_constants(text: str, file: str) -> Iterator[tuple[str, str, str]]:
    """Name, value and comment of every public number, or collection of numbers, that a module names.

    A comment above belongs to the constant below it and, in the lines that follow without a gap, to those it names by
    a word of theirs. A comment behind a constant is added to its value, or is all that is said of it. Names of several
    values at once are codes, such as columns of a table, and are left out, as are kernels' constants. A number that
    nothing is said of ends the run.
    """
    lines = text.splitlines()
    above, last_line = "", 0
    for node in ast.parse(text).body:
        first, end = node.lineno - 1, node.end_lineno or node.lineno
        block = _comment_above(lines, first)
        above = block or (above if first == last_line else "")
        last_line = end
        name, value = _named(node)
        if value is None or not name.isupper() or name.startswith("_") or not _is_number(value):
            continue
        meant = above if block or any(word in above.lower() for word in name.lower().split("_")) else ""
        behind = lines[end - 1][node.end_col_offset or 0 :].partition("#")[2].strip()
        if not meant and not behind:
            sys.exit(f"{file}:{first + 1}: nothing says where {name} is from; write a comment above or behind it")
        shown = f"{_value(value)}: {behind}" if meant and behind else _value(value)
        yield name, shown.replace("|", "\\|"), (meant or behind).replace("|", "\\|")


def _named(node: ast.stmt) -> tuple[str, ast.expr | None]:
    """The name and the value of a plain assignment."""
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    return (target.id, value) if isinstance(target, ast.Name) else ("", None)


def _is_number(node: ast.expr) -> bool:
    """Whether it is a number, or numbers in tuples, lists, arrays and dicts whose keys are strings."""
    if isinstance(node, ast.Dict):
        keyed = all(isinstance(key, ast.Constant) and isinstance(key.value, str) for key in node.keys)
        return keyed and all(map(_is_number, node.values))
    if isinstance(node, ast.Tuple | ast.List):
        return all(map(_is_number, node.elts))
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) == "np.array" and _is_number(node.args[0])
    if isinstance(node, ast.UnaryOp):
        return _is_number(node.operand)
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def _comment_above(lines: list[str], first: int) -> str:
    start = first
    while start > 0 and lines[start - 1].startswith("#"):
        start -= 1
    return " ".join(line.lstrip("# ").rstrip() for line in lines[start:first])


def _value(node: ast.expr) -> str:
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        text = ", ".join(f"{key.value!s} {ast.unparse(value)}" for key, value in pairs if isinstance(key, ast.Constant))
    elif isinstance(node, ast.Call) and node.args:  # np.array([...])
        text = ast.unparse(node.args[0])
    else:
        text = ast.unparse(node)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def _content(name: str) -> dict[str, Any] | None:
    file = RESULTS / name
    content: dict[str, Any] | None = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    return content


def _missing(script: str) -> str:
    return f"Not measured yet for this version; `benchmarks/{script}` does it."
