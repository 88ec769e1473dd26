"""The commands on made-up data in the official layouts: what they write, print and answer to bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import trees
import yaml
from PIL import Image

from vireid.cli import main

CONFIGS = Path(__file__).parents[2] / "configs"
TINY = {
    "method.backbone": "resnet18",
    "method.weights": "none",
    "images.height": 32,
    "images.width": 16,
    "images.augment.pad": 2,
    "train.epochs": 2,
    "train.steps_per_epoch": 2,
    "train.identities": 3,
    "train.images_per_modality": 2,
    "train.precision": "32-true",
}
MAKERS = {"sysu_mm01": trees.make_sysu, "regdb": trees.make_regdb, "llcm": trees.make_llcm}


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory):
    os.environ["VIREID_CACHE"] = str(tmp_path_factory.mktemp("cache"))


def call(capfd, *arguments):
    """Exit status, stdout and stderr of a command."""
    capfd.readouterr()
    try:
        main([str(argument) for argument in arguments])
        status = 0
    except SystemExit as stop:
        status = stop.code or 0
    out, err = capfd.readouterr()
    return status, out, err


def settings(**changes):
    chosen = {**TINY, **{key.replace("__", "."): value for key, value in changes.items()}}
    return [part for key, value in chosen.items() for part in ("--set", f"{key}={value}")]


def refused(capfd, *arguments):
    """The one line a command prints when its input is bad."""
    status, out, err = call(capfd, *arguments)
    lines = [line for line in err.splitlines() if line.startswith("vireid: ") and "warning" not in line]
    assert status == 2, err
    assert "Traceback" not in err + out
    assert len(lines) == 1, err
    return lines[0]


def copied(run, tmp_path):
    return Path(shutil.copytree(run, tmp_path / "copy"))


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    return {name: make(root / name) for name, make in MAKERS.items()}


@pytest.fixture(scope="session")
def run(sources, tmp_path_factory):
    """A trained baseline on the made-up RegDB."""
    folder = tmp_path_factory.mktemp("runs") / "regdb"
    changes = settings(data__root=sources["regdb"])
    with pytest.raises(SystemExit) as stop:
        main(["train", str(CONFIGS / "baseline_regdb.yaml"), *changes, "--output", str(folder)])
    assert not stop.value.code
    return folder


@pytest.mark.parametrize(("method", "dataset"), [("agw", "sysu_mm01"), ("baseline", "regdb"), ("agw", "llcm")])
def test_the_licensed_data_sets_train_and_evaluate(capfd, sources, tmp_path, method, dataset):
    folder = tmp_path / "run"
    config = CONFIGS / f"{method}_{dataset}.yaml"
    status, _, err = call(capfd, "train", config, *settings(data__root=sources[dataset]), "--output", folder)
    assert status == 0, err
    names = {"config.yaml", "metrics.jsonl", "checkpoint.pt", "environment.json", "tensorboard"}
    assert names <= {path.name for path in folder.iterdir()}
    torch.load(folder / "checkpoint.pt", weights_only=True)

    status, out, err = call(capfd, "evaluate", folder, "--rerank", "k-reciprocal", "--json")
    assert status == 0, err
    rows = json.loads(out)
    assert [row["direction"] for row in rows] == ["i2v", "v2i"]
    trials = 1 if dataset == "regdb" else 10
    for row in rows:
        assert (row["method"], row["dataset"], row["rerank"]) == (method, dataset, "k-reciprocal")
        assert len(row["trials"]) == trials
        assert row["mean"]["rank1"] == pytest.approx(np.mean([trial["rank1"] for trial in row["trials"]]))

    status, out, _ = call(capfd, "evaluate", folder, "--direction", "i2v")
    assert status == 0
    assert "re-ranking" in out and "off" in out
    assert len(json.loads((folder / "results.json").read_text())["results"]) == 3


def test_an_evaluation_can_change_the_protocol_but_not_the_run(capfd, sources, tmp_path):
    folder = tmp_path / "run"
    changes = settings(data__root=sources["sysu_mm01"])
    assert call(capfd, "train", CONFIGS / "agw_sysu_mm01.yaml", *changes, "--output", folder)[0] == 0
    protocol = ["--set", "data.search=indoor", "--set", "data.shots=10", "--set", "data.gallery=agw"]
    status, out, err = call(capfd, "evaluate", folder, "--direction", "i2v", *protocol, "--json")
    assert status == 0, err
    (row,) = json.loads(out)
    assert row["protocol"] == "indoor search, 10-shot, agw gallery"
    assert "the rest belongs to the run" in refused(capfd, "evaluate", folder, "--set", "data.train_ids=train")
    assert "data.search" in refused(capfd, "evaluate", folder, "--set", "data.search=outside")
    assert len(json.loads((folder / "results.json").read_text())["results"]) == 1


def test_resume_equals_an_uninterrupted_run(capfd, sources, run, tmp_path, monkeypatch):
    from vireid.training import loop

    folder = tmp_path / "cut"
    saved = loop.checkpoint.save

    def stop_after_saving(path, state):
        saved(path, state)
        if state["epoch"] == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.checkpoint, "save", stop_after_saving)
    arguments = [*settings(data__root=sources["regdb"], train__checkpoint_every=1), "--output", folder]
    assert call(capfd, "train", CONFIGS / "baseline_regdb.yaml", *arguments)[0] != 0
    monkeypatch.undo()
    status, _, err = call(capfd, "train", "--resume", folder)
    assert status == 0, err
    whole, resumed = (torch.load(path / "checkpoint.pt", weights_only=True) for path in (run, folder))
    assert all(torch.equal(whole["model"][name], resumed["model"][name]) for name in whole["model"])


def test_torchrun_starts_the_command(sources, tmp_path):
    folder = tmp_path / "ddp"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "vireid"]
    command += ["train", str(CONFIGS / "baseline_regdb.yaml"), "--output", str(folder), "--device", "cpu"]
    command += settings(data__root=sources["regdb"])
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["epoch"] == 2


def test_held_out_identities_choose_the_epoch(capfd, sources, tmp_path):
    folder = tmp_path / "val"
    changes = settings(
        data__root=sources["regdb"], train__val_identities=3, train__val_every=1, evaluation__select="val"
    )
    status, _, err = call(capfd, "train", CONFIGS / "baseline_regdb.yaml", *changes, "--output", folder)
    assert status == 0, err
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all("val/i2v/mAP" in row and "val/v2i/rank1" in row for row in rows)
    best = max(rows, key=lambda row: row["val/i2v/mAP"] + row["val/v2i/mAP"])
    assert torch.load(folder / "checkpoint_val.pt", weights_only=True)["epoch"] == best["epoch"]
    status, out, err = call(capfd, "evaluate", folder, "--json")
    assert status == 0, err
    assert json.loads(out)[0]["selection"] == "val"


def test_own_crops_are_checked_embedded_and_evaluated(capfd, run, tmp_path):
    crops = trees.make_manifest_tree(tmp_path / "crops")
    assert call(capfd, "data", "check", "manifest", crops)[0] == 0
    for name in ("out.npz", "out.parquet"):
        status, _, err = call(capfd, "embed", crops, "--model", run, "--output", tmp_path / name)
        assert status == 0, err
    stored = np.load(tmp_path / "out.npz")
    assert stored["embeddings"].shape == (16, 512) and stored["embeddings"].dtype == np.float32
    assert np.allclose(np.linalg.norm(stored["embeddings"], axis=1), 1, atol=1e-5)
    folders = [Path(path).parent.parent.name for path in stored["paths"]]
    assert list(stored["modality"]) == folders  # guessed from the colour
    status, out, err = call(capfd, "evaluate", run, "--data", crops, "--output", tmp_path / "results.json", "--json")
    assert status == 0, err
    assert {row["dataset"] for row in json.loads(out)} == {"manifest"}


def test_the_embedder_takes_paths_and_arrays(run, tmp_path):
    import vireid

    embedder = vireid.load(run)
    path = trees.save(tmp_path / "a.png", trees.person(3, False, 0))
    from_path = embedder.embed([path], "visible")
    from_array = embedder.embed([np.asarray(Image.open(path))], "visible")
    assert from_path.shape == (1, 512) and from_path.dtype == np.float32
    assert np.array_equal(from_path, from_array)
    assert not np.allclose(from_path, embedder.embed([path], "infrared"), atol=1e-3)
    assert embedder.embed([], "visible").shape[0] == 0


def test_unreadable_images_are_skipped_when_embedding(capfd, run, tmp_path):
    crops = trees.make_manifest_tree(tmp_path / "crops")
    broken = crops / "visible" / "0001" / "00.png"
    broken.write_bytes(b"no image")
    status, _, err = call(capfd, "embed", crops, "--model", run, "--output", tmp_path / "out.npz")
    assert status == 0
    assert f"skipped {broken}" in err
    assert len(np.load(tmp_path / "out.npz")["paths"]) == 15


def test_unreadable_test_images_are_named_and_left_out(capfd, run, tmp_path):
    crops = trees.make_manifest_tree(tmp_path / "crops")
    broken = crops / "infrared" / "0002" / "01.png"
    broken.write_bytes(b"")
    arguments = ["evaluate", run, "--data", crops, "--output", tmp_path / "results.json", "--json"]
    status, out, err = call(capfd, *arguments)
    assert status == 0
    assert str(broken) in err
    assert json.loads(out)[0]["unreadable"] == [str(broken)]
    assert json.loads(out)[0]["trials"][0]["num_queries"] == 7


def test_profile(capfd):
    status, out, err = call(capfd, "profile", CONFIGS / "baseline_synthvi.yaml", "--json")
    assert status == 0, err
    report = json.loads(out)
    assert report["macs_per_pair"] > 0 and report["step_seconds"] > 0 and report["embedded_per_second"] > 0


class TestBadInput:
    def test_missing_data_folder(self, capfd, tmp_path):
        config = CONFIGS / "baseline_regdb.yaml"
        line = refused(capfd, "train", config, *settings(data__root=tmp_path / "none"), "--output", tmp_path / "run")
        assert str(tmp_path / "none") in line
        assert not (tmp_path / "run").exists()

    def test_half_a_regdb(self, capfd, tmp_path):
        root = trees.make_regdb(tmp_path / "regdb")
        (root / "Thermal").rename(root / "elsewhere")
        line = refused(
            capfd, "train", CONFIGS / "baseline_regdb.yaml", *settings(data__root=root), "--output", tmp_path / "run"
        )
        assert "Thermal" in line

    def test_unknown_key(self, capfd):
        line = refused(capfd, "train", CONFIGS / "baseline_regdb.yaml", "--set", "train.epoch=3")
        assert "train.epoch" in line and "did you mean 'epochs'" in line

    def test_more_identities_than_there_are(self, capfd, sources, tmp_path):
        changes = settings(data__root=sources["regdb"], train__identities=50)
        line = refused(capfd, "train", CONFIGS / "baseline_regdb.yaml", *changes, "--output", tmp_path / "run")
        assert "50" in line and "6" in line

    def test_corrupt_training_image_before_training_starts(self, capfd, tmp_path):
        root = trees.make_regdb(tmp_path / "regdb")
        for line in (root / "idx" / "train_visible_1.txt").read_text().splitlines()[:2]:
            (root / line.split()[0]).write_bytes(b"BMbroken")
        line = refused(
            capfd, "train", CONFIGS / "baseline_regdb.yaml", *settings(data__root=root), "--output", tmp_path / "run"
        )
        assert "2 of 120 training images cannot be read" in line
        assert not (tmp_path / "run" / "metrics.jsonl").exists()

    def test_silhouettes_to_learn_from_that_are_not_there(self, capfd, tmp_path):
        changes = settings(data__root="mini", method__foreground__epochs=0)
        line = refused(capfd, "train", CONFIGS / "default_start.yaml", *changes, "--output", tmp_path / "run")
        assert "mini has them for 0 of" in line and "--masks" in line and "foreground.enabled" in line
        assert not (tmp_path / "run" / "metrics.jsonl").exists()

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"method__foreground__weight": 0}, "train.start_from is not set"),
            ({"method__foreground__epochs": 2, "train__epochs": 2}, "epochs is 2 and train.epochs 2"),
        ],
    )
    def test_a_foreground_that_nobody_learns_or_nothing_else(self, capfd, tmp_path, change, told):
        changes = settings(**{"data__root": "mini", "method__foreground__epochs": 0, **change})
        line = refused(capfd, "train", CONFIGS / "default_start.yaml", *changes, "--output", tmp_path / "run")
        assert told in line and not (tmp_path / "run" / "metrics.jsonl").exists()

    def test_empty_gallery(self, capfd, run, tmp_path):
        crops = trees.make_manifest_tree(tmp_path / "crops")
        for image in crops.glob("visible/*/*"):
            image.unlink()
        assert "visible" in refused(capfd, "evaluate", run, "--data", crops, "--direction", "i2v")

    def test_checkpoint_of_another_method(self, capfd, run, tmp_path):
        folder = tmp_path / "other"
        folder.mkdir()
        (folder / "checkpoint.pt").write_bytes((run / "checkpoint.pt").read_bytes())
        plain = yaml.safe_load((run / "config.yaml").read_text())
        plain["method"] = {"name": "agw", "backbone": "resnet18", "weights": "none"}
        (folder / "config.yaml").write_text(yaml.safe_dump(plain))
        for command in (["evaluate", folder], ["train", "--resume", folder]):
            line = refused(capfd, *command)
            assert "'baseline'" in line and "'agw'" in line

    def test_resume_of_a_finished_run(self, capfd, run):
        assert "finished (2 of 2 epochs)" in refused(capfd, "train", "--resume", run)

    def test_output_that_holds_a_run(self, capfd, sources, run):
        changes = settings(data__root=sources["regdb"])
        line = refused(capfd, "train", CONFIGS / "baseline_regdb.yaml", *changes, "--output", run)
        assert "--resume" in line

    @pytest.mark.parametrize(
        "change",
        ["data.trial=2", "method.split=2", "train.optimizer.name=adamw", "train.steps_per_epoch=1", "train.seed=3"],
    )
    def test_resuming_as_another_experiment(self, capfd, run, tmp_path, change):
        folder = copied(run, tmp_path)
        line = refused(capfd, "train", "--resume", folder, "--set", "train.epochs=4", "--set", change)
        assert change in line
        assert (folder / "config.yaml").read_bytes() == (run / "config.yaml").read_bytes()

    def test_a_checkpoint_that_lacks_what_resuming_needs(self, capfd, run, tmp_path):
        folder = copied(run, tmp_path)
        torch.save({"method": "baseline", "model": {}, "epoch": 1}, folder / "checkpoint.pt")
        assert "identities" in refused(capfd, "train", "--resume", folder)
        assert "num_identities" in refused(capfd, "evaluate", folder)

    def test_a_run_that_was_killed_before_its_first_checkpoint(self, capfd, run, tmp_path):
        folder = copied(run, tmp_path)
        (folder / "checkpoint.pt").unlink()
        assert "start it again" in refused(capfd, "train", "--resume", folder)
        assert call(capfd, "train", folder / "config.yaml", "--output", folder)[0] == 0

    def test_nothing_is_left_of_a_refused_training(self, capfd, sources, tmp_path):
        for change in ({"train__identities": 50}, {"train__paired": 0.5}, {"train__optimizer__momentum": 0}):
            changes = settings(data__root=sources["regdb"], **change)
            refused(capfd, "train", CONFIGS / "baseline_regdb.yaml", *changes, "--output", tmp_path / "run")
            assert not (tmp_path / "run").exists()

    def test_selection_without_held_out_identities(self, capfd, sources, tmp_path):
        changes = settings(data__root=sources["regdb"], evaluation__select="val")
        line = refused(capfd, "train", CONFIGS / "baseline_regdb.yaml", *changes, "--output", tmp_path / "run")
        assert "train.val_identities" in line

    def test_a_strangers_config_is_not_overwritten(self, capfd, sources, tmp_path):
        (tmp_path / "config.yaml").write_text("mine")
        changes = settings(data__root=sources["regdb"])
        refused(capfd, "train", CONFIGS / "baseline_regdb.yaml", *changes, "--output", tmp_path)
        assert (tmp_path / "config.yaml").read_text() == "mine"

    def test_results_that_cannot_be_added_to_are_told_before_the_work(self, capfd, run, tmp_path):
        damaged = tmp_path / "results.json"
        damaged.write_text('{"format": 1, "res')
        for output in (damaged, tmp_path, damaged / "below.json"):
            line = refused(capfd, "evaluate", run, "--output", output)
            assert str(output) in line
        assert damaged.read_text() == '{"format": 1, "res'

    def test_training_people_are_not_tested(self, capfd, tmp_path):
        root = trees.make_synthvi(tmp_path / "synthvi")
        changes = settings(data__root=root, data__part="nir", data__train_ids="all")
        arguments = ["train", CONFIGS / "baseline_synthvi.yaml", *changes, "--output", tmp_path / "run"]
        assert call(capfd, *arguments)[0] == 0
        assert "trained on every identity" in refused(capfd, "evaluate", tmp_path / "run")
        other = trees.make_synthvi(tmp_path / "other", seed=1)
        assert call(capfd, "evaluate", tmp_path / "run", "--data", other)[0] == 0

    def test_half_a_data_set_to_evaluate_on(self, capfd, run, tmp_path):
        regdb = trees.make_regdb(tmp_path / "regdb")
        (regdb / "Visible").rename(tmp_path / "elsewhere")
        assert "Visible" in refused(capfd, "evaluate", run, "--data", regdb)
        sysu = trees.make_sysu(tmp_path / "sysu", permutations=False)
        line = refused(capfd, "evaluate", run, "--data", sysu)
        assert "rand_perm_cam.mat" in line
        (sysu / "exp" / "rand_perm_cam.mat").write_bytes(b"damaged")
        assert "rand_perm_cam.mat" in refused(capfd, "evaluate", run, "--data", sysu)

    @pytest.mark.parametrize("device", ["cuda:x", "cuda:-1", "cpu:1", "meta", "", "cuda:99"])
    def test_devices(self, capfd, sources, run, tmp_path, device):
        config = [CONFIGS / "baseline_regdb.yaml", *settings(data__root=sources["regdb"])]
        refused(capfd, "train", *config, "--output", tmp_path / "run", "--device", device)
        refused(capfd, "profile", *config, "--device", device)
        refused(capfd, "evaluate", run, "--device", device)

    @pytest.mark.parametrize(
        "arguments",
        [
            ["evaluate", "nowhere"],
            ["train"],
            ["train", "nowhere.yaml"],
            ["data", "check", "regdb", "nowhere"],
            ["data", "check", "sysu", "nowhere"],
            ["embed", "nowhere", "--output", "out.npz"],
            ["embed", ".", "--output", "out.csv"],
            ["profile", "nowhere.yaml"],
            ["evaluate", "nowhere", "--direction", "sideways"],
            ["train", "--bogus"],
            ["trian"],
            ["embed", "nowhere"],
            ["train", "--resume", "nowhere"],
            ["synth", "out", "--size", "12"],
            ["synth", "out", "--preset", "lwir", "--layout", "sysu"],
        ],
    )
    def test_every_command_answers_in_one_line(self, capfd, tmp_path, monkeypatch, arguments):
        monkeypatch.chdir(tmp_path)
        refused(capfd, *arguments)


def test_ctrl_c_and_resume_equal_an_uninterrupted_run(capfd, sources, tmp_path):
    changes = settings(data__root=sources["regdb"], train__steps_per_epoch=20)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert call(capfd, "train", CONFIGS / "baseline_regdb.yaml", *changes, "--output", whole)[0] == 0
    command = [sys.executable, "-m", "vireid", "train", str(CONFIGS / "baseline_regdb.yaml"), *changes]
    # As many threads as this process has: sums of floats depend on it.
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen([*command, "--output", str(cut)], stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 120
    while not (cut / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    # A second training finds the folder taken.
    assert "another process" in refused(capfd, "train", CONFIGS / "baseline_regdb.yaml", *changes, "--output", cut)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=120)[1]
    if process.returncode:  # else it was done before the signal came
        assert process.returncode == 1 and f"vireid train --resume {cut}" in err
        assert call(capfd, "train", "--resume", cut)[0] == 0
    states = [torch.load(folder / "checkpoint.pt", weights_only=True)["model"] for folder in (whole, cut)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    logs = [[json.loads(line) for line in (f / "metrics.jsonl").read_text().splitlines()] for f in (whole, cut)]
    for key in ("epoch", "lr", "loss/identity", "loss/triplet"):
        assert [row[key] for row in logs[0]] == [row[key] for row in logs[1]]


def test_a_method_and_a_data_set_of_ones_own(capfd, sources, tmp_path, monkeypatch):
    lab = tmp_path / "ownlab"
    lab.mkdir()
    (lab / "__init__.py").write_text("")
    (lab / "mine.py").write_text("from vireid.methods.baseline import Config, build\n")
    (lab / "crops.py").write_text("from vireid.data.regdb import Config, load\n")
    (lab / "broken.py").write_text("import nothing_of_that_name\n")
    monkeypatch.chdir(tmp_path)
    names = {"method__name": "ownlab.mine", "data__name": "ownlab.crops", "data__root": sources["regdb"]}
    arguments = ["train", CONFIGS / "baseline_regdb.yaml", *settings(**names), "--output", tmp_path / "run"]
    status, _, err = call(capfd, *arguments)
    assert status == 0, err
    status, out, _ = call(capfd, "evaluate", tmp_path / "run", "--json")
    assert status == 0
    assert {(row["method"], row["dataset"]) for row in json.loads(out)} == {("ownlab.mine", "ownlab.crops")}
    line = refused(capfd, "train", CONFIGS / "baseline_regdb.yaml", "--set", "method.name=ownlab.broken")
    assert "ownlab.broken" in line and "nothing_of_that_name" in line


def test_a_damaged_cache_is_decoded_again(capfd, run):
    for file in (Path(os.environ["VIREID_CACHE"]) / "images").glob("*/pixels.npy"):
        file.write_bytes(file.read_bytes()[:200])
    status, _, err = call(capfd, "evaluate", run, "--json")
    assert status == 0, err


def test_an_unfinished_run_says_so(capfd, run, tmp_path):
    folder = copied(run, tmp_path)
    plain = yaml.safe_load((folder / "config.yaml").read_text())
    plain["train"]["epochs"] = 5
    (folder / "config.yaml").write_text(yaml.safe_dump(plain))
    status, out, err = call(capfd, "evaluate", folder, "--json")
    assert status == 0 and "epoch 2 of 5" in err
    json.loads(out)


def test_a_block_without_a_readable_image(run, tmp_path):
    import vireid
    from vireid.bulk import Crop, embed_crops

    bad = [tmp_path / f"{number}.png" for number in range(2)]
    for path in bad:
        path.write_bytes(b"")
    good = trees.save(tmp_path / "good.png", trees.person(1, False, 0))
    result = embed_crops(vireid.load(run), [Crop(path) for path in (*bad, good)], "visible", block=2)
    assert result.embeddings.shape == (1, 512) and len(result.unreadable) == 2


COMMANDS = ["demo", "synth", "train", "evaluate", "profile", "embed", "export", "data check", "search", "calibrate"]


@pytest.mark.parametrize("command", [*COMMANDS, "index add", "index remove", "index list", "index optimize"])
def test_every_help_has_an_example(capfd, command):
    status, out, _ = call(capfd, *command.split(), "--help")
    assert status == 0
    assert f"Example: vireid {command}" in " ".join(out.split())


def test_help_and_version_do_not_load_torch():
    code = (
        "import sys; from vireid.cli import main\n"
        "try: main(['--version'])\nexcept SystemExit: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split()[-1] == "False", done.stderr
