"""A run as one ONNX file that embeds without torch: model, metadata and a report of how well both agree.

The file takes `images` `(B, 3, H, W)` uint8 and `modalities` `(B,)` int64 (values of `Modality`) and gives
`embeddings` `(B, D)` float32 of length 1. Normalisation is inside. Where a method has layers of one modality, the file
holds its network twice, once as each modality passes it, and every image goes through one of them only; weights that
both share are stored once. Rows whose modality is neither come out as zeros.

Shapes: B images of a batch, D embedding size, H and W image height and width.
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vireid.atomic import replacing, require_writable, write_text
from vireid.data.augment import IMAGENET_MEAN, IMAGENET_STD
from vireid.embedder import Run, build_method, fingerprint, load_run
from vireid.errors import InputError, Stopped
from vireid.export.graph import export_method
from vireid.export.parity import LEAST_COSINE, check_parity
from vireid.onnx_embedder import FORMAT, Metadata
from vireid.sample import Modality
from vireid.version import __version__


def export_run(run: str | Path, output: Path) -> dict[str, Any]:
    """Write a run as `output` and, beside it, `<output's stem>.parity.json`, the check against PyTorch.

    Real crops of SynthVI-mini, visible and infrared and mixed, pass both in several batch sizes.

    Args:
        run: a run folder, or `default`.
        output: FILE.onnx.

    Returns:
        The report, as in the JSON file.

    Raises:
        InputError: no such run, a package is missing, or the method cannot be exported.
        Stopped: the file does not compute what PyTorch computes; nothing is written.
    """
    if output.suffix != ".onnx":
        raise InputError(f"--output {output}: expected a file ending in .onnx")
    require_writable(output)
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise InputError(f"this needs {package}: pip install 'vireid[onnx]'")
    import onnx

    loaded = load_run(run)
    method = build_method(loaded)
    model = export_method(method, loaded.config.images.height, loaded.config.images.width)
    metadata = describe(loaded, model.graph.output[0].type.tensor_type.shape.dim[1].dim_value)
    onnx.helper.set_model_props(model, metadata.to_properties())
    try:
        with replacing(output) as temporary:
            temporary.write_bytes(model.SerializeToString())
            report = check_parity(method, metadata, temporary)
            smallest = min(part["smallest_cosine"] for part in report["runtimes"].values())
            if not smallest >= LEAST_COSINE:
                raise Stopped(
                    f"{output} was not written: it disagrees with PyTorch, smallest cosine {smallest:.6f}, at least "
                    f"{LEAST_COSINE} expected"
                )
            write_text(output.with_suffix(".parity.json"), json.dumps(report, indent=2) + "\n")
    except OSError as error:
        raise InputError(f"cannot write {output}: {error.strerror or error}; free some disk space") from None
    return report


def describe(run: Run, dimensions: int) -> Metadata:
    """The metadata of a run's file."""
    images = run.config.images
    steps = {
        "resize": {
            "height": images.height,
            "width": images.width,
            "interpolation": "bilinear",
            "antialias": True,
            "keep_aspect_ratio": False,
            "in_graph": False,
        },
        "channel_order": "RGB",
        "grey_images": "three equal channels",
        "layout": "NCHW",
        "dtype": "uint8",
        "normalize": {"scale": 1 / 255, "mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD), "in_graph": True},
    }
    words = (
        f"The caller resizes each crop to {images.height} x {images.width} pixels (height x width) by antialiased "
        "bilinear interpolation without keeping the aspect ratio and gives RGB values 0 to 255 as uint8 (B, 3, H, W), "
        "grey images as three equal channels. The file itself divides by 255, subtracts ImageNet's mean and divides by "
        "its standard deviation: do not normalise before."
    )
    return Metadata(
        format=FORMAT,
        version=__version__,
        method=run.config.method.name,
        fingerprint=fingerprint(run),
        height=images.height,
        width=images.width,
        dimensions=dimensions,
        modalities={modality.name.lower(): int(modality) for modality in Modality},
        preprocessing=steps,
        preprocessing_in_words=words,
    )
