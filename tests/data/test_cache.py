import errno
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from trees import make_manifest_tree, person, save

from vireid.data import cache, pixels
from vireid.data.cache import DecodedImages, cache_folder, decode, decode_blocks, find_unreadable
from vireid.data.manifest import Config, load
from vireid.errors import InputError

H, W = 32, 16


@pytest.fixture
def paths(tmp_path):
    return [save(tmp_path / "images" / f"{i}.png", person(i, i % 2 == 1, 0)) for i in range(5)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg", ".tif", ".webp"])
def test_decode_gives_the_pixels(tmp_path, suffix):
    image = person(1, False, 0)
    tensor = decode(save(tmp_path / f"a{suffix}", image), H, W)
    assert tensor.dtype == torch.uint8
    assert tensor.shape == (3, H, W)
    tolerance = 0 if suffix in (".png", ".bmp", ".tif") else 40
    assert (tensor.permute(1, 2, 0).int() - torch.from_numpy(image).int()).abs().max() <= tolerance


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg"])
def test_grey_images_have_three_equal_channels(tmp_path, suffix):
    tensor = decode(save(tmp_path / f"a{suffix}", person(1, True, 0)), H, W)
    assert tensor.shape == (3, H, W)
    assert (tensor == tensor[:1]).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_grey_is_scaled(tmp_path, suffix):
    levels = np.full((H, W), 257 * 100, np.uint16)
    Image.fromarray(levels).save(tmp_path / f"a{suffix}")
    assert (decode(tmp_path / f"a{suffix}", H, W) == 100).all()


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_images_are_turned_upright(tmp_path, suffix):
    image = person(1, False, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(np.rot90(image)).save(tmp_path / f"a{suffix}", exif=exif, quality=100, subsampling=0)
    upright = decode(tmp_path / f"a{suffix}", H, W).permute(1, 2, 0).int() - torch.from_numpy(image).int()
    assert upright.abs().max() <= (10 if suffix == ".jpg" else 0)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_data_are_no_damaged_image(tmp_path):
    image = person(1, False, 0)
    Image.fromarray(image).save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert (decode(tmp_path / "a.png", H, W).permute(1, 2, 0).numpy() == image).all()


def test_resize_is_antialiased(tmp_path):
    board = np.indices((64, 64)).sum(0) % 2 * 255
    tensor = decode(save(tmp_path / "a.png", board.astype(np.uint8)), 8, 8)
    assert (tensor.int() - 127).abs().max() <= 2
    pillow = Image.fromarray(person(3, False, 0, 50, 30)).resize((12, 20), Image.Resampling.BILINEAR)
    ours = decode(person(3, False, 0, 50, 30), 20, 12).permute(1, 2, 0).int()
    assert (ours - torch.from_numpy(np.array(pillow)).int()).abs().max() <= 2


def test_decode_of_arrays():
    assert decode(person(1, True, 0), H, W).shape == (3, H, W)
    for wrong in (np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4)), np.zeros((0, 4), np.uint8)):
        with pytest.raises(InputError, match="expected uint8"):
            decode(wrong, H, W)


