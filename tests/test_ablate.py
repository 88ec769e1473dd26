"""`vireid ablate`: the sweep file, what a call trains and what it leaves alone, and the table."""

import json
import math
import os
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import trees
import yaml

from vireid.ablation import pictures, runner
from vireid.ablation.report import collect
from vireid.ablation.state import OWN_RESULTS
from vireid.ablation.sweep import load_sweep
from vireid.ablation.tables import markdown, text
from vireid.cli import main
from vireid.errors import InputError
from vireid.evaluation.results import SCORES, Result, TrialScores, load_results, save_results
from vireid.figures.style import inline
from vireid.sample import Direction
from vireid.training import loop
from vireid.training.guard import TrainingDiverged

BASE = {
    "method": {"name": "baseline", "backbone": "resnet18", "weights": "none"},
    "data": {"name": "synthvi", "root": "mini", "part": "lwir"},
    "images": {"height": 32, "width": 16, "augment": {"pad": 2}},
    "train": {"epochs": 1, "steps_per_epoch": 1, "identities": 3, "images_per_modality": 2, "precision": "32-true"},
    "evaluation": {"batch_size": 64},
}
ROWS = {"A": {}, "B": {"train.optimizer.lr": 0.05}}


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    os.environ["VIREID_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return trees.make_synthvi(tmp_path_factory.mktemp("data"), "lwir")


def write(folder, config=BASE, **content):
    """A sweep file with its base beside it."""
    (folder / "base.yaml").write_text(yaml.safe_dump(config))
    path = folder / "table.yaml"
    path.write_text(yaml.safe_dump({"base": "base.yaml", "seeds": [0, 1], **content}, sort_keys=False))
    return path


def call(capfd, *arguments):
    """Exit status, stdout and stderr of `vireid ablate`."""
    capfd.readouterr()
    try:
        main(["ablate", *map(str, arguments)])
        status = 0
    except SystemExit as stop:
        status = stop.code or 0
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return status, out, err


def never(*arguments, **options):
    raise AssertionError("nothing is left to train")


# The file.


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[1] / "configs" / "sweeps").glob("*.yaml")), ids=lambda path: path.stem
)
def test_the_shipped_sweeps_are_sound(path):
    assert load_sweep(path).runs


def test_runs_go_seed_by_seed_and_rows_before_the_grid(tmp_path):
    grid = {"method.loss.triplet": [0.5, 2], "train.optimizer.nesterov": [True, False]}
    sweep = load_sweep(write(tmp_path, rows={"A + B": {}}, grid=grid), ["data.root=elsewhere"])
    names = ["A + B", *(f"triplet={t}, nesterov={n}" for t in (0.5, 2) for n in ("true", "false"))]
    assert [row.name for row in sweep.rows] == names
    assert [row.slug for row in sweep.rows][:2] == ["a-b", "triplet-0-5-nesterov-true"]
    assert [run.row.name for run in sweep.runs] == names * 2
    assert [run.config.train.seed for run in sweep.runs] == [0] * 5 + [1] * 5
    assert sweep.runs[0].folder.as_posix() == "a-b/seed-0"
    assert {str(run.config.data.options.root) for run in sweep.runs} == {"elsewhere"}
    assert sweep.runs[1].config.method.options.loss.triplet == 0.5
    assert (sweep.title, sweep.keep_checkpoints) == ("table", True)


