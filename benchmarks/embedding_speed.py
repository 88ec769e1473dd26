"""Images per second of each way to embed: `python benchmarks/embedding_speed.py --output FILE.json`.

One model, the same decoded crops of SynthVI-mini, half visible and half infrared in turn, the same number of threads,
and in turns, so that a busy moment hits all alike: PyTorch in f32 called plainly, PyTorch as vireid runs it, ONNX
Runtime, OpenVINO in f32, and OpenVINO in the CPU's fastest format. Prints the median of the turns and its ratio to
plain PyTorch f32. Needs the packages of `vireid[onnx,openvino]`.
"""

import argparse
import json
import os
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from refusal import refusing
from timing import in_turns

from vireid.atomic import require_writable, write_text
from vireid.data import synthvi
from vireid.data.augment import normalize
from vireid.data.cache import decode
from vireid.embedder import load
from vireid.errors import InputError
from vireid.export import export_run
from vireid.models.precision import device_name
from vireid.onnx_embedder import OnnxEmbedder

Way = Callable[[np.ndarray, np.ndarray], np.ndarray]
PLAIN = "PyTorch f32"


def make_ways(run: str, folder: Path, threads: int, batch: int) -> tuple[dict[str, Way], tuple[int, int], dict]:
    """Each way to embed by name, the model's height and width, and the report of its export."""
    torch.set_num_threads(threads)
    embedder = load(run, device="cpu")
    embedder.batch_size = batch
    method = embedder.method.eval()

    def plain(pixels: np.ndarray, kinds: np.ndarray) -> np.ndarray:
        images, modalities = torch.from_numpy(pixels), torch.from_numpy(kinds)
        with torch.inference_mode():
            parts = zip(images.split(batch), modalities.split(batch), strict=True)
            return torch.cat([method.embed(normalize(part), kind) for part, kind in parts]).numpy()

    file = folder / "model.onnx"
    report = export_run(run, file)
    onnx = OnnxEmbedder(file, "onnx", threads=threads, batch_size=batch)
    openvino = OnnxEmbedder(file, "openvino", threads=threads, precision="f32", batch_size=batch)
    fastest = OnnxEmbedder(file, "openvino", threads=threads, precision="auto", batch_size=batch)
    ways: dict[str, Way] = {
        PLAIN: plain,
        "PyTorch as vireid runs it": lambda pixels, kinds: embedder.embed_pixels(torch.from_numpy(pixels), kinds),
        "ONNX Runtime": onnx.embed_pixels,
        "OpenVINO f32": openvino.embed_pixels,
        "OpenVINO fastest": fastest.embed_pixels,
    }
    return ways, (embedder.height, embedder.width), report


def read_crops(count: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels `(N, 3, H, W)` uint8 and modalities `(N,)` of test images, the kinds in turn."""
    samples = [sample for sample in synthvi.load(synthvi.Config()) if sample.split == "test"]
    sides = [[sample for sample in samples if sample.modality == modality] for modality in (0, 1)]
    chosen = [side[index % len(side)] for index in range((count + 1) // 2) for side in sides][:count]
    pixels = np.stack([decode(sample.path, height, width).numpy() for sample in chosen])
    return pixels, np.array([sample.modality for sample in chosen], np.int64)


def report_of(seconds: dict[str, list[float]], images: int, cosines: dict[str, float]) -> list[dict[str, Any]]:
    """A row per way: images per second (median, slowest, fastest turn), and the ratio to plain PyTorch f32."""
    plain = np.array(seconds[PLAIN])
    return [
        {
            "way": name,
            "images_per_second": images / float(np.median(times)),
            "slowest": images / max(times),
            "fastest": images / min(times),
            "ratio": float(np.median(plain) / np.median(times)),
            "ratio_within_turns": float(np.median(plain / np.array(times))),
            "smallest_cosine": cosines[name],
        }
        for name, times in seconds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="default", help="a run folder, or default")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, required=True, help="FILE.json")
    settings = parser.parse_args()
    with refusing("embedding_speed.py"):
        if min(settings.images, settings.batch, settings.turns, settings.threads) < 1:
            raise InputError("--images, --batch, --turns and --threads are 1 or more")
        require_writable(settings.output)
        with TemporaryDirectory() as folder:
            ways, size, exported = make_ways(settings.run, Path(folder), settings.threads, settings.batch)
            pixels, kinds = read_crops(settings.images, *size)
            expected = ways[PLAIN](pixels, kinds)
            cosines = {name: float((way(pixels, kinds) * expected).sum(1).min()) for name, way in ways.items()}
            seconds = in_turns({name: partial(way, pixels, kinds) for name, way in ways.items()}, settings.turns)
        rows = report_of(seconds, len(pixels), cosines)
        for row in rows:
            rate = f"{row['images_per_second']:8.1f} images/s ({row['slowest']:.1f} to {row['fastest']:.1f})"
            print(f"{row['way']:26} {rate}  {row['ratio']:5.2f} x  cosine {row['smallest_cosine']:.6f}")
        packages = {name: version(name) for name in ("torch", "onnxruntime", "openvino")}
        result = {
            "run": settings.run,
            "method": exported["method"],
            "fingerprint": exported["fingerprint"],
            "device": device_name("cpu"),
            "packages": packages,
            "size": size,
            "images": len(pixels),
            "batch": settings.batch,
            "threads": settings.threads,
            "turns": settings.turns,
            "load_average": os.getloadavg()[0],
            "rows": rows,
            "seconds": seconds,
        }
        write_text(settings.output, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
