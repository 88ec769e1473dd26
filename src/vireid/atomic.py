"""Files that appear whole or not at all, and the question, before long work, whether they can."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from vireid.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place at the end of the block, and goes if the block fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8 in the place of what is there."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def require_writable(output: Path) -> None:
    """Raise `InputError` now rather than after the work if `--output` names a file that cannot be written."""
    folder = output.absolute().parent
    if not folder.is_dir():
        raise InputError(f"--output {output}: the folder {output.parent} does not exist; make it first")
    if output.is_dir():
        raise InputError(f"--output {output} is a folder; give a file in it")
    try:
        NamedTemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"--output {output}: cannot write there ({error.strerror}); choose another folder") from None
