"""Notes of an unfinished run: which identities are complete, and what the finished set will say about them.

`.progress/settings.json` holds the settings of the run, `.progress/<pid>.json` what one identity left: the rows of
each part's manifest, and what it wears otherwise on another day. The painter writes the latter last, so an identity
with a note has all its images.
"""

import csv
import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vireid.errors import InputError
from vireid.synth.files import write_atomic
from vireid.synth.presets import CAMERAS, PRESETS, Job

COLUMNS = ("path", "pid", "modality", "camid", "split", "track", "time")  # of the manifest
CHANGES = ("top", "bag")
Rows = list[list[str]]


@dataclass(frozen=True, slots=True)
class Note:
    """One identity's rows of the manifest by part, and which of `CHANGES` it changes between days."""

    rows: dict[str, Rows]
    changes: list[str]


def folder_of(out: Path) -> Path:
    """Where the notes of a run lie."""
    return out / ".progress"


def note_file(out: Path, pid: int) -> Path:
    """Where the note of one identity lies."""
    return folder_of(out) / f"{pid:05d}.json"


def write_note(out: Path, pid: int, note: Note) -> None:
    """Say that all images of an identity are there."""
    write_atomic(note_file(out, pid), json.dumps({"rows": note.rows, "changes": note.changes}).encode())


def read_note(out: Path, pid: int) -> Note | None:
    """What one identity left; None if it is missing or damaged."""
    try:
        content = json.loads(note_file(out, pid).read_text())
        rows = {part: [[str(cell) for cell in row] for row in rows] for part, rows in content["rows"].items()}
        return Note(rows, list(content["changes"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def complete(job: Job, out: Path) -> dict[int, Note]:
    """The notes of the identities whose images and silhouettes are all there, by pid."""
    notes = ((pid, read_note(out, pid)) for pid in range(1, job.identities + 1))
    return {pid: note for pid, note in notes if note is not None and _is_whole(job, out, pid, note)}


def intact(job: Job, out: Path, indices: Collection[str]) -> bool:
    """Whether a finished set still has its lists, and `indices`, and all that they name.

    Raises:
        InputError: a manifest is damaged.
    """
    notes = _listed(job, out)
    folders = [out / job.part_folder(part) for part in PRESETS[job.preset].parts]
    if not all(_holds_something(folder / name) for folder in folders for name in indices):
        return False
    return len(notes) == job.identities and all(_is_whole(job, out, pid, note) for pid, note in notes.items())


def restore(job: Job, out: Path) -> None:
    """Write the notes of a finished set anew from its manifest, for those that have none: more is to be painted.

    Raises:
        InputError: a manifest is damaged.
    """
    for pid, note in _listed(job, out).items():
        if not note_file(out, pid).exists():
            write_note(out, pid, note)


def _listed(job: Job, out: Path) -> dict[int, Note]:
    """What the manifests of a finished set say of each identity, by pid; nothing if one or its description is gone."""
    notes: dict[int, Note] = {}
    for part in PRESETS[job.preset].parts:
        folder = out / job.part_folder(part)
        changes = read_json(folder / "dataset.json").get("changes")
        if not isinstance(changes, dict) or not (folder / "manifest.csv").is_file():
            return {}  # somebody removed it; its people are rendered anew
        for row in _rows(folder / "manifest.csv"):
            pid = int(row[1])
            worn = [name for name in CHANGES if pid in changes.get(name, [])]
            notes.setdefault(pid, Note({}, worn)).rows.setdefault(part, []).append(row)
    return notes


def _rows(manifest: Path) -> Rows:
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            head, *rows = csv.reader(file)
        sound = head == list(COLUMNS) and all(len(row) == len(COLUMNS) and row[1].isdecimal() for row in rows)
    except (ValueError, csv.Error):
        sound = False
    if not sound:
        raise InputError(f"{manifest} is damaged: remove it and give the same command, which renders its images anew")
    return rows


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty if the file is missing or holds something else."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        content = None
    return content if isinstance(content, dict) else {}


def _is_whole(job: Job, out: Path, pid: int, note: Note) -> bool:
    """Whether a note lists every image of an identity, and each has its file."""
    parts = PRESETS[job.preset].parts
    if set(note.rows) != set(parts):
        return False
    for part, count in parts.items():
        rows = note.rows[part]
        if any(len(row) != len(COLUMNS) or row[1] != str(pid) for row in rows):
            return False
        if Counter(row[3] for row in rows) != {str(camid): count for camid in CAMERAS[part]}:
            return False
    return all(_holds_something(out / path) for path in _files(job, note))


def _holds_something(path: Path) -> bool:
    # A crash of the machine can leave a file of no bytes, whatever its writer did.
    return path.is_file() and path.stat().st_size > 0


def _files(job: Job, note: Note) -> list[str]:
    images = [(part, row[0]) for part, rows in note.rows.items() for row in rows]
    paths = [str(job.part_folder(part) / path) for part, path in images]
    if job.masks:
        paths += [str(job.mask_path(part, path)) for part, path in images]
    return paths
