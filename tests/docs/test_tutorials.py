"""Every command of the tutorials, in order and as it stands, in an empty folder, and every Python block between them.

What takes long is made short: a training is one step of a small network on small pictures, rendered people and licensed
data are made up by tests/trees.py, a sweep has two rows and one seed, and a server is asked for its page and stopped.
"""

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
import trees
import uvicorn
import yaml

from vireid.cli import main
from vireid.testing import CHECKS

pytest.importorskip("lancedb")
ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
NOT_HERE = ("pip ", "make ", "cd ", "git ", "tensorboard ", "pytest ")  # installs, or shows what runs elsewhere

SHORT = {
    "images.height": 64,
    "images.width": 32,
    "train.epochs": 1,
    "train.steps_per_epoch": 1,
    "train.identities": 2,
    "train.images_per_modality": 2,
    "train.precision": "32-true",
}
NOT_FETCHED = {"method.backbone": "resnet18", "method.weights": "none"}  # in the place of ImageNet's
TINY = Path("data/tiny")  # where it is, in the place of SynthVI-mini
OPTIONS = {"profile": ["--size", "64x32", "--images", "16", "--repeats", "0"], "serve": ["--port", "0"]}


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    os.environ["VIREID_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty folder with the configs, where rendering and serving are quick."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    shutil.copytree(ROOT / "configs", "configs")
    monkeypatch.setattr("vireid.synth.dataset.render", made_up_people)
    monkeypatch.setattr(uvicorn.Server, "run", asked_and_stopped)
    monkeypatch.setattr("vireid.figures.style.DPI", 30)
    monkeypatch.setattr("vireid.testing.CHECKS", CHECKS[:2])  # tests/methods has them all


def made_up_people(out, **_):
    """In the place of the renderer, which tests/synth looks after."""
    for part in ("nir", "lwir"):
        trees.make_synthvi(Path(out) / part, part, identities=6)
    return out


def asked_and_stopped(server, sockets):
    """In the place of serving until Ctrl-C."""
    host, port = sockets[0].getsockname()
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=sockets)), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    with urllib.request.urlopen(f"http://{host}:{port}/") as answer:
        assert b"vireid" in answer.read()
    server.should_exit = True
    thread.join()


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
        sweep = yaml.safe_load(Path(rest[0]).read_text())
        sweep |= {"seeds": [0], "rows": dict(list(sweep["rows"].items())[:2])}
        Path(rest[0]).write_text(yaml.safe_dump(sweep, sort_keys=False))
    changes = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return [*words, *changes, *OPTIONS.get(command, [])]


def run(line, capfd):
    """A line of a shell block; vireid in this process, which is quicker."""
    if line.startswith("python "):
        return subprocess.run(line.replace("python", sys.executable, 1), shell=True, check=True)
    words = shlex.split(line.partition(" | ")[0], comments=True)[1:]
    # The made-up people are fewer than the licensed ones, which the check has to notice.
    expected = 1 if words[:3] == ["data", "check", "sysu_mm01"] else 0
    with pytest.raises(SystemExit) as stop:
        main(shortened(words))
    out, err = capfd.readouterr()
    assert (stop.value.code or 0) == expected, f"{line}\n{out[-2000:]}\n{err[-2000:]}"
    return out


def steps(page):
    """`(language, block)` in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_runs(page, capfd):
    data_for(page)
    names = {}
    for language, block in steps(page):
        if language == "python":
            exec(block, names)
        for line in block.splitlines() if language == "sh" else []:
            assert line.startswith(("vireid ", "python ", *NOT_HERE)), line
            if not line.startswith(NOT_HERE):
                run(line, capfd)
