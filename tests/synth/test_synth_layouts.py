"""The files of each layout, and that the loaders of the real data sets read them."""

import csv
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from vireid.data import regdb as regdb_data
from vireid.data import synthvi as synthvi_data
from vireid.data import sysu_mm01 as sysu_data
from vireid.sample import Modality
from vireid.synth.layouts import identity_lists
from vireid.synth.presets import make_job


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
    expected = {"train": [1, 2], "val": [3], "test": [4], "available": [1, 2, 3, 4]}
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
    assert Counter(sample.split for sample in samples) == {"train": 180, "val": 90, "test": 90}


@pytest.mark.parametrize("count", range(4, 40))
def test_every_list_of_sysu_has_somebody(count):
    lists = identity_lists(make_job("nir", "sysu", count, None, 0))
    assert lists["train"] + lists["val"] + lists["test"] == list(range(1, count + 1))
    assert len(lists["train"]) >= 2
    assert min(len(lists["val"]), len(lists["test"])) >= 1


def test_full_sysu_has_the_official_counts():
    lists = identity_lists(make_job("nir", "sysu", None, None, 0))
    assert [len(lists[name]) for name in ("train", "val", "test")] == [296, 99, 96]


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
