"""Finding images, numbered folders and index files; shared by the data set loaders.

Identities and cameras are read from path components, never from character offsets, so a root such as
`/mnt/cam/data.v2` or an image such as `00012.png` changes nothing.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from vireid.errors import InputError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})


def image_files(folder: Path) -> list[Path]:
    """Images directly in `folder`, sorted by file name; empty if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )


def numbered_folders(folder: Path) -> dict[int, Path]:
    """Sub-folders whose whole name is a number, such as `0042`, by ascending number."""
    if not folder.is_dir():
        return {}
    found = {int(path.name): path for path in folder.iterdir() if is_number(path.name) and path.is_dir()}
    return dict(sorted(found.items()))


def is_number(text: str) -> bool:
    """Whether `text` is a whole number of at most 18 plain digits, which fits 64 bits.

    `int` alone would take `1_0` and other scripts as well.
    """
    return text.isascii() and text.isdigit() and len(text) <= 18


def require_folder(folder: Path, holds: str) -> None:
    """Raise `InputError` unless `folder` is a folder; `holds` says what belongs there."""
    if not folder.is_dir():
        state = "is a file" if folder.is_file() else "does not exist"
        raise InputError(f"folder {folder} {state}; expected {holds}")


def read_description(folder: Path) -> dict[str, Any] | None:
    """The object in a folder's `dataset.json`, which `vireid synth` writes; None if there is no such file.

    Raises:
        InputError: the file cannot be read or holds something else.
    """
    file = folder / "dataset.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); expected a file of `vireid synth`") from None
    except (ValueError, RecursionError):
        raise InputError(f"{file} is not JSON; render the set anew with `vireid synth`") from None
    if not isinstance(content, dict):
        raise InputError(f"{file} holds {type(content).__name__}, expected an object; render the set anew")
    return content


def require_numbers(folder: Path, about: dict[str, Any], key: str, names: Sequence[str] = ()) -> None:
    """Raise `InputError` unless `about[key]`, of the folder's `dataset.json`, maps `names` and others to numbers."""
    numbers = about.get(key)
    if not isinstance(numbers, dict) or any(type(n) is not int for n in [*numbers.values(), *map(numbers.get, names)]):
        raise InputError(
            f"{folder / 'dataset.json'}: {key} is {str(numbers)[:80]}, expected whole numbers of "
            f"{', '.join(names) or 'each split'}; render the set anew with `vireid synth`"
        )


def rendered(folder: Path) -> dict[str, Any] | None:
    """The `dataset.json` of one part that `vireid synth` wrote, whatever its layout; None for any other folder.

    Raises:
        InputError: the file is damaged.
    """
    about = read_description(folder)
    return about if about and about.get("name") == "SynthVI" and "parts" not in about else None


def rendered_counts(folder: Path) -> dict[str, Any] | None:
    """As `rendered`; `InputError` unless it has the numbers of people and images that a check holds against."""
    about = rendered(folder)
    if about is not None:
        require_numbers(folder, about, "identities", ("train", "test"))
        kinds = [f"{split} {modality}" for split in ("train", "test") for modality in ("visible", "infrared")]
        require_numbers(folder, about, "counts", kinds)
    return about


def read_lines(file: Path, holds: str) -> list[str]:
    """Lines of a text file without line ends; `InputError` if it is missing, cannot be read or is not text."""
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"file {file} does not exist; expected {holds}") from None
    except OSError as error:
        raise InputError(f"file {file} cannot be read ({error.strerror}); expected {holds}") from None
    except UnicodeDecodeError:
        raise InputError(f"file {file} is not UTF-8 text; expected {holds}") from None


def read_identity_list(file: Path) -> list[int]:
    """Identity numbers of a file with comma-separated numbers, ascending.

    Raises:
        InputError: the file is missing or empty, an entry is not a number or an identity is listed twice.
    """
    holds = "identity numbers separated by commas"
    entries = [entry.strip() for line in read_lines(file, holds) for entry in line.split(",") if entry.strip()]
    for entry in entries:
        if not is_number(entry):
            raise InputError(f"{file}: got '{entry}', expected {holds}")
    pids = sorted(int(entry) for entry in entries)
    if not pids:
        raise InputError(f"{file} lists no identity; expected {holds}")
    for first, second in pairwise(pids):
        if first == second:
            raise InputError(f"{file} lists identity {first} twice; remove one")
    return pids


def read_index(file: Path, root: Path) -> Iterator[tuple[Path, int, int]]:
    """Images of an index file, in its order: `(path, pid, label)`.

    Each line is `relative/path label`. The pid is the number that names the image's folder; the label, which
    counts from 0 in every file anew, must stand for that one folder throughout the file.

    Raises:
        InputError: the file is missing or empty, a line is malformed, an image is listed twice, its file does
            not exist, or its label and its folder contradict each other.
    """
    expected = "expected `relative/path label`, the image in a folder named by its identity's number"
    seen: dict[Path, int] = {}
    pid_of_label: dict[int, int] = {}
    label_of_pid: dict[int, int] = {}
    for row, line in enumerate(read_lines(file, "one `relative/path label` a line"), start=1):
        if not line.strip():
            continue
        name, _, label = line.strip().replace("\\", "/").rpartition(" ")
        path = root / name.strip()
        if not is_number(label) or not name or not is_number(path.parent.name):
            raise InputError(f"{file}, row {row}: got '{line.strip()}', {expected}")
        if path in seen:
            raise InputError(f"{file}, row {row}: {name} is listed already in row {seen[path]}; remove one")
        if not path.is_file():
            raise InputError(f"{file}, row {row}: image {path} does not exist; restore it or mend the row")
        pid = int(path.parent.name)
        if pid_of_label.setdefault(int(label), pid) != pid or label_of_pid.setdefault(pid, int(label)) != int(label):
            raise InputError(
                f"{file}, row {row}: label {label} goes with identity {pid_of_label[int(label)]} and "
                f"identity {pid} with label {label_of_pid.get(pid, label)}; expected one label for one "
                "identity"
            )
        seen[path] = row
        yield path, pid, int(label)
    if not seen:
        raise InputError(f"{file} lists no image; expected one `relative/path label` a line")
