"""What a sweep has found so far, as plain data: `ablation.json`, and from it `ablation.md` and `ablation.svg`."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vireid.ablation import pictures, tables
from vireid.ablation.state import FAILURE, epochs_logged, own_results
from vireid.ablation.sweep import PlannedRun, Row, Sweep, last_part, plain
from vireid.atomic import write_text
from vireid.evaluation.results import SCORES, Result
from vireid.evaluation.significance import holm, mean_and_std, paired_comparison

FORMAT = 1
GROUP = ("dataset", "protocol", "direction", "rerank")
# Of `environment.json`; the rest of it is packages and their versions.
MACHINE = ("commit", "device", "device_name", "threads")

Plain = dict[str, Any]


def write(sweep: Sweep, output: Path) -> Plain:
    """Write the three files from what the run folders hold, each whole or not at all; returns the JSON's content."""
    ablation = collect(sweep, output)
    contents = {
        "ablation.json": json.dumps(ablation, indent=1, ensure_ascii=False) + "\n",
        "ablation.md": tables.markdown(ablation),
        "ablation.svg": pictures.chart(ablation),
    }
    for name, content in contents.items():
        write_text(output / name, content)
    return ablation


def collect(sweep: Sweep, output: Path) -> Plain:
    """All runs and the statistics over them. Scores are fractions; no path in it is absolute."""
    rows = [_row(row, [run for run in sweep.runs if run.row == row], sweep, output) for row in sweep.rows]
    _summarise(rows)
    return {
        "format": FORMAT,
        "title": sweep.title,
        "sweep": sweep.path.name,
        "base": _portable(sweep.base),
        "reference": sweep.rows[0].name,
        "seeds": list(sweep.seeds),
        "repeat": sweep.repeat,
        "set": {key: _portable(value) for key, value in sweep.common.items()},
        "grid": {key: [_portable(value) for value in values] for key, values in sweep.grid.items()},
        "rows": rows,
        "environment": _environment([output / run.folder for run in sweep.runs]),
    }


def _row(row: Row, runs: Sequence[PlannedRun], sweep: Sweep, output: Path) -> Plain:
    changes = {key: _portable(value) for key, value in row.changes.items()}
    base = {} if sweep.base is not None and row.base == sweep.path.parent / sweep.base else {"base": row.base.name}
    return {"row": row.name, "changes": {**base, **changes}, "runs": [_run(run, sweep, output) for run in runs]}


def _run(run: PlannedRun, sweep: Sweep, output: Path) -> Plain:
    folder = output / run.folder
    logged = epochs_logged(folder)
    failure = (folder / FAILURE).read_text(encoding="utf-8").strip() if (folder / FAILURE).exists() else None
    results = own_results(folder) if len(logged) >= run.config.train.epochs else []
    status = "failed" if failure is not None else "done" if results else "missing"
    return {
        "repeat": run.repeat,
        "folder": run.folder.as_posix(),
        "status": status,
        "message": failure,
        "epochs": len(logged),
        "seconds": round(sum(line.get("seconds", 0.0) for line in logged), 3),
        "results": [_result(row, sweep.repeat) for row in results] if status == "done" else [],
    }


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
    scores = [_scores_of(row) for row in rows]
    for row, own in zip(rows, scores, strict=True):
        row["summary"] = [_entry(group, repeats, scores[0].get(group)) for group, repeats in own.items()]
    for entry in rows[0]["summary"] if rows else ():
        entry["difference"] = None  # to itself
    for group in dict.fromkeys(group for own in scores for group in own):
        entries = [e for row in rows for e in row["summary"] if _key(e) == group and e["difference"] is not None]
        for score in SCORES:
            adjusted = holm([entry["difference"][score]["p"] for entry in entries])
            for entry, p in zip(entries, adjusted, strict=True):
                entry["difference"][score]["p_holm"] = p


def _scores_of(row: Plain) -> dict[tuple[str, ...], dict[str, dict[str, float]]]:
    """For each test the mean scores of a row, by repeat."""
    found: dict[tuple[str, ...], dict[str, dict[str, float]]] = {}
    for run in row["runs"]:
        for result in run["results"]:
            found.setdefault(_key(result), {})[plain(run["repeat"])] = result["mean"]
    return found


def _entry(
    group: tuple[str, ...], repeats: dict[str, dict[str, float]], reference: dict[str, dict[str, float]] | None
) -> Plain:
    spread = {score: mean_and_std([scores[score] for scores in repeats.values()]) for score in SCORES}
    both = [repeat for repeat in repeats if repeat in (reference or {})]
    difference = None
    if reference is not None and both:
        pairs = {s: ([repeats[r][s] for r in both], [reference[r][s] for r in both]) for s in SCORES}
        difference = {score: asdict(paired_comparison(*pair)) for score, pair in pairs.items()}
    return {
        **dict(zip(GROUP, group, strict=True)),
        "n": len(repeats),
        "mean": {score: mean for score, (mean, _) in spread.items()},
        "std": {score: std for score, (_, std) in spread.items()},
        "difference": difference,
    }


def _key(entry: Plain) -> tuple[str, ...]:
    return tuple(entry[name] for name in GROUP)


def _environment(folders: Sequence[Path]) -> Plain:
    """Versions and machine; several values where the runs were made in different places."""
    facts = [json.loads(path.read_text()) for folder in folders if (path := folder / "environment.json").exists()]
    merged = {
        key: ", ".join(dict.fromkeys(str(fact[key]) for fact in facts if fact.get(key) not in (None, "")))
        for key in dict.fromkeys(key for fact in facts for key in fact)
    }
    versions = {key: value for key, value in merged.items() if key not in MACHINE}
    return {"versions": versions, **{key: merged.get(key, "") for key in MACHINE}}


def _portable(value: Any) -> Any:
    """An absolute path tells about one machine only: its last part stays."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
