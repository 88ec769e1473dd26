"""Score any model, in any framework, by an exact protocol: all it takes is one embedding per image, or distances.

Run: python 03_evaluate_your_model.py

The model here is a plain torch module that knows nothing of vireid: coarse grey pictures, compared as they are.
"""

import numpy as np
import torch
from torch import nn

from vireid.data import synthvi
from vireid.data.pixels import resized
from vireid.evaluation import protocols
from vireid.evaluation.evaluate import evaluate_protocol
from vireid.evaluation.metrics import retrieval_metrics
from vireid.evaluation.results import table
from vireid.sample import Direction

# 1. A test set. `vireid.data` has sysu_mm01, regdb, llcm, synthvi and manifest; each loads a list of samples.
options = synthvi.Config(part="lwir")
samples = [sample for sample in synthvi.load(options) if sample.split == "test"]

# 2. Your model: images in, one row each out. It never sees who is who.
model = nn.Sequential(nn.AvgPool2d(8), nn.Flatten())
images = torch.from_numpy(np.stack([resized(sample.path, 128, 64) for sample in samples]))  # (N, 3, 128, 64) uint8
rows = model(images.float().mean(1, keepdim=True))
rows = rows - rows.mean(1, keepdim=True)
embeddings = nn.functional.normalize(rows).numpy()  # (N, D), rows of length 1

# 3. Its row of a table: every trial, both directions, beside chance.
rules = [protocols.build(options, "synthvi", samples, direction) for direction in Direction]
print(table([evaluate_protocol(embeddings, protocol, method="grey pictures") for protocol in rules]))

# 4. Or hand over distances of your own kind, here city-block ones; `ignore` says what a query must not see.
protocol = rules[0]
trial = protocol.trials[0]
distances = np.abs(embeddings[trial.query][:, None] - embeddings[trial.gallery][None]).sum(2)  # (Q, G)
scores = retrieval_metrics(
    distances,
    protocol.pids[trial.query],
    protocol.pids[trial.gallery],
    ignore=protocol.ignore_mask(trial.query, trial.gallery),
    cmc_unit=protocol.cmc_unit,
)
print(f"\ncity-block, {protocol.direction.words}: Rank-1 {scores.rank(1):.1%}, mAP {scores.mean_ap:.1%}")
