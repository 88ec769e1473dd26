"""Render a whole data set: resuming and the files that describe it."""

import importlib.util
import json
import os
import shutil
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vireid.errors import InputError
from vireid.synth.files import remove_partials, write_atomic
from vireid.synth.layouts import write_indices
from vireid.synth.presets import CAMERAS, PRESETS, Job, LayoutName, PresetName, Size, make_job
from vireid.synth.workers import paint_all

GENERATOR = 1  # raise when the same settings give other pixels
LICENSE = "CC0-1.0"


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
) -> Rendered:
    """Render a synthetic data set into a folder; an interrupted run continues where it stopped.

    The pixels depend on the settings only, not on the number of workers; identity i of a seed is the same
    person whatever the number of identities.

    Args:
        out: folder to write; new, or of an earlier run with the same settings.
        preset: `mini` (both parts, small), `nir` (as SYSU-MM01) or `lwir` (as RegDB).
        identities: how many people; the preset's shares of train and test are kept.
        size: (height, width) in pixels.
        seed: other seeds give other people and places.
        workers: processes; default one per core.
        layout: `manifest`, or the official file layout of `sysu` or `regdb`.

    Raises:
        InputError: bad settings, a folder with other contents, anny or warp not installed, a full disk.
    """
    job = make_job(preset, layout, identities, size, seed)
    if workers is not None and workers < 1:
        raise InputError(f"{workers} workers asked for: give 1 or more")
    settings = json.loads(json.dumps({"generator": GENERATOR, **asdict(job)}))
    found = _found(out, settings)
    if found is not None:
        # A run that was killed at its very end leaves its notes.
        shutil.rmtree(out / ".progress", ignore_errors=True)
        return Rendered(out, found, True)
    _require_renderer()
    _write_json(out / ".progress" / "settings.json", {"settings": settings})
    done = _done(job, out)
    missing = [index for index in range(job.identities) if index not in done]
    paint_all(job, out, missing, workers or os.cpu_count() or 1)
    return Rendered(out, _finish(job, out, settings), False)


def _found(out: Path, settings: dict[str, Any]) -> dict[str, int] | None:
    """Image counts if the folder is complete, None if it can be begun or continued."""
    finished, started = out / "dataset.json", out / ".progress" / "settings.json"
    for path in (finished, started):
        if not path.is_file():
            continue
        content = _read_json(path)
        earlier = content.get("settings")
        if not isinstance(earlier, dict) or (path == finished and "images" not in content):
            raise InputError(f"{path} was not written by this renderer: give a new or empty folder")
        if earlier != settings:
            changed = "; ".join(
                f"{key} {earlier.get(key)}, now {value}" for key, value in settings.items() if earlier.get(key) != value
            )
            raise InputError(f"{out} holds a data set of other settings ({changed}): give another folder")
        return dict(content["images"]) if path == finished else None
    if out.exists() and not (out.is_dir() and all(path.name == ".progress" for path in out.iterdir())):
        raise InputError(f"{out} exists and is no folder of this renderer: give a new or empty folder")
    return None


def _done(job: Job, out: Path) -> set[int]:
    """Numbers (from 0) of the identities whose rows and images are all there."""
    result = set()
    for index in range(job.identities):
        marker = _marker(out, index)
        try:
            parts = json.loads(marker.read_text()).items()
        except (OSError, ValueError):
            continue
        folders = {part: out / part if job.nested else out for part in PRESETS[job.preset].parts}
        if all((folders[part] / row[0]).is_file() for part, rows in parts for row in rows):
            result.add(index)
    return result


def _marker(out: Path, index: int) -> Path:
    return out / ".progress" / f"{index + 1:05d}.json"


def _require_renderer() -> None:
    absent = [name for name in ("anny", "warp") if importlib.util.find_spec(name) is None]
    if absent:
        raise InputError(f"rendering needs {' and '.join(absent)}: install with pip install 'vireid[synth]'")


def _finish(job: Job, out: Path, settings: dict[str, Any]) -> dict[str, int]:
    """Write indices and descriptions, the one that says complete last."""
    rows: dict[str, list[list[str]]] = {part: [] for part in PRESETS[job.preset].parts}
    for index in range(job.identities):
        for part, more in json.loads(_marker(out, index).read_text()).items():
            rows[part] += more
    for part, lines in rows.items():
        folder = out / part if job.nested else out
        write_indices(job, folder, lines)
        if job.nested:
            _write_json(folder / "dataset.json", _describe(job, part, lines, settings))
    images = {part: len(lines) for part, lines in rows.items()}
    if job.nested:
        whole = {"settings": settings, "images": images, "parts": list(rows), "license": LICENSE}
    else:
        part, lines = next(iter(rows.items()))
        whole = _describe(job, part, lines, settings)
    remove_partials(out)
    _write_json(out / "dataset.json", {"name": "SynthVI", **whole, "images": images})
    shutil.rmtree(out / ".progress", ignore_errors=True)
    return images


def _describe(job: Job, part: str, rows: list[list[str]], settings: dict[str, Any]) -> dict[str, Any]:
    counts = Counter(f"{split} {modality}" for _, _, modality, _, split, _, _ in rows)
    # A set of strings would come in another order in every process.
    people = Counter(split for _, split in dict.fromkeys((row[1], row[4]) for row in rows))
    cameras = {
        str(camid): {"band": band, "place": place, "indoor": indoor}
        for camid, (band, place, indoor) in CAMERAS[part].items()
    }
    return {
        "name": "SynthVI",
        "part": part,
        "generator": GENERATOR,
        "preset": job.preset,
        "seed": job.seed,
        "size": list(job.size),
        "identities": dict(people),
        "counts": dict(counts),
        "cameras": cameras,
        "sites": job.sites,
        "license": LICENSE,
        "settings": settings,
    }


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except ValueError:
        content = None
    return content if isinstance(content, dict) else {}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_atomic(path, (json.dumps(content, indent=1) + "\n").encode())
