"""Can SynthVI be solved without looking at the person? `python benchmarks/synthvi_probes.py ROOT --output FILE.json`.

ROOT holds `nir/` and `lwir/`, both of `vireid synth --masks` with one seed. By each part's own protocol, both
directions, beside chance: descriptors that look at colours, at brightness, at the camera's number, at the scene or at
the outline; and networks, trained with one recipe (synthvi_probe.yaml) on whole images, on silhouettes, on images with
the person cut out and on the background alone. Intervals are over people. What is finished stays in FILE and in the
folder of the runs; the same command goes on.

Shapes: N samples, H and W height and width in pixels.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
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
from vireid.experiment import complete_run, embed_test, test_sets
from vireid.sample import Direction, Sample

CONFIG = Path(__file__).parent / "synthvi_probe.yaml"
RUNS = Path("runs/synthvi-probes")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
PAIRED, LONGER = 0.3, 3  # of the second stage: share of pairs of one instant, length in first stages
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


def network(parts: Parts, kind: str, config: ExperimentConfig, work: Path, device: str) -> Run:
    """A network trained on both parts, whose images are changed; images and runs lie in the folder `work`.

    Images of different moments alone leave a network long at its start, those of one moment do not. So it is trained in
    two stages: thermal and visible pictures of one instant, then all.
    """
    data = work / kind
    if not data.exists():
        unfinished = work / f"{kind}.partial"
        shutil.rmtree(unfinished, ignore_errors=True)
        for name, part in parts.items():
            changed = [
                probe_images.change(kind, image, person, part.cover)
                for image, person in zip(tqdm(part.images, f"{kind}, {name}", leave=False), part.people, strict=True)
            ]
            probe_images.write(unfinished / name, part.folder, part.samples, np.stack(changed))
        unfinished.rename(data)
    first = config.override({"data.root": str(data), "data.part": "lwir", "train.paired": 1.0})
    start = complete_run(first, work / f"{kind}-first-{config.train.seed}", device=device)
    changes = {"data.part": "all", "train.paired": PAIRED, "train.epochs": LONGER * config.train.epochs}
    second = first.override(changes | {"train.start_from": str(start)})
    return load_run(complete_run(second, work / f"{kind}-second-{config.train.seed}", device=device))


def score_network(run: Run, device: str) -> dict[str, dict[str, ByQuery]]:
    """Scores of each query among images changed as those of the training, by part and direction."""
    result, method = {}, build_method(run)
    for data in test_sets(run.config):
        samples, rows = embed_test(method, data, run.config, device)
        result[data.options.part] = {
            str(way): score_queries(protocols.build(data.options, data.name, samples, way), by_rows(rows))
            for way in Direction
        }
    return result


def settings(parts: Parts, config: ExperimentConfig, seeds: list[int]) -> dict[str, Any]:
    """What decides the numbers."""
    facts = ("generator", "preset", "seed", "size", "identities", "counts")
    about = {name: rendered(part.folder) or {} for name, part in parts.items()}
    recipe = {key: value for key, value in config.flat().items() if not key.startswith("data.")}
    images = {"dilation": probe_images.DILATION, "kept": probe_images.KEPT}
    return {
        "data": {part: {name: row.get(name) for name in facts} for part, row in about.items()},
        "recipe": recipe | {"seeds": seeds, "second stage": [PAIRED, LONGER]} | images,
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

    def lacks(self, part: str, name: str) -> bool:
        """Whether a probe is still to be measured."""
        return name not in self.content["parts"].setdefault(part, {})

    def add(self, part: str, name: str, row: dict[str, Any]) -> None:
        """Write the file with one more row."""
        self.content["parts"].setdefault(part, {})[name] = row
        write_text(self.path, json.dumps(self.content, indent=1) + "\n")


def probe(parts: Parts, report: Report, config: ExperimentConfig, seeds: list[int], work: Path, device: str) -> None:
    """All probes of all parts; the networks' images and runs are left in the folder `work`."""
    for part in parts.values():
        for name, make in tqdm(DESCRIPTORS.items(), f"{part.name}: descriptors", unit="probe"):
            if report.lacks(part.name, name):
                report.add(part.name, name, plain(score(part, make(part))))
    for kind in tqdm(probe_images.KINDS, "trained", unit="kind"):
        if not any(report.lacks(part, f"trained on {kind}") for part in parts):
            continue
        runs = [
            score_network(network(parts, kind, config.override({"train.seed": seed}), work, device), device)
            for seed in seeds
        ]
        for part in parts:
            whole = {way: mean_of([run[part][way] for run in runs]) for way in map(str, Direction)}
            means = {way: [run[part][way].scores.mean(0).tolist() for run in runs] for way in map(str, Direction)}
            report.add(part, f"trained on {kind}", plain(whole, seeds=means))


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
    parser.add_argument(
        "--steps",
        type=int,
        default=400,
        help=f"of the first stage, a multiple of 50; the second has {LONGER} times as many",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--runs", type=Path, default=RUNS, help=f"folder for images and runs; default: {RUNS}")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    try:
        require_writable(options.output)
        if options.steps < 50 or options.steps % 50:
            raise InputError(f"--steps {options.steps}: give a multiple of 50")
        config = configuration.load(CONFIG, [f"train.epochs={options.steps // 50}"])
        folders = synthvi.find_parts(options.root)
        if len(folders) < 2:
            raise InputError(f"{options.root} holds part {', '.join(folders)}; expected nir/ and lwir/ of one seed")
        parts = {name: read_part(name, folder) for name, folder in folders.items()}
        report = Report(options.output, settings(parts, config, options.seeds))
        options.runs.mkdir(parents=True, exist_ok=True)
        os.environ["VIREID_CACHE"] = str(options.runs / "cache")  # goes with the images that it is of
        probe(parts, report, config, options.seeds, options.runs, options.device)
    except InputError as error:
        sys.exit(f"synthvi_probes: {error}")
    print(text(report.content))


if __name__ == "__main__":
    main()
