"""What models trained on SynthVI find in real pairs: `python benchmarks/synthvi_transfer.py REAL RUN [RUN ...]`.

REAL is a folder `{visible,infrared}/<pid>/<image>` of real pictures that no run has seen; it is no part of the project.
RUNs are folders of `vireid train`, equal but for their seed (`default` for the shipped model). Both directions, every
image of one modality against all of the other, beside the same networks untrained and beside chance. Real pairs may
share their scene, so the same networks also search with the scene faded out, and with the person faded out, as far as
the default model finds them: the last says how much the scene alone gives away. Each call adds one line to a log in
JSON lines, in the place of an earlier line with the same label. It says what each run was trained on, if the data set
still lies where the run's config says, and how.
"""

import argparse
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import probe_images
import torch
from intervals import SCORES, ByQuery, mean_of, score_queries, summarise
from refusal import make_folder, refusing
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from vireid import config as configuration
from vireid.atomic import require_writable, write_text
from vireid.data import manifest, synthvi
from vireid.data.augment import IMAGENET_MEAN
from vireid.data.cache import decode
from vireid.data.files import rendered
from vireid.embedder import Run, build_method, load_run, without_download
from vireid.errors import InputError
from vireid.evaluation import protocols
from vireid.evaluation.distance import distances
from vireid.evaluation.extract import extract
from vireid.methods.base import Method
from vireid.models.precision import resolve_device
from vireid.sample import Direction, Modality, Sample

LOG = Path(__file__).parent / "results" / "synthvi" / "transfer.jsonl"
KINDS = ("trained", "person", "scene", "untrained")  # trained models see whole images, the person or the scene


def untrained(run: Run) -> Method:
    """The run's network with the random weights that its seed gives."""
    torch.manual_seed(run.config.train.seed)
    method: Method = run.config.method.module.build(without_download(run.config.method.options), 1)
    return method.eval()


def read(run: Run, samples: Sequence[Sample]) -> Tensor:
    """The images `(N, 3, H, W)` uint8 of a run's size."""
    return torch.stack([decode(sample.path, run.config.images.height, run.config.images.width) for sample in samples])


def faded(pixels: Tensor, share: Tensor) -> Tensor:
    """Images `(N, 3, H, W)` uint8, faded to the mean colour where `share` `(N, 1, H, W)`, 0 to 1, is low."""
    mean = 255 * torch.tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1)
    return (mean + share * (pixels - mean)).round().to(torch.uint8)


def looks(run: Run, samples: Sequence[Sample], device: str) -> dict[str, Tensor]:
    """The images of a run's size, by what is left of them: all, the `person` or the `scene`."""
    pixels, reference = read(run, samples), load_run("default")
    found = torch.from_numpy(probe_images.outlines(reference, read(reference, samples).numpy(), device))
    share = F.interpolate(found[:, None] / 255, list(pixels.shape[2:]), mode="bilinear", antialias=True)
    return {"trained": pixels, "person": faded(pixels, share), "scene": faded(pixels, 1 - share)}


def score(method: Method, pixels: Tensor, samples: Sequence[Sample], device: str) -> dict[str, ByQuery]:
    """Scores of each query, by direction."""
    kinds = np.array([sample.modality for sample in samples], np.int64)
    rows = extract(method, pixels, kinds, device=resolve_device(device), progress=False)
    return {
        str(way): score_queries(protocols.manifest(samples, way), lambda q, g: distances(rows[q], rows[g]))
        for way in Direction
    }


def row(found: Sequence[dict[str, ByQuery]]) -> dict[str, dict[str, dict[str, float | None]]]:
    """By direction and score: mean over the runs with its interval over people, and the spread over the runs."""
    result = {}
    for way in map(str, Direction):
        summary = summarise(mean_of([each[way] for each in found]))
        for column, name in enumerate(SCORES):
            means = [float(each[way].scores[:, column].mean()) for each in found]
            summary[name] |= {"runs": means, "std": float(np.std(means, ddof=1)) if len(means) > 1 else None}
        result[way] = summary
    return result


def describe(run: Run) -> dict[str, object]:
    """What a run was trained on and how, as far as its folder and its data set tell; names no folder of the machine."""
    config = run.config
    # Epochs in which only the foreground is learned teach nothing about people.
    epochs = config.train.epochs - int(config.flat().get("method.foreground.epochs", 0))
    return {
        "run": run.path.name,
        "commit": read_json(run.path / "environment.json").get("commit"),
        "method": config.method.to_dict(),
        "data": describe_data(config.data),
        "seed": config.train.seed,
        "steps": epochs * config.train.steps_per_epoch,
        "batch": [config.train.identities, config.train.images_per_modality],
        "size": [config.images.height, config.images.width],
        "augment": config.images.model_dump(mode="json")["augment"],
    }


