import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pack_mini
import pytest
from PIL import Image
from pydantic import ValidationError
from trees import make_synthvi

from vireid.data import synthvi
from vireid.data.synthvi import Config, check, load
from vireid.errors import InputError
from vireid.sample import Modality


@pytest.fixture
def both(tmp_path):
    make_synthvi(tmp_path / "set" / "nir", "nir", identities=5, images=1)
    make_synthvi(tmp_path / "set" / "lwir", "lwir", identities=5, images=2)
    return tmp_path / "set"


def test_one_part(both):
    for root in (both / "lwir", both):
        samples = load(Config(root=root, part="lwir"))
        assert len(samples) == 5 * 2 * 2
        assert samples[0].path == both / "lwir" / "images" / "cam1" / "0001" / "0001.jpg".replace("1.jpg", "0.jpg")
        assert (samples[1].track, samples[1].time) == ("walk1", "1")
        assert {s.camid for s in samples if s.modality is Modality.INFRARED} == {2}
    assert {s.camid for s in load(Config(root=both)) if s.modality is Modality.INFRARED} == {3, 6}


def test_both_parts_train_together(both):
    samples = load(Config(root=both, part="all"))
    assert {s.split for s in samples} == {"train"}
    assert {s.pid for s in samples} == {1, 2, 3}
    assert len(samples) == 3 * 6 + 3 * 4
    everyone = load(Config(root=both, part="all", train_ids="all"))
    assert {s.split for s in everyone} == {"train"}
    assert {s.pid for s in everyone} == {1, 2, 3, 4, 5}


def test_every_identity_can_train(both):
    samples = load(Config(root=both, part="nir", train_ids="all"))
    assert {s.split for s in samples} == {"train"}
    assert len({s.pid for s in samples}) == 5


def test_parts_of_two_seeds_do_not_mix(both):
    make_synthvi(both / "lwir", "lwir", identities=5, images=2, seed=4)
    with pytest.raises(InputError, match="parts of one seed, got nir seed 0 and lwir seed 4"):
        load(Config(root=both, part="all"))


def test_bad_roots(both, tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        load(Config(root=tmp_path / "nowhere"))
    with pytest.raises(InputError, match="holds part lwir, not nir; set part to lwir"):
        load(Config(root=both / "lwir", part="nir"))
    with pytest.raises(InputError, match="no complete SynthVI folder"):
        load(Config(root=tmp_path))
    (both / "nir" / "dataset.json").write_text("{")
    with pytest.raises(InputError, match=r"dataset\.json is not JSON"):
        load(Config(root=both / "nir"))
    (both / "nir" / "dataset.json").unlink()
    with pytest.raises(InputError, match=r"dataset\.json does not exist"):
        load(Config(root=both / "nir"))


def test_check(both):
    report = check(both)
    rows = {row.what: row.found for row in report.rows}
    assert report.ok
    assert (rows["nir: images"], rows["lwir: images"]) == (30, 20)
    assert rows["lwir: identities in both modalities"] == 5
    about = json.loads((both / "nir" / "dataset.json").read_text())
    assert rows["nir: rows of the manifest, train infrared"] == 6
    # As many in all, but not of each kind.
    other = {**about["counts"], "train infrared": 7, "test infrared": 3}
    wrong = [{**about["counts"], "train infrared": number} for number in ("six", 6.5, None)]
    for counts in (other, *wrong, {}, None, [6]):
        (both / "nir" / "dataset.json").write_text(json.dumps({**about, "counts": counts}))
        report = check(both)
        assert not report.ok
        assert "DIFFERS" in report.table()
    describe(both / "nir", counts=...)
    assert not check(both).ok


def describe(folder: Path, **changed) -> None:
    """Change what a `dataset.json` says; `...` takes a key away."""
    about = json.loads((folder / "dataset.json").read_text()) | changed
    about = {key: value for key, value in about.items() if value is not ...}
    (folder / "dataset.json").write_text(json.dumps(about))


def test_a_part_in_the_folder_of_the_other(both):
    describe(both / "nir", part="lwir")
    for use in (lambda: load(Config(root=both)), lambda: check(both)):
        with pytest.raises(InputError, match=r"nir/dataset\.json: part is 'lwir', expected 'nir' as the folder"):
            use()


@pytest.mark.parametrize("people", [{"train": "x"}, {"train": None}, 5, None])
def test_people_that_are_no_numbers(both, people):
    describe(both / "nir", benchmark="SynthVI2-nir", identities=people)
    for use in (synthvi.benchmark, lambda config: check(config.root)):
        with pytest.raises(InputError, match=r"identities is .*, expected whole numbers of each split; render"):
            use(Config(root=both))


def test_silhouettes_stand_beside_their_images_if_there_are_any(both):
    assert all(sample.mask is None for sample in load(Config(root=both, part="nir")))
    describe(both / "nir", masks="masks")
    for sample in load(Config(root=both, part="nir")):
        inside = sample.path.relative_to(both / "nir")
        assert sample.mask == (both / "nir" / "masks" / inside).with_suffix(".png")


def test_seeds_of_any_kind_are_compared(both):
    describe(both / "nir", seed=[0])
    with pytest.raises(InputError, match=r"got nir seed \[0\] and lwir seed 0"):
        load(Config(root=both, part="all"))


def test_a_description_that_is_a_folder(both):
    (both / "nir" / "dataset.json").unlink()
    (both / "nir" / "dataset.json").mkdir()
    with pytest.raises(InputError, match=r"dataset\.json cannot be read \(Is a directory\)"):
        check(both)


@pytest.mark.parametrize("path", ["/elsewhere/0001.jpg", "."])
def test_check_of_silhouettes_of_images_elsewhere(both, path):
    describe(both / "lwir", masks="masks")
    manifest = both / "lwir" / "manifest.csv"
    head, first, *rest = manifest.read_text().splitlines()
    first = ",".join([path, *first.split(",")[1:]])
    manifest.write_text("\n".join([head, first, *rest]))
    if path == ".":
        assert not check(both).ok
    else:
        with pytest.raises(
            InputError, match=r"manifest\.csv: /elsewhere/0001\.jpg is not in .*relative to the manifest"
        ):
            check(both)


def test_check_decodes_silhouettes(both):
    describe(both / "lwir", masks="masks")
    for image in (both / "lwir" / "images").rglob("*.jpg"):
        mask = (both / "lwir" / "masks" / image.relative_to(both / "lwir")).with_suffix(".png")
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 32)).save(mask)
    assert check(both).ok
    mask.write_bytes(mask.read_bytes()[:30])
    report = check(both)
    assert {row.what: row.found for row in report.rows}["lwir: unreadable silhouettes"] == 1
    assert any(str(mask) in note for note in report.notes)


