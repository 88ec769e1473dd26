"""One process at a time writes into a folder: a run that trains, a set that is rendered."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vireid.errors import InputError

try:
    import fcntl
except ImportError:  # not a Unix: two processes in one folder are not noticed there
    fcntl = None  # type: ignore[assignment]


@contextmanager
def claim(folder: Path, work: str = "trains", instead: str = "choose another --output") -> Iterator[None]:
    """Make the folder and keep other processes out of it; on failure an empty one is removed again.

    The lock is the kernel's, so a killed process leaves none behind.

    Args:
        folder: to make and to keep others out of.
        work: what the other process does, for the message.
        instead: what to do about it, for the message.

    Raises:
        InputError: the folder cannot be written, or another process writes into it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder} ({error.strerror}); {instead}") from None
    try:
        if not os.access(folder, os.W_OK):
            raise InputError(f"the folder {folder} cannot be written; {instead} or mend its rights")
        if fcntl is not None:
            _lock(opened, f"another process {work} into {folder}; wait for it, or {instead}")
        yield
    except BaseException:
        with suppress(OSError):
            folder.rmdir()
        raise
    finally:
        os.close(opened)


def _lock(folder: int, taken: str) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(taken) from None
    except OSError:
        pass  # a file system without locks
