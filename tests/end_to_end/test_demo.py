"""The demo on small images with a few steps; what it writes, and that it can be called again."""

import json
import re
from dataclasses import replace

import pytest
import trees

from vireid import demo
from vireid.embedder import load_run
from vireid.errors import InputError
from vireid.evaluation.results import load_results

SMALL = {"images.height": 64, "images.width": 32}


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Every model of the demo at 64 x 32 on a few made-up people; the training two epochs of two steps."""
    people = tmp_path / "people"
    for part in ("nir", "lwir"):
        about = trees.make_synthvi(people / part, part, identities=20) / "dataset.json"
        about.write_text(json.dumps(json.loads(about.read_text()) | {"sizes": [100]}))
    monkeypatch.setattr("vireid.data.synthvi.shipped", lambda: people)

    def load_small(name):
        run = load_run(name)
        return replace(run, config=run.config.override(SMALL))

    load = demo.configuration.load
    short = {**SMALL, "train.epochs": 2, "train.steps_per_epoch": 2, "train.identities": 6}
    monkeypatch.setattr(demo, "load_run", load_small)
    monkeypatch.setattr(demo.configuration, "load", lambda path: load(path).override(short))


def test_the_demo(small, tmp_path, capfd):
    report = demo.run_demo(tmp_path / "demo", device="cpu")
    printed = capfd.readouterr().out
    assert str(report) in printed
    text = report.read_text()
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)
    # Four searches, the training of both models, distances and maps of both parts.
    assert text.count("<svg") == 4 + 2 + 2 + 2
    assert text.count('class="query"') == 4 * 3 * 3 * 2  # best, worst and random, three each, of both models
    rows = {name: load_results(report.parent / f"results-{name}.json") for name in demo.MODELS}
    assert {name: len(part) for name, part in rows.items()} == {"untrained": 4, "default": 4, "fine-tuned": 8}
    for part in rows.values():
        for row in part:
            assert f"{100 * row.mean['rank1']:.1f}" in text
    epochs = [json.loads(line)["epoch"] for line in (tmp_path / "demo/run/metrics.jsonl").read_text().splitlines()]
    assert epochs == [1, 2]

    changed = (tmp_path / "demo/run/checkpoint.pt").stat().st_mtime_ns
    demo.run_demo(tmp_path / "demo", device="cpu")  # reports again, trains no more
    assert (tmp_path / "demo/run/checkpoint.pt").stat().st_mtime_ns == changed


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty and holds no demo"):
        demo.run_demo(tmp_path)