def test_changes_apply_in_order_and_may_replace_a_section(tmp_path):
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({**BASE, "method": {"name": "agw", "backbone": "resnet18"}}))
    rows = {
        "A": {"train.epochs": 7, "images.augment": {"pad": 1}, "images.augment.erase": 0.5},
        "AGW": {"base": "other.yaml"},
        "whole": {"method": {"name": "agw", "backbone": "resnet18", "gem_p": 2.0}},
    }
    content = {"set": {"train.epochs": 5, "train.val_every": 3}, "repeat": {"train.paired": [0.0, 0.5]}, "rows": rows}
    first, agw, whole, second, *_ = load_sweep(write(tmp_path, **content), ["train.val_every=4"]).runs
    assert (first.config.train.epochs, first.config.train.val_every, first.config.train.paired) == (7, 4, 0.0)
    assert (first.config.images.augment.pad, first.config.images.augment.erase) == (1, 0.5)
    assert agw.config.method.name == "agw" and agw.config.train.epochs == 5
    assert whole.config.method.options.gem_p == 2.0
    assert second.config.images.augment.erase == 0.5
    assert (second.repeat, second.folder.as_posix()) == ({"train.paired": 0.5, "train.seed": 0}, "a/paired-0.5-seed-0")
    assert second.label == "A paired 0.5 seed 0"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"sedes": [0], "rows": ROWS}, "unknown key 'sedes', did you mean 'seeds'"),
        ({"rows": {"A": {}, "B": {"train.epoch": 2}}}, "row 'B': unknown key 'train.epoch', did you mean 'epochs'"),
        ({"rows": {"A": {"train.epochs": 0}}}, "row 'A': bad value for 'train.epochs'"),
        ({"rows": {"A": {"method.name": "agw"}}}, "base.yaml holds the options of another method"),
        ({"rows": {"A": 3}}, "row 'A': got 3, expected config keys"),
        ({}, "no rows and no grid"),
        ({"rows": {}}, "rows: got {}"),
        ({"rows": ROWS, "seeds": []}, "seeds: got []"),
        ({"rows": ROWS, "seeds": [1, 1]}, "different whole numbers"),
        ({"rows": ROWS, "seeds": None}, "seeds: got None"),
        ({"grid": {"train.epochs": []}}, "grid: train.epochs is []"),
        ({"grid": {"train.epochs": 3}}, "expected a list of different values"),
        ({"rows": ROWS, "repeat": {"data.trials": [2, 2]}}, "repeat: data.trials is [2, 2]"),
        ({"rows": {"A b": {}, "a B": {"train.epochs": 2}}}, "rows 'A b' and 'a B' would share the folder 'a-b'"),
        ({"rows": {"A": {}, "B": {"train.epochs": 1}}}, "rows 'A' and 'B' are the same experiment"),
        ({"rows": {"±": {}}}, "needs a letter or a digit"),
        ({"rows": {"epochs=2": {}}, "grid": {"train.epochs": [2]}}, "two rows are named 'epochs=2'"),
        ({"rows": {"A": {}, "B": {"evaluation.rerank": "k-reciprocal"}}}, "rows 'A' and 'B' are the same experiment"),
        (
            {"rows": ROWS, "repeat": {"train.paired": [0, 0.0]}},
            "paired 0 seed 0' and 'A paired 0.0 seed 0' are the same",
        ),
        ({"rows": {"A": {}}, "repeat": {"data.root": ["m/x", "m-x"]}}, "would share the folder a/root-m-x-seed-0"),
        ({"rows": {"A": {}, "A" * 61: {"train.epochs": 2}}}, "has 61 letters; shorten it to 60"),
        ({"rows": {"A\nB": {}}}, "expected one line of text"),
        ({"rows": ROWS, "title": ["a", "b"]}, "title: got ['a', 'b'], expected one line of text"),
        ({"rows": ROWS, "base": 3}, "base: got 3, expected the path"),
        ({"rows": ROWS, "base": "none.yaml"}, "none.yaml does not exist"),
        ({"rows": {"A": {"base": "none.yaml"}}}, "none.yaml does not exist"),
        ({"rows": ROWS, "base": None}, "row 'A' has no base"),
        ({"rows": {"A": {"train.seed": 3}}}, "row 'A' sets train.seed, whose values are those of seeds"),
        ({"rows": ROWS, "repeat": {"data.trials": [1]}, "set": {"data.trials": 2}}, "set sets data.trials"),
        ({"rows": ROWS, "repeat": {"train.seed": [1]}}, "repeat sets train.seed"),
        ({"rows": ROWS, "keep_checkpoints": "no"}, "expected true or false"),
        ({"rows": {**ROWS, "C": {"against": "c"}}}, "row 'C' has against: 'c', expected another row: A, B"),
        ({"rows": {**ROWS, "C": {"against": ["A"]}}}, "row 'C' has against: ['A'], expected another row"),
    ],
)
def test_a_wrong_sweep_file_is_refused_before_anything_runs(tmp_path, content, message):
    with pytest.raises(InputError) as refusal:
        load_sweep(write(tmp_path, **content))
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("base: base.yaml\nseeds: [0]\nrows:\n  A: {}\n  A: {train.epochs: 2}\n", "'A' is given twice"),
        ("rows: [", "not valid YAML"),
        ("base: base.yaml\nseeds: [0]\ngrid: {train.start_from: [2020-01-01]}\n", "is a date; expected text"),
        ("base: base.yaml\nseeds: [0]\ngrid: {train.epochs: &x [*x]}\n", "nested too deeply"),
        ("title: true\nrows: {A: {}}\n", "title: got True, expected one line of text; quote it"),
        ("- 1", "holds list"),
    ],
)
def test_what_is_no_sweep_file_is_refused(capfd, tmp_path, content, message):
    (tmp_path / "table.yaml").write_text(content)
    status, _, err = call(capfd, tmp_path / "table.yaml", "--output", tmp_path / "out")
    assert (status, message in err, (tmp_path / "out").exists()) == (2, True, False)