def damaged(tmp_path):
    """A sound image between five kinds of damage."""
    whole = save(tmp_path / "whole.jpg", person(1, False, 0, 128, 64)).read_bytes()
    png = save(tmp_path / "whole.png", person(1, False, 0)).read_bytes()
    bmp = save(tmp_path / "whole.bmp", person(1, False, 0)).read_bytes()
    files = {
        "empty.jpg": b"",
        "truncated.jpg": whole[: len(whole) // 2],
        "truncated.png": png[: len(png) // 2],
        "truncated.bmp": bmp[: len(bmp) // 2],
        "text.jpg": b"this is no image",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    bad = [tmp_path / name for name in files] + [tmp_path / "gone.jpg", tmp_path]
    return [bad[0], tmp_path / "whole.jpg", *bad[1:]]


def test_every_damaged_image_is_named(tmp_path):
    files = damaged(tmp_path)
    found = dict(find_unreadable(files))
    assert set(found) == set(files) - {tmp_path / "whole.jpg"}
    assert found[tmp_path / "empty.jpg"] == "empty file"
    assert found[tmp_path / "gone.jpg"] == "no such file"
    assert found[tmp_path / "text.jpg"] == "not an image"
    assert all("truncated" in found[tmp_path / f"truncated.{suffix}"].lower() for suffix in ("jpg", "png", "bmp"))
    assert all(reason and "\n" not in reason and str(tmp_path) not in reason for reason in found.values())


def test_blocks_keep_the_order(paths):
    blocks = list(decode_blocks([*paths, Path("gone.png")], H, W, block=4, workers=2))
    assert [len(block.pixels) for block in blocks] == [4, 2]
    pixels = torch.cat([block.pixels for block in blocks])
    for i in range(5):
        assert (pixels[i] == decode(paths[i], H, W)).all()
    assert blocks[1].readable.tolist() == [True, False]
    assert blocks[1].unreadable == [(Path("gone.png"), "no such file")]
    assert (pixels[5] == 0).all()


def test_build_and_gather(paths, folder):
    images = DecodedImages.build(paths, H, W, cache_dir=folder)
    assert len(images) == 5
    assert images.unreadable == []
    assert isinstance(images.pixels, np.memmap)
    batch = images.gather([4, 0, 4])
    assert (batch.shape, batch.dtype) == ((3, 3, H, W), torch.uint8)
    assert (batch[0] == decode(paths[4], H, W)).all()
    assert (batch[1] == decode(paths[0], H, W)).all()
    assert (images.gather(np.array([1])) == decode(paths[1], H, W)).all()
    assert images.gather([]).shape == (0, 3, H, W)
    assert [path.name for path in folder.iterdir()] == [next(folder.iterdir()).name]


def test_samples_and_the_default_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VIREID_CACHE", str(tmp_path / "elsewhere"))
    samples = load(Config(root=make_manifest_tree(tmp_path / "tree")))
    assert len(DecodedImages.build(samples, H, W)) == len(samples)
    assert (tmp_path / "elsewhere" / "images").is_dir()
    monkeypatch.delenv("VIREID_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "vireid"


def test_second_call_reads_no_image(paths, folder, monkeypatch):
    first = DecodedImages.build(paths, H, W, cache_dir=folder)
    monkeypatch.setattr(cache, "decode", None)
    second = DecodedImages.build(paths, H, W, cache_dir=folder)
    np.testing.assert_array_equal(first.pixels, second.pixels)


def test_a_changed_image_size_or_list_is_decoded_again(paths, folder):
    DecodedImages.build(paths, H, W, cache_dir=folder)
    assert DecodedImages.build(paths, 16, 8, cache_dir=folder).pixels.shape == (5, 3, 16, 8)
    assert len(DecodedImages.build(paths[:2], H, W, cache_dir=folder)) == 2
    save(paths[0], person(99, False, 0))
    os.utime(paths[0], ns=(1, 1))
    images = DecodedImages.build(paths, H, W, cache_dir=folder)
    assert (images.gather([0])[0] == decode(paths[0], H, W)).all()
    assert len(list(folder.iterdir())) == 4


def test_empty_list(folder):
    assert len(DecodedImages.build([], H, W, cache_dir=folder)) == 0


def test_unreadable_images_are_kept_apart_and_tried_again(paths, folder, tmp_path):
    later = tmp_path / "images" / "later.png"
    listed = [paths[0], later, paths[1]]
    for _ in range(2):
        images = DecodedImages.build(listed, H, W, cache_dir=folder)
        assert images.unreadable == [(later, "no such file")]
        assert images.readable.tolist() == [True, False, True]
        assert (images.gather([2])[0] == decode(paths[1], H, W)).all()
    shutil.copy(paths[2], later)
    assert DecodedImages.build(listed, H, W, cache_dir=folder).unreadable == []


def test_an_image_that_can_be_read_again_without_having_changed(paths, folder, monkeypatch):
    original = pixels._from_file

    def out_of_reach(path):
        if path == paths[1]:
            raise InputError(f"{path}: Permission denied")
        return original(path)

    with monkeypatch.context() as patch:
        patch.setattr(pixels, "_from_file", out_of_reach)
        assert DecodedImages.build(paths, H, W, cache_dir=folder).unreadable == [(paths[1], "Permission denied")]
    assert DecodedImages.build(paths, H, W, cache_dir=folder).unreadable == []


class FullDisk:
    """Stands for an open file on a disk that has room for `left` more bytes."""

    def __init__(self, file, left):
        self.file, self.left = file, left

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.file.close()

    def write(self, data):
        self.left -= memoryview(data).nbytes
        if self.left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(data)


def test_full_disk_while_writing(paths, folder, monkeypatch):
    monkeypatch.setattr(cache, "BLOCK", 1)
    original = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda *args: FullDisk(original(*args), 2000))
        with pytest.raises(InputError, match=r"is full: .* set VIREID_CACHE") as error:
            DecodedImages.build(paths, H, W, cache_dir=folder)
    assert "\n" not in str(error.value)
    assert list(folder.iterdir()) == []
    assert len(DecodedImages.build(paths, H, W, cache_dir=folder)) == 5


def test_too_little_space_is_seen_before_decoding(paths, folder, monkeypatch):
    usage = shutil.disk_usage(folder.parent)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    monkeypatch.setattr(cache, "decode", None)
    with pytest.raises(InputError, match="is full"):
        DecodedImages.build(paths, H, W, cache_dir=folder)
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written(paths, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="set VIREID_CACHE to a folder you may write to"):
        DecodedImages.build(paths, H, W, cache_dir=tmp_path / "file" / "cache")


def test_an_interrupted_build_leaves_nothing(paths, folder, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache, "decode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            DecodedImages.build(paths, H, W, cache_dir=folder)
    assert list(folder.iterdir()) == []


def test_leftovers_of_a_killed_build_are_removed_in_time(paths, folder):
    old, recent = folder / ".x.0badf00d", folder / ".y.0badf00d"
    for left in (old, recent):
        left.mkdir(parents=True)
    os.utime(old, (time.time() - 2 * cache.STALE_SECONDS,) * 2)
    DecodedImages.build(paths, H, W, cache_dir=folder)
    assert not old.exists()
    assert recent.exists()


def test_two_builds_at_once(paths, folder):
    with ThreadPoolExecutor(3) as pool:
        built = list(pool.map(lambda _: DecodedImages.build(paths, H, W, cache_dir=folder), range(3)))
    for images in built:
        np.testing.assert_array_equal(images.pixels, built[0].pixels)
    assert len(list(folder.iterdir())) == 1


def test_whoever_reads_the_blocks_keeps_its_threads(paths):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert [torch.get_num_threads() for _ in decode_blocks(paths, H, W, block=2)] == [2, 2, 2]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
