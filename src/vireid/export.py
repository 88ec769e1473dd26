"""A run as one ONNX file that embeds without torch: model, metadata and a report of how well both agree.

The file takes `images` `(B, 3, H, W)` uint8 and `modalities` `(B,)` int64 (values of `Modality`) and gives
`embeddings` `(B, D)` float32 of length 1. Normalisation is inside. Where a method has layers of one modality, the file
holds its network twice, once as each modality passes it, and every image goes through one of them only; weights that
both share are stored once. Rows whose modality is neither come out as zeros.

Shapes: B images of a batch, N images of the check, D embedding size, H and W image height and width.
"""

import copy
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vireid.atomic import replacing, require_writable, write_text
from vireid.data import synthvi
from vireid.data.augment import IMAGENET_MEAN, IMAGENET_STD, normalize
from vireid.data.cache import decode
from vireid.data.pixels import resized
from vireid.embedder import Run, build_method, fingerprint, load_run
from vireid.errors import InputError, Stopped
from vireid.evaluation.extract import extract
from vireid.methods.base import Method
from vireid.models.two_stream_resnet import SharedStage, TwoStreamStage
from vireid.onnx_embedder import FORMAT, RUNTIMES, Metadata, OnnxEmbedder, Precision, Runtime
from vireid.sample import Modality
from vireid.version import __version__

if TYPE_CHECKING:
    import onnx

LEAST_COSINE = 0.9999
OPSET = 20
BATCHES = (1, 1, 2, 7, 32)  # of the check, besides all images of one modality; the first two are one of each
LARGEST = 2**31 - 2**20  # bytes: what one ONNX file can hold, less some for the graph
PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}  # of each runtime


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
            report = _checked(method, metadata, temporary)
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


def export_method(method: Method, height: int, width: int) -> "onnx.ModelProto":
    """A method in eval mode on the CPU as an ONNX model, metadata left out.

    Raises:
        InputError: torch cannot express the method as a graph, or it is too large for one file.
    """
    size = sum(value.nbytes for value in method.state_dict().values())
    if size > LARGEST:
        raise InputError(f"the model holds {size / 1e9:.1f} GB of weights; an ONNX file holds 2 GB at most")
    if not any(isinstance(module, TwoStreamStage) for module in method.modules()):
        model = _trace(_Network(method), height, width)
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "batch"  # fixed where the network never looks at an input
        return model
    streams = {modality: _trace(_Network(_of_one_stream(method, modality)), height, width) for modality in Modality}
    return _join(streams, height, width)


