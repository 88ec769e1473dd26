"""Your own images: a CSV file, or a folder tree.

CSV: header `path,pid,modality,camid` and optional `split,track,time`; `camid` may be left out or empty where
cameras are not known; paths are relative to the file. A row reads `crops/0001.jpg,17,infrared,3,train`.
Tree: `ROOT/{visible,infrared}/<pid>/<image>`, pid a number; everything in it is a test image.
Without `split` a test set is every infrared image against every visible one, and the reverse.
"""

import csv
import difflib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from vireid.data.files import image_files, is_number, read_lines, require_folder
from vireid.data.report import Report
from vireid.errors import InputError
from vireid.sample import Modality, Sample

REQUIRED = ("path", "pid", "modality")
OPTIONAL = ("camid", "split", "track", "time")
SPLITS = ("train", "val", "test", "query", "gallery")
MODALITIES = {modality.name.lower(): modality for modality in Modality}
CONTACT = "your own images"


class Config(BaseModel):
    """Where the images are listed: a CSV file, a folder with `manifest.csv`, or a folder tree."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path


def load(config: Config) -> list[Sample]:
    """All images, in the order of the file, or by modality, identity and file name for a tree.

    Raises:
        InputError: there is nothing at `root`, a row is malformed or repeated, or a test has no query or no
            gallery.
    """
    samples = read(config.root)
    require_both_sides(samples, config.root)
    return samples


def read(root: Path) -> list[Sample]:
    """As `load`, for images that are not to be trained on or evaluated: one modality is enough."""
    if root.is_file():
        return read_csv(root)
    require_folder(root, "a CSV file, a folder with manifest.csv, or a folder with visible/ and infrared/")
    if (root / "manifest.csv").is_file():
        return read_csv(root / "manifest.csv")
    folders = {modality: root / name for name, modality in MODALITIES.items()}
    present = [folder for folder in folders.values() if folder.is_dir()]
    if not present:
        raise InputError(f"{root} holds neither manifest.csv nor visible/ and infrared/; add one of them")
    if len(present) == 1:
        missing = next(folder for folder in folders.values() if folder not in present)
        raise InputError(f"{root} has {present[0].name}/ but no {missing.name}/; expected both")
    samples = [sample for modality, folder in folders.items() for sample in _read_tree(folder, modality)]
    if not samples:
        raise InputError(f"{root}: visible/ and infrared/ hold no image; expected {{visible,infrared}}/<pid>/<image>")
    return samples


def read_csv(file: Path) -> list[Sample]:
    """The rows of a manifest in their order; raises `InputError` with file, row, got and expected."""
    try:
        return _read_rows(file, csv.reader(read_lines(file, "a CSV file")))
    except csv.Error as error:
        raise InputError(
            f"{file} is no CSV file ({error}); expected one image a row under {','.join(REQUIRED)}"
        ) from None


def _read_rows(file: Path, reader: Any) -> list[Sample]:
    header = [name.strip() for name in next(reader, [])]
    _check_header(file, header)
    samples: list[Sample] = []
    seen: dict[Path, int] = {}
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        row = reader.line_num
        if len(cells) != len(header):
            raise InputError(f"{file}, row {row}: got {len(cells)} cells, expected {len(header)} ({','.join(header)})")
        sample = _sample(file, row, dict(zip(header, map(str.strip, cells), strict=True)))
        if sample.path in seen:
            raise InputError(
                f"{file}, row {row}: {sample.path.name} is listed already in row {seen[sample.path]}; remove one"
            )
        seen[sample.path] = row
        samples.append(sample)
    if not samples:
        raise InputError(f"{file} has no rows; expected one image a row under {','.join(REQUIRED)}")
    return samples


def require_both_sides(samples: Sequence[Sample], source: Path) -> None:
    """Raise `InputError` where a test has queries but no gallery, or images of one modality only."""
    splits = {sample.split for sample in samples}
    for side, other in (("query", "gallery"), ("gallery", "query")):
        if side in splits and other not in splits:
            raise InputError(
                f"{source}: the {other} is empty, though there are {side} rows; give rows of split {other}"
            )
    asked, answering = ({s.modality for s in samples if s.split in ("test", side)} for side in ("query", "gallery"))
    if asked and answering and not any(modality.other in answering for modality in asked):
        missing = next(iter(asked)).other.name.lower()
        raise InputError(f"{source}: the gallery is empty: no {missing} test image; add some, or give other splits")


def check(root: Path) -> Report:
    """Count images, identities and cameras, decode every image; `InputError` if nothing is there."""
    samples = read(root)
    report = Report("manifest", root, CONTACT)
    describe(report, samples)
    try:
        require_both_sides(samples, root)
    except InputError as error:
        report.expect("can be evaluated", "no", "yes")
        report.notes.append(str(error))
    return report


def describe(report: Report, samples: Sequence[Sample], part: str = "") -> None:
    """Add counts by split and modality, identities, cameras and unreadable images; `part` heads each row."""
    report.require(f"{part}images", len(samples))
    counts = Counter((sample.split, sample.modality) for sample in samples)
    for split in SPLITS:
        for name, modality in MODALITIES.items():
            if counts[split, modality]:
                report.expect(f"{part}{split} images, {name}", counts[split, modality], None)
    pids = {modality: {s.pid for s in samples if s.modality is modality} for modality in Modality}
    both = pids[Modality.VISIBLE] & pids[Modality.INFRARED]
    single = (pids[Modality.VISIBLE] ^ pids[Modality.INFRARED]) - both
    report.expect(f"{part}identities", len(both | single), None)
    report.require(f"{part}identities in both modalities", len(both))
    if single:
        report.notes.append(
            f"identities in one modality only: {len(single)}, for example {sorted(single)[:5]}; they are not trained "
            "on, and their queries have no match"
        )
    trained, tested = ({s.pid for s in samples if (s.split == "train") == wanted} for wanted in (True, False))
    report.expect(f"{part}identities both trained on and tested", len(trained & tested), 0)
    unknown = sum(sample.camid == 0 for sample in samples)
    report.expect(f"{part}cameras", len({sample.camid for sample in samples} - {0}), None)
    if unknown:
        report.notes.append(
            f"{unknown} images have no camera: in mixed galleries and in calibration each counts as of one of its own"
        )
    report.expect_readable(f"{part}unreadable images", [sample.path for sample in samples])


def _read_tree(folder: Path, modality: Modality) -> list[Sample]:
    people = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    for path in people:
        if not is_number(path.name):
            raise InputError(f"{path}: got folder name '{path.name}', expected the identity's number, such as 0017")
    people.sort(key=lambda path: (int(path.name), path.name))
    return [Sample(path, int(person.name), modality) for person in people for path in image_files(person)]


def _check_header(file: Path, header: list[str]) -> None:
    expected = f"expected {','.join(REQUIRED)} and, optional, {','.join(OPTIONAL)}"
    got = ",".join(header)[:200]
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise InputError(f"{file}, row 1: no column {', '.join(missing)}; got '{got}', {expected}")
    if len(set(header)) != len(header):
        raise InputError(f"{file}, row 1: a column is named twice; got '{got}', {expected}")
    absent = [name for name in OPTIONAL if name not in header]
    for name in set(header) - {*REQUIRED, *OPTIONAL}:
        # A column of the user's own is fine; a misspelt one (`camera`) would silently switch a rule off.
        near = difflib.get_close_matches(name.lower(), absent, n=1, cutoff=0.54)
        if near:
            raise InputError(f"{file}, row 1: unknown column '{name}', did you mean '{near[0]}'? {expected}")


def _sample(file: Path, row: int, cells: dict[str, str]) -> Sample:
    def wrong(column: str, expected: str) -> InputError:
        return InputError(f"{file}, row {row}: {column} is '{cells[column]}', expected {expected}")

    if not cells["path"]:
        raise wrong("path", "an image file, relative to this file")
    if not is_number(cells["pid"]):
        raise wrong("pid", "the identity's number, 0 or more")
    modality = MODALITIES.get(cells["modality"].lower())
    if modality is None:
        raise wrong("modality", " or ".join(MODALITIES))
    camid = cells.get("camid") or "0"
    if not is_number(camid):
        raise wrong("camid", "the camera's number, or nothing")
    split = cells.get("split") or "test"
    if split not in SPLITS:
        raise wrong("split", f"one of {', '.join(SPLITS)}, or nothing for test")
    path = file.parent / cells["path"].replace("\\", "/")
    return Sample(path, int(cells["pid"]), modality, int(camid), split, cells.get("track", ""), cells.get("time", ""))
