"""Can SynthVI be solved without looking at the person? `python benchmarks/synthvi_probes.py ROOT --output FILE.json`.

ROOT is a folder of `vireid synth --masks`. By each part's own protocol, both directions, beside chance: descriptors
that look at colours, at brightness, at the camera's number, at the scene or at the outline; and networks, trained
with one recipe (synthvi_probe.yaml) on whole images, on silhouettes, on images with the person cut out and on
the background alone. Intervals are over people. What is finished stays in FILE; the same command goes on.

Shapes: N samples, H and W height and width in pixels.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import probe_images
from intervals import ByQuery, Distance, mean_of, score_queries, summarise
from tqdm import tqdm

from vireid import config as configuration
from vireid.atomic import require_writable, write_text
from vireid.config import ExperimentConfig
from vireid.data import synthvi
from vireid.data.files import rendered
from vireid.embedder import Run, build_method, load_run
from vireid.errors import InputError
from vireid.evaluation import protocols
from vireid.evaluation.distance import distances
from vireid.experiment import embed_test, test_sets, train_run
from vireid.sample import Direction, Sample

CONFIG = Path(__file__).parent / "synthvi_probe.yaml"
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
START = "lwir"  # the part with images of one moment, without which a network stays long at its start
FORMAT = 2


@dataclass(frozen=True)
class Part:
    """A part with its pixels: N samples, images `(N, 3, H, W)`, people `(N, H, W)` and the common cover `(H, W)`."""

    name: str
    folder: Path
    samples: list[Sample]
    images: npt.NDArray[np.uint8]
    people: npt.NDArray[np.bool_]
    cover: npt.NDArray[np.bool_]


Parts = dict[str, Part]


def read_part(name: str, folder: Path) -> Part:
    """Load a part; raises `InputError` if it has no silhouettes."""
    samples = synthvi.load(synthvi.Config(root=folder, part=name))
    images, people = probe_images.read(folder, samples)
    return Part(name, folder, samples, images, people, probe_images.common_cover(people))


def by_rows(rows: npt.NDArray[np.float32]) -> Distance:
    """Cosine distances of one row per sample."""
    return lambda query, gallery: distances(rows[query], rows[gallery])


def by_brightness(part: Part) -> Distance:
    """Difference of the mean brightness."""
    level = (part.images.mean((2, 3)) @ LUMA).astype(np.float32)
    return lambda query, gallery: np.abs(level[query][:, None] - level[gallery])


def by_camera(part: Part) -> Distance:
    """The pair of camera numbers alone: the more often, among training people, two of its images show one person.

    Equal distances come in a random order, the same in every run.
    """
    train = [sample for sample in part.samples if sample.split == "train"]
    count = 1 + max(sample.camid for sample in part.samples)
    same = np.zeros((count, count))
    pids, cams = (np.array([getattr(sample, name) for sample in train]) for name in ("pid", "camid"))
    for pid in np.unique(pids):
        here = np.bincount(cams[pids == pid], minlength=count)
        same += np.outer(here, here)
    everyone = np.bincount(cams, minlength=count)
    share = same / np.maximum(np.outer(everyone, everyone), 1)
    camids = np.array([sample.camid for sample in part.samples])
    order = np.random.default_rng(0)

    def distance(query: npt.NDArray[np.int64], gallery: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return 1e-9 * order.random((len(query), len(gallery))) - share[np.ix_(camids[query], camids[gallery])]

    return distance


def by_overlap(part: Part) -> Distance:
    """1 less the intersection over union of the silhouettes."""
    shapes = part.people.reshape(len(part.people), -1).astype(np.float32)

    def distance(query: npt.NDArray[np.int64], gallery: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        common = shapes[query] @ shapes[gallery].T
        union = shapes[query].sum(1)[:, None] + shapes[gallery].sum(1) - common
        return 1 - common / np.maximum(union, 1)

    return distance


def by_colors(part: Part, where: npt.NDArray[np.bool_]) -> Distance:
    """Histograms of the pixels `where`."""
    return by_rows(probe_images.histograms(part.images, where))


DESCRIPTORS: dict[str, Callable[[Part], Distance]] = {
    "camera number": by_camera,
    "mean brightness": by_brightness,
    "colour histogram, whole image": lambda part: by_colors(part, np.ones_like(part.people)),
    "colour histogram, person": lambda part: by_colors(part, part.people),
    "colour histogram, background": lambda part: by_colors(part, ~part.people),
    "overlap of silhouettes": by_overlap,
}


def score(part: Part, distance: Distance) -> dict[str, ByQuery]:
    """Scores of each query by the part's protocol, by direction."""
    options = synthvi.Config(root=part.folder, part=part.name)
    return {
        str(way): score_queries(protocols.build(options, "synthvi", part.samples, way), distance) for way in Direction
    }


def network(parts: Parts, name: str, kind: str, config: ExperimentConfig, work: Path, device: str) -> Path:
    """The run of a network trained on a part whose images are changed; images and runs lie in the folder `work`.

    It goes on from a network that was trained on images of one moment of part `START`, changed in the same way.
    """
    start = _train(parts[START], kind, config, work, device, None) if START in parts else None
    return _train(parts[name], kind, config, work, device, start)


