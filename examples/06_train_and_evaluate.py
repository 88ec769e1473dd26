"""Train a method and evaluate the run, from Python: what `vireid train` and `vireid evaluate` do.

Run: python 06_train_and_evaluate.py [RUN]    (a new folder to write; default: a temporary one, which goes afterwards)

A few steps on very small images, so that it takes seconds: it shows the calls, and its scores are worth nothing.
"""

import sys
import tempfile
from pathlib import Path

from vireid import config
from vireid.embedder import load_run
from vireid.evaluation.results import table
from vireid.experiment.evaluate import evaluate_run
from vireid.experiment.train import train_run
from vireid.sample import Direction

# The content of a YAML file, which config.load(Path("my.yaml")) would read. What is left out has a default.
experiment = config.from_dict(
    {
        "method": {"name": "baseline", "backbone": "resnet18", "weights": "default", "loss": {"hetero_center": 0.5}},
        "data": {"name": "synthvi", "root": "mini", "part": "lwir"},
        "images": {"height": 64, "width": 32, "augment": {"pad": 4, "flip": 0.5}},
        "train": {"epochs": 2, "steps_per_epoch": 2, "identities": 6, "images_per_modality": 2},
    }
)
shorter = experiment.override({"train.optimizer.lr": 0.01, "train.schedule.warmup_epochs": 0})

with tempfile.TemporaryDirectory() as folder:
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "run"
    run = train_run(shorter, place, device="cpu")
    print("the run holds:", ", ".join(sorted(path.name for path in run.iterdir())))
    print(run.joinpath("metrics.jsonl").read_text().splitlines()[-1])

    # The run folder is all that is needed later: vireid.load(run), vireid evaluate RUN, vireid train --resume RUN.
    print(table(evaluate_run(load_run(run), directions=[Direction.I2V], device="cpu")))