# Runs.


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """Two rows with one seed, done: folder of the sweep file; copy it to change it."""
    folder = tmp_path_factory.mktemp("sweep")
    path = write(folder, rows=ROWS, seeds=[0], set={"data.root": str(data)})
    runner.run_sweep(path, output=folder / "out")
    return folder


@pytest.fixture
def sweep(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "copy") / "table.yaml"


def change(sweep, **content):
    sweep.write_text(yaml.safe_dump({**yaml.safe_load(sweep.read_text()), **content}, sort_keys=False))
    return sweep


def test_a_sweep_leaves_run_folders_and_its_table(capfd, sweep, monkeypatch):
    output = sweep.parent / "out"
    written = {"ablation.json", "ablation.md", "ablation.png", "ablation.svg"}
    assert {path.name for path in output.iterdir()} == {"a", "b", *written}
    assert (output / "a/seed-0" / OWN_RESULTS).read_bytes() == (output / "a/seed-0/results.json").read_bytes()
    monkeypatch.setattr(runner, "train_run", never)
    status, out, err = call(capfd, sweep, "--output", output, "--json")
    assert status == 0, err
    assert "2 of 2 runs are finished already" in err and "ablation.md, .json, .png and .svg" in err
    ablation = json.loads(out)
    assert ablation == json.loads((output / "ablation.json").read_text())
    assert (ablation["format"], ablation["reference"], ablation["seeds"]) == (1, "A", [0])
    assert str(sweep.parent.parent) not in json.dumps(ablation)
    (run,) = ablation["rows"][1]["runs"]
    assert (run["status"], run["epochs"], run["folder"]) == ("done", 1, "b/seed-0")
    kept = load_results(output / "b/seed-0/results.json")
    assert [result["mean"] for result in run["results"]] == [row.mean for row in kept]
    assert run["seconds"] > 0 and "cmc" not in run["results"][0]
    assert (output / "ablation.md").read_text() == markdown(ablation)
    ElementTree.parse(output / "ablation.svg")
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", str(output / "a/seed-0")])
    assert not stop.value.code


def test_rows_and_seeds_that_come_later_are_the_only_ones_trained(capfd, sweep):
    output = sweep.parent / "out"
    before = (output / "a/seed-0/checkpoint.pt").stat().st_mtime_ns
    change(sweep, rows={**ROWS, "C": {"train.optimizer.lr": 0.2}}, keep_checkpoints=False)
    status, out, err = call(capfd, sweep, "--output", output)
    assert status == 0, err
    assert "run 3 of 3: C seed 0" in err and "run 1 of 3" not in err
    assert (output / "a/seed-0/checkpoint.pt").stat().st_mtime_ns == before
    assert not (output / "c/seed-0/checkpoint.pt").exists()
    assert "C  " in out and "1 of 1" in out
    # Without its checkpoint it counts as finished all the same, but it cannot be scored anew.
    assert "3 of 3 runs are finished" in call(capfd, sweep, "--output", output)[2]
    status, _, err = call(capfd, sweep, "--output", output, "--set", "evaluation.rerank=both")
    assert status == 2 and "C seed 0: it is trained, but its weights were deleted" in err
    assert (output / "c/seed-0" / OWN_RESULTS).exists()


