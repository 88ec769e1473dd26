"""Pack the rendered mini set into the package: `python tools/pack_mini.py build/mini ARCHIVE.tar.gz`.

The same folder gives the same bytes: entries are sorted and carry neither date nor owner.
"""

import gzip
import io
import sys
import tarfile
from pathlib import Path

from vireid.atomic import replacing

LIMIT_BYTES = 8 * 10**6


def pack(folder: Path) -> bytes:
    """Every file of `folder`, in a compressed archive."""
    content = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=content, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            entry.size = path.stat().st_size
            with path.open("rb") as file:
                archive.addfile(entry, file)
    return content.getvalue()


def main(folder: Path, archive: Path) -> None:
    """Write `archive`, unless it would be too large for the package."""
    content = pack(folder)
    size = f"{len(content) / 1e6:.2f} MB"
    if len(content) > LIMIT_BYTES:
        raise SystemExit(f"{folder} makes {size}, more than {LIMIT_BYTES / 1e6:.0f}; {archive} is left as it is")
    with replacing(archive) as temporary:
        temporary.write_bytes(content)
    print(f"{archive}: {size}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
