"""Render all images of one identity; what a worker process does.

Importing this module needs anny and warp.
"""

import io
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vireid.synth.body import Body
from vireid.synth.cameras import Camera, make_camera, make_place
from vireid.synth.files import write_atomic
from vireid.synth.garment import Figure, dress
from vireid.synth.identity import Identity, draw_identity
from vireid.synth.presets import CAMERAS, PRESETS, Job
from vireid.synth.raycast import compile_kernels
from vireid.synth.shot import Shot, draw_stance, nudge, shoot
from vireid.synth.spectra import Band

DAYS = 2
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Picture:
    """A shot and what the manifest says about it."""

    part: str
    camid: int
    track: str
    time: str
    shot: Shot


class Painter:
    """Holds the body model and the cameras of a job."""

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(1)
        compile_kernels()
        self._job, self._body = job, Body()
        self._cameras = [
            {part: _cameras(part, job.seed * 1000 + site) for part in PRESETS[job.preset].parts}
            for site in range(job.sites)
        ]

    def pictures(self, index: int) -> list[Picture]:
        """All pictures of identity number `index` (from 0)."""
        preset = PRESETS[self._job.preset]
        root = np.random.SeedSequence([self._job.seed, index])
        who, how, *streams = (np.random.default_rng(s) for s in root.spawn(2 + len(CAMERAS)))
        person = draw_identity(who, DAYS)
        phases = [float(phase) for phase in how.uniform(0, 2 * math.pi, preset.poses)]
        posed = self._body.pose(phases, person.gait, person.phenotype, person.changes)
        figures = [dress(self._body, person, person.days[k % DAYS], posed, k) for k in range(preset.poses)]
        result: list[Picture] = []
        for part, rng in zip(CAMERAS, streams, strict=True):
            if part in preset.parts:
                walk = self._walk if part == "nir" else self._instants
                result += walk(person, figures, preset.parts[part], rng)
        return result

    def _walk(self, person: Identity, figures: list[Figure], count: int, rng: Rng) -> list[Picture]:
        """Each camera sees the person pass `count` times over, from anywhere."""
        result = []
        samples = PRESETS[self._job.preset].samples
        for camid in CAMERAS["nir"]:
            order = rng.permutation(len(figures))
            start, turn = rng.uniform(0, 2 * math.pi), int(rng.integers(2))
            for n in range(count):
                k = int(order[n % len(figures)])
                camera = self._cameras[int(rng.integers(len(self._cameras)))]["nir"][camid]
                # Headings are spread over the circle, so that few images still show several sides.
                heading = start + 2 * math.pi * n / count + rng.normal(0, 0.4)
                stance = draw_stance(camera, heading, rng)
                cover = rng if rng.random() < 0.2 else None
                shot = shoot(figures[k], person, camera, stance, self._job.size, samples, rng, cover)
                day = k % DAYS
                result.append(Picture("nir", camid, f"cam{camid}-pass{(n + turn) % 2}-{n}", f"day{day}", shot))
        return result

    def _instants(self, person: Identity, figures: list[Figure], count: int, rng: Rng) -> list[Picture]:
        """Visible and thermal pictures of the same instants of one walk."""
        result = []
        samples = PRESETS[self._job.preset].samples
        heading = rng.choice([0.0, math.pi]) + rng.normal(0, 0.35)
        for n in range(count):
            figure, day = figures[n % len(figures)], n % len(figures) % DAYS
            visible, thermal = self._cameras[int(rng.integers(len(self._cameras)))]["lwir"].values()
            stance = draw_stance(visible, heading + rng.normal(0, 0.25), rng)
            hides = bool(rng.random() < 0.15)
            seed = int(rng.integers(2**32))
            for camera, where in ((visible, stance), (thermal, nudge(stance, rng))):
                # The same thing in the foreground hides the same side of both.
                cover = np.random.default_rng(seed) if hides else None
                shot = shoot(figure, person, camera, where, self._job.size, samples, rng, cover)
                result.append(Picture("lwir", camera.camid, f"instant{n}", f"day{day}/{n}", shot))
        return result


def _cameras(part: str, seed: int) -> dict[int, Camera]:
    return {
        camid: make_camera(camid, Band(band), make_place(seed * 100 + place, indoor))
        for camid, (band, place, indoor) in CAMERAS[part].items()
    }


def paint(painter: Painter, job: Job, out: Path, index: int) -> None:
    """Write the images of one identity, then, last, the rows that say it is complete."""
    pid = index + 1
    split = "train" if index < job.train_count() else "test"
    numbers: dict[tuple[str, int], int] = {}
    rows: dict[str, list[list[str]]] = {part: [] for part in PRESETS[job.preset].parts}
    for picture in painter.pictures(index):
        key = (picture.part, picture.camid)
        numbers[key] = numbers.get(key, 0) + 1
        path = job.image_path(picture.part, picture.camid, pid, numbers[key])
        write_atomic(out / path, _encode(picture.shot, path.suffix, PRESETS[job.preset].quality))
        band = CAMERAS[picture.part][picture.camid][0]
        inside = path.relative_to(picture.part) if job.nested else path
        modality = "visible" if band == "visible" else "infrared"
        track = f"{pid:04d}-{picture.track}"
        rows[picture.part].append([str(inside), str(pid), modality, str(picture.camid), split, track, picture.time])
    write_atomic(out / ".progress" / f"{pid:05d}.json", json.dumps(rows).encode())


def _encode(shot: Shot, suffix: str, quality: int) -> bytes:
    pixels = shot.image[:, :, 0] if shot.image.shape[2] == 1 else shot.image
    buffer = io.BytesIO()
    if suffix == ".bmp":
        Image.fromarray(pixels).save(buffer, "BMP")
    else:
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()
