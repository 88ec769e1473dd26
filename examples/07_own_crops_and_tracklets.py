"""Your own crops as a manifest.csv, and several crops of one pass averaged to one embedding (a tracklet).

Run: python 07_own_crops_and_tracklets.py [FOLDER]    (where manifest.csv is written; default: a temporary folder)
"""

import csv
import sys
import tempfile
from pathlib import Path

import numpy as np

import vireid
from vireid.data import manifest, synthvi
from vireid.evaluation.distance import distances
from vireid.evaluation.metrics import retrieval_metrics
from vireid.sample import Modality


def write_manifest(file: Path) -> None:
    """One row per crop. path, pid and modality are needed; camid, split, track and time are not."""
    shipped = [s for s in synthvi.load(synthvi.Config(part="nir")) if s.split == "test" and s.camid in (1, 3)]
    people = sorted({sample.pid for sample in shipped})[:25]
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "pid", "modality", "camid", "track"])
        for s in shipped:
            if s.pid in people:
                writer.writerow([s.path, s.pid, s.modality.name.lower(), s.camid, f"person {s.pid}, camera {s.camid}"])


with tempfile.TemporaryDirectory() as folder:
    file = Path(sys.argv[1] if len(sys.argv) > 1 else folder) / "manifest.csv"
    write_manifest(file)
    print(file.name, *file.read_text().splitlines()[:2], sep="\n  ")
    samples = manifest.load(manifest.Config(root=file))  # `vireid data check manifest FOLDER` says what is in it

embeddings = vireid.load("default", device="cpu").embed([s.path for s in samples], [s.modality for s in samples])
modalities = np.array([sample.modality for sample in samples])
pids = np.array([sample.pid for sample in samples])

# A tracklet is the mean of its crops, of length 1 again.
tracks, first, of_track = np.unique([s.track for s in samples], return_index=True, return_inverse=True)
means = np.stack([embeddings[of_track == track].mean(0) for track in range(len(tracks))])
means /= np.linalg.norm(means, axis=1, keepdims=True)

for name, rows, kinds, who in (
    ("single crops", embeddings, modalities, pids),
    ("tracklets", means, modalities[first], pids[first]),
):
    asks, answers = kinds == Modality.INFRARED, kinds == Modality.VISIBLE
    scores = retrieval_metrics(distances(rows[asks], rows[answers]), who[asks], who[answers], cmc_unit="image")
    print(f"{name:12} {asks.sum():3} ask {answers.sum():3}: Rank-1 {scores.rank(1):.1%}, mAP {scores.mean_ap:.1%}")
