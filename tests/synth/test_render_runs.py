"""Runs of the renderer: equal bytes, resuming, growing, refusals and full disks.

Most use a stand-in for the painter; those with the fixture `renderer` render.
"""

import errno
import json
import shutil
import sys
from pathlib import Path

import pytest
import stand_in
from PIL import Image

from vireid import cli
from vireid.claim import claim
from vireid.data import synthvi as synthvi_data
from vireid.data import sysu_mm01 as sysu_data
from vireid.errors import InputError
from vireid.synth import dataset, workers
from vireid.synth.dataset import render
from vireid.synth.describe import GENERATOR
from vireid.synth.files import write_atomic

SETTINGS = {"preset": "lwir", "identities": 2, "size": (64, 32), "seed": 5}
FOUR = {**SETTINGS, "identities": 4}


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def refuse(*arguments, **settings) -> str:
    with pytest.raises(InputError) as caught:
        render(*arguments, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def painted(monkeypatch):
    """Paints with the stand-in; the list gets the numbers (from 0) of the identities that were asked for."""
    asked: list[int] = []

    def paint_all(job, out, missing, workers, device):
        asked.extend(missing)
        stand_in.paint_all(job, out, missing, workers, device)

    monkeypatch.setattr(dataset, "paint_all", paint_all)
    monkeypatch.setattr(dataset, "_require_renderer", lambda: None)
    monkeypatch.setattr(dataset, "find_device", lambda device: "cpu")
    return asked


@pytest.fixture
def four(painted, tmp_path):
    """A finished set of four people."""
    render(tmp_path / "four", **FOUR)
    painted.clear()
    return tmp_path / "four"


class Killed(Exception):
    """What ends a run in these tests."""


def killed(out: Path, monkeypatch, *, after: int, **settings) -> None:
    """Start a run and end it in the middle of identity number `after` of those it had to paint."""

    def die(job, out, missing, workers, device):
        stand_in.paint_all(job, out, missing[:after], workers, device)
        with monkeypatch.context() as patch:
            patch.setattr(stand_in, "write_note", lambda *_: None)
            stand_in.paint_all(job, out, missing[after : after + 1], workers, device)
        (out / "images" / "cam1" / ".0001.jpg.123.partial").write_bytes(b"half")
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(dataset, "paint_all", die)
        render(out, **settings)


def test_two_processes_give_the_same_bytes_as_one(paired, tmp_path, capfd):
    done = render(tmp_path / "two", **SETTINGS, workers=2)
    assert contents(tmp_path / "two") == contents(paired)
    assert str(done) == f"{tmp_path / 'two'}: complete (lwir 40 images)"
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "Warp" not in printed.err


def test_a_rendered_set_that_grew_has_the_bytes_of_a_large_one(renderer, tmp_path):
    more = {**SETTINGS, "identities": 3, "masks": True, "device": "cpu"}
    render(tmp_path / "grown", **{**more, "identities": 2}, workers=1)
    for out in ("grown", "large"):
        render(tmp_path / out, **more, workers=1)
    assert contents(tmp_path / "grown") == contents(tmp_path / "large")
    for mask in (tmp_path / "large" / "masks").rglob("*.png"):
        with Image.open(mask) as image:
            assert (image.mode, image.size) == ("L", (32, 64))
            assert image.getextrema()[1] == 255


def test_a_finished_folder_says_so_and_is_left_alone(four):
    before = {path: path.stat().st_mtime_ns for path in four.rglob("*")}
    done = render(four, **FOUR)
    assert done.already_complete
    assert str(done) == f"{four}: already complete, nothing to do (lwir 80 images)"
    assert {path: path.stat().st_mtime_ns for path in four.rglob("*")} == before


@pytest.mark.parametrize("lost", ["nothing", "half a note", "an image", "a silhouette"])
def test_a_killed_run_counts_for_nothing_and_ends_as_an_uninterrupted_one(painted, tmp_path, lost, monkeypatch):
    settings = {**FOUR, "masks": True}
    render(tmp_path / "whole", **settings)
    out = tmp_path / "again"
    killed(out, monkeypatch, after=2, **settings)
    with pytest.raises(InputError, match="no complete SynthVI folder"):
        synthvi_data.load(synthvi_data.Config(root=out, part="lwir"))
    note, image = out / ".progress" / "00002.json", out / "images" / "cam2" / "0002" / "0003.jpg"
    if lost == "half a note":
        note.write_text(note.read_text()[:100])
    elif lost == "an image":
        image.unlink()
    elif lost == "a silhouette":
        (out / "masks" / image.relative_to(out).with_suffix(".png")).unlink()
    painted.clear()
    assert not render(out, **settings).already_complete
    assert painted == ([2, 3] if lost == "nothing" else [1, 2, 3])
    assert contents(out) == contents(tmp_path / "whole")


def test_a_run_killed_at_its_very_end_is_tidied(four):
    before = contents(four)
    settings = json.loads((four / "dataset.json").read_text())["settings"]
    (four / ".progress").mkdir()
    (four / ".progress" / "settings.json").write_text(json.dumps({"settings": settings}))
    assert render(four, **FOUR).already_complete
    assert contents(four) == before
    assert not (four / ".progress").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"preset": "mini", "masks": True},
        {"preset": "nir", "layout": "sysu"},
        {"preset": "lwir", "layout": "regdb"},
    ],
    ids=["mini", "sysu", "regdb"],
)
def test_a_grown_set_is_the_large_one(painted, tmp_path, settings):
    settings = {"size": (32, 16), **settings}
    render(tmp_path / "grown", **settings, identities=5)
    small = contents(tmp_path / "grown")
    painted.clear()
    render(tmp_path / "grown", **settings, identities=12)
    assert painted == list(range(5, 12))
    render(tmp_path / "large", **settings, identities=12)
    large = contents(tmp_path / "large")
    assert contents(tmp_path / "grown") == large
    images = {path for path in small if Path(path).suffix in (".jpg", ".bmp", ".png")}
    assert {path: large[path] for path in images} == {path: small[path] for path in images}