def describe_data(data: configuration.Named) -> dict[str, object]:
    """The data set's folder, part and, from its `dataset.json`, generator, preset, seed, size, sites and people."""
    about: dict[str, object] = {"name": data.name, "folder": Path(data.root).name}
    if data.name != "synthvi":
        return about
    part = data.options.part
    about |= {"part": part, "train_ids": data.options.train_ids, "limit": data.options.size}
    try:
        folders = synthvi.find_parts(data.options.root)
    except InputError:
        return about
    found = rendered(folders[part if part in folders else next(iter(folders))]) or {}
    facts = ("generator", "preset", "seed", "size", "sites", "identities")
    return about | {name: found[name] for name in facts if name in found}


def read_json(path: Path) -> dict[str, Any]:
    """The file's object, empty if there is no such file."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise InputError(f"{path} is damaged: no JSON; restore it or move it away") from None
    return content


def measure(real: Path, names: Sequence[str], label: str, device: str) -> dict[str, object]:
    """The line of the log."""
    samples = manifest.load(manifest.Config(root=real))
    found: dict[str, list[dict[str, ByQuery]]] = {kind: [] for kind in KINDS}
    about = []
    for name in tqdm(names, "transfer", unit="run", leave=False):
        run = load_run(name)
        images, method = looks(run, samples, device), build_method(run)
        for kind, pixels in images.items():
            found[kind].append(score(method, pixels, samples, device))
        found["untrained"].append(score(untrained(run), images["trained"], samples, device))
        about.append(describe(run))
    seeds = [each["seed"] for each in about]
    if twice := {seed for seed in seeds if seeds.count(seed) > 1}:
        raise InputError(f"two of the runs have seed {twice.pop()}; give runs that differ in it")
    settings = [{key: value for key, value in each.items() if key not in ("run", "commit", "seed")} for each in about]
    for name, each in zip(names, settings, strict=True):
        other = [key for key in each if each[key] != settings[0][key]]
        if other:
            raise InputError(
                f"{name} differs from {names[0]} in more than its seed: {', '.join(other)}; log them apart"
            )
    return {
        "label": label,
        "people": len({sample.pid for sample in samples}),
        "images": {kind.name.lower(): sum(sample.modality is kind for sample in samples) for kind in Modality},
        "runs": about,
        "vireid": version("vireid"),
        **{kind: row(each) for kind, each in found.items()},
    }


def add_line(log: Path, line: dict[str, object]) -> None:
    """Write the line in the place of one with its label, or at the end."""
    lines = read_log(log)
    places = [number for number, old in enumerate(lines) if old["label"] == line["label"]]
    lines[slice(*(places[0], places[0] + 1) if places else (len(lines), len(lines)))] = [line]
    write_text(log, "".join(json.dumps(each) + "\n" for each in lines))


def read_log(log: Path) -> list[dict[str, object]]:
    """The lines of the log, none if there is no such file."""
    try:
        lines = [json.loads(text) for text in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    except ValueError:
        lines = [None]
    if not all(isinstance(line, dict) and "label" in line for line in lines):
        raise InputError(f"{log} is no log of this script; move it away or choose another --output")
    return lines


def text(line: dict[str, object]) -> str:
    """The line as a table in percent."""
    rows = [f"{'':10} {'':4} {'Rank-1':>22} {'mAP':>22}   chance {'Rank-1':>7} {'mAP':>5}"]
    for kind in KINDS:
        for way, summary in line[kind].items():
            cells = [
                f"{100 * s['mean']:6.1f} [{100 * s['low']:5.1f}, {100 * s['high']:5.1f}]"
                for s in (summary[name] for name in SCORES)
            ]
            level = [100 * summary[name]["chance"] for name in SCORES]
            rows.append(f"{kind:10} {way:4} {cells[0]:>22} {cells[1]:>22}   {level[0]:14.1f} {level[1]:5.1f}")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--output", type=Path, default=LOG, help=f"the log; default: {LOG}")
    parser.add_argument("--label", required=True, help="what was new, such as 'generator 2, local contrast'")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    with refusing("synthvi_transfer"):
        make_folder(options.output.parent)
        require_writable(options.output)
        read_log(options.output)
        line = measure(options.real, options.runs, options.label, options.device)
        add_line(options.output, line)
    print(text(line))


if __name__ == "__main__":
    main()