def make_sizes(root: Path, people: int, sizes: list[int] | None) -> Path:
    """A part without images: the rows and the description of `people` people, odd ones training."""
    root.mkdir()
    modality = {camid: "infrared" if camid in (3, 6) else "visible" for camid in range(1, 7)}
    rows = [
        f"{pid}-{camid}.jpg,{pid},{modality[camid]},{camid},{'train' if pid % 2 else 'test'},,"
        for pid in range(1, people + 1)
        for camid in range(1, 7)
    ]
    (root / "manifest.csv").write_text("\n".join(["path,pid,modality,camid,split,track,time", *rows]) + "\n")
    about = {"part": "nir", "seed": 0} | ({} if sizes is None else {"sizes": sizes})
    (root / "dataset.json").write_text(json.dumps(about))
    return root


def test_sizes_are_nested(tmp_path):
    root = make_sizes(tmp_path / "set", 450, [100, 400])
    pids = {size: {s.pid for s in load(Config(root=root, size=size))} for size in (100, 400, None)}
    assert {size: max(found) for size, found in pids.items()} == {100: 100, 400: 400, None: 450}
    small, large = (load(Config(root=root, size=size)) for size in (100, 400))
    assert small == [sample for sample in large if sample.pid <= 100]
    train, test = ({s.pid for s in small if s.split == split} for split in ("train", "test"))
    assert (len(train), len(test), train & test) == (50, 50, set())
    everyone = load(Config(root=root, size=100, train_ids="all"))
    assert {s.pid for s in everyone if s.split == "train"} == pids[100]


def test_sizes_that_are_not_there(tmp_path):
    few = make_sizes(tmp_path / "few", 110, [100])
    with pytest.raises(InputError, match=r"fewer than 400 people.*--identities 400, or set data.size to 100"):
        load(Config(root=few, size=400))
    with pytest.raises(InputError, match=r"or leave out data.size"):
        load(Config(root=make_sizes(tmp_path / "fewer", 10, []), size=100))
    with pytest.raises(InputError, match="older `vireid synth`, whose sets are not nested"):
        load(Config(root=make_sizes(tmp_path / "old", 110, None), size=100))
    with pytest.raises(ValidationError, match="100, 400 or 1000"):
        Config(root=few, size=200)


def test_results_are_named_after_set_and_number_of_people(tmp_path):
    root = make_sizes(tmp_path / "set", 450, [100, 400])
    named = json.loads((root / "dataset.json").read_text()) | {"benchmark": "SynthVI2-nir"}
    assert synthvi.benchmark(Config(root=root)) == "nir"  # of an older version
    (root / "dataset.json").write_text(json.dumps(named | {"identities": {"train": 225, "test": 225}}))
    assert synthvi.benchmark(Config(root=root)) == "SynthVI2-nir-450"
    assert synthvi.benchmark(Config(root=root, size=400)) == "SynthVI2-nir-400"
    assert synthvi.benchmark(Config(root=root, part="all")) == "all"


@pytest.fixture
def package(both, tmp_path, monkeypatch):
    """An installed package whose shipped set is the small one."""
    archive = tmp_path / "package" / "assets" / "synthvi-mini.tar.gz"
    archive.parent.mkdir(parents=True)
    pack_mini.main(both, archive)
    monkeypatch.setattr(synthvi, "files", lambda name: tmp_path / "package")
    monkeypatch.setenv("VIREID_CACHE", str(tmp_path / "cache"))
    return archive


def test_shipped_set_is_unpacked_once(package, tmp_path):
    samples = load(Config(root=Path("mini"), part="lwir"))
    assert len(samples) == 20
    folder = synthvi.shipped()
    assert folder.parent == tmp_path / "cache"
    assert folder.name.startswith("synthvi-mini-")
    assert len(folder.name) == len("synthvi-mini-") + 12
    marker = folder / "marker"
    marker.touch()
    assert synthvi.shipped() == folder
    assert marker.exists()
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]
    assert check(Path("mini")).ok


def test_shipped_set_unpacked_by_many_at_once(package):
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: synthvi.shipped(), range(4)))
    assert len(folders) == 1
    assert len(load(Config(root=Path("mini")))) == 30


def test_shipped_set_missing(package):
    package.unlink()
    with pytest.raises(InputError, match="reinstall vireid"):
        load(Config(root=Path("mini")))
