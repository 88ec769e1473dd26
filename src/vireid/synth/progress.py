"""Notes of an unfinished run: which identities are complete, and what the finished set will say about them.

`.progress/settings.json` holds the settings of the run, `.progress/<pid>.json` what one identity left: the rows of
each part's manifest, and what it wears otherwise on another day. The painter writes the latter last, so an identity
with a note has all its images.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vireid.synth.files import write_atomic
from vireid.synth.presets import PRESETS, Job

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
        return Note(dict(content["rows"]), list(content["changes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def complete(job: Job, out: Path) -> dict[int, Note]:
    """The notes of the identities whose images and silhouettes are all there, by pid."""
    found = {}
    for pid in range(1, job.identities + 1):
        note = read_note(out, pid)
        if note is None or set(note.rows) != set(PRESETS[job.preset].parts):
            continue
        if all((out / path).is_file() for path in _files(job, note)):
            found[pid] = note
    return found


def restore(job: Job, out: Path) -> None:
    """Write the notes of a finished set anew from its manifest, for those that have none: it is to grow."""
    notes: dict[int, Note] = {}
    for part in PRESETS[job.preset].parts:
        folder = out / job.part_folder(part)
        if not (folder / "manifest.csv").is_file():
            return  # somebody removed it; its people are rendered anew
        changes: dict[str, list[int]] = read_json(folder / "dataset.json").get("changes", {})
        with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))[1:]
        for row in rows:
            pid = int(row[1])
            worn = [name for name in CHANGES if pid in changes.get(name, [])]
            notes.setdefault(pid, Note({}, worn)).rows.setdefault(part, []).append(row)
    for pid, note in notes.items():
        if not note_file(out, pid).exists():
            write_note(out, pid, note)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty if the file is missing or holds something else."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        content = None
    return content if isinstance(content, dict) else {}


def _files(job: Job, note: Note) -> list[str]:
    images = [(part, row[0]) for part, rows in note.rows.items() for row in rows]
    paths = [str(job.part_folder(part) / path) for part, path in images]
    if job.masks:
        paths += [str(job.mask_path(part, path)) for part, path in images]
    return paths
