"""What the speed benchmarks share: turns, child processes, the machine's rates, and the result file."""

import argparse
import cProfile
import inspect
import json
import multiprocessing
import os
import platform
import pstats
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from refusal import refusing
from tqdm import tqdm

from vireid.atomic import require_writable, write_text
from vireid.cli import ENVIRONMENT
from vireid.errors import InputError

COUNTS = Path(__file__).parents[1] / "tests" / "golden" / "sysu_counts.json"


def in_turns(actions: Mapping[str, Callable[[], Any]], turns: int) -> dict[str, list[float]]:
    """Seconds of every turn of each action, after one of each that does not count: a busy moment hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values():
        action()
    for _ in tqdm(range(turns), "turns", leave=False):
        for name, action in actions.items():
            started = time.perf_counter()
            action()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def median(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    """Median of the turns of each action."""
    return {name: float(np.median(turns)) for name, turns in seconds.items()}


def in_child(function: Callable[..., Any], *arguments: Any, as_command: bool = True) -> tuple[Any, float]:
    """What a function gives in a process of its own, and that process' peak memory in GB.

    `as_command` gives the process the environment that the command `vireid` gives itself.
    """
    names = {name: os.environ.pop(name, None) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT if as_command else {})
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(_with_peak, function, *arguments).result()
    finally:
        for name, value in names.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _with_peak(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    result = function(*arguments)
    return result, memory("VmHWM")


def memory(field: str) -> float:
    """This process' memory in GB: `VmHWM` is the most it ever held, `RssAnon` what no file stands behind now."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[field].split()[0]) * 1024 / 1e9


def shares(action: Callable[[], Any], most: int = 6) -> dict[str, float]:
    """Where a call's time goes: the functions with most time of their own, and their share."""
    profile = cProfile.Profile()
    profile.runcall(action)
    own: dict[str, float] = defaultdict(float)
    for place, values in pstats.Stats(profile).stats.items():
        own[_named(place)] += values[2]
    total = sum(own.values())
    return {name: own[name] / total for name in sorted(own, key=lambda name: -own[name])[:most]}


def _named(place: tuple[str, int, str]) -> str:
    file, _, name = place
    if file == "~":
        return name.strip("<>").removeprefix("built-in method ").replace("method ", "").split(" of ")[0].strip("'")
    return f"{Path(file).stem}.{name}"


def rates(size: int = 4096) -> dict[str, float]:
    """The most this machine computes and moves: matrix products in operations, copies in bytes a second."""
    import torch

    def rate(work: float, action: Callable[[], Any]) -> float:
        return work / min(in_turns({"": action}, 5)[""])

    numbers = torch.randn(size, size)
    kinds = {"f64": numbers.double(), "f32": numbers, "bf16": numbers.bfloat16()}
    products = {name: rate(2 * size**3, lambda values=values: values @ values) for name, values in kinds.items()}
    source, target = torch.zeros(64 * 2**20), torch.zeros(64 * 2**20)
    return products | {"copy": rate(2 * source.nbytes, lambda: target.copy_(source))}


def people(
    count: int, identities: int, dimensions: int, *, seed: int, spread: float = 1.0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Embeddings `(count, dimensions)` of length 1 around the directions of people, and whose they are.

    The people are the same for every seed.
    """
    centers = np.random.default_rng(0).standard_normal((identities, dimensions), np.float32)
    rng = np.random.default_rng(seed)
    pids = rng.integers(0, identities, count)
    rows = centers[pids]
    for start in range(0, count, 1000):
        part = rows[start : start + 1000]
        part += spread * rng.standard_normal(part.shape, np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return rows, pids


def machine() -> dict[str, Any]:
    """What the figures hold for."""
    import torch

    from vireid.models.precision import device_name

    return {
        "cpu": device_name("cpu"),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{package: version(package) for package in ("numpy", "torch")},
        "load_average": os.getloadavg()[0],
    }


def run(measure: Callable[..., dict[str, Any]]) -> None:
    """Make a command of a function: its keywords are options; what it returns is printed and goes to `--output`."""
    script = Path(inspect.getfile(measure))
    about = inspect.getdoc(inspect.getmodule(measure))
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = {name: parameter.default for name, parameter in inspect.signature(measure).parameters.items()}
    for name, default in defaults.items():
        many = isinstance(default, tuple)
        parser.add_argument(f"--{name}", type=int, nargs="+" if many else None, default=default, help=f"{default}")
    parser.add_argument("--output", type=Path, required=True, help="FILE.json")
    options = vars(parser.parse_args())
    output = options.pop("output")
    with refusing(script.name):
        if min(np.ravel(list(map(np.min, options.values()))), default=1) < 1:
            raise InputError("every number is 1 or more")
        require_writable(output)
        report = measure(**options)
        print(json.dumps(report, indent=1))
        write_text(output, json.dumps({"settings": options, "machine": machine()} | report, indent=1) + "\n")