@pytest.mark.parametrize("lost", ["an image", "bytes of an image", "a silhouette", "a row", "manifest", "description"])
def test_a_finished_set_that_lost_something_gets_it_back(painted, tmp_path, lost):
    settings = {**FOUR, "preset": "mini", "masks": True}
    render(tmp_path / "set", **settings)
    whole, part = contents(tmp_path / "set"), tmp_path / "set" / "lwir"
    image, manifest = part / "images" / "cam2" / "0003" / "0002.jpg", part / "manifest.csv"
    {
        "an image": image.unlink,
        "bytes of an image": lambda: image.write_bytes(b""),
        "a silhouette": (part / "masks" / image.relative_to(part)).with_suffix(".png").unlink,
        "a row": lambda: manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[:-1])),
        "manifest": manifest.unlink,
        "description": (part / "dataset.json").unlink,
    }[lost]()
    painted.clear()
    assert not render(tmp_path / "set", **settings).already_complete
    assert painted == {"a row": [3], "manifest": [0, 1, 2, 3], "description": [0, 1, 2, 3]}.get(lost, [2])
    assert contents(tmp_path / "set") == whole


@pytest.mark.parametrize(
    ("preset", "layout", "lost"),
    [
        ("nir", "sysu", "exp/val_id.txt"),
        ("nir", "sysu", "exp/test_id.mat"),
        ("nir", "sysu", "rand_perm_cam.mat"),
        ("lwir", "regdb", "idx/test_thermal_10.txt"),
    ],
)
def test_a_finished_layout_that_lost_a_list_gets_it_back(painted, tmp_path, preset, layout, lost):
    settings = {**FOUR, "preset": preset, "layout": layout}
    render(tmp_path / "set", **settings)
    whole = contents(tmp_path / "set")
    (tmp_path / "set" / lost).unlink()
    painted.clear()
    assert not render(tmp_path / "set", **settings).already_complete
    assert not painted
    assert contents(tmp_path / "set") == whole
    assert render(tmp_path / "set", **settings).already_complete


