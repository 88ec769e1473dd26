"""Runs of the renderer: equal bytes, resuming, refusals and full disks."""

import errno
import json
import shutil
import sys
from pathlib import Path

import pytest

from vireid.errors import InputError
from vireid.synth import dataset
from vireid.synth.dataset import render
from vireid.synth.files import write_atomic

SETTINGS = {"preset": "lwir", "identities": 2, "size": (64, 32), "seed": 5}


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def interrupted(finished: Path, out: Path) -> None:
    """Turn a copy of a finished run into one that was killed before its end."""
    shutil.copytree(finished, out)
    content = json.loads((out / "dataset.json").read_text())
    (out / "dataset.json").unlink()
    rows: dict[str, list[list[str]]] = {}
    for line in (out / "manifest.csv").read_text().splitlines()[1:]:
        row = line.split(",")
        rows.setdefault(row[1], []).append(row)
    (out / "manifest.csv").unlink()
    (out / ".progress").mkdir()
    (out / ".progress" / "settings.json").write_text(json.dumps({"settings": content["settings"]}))
    for pid, lines in rows.items():
        (out / ".progress" / f"{int(pid):05d}.json").write_text(json.dumps({"lwir": lines}))


def refuse(*arguments, **settings) -> str:
    with pytest.raises(InputError) as caught:
        render(*arguments, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_two_processes_give_the_same_bytes_as_one(paired, tmp_path, capfd):
    done = render(tmp_path / "two", **SETTINGS, workers=2)
    assert contents(tmp_path / "two") == contents(paired)
    assert str(done) == f"{tmp_path / 'two'}: complete (lwir 40 images)"
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "Warp" not in printed.err


def test_a_finished_folder_says_so_and_is_left_alone(paired):
    before = {path: path.stat().st_mtime_ns for path in paired.rglob("*")}
    done = render(paired, **SETTINGS)
    assert done.already_complete
    assert str(done) == f"{paired}: already complete, nothing to do (lwir 40 images)"
    assert {path: path.stat().st_mtime_ns for path in paired.rglob("*")} == before


@pytest.mark.parametrize("lost", ["marker", "half a marker", "image"])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(paired, tmp_path, lost, monkeypatch):
    out = tmp_path / "again"
    interrupted(paired, out)
    marker = out / ".progress" / "00002.json"
    image = out / "images" / "cam2" / "0002" / "0003.jpg"
    if lost == "marker":
        marker.unlink()
        shutil.rmtree(image.parent)
    elif lost == "half a marker":
        marker.write_text(marker.read_text()[:100])
    else:
        image.unlink()
    (image.parents[1] / ".0004.jpg.123.partial").write_bytes(b"half")
    asked = []
    paint_all = dataset.paint_all
    monkeypatch.setattr(
        dataset, "paint_all", lambda job, out, missing, n: (asked.extend(missing), paint_all(job, out, missing, n))
    )
    assert not render(out, **SETTINGS, workers=1).already_complete
    assert asked == [1]
    assert contents(out) == contents(paired)


def test_a_run_killed_at_its_very_end_is_tidied(paired, tmp_path):
    out = tmp_path / "again"
    shutil.copytree(paired, out)
    (out / ".progress").mkdir()
    assert render(out, **SETTINGS).already_complete
    assert contents(out) == contents(paired)
    assert not (out / ".progress").exists()


def test_other_settings_are_refused(paired, tmp_path):
    assert "(seed 5, now 6)" in refuse(paired, **{**SETTINGS, "seed": 6})
    told = refuse(paired, **{**SETTINGS, "identities": 3, "size": (96, 48)})
    assert "(identities 2, now 3; size [64, 32], now [96, 48])" in told
    interrupted(paired, tmp_path / "half")
    assert "(seed 5, now 6)" in refuse(tmp_path / "half", **{**SETTINGS, "seed": 6})


@pytest.mark.parametrize("text", ['{"name": "mine"}', "[]", "{"])
def test_folders_of_others_are_left_alone(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    assert "not written by this renderer" in refuse(tmp_path, **SETTINGS)
    assert contents(tmp_path) == {"dataset.json": text.encode()}
    (tmp_path / "dataset.json").rename(tmp_path / "notes.txt")
    assert "no folder of this renderer" in refuse(tmp_path, **SETTINGS)
    assert "no folder of this renderer" in refuse(tmp_path / "notes.txt", **SETTINGS)


def test_one_part_of_a_set_is_no_set(mini):
    settings = {"preset": "mini", "identities": 2, "size": (64, 32), "seed": 5}
    assert "not written by this renderer" in refuse(mini / "nir", **settings)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"identities": 1}, "1 identities asked for: give 2 to 9999"),
        ({"identities": 10_000}, "give 2 to 9999"),
        ({"size": (16, 64)}, "image size 16x64"),
        ({"size": (64, 8)}, "image size 64x8"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 10**9}, "give 0 to 1000000"),
        ({"workers": 0}, "0 workers"),
        ({"preset": "huge"}, "unknown preset 'huge'"),
        ({"layout": "llcm"}, "unknown layout 'llcm'"),
        ({"layout": "sysu"}, "use --preset nir"),
        ({"preset": "mini", "layout": "regdb"}, "use --preset lwir"),
        ({"preset": "nir", "layout": "sysu", "identities": 3}, "layout sysu needs 4 or more"),
    ],
)
def test_bad_settings(tmp_path, settings, told):
    assert told in refuse(tmp_path / "new", **{**SETTINGS, **settings})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["anny", "warp"])
def test_without_the_renderer_the_extra_is_named(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    told = refuse(tmp_path / "new", **SETTINGS)
    assert told == f"rendering needs {name}: install with pip install 'vireid[synth]'"
    assert not (tmp_path / "new").exists()


def test_a_full_disk_leaves_nothing_half_written_and_the_run_continues(paired, tmp_path, monkeypatch):
    out = tmp_path / "full"
    interrupted(paired, out)
    shutil.rmtree(out / "images" / "cam1" / "0002")
    (out / ".progress" / "00002.json").unlink()
    write_bytes = Path.write_bytes

    def fill(path: Path, data: bytes) -> int:
        write_bytes(path, data[: len(data) // 2])
        if path.name.startswith(".0003.jpg"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fill)
        told = refuse(out, **SETTINGS, workers=1)
    assert "0003.jpg: No space left on device; make room" in told
    assert not list(out.rglob("*.partial"))
    assert not (out / "dataset.json").exists()
    render(out, **SETTINGS, workers=1)
    assert contents(out) == contents(paired)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        write_atomic(tmp_path / "file" / "below" / "x.jpg", b"1")
