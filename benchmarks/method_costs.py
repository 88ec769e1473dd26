"""Parameters and multiply-accumulates of every method: `python benchmarks/method_costs.py OUTPUT.json`.

At the input size of its paper: counts configs/<method>_sysu_mm01.yaml of each method; no weights are loaded.
"""

import json
import pkgutil
import sys
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from vireid import methods
from vireid.atomic import write_text
from vireid.costs.cases import IDENTITIES, compare_cases, config_cases

CONFIGS = Path(__file__).parents[1] / "configs"
COUNTED = ("height", "width", "parameters", "training_parameters", "classifier_parameters", "macs_per_pair")


def main(output):
    rows = {}
    for name in tqdm([info.name for info in pkgutil.iter_modules(methods.__path__) if info.name != "base"]):
        (found,) = compare_cases(config_cases([CONFIGS / f"{name}_sysu_mm01.yaml"]), repeats=0)
        rows[name] = {key: asdict(found.profile)[key] for key in COUNTED}
    write_text(output, json.dumps({"identities": IDENTITIES, "methods": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
