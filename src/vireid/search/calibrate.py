"""Thresholds and probabilities of a model, measured on labelled crops: `vireid calibrate`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vireid.atomic import require_writable, write_text
from vireid.embedder import fingerprint, load_run
from vireid.errors import InputError
from vireid.evaluation.calibration import KINDS, Calibration, calibrate, pair_scores
from vireid.experiment.embedded import embed_tests
from vireid.figures.charts import det_chart
from vireid.figures.style import save
from vireid.sample import Modality

FILE = "calibration.json"


@dataclass(frozen=True)
class Calibrations:
    """What a model's scores mean, by kind of pair; kinds that the labelled crops could not tell are left out."""

    fingerprint: str
    data: str
    kinds: dict[str, Calibration]

    def of(self, query: Modality, found: Modality) -> Calibration | None:
        """That of a pair of crops, in whatever order."""
        pair = sorted((query, found))
        return next((self.kinds.get(kind) for kind, each in KINDS.items() if sorted(each) == pair), None)


def calibrate_run(model: str, root: Path | None, output: Path | None, *, device: str = "auto") -> Calibrations:
    """Measure error rates over all pairs of a labelled test set, and write them as JSON and as a picture (PNG, SVG).

    Args:
        model: a run folder, or `default`.
        root: the labelled crops; None for the run's own test set.
        output: the JSON file; default: `calibration.json` in the run folder. The pictures lie beside it.
        device: `auto` or a torch device.

    Raises:
        InputError: no kind of pair has pairs of one person and of two, or a file cannot be read or written.
    """
    run = load_run(model)
    if output is None and model == "default":
        raise InputError("the shipped model is not written to; say with --output where the calibration goes")
    output = output or run.path / FILE
    require_writable(output)
    scores, names = {kind: ([], []) for kind in KINDS}, []  # type: ignore[var-annotated]
    for test in embed_tests(run, root=root, device=device):
        names.append(test.name)
        for kind, sides in scores.items():
            for side, found in zip(sides, pair_scores(test.samples, test.embeddings, kind), strict=True):
                side.append(found)
    joined = {kind: [np.concatenate(side) for side in sides] for kind, sides in scores.items()}
    kinds = {kind: calibrate(*sides) for kind, sides in joined.items() if all(len(side) for side in sides)}
    if not kinds:
        raise InputError("the test set has no two crops of one person by different cameras or tracks; give other data")
    result = Calibrations(fingerprint(run), ", ".join(names), kinds)
    write_text(output, json.dumps(plain(result), indent=1) + "\n")
    save(picture(result), output.with_suffix(""))
    return result


def plain(found: Calibrations) -> dict[str, Any]:
    """For JSON; `read_calibrations` reads it."""
    kinds = {kind: each.to_dict() for kind, each in found.kinds.items()}
    return {"fingerprint": found.fingerprint, "data": found.data, "kinds": kinds}


def picture(found: Calibrations) -> Figure:
    """The trade-off of the two errors."""
    curves = {}
    for kind, each in found.kinds.items():
        _, fmr, fnmr = zip(*each.curve, strict=True)
        curves[f"{kind} ({each.genuine:,} pairs of one person, {each.impostor:,} of two)"] = (fmr, fnmr)
    return det_chart(curves, title=f"Errors of {found.fingerprint} on {found.data}")


def read_calibrations(file: Path, fingerprint: str) -> Calibrations | None:
    """Those of a file that `calibrate_run` wrote, if they are of these weights; None if it is not there.

    Raises:
        InputError: the file is damaged.
    """
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        kinds = {kind: Calibration.from_dict(each) for kind, each in content["kinds"].items()}
        found = Calibrations(content["fingerprint"], content["data"], kinds)
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{file} is damaged; write it anew with `vireid calibrate`") from None
    return found if found.fingerprint == fingerprint else None


def table(found: Calibrations) -> str:
    """Thresholds by kind of pair."""
    lines = [f"{'pairs':18} {'of one person':>14} {'of two':>11} {'FMR':>8} {'threshold':>10} {'FNMR':>7}"]
    for kind, each in found.kinds.items():
        counts = f"{each.genuine:14,} {each.impostor:11,}"
        if not each.thresholds:
            lines.append(f"{kind:18} {counts} too few pairs of two people to tell any rate")
        for threshold in each.thresholds:
            lines.append(f"{kind:18} {counts} {threshold.fmr:8.2%} {threshold.score:10.3f} {threshold.fnmr:7.1%}")
    return "\n".join(lines)
