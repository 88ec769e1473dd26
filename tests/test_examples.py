"""Every script of examples/ runs and shows what it says; only what a reader would look at is compared."""

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from vireid.export import export_run

FOLDER = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(FOLDER.glob("*.py"))


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs a script with arguments in an empty folder; what it printed."""

    def run_here(number, *arguments):
        script = next(path for path in SCRIPTS if path.name.startswith(number))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        runpy.run_path(str(script), run_name="__main__")
        return capsys.readouterr().out

    return run_here


def percents(line):
    return [float(number) for number in re.findall(r"([0-9.]+)%", line)]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_is_short_says_how_it_runs_is_listed_and_tested(script):
    text = script.read_text()
    assert len(text.splitlines()) <= 60
    about = ast.get_docstring(ast.parse(text))
    assert f"python {script.name}" in about
    assert f"]({script.name})" in (FOLDER / "README.md").read_text()
    assert f"def test_{script.stem[:2]}_" in Path(__file__).read_text()


def test_01_ranks_six_people_by_similarity(run):
    lines = run("01").splitlines()
    assert "512 numbers" in lines[0]
    scores = [float(line.split()[1]) for line in lines[1:]]
    assert len(scores) == 6
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 for score in scores)


def test_02_a_stricter_threshold_misses_more_and_answers_follow_it(run):
    lines = run("02").splitlines()
    rates = [(float(re.search(r"score ([0-9.]+)", line)[1]), percents(line)[1]) for line in lines if "misses" in line]
    assert len(rates) >= 2
    assert rates == sorted(rates)
    answers = [line for line in lines if "truth" in line]
    assert len(answers) == 5
    assert sum("truth: same" in line for line in answers) == 1
    for line in answers:
        assert ("same person" in line) == (float(line.split()[1].rstrip(",")) >= rates[1][0])


def test_03_scores_a_plain_model_in_both_directions(run):
    out = run("03")
    rows = [line.split() for line in out.splitlines() if line.startswith("grey pictures")]
    assert [("i2v" in row, "v2i" in row) for row in rows] == [(True, False), (False, True)]
    assert "chance" in out
    rank1, mean_ap = percents(out.splitlines()[-1])
    assert 0 < rank1 < 100 and 0 < mean_ap < 100


def test_04_reranking_finds_more_of_each_person(run):
    plain, reranked = (percents(line) for line in run("04").splitlines())
    assert reranked[1] > plain[1]


def test_05_a_gallery_finds_visible_crops_and_takes_each_once(run, tmp_path):
    lines = run("05", tmp_path / "people").splitlines()
    new = int(re.search(r"([0-9]+) new crops", lines[0])[1])
    assert lines[-1] == f"added once more: 0 new, {new} known"
    hits = [line for line in lines if line.startswith("  ")]
    assert len(hits) == 6
    assert all("camera 1" in hit or "camera 2" in hit for hit in hits)
    scores = [float(hit.split()[0]) for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert (tmp_path / "people").is_dir()


def test_06_a_run_is_trained_and_evaluated(run, tmp_path):
    out = run("06", tmp_path / "run")
    assert '{"epoch": 2, "loss/identity"' in out and '"loss/hetero_center"' in out
    assert re.search(r"^baseline .* i2v ", out, re.MULTILINE)
    assert {"checkpoint.pt", "config.yaml", "metrics.jsonl"} <= {path.name for path in (tmp_path / "run").iterdir()}


def test_07_tracklets_of_own_crops_are_found_more_surely(run, tmp_path):
    single, tracklets = (percents(line) for line in run("07", tmp_path).splitlines()[-2:])
    assert tracklets[1] > single[1]
    assert (tmp_path / "manifest.csv").read_text().startswith("path,pid,modality,camid,track\n")


def test_08_an_exported_model_embeds_without_torch(tmp_path, monkeypatch):
    # How well the file agrees with torch takes half a minute to tell, and is tested with the exporter.
    agrees = {"runtimes": {"onnx": {"smallest_cosine": 1.0}}}
    monkeypatch.setattr("vireid.export.check_parity", lambda *_: agrees)
    export_run("default", tmp_path / "default.onnx")
    command = [sys.executable, str(FOLDER / "08_onnx_without_torch.py"), str(tmp_path / "default.onnx")]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "4 embeddings of 512 numbers, lengths [1. 1. 1. 1.]" in out
    assert "torch was needed: False" in out
