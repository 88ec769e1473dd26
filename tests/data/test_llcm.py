import shutil

import pytest
from trees import make_llcm

from vireid.data.llcm import Config, check, load
from vireid.errors import InputError
from vireid.sample import Modality


@pytest.fixture
def root(tmp_path):
    return make_llcm(tmp_path / "cam" / "c05_LLCM", train=4, test=3, images=2)


def test_samples(root):
    samples = load(Config(root=root))
    train = [s for s in samples if s.split == "train"]
    test = [s for s in samples if s.split == "test"]
    assert (len(train), len(test)) == (4 * 2 * 4, 3 * 2 * 17)
    assert {s.pid for s in train} == {1, 2, 3, 4}
    assert {s.pid for s in test} == {5, 6, 7}
    assert [s.camid for s in train[:4]] == [1, 2, 3, 4]
    keys = [(s.modality, s.camid, s.pid, s.path.name) for s in test]
    assert keys == sorted(keys)
    cameras = {m: {s.camid for s in test if s.modality is m} for m in Modality}
    assert cameras == {Modality.VISIBLE: set(range(1, 10)), Modality.INFRARED: {1, 2, 4, 5, 6, 7, 8, 9}}
    assert all(s.path.is_file() for s in samples)


@pytest.mark.parametrize("part", ["test_vis", "test_nir"])
def test_missing_test_folder(root, part):
    shutil.rmtree(root / part)
    with pytest.raises(InputError, match=f"{part} does not exist"):
        load(Config(root=root))


def test_empty_gallery(root):
    for camera in (root / "test_nir").iterdir():
        shutil.rmtree(camera)
    with pytest.raises(InputError, match="test_nir: the gallery is empty"):
        load(Config(root=root))


@pytest.mark.parametrize(
    ("ids", "message"),
    [("5,6,7,88", "identity 88 of idx/test_id.txt has no image"), ("2,5,6,7", "identity 2 is a training")],
)
def test_bad_test_identities(root, ids, message):
    (root / "idx" / "test_id.txt").write_text(ids)
    with pytest.raises(InputError, match=message):
        load(Config(root=root))


def test_index_names_a_missing_image(root):
    (root / "nir" / "0001" / "0001_c01_s0_f0_nir.jpg").unlink()
    with pytest.raises(InputError, match=r"train_nir\.txt, row 1: image .* does not exist"):
        load(Config(root=root))


def test_check(root, tmp_path):
    report = check(root)
    rows = {row.what: (row.found, row.expected) for row in report.rows}
    assert rows["training identities"] == (4, 713)
    assert rows["test identities"] == (3, 351)
    assert rows["person boxes"] == (134, 46_767)
    assert "ZYK100/LLCM" in report.table()
    shutil.rmtree(root / "idx")
    assert not check(root).ok
    damaged = [root / "nir/0001/0001_c01_s0_f0_nir.jpg", root / "test_vis/cam3/0006/0006_c03_s0_f0_vis.jpg"]
    for image in damaged:
        image.write_bytes(image.read_bytes()[:100])
    report = check(root)
    assert {row.what: row.found for row in report.rows}["unreadable images"] == 2
    assert all(any(str(image) in note for note in report.notes) for image in damaged)
    with pytest.raises(InputError, match="ZYK100/LLCM"):
        check(tmp_path / "nowhere")