@pytest.mark.parametrize(
    ("preset", "layout", "damaged"),
    [
        ("nir", "sysu", "rand_perm_cam.mat"),
        ("nir", "sysu", "exp/available_id.mat"),
        ("lwir", "regdb", "idx/train_visible_3.txt"),
    ],
)
def test_a_finished_layout_with_a_damaged_list_is_mended(painted, tmp_path, preset, layout, damaged):
    settings = {**FOUR, "preset": preset, "layout": layout}
    render(tmp_path / "set", **settings)
    whole, file = contents(tmp_path / "set"), tmp_path / "set" / damaged
    painted.clear()
    for content in (file.read_bytes()[:-100], file.read_bytes()[:-1] + b"?", b""):
        file.write_bytes(content)
        assert not render(tmp_path / "set", **settings).already_complete
        assert contents(tmp_path / "set") == whole
    assert not painted
    assert render(tmp_path / "set", **settings).already_complete


@pytest.mark.parametrize("people", [4, 6])
@pytest.mark.parametrize(("name", "kind"), [("exp", "file"), ("rand_perm_cam.mat", "folder")])
def test_what_is_in_the_way_of_a_list_does_not_cost_the_set(painted, tmp_path, people, name, kind):
    settings, root = {**FOUR, "preset": "nir", "layout": "sysu"}, tmp_path / "set"
    render(root, **settings)
    whole = contents(root)
    (root / name).rename(tmp_path / "away")
    (root / name).touch() if kind == "file" else (root / name).mkdir()
    told = refuse(root, **{**settings, "identities": people})
    assert told.endswith(f": {root / name} is a {kind}; remove it and give the same command")
    assert synthvi_data.check(root).ok
    assert len(synthvi_data.load(synthvi_data.Config(root=root))) == 360
    (root / name).unlink() if kind == "file" else (root / name).rmdir()
    painted.clear()
    render(root, **{**settings, "identities": people})
    assert not painted
    assert sysu_data.check(root).ok
    assert people > 4 or contents(root) == whole


def test_a_full_disk_while_a_list_is_mended_does_not_cost_the_set(painted, tmp_path, monkeypatch):
    settings, root = {**FOUR, "preset": "nir", "layout": "sysu"}, tmp_path / "set"
    render(root, **settings)
    whole, write_bytes = contents(root), Path.write_bytes
    (root / "rand_perm_cam.mat").write_bytes(b"half")

    def fill(path: Path, data: bytes) -> int:
        if "rand_perm" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fill)
        assert "rand_perm_cam.mat: No space left on device; make room" in refuse(root, **settings)
    assert synthvi_data.check(root).ok
    render(root, **settings)
    assert contents(root) == whole


@pytest.mark.parametrize(("column", "cell"), list(enumerate(["/0001.jpg", "4", "vsible", "2", "val"])))
def test_a_damaged_row_of_the_manifest_is_mended(painted, tmp_path, column, cell):
    settings = {**FOUR, "layout": "regdb"}
    render(tmp_path / "set", **settings)
    whole, manifest = contents(tmp_path / "set"), tmp_path / "set" / "manifest.csv"
    head, first, *rest = manifest.read_text().splitlines()
    cells = first.split(",")
    cells[column] = cell
    manifest.write_text("\n".join([head, ",".join(cells), *rest]))
    painted.clear()
    render(tmp_path / "set", **settings)
    assert painted == ([0, 3] if cell == "4" else [0])
    assert contents(tmp_path / "set") == whole


