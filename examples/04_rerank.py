"""Re-rank any embeddings by their mutual neighbours (k-reciprocal encoding) and see what it changes.

Run: python 04_rerank.py

Re-ranked scores use the other queries and the whole gallery, so they never share a column with plain ones.
"""

import numpy as np

import vireid
from vireid.data import synthvi
from vireid.evaluation.distance import distances
from vireid.evaluation.metrics import retrieval_metrics
from vireid.evaluation.rerank import k_reciprocal
from vireid.sample import Modality

# Fifteen people: three infrared crops of each ask, four visible ones of each answer.
samples = [s for s in synthvi.load(synthvi.Config(part="nir")) if s.split == "test" and s.camid in (1, 3)]
people = sorted({sample.pid for sample in samples})[:15]
embedder = vireid.load("default", device="cpu")
rows, pids = {}, {}
for modality, count in ((Modality.INFRARED, 3), (Modality.VISIBLE, 4)):
    chosen = [[s for s in samples if s.pid == pid and s.modality is modality][:count] for pid in people]
    crops = [sample for of_person in chosen for sample in of_person]
    rows[modality] = embedder.embed([sample.path for sample in crops], modality)
    pids[modality] = np.array([sample.pid for sample in crops])

query, gallery = rows[Modality.INFRARED], rows[Modality.VISIBLE]
found = {
    "plain": distances(query, gallery),  # (Q, G) cosine distances
    "re-ranked": k_reciprocal(query, gallery, k1=10, k2=3, lambda_value=0.3),  # (Q, G), 0 to 1
}
for name, matrix in found.items():
    scores = retrieval_metrics(matrix, pids[Modality.INFRARED], pids[Modality.VISIBLE], cmc_unit="image")
    print(f"{name:10} Rank-1 {scores.rank(1):6.1%}  mAP {scores.mean_ap:6.1%}  mINP {scores.mean_inp:6.1%}")
