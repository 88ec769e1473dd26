import json
from dataclasses import replace

import pytest
import synthvi_transfer
import torch
from trees import make_manifest_tree, make_synthvi

from vireid.data import synthvi
from vireid.data.augment import IMAGENET_MEAN
from vireid.embedder import load_run
from vireid.errors import InputError


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    real = make_manifest_tree(tmp_path_factory.mktemp("real"), identities=5, images=1)
    run = load_run("default")
    runs = {"default": run, "a": run, "b": replace(run, config=run.config.override({"train.seed": 1}))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthvi_transfer, "load_run", runs.get)
        return synthvi_transfer.measure(real, ["a", "b"], "twice the shipped model", "cpu")


def test_a_line_holds_runs_chance_and_spread(line):
    assert line["people"] == 5 and line["images"] == {"visible": 5, "infrared": 5} and len(line["runs"]) == 2
    for kind in synthvi_transfer.KINDS:
        for way in ("i2v", "v2i"):
            scores = line[kind][way]["rank1"]
            assert scores["chance"] == pytest.approx(0.2)  # one of five
            assert scores["mean"] == pytest.approx(sum(scores["runs"]) / 2)
            assert scores["low"] <= scores["mean"] <= scores["high"]
            assert scores["std"] == pytest.approx(abs(scores["runs"][0] - scores["runs"][1]) / 2**0.5)
    assert line["trained"]["i2v"]["rank1"]["std"] == 0  # the same weights, whatever the seed is called
    assert "untrained  v2i" in synthvi_transfer.text(line)


def test_faded_images_keep_their_colour_where_the_share_is_one():
    pixels = torch.full((1, 3, 1, 3), 200, dtype=torch.uint8)
    found = synthvi_transfer.faded(pixels, torch.tensor([1.0, 0.5, 0.0]).reshape(1, 1, 1, 3))
    # ImageNet's means are 0.485, 0.456, 0.406 of 255: 124, 116 and 104; half way to 200 lie 162, 158 and 152.
    assert found[0, :, 0].tolist() == [[200, 162, 124], [200, 158, 116], [200, 152, 104]]


def test_person_and_scene_are_of_the_run_s_size_and_add_up_to_the_image():
    samples = synthvi.load(synthvi.Config(part="lwir"))[:4]
    run = load_run("default")
    small = replace(run, config=run.config.override({"images.height": 64, "images.width": 32}))
    looks = synthvi_transfer.looks(small, samples, "cpu")
    assert all(pixels.shape == (4, 3, 64, 32) and pixels.dtype == torch.uint8 for pixels in looks.values())
    mean = 255 * torch.tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1)
    whole = looks["person"] + (looks["scene"] - mean)
    assert (whole - looks["trained"]).abs().max() <= 1.01  # both are rounded
    middle, border = (slice(None), slice(None), slice(20, 44), slice(12, 20)), (..., [0, 31])
    for kind, where in (("person", border), ("scene", middle)):
        assert (looks[kind] - mean)[where].abs().mean() < 0.3 * (looks["trained"] - mean)[where].abs().mean()


def test_a_line_says_what_was_trained_on_and_how(tmp_path):
    root = make_synthvi(tmp_path / "set", "lwir", identities=6)
    about = {"generator": 2, "preset": "mini", "seed": 1, "size": [32, 16], "sites": 32, "identities": {"train": 3}}
    (root / "dataset.json").write_text(json.dumps({**json.loads((root / "dataset.json").read_text()), **about}))
    run = load_run("default")
    config = run.config.override({"data.root": str(root), "data.part": "lwir"})
    found = synthvi_transfer.describe(replace(run, config=config))
    assert found["data"].items() >= {"name": "synthvi", "folder": root.name, "part": "lwir", **about}.items()
    assert found["steps"] == config.train.epochs * config.train.steps_per_epoch
    assert len(found["commit"]) == 40 and found["augment"]["flip"] == config.images.augment.flip
    assert str(tmp_path) not in json.dumps(found)


def test_a_data_set_that_is_gone_is_named_all_the_same(tmp_path):
    config = load_run("default").config.override({"data.root": str(tmp_path / "gone")})
    found = synthvi_transfer.describe_data(config.data)
    assert found["folder"] == "gone" and "generator" not in found


def test_runs_of_one_line_differ_in_nothing_but_their_seed(monkeypatch, tmp_path):
    real = make_manifest_tree(tmp_path / "real", identities=2, images=1)
    told = iter([{"run": "a", "seed": 0, "steps": 5}, {"run": "b", "seed": 1, "steps": 6}])
    monkeypatch.setattr(synthvi_transfer, "describe", lambda run: next(told))
    with pytest.raises(InputError, match="more than its seed: steps"):
        synthvi_transfer.measure(real, ["default", "default"], "two", "cpu")


def test_one_run_given_twice_is_no_second_run(tmp_path):
    real = make_manifest_tree(tmp_path / "real", identities=2, images=1)
    with pytest.raises(InputError, match="two of the runs have seed 0"):
        synthvi_transfer.measure(real, ["default", "default"], "two", "cpu")


@pytest.mark.parametrize("output", ["", "afile/log.jsonl"])
def test_a_log_that_cannot_be_written_is_told_before_the_work(output, tmp_path, monkeypatch, capsys):
    (tmp_path / "afile").touch()
    words = ["synthvi_transfer.py", "nowhere", "default", "--label", "a", "--output", str(tmp_path / output)]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as left:
        synthvi_transfer.main()
    error = capsys.readouterr().err
    assert left.value.code == 2 and error.startswith("synthvi_transfer: ") and "folder" in error


def test_a_label_is_asked_for(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["synthvi_transfer.py", "real", "default"])
    with pytest.raises(SystemExit):
        synthvi_transfer.main()
    assert "--label" in capsys.readouterr().err


def test_no_line_names_a_folder_of_the_machine(line, tmp_path):
    assert str(tmp_path.parent) not in json.dumps(line)


def test_the_log_keeps_lines_in_order_and_replaces_those_of_a_label(tmp_path):
    log = tmp_path / "log.jsonl"
    for label, people in (("a", 1), ("b", 2), ("a", 3)):
        synthvi_transfer.add_line(log, {"label": label, "people": people})
    assert synthvi_transfer.read_log(log) == [{"label": "a", "people": 3}, {"label": "b", "people": 2}]


def test_a_file_that_is_no_log_is_not_overwritten(tmp_path):
    (tmp_path / "notes.txt").write_text("hello\n")
    with pytest.raises(InputError, match="no log"):
        synthvi_transfer.read_log(tmp_path / "notes.txt")
