"""Render all images of one identity; what a worker process does.

Importing this module needs anny and warp.
"""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vireid.synth.body import Body
from vireid.synth.cameras import Camera, make_camera
from vireid.synth.files import write_atomic
from vireid.synth.garment import dress
from vireid.synth.identity import Identity, draw_identity
from vireid.synth.kernels import compile_kernels
from vireid.synth.poses import draw_posture
from vireid.synth.presets import CAMERAS, DAYS, PRESETS, Job, split_of
from vireid.synth.progress import Note, write_note
from vireid.synth.scenery import Solids, draw_obstacle, make_place
from vireid.synth.sensor import Meter
from vireid.synth.shot import Performer, Shot, Stance, draw_stance, nudge, shoot, take_meter
from vireid.synth.spectra import Band, wardrobe

OBSTACLES = 0.15  # share of the pictures with something before the person
SHOWN = 0.45  # least share of a person that must be seen, or the person steps elsewhere
STEPS = 6  # how often that is tried
PASSERS = 0.2  # and with somebody else in them
CROWD = 8  # how many others there are in all, each in four postures; none of them is an identity of the set
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Picture:
    """A shot and what the manifest says about it."""

    part: str
    camid: int
    track: str
    time: str
    shot: Shot


@dataclass(frozen=True, slots=True)
class Lens:
    """A camera and what its exposure goes by."""

    camera: Camera
    meter: Meter


class Painter:
    """Holds the body model, the cameras and the passers-by of a job."""

    def __init__(self, job: Job, device: str = "cpu") -> None:
        torch.set_num_threads(1)
        compile_kernels(device)
        self._job, self._device, self._body = job, device, Body()
        self._preset = PRESETS[job.preset]
        self._sites: dict[tuple[str, int, int], dict[int, Lens]] = {}
        self._crowd: dict[int, list[Performer]] = {}

    def identity(self, index: int) -> Identity:
        """Identity number `index` (from 0)."""
        return draw_identity(self._streams(index)[0], DAYS)

    def pictures(self, index: int) -> Iterator[Picture]:
        """All pictures of identity number `index` (from 0)."""
        _, how, *streams = self._streams(index)
        performers = self._perform(self.identity(index), how, self._preset.poses)
        for part, rng in zip(CAMERAS, streams, strict=True):
            if part in self._preset.parts:
                walk = self._walk if part == "nir" else self._instants
                yield from walk(performers, self._preset.parts[part], rng)

    def _streams(self, index: int) -> list[Rng]:
        root = np.random.SeedSequence([self._job.seed, index])
        return [np.random.default_rng(s) for s in root.spawn(2 + len(CAMERAS))]

    def _perform(self, person: Identity, rng: Rng, poses: int) -> list[Performer]:
        """The person in `poses` postures, two of a day, then two of the next."""
        postures = [draw_posture(rng, person.gait) for _ in range(poses)]
        posed = self._body.pose(postures, person.phenotype, person.changes)
        performers = []
        for k in range(poses):
            now = person.days[_day(k, len(person.days))].at_a_moment(rng)
            (figure,) = dress(self._body, person, now, posed, [k])
            performers.append(Performer.of(figure, wardrobe(person, now), self._device))
        return performers

    def _walk(self, performers: list[Performer], count: int, rng: Rng) -> Iterator[Picture]:
        """Each camera sees the person pass `count` times over, from anywhere."""
        for camid, (band, _, _) in CAMERAS["nir"].items():
            # No posture is pictured in both modalities: it would be found again without knowing the person.
            mine = range(0 if band == "visible" else 1, len(performers), 2)
            order = rng.permutation(mine)
            start, turn = rng.uniform(0, 2 * math.pi), int(rng.integers(2))
            for n in range(count):
                k = int(order[n % len(order)])
                lens = self._lenses("nir", _day(k), rng)[camid]
                # Headings are spread over the circle, so that few images still show several sides.
                heading = start + 2 * math.pi * n / count + rng.normal(0, 0.4)
                (shot,) = self._shoot(performers[k], [lens], heading, rng)
                yield Picture("nir", camid, f"cam{camid}-pass{(n + turn) % 2}-{n}", f"day{_day(k)}", shot)

    def _instants(self, performers: list[Performer], count: int, rng: Rng) -> Iterator[Picture]:
        """Visible and thermal pictures of the same instants, by two cameras side by side."""
        for n in range(count):
            k = n % len(performers)
            visible, thermal = self._lenses("lwir", _day(k), rng).values()
            camera = replace(thermal.camera, height=visible.camera.height + 0.1, distance=visible.camera.distance)
            beside = Lens(camera, thermal.meter)
            # From anywhere: a side that is a person's own would tell who it is.
            shots = self._shoot(performers[k], [visible, beside], rng.uniform(0, 2 * math.pi), rng)
            for lens, shot in zip((visible, beside), shots, strict=True):
                yield Picture("lwir", lens.camera.camid, f"instant{n}", f"day{_day(k)}/{n}", shot)

    def _shoot(self, performer: Performer, lenses: list[Lens], heading: float, rng: Rng) -> list[Shot]:
        """One instant by cameras side by side, the person somewhere they can be seen."""
        size, samples = self._job.size, self._preset.samples
        camera = lenses[0].camera
        for _ in range(STEPS):
            stance = draw_stance(camera, heading, rng)
            obstacle, passer = self._company(camera, stance, rng)
            shots: list[Shot] = []
            for lens in lenses:
                where = nudge(stance, rng) if shots else stance
                shot = shoot(
                    performer,
                    lens.camera,
                    lens.meter,
                    where,
                    size,
                    samples,
                    rng,
                    obstacle=obstacle,
                    passer=passer,
                )
                shots.append(shot)
                if shots[-1].shown < SHOWN:
                    break
            else:
                return shots
        # Nowhere in this place: as seldom as it is, what hides the person goes.
        stance = draw_stance(camera, heading, rng)
        shots = []
        for lens in lenses:
            bare = replace(lens.camera, place=replace(lens.camera.place, solids=Solids.empty()))
            shots.append(shoot(performer, bare, lens.meter, stance, size, samples, rng, obstacle=Solids.empty()))
        return shots

    def _company(self, camera: Camera, stance: Stance, rng: Rng) -> tuple[Solids, tuple[Performer, Stance] | None]:
        """What hides a part of the person, and somebody who passes behind."""
        obstacle, passer = Solids.empty(), None
        if rng.random() < OBSTACLES:
            obstacle = draw_obstacle(rng, stance.position, camera.place.indoor)
        if rng.random() < PASSERS:
            for _ in range(10):
                aside = rng.uniform(0.35, 1.1) * rng.choice([-1, 1])
                where = stance.position + np.array([0, rng.uniform(0.4, 5.0), 0])
                # In line with the person and the camera, but for a step to the side.
                where[0] = stance.position[0] * where[1] / stance.position[1] + aside
                if camera.place.is_free(where):
                    other = self._others(int(rng.integers(CROWD)))[int(rng.integers(4))]
                    passer = (other, replace(stance, position=where, heading=rng.uniform(0, 2 * math.pi)))
                    break
        return obstacle, passer

    def _others(self, number: int) -> list[Performer]:
        if number not in self._crowd:
            rng = np.random.default_rng(np.random.SeedSequence([79, number]))
            self._crowd[number] = self._perform(draw_identity(rng, 1), rng, 4)
        return self._crowd[number]

    def _lenses(self, part: str, day: int, rng: Rng) -> dict[int, Lens]:
        """The cameras of one of the job's sites on a day."""
        site = int(rng.integers(self._job.sites))
        if (part, site, day) not in self._sites:
            seed = (self._job.seed * 1000 + site) * 100
            cameras = [
                make_camera(camid, Band(band), make_place(seed + place, indoor, day))
                for camid, (band, place, indoor) in CAMERAS[part].items()
            ]
            self._sites[part, site, day] = {c.camid: Lens(c, take_meter(c, self._device)) for c in cameras}
        return self._sites[part, site, day]


