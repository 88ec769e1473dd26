"""`vireid index` and `vireid search` on a few made-up crops: what they print, and what they answer to bad input."""

import json
import shutil

import numpy as np
import pytest
import trees
from test_commands import call, refused

from vireid.models.weights import SHIPPED


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    return trees.make_manifest_tree(tmp_path_factory.mktemp("crops"), identities=3, images=1)


@pytest.fixture
def gallery(crops, tmp_path, capfd):
    """A gallery of three visible crops of the gate in March and three infrared ones of the yard in April."""
    gallery = tmp_path / "people"
    for kind, camera, time in (("visible", "gate", "2026-03-01T10:00:00"), ("infrared", "the yard", "2026-04-01")):
        status, _, err = call(capfd, "index", "add", gallery, crops / kind, "--camera", camera, "--time", time)
        assert status == 0, err
    return gallery


def hits(capfd, *arguments):
    status, out, err = call(capfd, "search", *arguments, "--json")
    assert status == 0, err
    return json.loads(out)["hits"]


def test_adding_says_what_is_new(gallery, crops, capfd):
    status, out, _ = call(capfd, "index", "add", gallery, crops)
    assert status == 0 and "0 added, 6 were there already" in out and out.endswith("people: 6 crops\n")


def test_a_search_finds_the_crop_itself_first(gallery, crops, capfd):
    query = crops / "visible" / "0002" / "00.png"
    found = hits(capfd, gallery, query)
    assert len(found) == 6 and found[0]["path"] == str(query) and found[0]["score"] > 0.999
    assert found[0]["camera"] == "gate" and found[0]["time"] == "2026-03-01T10:00:00Z"
    assert found[0]["modality"] == "visible" and [hit["rank"] for hit in found] == [1, 2, 3, 4, 5, 6]
    status, out, _ = call(capfd, "search", gallery, query, "-k", "2")
    assert status == 0 and len(out.splitlines()) == 3 and out.split()[:4] == ["rank", "score", "probability", "path"]
    reranked = hits(capfd, gallery, query, "--rerank", "k-reciprocal")
    assert {hit["id"] for hit in reranked} == {hit["id"] for hit in found} and reranked[0]["distance"] is not None


def test_filters(gallery, crops, capfd):
    query = crops / "visible" / "0001" / "00.png"
    for words, camera in ((["--camera", "the yard"], "the yard"), (["--before", "2026-03-15"], "gate")):
        found = hits(capfd, gallery, query, *words)
        assert len(found) == 3 and {hit["camera"] for hit in found} == {camera}
    assert len(hits(capfd, gallery, query, "--of", "infrared", "--after", "2026-03-15", "-k", "2")) == 2
    status, out, _ = call(capfd, "search", gallery, query, "--camera", "nowhere")
    assert status == 0 and "no crop matches" in out


def test_listing_and_removing(gallery, capfd):
    status, out, _ = call(capfd, "index", "list", gallery, "--camera", "gate", "--json")
    told = json.loads(out)
    assert status == 0 and (told["crops"], told["matching"], told["model"]) == (6, 3, "default")
    assert {row["camera"] for row in told["rows"]} == {"gate"}
    status, out, _ = call(capfd, "index", "list", gallery, "--limit", "2")
    assert "6 crops" in out and sum("00.png" in line for line in out.splitlines()) == 2
    status, out, _ = call(capfd, "index", "remove", gallery, "--id", told["rows"][0]["id"])
    assert status == 0 and "1 crops removed, 5 left" in out
    assert call(capfd, "index", "remove", gallery, "--after", "2026-03-15")[1].endswith("3 crops removed, 2 left\n")


