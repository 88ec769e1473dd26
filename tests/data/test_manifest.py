import shutil

import pytest
from trees import make_manifest_csv, make_manifest_tree, person, save, write_manifest

from vireid.data.manifest import Config, check, load, read
from vireid.errors import InputError
from vireid.sample import Modality, Sample

ROWS = [["a.jpg", 1, "visible", 1, "test"], ["b.jpg", 1, "infrared", 2, "test"]]


def test_csv_rows_become_samples(tmp_path):
    file = write_manifest(
        tmp_path / "list.csv",
        [
            ["sub/a.jpg", "0017", "Visible", "3", "train", "t1", "08:15"],
            ["sub\\b.png", "17", "infrared", "", "", "", ""],
        ],
        "path,pid,modality,camid,split,track,time",
    )
    assert read(file) == [
        Sample(tmp_path / "sub/a.jpg", 17, Modality.VISIBLE, 3, "train", "t1", "08:15"),
        Sample(tmp_path / "sub/b.png", 17, Modality.INFRARED, 0, "test"),
    ]


def test_columns_in_any_order_byte_order_mark_blank_lines_and_quotes(tmp_path):
    file = tmp_path / "m.csv"
    file.write_text('\ufeffmodality,pid,path,note\n\nvisible,1,"a, b.jpg",x\ninfrared,1,c.jpg,\n', encoding="utf-8")
    samples = load(Config(root=file))
    assert [s.path.name for s in samples] == ["a, b.jpg", "c.jpg"]
    assert {s.camid for s in samples} == {0}


def test_a_folder_with_manifest_csv_and_an_absolute_path(tmp_path):
    write_manifest(tmp_path / "manifest.csv", [*ROWS, [tmp_path / "x" / "c.jpg", 2, "visible", 1, "train"]])
    assert load(Config(root=tmp_path))[2].path == tmp_path / "x" / "c.jpg"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["c.jpg", 2, "visible"], r"row 4: got 3 cells, expected 5"),
        (["c.jpg", 2, "visible", 1, "train", "", ""], "row 4: got 7 cells, expected 5"),
        (["", 2, "visible", 1, "train"], "row 4: path is '', expected an image file"),
        (["c.jpg", "anna", "visible", 1, "train"], "row 4: pid is 'anna', expected the identity's number"),
        (["c.jpg", -2, "visible", 1, "train"], "row 4: pid is '-2'"),
        (["c.jpg", 2, "rgb", 1, "train"], "row 4: modality is 'rgb', expected visible or infrared"),
        (["c.jpg", 2, "visible", "north", "train"], "row 4: camid is 'north', expected the camera's number"),
        (["c.jpg", 2, "visible", 1, "probe"], "row 4: split is 'probe', expected one of train, val"),
        (["a.jpg", 2, "visible", 1, "train"], "row 4: a.jpg is listed already in row 2"),
    ],
)
def test_bad_row(tmp_path, row, message):
    file = write_manifest(tmp_path / "m.csv", [*ROWS, row])
    with pytest.raises(InputError, match=message) as error:
        load(Config(root=file))
    assert str(error.value).startswith(f"{file}, ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("path,id,modality,camid,split", "no column pid; got 'path,id,modality,camid,split'"),
        ("path,pid,modality,camera,split", "unknown column 'camera', did you mean 'camid'"),
        ("path,pid,modality,pid,split", "a column is named twice"),
    ],
)
def test_bad_header(tmp_path, header, message):
    with pytest.raises(InputError, match=message):
        load(Config(root=write_manifest(tmp_path / "m.csv", ROWS, header)))


def test_empty_and_foreign_files(tmp_path):
    with pytest.raises(InputError, match="has no rows"):
        load(Config(root=write_manifest(tmp_path / "m.csv", [])))
    (tmp_path / "empty.csv").touch()
    with pytest.raises(InputError, match="no column path, pid, modality"):
        load(Config(root=tmp_path / "empty.csv"))
    with pytest.raises(InputError, match="not UTF-8 text"):
        load(Config(root=save(tmp_path / "a.jpg", person(1, False, 0))))
    with pytest.raises(InputError, match="nowhere does not exist"):
        load(Config(root=tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["a.jpg", 1, "infrared", 1, "query"]], "the gallery is empty, though there are query rows"),
        ([["a.jpg", 1, "infrared", 1, "gallery"]], "the query is empty"),
        (
            [["a.jpg", 1, "visible", 1, "query"], ["b.jpg", 1, "visible", 2, "gallery"]],
            "the gallery is empty: no infrared test image",
        ),
        ([["a.jpg", 1, "infrared", 1, "test"]], "the gallery is empty: no visible test image"),
    ],
)
def test_one_side_only(tmp_path, rows, message):
    file = write_manifest(tmp_path / "m.csv", rows)
    with pytest.raises(InputError, match=message):
        load(Config(root=file))
    assert len(read(file)) == len(rows)
    report = check(file)
    assert not report.ok


def test_tree(tmp_path):
    root = make_manifest_tree(tmp_path / "cam" / "pairs", identities=3, images=2)
    samples = load(Config(root=root))
    assert len(samples) == 12
    assert samples[0] == Sample(root / "visible" / "0001" / "00.png", 1, Modality.VISIBLE)
    assert samples[-1] == Sample(root / "infrared" / "0003" / "01.png", 3, Modality.INFRARED)


def test_bad_trees(tmp_path):
    with pytest.raises(InputError, match=r"neither manifest\.csv nor visible/ and infrared/"):
        load(Config(root=tmp_path))
    root = make_manifest_tree(tmp_path / "a")
    (root / "visible" / "0001").rename(root / "visible" / "anna")
    with pytest.raises(InputError, match="got folder name 'anna', expected the identity's number"):
        load(Config(root=root))
    shutil.rmtree(root / "infrared")
    with pytest.raises(InputError, match="has visible/ but no infrared/"):
        load(Config(root=root))
    (tmp_path / "b" / "visible").mkdir(parents=True)
    (tmp_path / "b" / "infrared").mkdir()
    with pytest.raises(InputError, match="hold no image"):
        load(Config(root=tmp_path / "b"))


def test_check_counts_and_names_what_is_wrong(tmp_path):
    file = make_manifest_csv(tmp_path, train=2, test=2, images=2)
    with file.open("a") as stream:
        stream.write("images/gone.jpg,77,visible,,test\nimages/broken.jpg,3,visible,1,test\n")
    (tmp_path / "images" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    report = check(tmp_path)
    rows = {row.what: row.found for row in report.rows}
    assert rows["images"] == 18
    assert rows["train images, visible"] == 4
    assert (rows["identities"], rows["identities in both modalities"]) == (5, 4)
    assert rows["unreadable images"] == 2
    assert not report.ok
    notes = "\n".join(report.notes)
    assert "images/gone.jpg (no such file)" in notes
    assert "broken.jpg (" in notes
    assert "identities in one modality only: 1, for example [77]" in notes
    assert "1 images have no camera" in notes
    assert report.to_dict()["ok"] is False


def test_check_of_a_sound_tree(tmp_path):
    assert check(make_manifest_tree(tmp_path)).ok
