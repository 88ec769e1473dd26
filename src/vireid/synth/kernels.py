"""Loads NVIDIA Warp without its messages; every module with kernels imports it from here first."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import warp as wp


@contextlib.contextmanager
def muted() -> Iterator[None]:
    """Silence stdout and stderr at the level of the process: Warp's library writes there past Python."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        with Path(os.devnull).open("wb") as nowhere:
            for descriptor in (1, 2):
                os.dup2(nowhere.fileno(), descriptor)
        yield
    finally:
        for descriptor, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)


wp.config.log_level = wp.LOG_ERROR
wp.config.enable_backward = False  # nothing is differentiated, and kernels compile in half the time
# Without a GPU the library warns of the absent driver once per process.
with muted():
    wp.init()


def compile_kernels(device: str) -> None:
    """Compile (once per machine, up to a minute) and load what a picture needs, without Warp's messages."""
    from vireid.synth import noise, raster, sensor, shade

    with muted():
        for module in (noise, raster, sensor, shade):
            wp.load_module(module, device=device)
        wp.load_module(noise, device="cpu")