def test_embeddings_in_a_file_can_be_added(crops, tmp_path, capfd):
    manifest = trees.write_manifest(
        crops / "manifest.csv",
        [["visible/0001/00.png", 1, "visible", 4, "", "walk", "2026-03-01"]],
        "path,pid,modality,camid,split,track,time",
    )
    file = tmp_path / "crops.parquet"
    assert call(capfd, "embed", manifest, "--output", file)[0] == 0
    manifest.unlink()
    status, out, err = call(capfd, "index", "add", tmp_path / "people", file)
    assert status == 0 and "1 added" in out, err
    (row,) = json.loads(call(capfd, "index", "list", tmp_path / "people", "--json")[1])["rows"]
    assert (row["pid"], row["camera"], row["track"], row["time"]) == ("1", "4", "walk", "2026-03-01T00:00:00Z")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Four people in two visible cameras and one infrared one."""
    rows = []
    root = tmp_path_factory.mktemp("labelled")
    for pid in range(1, 5):
        for camera in (1, 2, 3):
            path = trees.save(root / f"{pid}-{camera}.png", trees.person(pid, camera == 3, camera))
            rows.append([path.name, pid, "infrared" if camera == 3 else "visible", camera, "test"])
    return trees.write_manifest(root / "manifest.csv", rows)


def test_scores_get_a_meaning(labelled, crops, tmp_path, capfd):
    run = shutil.copytree(SHIPPED, tmp_path / "run")
    (run / "calibration.json").unlink()
    gallery, query = tmp_path / "people", crops / "infrared" / "0001" / "00.png"
    call(capfd, "index", "add", gallery, labelled, "--model", run)
    assert hits(capfd, gallery, query)[0]["probability"] is None
    told = refused(capfd, "search", gallery, query, "--fmr", "0.1")
    assert f"run vireid calibrate {run} first" in told
    status, out, err = call(capfd, "calibrate", run, "--data", labelled)
    assert status == 0 and "visible-infrared" in out and "calibration.json, .png and .svg" in err
    assert "<svg" in (run / "calibration.svg").read_text()
    found = hits(capfd, gallery, query)
    assert all(0 < hit["probability"] < 1 for hit in found if hit["modality"] == "visible")
    assert all(hit["probability"] is None for hit in found if hit["modality"] == "infrared")  # one camera each
    assert "known are none" in refused(capfd, "search", gallery, query, "--of", "visible", "--fmr", "0.01")
    (run / "calibration.json").write_text("{")
    assert "is damaged" in refused(capfd, "search", gallery, query)


def test_a_gallery_of_the_shipped_model_goes_by_a_calibration_beside_it(labelled, crops, tmp_path, capfd):
    gallery, query = tmp_path / "people", crops / "infrared" / "0001" / "00.png"
    call(capfd, "index", "add", gallery, labelled)
    shipped = [hit["probability"] for hit in hits(capfd, gallery, query)]
    call(capfd, "calibrate", "default", "--data", labelled, "--output", tmp_path / "people.calibration.json")
    found = hits(capfd, gallery, query)
    assert [hit["probability"] for hit in found] != shipped
    assert all(hit["probability"] is None for hit in found if hit["modality"] == "infrared")  # one camera each
    # One of another model says nothing of this one.
    file = tmp_path / "people.calibration.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"fingerprint": "0" * 16}))
    assert [hit["probability"] for hit in hits(capfd, gallery, query)] == shipped


def test_a_mixed_gallery_is_evaluated(labelled, capfd):
    status, out, _ = call(
        capfd, "evaluate", "default", "--data", labelled, "--gallery", "mixed", "--rerank", "both", "--json"
    )
    rows = json.loads(out)
    assert status == 0 and [(row["direction"], row["rerank"]) for row in rows] == [
        ("i2v", "off"),
        ("i2v", "k-reciprocal"),
        ("v2i", "off"),
        ("v2i", "k-reciprocal"),
    ]
    assert {row["protocol"] for row in rows} == {"mixed gallery"}
    # Eleven other images for an infrared query, two of them its person's.
    assert rows[0]["chance"]["rank1"] == pytest.approx(2 / 11)


def test_the_shipped_model_can_say_that_nobody_matches(gallery, crops, tmp_path, capfd):
    query = crops / "visible" / "0001" / "00.png"
    assert all(0 < hit["probability"] < 1 for hit in hits(capfd, gallery, query))
    kept = hits(capfd, gallery, query, "--fmr", "0.01")
    assert 1 <= len(kept) <= 6 and kept[0]["score"] > 0.999
    noise = trees.save(tmp_path / "noise.png", np.random.default_rng(0).integers(0, 256, (64, 32, 3), np.uint8))
    status, out, _ = call(capfd, "search", gallery, noise, "--fmr", "0.0001")
    assert status == 0 and "nobody matches" in out
    assert "known are 0.1, 0.01, 0.001" in refused(capfd, "search", gallery, query, "--fmr", "0.5")
    assert "--output" in refused(capfd, "calibrate", "default", "--data", "mini")


def test_optimizing_a_small_gallery_keeps_it_exact(gallery, capfd):
    status, out, _ = call(capfd, "index", "optimize", gallery)
    assert status == 0 and "6 crops, 0 of them in the index" in out


def test_bad_input_is_told_in_one_line(gallery, crops, tmp_path, capfd):
    query = crops / "visible" / "0001" / "00.png"
    (tmp_path / "file").write_text("x")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("x")
    for words, told in (
        (["search", tmp_path / "gone", query], "gone"),
        (["search", tmp_path / "foreign", query], "foreign"),
        (["search", gallery, tmp_path / "gone.jpg"], "gone.jpg"),
        (["search", gallery, tmp_path / "file"], "file"),
        (["search", gallery, query, "--after", "yesterday"], "expected ISO 8601"),
        (["search", gallery, query, "--after", "2026-03-02", "--before", "2026-03-01"], "is empty"),
        (["search", gallery, query, "-k", "0"], "-k"),
        (["index", "add", gallery, tmp_path / "gone"], "does not exist"),
        (["index", "add", gallery, crops, "--time", "noon"], "expected ISO 8601"),
        (["index", "add", gallery, crops, "--model", tmp_path / "gone"], "run not found"),
        (["index", "add", tmp_path / "new", tmp_path / "gone"], "does not exist"),
        (["index", "add", tmp_path / "file", crops], "file"),
        (["index", "remove", gallery], "which crops"),
        (["index", "list", tmp_path / "gone"], "gone"),
        (["index", "optimize", "http://127.0.0.1:9"], "127.0.0.1:9"),
    ):
        assert told in refused(capfd, *words), words
    assert not (tmp_path / "new").exists()
