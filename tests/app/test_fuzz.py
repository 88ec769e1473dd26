"""Malformed images and requests, by seed: the server answers each, and tells nothing of itself."""

import json

import numpy as np
from visitors import TOKEN, colours, encoded

COUNT = 500
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF")
NASTY = ["../../etc/passwd", "%00", "\ud800", "'; DROP TABLE crops; --", "NaN", "1e400", "-1", "[[[[", "true", "0x10"]
NASTY += ["9" * 400, "\u202e\u0000", "{}", "null", "/proc/self/environ", "0001-01-01T00:00:00+23:59", "\\\\host\\share"]
FIELDS = [
    "k",
    "cameras",
    "ids",
    "pids",
    "tracks",
    "after",
    "before",
    "of",
    "modality",
    "rerank",
    "fmr",
    "camera",
    "time",
]
FIELDS += ["id", "embedding", "image", "images", "__proto__", "x" * 300]


def spoiled(random, content):
    """A file with bytes changed, left out, doubled or cut."""
    data = bytearray(content)
    for _ in range(random.integers(1, 20)):
        place = int(random.integers(0, len(data) + 1))
        way = random.integers(4)
        if way == 0 and place < len(data):
            data[place] = random.integers(256)
        elif way == 1:
            del data[place : place + int(random.integers(1, 50))]
        elif way == 2:
            data[place:place] = random.bytes(int(random.integers(1, 50)))
        elif place > 8 and random.random() < 0.3:
            del data[place:]
    # Many faults lie in the headers: aim at them.
    if random.random() < 0.5 and len(data) > 40:
        data[int(random.integers(0, 40))] = random.integers(256)
    return bytes(data)


def an_image(random):
    grey = random.random() < 0.3
    image = colours(int(random.integers(99)), (24, 12) if grey else (24, 12, 3))
    return spoiled(random, encoded(image, FORMATS[random.integers(len(FORMATS))]))


def a_value(random):
    choice = random.integers(5)
    if choice == 0:
        return random.bytes(int(random.integers(0, 40))).decode("latin-1")
    if choice == 1:
        return str(int(random.integers(-(2**40), 2**40)))
    return NASTY[random.integers(len(NASTY))]


def fields(random):
    return {FIELDS[random.integers(len(FIELDS))]: a_value(random) for _ in range(random.integers(0, 4))}


def as_text(values):
    return {name: value.encode("utf-8", "replace").decode() for name, value in values.items()}


def a_request(random, known):
    """Keyword arguments of a request of some kind."""
    kind, address = random.integers(6), ("/v1/search", "/v1/embed", "/v1/gallery")[random.integers(3)]
    name = ("image", "images", "image", "x")[random.integers(4)] if address != "/v1/gallery" else "images"
    if kind <= 2:
        names = as_text(fields(random)) if kind else {}
        return {"method": "POST", "url": address, "files": {name: ("../../a.png", an_image(random))}, "data": names}
    if kind == 3:  # a form whose structure is damaged
        body = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + encoded(colours(1))
        charsets = ["", "; charset=utf-16", "; charset=idna", "; charset=punycode", "; charset=hex", "; charset=\xe9"]
        header = f"multipart/form-data; boundary=b{charsets[random.integers(len(charsets))]}".encode("latin-1")
        ending = b"\r\n--b--\r\n" if random.random() < 0.5 else b""
        text = b'\r\n--b\r\nContent-Disposition: form-data; name="k"\r\n\r\n\xff\xfe9'
        content = spoiled(random, body + text + ending)
        return {"method": "POST", "url": address, "content": content, "headers": {"Content-Type": header}}
    if kind == 4:  # JSON, damaged or not what was expected
        told = json.dumps({"id": known, **fields(random)} if random.random() < 0.7 else [fields(random)]).encode()
        numbers = b'{"embedding": [' + b"1e39," * 7 + b"NaN]}"
        deep = b"[" * 100_000
        content = (told, spoiled(random, told), numbers, deep, b"", b'{"id": "\\ud800"}')[random.integers(6)]
        return {
            "method": "POST",
            "url": ("/v1/search", f"/v1/gallery/{known}/heat")[random.integers(2)],
            "content": content,
            "headers": {"Content-Type": "application/json"},
        }
    verb = ("GET", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD")[random.integers(6)]
    probe = "".join(f"%{byte:02x}" for byte in a_value(random).encode("utf-8", "replace")[:60])
    tail = ("", "/image", "/../..")[random.integers(3)]
    return {"method": verb, "url": f"/v1/gallery/{probe}{tail}", "headers": {"Range": "bytes=0-9", "X-Y": "z" * 99}}


def test_malformed_images_and_requests(client, filled, is_quiet, lines):
    random = np.random.default_rng(14)
    seen, logged = {}, len(lines())
    for number in range(COUNT):
        asked = a_request(random, filled[0])
        answer = client.request(**asked)
        seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
        logged += answer.request.url.path.startswith("/v1/")  # the client itself resolves dots
        assert answer.status_code < 500, (number, asked, answer.text)
        assert is_quiet(answer), (number, answer.text)
        if answer.is_error and asked["method"] != "HEAD":
            assert set(answer.json()) == {"error"} and TOKEN not in answer.text
    assert len(lines()) >= logged
    assert len(seen) > 4, seen  # the draws reach many kinds of answers
    assert client.post("/v1/search", files={"image": encoded(colours(1))}).status_code == 200