def _day(posture: int, days: int = DAYS) -> int:
    """On which day a posture is taken: two of one day, so that part nir has both modalities on each, then the next."""
    return posture // 2 % days


def paint(painter: Painter, job: Job, out: Path, index: int) -> None:
    """Write the images of one identity, then, last, the rows that say it is complete."""
    pid = index + 1
    person = painter.identity(index)
    numbers: dict[tuple[str, int], int] = {}
    rows: dict[str, list[list[str]]] = {part: [] for part in PRESETS[job.preset].parts}
    for picture in painter.pictures(index):
        key = (picture.part, picture.camid)
        numbers[key] = numbers.get(key, 0) + 1
        path = job.image_path(picture.part, picture.camid, pid, numbers[key])
        write_atomic(out / path, _encode(picture.shot.image, path.suffix, PRESETS[job.preset].quality))
        inside = str(path.relative_to(job.part_folder(picture.part)))
        if job.masks:
            silhouette = (picture.shot.silhouette * 255).round().astype(np.uint8)
            write_atomic(out / job.mask_path(picture.part, inside), _encode(silhouette, ".png"))
        modality = "visible" if CAMERAS[picture.part][picture.camid][0] == "visible" else "infrared"
        track = f"{pid:04d}-{picture.track}"
        row = [inside, str(pid), modality, str(picture.camid), split_of(pid), track, picture.time]
        rows[picture.part].append(row)
    changes = [name for name, does in (("top", person.changes_top), ("bag", person.changes_bag)) if does]
    write_note(out, pid, Note(rows, changes))


def _encode(pixels: np.ndarray, suffix: str, quality: int = 0) -> bytes:
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels)
    buffer = io.BytesIO()
    if suffix == ".jpg":
        image.save(buffer, "JPEG", quality=quality, optimize=True)
    else:
        image.save(buffer, suffix[1:].upper())
    return buffer.getvalue()
