"""A gallery with a small stand-in for the model, and clients of its API."""

import json
from pathlib import Path

import pytest
from visitors import LIMITS, TOKEN, StandIn, colours, encoded

pytest.importorskip("fastapi")
pytest.importorskip("lancedb")

from starlette.testclient import TestClient

from vireid.app.api import create_app
from vireid.app.audit import Audit
from vireid.app.security import Tokens
from vireid.app.uploads import Limits
from vireid.search import store
from vireid.search.gallery import Gallery


@pytest.fixture
def gallery(tmp_path):
    """Empty."""
    uri = str(tmp_path / "people")
    gallery = Gallery(store.create(uri, store.Facts("default", StandIn.fingerprint, StandIn.dimensions)))
    gallery._embedder = StandIn()
    return gallery


@pytest.fixture
def app(gallery, tmp_path):
    return create_app(
        gallery, tokens=Tokens({"ann": TOKEN}), audit=Audit(tmp_path / "audit.jsonl"), limits=Limits(**LIMITS)
    )


@pytest.fixture
def anyone(app):
    with TestClient(app) as client:
        yield client


@pytest.fixture
def client(app):
    """Who has the token."""
    with TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


@pytest.fixture
def filled(client):
    """The ids of six crops: three of the gate, three of the yard."""
    ids = []
    for camera, seeds in (("gate", (1, 2, 3)), ("yard", (4, 5, 6))):
        files = [("images", (f"{seed}.png", encoded(colours(seed)))) for seed in seeds]
        told = {"camera": camera, "time": f"2026-03-0{seeds[0]}T10:00:00", "modality": "visible", "pid": "p"}
        answer = client.post("/v1/gallery", files=files, data=told)
        assert answer.status_code == 200, answer.text
        ids += answer.json()["ids"]
    return ids


@pytest.fixture
def lines(tmp_path):
    """A function that reads the audit log."""
    return lambda: [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]


@pytest.fixture
def is_quiet(tmp_path):
    """A function that says whether an answer names no place on this machine."""
    places = [str(tmp_path), str(Path.cwd()), f"{Path.home()}/", "/usr/", "/tmp/", "/etc/", "site-packages"]

    def quiet(answer):
        text = answer.text + str(dict(answer.headers))
        return not any(place in text for place in [*places, "Traceback", 'File "'])

    return quiet
