"""Can SynthVI be solved without looking at the person? `python benchmarks/synthvi_probes.py ROOT --output FILE.json`.

ROOT holds `nir/`, `lwir/` and `train/`, all of `vireid synth --masks`: the people that are searched for, in both
spectra, and others, of another seed, that networks are trained on. By each part's own protocol, both directions, beside
chance: descriptors that look at colours, at brightness, at the camera's number, at the scene or at the outline; and
networks, trained on the background, on silhouettes or on cut-out people alone as the default model was on whole images.
Intervals are over people. What is finished stays in FILE and in the folder of the runs; the same command goes on.

Shapes: N samples, H and W height and width in pixels.
"""

import argparse
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import probe_images
from intervals import ByQuery, Distance, score_queries, summarise
from refusal import make_folder, refusing
from tqdm import tqdm

from vireid import config as configuration
from vireid.atomic import require_writable, write_text
from vireid.config import ExperimentConfig
from vireid.data import synthvi
from vireid.data.files import rendered
from vireid.embedder import Run, load_run
from vireid.errors import InputError
from vireid.evaluation import protocols
from vireid.evaluation.distance import distances
from vireid.experiment.embedded import embed_tests
from vireid.experiment.train import complete_run
from vireid.models.precision import resolve_device
from vireid.sample import Direction, Sample

CONFIGS = Path(__file__).parents[1] / "configs"
STAGES = ("default_start", "default")  # of the default model: pairs of one instant first, then everything
RUNS = Path("runs/synthvi-probes")
TRAINED_ON = {"preset": "mini", "seed": 1, "identities": {"train": 500, "test": 500}}  # of `make default`
PLACES = ("data.root", "train.start_from")  # settings that say where, not how
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
FORMAT = 3


@dataclass(frozen=True)
class Part:
    """A part with its pixels: N samples, images `(N, 3, H, W)`, people `(N, H, W)` and the common cover `(H, W)`."""

    name: str
    folder: Path
    samples: list[Sample]
    images: npt.NDArray[np.uint8]
    people: npt.NDArray[np.bool_]
    cover: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class People:
    """The parts `nir` and `lwir`: of people to be found, and of others to train networks on."""

    root: Path
    test: dict[str, Part]
    train: dict[str, Part]


def find_people(root: Path) -> dict[str, dict[str, Path]]:
    """The folders of the parts by role, `test` in the root itself and `train`.

    Raises:
        InputError: a part or its silhouettes are missing, the parts of a role show different people, or those trained
            on are not the default model's.
    """
    roles = {"test": synthvi.find_parts(root), "train": synthvi.find_parts(root / "train")}
    for role, folders in roles.items():
        if len(folders) < 2:
            raise InputError(
                f"{root}: of {role} there is part {', '.join(folders)}; expected nir/ and lwir/ of one seed"
            )
        seeds = {name: (rendered(folder) or {}).get("seed") for name, folder in folders.items()}
        if len(set(seeds.values())) > 1:
            raise InputError(f"{root}: the parts of {role} are of different seeds, {seeds}; render them with one")
        if role == "test" and seeds["nir"] == TRAINED_ON["seed"]:
            raise InputError(
                f"{root} is of seed {seeds['nir']}, so of the people that the default model was trained on; "
                "render it with another --seed"
            )
    for folder in roles["train"].values():
        about = rendered(folder) or {}
        wrong = next((fact for fact in TRAINED_ON if about.get(fact) != TRAINED_ON[fact]), None)
        if wrong is not None:
            raise InputError(
                f"{folder} has {wrong} {about.get(wrong)}; the default model was trained on {TRAINED_ON[wrong]}, and "
                "others must be to be compared with it: vireid synth --preset mini --identities 1000 --seed 1 --masks"
            )
    for folder in (each for folders in roles.values() for each in folders.values()):
        if not (folder / "masks").is_dir():
            raise InputError(f"{folder} has no silhouettes; render it with `vireid synth --masks`")
    return roles


def read_people(root: Path) -> People:
    """Load all parts of a root; raises `InputError` as `find_people`, or if a file cannot be read."""
    roles = {
        role: {name: read_part(name, folder) for name, folder in folders.items()}
        for role, folders in find_people(root).items()
    }
    return People(root, **roles)


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


def read_recipe(changes: Sequence[str] = ()) -> list[ExperimentConfig]:
    """The stages of the default model's training, with `changes` (`key=value`) in each."""
    return [configuration.load(CONFIGS / f"{name}.yaml", changes) for name in STAGES]


def require_reference(reference: Run, recipe: Sequence[ExperimentConfig]) -> None:
    """Raise `InputError` unless a run was trained by the last stage of the recipe."""
    was, wanted = reference.config.flat(), recipe[-1].flat()
    differing = [key for key in wanted if key not in PLACES and was.get(key) != wanted[key]]
    if differing:
        key = differing[0]
        raise InputError(
            f"{reference.path} was trained with {key} {was.get(key)}, other networks would be with {wanted[key]}; "
            "make default first, or undo the change"
        )


