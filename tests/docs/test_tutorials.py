"""Every command of the tutorials, in order and as it stands, in an empty folder, and every Python block between them.

What takes long is made short: a training is one step of a small network on small pictures, rendered people and licensed
data are made up by tests/trees.py, a sweep has two rows and one seed, and a server is asked for its page and stopped.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import trees
from pages import ROOT, SMALL, TINY, blocks, call, quick, shorten_sweep, with_settings

from vireid.testing import CHECKS

pytest.importorskip("lancedb")
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
NOT_HERE = ("pip ", "make ", "cd ", "git ", "tensorboard ", "pytest ")  # installs, or shows what runs elsewhere

SHORT = SMALL | {"train.epochs": 1, "train.steps_per_epoch": 1}
NOT_FETCHED = {"method.backbone": "resnet18", "method.weights": "none"}  # in the place of ImageNet's


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    os.environ["VIREID_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty folder with the configs, where rendering and serving are quick."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    quick(monkeypatch)
    monkeypatch.setattr("vireid.testing.CHECKS", CHECKS[:2])  # tests/methods has them all


def data_for(page):
    """What a reader brings to the tutorial."""
    if page.stem == "sysu_mm01":
        trees.make_sysu(Path("data/SYSU-MM01"), train=range(1, 4), val=[4], test=range(5, 9), images=2)
    if page.stem == "own_cameras":
        for camid, camera in enumerate(("gate", "lobby", "yard"), start=1):
            for pid in range(1, 21):
                for shot, name in enumerate(("18-30-05", "22-02-11")):
                    image = trees.person(pid, camera == "yard", 10 * shot + camid)
                    trees.save(Path("crops", camera, f"{pid:04d}", f"{name}.jpg"), image)
    if page.stem == "write_a_method":
        trees.make_synthvi(TINY, "lwir", identities=6)
    if page.stem == "search":
        made = trees.make_manifest_csv(Path("labelled"), images=2)
        rows = made.read_text().replace("images/", "labelled/images/")
        Path("labelled.csv").write_text(rows)


def shortened(words):
    """The words of a command with what makes it quick."""
    command, *rest = words
    settings = SHORT if command in ("train", "ablate") and "--resume" not in rest else {}
    if command in ("train", "ablate", "profile") and "sysu_mm01" in rest[0]:
        settings = settings | NOT_FETCHED
    if settings and TINY.exists():
        settings = settings | {"data.root": TINY}
    if command == "ablate":
        settings = settings | {"evaluation.rerank": "off", "evaluation.direction": "i2v"}
        shorten_sweep(Path(rest[0]))
    return with_settings(words, settings)


def run(line, capfd):
    """A line of a shell block."""
    if line.startswith("python "):
        return subprocess.run(line.replace("python", sys.executable, 1), shell=True, check=True)
    words = shlex.split(line.partition(" | ")[0], comments=True)[1:]
    # The made-up people are fewer than the licensed ones, which the check has to notice.
    status = 1 if words[:3] == ["data", "check", "sysu_mm01"] else 0
    return call(shortened(words), capfd, line=line, status=status)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_runs(page, capfd):
    data_for(page)
    names = {}
    for language, block in blocks(page):
        if language == "python":
            exec(block, names)
        for line in block.splitlines() if language == "sh" else []:
            assert line.startswith(("vireid ", "python ", *NOT_HERE)), line
            if not line.startswith(NOT_HERE):
                run(line, capfd)
