"""Pack the rendered mini set into the package: `python tools/pack_mini.py build/mini ARCHIVE.zip`.

The same folder gives the same bytes: entries are sorted and carry one fixed date.
"""

import sys
import zipfile
from pathlib import Path

LIMIT_BYTES = 8 * 10**6


def main(folder: Path, archive: Path) -> None:
    """Write every file of `folder` into `archive`; JPEG files are stored, the rest is compressed."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as content:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix())
            entry.compress_type = zipfile.ZIP_STORED if path.suffix == ".jpg" else zipfile.ZIP_DEFLATED
            content.writestr(entry, path.read_bytes())
    size = archive.stat().st_size
    if size > LIMIT_BYTES:
        raise SystemExit(f"{archive} has {size / 1e6:.1f} MB, more than {LIMIT_BYTES / 1e6:.0f}")
    print(f"{archive}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
