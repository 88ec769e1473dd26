"""A comparison as plain data, as a table for a terminal, as Markdown and as a file.

A report is what `vireid profile` prints with `--json` and writes with `--output`:
`{"format": 1, "rows": [...], "height", "width", "step_images", "embedding_batch", "repeats", "device", "precision",
"threads", "processor"}`; the first row is the reference of all ratios. That of a single config is flat: the keys of
its row stand in the place of `rows`.
"""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vireid.atomic import write_text
from vireid.costs.cases import Case
from vireid.costs.measure import Compared
from vireid.models.precision import device_name

FORMAT = 1
# Keys of a row that say nothing without other rows or a paper.
OF_A_TABLE = ("step_ratio", "embed_ratio", "paper", "note")


def make_report(cases: Sequence[Case], compared: Sequence[Compared], repeats: int) -> dict[str, Any]:
    """The report of a comparison, plain types only."""
    first = compared[0].profile
    return {
        "format": FORMAT,
        "rows": [_row(case, costs) for case, costs in zip(cases, compared, strict=True)],
        "height": first.height,
        "width": first.width,
        "step_images": first.step_images,
        "embedding_batch": first.embedding_batch,
        "repeats": repeats,
        "device": first.device,
        "precision": first.precision,
        "threads": first.threads,
        "processor": device_name(first.device),
    }


def _row(case: Case, costs: Compared) -> dict[str, Any]:
    return {
        "name": case.name,
        "parameters": costs.profile.parameters,
        "training_parameters": costs.profile.training_parameters,
        "classifier_parameters": costs.profile.classifier_parameters,
        "macs_per_pair": costs.profile.macs_per_pair,
        "step_seconds": costs.profile.step_seconds,
        "step_ratio": costs.step_ratio,
        "embedded_per_second": costs.profile.embedded_per_second,
        "embed_ratio": costs.embed_ratio,
        "paper": asdict(case.paper) if case.paper else None,
        "note": case.note,
    }


def flat_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report of a single config with the keys of its row at the top level."""
    (row,) = report["rows"]
    own = {key: value for key, value in row.items() if key not in OF_A_TABLE}
    return {"format": report["format"], **own, **{key: value for key, value in report.items() if key != "rows"}}


def text_list(flat: Mapping[str, Any]) -> str:
    """The report of a single config for a terminal, one line per quantity."""
    where = f"{flat['device']}, {flat['precision']}, {flat['threads']} threads"
    parts = [
        ("parameters", ""),
        ("training_parameters", " for training only"),
        ("classifier_parameters", " classifier"),
    ]
    parameters = " + ".join(f"{flat[key] / 1e6:.2f} M{what}" for key, what in parts if flat[key])
    lines = [
        ("input", f"{flat['height']} x {flat['width']} (height x width)"),
        ("parameters", parameters),
        ("MACs", f"{flat['macs_per_pair'] / 1e9:.3f} G for a visible + an infrared image"),
    ]
    if flat["repeats"]:
        speed = f"{flat['embedded_per_second']:.1f} images/s in batches of {flat['embedding_batch']} ({where})"
        step = f"{flat['step_seconds']:.3f} s for {flat['step_images']} images ({where})"
        lines += [("training step", step), ("embedding", speed)]
    return "\n".join(f"{name:<14} {value}" for name, value in lines)


def text_table(report: Mapping[str, Any]) -> str:
    """The report for a terminal."""
    cells = _cells(report)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    ]
    return "\n".join([*lines, "", *(textwrap.fill(remark, 110) for remark in _remarks(report))])


def markdown(report: Mapping[str, Any]) -> str:
    """The report as a Markdown table with its remarks."""
    header, *rows = ["| " + " | ".join(row) + " |" for row in _cells(report)]
    columns = header.count("|") - 1
    rule = "|---" + "|---:" * (columns - 1) + "|"
    return "\n\n".join(["\n".join([header, rule, *rows]), *_remarks(report)])


def _cells(report: Mapping[str, Any]) -> list[list[str]]:
    """Header and rows, all columns that have something to say."""
    rows, timed = report["rows"], report["repeats"] > 0
    papers = [row["paper"] for row in rows]
    printed = any(papers)
    minutes = [paper and paper["training_minutes"] for paper in papers]
    training = [row.get("training_parameters", 0) for row in rows]
    columns = [
        ("Params/M", [_number(row["parameters"], 2, 1e6) for row in rows], True),
        ("(paper)", [_number(paper and paper["parameters"], 2, 1e6) for paper in papers], printed),
        ("training only/M", [_number(each, 2, 1e6) for each in training], any(training)),
        ("FLOPs/G", [_number(row["macs_per_pair"], 3, 1e9) for row in rows], True),
        ("(paper)", [_number(paper and paper["macs_per_pair"], 3, 1e9) for paper in papers], printed),
        ("step/s", [_number(row["step_seconds"], 3) for row in rows], timed),
        ("ratio", [_number(row["step_ratio"], 2) for row in rows], timed),
        ("(paper)", [_number(own, 2, minutes[0] or 1) for own in minutes], timed and bool(minutes[0])),
        ("images/s", [_number(row["embedded_per_second"], 1) for row in rows], timed),
        ("ratio", [_number(row["embed_ratio"], 2) for row in rows], timed),
    ]
    notes = _notes(report)
    names = [f"{row['name']} [{notes.index(row['note']) + 1}]" if row["note"] else row["name"] for row in rows]
    shown = [[title, *cells] for title, cells, wanted in columns if wanted]
    return [list(line) for line in zip(["method", *names], *shown, strict=True)]


def _number(value: float | None, digits: int, unit: float = 1) -> str:
    return "-" if value is None else f"{value / unit:.{digits}f}"


def _notes(report: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["note"] for row in report["rows"] if row["note"]))


def _remarks(report: Mapping[str, Any]) -> list[str]:
    """What the columns mean and how they were measured, a paragraph each."""
    counted = (
        f"Images of {report['height']}x{report['width']}. Params: those an embedding depends on, so without the "
        "identity classifiers and what else serves training only. FLOPs: "
        "multiply-accumulates to embed one visible and one infrared image (convolutions, linear layers, matrix "
        "products; BatchNorm at two per element)."
    )
    remarks = [counted]
    minutes = [row["paper"]["training_minutes"] for row in report["rows"] if row["paper"]]
    if minutes:
        times = ", ".join(f"{each:.0f}" for each in minutes)
        ratios = f"; ratio: of its {times} minutes of training on RegDB" if report["repeats"] else ""
        remarks.append(f"(paper): as printed in Table 2 of the DFW-SLN paper{ratios}.")
    if report["repeats"]:
        remarks.append(
            f"step: a training step of {report['step_images']} images; images/s: embedding in batches of "
            f"{report['embedding_batch']}; both the median over rounds ({report['repeats']}) with the methods in "
            "turn, each after an untimed run. "
            f"ratio: to {report['rows'][0]['name']}, median of the ratios of each round. Measured on "
            f"{report['device']} ({report['processor']}), {report['precision']}, threads: {report['threads']}."
        )
    return remarks + [f"[{number}] {note}" for number, note in enumerate(_notes(report), 1)]


def save(output: Path, report: Mapping[str, Any]) -> None:
    """Write the report, whole or not at all."""
    write_text(output, json.dumps(report, indent=1) + "\n")
