"""Images per hour of `vireid synth`, now and before: `python benchmarks/synth_speed.py --output FILE.json`.

Renders the same preset, people, size and seed with the same number of processes, in turns, with the working tree and
with revision REV of the repository (default: the first version). Each turn renders N people and then 2N into new
folders; the difference of the two times leaves out start-up. Needs git, and the packages of `vireid[synth]`.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from refusal import refusing
from tqdm import tqdm

from vireid.atomic import require_writable, write_text
from vireid.errors import InputError
from vireid.models.precision import device_name

ROOT = Path(__file__).resolve().parents[1]
FIRST_VERSION = "83302e4"


@dataclass(frozen=True)
class Version:
    """A source tree to render with."""

    name: str
    source: Path
    arguments: tuple[str, ...]

    def call(self, *arguments: str) -> str:
        """Run Python on this source tree; raises `InputError` with what it printed if it fails."""
        environment = {**os.environ, "PYTHONPATH": str(self.source)}
        done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise InputError(f"{self.name} failed: {done.stderr.strip()[-2000:]}")
        return done.stdout.strip()

    def render(self, people: int, settings: argparse.Namespace) -> tuple[int, float]:
        """Images written and seconds taken, start-up included."""
        with TemporaryDirectory() as folder:
            out = Path(folder) / "set"
            words = ["--preset", settings.preset, "--identities", str(people), "--size", settings.size, "--seed", "0"]
            words += ["--workers", str(settings.workers), *self.arguments]
            started = time.perf_counter()
            self.call("-m", "vireid", "synth", str(out), *words)
            seconds = time.perf_counter() - started
            return sum(json.loads((out / "dataset.json").read_text())["images"].values()), seconds


def unpack(revision: str, folder: Path) -> Path:
    """The sources of a revision."""
    archive = subprocess.run(["git", "-C", ROOT, "archive", revision, "src"], capture_output=True)
    if archive.returncode:
        raise InputError(f"{archive.stderr.decode().strip()}; give --against a revision of this repository")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as content:
        content.extractall(folder, filter="data")
    return folder / "src"


def require_own_source(version: Version) -> None:
    """A revision must not be measured with the installed package."""
    found = Path(version.call("-c", "import vireid; print(vireid.__file__)"))
    if not found.is_relative_to(version.source):
        raise InputError(f"{version.name} would run {found}, not {version.source}")


def measure(version: Version, settings: argparse.Namespace) -> dict[str, float]:
    """One turn: images per hour with start-up (of 2N people) and without (from the difference to N people)."""
    few, short = version.render(settings.identities, settings)
    many, long = version.render(2 * settings.identities, settings)
    if long <= short:
        raise InputError(f"twice the people took no longer ({short:.0f} s, then {long:.0f} s); raise --identities")
    rate = 3600 * (many - few) / (long - short)
    return {"images": few + many, "seconds": short + long, "rate": rate, "whole": 3600 * many / long}


def summarise(rows: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Medians of each version, and the ratio turn by turn."""
    now, before = rows.values()
    ratios = [a["rate"] / b["rate"] for a, b in zip(now, before, strict=True)]
    medians = {
        name: {key: float(np.median([turn[key] for turn in turns])) for key in ("rate", "whole")}
        for name, turns in rows.items()
    }
    return {"median": medians, "ratio": float(np.median(ratios)), "ratios": ratios}


def compare(settings: argparse.Namespace) -> dict[str, Any]:
    """Both versions, turn by turn."""
    with TemporaryDirectory() as folder:
        before = Version(settings.against, unpack(settings.against, Path(folder)), ())
        now = Version("working tree", ROOT / "src", ("--device", settings.device))
        for version in (now, before):
            require_own_source(version)
            version.render(2, settings)  # compiles the kernels, and the body model where it is not there yet
        rows: dict[str, list[dict[str, float]]] = {now.name: [], before.name: []}
        for _ in tqdm(range(settings.repeats), "turns"):
            for version in (now, before):
                rows[version.name].append(measure(version, settings))
    kept = ("preset", "identities", "size", "workers", "device", "repeats", "against")
    machine = {"cores": os.cpu_count(), "cpu": device_name("cpu"), "gpu": device_name(settings.device)}
    about = {name: getattr(settings, name) for name in kept} | {"commit": commit(), "machine": machine}
    return {"settings": about, "turns": rows, **summarise(rows)}


def commit() -> str:
    """The working tree's revision, with `-dirty` where its sources were changed since."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", default=FIRST_VERSION, metavar="REV")
    parser.add_argument("--preset", default="nir", choices=["mini", "nir", "lwir"])
    parser.add_argument("--identities", type=int, default=4, help="N")
    parser.add_argument("--size", default="288x144", metavar="HxW")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--device",
        default="cpu",
        choices=["cpu", "cuda"],
        help="of the working tree; the first version knows the CPU only",
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path)
    settings = parser.parse_args()
    with refusing("synth_speed"):
        if settings.repeats < 1 or settings.identities < 1:
            raise InputError("--repeats and --identities: give at least 1")
        if settings.output is not None:
            require_writable(settings.output)
        report = compare(settings)
        if settings.output is not None:
            write_text(settings.output, json.dumps(report, indent=1) + "\n")
    for name, median in report["median"].items():
        print(f"{name:14} {median['rate']:9.0f} images/hour, with start-up {median['whole']:9.0f}")
    print(f"ratio {report['ratio']:.2f}, turn by turn {', '.join(f'{ratio:.2f}' for ratio in report['ratios'])}")


if __name__ == "__main__":
    main()
