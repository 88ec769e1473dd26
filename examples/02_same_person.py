"""Are these two crops the same person? Measure on labelled crops what a score means, then answer with a threshold.

Run: python 02_same_person.py

A threshold holds for the cameras it was measured on: take labelled crops of your own. On the command line it is
`vireid calibrate RUN --data labelled.csv`.
"""

import numpy as np

import vireid
from vireid.data import synthvi
from vireid.evaluation.calibration import calibrate, pair_scores
from vireid.sample import Modality

# 1. Labelled crops: two a person and modality of the shipped test people; the last five people are kept to ask about.
by_person: dict[tuple[int, Modality], list] = {}
for sample in synthvi.load(synthvi.Config(part="nir")):
    if sample.split == "test" and sample.camid in (1, 3, 6):
        by_person.setdefault((sample.pid, sample.modality), []).append(sample)
samples = [sample for crops in by_person.values() for sample in crops[:2]]
people = sorted({sample.pid for sample in samples})
embeddings = vireid.load("default", device="cpu").embed([s.path for s in samples], [s.modality for s in samples])

# 2. What scores of a visible and an infrared crop mean; two visible ones would have thresholds of their own.
labelled = np.array([sample.pid in people[:-5] for sample in samples])
kept = [sample for sample, known in zip(samples, labelled, strict=True) if known]
genuine, impostor = pair_scores(kept, embeddings[labelled], "visible-infrared")
calibration = calibrate(genuine, impostor)
print(f"{len(genuine)} pairs of one person, {len(impostor)} of two")
for threshold in calibration.thresholds:
    print(f"false matches {threshold.fmr:7.2%}: score {threshold.score:.3f}, misses {threshold.fnmr:.0%}")

# 3. The first visible crop of each of the last five people against one infrared crop.
asked = np.flatnonzero(~labelled)
visible = [i for i in asked if samples[i].modality is Modality.VISIBLE][::2]
infrared = next(i for i in asked if samples[i].modality is Modality.INFRARED)
limit = calibration.threshold(0.01).score
for index in visible:
    score = float(embeddings[index] @ embeddings[infrared])
    answer = "same person" if score >= limit else "not told"
    truth = "same" if samples[index].pid == samples[infrared].pid else "other"
    print(f"score {score:+.3f}, probability {calibration.probability(score):4.0%}: {answer:11} (truth: {truth})")
