"""Multiply-accumulates of a method, counted operator by operator while it embeds."""

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vireid.methods.base import Method
from vireid.sample import Modality


def count_macs(method: Method, height: int, width: int) -> int:
    """Multiply-accumulates to embed one visible and one infrared image of `(3, height, width)`.

    The convention of fvcore, in which this field's tables are: convolutions, linear layers and matrix
    products at one per multiply-accumulate; BatchNorm in eval mode at two per output element (scale and
    shift); pooling, activations and sums not counted.
    """
    images = torch.zeros(2, 3, height, width, device=next(method.parameters()).device)
    modalities = torch.tensor([Modality.VISIBLE, Modality.INFRARED], device=images.device)
    training = method.training
    # Not inference_mode: there composite operators reach the counter whole, as names it does not know.
    with torch.no_grad(), _MacCounter() as counter:
        method.eval().embed(images, modalities)
    method.train(training)
    return int(counter.macs)


class _MacCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the multiply-accumulates of every operator that runs under it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs: int = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.macs += _macs(func._schema.name.removeprefix("aten::"), args, result)
        return result


def _macs(operator: str, args: tuple[Any, ...], result: Any) -> int:
    output = result[0] if isinstance(result, tuple) else result
    outputs: int = output.numel() if isinstance(output, Tensor) else 0
    if "convolution" in operator:
        # The weight is (C_out, C_in / groups, kernel height, kernel width).
        return outputs * int(prod(args[1].shape[1:]))
    if operator in ("mm", "bmm"):
        return outputs * int(args[0].shape[-1])
    if operator in ("addmm", "baddbmm"):
        return outputs * int(args[1].shape[-1])
    if "batch_norm" in operator:
        return 2 * outputs
    if "scaled_dot_product" in operator:
        query, key, value = args[:3]  # (B, heads, length, size): scores, then their product with the values
        return int(query.numel()) * int(key.shape[-2]) + outputs * int(value.shape[-2])
    return 0