def test_only_what_is_missing_is_evaluated(capfd, sweep, monkeypatch):
    monkeypatch.setattr(runner, "train_run", never)
    output = sweep.parent / "out"
    (output / "a/seed-0" / OWN_RESULTS).unlink()
    (output / "b/seed-0/results.json").unlink()  # whatever was evaluated by hand
    status, _, err = call(capfd, sweep, "--output", output)
    assert status == 0 and "run 1 of 2: A seed 0" in err and "run 2 of 2" not in err, err
    status, out, err = call(capfd, sweep, "--output", output, "--set", "evaluation.rerank=k-reciprocal", "--json")
    assert status == 0 and "run 2 of 2" in err, err
    groups = {(e["direction"], e["rerank"], e["n"]) for row in json.loads(out)["rows"] for e in row["summary"]}
    assert groups >= {(direction, "k-reciprocal", 1) for direction in ("i2v", "v2i")}


def test_a_folder_of_another_config_is_refused(capfd, sweep):
    output = sweep.parent / "out"
    table = (output / "ablation.md").read_bytes()
    status, _, err = call(capfd, sweep, "--output", output, "--set", "train.steps_per_epoch=2")
    assert status == 2
    assert "train.steps_per_epoch 1, the sweep now asks for 2" in err and "delete that folder" in err
    assert (output / "ablation.md").read_bytes() == table


def test_other_images_are_not_taken_for_the_same(capfd, sweep, data, tmp_path):
    moved = shutil.copytree(data, tmp_path / "moved")
    status, _, err = call(capfd, sweep, "--output", sweep.parent / "out", "--set", f"data.root={moved}")
    assert status == 2 and "data.root" in err and "if the same images lie there now, change" in err


def test_the_folder_of_another_sweep_is_refused(capfd, sweep):
    table = (sweep.parent / "out/ablation.md").read_bytes()
    other = sweep.rename(sweep.with_name("other.yaml"))
    status, _, err = call(capfd, other, "--output", sweep.parent / "out")
    assert status == 2 and "holds the table of the sweep table.yaml" in err
    assert (sweep.parent / "out/ablation.md").read_bytes() == table


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.yaml", "method: {name: base", "config.yaml is damaged"),
        ("config.yaml", "method: {name: baseline}", "config.yaml is damaged (sections are missing)"),
        (OWN_RESULTS, '{"format": 1', "A seed 0: "),
    ],
)
def test_a_damaged_file_is_named_with_its_run(capfd, sweep, name, content, message):
    (sweep.parent / "out/a/seed-0" / name).write_text(content)
    status, _, err = call(capfd, sweep, "--output", sweep.parent / "out")
    assert status == 2 and message in err and "delete" in err


def test_damaged_notes_of_a_finished_run_do_no_harm(capfd, sweep):
    folder = sweep.parent / "out/a/seed-0"
    (folder / "environment.json").write_text("[")
    (folder / "metrics.jsonl").write_text('null\n{"epoch": 1, "seconds": "x"}\n{"epo')
    status, out, err = call(capfd, sweep, "--output", sweep.parent / "out", "--json")
    assert status == 0, err
    assert json.loads(out)["rows"][0]["runs"][0]["status"] == "done"


def test_what_a_later_run_lacks_is_named_before_the_first(capfd, sweep):
    for change_of_b, message in (
        ({"evaluation.select": "val"}, "no identity is held out"),
        ({"train.identities": 5000}, "identities"),
        ({"train.start_from": "nowhere"}, "nowhere"),
        ({"data.train_ids": "all"}, "trained on every identity"),
    ):
        change(sweep, rows={"A": {"train.epochs": 3}, "B": change_of_b})
        status, _, err = call(capfd, sweep, "--output", sweep.parent / "new")
        assert status == 2 and "B seed 0: " in err and message in err, err
        assert not (sweep.parent / "new/a").exists()


def test_set_cannot_take_the_seeds_or_a_row_away(tmp_path):
    path = write(tmp_path, rows=ROWS)
    with pytest.raises(InputError, match="--set train: row 'B' of the sweep file sets it too"):
        load_sweep(path, ["train={epochs: 2}"])
    with pytest.raises(InputError, match=r"--set sets train\.seed, whose values are those of seeds"):
        load_sweep(path, ["train.seed=3"])
    only = write(tmp_path, rows={"A": {}})
    runs = load_sweep(only, ["train={epochs: 2, identities: 3}"]).runs
    assert [run.config.train.seed for run in runs] == [0, 1]


