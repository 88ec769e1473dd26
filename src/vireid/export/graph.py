"""A method as an ONNX graph: traced once for each modality that has layers of its own, and joined.

Shapes: B images of a batch, D embedding size, H and W image height and width.
"""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from vireid.data.augment import normalize
from vireid.errors import InputError
from vireid.methods.base import Method
from vireid.models.two_stream_resnet import SharedStage, TwoStreamStage
from vireid.sample import Modality

if TYPE_CHECKING:
    import onnx

OPSET = 20
LARGEST = 2**31 - 2**20  # bytes: what one ONNX file can hold, less some for the graph


def refusal(error: Exception) -> InputError:
    """What exporters and runtimes say of a method that they cannot take, in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = (lines or [type(error).__name__])[0][:160]
    return InputError(f"this method cannot be exported to ONNX ({reason}); embed with the run itself: --runtime torch")


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
        raise refusal(error) from None
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
