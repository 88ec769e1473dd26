"""Every shipped config is checked against the code that reads it."""

from pathlib import Path

import pytest

from vireid.config import load

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))
METHODS = ("baseline", "agw")
DATA_SETS = ("sysu_mm01", "regdb", "llcm", "synthvi")


@pytest.mark.parametrize("path", [path for path in CONFIGS if path.stem.split("_")[0] in METHODS], ids=lambda p: p.stem)
def test_a_config_loads_and_says_what_its_name_says(path):
    experiment = load(path, ["method.backbone=resnet18", "method.weights=none"])
    assert path.stem.startswith(experiment.method.name)
    assert path.stem.endswith(experiment.data.name)
    assert experiment.method.module.build(experiment.method.options, 5) is not None


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("data", DATA_SETS)
def test_every_method_has_a_config_for_every_data_set(method, data):
    assert Path(__file__).parents[1] / "configs" / f"{method}_{data}.yaml" in CONFIGS