def test_names_and_numbers_are_read_as_they_stand(tmp_path):
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))
    path = tmp_path / "table.yaml"
    path.write_text(
        "base: base.yaml\nseeds: [0]\nrows: {no: {}, off: {train.epochs: 2}, 1.0: {train.epochs: 3}}\n"
        "grid: {train.optimizer.lr: [1e-3, 2e-3]}\n"
    )
    sweep = load_sweep(path)
    assert [row.name for row in sweep.rows] == ["no", "off", "1.0", "lr=0.001", "lr=0.002"]
    assert sweep.grid == {"train.optimizer.lr": [0.001, 0.002]}


def test_an_interrupted_sweep_goes_on_exactly(capfd, sweep, monkeypatch):
    output = sweep.parent / "new"
    change(sweep, rows={"A": {}}, set={**yaml.safe_load(sweep.read_text())["set"], "train.epochs": 2})
    changes = ["--set", "train.checkpoint_every=1"]
    saved = loop.checkpoint.save

    def stop_after_saving(path, state):
        saved(path, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop.checkpoint, "save", stop_after_saving)
        status, _, err = call(capfd, sweep, "--output", output, *changes)
    assert status == 1
    assert "stopped in run 1 of 1 (A seed 0); the same command goes on" in err
    assert json.loads((output / "ablation.json").read_text())["rows"][0]["runs"][0]["status"] == "missing"
    assert "| A | - | - |" in (output / "ablation.md").read_text()

    assert call(capfd, sweep, "--output", output, *changes)[0] == 0
    assert call(capfd, sweep, "--output", sweep.parent / "whole", *changes)[0] == 0
    resumed, whole = (load_results(sweep.parent / n / "a/seed-0/results.json") for n in ("new", "whole"))
    assert [row.mean for row in resumed] == [row.mean for row in whole]
    losses = [
        json.loads(line)["loss/identity"] for line in (output / "a/seed-0/metrics.jsonl").read_text().split("\n")[:2]
    ]
    again = (sweep.parent / "whole/a/seed-0/metrics.jsonl").read_text().split("\n")[:2]
    assert losses == [json.loads(line)["loss/identity"] for line in again]


def test_a_run_that_diverges_is_recorded_and_the_sweep_goes_on(capfd, sweep, monkeypatch):
    output = sweep.parent / "out"
    shutil.rmtree(output / "a")
    change(sweep, rows={"A": {}, "new": {"train.optimizer.lr": 0.3}, "B": ROWS["B"]})
    trained = []

    def diverge(config, folder, *, device):
        trained.append(folder.parent.name)
        folder.mkdir(parents=True)
        raise TrainingDiverged("loss 'identity' became nan")

    monkeypatch.setattr(runner, "train_run", diverge)
    for _ in range(2):
        status, out, err = call(capfd, sweep, "--output", output, "--json")
        assert status == 1
        assert "2 runs failed" in err and "a/seed-0, new/seed-0" in err
    assert trained == ["a", "new"]  # not tried again
    rows = json.loads(out)["rows"]
    assert [row["runs"][0]["status"] for row in rows] == ["failed", "failed", "done"]
    assert rows[0]["runs"][0]["message"] == "loss 'identity' became nan"
    table = (output / "ablation.md").read_text()
    assert "| A | failed |" in table and "Failed: a/seed-0: loss 'identity' became nan" in table


def test_missing_images_are_named_before_the_first_run(capfd, sweep):
    change(sweep, rows={"A": {"train.epochs": 2}, "B": {"data.root": "/nowhere"}}, set={})
    status, _, err = call(capfd, sweep, "--output", sweep.parent / "new")
    assert status == 2 and "nowhere" in err
    assert not (sweep.parent / "new").exists()


def test_two_calls_in_one_folder_are_refused(capfd, sweep):
    output = sweep.parent / "out"
    with runner.claim(output):
        status, _, err = call(capfd, sweep, "--output", output)
    assert (status, "another process" in err) == (2, True)


# The table.


def scores(value):
    return TrialScores(**dict.fromkeys(SCORES, value), num_queries=8, num_valid_queries=8, num_gallery=9)


