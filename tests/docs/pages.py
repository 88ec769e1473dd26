"""What the tests that run the pages' commands share: how these are found and shortened, and what replaces the slow."""

import asyncio
import json
import re
import shutil
import threading
import time
import urllib.request
from pathlib import Path

import pytest
import trees
import uvicorn
import yaml
from matplotlib.figure import Figure

from vireid.cli import main
from vireid.config import WordLoader

ROOT = Path(__file__).parents[2]
SMALL = {
    "images.height": 96,  # six strips of HCT, 16 rows each
    "images.width": 48,
    "train.identities": 2,
    "train.images_per_modality": 2,
    "train.precision": "32-true",
}
TINY = Path("data/tiny")  # where it is, in the place of SynthVI-mini
OPTIONS = {
    "profile": ["--size", "96x48", "--images", "16", "--repeats", "0"],
    "serve": ["--port", "0"],
    "figures rank": ["--queries", "1"],
}


def blocks(page):
    """`(language, text)` of the fenced blocks, in order."""
    return re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def quick(monkeypatch):
    """The configs in this folder; rendering, serving and drawing are quick."""
    shutil.copytree(ROOT / "configs", "configs")
    monkeypatch.setattr("vireid.synth.dataset.render", made_up_people)
    monkeypatch.setattr(uvicorn.Server, "run", asked_and_stopped)
    monkeypatch.setattr("vireid.figures.style.DPI", 30)
    monkeypatch.setattr(Figure, "savefig", drawn_once)


def made_up_people(out, *, preset="mini", **_):
    """In the place of the renderer, which tests/synth looks after: 6 people, who say that they are 100."""
    for part in ("nir", "lwir") if preset == "mini" else (preset,):
        folder = Path(out, part) if preset == "mini" else Path(out)
        about = trees.make_synthvi(folder, part, identities=6) / "dataset.json"
        about.write_text(json.dumps(json.loads(about.read_text()) | {"sizes": [100]}))
    return out


def drawn_once(figure, target, *, format, save=Figure.savefig, **about):
    """In the place of drawing for PNG and again for SVG, with all in its best place; tests/figures looks at both."""
    figure.set_layout_engine("none")
    if format == "svg" and isinstance(target, Path):
        target.write_text("<svg/>")
    else:
        save(figure, target, format=format, **about)


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


def shorten_sweep(path):
    """Leave a sweep file two rows, one seed, and one value of what it is repeated over."""
    sweep = yaml.load(path.read_text(), WordLoader)  # a safe loader
    rows = dict(list(sweep.pop("rows", {}).items())[:2])
    few = {"grid": 2 - len(rows), "repeat": 1}  # values of each key
    axes = {name: {key: values[:n] for key, values in sweep.pop(name, {}).items() if n} for name, n in few.items()}
    short = sweep | {"seeds": [0], "rows": rows} | axes
    path.write_text(yaml.safe_dump({key: value for key, value in short.items() if value}, sort_keys=False))


def with_settings(words, settings):
    """A command with `--set key=value` for each setting, and with the options that make it quick."""
    changes = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    options = next((more for name, more in OPTIONS.items() if words[: len(name.split())] == name.split()), [])
    return [*words, *changes, *options]


def call(words, capfd, *, line, status=0):
    """`vireid` in this process, which is quicker; `line` is what the page says."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    out, err = capfd.readouterr()
    assert (stop.value.code or 0) == status, f"{line}\n{out[-2000:]}\n{err[-2000:]}"
