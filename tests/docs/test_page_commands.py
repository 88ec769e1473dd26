"""The shell lines of README, examples and pages beside the tutorials run, in order, in a folder of the page's own.

What a reader is expected to have is made up: the licensed data sets, SynthVI-mini, crops and weights by tests/trees.py,
and a run, gallery or sweep that no line above has made by the commands in `MADE_BY`. What takes long is made short:

- the training loop writes its files without a step (the tutorials' trainings do steps); config, keys, data, network,
  sampler, optimizer and run folder are real, but a ResNet is a ResNet-18, a vision transformer timm's smallest, with
  random weights in the place of ImageNet's, on 96x48 pixels, unless the line itself sets these;
- a sweep has two rows, one seed and one direction, rendered people are blocks of colour, figures are drawn once at 30
  dots an inch, `vireid profile` counts only, and a server is asked for its page and stopped;
- a threshold is told from however few pairs of people the made-up crops have;
- the export, half a minute, is done once and its file is copied where it is asked for again;
- a script of benchmarks/ ends once it has accepted its arguments.

What no test can run here is in `ELSEWHERE`, with what looks after it; any other line fails.
"""

import argparse
import functools
import itertools
import json
import os
import re
import runpy
import shlex
import string
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import timm
import trees
import typer
import yaml
from pages import ROOT, SMALL, TINY, blocks, call, quick, shorten_sweep, with_settings
from safetensors.torch import save_file

from vireid import config as configuration
from vireid.ablation.sweep import load_sweep
from vireid.atomic import write_text
from vireid.cli import app
from vireid.training import checkpoint
from vireid.training.loop import make_sampler
from vireid.training.optim import build_optimizer

for package in ("captum", "lancedb", "onnxscript", "openvino", "sklearn", "uvicorn"):
    pytest.importorskip(package)
DOCS = sorted(page for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "tutorials")
PAGES = [page for page in (ROOT / "README.md", *DOCS, ROOT / "examples" / "README.md") if "```" in page.read_text()]

