"""One process at a time trains into a run folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vireid.errors import InputError

try:
    import fcntl
except ImportError:  # not a Unix: two trainings in one folder are not noticed there
    fcntl = None  # type: ignore[assignment]


@contextmanager
def claim(run: Path) -> Iterator[None]:
    """Make the folder and keep other trainings out of it; on failure an empty one is removed again.

    The lock is the kernel's, so a killed process leaves none behind.

    Raises:
        InputError: the folder cannot be written, or another process trains into it.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        folder = os.open(run, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"cannot make the run folder {run} ({error.strerror}); choose another --output") from None
    try:
        if not os.access(run, os.W_OK):
            raise InputError(f"the run folder {run} cannot be written; choose another --output or mend its rights")
        if fcntl is not None:
            _lock(folder, run)
        yield
    except BaseException:
        with suppress(OSError):
            run.rmdir()
        raise
    finally:
        os.close(folder)


def _lock(folder: int, run: Path) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"another process trains into {run}; wait for it, or choose another --output") from None
    except OSError:
        pass  # a file system without locks
