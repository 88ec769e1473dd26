"""The index files of each layout: manifest.csv, and those of SYSU-MM01 and RegDB.

Rows are those of the manifest: path, pid, modality, camid, split, track, time. All draws are by person, so that the
lists of a large set, cut to the people of a small one, are those of the small one.
"""

import csv
import io
from collections import Counter
from pathlib import Path

import numpy as np
from scipy.io import savemat

from vireid.synth.files import write_atomic
from vireid.synth.presets import CAMERAS, Job, split_of, validates
from vireid.synth.progress import COLUMNS

TRIALS = 10
LISTS = ("train", "val", "test", "available")
_DRAW_ORDERS, _DRAW_HALVES = 1, 2  # what is drawn, so that no two draws share a seed


def write_indices(job: Job, folder: Path, rows: list[list[str]]) -> None:
    """Write the manifest, which says more than the others, and the index files of the job's layout."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([COLUMNS, *rows])
    write_atomic(folder / "manifest.csv", text.getvalue().encode())
    if job.layout == "sysu":
        _write_sysu(job, folder, rows)
    elif job.layout == "regdb":
        _write_regdb(job, folder, rows)


def index_files(job: Job) -> list[str]:
    """The files beside the manifest that `write_indices` writes, relative to its folder."""
    if job.layout == "sysu":
        return ["rand_perm_cam.mat", *(f"exp/{name}_id.{kind}" for name in LISTS for kind in ("txt", "mat"))]
    if job.layout == "regdb":
        kinds, trials = ("visible", "thermal"), range(1, TRIALS + 1)
        return [f"idx/{split}_{kind}_{n}.txt" for split in ("train", "test") for kind in kinds for n in trials]
    return []


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


def _write_sysu(job: Job, folder: Path, rows: list[list[str]]) -> None:
    """Identity lists as text and MATLAB files, and ten random orders of each identity's images per camera."""
    lists = identity_lists(job.identities)
    for name, ids in lists.items():
        write_atomic(folder / "exp" / f"{name}_id.txt", (",".join(map(str, ids)) + "\n").encode())
        _write_mat(folder / "exp" / f"{name}_id.mat", {"id": np.array([ids], np.uint16)})
    counts = Counter((int(row[3]), int(row[1])) for row in rows)
    cameras = np.empty((len(CAMERAS["nir"]), 1), object)
    for c, camid in enumerate(CAMERAS["nir"]):
        cell = np.empty((job.identities, 1), object)
        for i, pid in enumerate(lists["available"]):
            n = counts[camid, pid]
            rng = np.random.default_rng(np.random.SeedSequence([job.seed, pid, _DRAW_ORDERS, camid]))
            cell[i, 0] = np.array([rng.permutation(n) + 1 for _ in range(TRIALS)], np.uint8).reshape(TRIALS, n)
        cameras[c, 0] = cell
    _write_mat(folder / "rand_perm_cam.mat", {"rand_perm_cam": cameras})


def _write_regdb(job: Job, folder: Path, rows: list[list[str]]) -> None:
    """Ten random halves of the identities; each line is a path and a label that counts from 0."""
    by_pid: dict[tuple[int, str], list[str]] = {}
    for path, pid, modality, *_ in rows:
        by_pid.setdefault((int(pid), modality), []).append(path)
    for trial, halves in enumerate(draw_halves(job.identities, job.seed), start=1):
        for split, pids in zip(("train", "test"), halves, strict=True):
            for modality, name in (("visible", "visible"), ("infrared", "thermal")):
                lines = [f"{path} {k}\n" for k, pid in enumerate(pids) for path in by_pid[pid, modality]]
                write_atomic(folder / "idx" / f"{split}_{name}_{trial}.txt", "".join(lines).encode())


def _write_mat(path: Path, content: dict[str, object]) -> None:
    buffer = io.BytesIO()
    savemat(buffer, content)
    # The header's first 116 bytes hold the time of writing, which would differ between equal runs.
    data = bytearray(buffer.getvalue())
    data[:116] = b"MATLAB 5.0 MAT-file".ljust(116)
    write_atomic(path, bytes(data))
