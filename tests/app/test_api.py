"""Every address of the API, on a gallery of six crops."""

import threading
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from visitors import LIMITS, StandIn, colours, encoded

from vireid.app.api import create_app
from vireid.app.uploads import Limits
from vireid.bulk import Crop, content_id
from vireid.evaluation.calibration import Calibration, Threshold
from vireid.search.calibrate import Calibrations


def search(client, seed=1, **data):
    return client.post("/v1/search", files={"image": encoded(colours(seed))}, data=data)


def test_an_image_finds_itself_first(client, filled):
    answer = search(client, 2, k=3)
    hits = answer.json()["hits"]
    assert answer.status_code == 200 and len(hits) == 3
    assert hits[0]["id"] == filled[1] == content_id(encoded(colours(2)))
    assert hits[0]["score"] == pytest.approx(1, abs=1e-5)
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
    assert set(hits[0]) == {
        *("id", "score", "probability", "distance", "pid", "camera", "time", "modality", "track", "thumbnail")
    }
    assert (hits[0]["camera"], hits[0]["time"], hits[0]["pid"]) == ("gate", "2026-03-01T10:00:00Z", "p")
    assert answer.headers["cache-control"] == "no-store"


def test_filters_restrict(client, filled):
    assert {hit["id"] for hit in search(client, cameras=["yard"]).json()["hits"]} == set(filled[3:])
    assert len(search(client, cameras=["yard", "gate"]).json()["hits"]) == 6
    assert {hit["id"] for hit in search(client, after="2026-03-02").json()["hits"]} == set(filled[3:])
    assert {hit["id"] for hit in search(client, before="2026-03-02").json()["hits"]} == set(filled[:3])
    assert search(client, of="infrared").json()["hits"] == []
    assert [hit["id"] for hit in search(client, ids=[filled[4]]).json()["hits"]] == [filled[4]]


def test_reranking_gives_distances(client, filled):
    hits = search(client, rerank="true").json()["hits"]
    assert [hit["distance"] for hit in hits] == sorted(hit["distance"] for hit in hits)


def test_an_embedding_and_a_crop_are_queries_too(client, filled):
    embedded = client.post("/v1/embed", files={"image": encoded(colours(1))}, data={"modality": "visible"}).json()
    assert embedded["model"] == StandIn.fingerprint and embedded["modality"] == "visible"
    by_vector = client.post("/v1/search", json={"embedding": embedded["embedding"], "k": 6}).json()
    assert by_vector["modality"] is None  # nobody said it, and an embedding does not tell
    by_vector = by_vector["hits"]
    by_crop = client.post("/v1/search", json={"id": filled[0], "k": 5}).json()
    assert by_crop["modality"] == "visible"
    by_crop = by_crop["hits"]
    assert by_vector[0]["id"] == filled[0]
    assert [hit["id"] for hit in by_crop] == [hit["id"] for hit in by_vector[1:]]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"id": "0" * 32}, 404),
        ({"id": "x", "embedding": [1.0]}, 422),
        ({"embedding": [1.0]}, 422),
        ({"embedding": [1.0] * 8}, 422),
        ({"embedding": [1e300] * 8}, 422),
        ({"id": "x", "k": 0}, 422),
        ({"id": "x", "k": 201}, 422),
        ({"id": "x", "path": "/etc/passwd"}, 422),
        ({"id": "x", "after": "/etc/passwd"}, 422),
        ({"id": "x", "after": -1e11}, 422),
        ({"id": "x", "cameras": ["a\0b"]}, 422),
        ({"id": "x", "of": "sonar"}, 422),
    ],
)
def test_wrong_questions_are_told_what_was_expected(client, filled, is_quiet, body, status):
    answer = client.post("/v1/search", json=body)
    assert answer.status_code == status and len(answer.json()["error"]) > 15 and is_quiet(answer)


def test_an_empty_time_range(client, filled):
    answer = search(client, after="2026-03-02", before="2026-03-01")
    assert answer.status_code == 422 and "time range is empty" in answer.json()["error"]


