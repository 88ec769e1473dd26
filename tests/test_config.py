from pathlib import Path

import pytest
import yaml

from vireid import config
from vireid.errors import InputError

CONFIGS = sorted(Path(__file__).parents[1].glob("configs/*.yaml"))
PLAIN = {
    "method": {"name": "baseline", "weights": "none"},
    "data": {"name": "regdb", "root": "data/RegDB"},
    "train": {"epochs": 3},
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(PLAIN))
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_loads_and_its_name_says_what_it_is(path):
    experiment = config.load(path)
    if "_" in path.stem and not path.stem.startswith("default"):
        assert path.stem.startswith(experiment.method.name)
        part = f"_{experiment.data.options.part}" if experiment.data.name == "synthvi" else ""
        assert path.stem.removesuffix(part).endswith(experiment.data.name)


def test_overrides_and_round_trip(file, tmp_path):
    experiment = config.load(file, ["train.optimizer.lr=0.05", "data.trial=4"])
    assert experiment.train.optimizer.lr == 0.05
    assert experiment.data.options.trial == 4
    experiment.save(tmp_path / "resolved.yaml")
    assert config.load(tmp_path / "resolved.yaml") == experiment


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", r"unknown key 'train\.epoch', did you mean 'epochs'\?"),
        ("train.optimizer.learning_rate=1", r"unknown key 'train\.optimizer\.learning_rate'.*known: name, lr"),
        ("data.trail=1", r"unknown key 'data\.trail', did you mean 'trial'\?"),
        ("trian.epochs=3", "unknown section 'trian', did you mean 'train'"),
        ("train.epochs=many", r"bad value for 'train\.epochs': got 'many'"),
        ("train.epochs=0", r"bad value for 'train\.epochs': got 0"),
        ("method.name=awg", "unknown method.name 'awg', did you mean 'agw'.*known: agw, baseline"),
        ("data.name=sysu", "unknown data.name 'sysu', did you mean 'sysu_mm01'"),
        ("train.epochs", "expected key=value"),
        ("train.epochs.more=1", "'epochs' is a value, not a section"),
    ],
)
def test_a_bad_override_is_one_clear_line(file, override, message):
    with pytest.raises(InputError, match=message) as error:
        config.load(file, [override])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "not valid YAML"), ("- 1", "expected sections"), ("method: agw", "expected keys and values")],
)
def test_a_bad_file_is_one_clear_line(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        config.load(path)
    assert "\n" not in str(error.value)


def test_off_is_a_word_and_only_true_and_false_are_truth_values(file):
    experiment = config.load(
        file, ["evaluation.rerank=off", "train.channels_last=false", "train.optimizer.nesterov=True"]
    )
    assert experiment.evaluation.rerank == "off"
    assert experiment.train.channels_last is False
    assert experiment.train.optimizer.nesterov is True


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="config not found"):
        config.load(tmp_path / "none.yaml")


def test_a_missing_root_says_how_to_set_it(file):
    plain = {**PLAIN, "data": {"name": "regdb"}}
    with pytest.raises(InputError, match=r"missing key 'data\.root'.*--set data\.root="):
        config.from_dict(plain)


def test_a_key_is_named_as_it_is_written():
    plain = {**PLAIN, "method": {"name": "dfw_sln", "sln": {"lamda": 1}}}
    with pytest.raises(InputError, match=r"unknown key 'method\.sln\.lamda', did you mean 'lambda'\?"):
        config.from_dict(plain)
    plain["method"]["sln"] = {"lambda": 0.25}
    assert config.from_dict(plain).flat()["method.sln.lambda"] == 0.25


@pytest.mark.parametrize(
    ("path", "text", "name", "message"),
    [
        ("lab_a/own.py", "import vireid\n", "lab_a.own", r"lab_a/own.py has no class Config\(BaseModel\); add it"),
        ("lab_b/own.py", "from vireid.methods.agw import Config\n", "lab_b.own", "has no function build; add it"),
        ("lab_c/own.py", "def build(:\n", "lab_c.own", r"SyntaxError: invalid syntax \(own.py, line 1\); mend"),
        ("lab_d/own.py", "", "lab_d.other", "there is no lab_d/other.py in .*; call vireid in the folder"),
        ("own.py", "", "own", "put own.py in a folder and name both, as mylab.own for mylab/own.py"),
    ],
)
def test_what_is_wrong_with_a_file_of_ones_own(path, text, name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text(text)
    with pytest.raises(InputError, match=message):
        config.find_module("method", name)
