"""Embeddings a second of a ResNet-50 on the CPU: `python benchmarks/extraction_speed.py --output FILE.json`.

`baseline` at 288x144 with random weights, uint8 images in memory: called plainly in 32 bits with PyTorch's defaults,
and by `extract` in 32 bits and in the CPU's fastest precision, which galleries use. Each runs in a process of its own,
the plain calls without the environment that the command `vireid` gives itself.
"""

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from timing import in_child, in_turns, rates, run
from training_speed import build, load

from vireid.costs.macs import count_macs
from vireid.data.augment import normalize
from vireid.evaluation.extract import extract
from vireid.models.precision import fastest_precision

NAME, BATCH = "baseline", 64


def images_of(count: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Random images and their modalities, in turn."""
    config = load(NAME)
    shape = (count, 3, config.images.height, config.images.width)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8), np.arange(count) % 2


def plain(count: int, turns: int) -> tuple[list[float], npt.NDArray[np.float32]]:
    """Seconds of each turn, and the embeddings."""
    method = build(load(NAME)).eval()
    pixels, kinds = map(torch.from_numpy, images_of(count))

    def embed() -> npt.NDArray[np.float32]:
        with torch.no_grad():
            parts = zip(pixels.split(BATCH), kinds.split(BATCH), strict=True)
            return torch.cat([method.embed(normalize(part), kind) for part, kind in parts]).numpy()

    return in_turns({"": embed}, turns)[""], embed()


def ours(count: int, turns: int, precision: Any) -> tuple[list[float], npt.NDArray[np.float32]]:
    """The same by `extract`."""
    embed = partial(
        extract, build(load(NAME)), *images_of(count), batch_size=BATCH, precision=precision, progress=False
    )
    return in_turns({"": embed}, turns)[""], embed()


def measure(images: int = 256, turns: int = 3) -> dict[str, Any]:
    """Each way."""
    fastest = fastest_precision("cpu")
    (slow, expected), _ = in_child(plain, images, turns, as_command=False)
    report: dict[str, Any] = {"rates": rates(), "precision": fastest, "rows": {}}
    found = {"plain, 32-true": (slow, expected)}
    for precision in dict.fromkeys(("32-true", fastest)):
        found[f"vireid, {precision}"], _ = in_child(ours, images, turns, precision)
    for name, (seconds, rows) in found.items():
        report["rows"][name] = {
            "images a second": images / float(np.median(seconds)),
            "over plain": float(np.median(slow) / np.median(seconds)),
            "smallest cosine to plain": float((rows * expected).sum(axis=1).min()),
        }
    config = load(NAME)
    macs = count_macs(build(config).eval(), config.images.height, config.images.width)
    return report | {"operations of an image": macs}


if __name__ == "__main__":
    run(measure)
