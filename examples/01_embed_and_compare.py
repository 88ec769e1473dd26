"""Embed person crops of both kinds of light and compare them: who is on the infrared crop?

Run: python 01_embed_and_compare.py            (six shipped people)
     python 01_embed_and_compare.py night.jpg day1.jpg day2.jpg ...   (your crops: an infrared one, then visible ones)
"""

import sys
from pathlib import Path

import numpy as np

import vireid
from vireid.data import synthvi
from vireid.sample import Modality


def shipped_crops() -> list[Path]:
    """An infrared crop of a test person, and a visible crop of six people, that person among them."""
    samples = [s for s in synthvi.load(synthvi.Config(part="nir")) if s.split == "test"]
    people = sorted({s.pid for s in samples})[:6]
    infrared = next(s.path for s in samples if s.pid == people[2] and s.modality is Modality.INFRARED)
    return [infrared, *(next(s.path for s in samples if s.pid == pid) for pid in people)]


night, *days = [Path(name) for name in sys.argv[1:]] or shipped_crops()

# "default" is the shipped model; a run folder of `vireid train` or an exported FILE.onnx does as well.
embedder = vireid.load("default", device="cpu")
query = embedder.embed([night], "infrared")  # (1, D) float32, rows of length 1
gallery = embedder.embed(days, "visible")  # (N, D)
similarity = (query @ gallery.T)[0]  # cosine, -1 to 1

print(f"query: {night.parent.name}/{night.name}, an embedding of {query.shape[1]} numbers")
for rank, index in enumerate(np.argsort(-similarity), start=1):
    print(f"{rank}. {similarity[index]:+.3f}  {days[index].parent.name}/{days[index].name}")
