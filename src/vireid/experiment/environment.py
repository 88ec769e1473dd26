"""What a run was trained with: versions, commit and device."""

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

from vireid.atomic import write_text
from vireid.models.precision import device_name


def write_environment(path: Path, device: str) -> None:
    """Versions, commit and device of a run, for whoever wants to repeat it."""
    packages = ("vireid", "torch", "torchvision", "timm", "lightning-fabric", "numpy")
    facts = {
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
        "commit": _commit(),
        "device": device,
        "device_name": device_name(device),
        "threads": torch.get_num_threads(),
    }
    write_text(path, json.dumps(facts, indent=2) + "\n")


def _commit() -> str | None:
    """The commit of the source tree vireid runs from, `-dirty` if files of it differ; None where there is none."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
