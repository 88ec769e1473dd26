"""How a script here says that it was given something wrong."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vireid.errors import InputError


@contextmanager
def refusing(script: str) -> Iterator[None]:
    """Bad input ends the script `script` with one line and exit status 2, as it does `vireid`."""
    try:
        yield
    except InputError as error:
        print(f"{script}: {error}", file=sys.stderr)
    except OSError as error:
        reason = f"{error.filename or 'input/output'}: {error.strerror or error}"
        print(f"{script}: {reason}; check the path and the disk", file=sys.stderr)
    else:
        return
    sys.exit(2)


def make_folder(path: Path) -> Path:
    """The folder at `path`, made where it is not there; raises `InputError` if it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be made a folder ({error.strerror}); choose another one") from None
    return path
