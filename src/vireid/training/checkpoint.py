"""Checkpoints: one file, written whole or not at all, that loads with `weights_only=True`."""

import os
from pathlib import Path
from typing import Any

import torch

from vireid.errors import InputError


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain types) to a temporary file, then rename it over `path`.

    Raises:
        InputError: the disk is full or the folder cannot be written; the old checkpoint stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        # torch wraps a failed write of its archive in a RuntimeError.
        temporary.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {_first_line(error)}; free some disk space") from None


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; raises `InputError` if it is missing or not one of ours."""
    if not path.is_file():
        raise InputError(f"checkpoint not found: {path}; give a run folder that `vireid train` wrote")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise InputError(f"{path} is not a readable checkpoint: {_first_line(error)}") from None
    if not isinstance(state, dict) or not {"method", "model", "epoch"} <= state.keys():
        raise InputError(f"{path} is not a vireid checkpoint: it lacks the keys method, model and epoch")
    return state


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