# How a line begins that does not run here, and why.
ELSEWHERE = {
    "make ": "builds and tests everything; tests/test_readme.py looks for the target",
    "pip install ": "fetches packages; the extras are looked for below",
    "vireid demo": "six minutes; tests/end_to_end/test_demo.py",
    "torchrun --nproc-per-node 2 -m vireid train ": "two processes; tests/training/test_loop.py",
    "vireid embed crops --output crops.parquet --engine ray": "needs Ray; tests/test_bulk_ray.py",
    "ray start --head": "starts a cluster; tests/test_bulk_ray.py starts one of two nodes",
    "RAY_ADDRESS=head:6379 vireid embed /shared/crops ": "needs that cluster; tests/test_bulk_ray.py",
    "vireid index add http://milvus:19530 ": "needs that server; tests/search/test_milvus_server.py",
    "vireid serve http://milvus:19530 ": "needs that server; tests/search/test_milvus_server.py",
    "curl ": "asks a server that runs; tests/app/test_api.py",
    "export OMP_WAIT_POLICY=PASSIVE THP_MEM_ALLOC_ENABLE=1": "speaks to processes that are started later",
    "rm -r ~/.cache/vireid/images": "deletes the reader's own files",
    "python tools/make_tables.py": "tests/test_readme.py runs it",
    "python examples/01_embed_and_compare.py": "tests/test_examples.py",
}
MISSING = "the made-up set has fewer people than the licensed one, which the check has to notice"
ENDS_WITH_1 = {
    "vireid data check sysu_mm01 data/SYSU-MM01": MISSING,
    "vireid data check regdb data/RegDB": MISSING,
    "vireid data check llcm data/LLCM": MISSING,
    "vireid data check llcm data/LLCM --json": MISSING,
}
OWN = "configs/baseline_manifest.yaml --set data.root=crops/manifest.csv"
MADE_BY = {
    "runs/agw": ["train configs/agw_sysu_mm01.yaml --output runs/agw"],
    "runs/agw-llcm": ["train configs/agw_llcm.yaml --output runs/agw-llcm"],
    "runs/baseline": ["train configs/baseline_sysu_mm01.yaml --output runs/baseline", "evaluate runs/baseline"],
    "runs/cm_dasn": ["train configs/cm_dasn_sysu_mm01.yaml --output runs/cm_dasn"],
    "runs/demo/run": ["train configs/demo.yaml --output runs/demo/run", "evaluate runs/demo/run"],
    "runs/dfw_sln": ["train configs/dfw_sln_sysu_mm01.yaml --output runs/dfw_sln", "evaluate runs/dfw_sln"],
    "runs/dfw_sln_figure3_regdb": ["ablate configs/sweeps/dfw_sln_figure3_regdb.yaml"],
    "runs/mine": [f"train {OWN} --output runs/mine"],
    "runs/mine-2": [f"train {OWN} --set train.seed=2 --output runs/mine-2"],
    "data/synthvi-lwir": ["synth data/synthvi-lwir --preset lwir"],
    "people": ["index add people crops/gate --camera gate --time 2026-03-01T18:30:00"],
}
MADE_BY_ON = {  # where another kind of run is meant
    "docs/protocols/synthvi.md": {
        "runs/mine": [
            "synth data/synthvi-nir --preset nir",
            "train configs/agw_synthvi_nir.yaml --set data.root=data/synthvi-nir --output runs/mine",
        ]
    }
}


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """What readers bring along, made once."""
    os.environ["VIREID_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    folder = tmp_path_factory.mktemp("brought")
    trees.make_sysu(folder / "data" / "SYSU-MM01", train=range(1, 9), val=[9], test=range(10, 14), images=1)
    trees.make_regdb(folder / "data" / "RegDB", images=4)
    trees.make_llcm(folder / "data" / "LLCM", test=3, images=1)
    trees.make_synthvi(folder / "data" / TINY.name / "nir", identities=6)
    trees.make_synthvi(folder / "data" / TINY.name / "lwir", "lwir", identities=6)
    for name in ("crops", "other"):
        trees.make_manifest_csv(folder / name, train=8, test=4, images=2)
    yard = [("yard/1.jpg", "infrared", "2026-03-01T18:31:00"), ("yard/2.jpg", "infrared", "2026-03-02T06:00:00")]
    for path, _, _ in yard:
        trees.save(folder / "crops" / path, trees.person(1, True, 1))
    rows = [[Path(path).name, 1, modality, 3, time] for path, modality, time in yard]
    trees.write_manifest(folder / "crops" / "yard" / "manifest.csv", rows, "path,pid,modality,camid,time")
    for pid in range(1, 7):
        trees.save(folder / "crops" / "gate" / f"{pid}.jpg", trees.person(pid, False, 7))
    trees.save(folder / "unknown.jpg", trees.person(1, False, 9))
    (folder / "tokens.txt").write_text("me:" + 32 * "x" + "\n")
    for file, name in (("resnet50.safetensors", "resnet18"), ("data/small_vit.safetensors", "test_vit")):
        save_file(timm.create_model(name).state_dict(), folder / file)
    return folder


@pytest.fixture
def workplace(brought, tmp_path, monkeypatch):
    """A folder of links to what readers bring, where training takes no step."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for thing in [*brought.iterdir(), *(brought / "data").iterdir()]:
        if thing.name != "data":
            Path(thing.relative_to(brought)).symlink_to(thing)
    quick(monkeypatch)
    monkeypatch.setattr("vireid.experiment.train.train", without_steps)
    monkeypatch.setattr("vireid.export.export_run", export_once)
    monkeypatch.setattr("vireid.evaluation.calibration.FEWEST", 0)


def without_steps(method, data, config, augmentation, fabric, run, *, metadata, on_start, **_):
    """In the place of the training loop, which tests/training and the tutorials look after."""
    make_sampler(config, data.pids, data.modalities, data.tracks)
    build_optimizer(method, config.optimizer)
    on_start()
    heads = {"heads/shared/block6": [0.1, 0.9]} if metadata["method"] == "cm_dasn" else {}
    row = {"loss/identity": 1.0, "lr": config.optimizer.lr, **heads}
    log = [{"epoch": epoch, **row} for epoch in (1, config.epochs)]
    write_text(run / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in log))
    state = {"model": method.state_dict(), "optimizer": {}, "epoch": config.epochs, "step": 0}
    checkpoint.save(run / "checkpoint.pt", metadata | state)


@functools.cache
def exported(run):
    """The report and the file of an export; the runs of one name are alike, since their seeds are."""
    command = [sys.executable, "-m", "vireid", "export", run, "--output", "first.onnx", "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout), Path("first.onnx").read_bytes()


def export_once(run, output):
    report, content = exported(run)
    output.write_bytes(content)
    return report


def interrupt(run):
    """Put a run back, to what Ctrl-C in its last epoch leaves."""
    state = checkpoint.load(run / "checkpoint.pt")
    checkpoint.save(run / "checkpoint.pt", state | {"epoch": state["epoch"] - 1})


def replaced(path, own):
    """The settings that make a config or sweep small, less those that the line sets itself."""
    plain = yaml.load(path.read_text(), configuration.WordLoader)  # a safe loader
    base, common = (path.parent / plain["base"], plain.get("set", {})) if "base" in plain else (path, {})
    config = configuration.load(base).override(common)
    options = config.method.options
    vit = options.backbone.startswith("vit")
    settings = SMALL | {"train.val_identities": 0}
    settings |= {"method.backbone": "test_vit", "method.heads": 8} if vit else {"method.backbone": "resnet18"}
    if options.weights == "imagenet":
        settings["method.weights"] = "none"
    if config.data.root == "mini":
        settings["data.root"] = TINY
    own = own.union(*(plain.get("rows") or {}).values())  # a row sets it, and the sweep takes it from there alone
    return {key: value for key, value in settings.items() if key not in own}


def shortened(words):
    """The words of a command with what makes it quick."""
    command, *rest = words
    if command == "train" and "--resume" in rest:
        if "--set" not in rest:
            interrupt(Path(rest[rest.index("--resume") + 1]))
        return words
    own = {value.partition("=")[0] for option, value in itertools.pairwise(rest) if option == "--set"}
    settings = {}
    if command in ("train", "ablate"):
        settings = replaced(Path(rest[0]), own)
    if command == "profile":
        settings = {"method.backbone": "resnet18"}
    if command == "ablate":
        settings |= {"evaluation.rerank": "off", "evaluation.direction": "i2v"}
        shorten_sweep(Path(rest[0]))
    return with_settings([word.replace("=/data/", "=data/") for word in words], settings)


def vireid(line, made_by, capfd):
    """A line `vireid ...`, after what makes the things that it reads and nobody has made yet."""
    words = shlex.split(line, comments=True)[1:]
    for before, word in itertools.pairwise(words):
        if word in made_by and before not in ("--output", "add", "synth") and not Path(word).exists():
            for needed in made_by[word]:
                vireid(f"vireid {needed}", made_by, capfd)
    status = 1 if shlex.join(["vireid", *words]) in ENDS_WITH_1 else 0
    call(shortened(words), capfd, line=line, status=status)


def accepts_its_arguments(line, monkeypatch):
    """Run a script up to where it has read its command line."""

    class Accepted(Exception):
        pass

    def parse(parser):
        given.append(real(parser))
        raise Accepted

    given, real = [], argparse.ArgumentParser.parse_args
    words = shlex.split(line, comments=True)[1:]
    script = ROOT / words[0]
    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse)
        patch.setattr(sys, "argv", words)
        patch.syspath_prepend(script.parent)
        with pytest.raises(Accepted):
            runpy.run_path(str(script), run_name="__main__")
    assert given, line


def load_yaml(block, page):
    """A config or a sweep; where its first line names a file, the lines below may read it."""
    named = re.match(r"# (\w+\.yaml)", block)
    file = Path(named[1]) if named else Path("configs", "sweeps", f"{page.stem}.yaml")
    file.write_text(block)
    if "\nmethod:" in f"\n{block}":
        configuration.load(file)
    else:
        load_sweep(file)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
@pytest.mark.usefixtures("workplace")
def test_a_page_runs(page, capfd, monkeypatch):
    made_by = MADE_BY | MADE_BY_ON.get(page.relative_to(ROOT).as_posix(), {})
    names = {}
    for language, block in blocks(page):
        assert language in ("sh", "yaml", "python", "text"), f"{language}: should this run?"  # python: test_readme.py
        if language == "yaml":
            load_yaml(block, page)
        for line in block.splitlines() if language == "sh" else []:
            line = string.Template(line).safe_substitute(names)
            if line.startswith(tuple(ELSEWHERE)):
                continue
            if assignment := re.match(r"(\w+)='([^']*)'", line):
                names[assignment[1]] = assignment[2]
            elif line.startswith("python benchmarks/"):
                accepts_its_arguments(line, monkeypatch)
            elif line.startswith("python -c "):
                subprocess.run(line.replace("python", sys.executable, 1), shell=True, check=True)
            else:
                assert line.startswith("vireid "), f"{line}: run it, or say in ELSEWHERE who does"
                vireid(line, made_by, capfd)


LINES = [line for page in PAGES for language, block in blocks(page) if language == "sh" for line in block.splitlines()]


@pytest.mark.parametrize("start", ELSEWHERE)
def test_what_does_not_run_here_is_there_and_names_what_exists(start):
    lines = [line for line in LINES if line.startswith(start)]
    assert lines, "no page has such a line any more"
    for line in lines:
        _, found, rest = f" {line}".partition(" vireid ")
        if found:
            names_what_exists(shlex.split(rest, comments=True))
        for word in shlex.split(line, comments=True):
            assert not word.startswith(("configs/", "examples/", "tools/")) or (ROOT / word).is_file(), word
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for named in re.findall(r"\[([\w,]+)\]'", "\n".join(lines)):
        assert set(named.split(",")) <= set(extras)


def names_what_exists(words):
    node = typer.main.get_command(app)
    while hasattr(node, "commands"):
        node, words = node.commands[words[0]], words[1:]
    options = {name for parameter in node.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options