def test_rates_ask_for_a_calibration(client, filled, gallery):
    assert "not calibrated" in search(client, fmr=0.01).json()["error"]
    visible = Calibration(9, 9, 10.0, -5.0, (Threshold(0.01, 0.999, 0.1),), ())
    gallery.__dict__["calibrations"] = Calibrations(StandIn.fingerprint, "none", {"visible-visible": visible})
    hits = search(client, fmr=0.01, modality="visible").json()["hits"]
    assert [hit["id"] for hit in hits] == filled[:1] and hits[0]["probability"] > 0.99
    assert client.get("/v1/gallery").json()["rates"] == [0.01]
    assert "expected one of 0.01" in search(client, fmr=0.02).json()["error"]
    told = client.post("/v1/search", json={"embedding": [1.0] + [0.0] * 7, "fmr": 0.01})
    assert told.status_code == 422 and "say modality" in told.json()["error"]


def test_the_gallery_says_what_it_holds(client, filled):
    assert client.get("/v1/gallery").json() == {
        "count": 6,
        "model": StandIn.fingerprint,
        "dimensions": 8,
        "cameras": {"gate": 3, "yard": 3},
        "first": "2026-03-01T10:00:00Z",
        "last": "2026-03-04T10:00:00Z",
        "rates": [],
        "image_bytes": LIMITS["image_bytes"],
    }


def test_an_empty_gallery(client):
    assert search(client).json() == {"hits": [], "modality": "visible"}
    assert search(client, rerank="true").json()["hits"] == []
    told = client.get("/v1/gallery").json()
    assert (told["count"], told["cameras"], told["first"]) == (0, {}, None)


def test_adding_twice_adds_once(client, filled):
    files = [("images", encoded(colours(seed))) for seed in (1, 7, 7)]
    assert client.post("/v1/gallery", files=files).json() == {
        "ids": [content_id(content) for _, content in files],
        "added": 1,
        "known": 2,
    }


def test_one_bad_image_adds_none(client, filled):
    files = [("images", encoded(colours(8))), ("images", b"no picture")]
    assert client.post("/v1/gallery", files=files).status_code == 422
    assert client.get("/v1/gallery").json()["count"] == 6


def test_removing(client, filled):
    assert client.delete(f"/v1/gallery/{filled[0]}").json() == {"removed": 1}
    assert client.delete(f"/v1/gallery/{filled[0]}").status_code == 404
    assert client.get(f"/v1/gallery/{filled[0]}/image").status_code == 404
    assert client.get("/v1/gallery").json()["count"] == 5


def test_a_heat_map_says_where_a_similarity_comes_from(client, filled, lines):
    embedded = client.post("/v1/embed", files={"image": encoded(colours(1))}).json()["embedding"]
    by_vector = client.post(f"/v1/gallery/{filled[1]}/heat", json={"embedding": embedded}).json()["cells"]
    by_crop = client.post(f"/v1/gallery/{filled[1]}/heat", json={"id": filled[0]}).json()["cells"]
    by_other = client.post(f"/v1/gallery/{filled[1]}/heat", json={"id": filled[4]}).json()["cells"]
    assert (len(by_crop), len(by_crop[0])) == (12, 6) and np.allclose(by_vector, by_crop, atol=1e-4)
    assert np.abs(by_crop).max() > 0.01 and not np.allclose(by_crop, by_other, atol=0.01)
    first, second, third = lines()[-3:]
    assert {(line["action"], *line["ids"]) for line in (first, second, third)} == {("heat", filled[1])}
    assert set(first["query"]) == {"embedding"} and second["query"] == {"crop": filled[0]}


@pytest.mark.parametrize(
    ("of", "body", "status"),
    [("0" * 32, {"id": "known"}, 404), ("known", {"id": "0" * 32}, 404), ("known", {}, 422)],
)
def test_a_heat_map_is_of_two_known_crops(client, filled, is_quiet, of, body, status):
    named = {name: filled[0] if told == "known" else told for name, told in body.items()}
    answer = client.post(f"/v1/gallery/{filled[0] if of == 'known' else of}/heat", json=named)
    assert answer.status_code == status and is_quiet(answer)
    assert client.post(f"/v1/gallery/{filled[0]}/heat", content=b"{}").status_code == 415


def test_hits_have_pictures(client, filled):
    answer = client.get(search(client).json()["hits"][0]["thumbnail"])
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(BytesIO(answer.content)) as picture:
        assert picture.size == (16, 32)


