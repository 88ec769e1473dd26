"""What computes, and in which number formats."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from vireid.errors import InputError

Precision = Literal["32-true", "bf16-mixed"]
AnyPrecision = Literal["auto", Precision]

EXPECTED = "expected auto, cpu, cuda, cuda:<index> or mps"


def resolve_device(device: str) -> torch.device:
    """The device of a name; `auto` is the GPU where there is one. Raises `InputError` if it is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, colon, index = device.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (colon and (kind != "cuda" or not (index.isascii() and index.isdigit()))):
        raise InputError(f"--device {device}: {EXPECTED}")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise InputError(f"--device {device}: {torch.cuda.device_count()} CUDA devices here; use --device cpu")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"--device {device}: no such device here; use --device cpu")
    return torch.device(device)


def resolve_precision(precision: AnyPrecision, device: torch.device | str) -> Precision:
    """The precision of a name; `auto` is the device's fastest."""
    return fastest_precision(device) if precision == "auto" else precision


def fastest_precision(device: torch.device | str) -> Precision:
    """`bf16-mixed` where the device computes in bf16, else `32-true`.

    A CPU without AMX or AVX512-BF16 emulates bf16 and is slower with it than in 32 bits.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    # torch offers these checks under private names only.
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    fast = kind == "cpu" and any(getattr(torch.cpu, check, bool)() for check in checks)
    return "bf16-mixed" if fast else "32-true"


@contextmanager
def exact_products() -> Iterator[None]:
    """Matrix products of 32-bit numbers are computed in 32 bits, whatever the program allows elsewhere."""
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)


# Width of a map up to which PyTorch's bf16 convolutions on CPUs are wrong: 3 x 3 with a stride of 2 reads memory that
# nobody wrote. In f32 they are right, and wider maps are right in both.
NARROW = 2


def through(body: nn.Module, x: Tensor) -> Tensor:
    """What a module makes of a map `(B, C, h, w)` or of features `(B, C)`; of a narrow map on a CPU in 32 bits."""
    narrow = x.ndim == 4 and x.shape[3] <= NARROW
    if narrow and x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            exact: Tensor = body(x.float())
        return exact
    features: Tensor = body(x)
    return features


def device_name(device: torch.device | str) -> str:
    """The make of the GPU or the processor, as far as the system tells."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