class _Network(nn.Module):
    """What becomes a graph: uint8 images `(B, 3, H, W)` and modalities `(B,)` to embeddings `(B, D)`."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, images: Tensor, modalities: Tensor) -> Tensor:
        return self.method.embed(normalize(images), modalities)


def _of_one_stream(method: Method, modality: Modality) -> Method:
    """A copy whose two-stream stages are plain ones, those that this modality passes.

    Which rows pass which stage depends on the data, which torch cannot express as a graph.
    """
    chosen = copy.deepcopy(method)
    for module in list(chosen.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, TwoStreamStage):
                body = child.visible if modality is Modality.VISIBLE else child.infrared
                setattr(module, name, SharedStage(body))
    return chosen.eval()


def _trace(network: nn.Module, height: int, width: int) -> "onnx.ModelProto":
    images = torch.zeros(2, 3, height, width, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1)
    try:
        with _quiet():
            program = torch.onnx.export(
                network.eval(),
                (images, torch.zeros(2, dtype=torch.int64)),
                dynamo=True,
                opset_version=OPSET,
                input_names=["images", "modalities"],
                output_names=["embeddings"],
                dynamic_shapes=({0: batch}, {0: batch}),
                optimize=False,  # it would join BatchNorms into convolutions, which both modalities share; runtimes do
                verbose=False,
            )
    except Exception as error:  # of many kinds, each with pages of advice
        raise _refusal(error) from None
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells its steps, and warns of what the check after it will find anyway."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _join(streams: "dict[Modality, onnx.ModelProto]", height: int, width: int) -> "onnx.ModelProto":
    """One graph in which each row passes the network of its modality.

    A network without rows is skipped, not called with none: runtimes refuse an empty batch, and one image must not
    cost two.
    """
    from onnx import TensorProto, helper, numpy_helper

    shared: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    initializers: list[TensorProto] = []
    first = next(iter(streams.values()))
    size = first.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    constants = {"batch_axis": [0], "columns": [size], "row_axis": [1]}
    initializers += [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in constants.items()]
    initializers.append(numpy_helper.from_array(np.array(0, np.int64), "none"))
    nodes = [
        helper.make_node("Shape", ["modalities"], ["batch"]),
        helper.make_node("Concat", ["batch", "columns"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["embeddings_0"]),
    ]
    before = "embeddings_0"
    for number, (modality, model) in enumerate(streams.items(), 1):
        name = modality.name.lower()
        after = "embeddings" if number == len(streams) else f"embeddings_{number}"
        initializers.append(numpy_helper.from_array(np.array(modality, np.int64), f"{name}"))
        nodes += [
            helper.make_node("Equal", ["modalities", name], [f"is_{name}"]),
            helper.make_node("NonZero", [f"is_{name}"], [f"{name}_row"]),
            helper.make_node("Squeeze", [f"{name}_row", "batch_axis"], [f"{name}_rows"]),
            helper.make_node("Size", [f"{name}_rows"], [f"{name}_count"]),
            helper.make_node("Greater", [f"{name}_count", "none"], [f"any_{name}"]),
        ]
        body = [
            helper.make_node("Gather", ["images", f"{name}_rows"], [f"{name}/images"], axis=0),
            helper.make_node("Gather", ["modalities", f"{name}_rows"], [f"{name}/modalities"], axis=0),
            *_renamed(model, f"{name}/", shared, initializers),
            helper.make_node("Unsqueeze", [f"{name}_rows", "row_axis"], [f"{name}/places"]),
            helper.make_node("ScatterND", [before, f"{name}/places", f"{name}/embeddings"], [f"{name}/filled"]),
        ]
        outputs = [helper.make_tensor_value_info(f"{name}/{e}", TensorProto.FLOAT, None) for e in ("filled", "kept")]
        some = helper.make_graph(body, name, [], outputs[:1])
        kept = helper.make_node("Identity", [before], [f"{name}/kept"])
        nothing = helper.make_graph([kept], f"no_{name}", [], outputs[1:])
        nodes.append(helper.make_node("If", [f"any_{name}"], [after], then_branch=some, else_branch=nothing))
        before = after
    inputs = [
        helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 3, height, width]),
        helper.make_tensor_value_info("modalities", TensorProto.INT64, ["batch"]),
    ]
    output = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", size])
    graph = helper.make_graph(nodes, "vireid", inputs, [output], initializers)
    functions = {(f.domain, f.name): f for model in streams.values() for f in model.functions}
    joined = helper.make_model(
        graph, opset_imports=list(first.opset_import), functions=list(functions.values()), producer_name="vireid"
    )
    joined.ir_version = first.ir_version
    return joined


def _renamed(
    model: "onnx.ModelProto",
    prefix: str,
    shared: dict[tuple[int, tuple[int, ...], bytes], str],
    initializers: "list[onnx.TensorProto]",
) -> "list[onnx.NodeProto]":
    """The nodes of a graph with `prefix` before every name; weights are added to `initializers` unless there already.

    Args:
        model: one modality's network.
        prefix: of its names.
        shared: name of each weight in `initializers` by its contents; added to.
        initializers: of the joined graph; added to.
    """
    from onnx import numpy_helper

    names = {"": ""}  # an input that a node leaves out
    for tensor in model.graph.initializer:
        key = (tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes())
        if key not in shared:
            shared[key] = f"{prefix}{tensor.name}"
            tensor.name = shared[key]
            initializers.append(tensor)
            names[tensor.name.removeprefix(prefix)] = shared[key]
        else:
            names[tensor.name] = shared[key]
    nodes = list(model.graph.node)
    for node in nodes:
        if any(attribute.HasField("g") for attribute in node.attribute):
            raise InputError("this method cannot be exported to ONNX (its graph has branches of its own)")
        node.name = f"{prefix}{node.name}"
        for values in (node.input, node.output):
            values[:] = [names.get(value, f"{prefix}{value}") for value in values]
    return nodes


def check_parity(method: Method, metadata: Metadata, file: Path) -> dict[str, Any]:
    """How far a file's embeddings of real crops are from the method's, with each runtime that is installed.

    Returns:
        Under `runtimes`, for each in f32 and for equal pixels, `smallest_cosine` and `largest_difference` of a number,
        and the smallest cosine where the file's side resizes by Pillow, as it does without torch. Under
        `fastest_precision` the same of OpenVINO in the format it would choose on this CPU.
    """
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


def _checked(method: Method, metadata: Metadata, file: Path) -> dict[str, Any]:
    """As `check_parity`; raises `InputError` if a runtime cannot compute the graph at all."""
    try:
        return check_parity(method, metadata, file)
    except InputError:
        raise
    except Exception as error:  # the runtimes have errors of their own
        raise _refusal(error) from None


def _refusal(error: Exception) -> InputError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = (lines or [type(error).__name__])[0][:160]
    return InputError(f"this method cannot be exported to ONNX ({reason}); embed with the run itself: --runtime torch")


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
