"""Tokens, limits, bombs, paths, and the audit log."""

import json
import os
import stat
import struct
import zlib

import pytest
from starlette.testclient import TestClient
from visitors import LIMITS, TOKEN, colours, encoded

from vireid.app.api import create_app
from vireid.app.audit import Audit
from vireid.app.security import is_loopback, read_tokens
from vireid.errors import InputError

ADDRESSES = [
    ("POST", "/v1/search"),
    ("POST", "/v1/embed"),
    ("GET", "/v1/gallery"),
    ("POST", "/v1/gallery"),
    ("DELETE", "/v1/gallery/x"),
    ("GET", "/v1/gallery/x/image"),
    ("GET", "/v1/openapi.json"),
]


def declared(width, height):
    """A PNG whose header promises this many pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("verb", "address"), ADDRESSES)
@pytest.mark.parametrize("header", [None, "Bearer wrong", f"Basic {TOKEN}", "Bearer ", f"Bearer {TOKEN}x", TOKEN])
def test_nothing_without_the_token(anyone, verb, address, header):
    answer = anyone.request(verb, address, headers={} if header is None else {"Authorization": header})
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer TOKEN" in answer.json()["error"]


def test_health_needs_no_token(anyone):
    assert anyone.get("/healthz").json() == {"status": "ok"}
    assert anyone.get("/docs").status_code == anyone.get("/openapi.json").status_code == 404


def test_a_body_is_not_read_before_the_token(anyone):
    def body():
        raise AssertionError("it was read")
        yield b""

    app = anyone.app

    async def receive():
        raise AssertionError("it was read")

    async def send(message):
        sent.append(message)

    sent = []
    scope = {
        **{"type": "http", "method": "POST", "path": "/v1/search", "raw_path": b"/v1/search", "query_string": b""},
        **{"headers": [], "http_version": "1.1", "scheme": "http", "server": ("x", 1), "client": ("1.2.3.4", 5)},
    }
    anyone.portal.call(app, scope, receive, send)
    assert sent[0]["status"] == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:7860"}, 200),
        ({"Host": "[::1]:7860"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "[::"}, 403),
        ({"Origin": "http://127.0.0.1"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_without_tokens_other_sites_are_kept_out(gallery, headers, status):
    with TestClient(create_app(gallery, tokens=None), base_url="http://127.0.0.1") as client:
        assert client.get("/v1/gallery", headers=headers).status_code == status


def test_tokens_come_from_a_file_or_the_environment(tmp_path, monkeypatch):
    file = tmp_path / "tokens"
    file.write_text(f"# who may ask\n\nann: {TOKEN}\nbob:{TOKEN[::-1]}\n")
    tokens = read_tokens(file)
    assert (tokens.who(TOKEN), tokens.who(TOKEN[::-1]), tokens.who("")) == ("ann", "bob", None)
    monkeypatch.setenv("VIREID_TOKEN", TOKEN)
    assert read_tokens(None).who(TOKEN) == "environment"
    monkeypatch.setenv("VIREID_TOKEN", f"eve:{TOKEN}")
    assert read_tokens(None).who(TOKEN) == "eve"
    monkeypatch.delenv("VIREID_TOKEN")
    assert read_tokens(None) is None


@pytest.mark.parametrize("text", ["", "ann", "ann:short", f":{TOKEN}", f"a:{TOKEN}\na:{TOKEN}", "ann:" + "\u00e9" * 30])
def test_a_wrong_list_of_tokens_is_told(tmp_path, text):
    (tmp_path / "tokens").write_text(text)
    with pytest.raises(InputError, match="make a token with") as caught:
        read_tokens(tmp_path / "tokens")
    assert TOKEN not in str(caught.value)
    with pytest.raises(InputError, match="cannot be read"):
        read_tokens(tmp_path / "gone")


def test_loopback():
    assert all(map(is_loopback, ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "192.168.1.2", "::", "example.org", "", "127.0.0.1.example.org"]))


@pytest.mark.parametrize("size", [(50_000, 50_000), (401, 400), (2**31 - 1, 2**31 - 1), (0, 0)])
def test_bombs_are_refused_before_they_are_decoded(client, size):
    answer = client.post("/v1/embed", files={"image": declared(*size)})
    assert answer.status_code == (413 if size[0] and size[0] < 2**30 else answer.status_code) and answer.is_client_error
    assert len(answer.json()["error"]) > 15


def test_a_bomb_of_text_in_an_image(client):
    packed = zlib.compress(b"\0" * 50_000_000, 9)
    data = b"key\0\0" + packed
    chunk = struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    image = encoded(colours(1))
    assert client.post("/v1/embed", files={"image": image[:33] + chunk + image[33:]}).status_code == 422


def test_too_many_bytes(client):
    assert client.post("/v1/embed", files={"image": b"x" * (LIMITS["image_bytes"] + 1)}).status_code == 413
    assert client.post("/v1/embed", files={"image": b"x" * 2_000_000}).status_code == 413
    whole = [("images", b"x" * 190_000)] * 4
    assert client.post("/v1/gallery", files=whole).status_code == 413

    def chunks():  # without a length
        yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        for _ in range(40):
            yield b"x" * 65536

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert client.post("/v1/embed", content=chunks(), headers=headers).status_code == 413
    assert client.post("/v1/search", json={"embedding": [0.123456789] * 300_000}).status_code == 413


def test_too_many_images(client):
    answer = client.post("/v1/gallery", files=[("images", encoded(colours(seed))) for seed in range(5)])
    assert answer.status_code == 400 and "at most 4 files" in answer.json()["error"]


def test_a_slow_body_is_given_up(gallery):
    import asyncio

    from starlette.requests import Request

    from vireid.app.refusal import Refused
    from vireid.app.uploads import read_body

    async def never():
        await asyncio.sleep(60)

    scope = {"type": "http", "method": "POST", "headers": []}
    with pytest.raises(Refused, match="did not arrive") as caught:
        asyncio.run(read_body(Request(scope, never), 10, 0.05))
    assert caught.value.status == 408


def test_other_kinds_of_body(client):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "", "image/png"):
        assert client.post("/v1/search", content=b"x", headers={"Content-Type": kind}).status_code == 415
    assert client.post("/v1/embed", json={}).status_code == 400
    assert client.post("/v1/search", content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
    gif = encoded(colours(1), "GIF")
    assert client.post("/v1/embed", files={"image": gif}).status_code == 422
    assert client.post("/v1/embed", data={"image": "text"}, files={"other": gif}).status_code == 422


def test_nothing_is_written_beside_the_gallery(client, filled, monkeypatch, tmp_path):
    """Bodies larger than a megabyte, which forms commonly spool to disk, stay in memory."""
    import tempfile

    def forbidden(*_, **__):
        raise AssertionError("a temporary file")

    for name in ("TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, forbidden)
    files = [("images", encoded(colours(seed)) + b"\0" * 140_000) for seed in (11, 12, 13, 14)]
    assert client.post("/v1/gallery", files=files).status_code == 200


@pytest.mark.parametrize(
    "probe",
    [
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%5c..%5cetc%5cpasswd",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "....//....//etc/passwd",
        "%252e%252e%252fetc%252fpasswd",
        "file:%2f%2f%2fetc%2fpasswd",
        "%00",
        "x' OR '1'='1",
        "x%27%20OR%20%271%27=%271",
        "a" * 5000,
    ],
)
def test_no_path_of_the_server_is_reached(client, filled, is_quiet, probe):
    for address in (f"/v1/gallery/{probe}/image", f"/v1/gallery/{probe}", f"/{probe}", f"/v1/{probe}"):
        for verb in ("GET", "DELETE"):
            answer = client.request(verb, address)
            assert 400 <= answer.status_code < 500 and "root:" not in answer.text and is_quiet(answer), address
    assert client.get("/v1/gallery").json()["count"] == 6


def test_every_request_has_a_line(client, anyone, filled, lines, tmp_path):
    before = len(lines())
    image = encoded(colours(1))
    data = {"k": 2, "cameras": "gate", "rerank": "true"}
    hits = client.post("/v1/search", files={"image": image}, data=data).json()["hits"]
    client.post("/v1/search", json={"id": filled[0], "k": 1})
    client.get(f"/v1/gallery/{filled[0]}/image")
    client.post("/v1/embed", files={"image": b"no picture"})
    client.delete(f"/v1/gallery/{filled[0]}")
    anyone.get("/v1/gallery")
    anyone.get("/healthz")
    assert lines()[0]["options"]["camera"] == "gate" and lines()[0]["ids"] == filled[:3]
    searched, again, looked, embedded, removed, denied = lines()[before:]
    assert searched["who"] == "ann" and searched["address"] == "testclient" and searched["status"] == 200
    assert searched["query"] == {"image": filled[0]} and searched["found"] == [hit["id"] for hit in hits]
    assert searched["options"] == {"k": 2, "cameras": ["gate"], "rerank": True}
    assert searched["time"].endswith("Z") and again["query"] == {"crop": filled[0]} and len(again["found"]) == 1
    assert (looked["action"], looked["ids"]) == ("look", [filled[0]])
    assert (embedded["action"], embedded["status"]) == ("embed", 422)
    assert (removed["action"], removed["ids"]) == ("remove", [filled[0]])
    assert (denied["who"], denied["status"]) == (None, 401)
    assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600
    assert TOKEN not in (tmp_path / "audit.jsonl").read_text()


def test_what_cannot_be_logged_is_not_answered(client, filled, monkeypatch, is_quiet):
    def full(*_):
        raise OSError(28, "No space left on device", "/var/log/audit")

    monkeypatch.setattr(os, "fsync", full)
    answer = client.get("/v1/gallery")
    assert answer.status_code == 503 and "camera" not in answer.text and is_quiet(answer)


def test_a_log_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(InputError, match="choose another file"):
        Audit(tmp_path / "no folder" / "audit.jsonl")


def test_lines_of_the_log_are_json_whatever_is_asked(client, lines):
    client.get('/v1/x"%0a{"who":"eve"}')
    assert json.loads(json.dumps(lines()))[-1]["who"] is None
