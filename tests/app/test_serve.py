"""`vireid serve` as a process of its own, and what it refuses."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import httpx2
import numpy as np
import pytest
from visitors import TOKEN, colours, encoded

from vireid.cli import main
from vireid.search.gallery import Gallery


def refused(capfd, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    told = capfd.readouterr().err
    assert stop.value.code == 2 and told.count("\n") == 1, told
    return told


def test_what_serve_refuses(gallery, tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("VIREID_TOKEN", raising=False)
    people = tmp_path / "people"
    assert "make a token with" in refused(capfd, "serve", people)
    for host in ("0.0.0.0", "192.168.0.1", "::"):
        assert "this machine only" in refused(capfd, "serve", people, "--no-auth", "--host", host)
    assert "no gallery" in refused(capfd, "serve", tmp_path / "gone", "--no-auth")
    assert "cannot be read" in refused(capfd, "serve", people, "--tokens", tmp_path / "gone")
    (tmp_path / "tokens").write_text(f"ann:{TOKEN}")
    assert "contradict" in refused(capfd, "serve", people, "--no-auth", "--tokens", tmp_path / "tokens")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = refused(capfd, "serve", people, "--no-auth", "--port", port)
    assert f"127.0.0.1 port {port}" in told and "another --port" in told


@pytest.mark.slow  # two processes that load the model
def test_another_process_adds_while_it_serves(tmp_path):
    people, crop = tmp_path / "people", tmp_path / "b.png"
    Gallery.create(people)
    crop.write_bytes(encoded(colours(2)))
    environment = {**os.environ, "VIREID_TOKEN": f"ann:{TOKEN}", "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-m", "vireid"]
    server = subprocess.Popen(
        [*program, "serve", str(people), "--port", "0"], stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        address = re.search(r"http://127\.0\.0\.1:\d+", server.stderr.readline())[0]
        with httpx2.Client(base_url=address, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
            query = {"image": encoded(colours(2))}
            assert client.post("/v1/search", files=query).json()["hits"] == []
            adding = subprocess.Popen(
                [*program, "index", "add", str(people), str(crop), "--camera", "yard"],
                env=environment,
                stdout=subprocess.DEVNULL,
            )
            own = 0
            while adding.poll() is None:  # both write to one gallery
                files = {"images": encoded(np.full((32, 16, 3), own, np.uint8))}
                assert client.post("/v1/gallery", files=files).status_code == 200
                own += 1
                assert client.post("/v1/search", files=query).status_code == 200
                time.sleep(0.2)
            assert adding.returncode == 0 and own > 0
            told = client.get("/v1/gallery").json()
            assert told["count"] == own + 1 and told["cameras"]["yard"] == 1
            hit = client.post("/v1/search", files=query, data={"k": 1}).json()["hits"][0]
            assert hit["camera"] == "yard" and hit["score"] == pytest.approx(1, abs=1e-4)
            assert httpx2.get(f"{address}/v1/gallery").status_code == 401
            assert "server" not in client.get("/healthz").headers
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
        assert (tmp_path / "people.audit.jsonl").read_text().count("\n") >= own * 2
    finally:
        server.kill()
        server.wait()
        server.stderr.close()
