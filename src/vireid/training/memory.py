"""Memory of a training process."""

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def keep_freed_memory() -> None:
    """Keep what tensors on the CPU have freed for the next ones, from now on; does nothing without glibc.

    A training step asks for the same gigabytes as the one before. By default large pieces go back to the system as soon
    as they are freed, and the system clears every page that it gives out again, a large part of a step's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)
