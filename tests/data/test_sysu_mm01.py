import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from trees import make_sysu

from vireid.data import sysu_mm01
from vireid.data.sysu_mm01 import Config, check, load, official_permutations
from vireid.errors import InputError
from vireid.sample import Modality

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def root(tmp_path):
    # A root with "cam", dots and digits in it: only whole path components may count.
    return make_sysu(tmp_path / "cam3" / "camera.v2" / "SYSU-MM01", images=3)


def test_samples_come_in_camera_identity_file_order(root):
    samples = load(Config(root=root))
    assert len(samples) == 16 * 6 * 3
    keys = [(s.camid, s.pid, s.path.name) for s in samples]
    assert keys == sorted(keys)
    first = samples[0]
    assert (first.path, first.pid, first.camid) == (root / "cam1" / "0001" / "0001.jpg", 1, 1)
    assert {s.camid for s in samples if s.modality is Modality.INFRARED} == {3, 6}
    assert {s.camid for s in samples if s.modality is Modality.VISIBLE} == {1, 2, 4, 5}
    assert {s.pid for s in samples if s.split == "test"} == set(range(11, 17))
    assert {s.pid for s in samples if s.split == "train"} == set(range(1, 11))


def test_validation_identities_can_be_kept_apart(root):
    samples = load(Config(root=root, train_ids="train"))
    assert {s.pid for s in samples if s.split == "val"} == {9, 10}
    assert {s.pid for s in samples if s.split == "train"} == set(range(1, 9))


@pytest.mark.parametrize("suffix", [".png", ".jpeg", ".bmp", ".JPG"])
def test_other_image_kinds(tmp_path, suffix):
    root = make_sysu(tmp_path, train=[1], val=[2], test=[3], images=1, suffix=suffix)
    assert len(load(Config(root=root))) == 3 * 6


def test_five_digit_identities_and_foreign_folders(tmp_path):
    root = make_sysu(tmp_path, train=[1], val=[2], test=[12345], images=1, permutations=False)
    (root / "cam1" / "notes").mkdir()
    (root / "cam1" / "0777").mkdir()
    (root / "cam1" / "0001" / "Thumbs.db").touch()
    assert {s.pid for s in load(Config(root=root))} == {1, 2, 12345}


@pytest.mark.parametrize("camera", ["cam1", "cam6"])
def test_missing_camera_folder(root, camera):
    (root / camera).rename(root / "elsewhere")
    with pytest.raises(InputError, match=rf"{camera} does not exist"):
        load(Config(root=root))


def test_missing_root_and_lists(root, tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        load(Config(root=tmp_path / "nowhere"))
    (root / "exp" / "test_id.txt").unlink()
    with pytest.raises(InputError, match=r"test_id\.txt does not exist"):
        load(Config(root=root))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("11,x12,13", "got 'x12', expected identity numbers"),
        ("", "lists no identity"),
        ("11,11", "lists identity 11 twice"),
        ("3,11", "identity 3 is in train_id.txt as well"),
        ("11,999", "identity 999 of exp/test_id.txt has no image"),
    ],
)
def test_bad_identity_list(root, text, message):
    (root / "exp" / "test_id.txt").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        load(Config(root=root))
    assert "\n" not in str(error.value)


def test_empty_gallery_and_query(tmp_path):
    counts = {11: [0, 0, 2, 2, 2, 2], 12: [0, 0, 2, 2, 2, 2]}
    root = make_sysu(tmp_path / "a", test=[11, 12], counts=counts)
    load(Config(root=root))
    with pytest.raises(InputError, match="the gallery is empty; expected test identities in cam1, cam2"):
        load(Config(root=root, search="indoor"))
    root = make_sysu(tmp_path / "b", test=[11], counts={11: [2, 2, 0, 2, 2, 0]})
    with pytest.raises(InputError, match="the query is empty"):
        load(Config(root=root))


def test_official_permutations_are_read_right(tmp_path):
    """The official file's first ten entries of each test identity, in its cell structure."""
    counts = {int(pid): n for pid, n in json.loads((GOLDEN / "sysu_counts.json").read_text())["counts"].items()}
    first = json.loads((GOLDEN / "official_perm_first10.json").read_text())["perm"]
    known = {
        (int(camera.removeprefix("cam")), int(pid)): np.array([row.split() for row in rows], np.int64)
        for camera, people in first.items()
        for pid, rows in people.items()
    }
    root = make_sysu(tmp_path, train=[], val=[], test=sorted(counts), counts=counts, known=known, empty_images=True)
    draws = official_permutations(root)
    assert sum(key[0] in sysu_mm01.VISIBLE_CAMERAS for key in draws) == 301
    assert sum(key[0] in sysu_mm01.INDOOR_CAMERAS for key in draws) == 112
    for key, rows in known.items():
        assert draws[key].shape == (10, counts[key[1]][key[0] - 1])
        np.testing.assert_array_equal(draws[key][:, :10], rows)
    chosen = json.loads((GOLDEN / "official_sysu.json").read_text())
    trials = chosen["first_selected_cam_pid_images_1based_trials_0_and_9"]
    for trial, entries in zip((0, 9), trials["all_10shot"], strict=True):
        for camid, pid, images in entries:
            assert draws[camid, pid][trial, :10].tolist() == images
    rows = {row.what: row for row in check_with_lists(root).rows}
    assert rows["query images (cameras 3 and 6)"].ok
    assert rows["gallery of one shot, all search"].ok
    assert rows["gallery of one shot, indoor search"].ok
    assert rows["test folders whose image count differs from rand_perm_cam.mat"].ok


