"""The cost table of the DFW-SLN paper, comparisons of configs, and what `vireid profile` prints and writes."""

import json
from pathlib import Path

import pytest

from vireid.cli import main
from vireid.costs.cases import compare_cases, config_cases, paper_cases
from vireid.costs.report import flat_report, make_report, markdown, text_list, text_table
from vireid.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs"
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


def test_a_methods_key_changes_the_rows_that_have_it():
    cases = {case.name: case for case in paper_cases(["method.sln.S=8", "method.parts=3", "train.precision=32-true"])}
    assert cases["DFW-SLN"].config.method.options.sln.S == 8
    assert cases["HCT"].config.method.options.parts == 3
    assert all(case.config.train.precision == "32-true" for case in cases.values())
    assert [case.paper is None for case in cases.values()] == [False, False, True, True]
    assert all(case.config.method.options.split == 1 for case in paper_cases(["method.split=1"]))


def test_a_key_of_no_method_is_refused():
    with pytest.raises(InputError, match=r"--set method\.sln\.T: no method of the table \(Baseline, AGW, HCT, DFW-SLN"):
        paper_cases(["method.sln.T=8"])
    with pytest.raises(InputError, match=r"^DFW-SLN: bad value for 'method\.sln\.S'"):
        paper_cases(["method.sln.S=-1"])


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/base.yaml"], ["base"]),
        (["base.yaml", "sub/base.yaml"], ["base", "sub/base"]),
        (["a/x/base.yaml", "b/x/base.yaml", "b/x/agw.yaml"], ["a/x/base", "b/x/base", "agw"]),
        (["base.yaml", "base.yml"], ["base.yaml", "base.yml"]),
        (["base.yaml", "base.yaml"], ["base", "base"]),  # against itself: how much the times scatter
    ],
)
def test_names_tell_configs_apart(tmp_path, monkeypatch, paths, names):
    monkeypatch.chdir(tmp_path)
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((CONFIGS / "baseline_synthvi.yaml").read_text())
    assert [case.name for case in config_cases(list(map(Path, paths)))] == names


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


def test_flat_report_of_one_config():
    flat = flat_report({**REPORT, "rows": REPORT["rows"][1:]})
    assert flat.pop("name") == "New" and flat.pop("parameters") == 2_000_000
    assert not {"rows", "step_ratio", "embed_ratio", "paper", "note"} & flat.keys()
    assert {key: flat[key] for key in REPORT if key != "rows"} == {k: v for k, v in REPORT.items() if k != "rows"}


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
        written = json.loads(output.read_text())
        assert (written["format"], written["name"], written["step_images"]) == (1, "baseline_synthvi", 16)
        assert text_list(written) == out.rstrip()

    def test_one_config_as_json_is_flat(self, capfd, tmp_path):
        output = tmp_path / "costs.json"
        command = ["profile", CONFIGS / "baseline_synthvi.yaml", *small(), "--repeats", 0, "--json"]
        status, out, err = call(capfd, *command, "--output", output)
        assert status == 0, err
        report = json.loads(out)
        assert report == json.loads(output.read_text())
        assert list(report)[:3] == ["format", "name", "parameters"] and "rows" not in report
        assert report["macs_per_pair"] > 0 and report["step_seconds"] is None and report["height"] == 96

    def test_bad_input(self, capfd, tmp_path):
        config = CONFIGS / "baseline_synthvi.yaml"
        assert "--images 12" in refused(capfd, "profile", config, "--images", 12)
        assert "--images 8" in refused(capfd, "profile", "--images", 8)
        assert "--images 1000000000000000" in refused(capfd, "profile", config, "--images", 10**15)
        assert "--size 12" in refused(capfd, "profile", config, "--size", "12")
        assert "is a folder" in refused(capfd, "profile", config, "--output", tmp_path)
        missing = refused(capfd, "profile", config, "--output", tmp_path / "none" / "costs.json")
        assert f"the folder {tmp_path / 'none'} does not exist; make it first" in missing
        assert "images.height" in refused(capfd, "profile", config, CONFIGS / "agw_regdb.yaml")
        assert "config not found" in refused(capfd, "profile", config, "nowhere.yaml")

    def test_an_error_names_the_row(self, capfd):
        line = refused(capfd, "profile", "--size", "32x16", "--repeats", 0, "--set", "method.backbone=resnet18")
        assert line.startswith("vireid: HCT: method.parts is 6")
        config = CONFIGS / "hct_regdb.yaml"
        assert "hct_regdb: method.parts" in refused(capfd, "profile", config, "--size", "32x16", "--repeats", 0)
        line = refused(capfd, "profile", config, CONFIGS / "agw_regdb.yaml", "--set", "method.parts=3")
        assert f"{CONFIGS / 'agw_regdb.yaml'}: unknown key 'method.parts'" in line

    @pytest.mark.parametrize("size", ["²x³", "²56x128", "128", "x", "128x64x3", "-128x64", "15x64", "1" * 5000 + "x64"])
    def test_sizes(self, capfd, size):
        assert "expected HEIGHTxWIDTH" in refused(capfd, "profile", "--size", size)

    @pytest.mark.parametrize("content", ["base: a.yaml\nrows: {a: {}}", "rows: {a: {base: a.yaml}}", "grid: {}"])
    def test_a_sweep_is_no_config(self, capfd, tmp_path, content):
        sweep = tmp_path / "sweep.yaml"
        sweep.write_text(content)
        line = refused(capfd, "profile", sweep)
        assert "is a sweep file" in line and "vireid ablate" in line

    def test_memory_that_does_not_suffice_names_the_option(self, capfd, monkeypatch):
        def fail(*_, **__):
            raise MemoryError

        monkeypatch.setattr("vireid.costs.cases.compare", fail)
        status, _, err = call(capfd, "profile", CONFIGS / "baseline_synthvi.yaml", *small())
        assert status == 1 and "--images" in err
