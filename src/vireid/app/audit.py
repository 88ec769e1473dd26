"""Who asked for what, and what was found: one line of JSON a request, on the disk before the answer goes out."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from starlette.requests import Request

from vireid.errors import InputError
from vireid.search.where import show_time

_NOTES = "vireid.audit"  # key of a request's scope


def note(request: Request, **facts: Any) -> None:
    """Add to a request's line."""
    notes_of(request.scope).update(facts)


def notes_of(scope: Any) -> dict[str, Any]:
    """What is noted of a request so far."""
    notes: dict[str, Any] = scope.setdefault(_NOTES, {})
    return notes


class Audit:
    """A file that only grows. Images never go into it; of what was searched it holds a hash."""

    def __init__(self, path: Path) -> None:
        """Made if it is not there, readable by its owner only.

        Raises:
            InputError: it cannot be written.
        """
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise InputError(f"--audit {path}: cannot write there ({error.strerror}); choose another file") from None
        self._lock = threading.Lock()

    def write(self, facts: dict[str, Any]) -> None:
        """Append a line; raises `OSError` if the disk does not take it."""
        line = json.dumps({"time": show_time(time.time()), **facts}) + "\n"
        with self._lock:
            # One call: lines of two servers that share a file do not mix.
            if os.write(self._file, line.encode()) != len(line):
                raise OSError("the disk is full")
            os.fsync(self._file)
