"""Whether an exported file computes what PyTorch computes, on real crops of SynthVI-mini.

Shapes: N images of the check.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vireid.data import synthvi
from vireid.data.cache import decode
from vireid.data.pixels import resized
from vireid.errors import InputError
from vireid.evaluation.extract import extract
from vireid.export.graph import refusal
from vireid.methods.base import Method
from vireid.onnx_embedder import RUNTIMES, Metadata, OnnxEmbedder, Precision, Runtime
from vireid.sample import Modality

LEAST_COSINE = 0.9999
BATCHES = (1, 1, 2, 7, 32)  # of the check, besides all images of one modality; the first two are one of each
PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}  # of each runtime


def check_parity(method: Method, metadata: Metadata, file: Path) -> dict[str, Any]:
    """How far a file's embeddings of real crops are from the method's, with each runtime that is installed.

    Returns:
        Under `runtimes`, for each in f32 and for equal pixels, `smallest_cosine` and `largest_difference` of a number,
        and the smallest cosine where the file's side resizes by Pillow, as it does without torch. Under
        `fastest_precision` the same of OpenVINO in the format it would choose on this CPU.

    Raises:
        InputError: a runtime cannot compute the graph at all.
    """
    try:
        return _report(method, metadata, file)
    except InputError:
        raise
    except Exception as error:  # the runtimes have errors of their own
        raise refusal(error) from None


def _report(method: Method, metadata: Metadata, file: Path) -> dict[str, Any]:
    paths, modalities = _crops(sum(BATCHES))
    pixels = torch.stack([decode(path, metadata.height, metadata.width) for path in paths]).numpy()
    expected = extract(method, pixels, modalities, batch_size=32, progress=False)
    without_torch = np.stack([resized(path, metadata.height, metadata.width) for path in paths])
    parts = _parts(modalities)
    rows = np.concatenate(parts)

    def compare(runtime: Runtime, precision: Precision = "f32") -> dict[str, float]:
        embedder = OnnxEmbedder(file, runtime, precision=precision)
        got = np.concatenate([embedder.embed_pixels(pixels[part], modalities[part]) for part in parts])
        return {
            "smallest_cosine": _smallest_cosine(got, expected[rows]),
            "largest_difference": float(np.abs(got - expected[rows]).max()),
            "smallest_cosine_with_pillow": _smallest_cosine(embedder.embed_pixels(without_torch, modalities), expected),
        }

    installed = [runtime for runtime in RUNTIMES if find_spec(PACKAGES[runtime]) is not None]
    runtimes = {runtime: compare(runtime) for runtime in installed}
    fastest = {"openvino": compare("openvino", "auto")} if "openvino" in installed else {}
    return {
        "fingerprint": metadata.fingerprint,
        "method": metadata.method,
        "vireid": metadata.version,
        "torch": torch.__version__,
        "images": len(paths),
        "visible": int((modalities == Modality.VISIBLE).sum()),
        "infrared": int((modalities == Modality.INFRARED).sum()),
        "batch_sizes": sorted({len(part) for part in parts}),
        "source": "SynthVI-mini, test images",
        "least_cosine": LEAST_COSINE,
        "runtimes": runtimes,
        "fastest_precision": fastest,
    }


def _crops(count: int) -> tuple[list[Path], npt.NDArray[np.int64]]:
    """Test images of SynthVI-mini, both modalities in turn, spread over people and cameras."""
    samples = [s for s in synthvi.load(synthvi.Config()) if s.split == "test"]
    sides = [[s for s in samples if s.modality is modality] for modality in Modality]
    half = (count + 1) // 2
    picked = [[side[index * len(side) // half] for index in range(half)] for side in sides]
    chosen = [sample for pair in zip(*picked, strict=True) for sample in pair][:count]
    return [sample.path for sample in chosen], np.array([sample.modality for sample in chosen], np.int64)


def _parts(modalities: npt.NDArray[np.int64]) -> Sequence[npt.NDArray[np.int64]]:
    """Rows of each batch of the check: single images, mixed ones of several sizes, one of each modality alone."""
    starts = np.cumsum([0, *BATCHES])
    mixed = [np.arange(start, start + size) for start, size in zip(starts, BATCHES, strict=False)]
    return [*mixed, *(np.flatnonzero(modalities == modality) for modality in Modality)]


def _smallest_cosine(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = (a.astype(np.float64) * b).sum(1) / np.maximum(lengths, 1e-12)
    return float(np.nan_to_num(cosines, nan=-1.0).min())
