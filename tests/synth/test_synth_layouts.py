"""The files of each layout, and that the loaders of the real data sets read them.

The layouts of the real data sets are tested with a stand-in for the painter.
"""

import csv
import json
import shutil
from collections import Counter

import numpy as np
import pytest
import stand_in
from PIL import Image
from scipy.io import loadmat

from vireid.data import regdb as regdb_data
from vireid.data import synthvi as synthvi_data
from vireid.data import sysu_mm01 as sysu_data
from vireid.sample import Modality
from vireid.synth import dataset
from vireid.synth.describe import GENERATOR, describe_part, describe_parts
from vireid.synth.layouts import draw_halves, identity_lists
from vireid.synth.presets import PEOPLE, make_job, split_of
from vireid.synth.progress import Note


def render(folder, **settings):
    """A set painted by the stand-in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "paint_all", stand_in.paint_all)
        patch.setattr(dataset, "_require_renderer", lambda: None)
        patch.setattr(dataset, "find_device", lambda device: "cpu")
        dataset.render(folder, size=(32, 16), seed=5, **settings)
    return folder


@pytest.fixture(scope="module")
def sysu(tmp_path_factory):
    """Layout sysu, four identities."""
    return render(tmp_path_factory.mktemp("synth") / "sysu", preset="nir", layout="sysu", identities=4)


@pytest.fixture(scope="module")
def regdb(tmp_path_factory):
    """Layout regdb, four identities."""
    return render(tmp_path_factory.mktemp("synth") / "regdb", preset="lwir", layout="regdb", identities=4)


@pytest.fixture(scope="module")
def dozen(tmp_path_factory):
    """Both parts, twelve identities with their silhouettes."""
    return render(tmp_path_factory.mktemp("synth") / "dozen", preset="mini", identities=12, masks=True)


def read(folder):
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_manifest_of_both_parts(mini):
    names = ["path", "pid", "modality", "camid", "split", "track", "time"]
    assert (mini / "nir" / "manifest.csv").read_text().splitlines()[0].split(",") == names
    nir, lwir = read(mini / "nir"), read(mini / "lwir")
    assert (len(nir), len(lwir)) == (2 * 6 * 4, 2 * 2 * 6)
    for part, rows in (("nir", nir), ("lwir", lwir)):
        assert {(row["pid"], row["split"]) for row in rows} == {("1", "train"), ("2", "test")}
        for row in rows:
            with Image.open(mini / part / row["path"]) as image:
                assert image.size == (32, 64)
                assert image.mode == ("RGB" if row["modality"] == "visible" else "L")
    cameras = {row["camid"] for row in nir if row["modality"] == "infrared"}
    assert cameras == {"3", "6"}
    assert len(list(mini.rglob("*.jpg"))) == len(nir) + len(lwir)
    assert {path.name for path in mini.iterdir()} == {"dataset.json", "nir", "lwir"}


def test_description(mini):
    about = json.loads((mini / "nir" / "dataset.json").read_text())
    assert about["counts"] == {
        "train visible": 16,
        "train infrared": 8,
        "test visible": 16,
        "test infrared": 8,
    }
    # The order too: equal runs give equal bytes.
    assert list(about["identities"].items()) == [("train", 1), ("test", 1)]
    assert (about["seed"], about["size"], about["license"]) == (5, [64, 32], "CC0-1.0")
    assert json.loads((mini / "dataset.json").read_text())["images"] == {"nir": 48, "lwir": 24}


def test_description_of_sizes_changes_and_cameras(dozen):
    for part in ("nir", "lwir"):
        about = json.loads((dozen / part / "dataset.json").read_text())
        assert (about["generator"], about["days"], about["masks"]) == (GENERATOR, 2, "masks")
        assert about["split"].startswith("odd pids train, even pids test")
        assert about["identities"] == {"train": 6, "test": 6}
        assert about["changes"] == {"top": [3, 6, 9, 12], "bag": [4, 8, 12]}
    assert about["cameras"]["2"] == {"band": "lwir", "place": 7, "indoor": False}


@pytest.mark.parametrize(("people", "sizes"), [(99, []), (100, [100]), (450, [100, 400]), (1000, [100, 400, 1000])])
def test_sizes_that_can_be_picked(people, sizes):
    job = make_job("nir", "manifest", people, None, 0)
    assert describe_part(job, "nir", {}, {}, [])["sizes"] == describe_parts(job, ["nir"], {}, [])["sizes"] == sizes


def test_silhouettes_lie_beside_the_images(dozen):
    for part in ("nir", "lwir"):
        images = {str(path.relative_to(dozen / part)) for path in (dozen / part / "images").rglob("*.jpg")}
        masks = {str(path.relative_to(dozen / part / "masks")) for path in (dozen / part / "masks").rglob("*.png")}
        assert masks == {image.replace(".jpg", ".png") for image in images}
    assert synthvi_data.check(dozen).ok
    next(dozen.rglob("*.png")).unlink()
    assert not synthvi_data.check(dozen).ok


def test_the_loader_reads_what_was_rendered(mini):
    assert synthvi_data.check(mini).ok
    assert len(synthvi_data.load(synthvi_data.Config(root=mini, part="nir"))) == 48


def test_same_instants_share_track_and_time(paired):
    tracks: dict[str, list[dict[str, str]]] = {}
    for row in read(paired):
        tracks.setdefault(row["track"], []).append(row)
    assert len(tracks) == 2 * 10
    for rows in tracks.values():
        assert [row["modality"] for row in rows] == ["visible", "infrared"]
        assert len({(row["pid"], row["time"]) for row in rows}) == 1


def test_sysu_folders_and_lists(sysu):
    images = Counter(path.parent.relative_to(sysu).as_posix() for path in sysu.rglob("*.jpg"))
    assert images == {f"cam{c}/{pid:04d}": 15 for c in range(1, 7) for pid in range(1, 5)}
    assert (sysu / "cam3" / "0004" / "0015.jpg").is_file()
    expected = {"train": [1], "val": [3], "test": [2, 4], "available": [1, 2, 3, 4]}
    for name, pids in expected.items():
        assert (sysu / "exp" / f"{name}_id.txt").read_text() == ",".join(map(str, pids)) + "\n"
        assert loadmat(sysu / "exp" / f"{name}_id.mat")["id"].tolist() == [pids]


def test_sysu_permutations(sysu):
    cells = loadmat(sysu / "rand_perm_cam.mat")["rand_perm_cam"]
    assert cells.shape == (6, 1)
    for camera in cells[:, 0]:
        assert camera.shape == (4, 1)
        for orders in camera[:, 0]:
            assert (orders.shape, orders.dtype) == ((10, 15), np.uint8)
            assert (np.sort(orders, axis=1) == np.arange(1, 16)).all()
            assert len({tuple(order) for order in orders}) == 10
    assert set(sysu_data.official_permutations(sysu)) == {(c, p) for c in range(1, 7) for p in range(1, 5)}


def test_sysu_loader(sysu):
    samples = sysu_data.load(sysu_data.Config(root=sysu, train_ids="train"))
    assert Counter(sample.split for sample in samples) == {"train": 90, "val": 90, "test": 180}


def test_sysu_check(sysu):
    report = sysu_data.check(sysu)
    assert report.ok, report.table()
    found = {row.what: row.found for row in report.rows}
    assert (found["identities"], found["gallery of one shot, all search"]) == (4, 8)
    assert "rendered by `vireid synth`" in report.notes[0]
    assert len(synthvi_data.load(synthvi_data.Config(root=sysu))) == 360


def test_sysu_check_misses_an_image(tmp_path):
    render(tmp_path / "set", preset="nir", layout="sysu", identities=4)
    (tmp_path / "set" / "cam3" / "0002" / "0007.jpg").unlink()
    wrong = [row.what for row in sysu_data.check(tmp_path / "set").rows if not row.ok]
    assert wrong == [
        "query images (cameras 3 and 6)",
        "test folders whose image count differs from rand_perm_cam.mat",
    ]


@pytest.mark.parametrize(
    "damage",
    [
        lambda exp: (exp / "available_id.txt").unlink(),
        lambda exp: (exp / "available_id.txt").write_text("1,2,3"),
        lambda exp: (exp / "val_id.mat").unlink(),
        lambda exp: (exp / "test_id.mat").write_bytes((exp / "test_id.mat").read_bytes()[:150]),
        lambda exp: (exp / "test_id.mat").write_bytes((exp / "train_id.mat").read_bytes()),
    ],
)
def test_sysu_check_misses_a_list(sysu, tmp_path, damage):
    root = shutil.copytree(sysu, tmp_path / "set")
    damage(root / "exp")
    report = sysu_data.check(root)
    (wrong,) = (row for row in report.rows if not row.ok)
    assert (wrong.what, wrong.found, wrong.expected) == ("identity lists, as text and for MATLAB", 7, 8)
    assert "_id." in report.notes[-1] and "the `vireid synth` command of this set writes it anew" in report.notes[-1]


def test_sysu_orders_of_a_small_set_are_those_of_a_large_one(sysu, tmp_path):
    large = sysu_data.official_permutations(render(tmp_path / "set", preset="nir", layout="sysu", identities=6))
    for key, orders in sysu_data.official_permutations(sysu).items():
        assert (large[key] == orders).all()


@pytest.mark.parametrize("count", range(4, 40))
def test_every_list_of_sysu_has_somebody(count):
    lists = identity_lists(count)
    assert sorted(lists["train"] + lists["val"] + lists["test"]) == list(range(1, count + 1)) == lists["available"]
    assert min(len(lists["train"]), len(lists["val"]), len(lists["test"])) >= 1


def test_half_of_every_size_trains_and_small_sizes_are_the_first_of_large_ones():
    assert [split_of(pid) for pid in range(1, 5)] == ["train", "test", "train", "test"]
    lists = {count: identity_lists(count) for count in PEOPLE}
    for count, parts in lists.items():
        assert (len(parts["train"]), len(parts["val"]), len(parts["test"])) == (count * 0.4, count * 0.1, count * 0.5)
        for name, pids in parts.items():
            assert pids == [pid for pid in lists[1000][name] if pid <= count]


@pytest.mark.parametrize("count", [2, 5, 100])
def test_halves_of_regdb(count):
    halves, larger = draw_halves(count, 3), draw_halves(400, 3)
    assert len(halves) == 10
    for (train, test), (more, _) in zip(halves, larger, strict=True):
        assert sorted(train + test) == list(range(1, count + 1))
        assert abs(len(train) - len(test)) <= 1
        assert train == [pid for pid in more if pid <= count]
    share = sum(1 in train for seed in range(50) for train, _ in draw_halves(2, seed)) / 500
    assert 0.4 < share < 0.6


def test_regdb_folders(regdb):
    for folder in ("Visible", "Thermal"):
        images = Counter(path.parent.name for path in (regdb / folder).rglob("*.bmp"))
        assert images == {str(pid): 10 for pid in range(1, 5)}
    assert len(list((regdb / "idx").iterdir())) == 40


def test_regdb_trials(regdb):
    drawn = set()
    for trial in range(1, 11):
        pids = {}
        for split in ("train", "test"):
            for name in ("visible", "thermal"):
                text = (regdb / "idx" / f"{split}_{name}_{trial}.txt").read_text()
                lines = [line.split(" ") for line in text.splitlines()]
                assert [int(label) for _, label in lines] == [0] * 10 + [1] * 10
                assert all((regdb / path).is_file() and path.startswith(name.title()) for path, _ in lines)
                pids[split, name] = [int(path.split("/")[1]) for path, _ in lines]
            assert pids[split, "visible"] == pids[split, "thermal"]
        people = set(pids["train", "visible"]), set(pids["test", "visible"])
        assert people[0] | people[1] == {1, 2, 3, 4}
        assert not people[0] & people[1]
        drawn.add(tuple(sorted(people[0])))
    assert len(drawn) > 1


def test_regdb_loader(regdb):
    samples = regdb_data.load(regdb_data.Config(root=regdb, trial=10))
    counts = Counter((sample.split, sample.modality) for sample in samples)
    assert counts == {(split, modality): 20 for split in ("train", "test") for modality in Modality}


def test_regdb_check(regdb):
    report = regdb_data.check(regdb)
    assert report.ok, report.table()
    (regdb / "Visible" / "2" / "visible_0002_03.bmp").rename(regdb / "away")
    assert not regdb_data.check(regdb).ok
    (regdb / "away").rename(regdb / "Visible" / "2" / "visible_0002_03.bmp")


@pytest.mark.parametrize(
    ("preset", "layout", "size", "seed", "name"),
    [
        ("nir", "manifest", None, 0, "SynthVI3-nir"),
        ("nir", "sysu", None, 0, "SynthVI3-nir"),
        ("lwir", "manifest", (288, 144), 0, "SynthVI3-lwir"),
        ("lwir", "regdb", None, 0, "SynthVI3-bmp-lwir"),  # lossless, other pixels
        ("mini", "manifest", None, 0, "SynthVI3-mini-lwir"),
        ("nir", "manifest", (128, 64), 7, "SynthVI3-128x64-seed7-nir"),
    ],
)
def test_only_the_standard_set_has_the_plain_name(preset, layout, size, seed, name):
    job, part = make_job(preset, layout, 100, size, seed), name.rpartition("-")[2]
    notes = {1: Note({part: [["x.jpg", "1", "visible", "1", "train", "", ""]]}, [])}
    assert describe_part(job, part, notes, {}, [])["benchmark"] == name.replace("SynthVI3", f"SynthVI{GENERATOR}")


def test_the_shipped_set_is_of_this_generator():
    for part, folder in synthvi_data.find_parts(synthvi_data.shipped()).items():
        about = json.loads((folder / "dataset.json").read_text())
        assert about["generator"] == GENERATOR
        assert about["benchmark"] == f"SynthVI{GENERATOR}-mini-{part}"
        assert about["sizes"] == [100]
