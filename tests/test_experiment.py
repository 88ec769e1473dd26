"""Which test set a run is evaluated on."""

from pathlib import Path

import pytest

from vireid import config
from vireid.errors import InputError
from vireid.experiment.sets import test_sets as sets_of  # pytest would take its name for a test

CONFIGS = Path(__file__).parents[1] / "configs"


def test_a_split_of_regdb_is_for_models_that_did_not_train_on_another(tmp_path):
    own = config.load(CONFIGS / "baseline_regdb.yaml", ["data.trial=3"])
    assert sets_of(own, None, {"trial": 3})[0].options.trial == 3
    with pytest.raises(InputError, match="trained on split 3"):
        sets_of(own, None, {"trial": 4})
    for name in ("Visible", "Thermal"):
        (tmp_path / name).mkdir()
    other = config.load(CONFIGS / "baseline_llcm.yaml")
    assert sets_of(other, tmp_path, {"trial": 4})[0].options.trial == 4
