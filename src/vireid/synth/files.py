"""Writes files that are either complete or absent."""

import contextlib
import errno
import os
from pathlib import Path

from vireid.errors import InputError

_SUFFIX = ".partial"


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file and the folders above it; raises `InputError` if the disk is full or refuses."""
    partial = path.with_name(f".{path.name}.{os.getpid()}{_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        _discard(partial)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        cure = "make room (the same command continues where it stopped)" if full else "mend its rights"
        raise InputError(f"cannot write {path}: {error.strerror or error}; {cure} or give another folder") from error


def remove_partials(folder: Path) -> None:
    """Remove what a killed run was writing; no other run may be writing there."""
    for partial in folder.rglob(f".*{_SUFFIX}"):
        _discard(partial)


def _discard(partial: Path) -> None:
    # It may never have been created, or lie where nothing can be done.
    with contextlib.suppress(OSError):
        partial.unlink()
