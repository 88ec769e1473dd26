"""The cost table of the DFW-SLN paper, comparisons of configs, and what `vireid profile` prints and writes."""

import json
from pathlib import Path

import pytest

from vireid.cli import main
from vireid.costs import compare_cases, config_cases, make_report, markdown, paper_cases, text_table
from vireid.errors import InputError

CONFIGS = Path(__file__).parents[1] / "configs"
SMALL = ["method.backbone=resnet18", "images.height=96", "images.width=32", "train.precision=32-true"]
REPORT = {
    "format": 1,
    "rows": [
        {
            "name": "Old",
            "parameters": 1_234_567,
            "classifier_parameters": 1000,
            "macs_per_pair": 2_500_000_000,
            "step_seconds": 2.0,
            "step_ratio": 1.0,
            "embedded_per_second": 50.0,
            "embed_ratio": 1.0,
            "paper": {"parameters": 1.24e6, "macs_per_pair": 2.4e9, "training_minutes": 40},
            "note": None,
        },
        {
            "name": "New",
            "parameters": 2_000_000,
            "classifier_parameters": 1000,
            "macs_per_pair": 3_000_000_000,
            "step_seconds": 2.5,
            "step_ratio": 1.25,
            "embedded_per_second": 30.0,
            "embed_ratio": 0.6,
            "paper": None,
            "note": "Nobody printed this.",
        },
    ],
    "height": 288,
    "width": 144,
    "step_images": 16,
    "embedding_batch": 16,
    "repeats": 3,
    "device": "cpu",
    "precision": "bf16-mixed",
    "threads": 2,
    "processor": "Some CPU",
}


