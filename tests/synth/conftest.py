"""Small rendered sets, shared by the tests of the renderer."""

import importlib.util
from pathlib import Path

import pytest

from vireid.synth.dataset import render
from vireid.synth.presets import make_job

SIZE = (64, 32)
absent = [name for name in ("anny", "warp") if importlib.util.find_spec(name) is None]


@pytest.fixture(scope="session")
def renderer():
    """Skips where nothing can be rendered."""
    if absent:
        pytest.skip(f"{' and '.join(absent)} not installed: pip install 'vireid[synth]'")


@pytest.fixture(scope="session")
def mini(renderer, tmp_path_factory) -> Path:
    """Preset mini, two identities of seed 5, rendered in this process."""
    out = tmp_path_factory.mktemp("synth") / "mini"
    render(out, preset="mini", identities=2, size=SIZE, seed=5, workers=1)
    return out


@pytest.fixture(scope="session")
def paired(renderer, tmp_path_factory) -> Path:
    """Preset lwir as a manifest, two identities of seed 5."""
    out = tmp_path_factory.mktemp("synth") / "paired"
    render(out, preset="lwir", identities=2, size=SIZE, seed=5, workers=1)
    return out


@pytest.fixture(scope="session")
def painter(renderer):
    """Paints the people of seed 5 as preset lwir does."""
    from vireid.synth.painter import Painter

    return Painter(make_job("lwir", "manifest", 2, SIZE, 5))


@pytest.fixture(scope="session")
def pictures(painter):
    """Twenty pictures of the first person: visible and thermal in turn."""
    return list(painter.pictures(0))
