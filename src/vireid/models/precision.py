"""Which number formats a device computes in."""

import torch


def fastest_precision(device: torch.device | str) -> str:
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
