"""What settings reached on held-out training people: `python benchmarks/tuning.py OUTPUT.json RUN [RUN ...]`.

The runs are those of `vireid train` with `train.val_identities`. For each method the keys are kept in which its runs
differ, with the scores of the last validation.
"""

import json
import sys
from pathlib import Path

from vireid import config as configuration
from vireid.atomic import write_text


def read(run):
    """A run's config by dotted key and its last validation."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    validated = [line for line in lines if any(key.startswith("val/") for key in line)]
    scores = {key.removeprefix("val/"): value for key, value in validated[-1].items() if key.startswith("val/")}
    return configuration.load(run / "config.yaml").flat(), scores


def main(output, runs):
    found = [read(run) for run in runs]
    rows = []
    for name in dict.fromkeys(flat["method.name"] for flat, _ in found):
        own = [(flat, scores) for flat, scores in found if flat["method.name"] == name]
        keys = [key for key in own[0][0] if key != "train.val_every"]
        varied = [key for key in keys if len({str(flat[key]) for flat, _ in own}) > 1]
        rows += [{"method": name, "settings": {key: flat[key] for key in varied}, **scores} for flat, scores in own]
    people = {flat["train.val_identities"] for flat, _ in found}
    write_text(output, json.dumps({"held_out": sorted(people), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(run) for run in sys.argv[2:]])
