"""Renders identities in this process or in several."""

import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from vireid.errors import InputError
from vireid.synth.presets import DeviceName, Job


def paint_all(job: Job, out: Path, missing: list[int], workers: int, device: DeviceName) -> None:
    """Render the identities with these numbers (from 0) in `workers` processes; needs anny and warp.

    Raises:
        InputError: no GPU where one is asked for, a worker was killed, or the disk is full.
    """
    if not missing:
        return
    device = find_device(device)
    # Kernels are compiled and cached on first use; that must happen once, before the workers start.
    from vireid.synth.painter import Painter, paint

    tqdm.write("Loading the body model and the kernels (compiled on first use) ...", file=sys.stderr)
    painter = Painter(job, device)
    workers = min(workers, len(missing))
    with tqdm(total=job.identities, initial=job.identities - len(missing), unit="id", desc="render") as bar:
        if workers == 1:
            for index in missing:
                paint(painter, job, out, index)
                bar.update()
            return
        del painter
        _paint_in_processes(job, out, missing, workers, device, bar)


def find_device(device: DeviceName) -> Literal["cpu", "cuda"]:
    """Where to render: `auto` becomes `cuda` if Warp sees a GPU; raises `InputError` if one is asked for in vain."""
    if device == "cpu":
        return "cpu"
    from vireid.synth.kernels import wp  # type: ignore[attr-defined]

    if wp.is_cuda_available():
        return "cuda"
    if device == "cuda":
        raise InputError("device cuda asked for, but Warp sees no CUDA GPU: give --device cpu or auto")
    return "cpu"


def _paint_in_processes(job: Job, out: Path, missing: list[int], workers: int, device: DeviceName, bar: Any) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start, (job, out, device)) as pool:
        futures = [pool.submit(_paint, index) for index in missing]
        try:
            for future in as_completed(futures):
                future.result()
                bar.update()
        except BrokenProcessPool:
            raise InputError(
                f"one of {workers} render processes was killed, perhaps for lack of memory (each takes about "
                f"1 GB); run the same command again with fewer --workers and it continues"
            ) from None
        finally:
            # After an error or Ctrl-C only the identities at work are finished.
            pool.shutdown(cancel_futures=True)


_WORK: dict[str, Any] = {}  # a worker process's own painter


def _start(job: Job, out: Path, device: DeviceName) -> None:
    from vireid.synth.painter import Painter

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the pool
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _WORK.update(painter=Painter(job, device), job=job, out=out)


def _end_with_parent() -> None:
    """Without this a worker would wait for ever for tasks of a parent that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _paint(index: int) -> None:
    from vireid.synth.painter import paint

    paint(_WORK["painter"], _WORK["job"], _WORK["out"], index)