def call(capfd, *arguments):
    """Exit status, stdout and stderr of a command."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    return stop.value.code or 0, out, err


def refused(capfd, *arguments):
    """The one line a command prints when its input is bad."""
    status, _, err = call(capfd, *arguments)
    assert status == 2
    (line,) = err.strip().splitlines()
    return line


def small(*more):
    return [part for change in [*SMALL, *more] for part in ("--set", change)]


def test_counts_stand_beside_the_published_ones():
    cases = paper_cases()
    report = make_report(cases, compare_cases(cases, repeats=0), 0)
    rows = {row["name"]: row for row in report["rows"]}
    counts = {name: (round(r["parameters"] / 1e6, 2), round(r["macs_per_pair"] / 1e9, 3)) for name, r in rows.items()}
    assert counts["Baseline"] == (23.74, 10.302)
    assert counts["AGW"] == (23.55, 10.319)
    assert counts["DFW-SLN"] == (38.71, 15.150)
    printed = {name: (r["paper"]["parameters"], r["paper"]["macs_per_pair"]) for name, r in rows.items() if r["paper"]}
    assert printed == {"Baseline": (23.74e6, 10.301e9), "AGW": (23.55e6, 10.318e9), "DFW-SLN": (26.71e6, 15.15e9)}
    assert "38.71 M" in rows["DFW-SLN"]["note"]
    text = text_table(report)
    assert "23.74    23.74   10.302   10.301" in text
    assert "step/s" not in text and "ratio" not in text


def test_the_misprint_note_counts_right():
    baseline, _, _, ours = (case.config.method for case in paper_cases())
    first = baseline.module.build(baseline.options, 395)
    both = ours.module.build(ours.options, 395)
    layer4 = sum(p.numel() for p in first.backbone.get_submodule("layer4").parameters())
    assert round(layer4 / 1e6, 2) == 14.96
    more = sum(p.numel() for p in both.parameters()) - sum(p.numel() for p in first.parameters())
    neck = 2 * 2048 + 395 * 2048
    assert more - layer4 - neck == pytest.approx(0, abs=2)  # but for a learned p of the pooling


def test_published_figures_only_for_published_networks():
    assert [case.paper is None for case in paper_cases()] == [False, False, True, False]
    assert not any(case.paper or case.note for case in paper_cases(["images.width=128"]))
    assert not any(case.paper or case.note for case in paper_cases(["method.backbone=resnet18"]))
    assert any(case.paper for case in paper_cases(["train.precision=32-true"]))


def test_comparison_of_configs():
    paths = [CONFIGS / "baseline_synthvi.yaml", CONFIGS / "agw_synthvi.yaml"]
    cases = config_cases(paths, SMALL)
    report = make_report(cases, compare_cases(cases, repeats=2, device="cpu"), 2)
    assert report == json.loads(json.dumps(report))
    reference, other = report["rows"]
    assert (reference["name"], other["name"]) == ("baseline_synthvi", "agw_synthvi")
    assert reference["step_ratio"] == 1 and reference["embed_ratio"] == 1
    assert other["step_ratio"] > 0 and other["embed_ratio"] > 0
    assert (report["step_images"], report["embedding_batch"], report["repeats"]) == (16, 16, 2)
    assert (report["height"], report["width"], report["precision"]) == (96, 32, "32-true")
    assert report["processor"]


@pytest.mark.parametrize("change", ["images.height=64", "train.precision=bf16-mixed", "train.channels_last=false"])
def test_only_the_like_is_compared(change):
    path = CONFIGS / "baseline_synthvi.yaml"
    cases = config_cases([path], SMALL) + config_cases([path], [*SMALL, change])
    with pytest.raises(InputError, match=change.split("=")[0]):
        compare_cases(cases, repeats=0)


def test_markdown_from_the_report_alone():
    header, rule, old, new, *remarks = markdown(REPORT).splitlines()
    assert header.startswith("| method | Params/M | (paper) | FLOPs/G | (paper) | step/s | ratio | (paper) | images/s")
    assert rule.count("|") == header.count("|")
    assert old == "| Old | 1.23 | 1.24 | 2.500 | 2.400 | 2.000 | 1.00 | 1.00 | 50.0 | 1.00 |"
    assert new == "| New [1] | 2.00 | - | 3.000 | - | 2.500 | 1.25 | - | 30.0 | 0.60 |"
    text = "\n".join(remarks)
    for part in ("288x144", "16 images", "rounds (3)", "cpu (Some CPU), bf16-mixed, threads: 2", "40 minutes"):
        assert part in text
    assert remarks[-1] == "[1] Nobody printed this."


def test_columns_without_figures_are_left_out():
    rows = [{**row, "paper": None, "note": None} for row in REPORT["rows"]]
    header, *rest = markdown({**REPORT, "rows": rows}).splitlines()
    assert header == "| method | Params/M | FLOPs/G | step/s | ratio | images/s | ratio |"
    assert "paper" not in "\n".join(rest)


class TestCommand:
    def test_the_paper_table(self, capfd, tmp_path):
        output = tmp_path / "costs.json"
        status, out, err = call(capfd, "profile", "--repeats", 1, *small(), "--output", output)
        assert status == 0, err
        assert [line.split()[0] for line in out.splitlines()[1:5]] == ["Baseline", "AGW", "HCT", "DFW-SLN"]
        report = json.loads(output.read_text())
        assert (report["format"], report["height"], report["step_images"]) == (1, 96, 16)
        assert all(row["step_ratio"] > 0 for row in report["rows"])
        assert markdown(report)
        assert [path.name for path in tmp_path.iterdir()] == ["costs.json"]

    def test_several_configs_as_json(self, capfd):
        paths = [CONFIGS / "baseline_synthvi.yaml", CONFIGS / "agw_regdb.yaml"]
        call_it = ["profile", *paths, "--set", "method.backbone=resnet18", "--size", "96x32", "--repeats", 0, "--json"]
        status, out, err = call(capfd, *call_it)
        assert status == 0 and err == ""
        report = json.loads(out)
        assert [row["name"] for row in report["rows"]] == ["baseline_synthvi", "agw_regdb"]
        assert report["rows"][0]["step_seconds"] is None and (report["height"], report["width"]) == (96, 32)

    def test_one_config_is_a_list_of_quantities(self, capfd, tmp_path):
        output = tmp_path / "costs.json"
        command = ["profile", CONFIGS / "baseline_synthvi.yaml", *small(), "--images", 16, "--repeats", 1]
        status, out, err = call(capfd, *command, "--output", output)
        assert status == 0, err
        assert [line.split()[0] for line in out.splitlines()] == [
            "input",
            "parameters",
            "MACs",
            "training",
            "embedding",
        ]
        assert "for 16 images" in out
        (row,) = json.loads(output.read_text())["rows"]
        assert (row["name"], row["step_ratio"], row["embed_ratio"]) == ("baseline_synthvi", 1, 1)

    def test_bad_input(self, capfd, tmp_path):
        config = CONFIGS / "baseline_synthvi.yaml"
        assert "--images 12" in refused(capfd, "profile", config, "--images", 12)
        assert "--images 8" in refused(capfd, "profile", "--images", 8)
        assert "--size 12" in refused(capfd, "profile", config, "--size", "12")
        assert "is a folder" in refused(capfd, "profile", config, "--output", tmp_path)
        assert "cannot write" in refused(capfd, "profile", config, "--output", tmp_path / "none" / "costs.json")
        assert "images.height" in refused(capfd, "profile", config, CONFIGS / "agw_regdb.yaml")
        assert "config not found" in refused(capfd, "profile", config, "nowhere.yaml")
