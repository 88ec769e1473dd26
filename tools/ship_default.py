"""Turn a run into the model that vireid ships: `python tools/ship_default.py runs/default src/vireid/assets/default`.

Writes `model.safetensors` (matrices and kernels in half precision, no identity classifier), `config.yaml`,
`environment.json`, `metrics.jsonl` and `results.json` of the run. Calibrate the shipped model afterwards: in half
precision it has a fingerprint of its own.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from vireid.embedder import load_run

LIMIT_BYTES = 25 * 2**20


def main(run_folder: Path, target: Path) -> None:
    """Write the shipped form of `run_folder` into `target`."""
    run = load_run(run_folder)
    weights, same_as = {}, {}
    first_name: dict[int, str] = {}
    for name, tensor in run.weights.items():
        if "classifier" in name.split("."):
            continue
        # Convolutions that both modalities share stand in the state under two names; they are stored once.
        first = first_name.setdefault(tensor.data_ptr(), name)
        if first == name:
            weights[name] = (tensor.half() if tensor.ndim > 1 else tensor).contiguous()
        else:
            same_as[name] = first
    if not all(torch.isfinite(tensor).all() for tensor in weights.values()):
        raise SystemExit(f"{run_folder}: a weight does not fit half precision")
    unfinished = target.with_name(f"{target.name}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    model = unfinished / "model.safetensors"
    save_file(weights, model, metadata={"same_as": json.dumps(same_as)})
    model.chmod(0o644)  # safetensors writes for its owner alone
    size = model.stat().st_size
    if size > LIMIT_BYTES:
        raise SystemExit(f"{run_folder}: the model has {size / 2**20:.1f} MiB, more than {LIMIT_BYTES / 2**20:.0f}")
    for name in ("config.yaml", "environment.json", "metrics.jsonl", "results.json"):
        if not (run_folder / name).is_file():
            raise SystemExit(f"{run_folder} has no {name}; train and evaluate it first: make default")
        shutil.copy(run_folder / name, unfinished / name)
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)
    print(f"{target}: {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: python tools/ship_default.py RUN TARGET")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