def test_a_file_that_stayed_is_shown_small_and_nothing_else(client, gallery, tmp_path, is_quiet):
    paths = [tmp_path / name for name in ("large.png", "gone.png", "text.png")]
    for seed, path in enumerate(paths):
        path.write_bytes(encoded(colours(seed, (390, 200, 3))))
    gallery.add([Crop(path) for path in paths])
    rows = [content_id(path.read_bytes()) for path in paths]
    paths[1].unlink()
    paths[2].write_text("root:x:0:0")
    answers = [client.get(f"/v1/gallery/{name}/image") for name in rows]
    assert [answer.status_code for answer in answers] == [200, 404, 404] and all(map(is_quiet, answers[1:]))
    with Image.open(BytesIO(answers[0].content)) as picture:
        assert max(picture.size) == 128


def test_pictures_are_upright_and_grey_ones_infrared(client):
    image = colours(3)
    turned = Image.fromarray(np.rot90(image))
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned clockwise
    buffer = BytesIO()
    turned.save(buffer, "PNG", exif=exif)
    upright, lying = (
        client.post("/v1/embed", files={"image": content}).json()["embedding"]
        for content in (encoded(image), buffer.getvalue())
    )
    assert lying == pytest.approx(upright, abs=1e-5)
    for grey in (colours(3)[..., 0], colours(3)[..., 0].astype(np.uint16) * 257):
        answer = client.post("/v1/embed", files={"image": encoded(grey)}).json()
        assert answer["modality"] == "infrared"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP"])
def test_formats(client, kind):
    assert client.post("/v1/embed", files={"image": encoded(colours(1), kind)}).status_code == 200


def test_the_description_names_every_address(client):
    told = client.get("/v1/openapi.json").json()
    assert {(path, verb) for path, verbs in told["paths"].items() for verb in verbs} == {
        ("/v1/search", "post"),
        ("/v1/embed", "post"),
        ("/v1/gallery", "get"),
        ("/v1/gallery", "post"),
        ("/v1/gallery/{crop_id}", "delete"),
        ("/v1/gallery/{crop_id}/image", "get"),
        ("/v1/gallery/{crop_id}/heat", "post"),
        ("/healthz", "get"),
    }
    bodies = told["paths"]["/v1/search"]["post"]["requestBody"]["content"]
    assert "embedding" in bodies["application/json"]["schema"]["properties"]
    assert "image" in bodies["multipart/form-data"]["schema"]["properties"]
    assert told["paths"]["/v1/search"]["post"]["security"] == [{"HTTPBearer": []}]


def test_a_full_queue_is_told_to_come_back(gallery, filled):
    """One request is held in the model, one waits, the third is turned away, and both others are served."""
    inside, go_on = threading.Event(), threading.Event()
    plain = gallery._embedder.embed_pixels

    def slow(pixels, modalities):
        inside.set()
        assert go_on.wait(20)
        return plain(pixels, modalities)

    gallery._embedder.embed_pixels = slow
    app = create_app(gallery, tokens=None, limits=Limits(waiting=1))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(search(client))) for _ in range(2)]
        for thread in threads:
            thread.start()
            assert inside.wait(20)
        while app.state.desk._taken < 2:
            threads[1].join(0.01)
        refused = search(client)
        assert client.get("/v1/gallery").status_code == 200  # what needs no model is served meanwhile
        go_on.set()
        for thread in threads:
            thread.join()
    assert refused.status_code == 503 and refused.headers["retry-after"] == "1" and "try again" in refused.text
    assert [answer.status_code for answer in answers] == [200, 200]


def test_what_breaks_tells_nothing(client, filled, gallery, is_quiet, caplog):
    def fail(*_):
        raise RuntimeError("cannot read /etc/secret")

    gallery._embedder.embed_pixels = fail
    answer = search(client)
    assert answer.status_code == 500 and answer.json() == {"error": "the server failed; its log says why"}
    assert is_quiet(answer) and "/etc/secret" in caplog.text


def test_the_shipped_model_finds_a_crop(tmp_path):
    from vireid.search.gallery import Gallery

    gallery = Gallery.create(tmp_path / "shipped")
    (tmp_path / "a.png").write_bytes(encoded(colours(1)))
    gallery.add([Crop(tmp_path / "a.png", camera="gate")])
    with TestClient(create_app(gallery, tokens=None), base_url="http://localhost") as client:
        (hit,) = search(client, 1, modality="visible").json()["hits"]
        assert hit["score"] == pytest.approx(1, abs=1e-5) and hit["camera"] == "gate" and hit["probability"] > 0.5
        assert search(client, 1, modality="visible", fmr=0.01).json()["hits"][0]["id"] == hit["id"]
        assert client.get(hit["thumbnail"]).status_code == 200