def test_a_manifest_of_other_people_is_not_complete(painted, four):
    manifest = four / "manifest.csv"
    rows = [row.replace(",4,", ",9,") for row in manifest.read_text().splitlines()]
    manifest.write_text("\n".join(rows))
    render(four, **FOUR)
    assert 3 in painted
    assert synthvi_data.check(four).ok


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"changes": {"top": None}}, "changes is {'top': None}, expected lists of pids under top and bag; restore it"),
        ({"changes": {"top": [3]}}, "changes is {'top': [3]}"),
        ({"changes": 3}, "changes is 3"),
        ({"images": 3}, "(see its images): restore it or give another folder"),
        ({"images": {"lwir": None}}, "(see its images)"),
        ({"made_with": "anny"}, "(see its made_with)"),
        ({"made_with": [1]}, "(see its made_with)"),
        ({"settings": {"identities": "4"}}, "(see its settings: identities)"),
        ({"settings": {"identities": None}}, "(see its settings: identities)"),
    ],
)
@pytest.mark.parametrize("people", [4, 6])
def test_a_damaged_description_is_named(four, changed, told, people):
    file = four / "dataset.json"
    about = json.loads(file.read_text())
    if "settings" in changed:
        changed = {"settings": about["settings"] | changed["settings"]}
    file.write_text(json.dumps(about | changed))
    message = refuse(four, **{**FOUR, "identities": people})
    assert message.startswith(f"{file} is damaged") and told in message


@pytest.mark.parametrize("text", ["", "path,pid\n", "half a row", b"\xff\xfe"])
@pytest.mark.parametrize("people", [4, 6])
def test_a_damaged_manifest_is_named(four, text, people):
    manifest = four / "manifest.csv"
    if text == "half a row":
        text = manifest.read_text()[:-30]
    manifest.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert f"{manifest} is damaged: remove it" in refuse(four, **{**FOUR, "identities": people})
    manifest.unlink()
    render(four, **{**FOUR, "identities": people})
    assert synthvi_data.check(four).ok


@pytest.mark.parametrize("content", ["{}", "[]", '{"rows": [], "changes": []}', '{"rows": {"lwir": 3}, "changes": []}',
                                     '{"rows": {"lwir": [["a"]]}, "changes": []}'])  # fmt: skip
def test_a_damaged_note_does_not_count(painted, four, monkeypatch, content):
    out = four.parent / "again"
    killed(out, monkeypatch, after=2, **FOUR)
    (out / ".progress" / "00001.json").write_text(content)
    painted.clear()
    render(out, **FOUR)
    assert painted == [0, 2, 3]
    assert contents(out) == contents(four)


def test_two_runs_in_one_folder_are_refused(painted, tmp_path):
    with claim(tmp_path / "set"):
        told = refuse(tmp_path / "set", **SETTINGS)
    assert told == f"another process renders into {tmp_path / 'set'}; wait for it, or give another folder"
    assert not render(tmp_path / "set", **SETTINGS).already_complete


def test_other_versions_are_told_and_recorded(four, monkeypatch, recwarn):
    def made_with():
        return json.loads((four / "dataset.json").read_text())["made_with"]

    (before,) = made_with()
    assert list(before) == ["device", "anny", "warp-lang", "numpy", "pillow"]
    monkeypatch.setattr(dataset, "find_device", lambda device: "cuda")
    with pytest.warns(UserWarning, match="was begun with device cpu, now cuda: new images may differ"):
        render(four, **{**FOUR, "identities": 6})
    assert made_with() == [before, {**before, "device": "cuda"}]
    render(four, **{**FOUR, "identities": 8})
    assert (len(made_with()), len(recwarn)) == (2, 0)


def test_a_set_that_grows_stays_what_it_was_until_the_end(four, painted, monkeypatch):
    before, images = (four / "dataset.json").read_bytes(), len(synthvi_data.load(_lwir(four)))
    killed(four, monkeypatch, after=1, **{**FOUR, "identities": 8})
    assert (four / "dataset.json").read_bytes() == before
    assert len(synthvi_data.load(_lwir(four))) == images
    assert "holds or is to hold 8 people, more than the 4 asked for" in refuse(four, **FOUR)
    render(four, **{**FOUR, "identities": 6 + 4})
    assert painted == list(range(5, 10))
    assert len(synthvi_data.load(_lwir(four))) == 10 * 20


def test_a_set_killed_while_its_lists_are_written_does_not_count(four, monkeypatch):
    def die(*_):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(dataset, "write_indices", die)
        render(four, **{**FOUR, "identities": 6})
    with pytest.raises(InputError, match=r"dataset\.json does not exist"):
        synthvi_data.load(_lwir(four))
    render(four, **{**FOUR, "identities": 6})
    assert synthvi_data.check(four).ok