def fabricate(run, folder, value, protocol="lwir, all against all"):
    """A finished run with this score in one direction."""
    folder.mkdir(parents=True)
    run.config.save(folder / "config.yaml")
    (folder / "metrics.jsonl").write_text('{"epoch": 1, "seconds": 2.5}\n')
    means = dict.fromkeys(SCORES, value)
    options = {"dataset": run.config.data.name, "protocol": protocol, "rerank": "off", "cmc_unit": "image"}
    row = Result(
        **{**options, "method": "baseline", "direction": Direction.I2V, "seed": run.repeat["train.seed"]},
        data_root=str(run.config.data.options.root),
        trials=(scores(value),),
        mean=means,
        std=dict.fromkeys(SCORES, 0.0),
        cmc=(value,) * 20,
        chance={"rank1": 0.1, "mAP": 0.2},
    )
    save_results(folder / OWN_RESULTS, [row])
    save_results(folder / "results.json", [row.model_copy(update={"protocol": "by hand"})])


@pytest.fixture
def fabricated(tmp_path):
    """Rows A, B, C and the empty D; B lacks seed 2."""
    rows = {"A": {}, "B": ROWS["B"], "C|c": {"train.optimizer.lr": 0.2}, "D": {"train.optimizer.lr": 0.3}}
    sweep = load_sweep(write(tmp_path, rows=rows, seeds=[0, 1, 2]))
    values = {"A": [0.30, 0.32, 0.34], "B": [0.32, 0.30, None], "C|c": [0.31, 0.34, 0.37], "D": [None] * 3}
    for run in sweep.runs:
        value = values[run.row.name][run.repeat["train.seed"]]
        if value is not None:
            fabricate(run, tmp_path / "out" / run.folder, value)
    return collect(sweep, tmp_path / "out")


def test_statistics_pair_the_seeds_that_both_rows_have(fabricated):
    a, b, c, d = fabricated["rows"]
    assert [len(row["summary"]) for row in (a, b, c, d)] == [1, 1, 1, 0]
    assert a["summary"][0]["difference"] is None
    assert a["summary"][0]["std"]["mAP"] == pytest.approx(0.02)
    # +0.02 and -0.02 with the seeds 0 and 1: no difference at all, p = 1.
    assert (b["summary"][0]["n"], b["summary"][0]["difference"]["mAP"]["n"]) == (2, 2)
    assert b["summary"][0]["difference"]["mAP"]["mean"] == pytest.approx(0)
    # 0.01, 0.02, 0.03, as in test_significance.py; Holm doubles the smaller of two.
    difference = c["summary"][0]["difference"]["mAP"]
    assert difference["p"] == pytest.approx(1 - math.sqrt(12 / 14))
    assert difference["p_holm"] == pytest.approx(2 * difference["p"])
    assert a["runs"][0]["seconds"] == 2.5


def test_the_markdown_says_what_its_numbers_are(fabricated):
    page = markdown(json.loads(json.dumps(fabricated)))
    assert page.startswith(
        "# table\n\nBase: base.yaml. Seeds: 0, 1, 2. Epochs: 1.\n\n- A: the base as it is\n- B: `train."
    )
    assert "\n## synthvi, lwir, all against all, infrared to visible\n" in page
    assert r"| C\|c | 34.00 ± 3.00 | 34.00 ± 3.00 |" in page
    assert "| +2.00 [-0.48, +4.48] | 0.148 | 3 of 3 |" in page
    assert "| D | - | - | - | - | - | - | - | 0 of 3 |" in page
    assert "Chance: R1 10.00, mAP 20.00 (8 queries, 9 gallery images)." in page
    assert "mean of 2 to 3 runs (seeds)" in page and "sample standard deviation" in page
    assert "4 of 12 runs are still to come." in page
    assert "little power" in page and "Holm" in page
    deeper = markdown(fabricated, level=3)
    assert deeper.startswith("### table\n") and "\n#### synthvi" in deeper
    assert "C|c  34.00 ± 3.00" in text(fabricated)


