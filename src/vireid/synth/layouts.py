"""The index files of each layout: manifest.csv, and those of SYSU-MM01 and RegDB.

Rows are those of the manifest: path, pid, modality, camid, split, track, time. All draws are by person, so that the
lists of a large set, cut to the people of a small one, are those of the small one.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from scipy.io import savemat

from vireid.errors import InputError
from vireid.synth.files import write_atomic
from vireid.synth.presets import CAMERAS, Job, split_of, validates
from vireid.synth.progress import COLUMNS, MANIFEST, Rows

TRIALS = 10
LISTS = ("train", "val", "test", "available")
_DRAW_ORDERS, _DRAW_HALVES = 1, 2  # what is drawn, so that no two draws share a seed


def index_files(job: Job, rows: Rows) -> dict[str, bytes]:
    """The manifest, which says more than the others, and the index files of the job's layout: content by path."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([COLUMNS, *rows])
    files = {MANIFEST: text.getvalue().encode()}
    if job.layout == "sysu":
        return files | _sysu_files(job, rows)
    if job.layout == "regdb":
        return files | _regdb_files(job, rows)
    return files


def holds_indices(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Whether a folder has these files with just this content."""
    try:
        return all((folder / name).read_bytes() == content for name, content in files.items())
    except OSError:
        return False


def require_free(folder: Path, names: Iterable[str]) -> None:
    """Raise `InputError` if a folder has the name of a file to write, or a file that of its folder."""
    for path in (folder / name for name in names):
        if path.is_dir() or path.parent.is_file():
            obstacle, kind = (path, "folder") if path.is_dir() else (path.parent, "file")
            raise InputError(f"cannot write {path}: {obstacle} is a {kind}; remove it and give the same command")


def write_indices(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write what `index_files` gives."""
    for name, content in files.items():
        write_atomic(folder / name, content)


def identity_lists(identities: int) -> dict[str, list[int]]:
    """The pids of each list of the SYSU layout; nobody is missing from train, val and test together."""
    pids = list(range(1, identities + 1))
    train = [pid for pid in pids if split_of(pid) == "train"]
    test = [pid for pid in pids if split_of(pid) == "test"]
    val = [pid for pid in train if validates(pid)]
    return dict(zip(LISTS, ([pid for pid in train if not validates(pid)], val, test, pids), strict=True))


def draw_halves(identities: int, seed: int) -> list[tuple[list[int], list[int]]]:
    """The training and test pids of each of RegDB's ten trials: of each pair 1 2, 3 4, ... a coin says who trains."""
    pairs = (identities + 1) // 2
    coins = np.random.default_rng(np.random.SeedSequence([seed, 0, _DRAW_HALVES])).random((pairs, TRIALS)) < 0.5
    trials = []
    for trial in range(TRIALS):
        firsts = [2 * k + 1 + int(coin) for k, coin in enumerate(coins[:, trial])]
        train = [pid for pid in firsts if pid <= identities]
        trials.append((train, sorted(set(range(1, identities + 1)) - set(train))))
    return trials


def _sysu_files(job: Job, rows: Rows) -> dict[str, bytes]:
    """Identity lists as text and MATLAB files, and ten random orders of each identity's images per camera."""
    files: dict[str, bytes] = {}
    lists = identity_lists(job.identities)
    for name, ids in lists.items():
        files[f"exp/{name}_id.txt"] = (",".join(map(str, ids)) + "\n").encode()
        files[f"exp/{name}_id.mat"] = _encode_mat({"id": np.array([ids], np.uint16)})
    counts = Counter((int(row[3]), int(row[1])) for row in rows)
    cameras = np.empty((len(CAMERAS["nir"]), 1), object)
    for c, camid in enumerate(CAMERAS["nir"]):
        cell = np.empty((job.identities, 1), object)
        for i, pid in enumerate(lists["available"]):
            n = counts[camid, pid]
            rng = np.random.default_rng(np.random.SeedSequence([job.seed, pid, _DRAW_ORDERS, camid]))
            cell[i, 0] = np.array([rng.permutation(n) + 1 for _ in range(TRIALS)], np.uint8).reshape(TRIALS, n)
        cameras[c, 0] = cell
    return files | {"rand_perm_cam.mat": _encode_mat({"rand_perm_cam": cameras})}


def _regdb_files(job: Job, rows: Rows) -> dict[str, bytes]:
    """Ten random halves of the identities; each line is a path and a label that counts from 0."""
    files: dict[str, bytes] = {}
    by_pid: dict[tuple[int, str], list[str]] = {}
    for path, pid, modality, *_ in rows:
        by_pid.setdefault((int(pid), modality), []).append(path)
    for trial, halves in enumerate(draw_halves(job.identities, job.seed), start=1):
        for split, pids in zip(("train", "test"), halves, strict=True):
            for modality, name in (("visible", "visible"), ("infrared", "thermal")):
                lines = [f"{path} {k}\n" for k, pid in enumerate(pids) for path in by_pid[pid, modality]]
                files[f"idx/{split}_{name}_{trial}.txt"] = "".join(lines).encode()
    return files


def _encode_mat(content: dict[str, object]) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, content)
    # The header's first 116 bytes hold the time of writing, which would differ between equal runs.
    data = bytearray(buffer.getvalue())
    data[:116] = b"MATLAB 5.0 MAT-file".ljust(116)
    return bytes(data)
