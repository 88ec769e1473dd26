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

from vireid.errors import InputError
from vireid.synth.files import write_atomic
from vireid.synth.presets import CAMERAS, PRESETS, Job, split_of

MANIFEST = "manifest.csv"
COLUMNS = ("path", "pid", "modality", "camid", "split", "track", "time")
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


def intact(job: Job, out: Path) -> dict[int, Note]:
    """What a finished set says of each identity, by pid, if it has all that its manifests name; empty if not.

    Raises:
        InputError: a manifest or description is damaged.
    """
    notes = dict(sorted(_listed(job, out).items()))
    everyone = list(notes) == list(range(1, job.identities + 1))
    return notes if everyone and all(_is_whole(job, out, pid, note) for pid, note in notes.items()) else {}


def restore(job: Job, out: Path) -> None:
    """Write the notes of a finished set anew from its manifest, for those that have none: more is to be painted.

    Raises:
        InputError: a manifest or description is damaged.
    """
    for pid, note in _listed(job, out).items():
        if not note_file(out, pid).exists():
            write_note(out, pid, note)


def _listed(job: Job, out: Path) -> dict[int, Note]:
    """What the manifests of a finished set say of each identity, by pid; nothing if one or its description is gone."""
    notes: dict[int, Note] = {}
    for part in PRESETS[job.preset].parts:
        folder = out / job.part_folder(part)
        about = read_json(folder / "dataset.json")
        if not about or not (folder / MANIFEST).is_file():
            return {}  # somebody removed it; its people are rendered anew
        changes = _changes(folder, about)
        for row in _rows(folder / MANIFEST):
            pid = int(row[1])
            worn = [name for name in CHANGES if pid in changes[name]]
            notes.setdefault(pid, Note({}, worn)).rows.setdefault(part, []).append(row)
    return notes


def _changes(folder: Path, about: dict[str, Any]) -> dict[str, list[int]]:
    changes = about.get("changes")
    if not isinstance(changes, dict) or not all(isinstance(changes.get(name), list) for name in CHANGES):
        raise InputError(
            f"{folder / 'dataset.json'} is damaged: changes is {str(changes)[:80]}, expected lists of pids under "
            f"{' and '.join(CHANGES)}; restore it or give another folder"
        )
    return changes


def _rows(manifest: Path) -> Rows:
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            head, *rows = csv.reader(file)
        sound = head == list(COLUMNS) and all(len(row) == len(COLUMNS) and _is_pid(row[1]) for row in rows)
    except OSError as error:
        raise InputError(f"{manifest} cannot be read ({error.strerror}): mend its rights") from None
    except (ValueError, csv.Error):
        sound = False
    if not sound:
        raise InputError(f"{manifest} is damaged: remove it and give the same command, which renders its images anew")
    return rows


def _is_pid(text: str) -> bool:
    return text.isdecimal() and len(text) <= 9  # int refuses thousands of digits


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty if the file is missing or holds something else."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        content = None
    return content if isinstance(content, dict) else {}


def _is_whole(job: Job, out: Path, pid: int, note: Note) -> bool:
    """Whether a note lists every image of an identity as it should, and each has its file."""
    if set(note.rows) != set(PRESETS[job.preset].parts):
        return False
    for part, rows in note.rows.items():
        if any(len(row) != len(COLUMNS) for row in rows):
            return False
        if sorted(row[:-2] for row in rows) != sorted(_rows_but_times(job, part, pid)):
            return False
    return all(_holds_something(out / path) for path in _files(job, note))


def _rows_but_times(job: Job, part: str, pid: int) -> Rows:
    """The rows of an identity without track and time, which only the painter knows."""
    images = range(1, PRESETS[job.preset].parts[part] + 1)
    return [
        [
            str(job.image_path(part, camid, pid, n).relative_to(job.part_folder(part))),
            str(pid),
            "visible" if band == "visible" else "infrared",
            str(camid),
            split_of(pid),
        ]
        for camid, (band, _, _) in CAMERAS[part].items()
        for n in images
    ]


def _holds_something(path: Path) -> bool:
    # A crash of the machine can leave a file of no bytes, whatever its writer did.
    return path.is_file() and path.stat().st_size > 0


def _files(job: Job, note: Note) -> list[str]:
    images = [(part, row[0]) for part, rows in note.rows.items() for row in rows]
    paths = [str(job.part_folder(part) / path) for part, path in images]
    if job.masks:
        paths += [str(job.mask_path(part, path)) for part, path in images]
    return paths