def _lwir(root: Path) -> synthvi_data.Config:
    return synthvi_data.Config(root=root, part="lwir")


def test_smaller_sets_and_other_settings_are_refused(four, monkeypatch):
    assert "(seed 5, now 6)" in refuse(four, **{**FOUR, "seed": 6})
    told = refuse(four, **{**FOUR, "identities": 9, "size": (96, 48), "masks": True})
    assert "(size [64, 32], now [96, 48]; masks False, now True)" in told
    told = refuse(four, **SETTINGS)
    assert "holds or is to hold 4 people, more than the 2 asked for: give --identities 4 or more" in told
    half = four.parent / "half"
    killed(half, monkeypatch, after=1, **FOUR)
    assert "(seed 5, now 6)" in refuse(half, **{**FOUR, "seed": 6})
    assert "more than the 2 asked for" in refuse(half, **SETTINGS)


def test_sets_of_another_version_are_refused(four):
    about = json.loads((four / "dataset.json").read_text())
    about["settings"]["generator"] = 1
    (four / "dataset.json").write_text(json.dumps(about))
    assert f"was written by version 1 of the renderer, this is version {GENERATOR}" in refuse(four, **FOUR)


@pytest.mark.parametrize("text", ['{"name": "mine"}', "[]", "{"])
def test_folders_of_others_are_left_alone(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    assert "not written by this renderer" in refuse(tmp_path, **SETTINGS)
    assert contents(tmp_path) == {"dataset.json": text.encode()}
    (tmp_path / "dataset.json").rename(tmp_path / "notes.txt")
    assert "no folder of this renderer" in refuse(tmp_path, **SETTINGS)
    assert "no folder of this renderer" in refuse(tmp_path / "notes.txt", **SETTINGS)


def test_one_part_of_a_set_is_no_set(painted, tmp_path):
    settings = {"preset": "mini", "identities": 2, "size": (64, 32), "seed": 5}
    render(tmp_path / "mini", **settings)
    assert "not written by this renderer" in refuse(tmp_path / "mini" / "nir", **settings)


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
        ({"device": "tpu"}, "unknown device 'tpu'"),
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


@pytest.mark.parametrize(
    ("asked", "gpu", "found"), [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu")]
)
def test_the_device(renderer, monkeypatch, asked, gpu, found):
    from vireid.synth.kernels import wp

    monkeypatch.setattr(wp, "is_cuda_available", lambda: gpu)
    assert workers.find_device(asked) == found


def test_a_gpu_that_is_not_there(renderer, monkeypatch):
    from vireid.synth.kernels import wp

    monkeypatch.setattr(wp, "is_cuda_available", lambda: False)
    with pytest.raises(InputError, match="no CUDA GPU: give --device cpu or auto"):
        workers.find_device("cuda")


def test_a_full_disk_leaves_nothing_half_written_and_the_run_continues(four, tmp_path, monkeypatch):
    out = tmp_path / "full"
    write_bytes = Path.write_bytes

    def fill(path: Path, data: bytes) -> int:
        if path.parent.name == "0003":
            write_bytes(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fill)
        told = refuse(out, **FOUR)
    assert "0001.jpg: No space left on device; make room" in told
    assert not list(out.rglob("*.partial"))
    assert not (out / "dataset.json").exists()
    render(out, **FOUR)
    assert contents(out) == contents(four)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*; mend its rights or give another folder"):
        write_atomic(tmp_path / "file" / "below" / "x.jpg", b"1")


def test_the_command(painted, tmp_path, capsys):
    options = ["--preset", "lwir", "--identities", "2", "--size", "64x32", "--seed", "5", "--masks", "--device", "cpu"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["synth", str(tmp_path / "set"), *options])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{tmp_path / 'set'}: complete (lwir 40 images)\n"
    assert len(list((tmp_path / "set" / "masks").rglob("*.png"))) == 40
    shutil.rmtree(tmp_path / "set")
