"""The Python blocks of README and docs run, tables, links and make targets are right; tests/docs runs the commands."""

import re
from pathlib import Path

import numpy as np
import pytest
import trees
import yaml

from vireid.export import export_run

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", "\n".join(page.read_text() for page in PAGES), re.DOTALL)
# Those of the tutorials run in tests/docs/test_tutorials.py, where the steps before have led.
PYTHON = [
    block
    for page in PAGES
    if page.parent.name != "tutorials"
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
]


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for language, block in BLOCKS:
        for target in re.findall(r"^make (\w+)", block, re.MULTILINE) if language == "sh" else []:
            assert f"\n{target}:" in makefile


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


def test_every_table_is_the_one_the_result_files_give():
    import make_tables

    assert make_tables.main(check=True) == 0


@pytest.mark.parametrize("block", PYTHON)
def test_python_blocks_run(block, tmp_path, monkeypatch):
    for name, infrared in (("a.jpg", False), ("b.jpg", False), ("b.png", False), ("night.jpg", True)):
        trees.save(tmp_path / name, trees.person(1, infrared, 0))
    monkeypatch.chdir(tmp_path)
    if "FILE.onnx" in block:
        export_run("default", Path("FILE.onnx"))
    names = {}
    exec(block, names)
    rows = names.get("visible", names.get("rows"))
    assert rows.shape[0] == 2 and names.get("similarity", np.empty((1, 2))).shape == (1, 2)


def test_citation_and_changelog_carry_the_version():
    from vireid import __version__

    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
