"""The index files of each layout: manifest.csv, or those of SYSU-MM01 and RegDB.

Rows are those of the manifest: path, pid, modality, camid, split, track, time.
"""

import csv
import io
from pathlib import Path

import numpy as np
from scipy.io import savemat

from vireid.synth.files import write_atomic
from vireid.synth.presets import CAMERAS, PRESETS, Job

COLUMNS = ("path", "pid", "modality", "camid", "split", "track", "time")
TRIALS = 10


def write_indices(job: Job, folder: Path, rows: list[list[str]]) -> None:
    """Write the index files of the job's layout."""
    if job.layout == "manifest":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([COLUMNS, *rows])
        write_atomic(folder / "manifest.csv", text.getvalue().encode())
    elif job.layout == "sysu":
        _write_sysu(job, folder, rows)
    else:
        _write_regdb(job, folder, rows)


def identity_lists(job: Job) -> dict[str, list[int]]:
    """The pids of each list of the SYSU layout; nobody is missing from train, val and test together."""
    pids = list(range(1, job.identities + 1))
    train = job.train_count()
    validation = min(train - 1, round(job.identities * PRESETS[job.preset].validation))
    return {
        "train": pids[: train - validation],
        "val": pids[train - validation : train],
        "test": pids[train:],
        "available": pids,
    }


def _write_sysu(job: Job, folder: Path, rows: list[list[str]]) -> None:
    """Identity lists as text and MATLAB files, and ten random orders of each identity's images per camera."""
    lists = identity_lists(job)
    for name, ids in lists.items():
        write_atomic(folder / "exp" / f"{name}_id.txt", (",".join(map(str, ids)) + "\n").encode())
        _write_mat(folder / "exp" / f"{name}_id.mat", {"id": np.array([ids], np.uint16)})
    counts = {(int(row[3]), int(row[1])): 0 for row in rows}
    for row in rows:
        counts[int(row[3]), int(row[1])] += 1
    rng = np.random.default_rng(np.random.SeedSequence([job.seed, 0, 1]))
    cameras = np.empty((len(CAMERAS["nir"]), 1), object)
    for c, camid in enumerate(CAMERAS["nir"]):
        cell = np.empty((job.identities, 1), object)
        for i, pid in enumerate(lists["available"]):
            n = counts.get((camid, pid), 0)
            orders = [rng.permutation(n) + 1 for _ in range(TRIALS)]
            cell[i, 0] = np.array(orders, np.uint8).reshape(TRIALS, n)
        cameras[c, 0] = cell
    _write_mat(folder / "rand_perm_cam.mat", {"rand_perm_cam": cameras})


def _write_regdb(job: Job, folder: Path, rows: list[list[str]]) -> None:
    """Ten random halves of the identities; each line is a path and a label that counts from 0."""
    rng = np.random.default_rng(np.random.SeedSequence([job.seed, 0, 2]))
    by_pid: dict[tuple[int, str], list[str]] = {}
    for path, pid, modality, *_ in rows:
        by_pid.setdefault((int(pid), modality), []).append(path)
    for trial in range(1, TRIALS + 1):
        order = rng.permutation(np.arange(1, job.identities + 1))
        halves = {"train": sorted(order[: job.train_count()]), "test": sorted(order[job.train_count() :])}
        for split, pids in halves.items():
            for modality, name in (("visible", "visible"), ("infrared", "thermal")):
                lines = [f"{path} {k}\n" for k, pid in enumerate(pids) for path in by_pid[int(pid), modality]]
                write_atomic(folder / "idx" / f"{split}_{name}_{trial}.txt", "".join(lines).encode())


def _write_mat(path: Path, content: dict[str, object]) -> None:
    buffer = io.BytesIO()
    savemat(buffer, content)
    # The header's first 116 bytes hold the time of writing, which would differ between equal runs.
    data = bytearray(buffer.getvalue())
    data[:116] = b"MATLAB 5.0 MAT-file".ljust(116)
    write_atomic(path, bytes(data))
