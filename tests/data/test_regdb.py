import shutil

import pytest
from trees import make_regdb

from vireid.data.regdb import Config, check, load
from vireid.errors import InputError
from vireid.sample import Modality


@pytest.fixture
def root(tmp_path):
    return make_regdb(tmp_path / "cam" / "RegDB", identities=6, images=3)


def rewrite(root, name, change):
    file = root / "idx" / name
    lines = file.read_text().splitlines()
    change(lines)
    file.write_text("\n".join(lines))


def test_samples_follow_the_index_files(root):
    samples = load(Config(root=root, trial=2))
    assert len(samples) == 6 * 2 * 3
    listed = []
    for name in ("train_visible_2", "train_thermal_2", "test_visible_2", "test_thermal_2"):
        listed += [line.split()[0] for line in (root / "idx" / f"{name}.txt").read_text().splitlines()]
    assert [s.path.relative_to(root).as_posix() for s in samples] == listed
    for sample in samples:
        assert sample.pid == int(sample.path.parent.name)
        assert (sample.path.parts[-3] == "Thermal") == (sample.modality is Modality.INFRARED)
        assert sample.camid == (2 if sample.modality is Modality.INFRARED else 1)
    train = {s.pid for s in samples if s.split == "train"}
    test = {s.pid for s in samples if s.split == "test"}
    assert len(train) == len(test) == 3
    assert not train & test


def test_trials_differ(root):
    halves = {
        tuple(sorted({s.pid for s in load(Config(root=root, trial=t)) if s.split == "train"})) for t in range(1, 11)
    }
    assert len(halves) > 1


@pytest.mark.parametrize("folder", ["Thermal", "Visible"])
def test_half_of_the_data_set(root, folder):
    shutil.rmtree(root / folder)
    with pytest.raises(InputError, match=f"{folder} does not exist; .*half of the data set is missing"):
        load(Config(root=root))


def test_missing_index_file(root):
    (root / "idx" / "test_thermal_1.txt").unlink()
    with pytest.raises(InputError, match=r"test_thermal_1\.txt does not exist"):
        load(Config(root=root))


def test_index_names_a_missing_image(root):
    path = next((root / "Thermal").rglob("*.bmp"))
    path.unlink()
    with pytest.raises(InputError, match=r"row \d+: image .* does not exist"):
        load(Config(root=root))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines.__setitem__(1, "Visible/1/x.bmp"), r"row 2: got 'Visible/1/x\.bmp', expected"),
        (lambda lines: lines.__setitem__(1, lines[1][:-1] + "one"), "row 2: got .*one', expected"),
        (lambda lines: lines.__setitem__(2, lines[1]), "row 3: .* listed already in row 2"),
        (
            lambda lines: lines.__setitem__(0, lines[0][:-1] + "7"),
            "row 2: label 0 .* one label for one identity",
        ),
        (lambda lines: lines.clear(), "lists no image"),
        (lambda lines: lines.__delitem__(slice(3)), "only one of the train lists of trial 1"),
    ],
)
def test_bad_index(root, change, message):
    rewrite(root, "train_visible_1.txt", change)
    with pytest.raises(InputError, match=message) as error:
        load(Config(root=root))
    assert "\n" not in str(error.value)


def test_identity_trained_on_and_tested(root):
    for kind in ("visible", "thermal"):
        shutil.copy(root / "idx" / f"train_{kind}_1.txt", root / "idx" / f"test_{kind}_1.txt")
    with pytest.raises(InputError, match="in the training and the test lists of trial 1"):
        load(Config(root=root))


def test_check(root, tmp_path):
    report = check(root)
    rows = {row.what: row for row in report.rows}
    assert (rows["Visible images"].found, rows["Visible images"].expected) == (18, 4_120)
    assert rows["Thermal identities"].expected == 412
    assert not report.ok
    assert "Dongguk" in report.table()
    shutil.rmtree(root / "Thermal")
    report = check(root)
    assert any("half of the data set is missing" in note for note in report.notes)
    with pytest.raises(InputError, match="Dongguk"):
        check(tmp_path / "nowhere")


@pytest.mark.slow
def test_check_of_the_full_counts(tmp_path):
    root = make_regdb(tmp_path, identities=412, images=10)
    assert check(root).ok


def test_check_decodes_the_images(root):
    assert {row.what: row for row in check(root).rows}["unreadable images"].ok
    damaged = next((root / "Thermal").rglob("*.*"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    report = check(root)
    assert {row.what: row for row in report.rows}["unreadable images"].found == 1
    assert any(note.startswith(f"unreadable: {damaged}") for note in report.notes)
