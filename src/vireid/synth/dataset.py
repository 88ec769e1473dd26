"""Render a whole data set: resuming, growing and the files that describe it."""

import importlib.util
import json
import os
import shutil
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vireid.claim import claim
from vireid.errors import InputError
from vireid.synth import progress
from vireid.synth.describe import GENERATOR, describe_part, describe_parts, list_versions
from vireid.synth.files import remove_partials, write_atomic
from vireid.synth.layouts import holds_indices, index_files, require_free, write_indices
from vireid.synth.presets import PRESETS, DeviceName, Job, LayoutName, PresetName, Size, make_job
from vireid.synth.progress import MANIFEST, Note
from vireid.synth.workers import find_device, paint_all


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a run left behind: its folder, the number of images by part, and whether it was there already."""

    out: Path
    images: dict[str, int]
    already_complete: bool

    def __str__(self) -> str:
        counts = ", ".join(f"{part} {count}" for part, count in self.images.items())
        state = "already complete, nothing to do" if self.already_complete else "complete"
        return f"{self.out}: {state} ({counts} images)"


def render(
    out: Path,
    *,
    preset: PresetName = "mini",
    identities: int | None = None,
    size: Size | None = None,
    seed: int = 0,
    workers: int | None = None,
    layout: LayoutName = "manifest",
    masks: bool = False,
    device: DeviceName = "auto",
) -> Rendered:
    """Render a synthetic data set into a folder.

    An interrupted run continues where it stopped, and a finished set grows when more identities are asked for; both
    end with the bytes of one uninterrupted run; a finished set that lost images gets them back. On one machine and
    device the pixels depend on the settings only, not on the number of workers; identity i of a seed is the same
    person whatever the number of identities.

    Args:
        out: folder to write; new, or of an earlier run with the same settings and as many or fewer identities.
        preset: `mini` (both parts, small), `nir` (as SYSU-MM01) or `lwir` (as RegDB).
        identities: how many people; half of them train.
        size: (height, width) in pixels.
        seed: other seeds give other people and places.
        workers: processes; default one per core.
        layout: `manifest`, or also the official file layout of `sysu` or `regdb`.
        masks: also write each person's silhouette, an 8-bit PNG under `masks/`.
        device: where Warp renders; `auto` takes a CUDA GPU if it sees one.

    Raises:
        InputError: bad settings, a folder with other contents, another process renders there, anny or warp not
            installed, no CUDA GPU where one is asked for, a full disk.
    """
    job = make_job(preset, layout, identities, size, seed, masks)
    if workers is not None and workers < 1:
        raise InputError(f"{workers} workers asked for: give 1 or more")
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"unknown device {device!r}: expected auto, cpu or cuda")
    settings = json.loads(json.dumps({"generator": GENERATOR, **asdict(job)}))
    if _finished(out, settings) and _intact(job, out):
        # A run that was killed at its very end leaves its notes.
        shutil.rmtree(progress.folder_of(out), ignore_errors=True)
        return Rendered(out, _description(out / "dataset.json")["images"], True)
    _require_renderer()
    with claim(out, "renders", "give another folder"):
        return Rendered(out, _complete(job, out, settings, workers or os.cpu_count() or 1, device), False)


def _intact(job: Job, out: Path) -> bool:
    """Whether a finished set has all its images, and its lists as they were written."""
    notes = progress.intact(job, out)
    return bool(notes) and all(holds_indices(folder, files) for folder, files in _lists(job, out, notes).items())


def _lists(job: Job, out: Path, notes: dict[int, Note]) -> dict[Path, dict[str, bytes]]:
    """The manifest and index files of each part, by its folder."""
    return {
        out / job.part_folder(part): index_files(job, [row for note in notes.values() for row in note.rows[part]])
        for part in PRESETS[job.preset].parts
    }


def _complete(job: Job, out: Path, settings: dict[str, Any], workers: int, device: DeviceName) -> dict[str, int]:
    """Paint what is missing and write the lists; the number of images by part."""
    _finished(out, settings)  # again: until now another process may have written here
    device = find_device(device)
    made_with = _made_with(out, list_versions(device))
    if (out / "dataset.json").exists():
        progress.restore(job, out)
    _write_json(_started(out), {"settings": settings, "made_with": made_with})
    done = progress.complete(job, out)
    missing = [pid - 1 for pid in range(1, job.identities + 1) if pid not in done]
    paint_all(job, out, missing, workers, device)
    return _finish(job, out, settings, made_with)


def _made_with(out: Path, now: dict[str, str]) -> list[dict[str, str]]:
    """Every set of versions that painted here, the present one included; warns if an earlier one differs."""
    told = [_description(path).get("made_with") for path in _descriptions(out)]
    earlier: list[dict[str, str]] = next((environments for environments in told if environments), [])
    if not earlier or now in earlier:
        return earlier or [now]
    changed = [f"{name} {was}, now {now.get(name)}" for name, was in earlier[-1].items() if was != now.get(name)]
    warnings.warn(
        f"{out} was begun with {'; '.join(changed)}: new images may differ a little in their making from those there",
        stacklevel=2,
    )
    return [*earlier, now]


def _started(out: Path) -> Path:
    return progress.folder_of(out) / "settings.json"


def _descriptions(out: Path) -> list[Path]:
    """Where a begun and a finished set tell their settings, as far as they are there."""
    return [path for path in (_started(out), out / "dataset.json") if path.is_file()]


def _finished(out: Path, settings: dict[str, Any]) -> bool:
    """Whether the folder holds just that set; False if it can be begun, continued or grown.

    Raises:
        InputError: the folder holds something else, other settings or more people.
    """
    begun = _descriptions(out)
    for path in begun:
        _require_same(out, _description(path)["settings"], settings)
    if not begun and out.exists() and not (out.is_dir() and all(path.name == ".progress" for path in out.iterdir())):
        raise InputError(f"{out} exists and is no folder of this renderer: give a new or empty folder")
    # Notes of a larger set beside the description of a smaller one: it was growing.
    return out / "dataset.json" in begun and all(_description(path)["settings"] == settings for path in begun)


def _description(path: Path) -> dict[str, Any]:
    """What this renderer wrote into one of `_descriptions`; raises `InputError` if it did not, or it is damaged."""
    content = progress.read_json(path)
    settings, images, made_with = (content.get(key) for key in ("settings", "images", "made_with"))
    if not isinstance(settings, dict) or (path.name == "dataset.json" and "images" not in content):
        raise InputError(f"{path} was not written by this renderer: give a new or empty folder")
    sound = {
        "settings: identities": type(settings.get("identities")) is int,
        "images": "images" not in content
        or (isinstance(images, dict) and all(type(n) is int for n in images.values())),
        "made_with": "made_with" not in content
        or (isinstance(made_with, list) and all(isinstance(versions, dict) for versions in made_with)),
    }
    if not all(sound.values()):
        wrong = ", ".join(key for key in sound if not sound[key])
        raise InputError(f"{path} is damaged (see its {wrong}): restore it or give another folder")
    return content


def _require_same(out: Path, earlier: dict[str, Any], settings: dict[str, Any]) -> None:
    """Raise `InputError` unless only more people are asked for."""
    if earlier.get("generator") != GENERATOR:
        raise InputError(
            f"{out} was written by version {earlier.get('generator')} of the renderer, this is version {GENERATOR}: "
            "give another folder"
        )
    changed = [
        f"{key} {earlier.get(key)}, now {value}"
        for key, value in settings.items()
        if key != "identities" and earlier.get(key) != value
    ]
    if changed:
        raise InputError(f"{out} holds a data set of other settings ({'; '.join(changed)}): give another folder")
    people = earlier["identities"]
    if people > settings["identities"]:
        raise InputError(
            f"{out} holds or is to hold {people} people, more than the {settings['identities']} asked for: give "
            f"--identities {people} or more, or another folder (a smaller set is the first people of a larger one: "
            "data.size picks it)"
        )


def _require_renderer() -> None:
    absent = [name for name in ("anny", "warp") if importlib.util.find_spec(name) is None]
    if absent:
        raise InputError(f"rendering needs {' and '.join(absent)}: install with pip install 'vireid[synth]'")


def _finish(job: Job, out: Path, settings: dict[str, Any], made_with: list[dict[str, str]]) -> dict[str, int]:
    """Write indices and descriptions, the one that says complete last.

    While a set grows the smaller one stays usable until the manifests are written; where they stay as they are, the
    set stays usable even if another list cannot be written.
    """
    notes = progress.complete(job, out)
    assert len(notes) == job.identities, "the painter left an identity without its note or images"
    parts = list(PRESETS[job.preset].parts)
    lists = _lists(job, out, notes)
    for folder, files in lists.items():
        require_free(folder, files)
    if not all(holds_indices(folder, {MANIFEST: files[MANIFEST]}) for folder, files in lists.items()):
        for folder in (out, *lists):
            (folder / "dataset.json").unlink(missing_ok=True)
    whole = describe_parts(job, parts, settings, made_with)
    for part in parts:
        folder = out / job.part_folder(part)
        write_indices(folder, lists[folder])
        about = describe_part(job, part, notes, settings, made_with)
        if job.nested:
            _write_json(folder / "dataset.json", about)
        else:
            whole = about
    images = {part: sum(len(note.rows[part]) for note in notes.values()) for part in parts}
    remove_partials(out)
    # `images` tells the description of a whole folder from that of one of its parts.
    _write_json(out / "dataset.json", {**whole, "images": images})
    shutil.rmtree(progress.folder_of(out), ignore_errors=True)
    return images


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_atomic(path, (json.dumps(content, indent=1) + "\n").encode())
