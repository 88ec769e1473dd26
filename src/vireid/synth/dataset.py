"""Render a whole data set: worker processes, resuming and the files that describe it."""

import importlib.util
import json
import multiprocessing
import os
import shutil
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vireid.errors import InputError
from vireid.synth.layouts import write_indices
from vireid.synth.presets import CAMERAS, PRESETS, Job, LayoutName, PresetName, Size, make_job

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
        InputError: bad settings, a folder with other contents, or anny or warp not installed.
    """
    job = make_job(preset, layout, identities, size, seed)
    if workers is not None and workers < 1:
        raise InputError(f"{workers} workers asked for: give 1 or more")
    settings = json.loads(json.dumps({"generator": GENERATOR, **asdict(job)}))
    found = _found(out, settings)
    if found is not None:
        return Rendered(out, found, True)
    _require_renderer()
    done = {int(path.stem) - 1 for path in (out / ".progress").glob("*.json") if path.stem.isdigit()}
    missing = [index for index in range(job.identities) if index not in done]
    _paint_all(job, out, missing, workers or os.cpu_count() or 1)
    return Rendered(out, _finish(job, out, settings), False)


def _found(out: Path, settings: dict[str, Any]) -> dict[str, int] | None:
    """Image counts if the folder is complete; otherwise make it ready to continue."""
    finished, started = out / "dataset.json", out / ".progress" / "settings.json"
    for path in (finished, started):
        if path.is_file():
            earlier = json.loads(path.read_text())["settings"]
            if earlier != settings:
                changed = ", ".join(k for k in settings if earlier.get(k) != settings[k])
                raise InputError(
                    f"{out} holds a data set rendered with another {changed}: give another folder"
                )
            return dict(json.loads(path.read_text())["images"]) if path == finished else None
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is no folder of this renderer: give a new or empty folder")
    started.parent.mkdir(parents=True, exist_ok=True)
    _write_json(started, {"settings": settings})
    return None


def _require_renderer() -> None:
    absent = [name for name in ("anny", "warp") if importlib.util.find_spec(name) is None]
    if absent:
        raise InputError(f"rendering needs {' and '.join(absent)}: install with pip install 'vireid[synth]'")


def _paint_all(job: Job, out: Path, missing: list[int], workers: int) -> None:
    if not missing:
        return
    # The first model build is slow and must happen once, before the workers start.
    from vireid.synth.painter import Painter

    tqdm.write("Loading the body model (its first build takes a few minutes) ...")
    painter = Painter(job)
    workers = min(workers, len(missing))
    bar = tqdm(total=job.identities, initial=job.identities - len(missing), unit="id", desc="render")
    with bar:
        if workers == 1:
            _use(painter, job, out)
            for index in missing:
                _paint(index)
                bar.update()
            return
        del painter
        context = multiprocessing.get_context("spawn")
        with context.Pool(workers, _start, (job, out)) as pool:
            for _ in pool.imap_unordered(_paint, missing):
                bar.update()


_WORK: dict[str, Any] = {}  # a worker process's own painter


def _start(job: Job, out: Path) -> None:
    import signal

    from vireid.synth.painter import Painter

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the pool
    _use(Painter(job), job, out)


def _use(painter: Any, job: Job, out: Path) -> None:
    _WORK.update(painter=painter, job=job, out=out)


def _paint(index: int) -> None:
    from vireid.synth.painter import paint

    paint(_WORK["painter"], _WORK["job"], _WORK["out"], index)


def _finish(job: Job, out: Path, settings: dict[str, Any]) -> dict[str, int]:
    """Write indices and descriptions, the one that says complete last."""
    rows: dict[str, list[list[str]]] = {part: [] for part in PRESETS[job.preset].parts}
    for index in range(job.identities):
        for part, more in json.loads((out / ".progress" / f"{index + 1:05d}.json").read_text()).items():
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
    _write_json(out / "dataset.json", {"name": "SynthVI", **whole, "images": images})
    shutil.rmtree(out / ".progress")
    return images


def _describe(job: Job, part: str, rows: list[list[str]], settings: dict[str, Any]) -> dict[str, Any]:
    counts = Counter(f"{split} {modality}" for _, _, modality, _, split, _, _ in rows)
    people = Counter(split for _, split in {(row[1], row[4]) for row in rows})
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


def _write_json(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(path)
