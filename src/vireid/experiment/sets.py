"""Which test sets a run has, what kind of data lies in a folder, and images, decoded."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vireid import config as configuration
from vireid.config import ExperimentConfig, Named
from vireid.data.cache import DecodedImages
from vireid.data.synthvi import find_parts
from vireid.errors import InputError
from vireid.sample import Sample


def test_sets(
    config: ExperimentConfig, root: Path | None = None, protocol: Mapping[str, Any] = MappingProxyType({})
) -> list[Named]:
    """The run's own test set, or the one at `root`; SynthVI with both parts is two test sets."""
    data = config.data
    if root is not None or protocol:
        kind = data.name if root is None else _require_kind(root)
        options = data.options.model_dump() if kind == data.name else {}
        options |= {} if root is None else {"root": root}
        if protocol.get("trial", options.get("trial")) != options.get("trial") and kind == data.name:
            raise InputError(
                f"--set data.trial={protocol['trial']}: the run was trained on split {options['trial']}, which holds "
                "test people of every other; train a model on that split"
            )
        data = configuration.named("data", {"name": kind, **options, **protocol})
    if root is None and getattr(data.options, "train_ids", None) == "all":
        raise InputError(f"the run was trained on every identity of {data.root}; evaluate it on others with --data")
    if data.name != "synthvi":
        return [data]
    parts = find_parts(data.options.root)
    wanted = parts if data.options.part == "all" or data.options.part not in parts else [data.options.part]
    changes = {"train_ids": "train"}
    return [replace(data, options=data.options.model_copy(update={**changes, "part": part})) for part in wanted]


def _require_kind(root: Path) -> str:
    kind = recognise(root)
    if kind is None:
        raise InputError(
            f"--data {root}: no data set found; expected visible/<pid> and infrared/<pid> or manifest.csv (your own "
            "images), cam1 to cam6 (SYSU-MM01), Visible and Thermal (RegDB), test_vis and test_nir (LLCM), or a folder "
            "of `vireid synth`"
        )
    return kind


def recognise(root: Path) -> str | None:
    """Which kind of data set lies at `root`, by its folders, even when some are missing; None for no known one.

    Raises:
        InputError: there is nothing at `root`.
    """
    if str(root) == "mini" or any((root / place / "dataset.json").is_file() for place in (".", "nir", "lwir")):
        return "synthvi"
    if not root.exists():
        raise InputError(f"--data {root} does not exist; give a data set's folder, a manifest.csv or `mini`")
    names = {path.name for path in root.iterdir()} if root.is_dir() else {"manifest.csv"}
    # A file system that ignores case finds RegDB's `Visible` as `visible`, so names are compared as they are listed.
    marks = {
        "manifest": {"manifest.csv", "visible", "infrared"},
        "sysu_mm01": {f"cam{camid}" for camid in range(1, 7)},
        "regdb": {"Visible", "Thermal"},
        "llcm": {"test_vis", "test_nir"},
    }
    return next((kind for kind, mark in marks.items() if names & mark), None)


def test_samples(data: Named) -> list[Sample]:
    """The samples of a data set that nobody trains on."""
    return [sample for sample in data.module.load(data.options) if sample.split not in ("train", "val")]


def decoded(samples: Sequence[Sample], config: ExperimentConfig) -> DecodedImages:
    """The samples' images at the run's size."""
    return DecodedImages.build([sample.path for sample in samples], config.images.height, config.images.width)
