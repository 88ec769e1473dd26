"""Galleries of a few crops with the shipped model, in each of the stores."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from trees import make_manifest_tree, save

import vireid
from vireid.bulk import Crop, embed_source
from vireid.errors import InputError
from vireid.sample import Modality
from vireid.search.gallery import Gallery, find
from vireid.search.where import Where


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Four people, each seen once by each kind of camera, with what a manifest would tell."""
    root = make_manifest_tree(tmp_path_factory.mktemp("crops"), identities=4, images=1)
    found = sorted(path for path in root.rglob("*") if path.suffix in (".jpg", ".png"))
    return [
        Crop(path, Modality[path.parts[-3].upper()], path.parts[-2], f"gate {k % 2}", f"2026-03-0{1 + k}")
        for k, path in enumerate(found)
    ]


@pytest.fixture
def gallery(crops, uri):
    gallery = Gallery.create(uri)
    gallery.add(crops)
    return gallery


def test_a_crop_is_found_by_its_picture_its_array_and_its_embedding(gallery, crops):
    own = gallery.embedder.embed([crops[2].path], crops[2].modality)[0]
    by_path = gallery.search(crops[2].path, 3, modality=crops[2].modality)
    assert [hit.id for hit in by_path] == [hit.id for hit in gallery.search(own, 3)]
    assert by_path[0].path == str(crops[2].path.resolve()) and by_path[0].score == pytest.approx(1, abs=1e-5)
    assert (by_path[0].pid, by_path[0].camera, by_path[0].modality) == (crops[2].pid, "gate 0", crops[2].modality)
    assert [hit.score for hit in by_path] == sorted((hit.score for hit in by_path), reverse=True)


def test_scores_are_cosines(gallery, crops):
    vectors = np.concatenate([gallery.embedder.embed([crop.path], crop.modality) for crop in crops])
    found = {hit.path: hit.score for hit in gallery.search(vectors[0], 20)}
    expected = {str(crop.path.resolve()): score for crop, score in zip(crops, vectors @ vectors[0], strict=True)}
    assert found == pytest.approx(expected, abs=1e-5)


def test_filters_choose_before_the_search(gallery, crops):
    query = crops[0].path
    assert {hit.camera for hit in gallery.search(query, where=Where(cameras=("gate 1",)))} == {"gate 1"}
    infrared = gallery.search(query, where=Where(modality=Modality.INFRARED))
    assert len(infrared) == 4 and {hit.modality for hit in infrared} == {Modality.INFRARED}
    assert gallery.search(query, where=Where(cameras=("nowhere",))) == []


def test_adding_again_changes_nothing(gallery, crops, tmp_path):
    again = gallery.add(crops)
    assert (again.new, again.known, gallery.count()) == (0, len(crops), len(crops))
    copy = tmp_path / "copy.png"
    copy.write_bytes(crops[0].path.read_bytes())
    other = save(tmp_path / "other.png", np.full((32, 16, 3), 7, np.uint8))
    mixed = gallery.add([Crop(copy), Crop(other or tmp_path / "other.png"), Crop(tmp_path / "other.png")])
    assert (mixed.new, mixed.known) == (1, 2)


def test_a_picture_that_cannot_be_read_is_named_and_left_out(gallery, crops, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    added = gallery.add([Crop(tmp_path / "broken.jpg"), Crop(tmp_path / "gone.jpg")])
    assert added.new == added.known == 0
    assert [path.name for path, _ in added.unreadable] == ["broken.jpg", "gone.jpg"]


def test_a_file_of_embeddings_is_the_same_as_its_images(gallery, crops, tmp_path):
    folder = crops[0].path.parents[2]
    file = tmp_path / "crops.parquet"
    embed_source(folder, file)
    added = gallery.add_file(file)
    assert (added.new, added.known) == (0, len(crops))
    fresh = Gallery.create(tmp_path / "fresh")
    assert fresh.add_file(file).new == len(crops)
    ids = [{row.id for row in each.crops()} for each in (fresh, gallery)]
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda table: table.replace_schema_metadata({"vireid.fingerprint": "other"}), "has fingerprint other"),
        (lambda table: table.drop_columns(["modality"]), "no column modality"),
        (lambda table: table.set_column(2, "modality", pa.array(["sonar"] * table.num_rows)), "modality is 'sonar'"),
        (lambda table: table.set_column(0, "embedding", pa.array([[1.0]] * table.num_rows)), "something else"),
    ],
)
def test_foreign_files_are_refused(gallery, crops, tmp_path, change, told):
    file = tmp_path / "crops.parquet"
    embed_source(crops[0].path, file)
    parquet.write_table(change(parquet.read_table(file)), file)
    with pytest.raises(InputError, match=told):
        gallery.add_file(file)