def test_a_row_can_be_compared_with_another_than_the_first(tmp_path):
    rows = {"A": {}, "B": ROWS["B"], "C|c": {"train.optimizer.lr": 0.2, "against": "B"}}
    rows["D"] = {"train.optimizer.lr": 0.3, "against": "C|c"}
    sweep = load_sweep(write(tmp_path, rows=rows))
    assert "against" not in sweep.rows[2].changes
    for run in sweep.runs:
        value = {"A": 0.5, "B": 0.1, "C|c": 0.4, "D": 0.6}[run.row.name] + 0.01 * run.repeat["train.seed"]
        fabricate(run, tmp_path / "out" / run.folder, value)
    found = collect(sweep, tmp_path / "out")
    assert [row["against"] for row in found["rows"]] == [None, "A", "B", "C|c"]
    means = [row["summary"][0]["difference"]["mAP"]["mean"] for row in found["rows"][1:]]
    assert means == pytest.approx([-0.4, 0.3, 0.2])
    page = markdown(found)
    assert "| row | R1 | R10 | R20 | mAP | mINP | Δ mAP [95 % CI] | against | p (Holm) | runs |" in page
    assert r"| +20.00 | C\|c |" in page
    assert "Δ is the mean difference to the row under 'against'" in page


def test_rows_on_fewer_images_are_not_compared(tmp_path):
    sweep = load_sweep(write(tmp_path, rows=ROWS, seeds=[0, 1]))
    for run in sweep.runs:
        fabricate(run, tmp_path / "out" / run.folder, 0.3)
        if run.row.name == "B":
            file = tmp_path / "out" / run.folder / OWN_RESULTS
            (row,) = load_results(file)
            trial = row.trials[0].model_copy(update={"num_queries": 7})
            save_results(file, [row.model_copy(update={"trials": (trial,), "unreadable": ("x.jpg",)})])
    ablation = collect(sweep, tmp_path / "out")
    assert ablation["rows"][1]["summary"][0]["difference"] is None
    assert "Not the same test for all rows: row 'B': 1 test images could not be read." in markdown(ablation)


def test_nothing_of_this_machine_is_in_the_json(tmp_path):
    secret = "/home/me/secret"
    rows = {"A": {}, "B": {"method": {**BASE["method"], "weights": f"{secret}/w.pt"}}}
    content = {"rows": rows, "set": {"data": {**BASE["data"], "root": f"{secret}/data"}}}
    grid = {"train.start_from": [f"{secret}/run"]}
    sweep = load_sweep(write(tmp_path, grid=grid, repeat={"data.root": [f"{secret}/x", f"{secret}/y"]}, **content))
    for run in sweep.runs:
        fabricate(run, tmp_path / "out" / run.folder, 0.1)
    assert "secret" not in json.dumps(collect(sweep, tmp_path / "out"))


def test_regdbs_trials_are_averaged_as_one_test(tmp_path):
    base = {**BASE, "data": {"name": "regdb", "root": "RegDB"}}
    sweep = load_sweep(write(tmp_path, base, rows=ROWS, repeat={"data.trial": [1, 10]}))
    for number, run in enumerate(sweep.runs):
        fabricate(run, tmp_path / "out" / run.folder, 0.1 * number, f"trial {run.repeat['data.trial']}")
    ablation = collect(sweep, tmp_path / "out")
    assert ablation["rows"][0]["runs"][0]["folder"] == "a/trial-1-seed-0"
    (entry,) = ablation["rows"][0]["summary"]
    assert (entry["protocol"], entry["n"]) == ("trial 1 + 10", 4)
    assert entry["mean"]["mAP"] == pytest.approx(np.mean([0.0, 0.2, 0.4, 0.6]))
    assert "(seeds and data.trial)" in markdown(ablation)


@pytest.mark.parametrize(("rows", "is_trend"), [({}, True), ({"A": {}}, True), (ROWS, False)])
def test_one_varied_number_is_drawn_as_a_line(tmp_path, monkeypatch, rows, is_trend):
    content = {"rows": rows} if rows else {}
    sweep = load_sweep(write(tmp_path, grid={"method.loss.triplet": [2, 0.5]}, **content))
    for run in sweep.runs:
        fabricate(run, tmp_path / "out" / run.folder, 0.1 * run.config.method.options.loss.triplet)
    ablation = collect(sweep, tmp_path / "out")
    ElementTree.fromstring(inline(pictures.chart(ablation)))
    drawn = []
    monkeypatch.setattr(pictures, "trend_chart", lambda panels, **options: drawn.append(panels))
    pictures.chart(ablation)
    assert bool(drawn) == is_trend
    if drawn:
        trend = next(iter(drawn[0].values()))["mAP, %"]
        assert (trend.x, trend.y) == ([0.5, 2], pytest.approx([5, 20]))
        assert trend.reference == (pytest.approx(10) if rows else None)
