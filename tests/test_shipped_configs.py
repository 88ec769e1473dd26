"""Every shipped config is checked against the code that reads it."""

from pathlib import Path

import pytest

from vireid.config import load

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))
ANY_PART, BY_PART = ("synthvi",), ("synthvi_nir", "synthvi_lwir")
METHODS = {
    "baseline": ANY_PART,
    "agw": ANY_PART,
    "hct": BY_PART,
    "dfw_sln": BY_PART,
    "pmt": BY_PART,
    "cm_dasn": BY_PART,
    "emif": BY_PART,
    "mmn": BY_PART,
    "psmg": BY_PART,
}


@pytest.mark.parametrize("path", [p for p in CONFIGS if p.stem.startswith(tuple(METHODS))], ids=lambda p: p.stem)
def test_the_method_of_a_config_can_be_built(path):
    vit = load(path).method.options.backbone.startswith("vit")
    tiny = ["method.backbone=test_vit", "method.heads=8"] if vit else ["method.backbone=resnet18"]
    experiment = load(path, [*tiny, "method.weights=none"])
    assert experiment.method.module.build(experiment.method.options, 5) is not None


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_config_for_every_data_set(method):
    for data in ("sysu_mm01", "regdb", "llcm", *METHODS[method]):
        assert Path(__file__).parents[1] / "configs" / f"{method}_{data}.yaml" in CONFIGS