def test_a_file_that_is_none(gallery, tmp_path):
    (tmp_path / "x.parquet").write_text("hello")
    for name in ("x.parquet", "gone.parquet"):
        with pytest.raises(InputError, match="cannot be read"):
            gallery.add_file(tmp_path / name)


def test_a_gallery_stays_with_its_model(gallery, uri, tmp_path, monkeypatch):
    name = gallery.facts.fingerprint
    assert name == vireid.load("default").fingerprint and len(name) == 16
    again = Gallery.open(uri)
    assert again.facts == gallery.facts and again.count() == gallery.count()
    again.store.facts = replace(again.facts, fingerprint="0" * 16)
    with pytest.raises(InputError, match="make another"):
        _ = again.embedder
    with pytest.raises(InputError, match="fingerprint"):
        again.require_model("default")


def test_reranking_sorts_the_nearest_anew(gallery, crops):
    plain, reranked = (gallery.search(crops[0].path, 8, rerank=rerank) for rerank in (False, True))
    assert {hit.id for hit in plain} == {hit.id for hit in reranked}
    assert [hit.distance for hit in reranked] == sorted(hit.distance for hit in reranked)
    assert reranked[0].id == plain[0].id and all(hit.distance is None for hit in plain)
    assert gallery.search(crops[0].path, rerank=True, where=Where(ids=(plain[0].id,)))[0].id == plain[0].id


def test_thumbnails_are_small_pictures(crops, tmp_path):
    gallery = Gallery.create(tmp_path / "small")
    gallery.add(crops[:1], thumbnails=True)
    (row,) = gallery.crops()
    assert gallery.thumbnail(row.id).startswith(b"\xff\xd8")
    assert gallery.thumbnail("nobody") is None


def test_images_without_files_are_kept_with_small_pictures(crops, tmp_path):
    gallery = Gallery.create(tmp_path / "arrays")
    images = [np.full((300, 150, 3), tone, np.uint8) for tone in (10, 200)]
    added = gallery.add_images(iter(images), ["a", "b"], modality="visible", camera="gate", time="2026-03-01", pid="7")
    assert (added.new, added.known, added.timeless) == (2, 0, 0)
    rows = sorted(gallery.crops(), key=lambda row: row.id)
    assert [(row.id, row.path, row.camera, row.pid, row.track) for row in rows] == [
        ("a", "", "gate", "7", ""),
        ("b", "", "gate", "7", ""),
    ]
    assert rows[0].time == 1772323200 and gallery.thumbnail("a").startswith(b"\xff\xd8")
    assert gallery.search(images[1], 1, modality="visible")[0].id == "b"
    again = gallery.add_images(images, ["a", "c"], modality="visible")
    assert (again.new, again.known) == (1, 1)
    with pytest.raises(InputError, match="expected uint8"):
        gallery.add_images([images[0], np.zeros(3, np.uint8)], ["d", "e"])
    assert gallery.count() == 3 and gallery.add_images([], []).new == 0


def test_removing_needs_to_be_told_what(gallery):
    with pytest.raises(InputError, match="which crops"):
        gallery.remove(Where())
    assert gallery.remove(Where(cameras=("gate 0",))) == 4 and gallery.count() == 4


def test_a_time_in_other_words_is_left_out_and_told(crops, tmp_path):
    gallery = Gallery.create(tmp_path / "days")
    added = gallery.add([replace(crops[0], time="day1"), crops[1]])
    assert (added.new, added.timeless) == (2, 1)
    assert sorted(row.time is None for row in gallery.crops()) == [False, True]


@pytest.mark.parametrize("query", [np.zeros(3, np.float32), np.full(512, np.nan, np.float32)])
def test_wrong_embeddings_are_refused(gallery, query):
    with pytest.raises(InputError, match=r"shape|not finite"):
        gallery.search(query)


def test_an_empty_gallery_finds_nothing(crops, tmp_path):
    gallery = Gallery.create(tmp_path / "empty")
    assert gallery.search(crops[0].path) == gallery.search(crops[0].path, rerank=True) == []


def test_what_is_told_for_all_does_not_replace_what_a_manifest_tells(tmp_path):
    save(tmp_path / "a.png", np.zeros((8, 4, 3), np.uint8))
    (crop,) = find(tmp_path / "a.png", "gate", "2026-03-01")
    assert (crop.camera, crop.time) == ("gate", "2026-03-01")
    with pytest.raises(InputError, match="leave out --camera"):
        find(tmp_path / "a.parquet", "gate")
    assert find(tmp_path / "a.parquet") is None