def check_with_lists(root):
    # The golden counts cover the test identities only; the other lists may not be empty.
    for name, pid in (("train", 8001), ("val", 8002)):
        (root / "exp" / f"{name}_id.txt").write_text(str(pid))
    return check(root)


def test_permutation_file_in_the_root_counts_too(root):
    (root / "exp" / "rand_perm_cam.mat").rename(root / "rand_perm_cam.mat")
    assert official_permutations(root)[1, 11].shape == (10, 3)


def test_missing_permutations_name_their_source(root):
    (root / "exp" / "rand_perm_cam.mat").unlink()
    load(Config(root=root))  # training needs no gallery draw
    with pytest.raises(InputError, match="wuancong/SYSU-MM01"):
        official_permutations(root)


@pytest.mark.parametrize("content", [{"other": 1}, {"rand_perm_cam": np.ones((10, 4))}])
def test_foreign_permutation_file(root, content):
    savemat(root / "exp" / "rand_perm_cam.mat", content)
    with pytest.raises(InputError, match="expected `rand_perm_cam`"):
        official_permutations(root)


def test_damaged_permutation_file(root):
    file = root / "exp" / "rand_perm_cam.mat"
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(InputError, match="expected `rand_perm_cam`"):
        official_permutations(root)
    cell = np.empty((1, 1), object)
    cell[0, 0] = np.array([[1, 1, 3]] * 10)
    cameras = np.empty((6, 1), object)
    cameras[:, 0] = [cell] * 6
    savemat(file, {"rand_perm_cam": cameras})
    with pytest.raises(InputError, match="camera 1, identity 1 holds something else"):
        official_permutations(root)


def test_a_rendered_set_s_damaged_permutations_are_written_anew(root):
    (root / "exp" / "rand_perm_cam.mat").write_bytes(b"nothing")
    (root / "dataset.json").write_text('{"name": "SynthVI", "part": "nir"}')
    with pytest.raises(InputError, match="`vireid synth` command that made the set writes it anew"):
        official_permutations(root)


def test_check_counts_and_names_the_source(root):
    report = check(root)
    rows = {row.what: row for row in report.rows}
    assert not report.ok
    assert (rows["identities"].found, rows["identities"].expected) == (16, 491)
    assert (rows["training images, visible"].found, rows["training images, visible"].expected) == (
        120,
        22_258,
    )
    assert rows["training images, infrared"].expected == 11_909
    assert (rows["query images (cameras 3 and 6)"].found, rows["gallery of one shot, all search"].found) == (
        36,
        24,
    )
    assert "github.com/wuancong/SYSU-MM01" in report.table()


def test_check_of_a_part(root, tmp_path):
    (root / "cam6").rename(root / "elsewhere")
    (root / "exp" / "val_id.txt").unlink()
    report = check(root)
    assert not report.ok
    assert any("missing: cam6" in note for note in report.notes)
    assert any("val_id.txt does not exist" in note for note in report.notes)
    with pytest.raises(InputError, match="agreement"):
        check(tmp_path / "nowhere")


def test_check_decodes_the_images_without_lists(root):
    (root / "exp" / "test_id.txt").unlink()
    damaged = root / "cam2" / "0011" / "0001.jpg"
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert any(note.startswith(f"unreadable: {damaged}") for note in check(root).notes)


def test_check_of_official_data_needs_what_loading_needs(root):
    (root / "exp" / "available_id.txt").unlink()
    assert not any("MATLAB" in row.what for row in check(root).rows)


def test_check_of_a_rendered_set_needs_its_numbers(root):
    kinds = ("train visible", "train infrared", "test visible", "test infrared")
    about = {"name": "SynthVI", "identities": {"train": 10, "test": 6}, "counts": dict.fromkeys(kinds, 9)}
    file = root / "dataset.json"
    file.write_text(json.dumps(about))
    assert check(root).rows
    for key, lost in (("identities", "train"), ("counts", "test infrared")):
        for numbers in ({k: n for k, n in about[key].items() if k != lost}, about[key] | {lost: 1.5}, None):
            file.write_text(json.dumps(about | {key: numbers}))
            with pytest.raises(InputError, match=rf"dataset\.json: {key} is .*, expected whole numbers of .*{lost}"):
                check(root)
    for text in ("{", "[" * 100_000):
        file.write_text(text)
        with pytest.raises(InputError, match=r"dataset\.json is not JSON"):
            check(root)
    file.write_text('{"name": "mine"}')
    assert {row.what: row.expected for row in check(root).rows}["identities"] == 491


def test_check_decodes_the_images(root):
    assert {row.what: row for row in check(root).rows}["unreadable images"].ok
    damaged = next((root / "cam2/0011").rglob("*.*"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    report = check(root)
    assert {row.what: row for row in report.rows}["unreadable images"].found == 1
    assert any(note.startswith(f"unreadable: {damaged}") for note in report.notes)
