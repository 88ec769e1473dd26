"""Checkpoints: one file, written whole or not at all, that loads with `weights_only=True`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vireid.atomic import replacing
from vireid.errors import InputError

KEYS = {"method": str, "model": dict, "epoch": int}


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain types) to a temporary file, then rename it over `path`.

    Raises:
        InputError: the disk is full or the folder cannot be written; the old checkpoint stays as it was.
    """
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:
        # torch wraps a failed write of its archive in a RuntimeError.
        raise InputError(f"cannot write {path}: {_first_line(error)}; free some disk space") from None


def load(path: Path, needs: Mapping[str, type] | None = None) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Args:
        path: the file.
        needs: keys that must be there beside method, model and epoch, and their types.

    Raises:
        InputError: the file is missing, damaged or not one of ours.
    """
    if not path.is_file():
        raise InputError(f"checkpoint not found: {path}; give a run folder that `vireid train` wrote")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises many kinds for a damaged file, with advice that is wrong here
        raise InputError(f"{path} is damaged or no checkpoint at all; restore it, or train the run anew") from None
    kinds = {**KEYS, **(needs or {})}
    values = state if isinstance(state, dict) else {}
    wrong = [key for key, kind in kinds.items() if not isinstance(values.get(key), kind)]
    if wrong:
        raise InputError(
            f"{path} is not a vireid checkpoint: {', '.join(wrong)} missing or of another type; give one that "
            "`vireid train` wrote"
        )
    return values


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