def change_all(kind: str, people: People, folder: Path, reference: Run, device: str) -> None:
    """Write all images that networks see, changed; what people cover is that of the people trained on, everywhere."""
    if folder.exists():
        return
    unfinished = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    for role, parts in (("train", people.train), ("test", people.test)):
        for name, part in parts.items():
            seen = [k for k, sample in enumerate(part.samples) if role == "train" or sample.split == "test"]
            found = (
                probe_images.outlines(reference, part.images[seen], device) if kind == "outline" else [None] * len(seen)
            )
            cover = people.train[name].cover
            changed = [
                probe_images.change(kind, part.images[k], part.people[k], cover, outline)
                for k, outline in zip(tqdm(seen, f"{kind}, {role}, {name}", leave=False), found, strict=True)
            ]
            samples = [part.samples[k] for k in seen]
            probe_images.write(unfinished / role / name, part.folder, samples, np.stack(changed))
    unfinished.rename(folder)


def network(kind: str, recipe: Sequence[ExperimentConfig], data: Path, work: Path, device: str) -> Run:
    """A network trained on the changed images of the folder `data`; its runs lie in `work`.

    It cuts nobody out: what it is to see is cut out already. So the epochs in which the default model learns nothing
    but that are left out.
    """
    start: dict[str, Any] = {"method.foreground.enabled": False}
    for name, stage in zip(STAGES, recipe, strict=True):
        epochs = stage.train.epochs - stage.flat()["method.foreground.epochs"]
        changed = stage.override({"data.root": str(data), "train.epochs": epochs, **start})
        run = complete_run(changed, work / f"{kind}-{name}", device=device)
        start["train.start_from"] = str(run)
    return load_run(run)


def score_network(run: Run, root: Path, device: str) -> dict[str, dict[str, ByQuery]]:
    """Scores of each query among the test images of `root`, by part and direction."""
    return {
        test.data.options.part: {
            str(way): score_queries(test.protocol(way), by_rows(test.embeddings)) for way in Direction
        }
        for test in embed_tests(run, root=root, device=device)
    }


def settings(folders: dict[str, dict[str, Path]], recipe: Sequence[ExperimentConfig], reference: Run) -> dict[str, Any]:
    """What decides the numbers."""
    facts = ("generator", "preset", "seed", "size", "identities", "counts")
    data: dict[str, Any] = {}
    for role, parts in folders.items():
        about = {name: rendered(folder) or {} for name, folder in parts.items()}
        data[role] = {name: {fact: row.get(fact) for fact in facts} for name, row in about.items()}
    stages = [{key: value for key, value in stage.flat().items() if key not in PLACES} for stage in recipe]
    weights = hashlib.sha256()
    for name, values in sorted(reference.weights.items()):
        weights.update(name.encode() + values.float().numpy().tobytes())
    images = {"dilation": probe_images.DILATION, "kept": probe_images.KEPT}
    return {"data": data, "recipe": stages, "reference": weights.hexdigest()[:16], "images": images}


def plain(found: dict[str, ByQuery]) -> dict[str, Any]:
    """An entry of the file."""
    return {way: summarise(part) for way, part in found.items()}


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


def probe(
    people: People,
    report: Report,
    recipe: Sequence[ExperimentConfig],
    reference: Run,
    work: Path,
    device: str,
) -> None:
    """All probes of all parts; the networks' images and runs are left in the folder `work`."""
    for part in people.test.values():
        for name, make in tqdm(DESCRIPTORS.items(), f"{part.name}: descriptors", unit="probe"):
            if report.lacks(part.name, name):
                report.add(part.name, name, plain(score(part, make(part))))
    for kind in tqdm(("whole image", *probe_images.KINDS), "networks", unit="kind"):
        name = f"network: {kind}"
        if not any(report.lacks(part, name) for part in people.test):
            continue
        run, tested = reference, people.root
        if kind in probe_images.KINDS:
            change_all(kind, people, work / kind, reference, device)
            run, tested = network(kind, recipe, work / kind / "train", work, device), work / kind / "test"
        for part, found in score_network(run, tested, device).items():
            report.add(part, name, plain(found))


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
    parser.add_argument("--runs", type=Path, default=RUNS, help=f"folder for images and runs; default: {RUNS}")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    with refusing("synthvi_probes"):
        require_writable(options.output)
        resolve_device(options.device)
        os.environ["VIREID_CACHE"] = str(make_folder(options.runs) / "cache")  # goes with the images that it is of
        recipe, reference = read_recipe(), load_run("default")
        require_reference(reference, recipe)
        report = Report(options.output, settings(find_people(options.root), recipe, reference))
        # Pictures and runs belong to these settings: with others they are made anew.
        work = options.runs / hashlib.sha256(json.dumps(report.content["settings"]).encode()).hexdigest()[:12]
        probe(read_people(options.root), report, recipe, reference, work, options.device)
    print(text(report.content))


if __name__ == "__main__":
    main()
