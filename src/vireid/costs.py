"""Costs of several methods side by side, counted and timed in turn; by default the cost table of the DFW-SLN paper.

A report is plain data, as `vireid profile --output` writes it:
`{"format": 1, "rows": [...], "height", "width", "step_images", "embedding_batch", "repeats", "device", "precision",
"threads", "processor"}`; the first row is the reference of all ratios.
"""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from vireid import config as configuration
from vireid.atomic import write_text
from vireid.config import ExperimentConfig
from vireid.embedder import without_download
from vireid.errors import InputError
from vireid.models.precision import device_name, fastest_precision, resolve_device
from vireid.profile import Compared, Setting, compare

FORMAT = 1
IDENTITIES = 395  # of SYSU-MM01; their classifiers are counted apart
STEP_IMAGES = 16  # a comparison holds its methods at once and must end in minutes on a CPU
EMBEDDING_BATCH = 64  # of a single method
# What must be the same for costs to be comparable.
SAME = ("images.height", "images.width", "train.precision", "train.channels_last")


@dataclass(frozen=True)
class Published:
    """A row of Table 2 of the DFW-SLN paper, as printed.

    Attributes:
        parameters: without the identity classifiers.
        macs_per_pair: the paper's FLOPs, which are multiply-accumulates of a visible and an infrared image.
        training_minutes: about, on RegDB.
    """

    parameters: float
    macs_per_pair: float
    training_minutes: float


@dataclass(frozen=True)
class Case:
    """One line of a comparison: a method to build, and what was published about its cost."""

    name: str
    config: ExperimentConfig
    paper: Published | None = None
    note: str | None = None


MISPRINT = (
    "26.71 M is probably a misprint of 38.71 M; this is our inference, not the authors' word. The printed FLOPs are "
    "those of two full layer4 passes per image, and an independent second layer4 alone adds 14.96 M parameters: with "
    "a neck for each branch 38.71 M."
)
# Name, method section, published figures, note. The paper's MMG is not built here.
PAPER: tuple[tuple[str, dict[str, Any], Published | None, str | None], ...] = (
    ("Baseline", {"name": "baseline", "split": 2}, Published(23.74e6, 10.301e9, 45), None),
    ("AGW", {"name": "agw"}, Published(23.55e6, 10.318e9, 47), None),
    ("HCT", {"name": "hct"}, None, "Not in the paper's table."),
    ("DFW-SLN", {"name": "dfw_sln"}, Published(26.71e6, 15.150e9, 58), MISPRINT),
)


def paper_cases(overrides: Sequence[str] = ()) -> list[Case]:
    """The rows of the paper's table at 288x144, less what is not built here; `key=value` overrides apply to all.

    The published figures are left out where an override makes another network or another image size of a row.
    """
    changes = dict(configuration.parse_override(override) for override in overrides)
    cases = []
    for name, method, paper, note in PAPER:
        plain = {"method": {**method, "weights": "none"}, "data": {"name": "synthvi"}}
        published = configuration.from_dict({**plain, "images": {"height": 288, "width": 144}})
        config = published.override(changes)
        same = config.method == published.method and config.images == published.images
        cases.append(Case(name, config, paper, note) if same else Case(name, config))
    return cases


def config_cases(paths: Sequence[Path], overrides: Sequence[str] = ()) -> list[Case]:
    """One case per YAML file, named after it."""
    return [Case(path.stem, configuration.load(path, overrides)) for path in paths]


def compare_cases(
    cases: Sequence[Case], *, repeats: int = 3, images: int | None = None, device: str = "auto", progress: bool = False
) -> list[Compared]:
    """Count and time the cases' methods with random weights, at the images, precision and layout of their configs.

    Args:
        cases: what to compare, the reference first.
        repeats: timed rounds; 0 counts only.
        images: in a training step and in an embedding batch. Default: 16, but the config's own batch and 64 for
            a single case.
        device: `auto` or a torch device.
        progress: show a bar on stderr.

    Raises:
        InputError: `images` is not a multiple of 8 or below 16, or the cases differ in what must be the same.
    """
    if images is not None and (images < 16 or images % 8):
        raise InputError(
            f"--images {images}: expected 16, 24, 32, ... (two people or more, 4 images each per modality)"
        )
    _require_same(cases)
    config = cases[0].config
    place = resolve_device(device)
    own_batch = 2 * config.train.identities * config.train.images_per_modality
    single = len(cases) == 1
    setting = Setting(
        height=config.images.height,
        width=config.images.width,
        num_identities=IDENTITIES,
        step_images=images or (own_batch if single else STEP_IMAGES),
        embedding_batch=images or (EMBEDDING_BATCH if single else STEP_IMAGES),
        repeats=repeats,
        device=str(place),
        precision=fastest_precision(place) if config.train.precision == "auto" else config.train.precision,
        channels_last=config.train.channels_last,
    )
    methods = [case.config.method for case in cases]
    built = [method.module.build(without_download(method.options), IDENTITIES) for method in methods]
    return compare(built, setting, progress=progress)


def _require_same(cases: Sequence[Case]) -> None:
    for key in SAME:
        section, name = key.split(".")
        values = [getattr(getattr(case.config, section), name) for case in cases]
        for case, value in zip(cases, values, strict=True):
            if value != values[0]:
                raise InputError(
                    f"{key} is {values[0]} in {cases[0].name} and {value} in {case.name}; costs compare only at the "
                    f"same: add --set {key}={values[0]}"
                )


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
        "classifier_parameters": costs.profile.classifier_parameters,
        "macs_per_pair": costs.profile.macs_per_pair,
        "step_seconds": costs.profile.step_seconds,
        "step_ratio": costs.step_ratio,
        "embedded_per_second": costs.profile.embedded_per_second,
        "embed_ratio": costs.embed_ratio,
        "paper": asdict(case.paper) if case.paper else None,
        "note": case.note,
    }


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
    columns = [
        ("Params/M", [_number(row["parameters"], 2, 1e6) for row in rows], True),
        ("(paper)", [_number(paper and paper["parameters"], 2, 1e6) for paper in papers], printed),
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
        f"Images of {report['height']}x{report['width']}. Params: without the identity classifiers. FLOPs: "
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
            f"{report['embedding_batch']}; both the median over rounds ({report['repeats']}) with the methods in turn. "
            f"ratio: to {report['rows'][0]['name']}, median of the ratios of each round. Measured on "
            f"{report['device']} ({report['processor']}), {report['precision']}, threads: {report['threads']}."
        )
    return remarks + [f"[{number}] {note}" for number, note in enumerate(_notes(report), 1)]


def require_writable(output: Path) -> None:
    """Raise `InputError` now rather than after the measurement if the report could not be written."""
    if output.is_dir():
        raise InputError(f"--output {output} is a folder; give a file, for example {output / 'costs.json'}")
    try:
        with NamedTemporaryFile(dir=output.absolute().parent):
            pass
    except OSError as error:
        raise InputError(f"--output {output}: cannot write there ({error.strerror}); choose another folder") from None


def save(output: Path, report: Mapping[str, Any]) -> None:
    """Write the report, whole or not at all."""
    write_text(output, json.dumps(report, indent=1) + "\n")
