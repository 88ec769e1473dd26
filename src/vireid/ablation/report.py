"""What a sweep has found so far, as plain data: `ablation.json`, and from it `ablation.md` and the chart."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vireid.ablation import pictures, tables
from vireid.ablation.file import plain
from vireid.ablation.state import FAILURE, epochs_logged, own_results
from vireid.ablation.sweep import PlannedRun, Row, Sweep, last_part, portable
from vireid.atomic import write_text
from vireid.evaluation.results import SCORES, Result
from vireid.evaluation.significance import holm, mean_and_std, paired_comparison
from vireid.figures.style import save

FORMAT = 1
GROUP = ("dataset", "protocol", "direction", "rerank")
# Of `environment.json`; the rest of it is packages and their versions.
MACHINE = ("commit", "device", "device_name", "threads")

Plain = dict[str, Any]


def write(sweep: Sweep, output: Path) -> Plain:
    """Write the three files from what the run folders hold, each whole or not at all; returns the JSON's content."""
    ablation = collect(sweep, output)
    write_text(output / "ablation.json", json.dumps(ablation, indent=1, ensure_ascii=False) + "\n")
    write_text(output / "ablation.md", tables.markdown(ablation))
    save(pictures.chart(ablation), output / "ablation")
    return ablation


def collect(sweep: Sweep, output: Path) -> Plain:
    """All runs and the statistics over them. Scores are fractions; no path in it is absolute."""
    runs: dict[str, list[PlannedRun]] = {row.name: [] for row in sweep.rows}
    for run in sweep.runs:
        runs[run.row.name].append(run)
    rows = [{**_row(row, runs[row.name], sweep, output), "against": _against(row, sweep)} for row in sweep.rows]
    _summarise(rows)
    return {
        "format": FORMAT,
        "title": sweep.title,
        "sweep": sweep.path.name,
        "base": portable(sweep.base),
        "reference": sweep.rows[0].name,
        "seeds": list(sweep.seeds),
        "repeat": portable(sweep.repeat),
        "set": portable(sweep.common),
        "grid": portable(sweep.grid),
        "rows": rows,
        "environment": _environment([output / run.folder for run in sweep.runs]),
    }


def _against(row: Row, sweep: Sweep) -> str | None:
    """The row that a row is compared with; None for the first unless it says otherwise."""
    first = sweep.rows[0]
    return row.against or (first.name if row is not first else None)


def _row(row: Row, runs: Sequence[PlannedRun], sweep: Sweep, output: Path) -> Plain:
    changes = portable(row.changes)
    base = {} if sweep.base is not None and row.base == sweep.path.parent / sweep.base else {"base": row.base.name}
    return {"row": row.name, "changes": {**base, **changes}, "runs": [_run(run, sweep, output) for run in runs]}


def _run(run: PlannedRun, sweep: Sweep, output: Path) -> Plain:
    folder = output / run.folder
    logged = epochs_logged(folder)
    failure = None
    if (folder / FAILURE).exists():
        failure = (folder / FAILURE).read_text(encoding="utf-8", errors="replace").strip()
    results = [] if failure is not None else own_results(folder)
    return {
        "repeat": portable(run.repeat),
        "folder": run.folder.as_posix(),
        "status": "failed" if failure is not None else "done" if results else "missing",
        "message": failure,
        "epochs": len(logged),
        "seconds": round(sum(_number(line.get("seconds")) for line in logged), 3),
        "results": [_result(row, sweep.repeat) for row in results],
    }


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _result(row: Result, repeat: dict[str, list[Any]]) -> Plain:
    """A row of `results.json` without its curves and single trials."""
    kept = row.model_dump(mode="json", include={*GROUP, "method", "cmc_unit", "selection", "mean", "std", "chance"})
    sizes = {"trials": len(row.trials), "queries": row.trials[0].num_queries, "gallery": row.trials[0].num_gallery}
    root = {} if Path(row.data_root).is_absolute() else {"data_root": row.data_root}
    return {**kept, "protocol": _protocol(row.protocol, repeat), **sizes, "unreadable": len(row.unreadable), **root}


def _protocol(name: str, repeat: dict[str, list[Any]]) -> str:
    """RegDB's `trial 1` as `trial 1 + 2` where all of them are averaged."""
    for key, values in repeat.items():
        word, texts = last_part(key), [plain(value) for value in values]
        pattern = rf"\b{re.escape(word)} ({'|'.join(map(re.escape, texts))})(?!\w)"
        name = re.sub(pattern, f"{word} {' + '.join(texts)}".replace("\\", r"\\"), name)
    return name


def _summarise(rows: Sequence[Plain]) -> None:
    """Give every row its `summary`, one entry for each test that it was evaluated on."""
    found = {row["row"]: _results_of(row) for row in rows}
    for row in rows:
        reference = found.get(row["against"], {})
        row["summary"] = [_entry(group, repeats, reference.get(group)) for group, repeats in found[row["row"]].items()]
    for group in dict.fromkeys(group for own in found.values() for group in own):
        entries = [e for row in rows for e in row["summary"] if _key(e) == group and e["difference"] is not None]
        for score in SCORES:
            adjusted = holm([entry["difference"][score]["p"] for entry in entries])
            for entry, p in zip(entries, adjusted, strict=True):
                entry["difference"][score]["p_holm"] = p


def _results_of(row: Plain) -> dict[tuple[str, ...], dict[str, Plain]]:
    """For each test the results of a row, by repeat."""
    found: dict[tuple[str, ...], dict[str, Plain]] = {}
    for run in row["runs"]:
        for result in run["results"]:
            found.setdefault(_key(result), {})[plain(run["repeat"])] = result
    return found


def _entry(group: tuple[str, ...], repeats: dict[str, Plain], reference: dict[str, Plain] | None) -> Plain:
    spread = {score: mean_and_std([result["mean"][score] for result in repeats.values()]) for score in SCORES}
    both = [repeat for repeat in repeats if repeat in (reference or {})]
    difference = None
    if reference is not None and both and all(_same_test(repeats[r], reference[r]) for r in both):
        pairs = {s: ([repeats[r]["mean"][s] for r in both], [reference[r]["mean"][s] for r in both]) for s in SCORES}
        difference = {score: asdict(paired_comparison(*pair)) for score, pair in pairs.items()}
    return {
        **dict(zip(GROUP, group, strict=True)),
        "n": len(repeats),
        "unreadable": max(result["unreadable"] for result in repeats.values()),
        "mean": {score: mean for score, (mean, _) in spread.items()},
        "std": {score: std for score, (_, std) in spread.items()},
        "difference": difference,
    }


def _same_test(result: Plain, reference: Plain) -> bool:
    """Scores on fewer images are those of an easier test."""
    return all(result[name] == reference[name] for name in ("trials", "queries", "gallery"))


def _key(entry: Plain) -> tuple[str, ...]:
    return tuple(entry[name] for name in GROUP)


def _environment(folders: Sequence[Path]) -> Plain:
    """Versions and machine; several values where the runs were made in different places."""
    facts = [_facts(folder / "environment.json") for folder in folders]
    merged = {
        key: ", ".join(dict.fromkeys(str(fact[key]) for fact in facts if fact.get(key) not in (None, "")))
        for key in dict.fromkeys(key for fact in facts for key in fact)
    }
    versions = {key: value for key, value in merged.items() if key not in MACHINE}
    return {"versions": versions, **{key: merged.get(key, "") for key in MACHINE}}


def _facts(path: Path) -> Plain:
    """What a run folder says of its machine; nothing where the file is missing or damaged."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}