def _train(part: Part, kind: str, config: ExperimentConfig, work: Path, device: str, start: Path | None) -> Path:
    """One stage; the first one, with images of one moment, if there is no `start` to go on from."""
    data = work / f"{part.name}-{kind}"
    run = work / f"{data.name}-{'second' if start else 'first'}-{config.train.seed}"
    if run.exists():
        return run
    if not data.exists():
        changed = [
            probe_images.change(kind, image, person, part.cover)
            for image, person in zip(tqdm(part.images, f"{data.name}", leave=False), part.people, strict=True)
        ]
        probe_images.write(data, part.folder, part.samples, np.stack(changed))
    changes = {
        "data.root": str(data),
        "data.part": part.name,
        "train.paired": float(part.name == START and start is None),
        "train.start_from": start and str(start),
    }
    return train_run(config.override(changes), run, device=device)


def score_network(run: Run, device: str) -> dict[str, ByQuery]:
    """Scores of each query among the images that the run's network was trained for, by direction."""
    (data,) = test_sets(run.config)
    samples, rows = embed_test(build_method(run), data, run.config, device)
    return {
        str(way): score_queries(protocols.build(data.options, data.name, samples, way), by_rows(rows))
        for way in Direction
    }


def settings(parts: Parts, config: ExperimentConfig, seeds: list[int]) -> dict[str, Any]:
    """What decides the numbers."""
    facts = ("generator", "preset", "seed", "size", "identities", "counts")
    about = {name: rendered(part.folder) or {} for name, part in parts.items()}
    recipe = {key: value for key, value in config.flat().items() if not key.startswith("data.")}
    images = {"dilation": probe_images.DILATION, "kept": probe_images.KEPT}
    return {
        "data": {part: {name: row.get(name) for name in facts} for part, row in about.items()},
        "recipe": recipe | {"seeds": seeds, "starts with pairs of": START if START in parts else None} | images,
    }


def plain(found: dict[str, ByQuery], **more: Any) -> dict[str, Any]:
    """An entry of the file."""
    return {way: summarise(part) for way, part in found.items()} | more


class Report:
    """The file: what is in it is not measured again."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path = path
        self.content: dict[str, Any] = {"format": FORMAT, "settings": about, "parts": {}}
        if path.exists():
            try:
                old = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                old = None
            wanted = {name: json.loads(json.dumps(self.content[name])) for name in ("format", "settings")}
            if not isinstance(old, dict) or {name: old.get(name) for name in wanted} != wanted:
                raise InputError(f"{path} holds no probes, or those of other data or settings; choose another --output")
            self.content = old

    def fill(self, part: str, name: str, measure: Callable[[], dict[str, Any]]) -> None:
        """Measure a probe unless it is there, and write the file."""
        rows = self.content["parts"].setdefault(part, {})
        if name not in rows:
            rows[name] = measure()
            write_text(self.path, json.dumps(self.content, indent=1) + "\n")


def probe(parts: Parts, report: Report, config: ExperimentConfig, seeds: list[int], work: Path, device: str) -> None:
    """All probes of all parts; the networks' images and runs are left in the folder `work`."""
    for part in parts.values():
        for name, make in tqdm(DESCRIPTORS.items(), f"{part.name}: descriptors", unit="probe"):
            report.fill(part.name, name, lambda part=part, make=make: plain(score(part, make(part))))

    def repeated(part: str, kind: str) -> dict[str, Any]:
        runs = [
            score_network(
                load_run(network(parts, part, kind, config.override({"train.seed": seed}), work, device)), device
            )
            for seed in seeds
        ]
        whole = {str(way): mean_of([run[way] for run in runs]) for way in Direction}
        means = {str(way): [run[way].scores.mean(0).tolist() for run in runs] for way in Direction}
        return plain(whole, seeds=means)

    for kind in tqdm(probe_images.KINDS, "trained", unit="kind"):
        for part in parts:
            report.fill(part, f"trained on {kind}", lambda part=part, kind=kind: repeated(part, kind))


def text(content: dict[str, Any]) -> str:
    """The file as a table in percent."""
    lines = []
    for part, rows in content["parts"].items():
        for way in map(str, Direction):
            lines.append(f"\n{part}, {way:26} {'Rank-1':>22} {'mAP':>22}   chance {'Rank-1':>7} {'mAP':>6}")
            for name, row in rows.items():
                scores = row[way]["rank1"], row[way]["mAP"]
                cells = [f"{100 * s['mean']:6.1f} [{100 * s['low']:5.1f}, {100 * s['high']:5.1f}]" for s in scores]
                level = [100 * s["chance"] for s in scores]
                lines.append(f"{name:31} {cells[0]:>23} {cells[1]:>22} {level[0]:16.1f} {level[1]:6.1f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400, help="of each of the two stages, a multiple of 50")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    try:
        require_writable(options.output)
        if options.steps < 50 or options.steps % 50:
            raise InputError(f"--steps {options.steps}: give a multiple of 50")
        config = configuration.load(CONFIG, [f"train.epochs={options.steps // 50}"])
        parts = {name: read_part(name, folder) for name, folder in synthvi.find_parts(options.root).items()}
        report = Report(options.output, settings(parts, config, options.seeds))
        with TemporaryDirectory() as work:
            os.environ["VIREID_CACHE"] = f"{work}/cache"  # decoded images that nobody will ask for again
            probe(parts, report, config, options.seeds, Path(work), options.device)
    except InputError as error:
        sys.exit(f"synthvi_probes: {error}")
    print(text(report.content))


if __name__ == "__main__":
    main()
