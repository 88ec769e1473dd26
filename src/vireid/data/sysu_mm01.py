"""SYSU-MM01 (Wu et al., ICCV 2017 and IJCV 2020): four visible and two infrared cameras, 491 people.

Layout: `cam1` to `cam6` / `<identity>` / `<frame>.jpg`; `exp/{train,val,test}_id.txt`, each one
comma-separated line; `rand_perm_cam.mat`, beside them or in the root, comes with the official evaluation
code. A sample reads `Sample(path=.../cam3/0006/0001.jpg, pid=6, modality=INFRARED, camid=3, split="test")`.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy.io import loadmat

from vireid.data.files import (
    image_files,
    numbered_folders,
    read_identity_list,
    rendered,
    rendered_counts,
    require_folder,
)
from vireid.data.report import Report
from vireid.errors import InputError
from vireid.sample import Modality, Sample

VISIBLE_CAMERAS = (1, 2, 4, 5)
INDOOR_CAMERAS = (1, 2)
INFRARED_CAMERAS = (3, 6)
CAMERAS = range(1, 7)
# The counts of the real data set.
OFFICIAL = {
    "identities": 491,
    "training identities (train + val)": 395,
    "test identities": 96,
    "training images, visible": 22_258,
    "training images, infrared": 11_909,
    "query images (cameras 3 and 6)": 3_803,
    "gallery of one shot, all search": 301,
    "gallery of one shot, indoor search": 112,
}
CONTACT = (
    "github.com/wuancong/SYSU-MM01: sign the data set release agreement there (academic use, no "
    "redistribution); its folder evaluation/data_split holds rand_perm_cam.mat"
)


class Config(BaseModel):
    """Where SYSU-MM01 lies, what is trained on and which of its protocols is evaluated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path
    train_ids: Literal["train+val", "train"] = Field("train+val", description="train: 99 identities become `val`")
    search: Literal["all", "indoor"] = Field("all", description="gallery cameras 1, 2, 4, 5 or 1, 2")
    shots: Literal[1, 10] = Field(1, description="gallery images per identity and camera")
    gallery: Literal["official", "agw"] = Field("official", description="rand_perm_cam.mat or AGW's seeded draw")
    trials: int = Field(10, ge=1, le=10, description="gallery draws")


def load(config: Config) -> list[Sample]:
    """All images of the listed identities, ordered by camera, identity and file name.

    Raises:
        InputError: a folder or list is missing, a listed identity has no image, or a side of the test is
            empty.
    """
    _require_layout(config.root)
    splits = _splits(config.root)
    if config.train_ids == "train+val":
        splits = {pid: "train" if split == "val" else split for pid, split in splits.items()}
    samples = [
        Sample(path, pid, _modality(camid), camid, splits[pid])
        for camid in CAMERAS
        for pid, folder in numbered_folders(config.root / f"cam{camid}").items()
        if pid in splits
        for path in image_files(folder)
    ]
    _require_everyone(config.root, splits, samples)
    gallery_cameras = VISIBLE_CAMERAS if config.search == "all" else INDOOR_CAMERAS
    for side, cameras in (("gallery", gallery_cameras), ("query", INFRARED_CAMERAS)):
        if not any(sample.split == "test" and sample.camid in cameras for sample in samples):
            names = ", ".join(f"cam{camid}" for camid in cameras)
            raise InputError(f"{config.root}: the {side} is empty; expected test identities in {names}")
    return samples


def official_permutations(root: Path) -> dict[tuple[int, int], npt.NDArray[np.int64]]:
    """The official gallery draws: `(camid, pid)` to an array `(10, n)`, one trial a row.

    A row is a permutation of 1..n, n the identity's images in that camera; entry k is the k-th chosen image,
    counted from 1 in the list sorted by file name. A gallery of s shots takes the first s entries of the
    trial's row. Identities that are absent from a camera are left out.

    Raises:
        InputError: the file is missing, or is not the official one.
    """
    file = permutation_file(root)
    if file is None:
        raise InputError(
            f"rand_perm_cam.mat is neither in {root / 'exp'} nor in {root}; copy it from "
            "evaluation/data_split of github.com/wuancong/SYSU-MM01, or set gallery to `agw`"
        )
    expected = f"{file}: expected `rand_perm_cam`, cells per camera and identity of ten permutations of 1..n"
    try:
        cameras = [_cells(cell) for cell in _cells(loadmat(file)["rand_perm_cam"])]
    except Exception:  # scipy reports damaged files by many kinds of error
        anew = "the `vireid synth` command that made the set writes it anew"
        if rendered(root) is None:
            anew = "copy it anew from github.com/wuancong/SYSU-MM01"
        raise InputError(f"{expected}; {anew}") from None
    draws = {}
    for camid, cells in enumerate(cameras, start=1):
        for pid, cell in enumerate(cells, start=1):
            rows = np.asarray(cell)
            if not rows.size:
                continue
            if rows.ndim != 2 or not (np.sort(rows, axis=1) == np.arange(1, rows.shape[1] + 1)).all():
                raise InputError(f"{expected}; camera {camid}, identity {pid} holds something else")
            draws[camid, pid] = rows.astype(np.int64)
    return draws


def permutation_file(root: Path) -> Path | None:
    """Where rand_perm_cam.mat lies, or None."""
    places = (root / "exp", root, root / "data_split", root / "evaluation" / "data_split")
    return next((place / "rand_perm_cam.mat" for place in places if (place / "rand_perm_cam.mat").is_file()), None)


def check(root: Path) -> Report:
    """Count identities and images against the official numbers; `InputError` if `root` is no folder.

    A rendered folder of this layout is held against its own `dataset.json`.
    """
    require_folder(root, f"cam1 to cam6 and exp of SYSU-MM01; to get it: {CONTACT}")
    report = Report("SYSU-MM01", root, CONTACT)
    missing = [f"cam{camid}" for camid in CAMERAS if not (root / f"cam{camid}").is_dir()]
    report.expect("camera folders", len(CAMERAS) - len(missing), len(CAMERAS))
    if missing:
        report.notes.append(f"missing: {', '.join(missing)}")
    about = rendered_counts(root)
    if about is not None:
        report.notes.append("rendered by `vireid synth`; the expected counts are those of its dataset.json")
    folders = {
        (camid, pid): image_files(folder)
        for camid in CAMERAS
        for pid, folder in numbered_folders(root / f"cam{camid}").items()
    }
    try:
        splits = _splits(root)
    except InputError as error:
        report.expect("identity lists", "incomplete", "exp/{train,val,test}_id.txt")
        report.notes.append(str(error))
        report.expect_readable("unreadable images", list(chain.from_iterable(folders.values())))
        return report
    if about is not None:
        _check_lists(report, root, splits)
    expected = OFFICIAL if about is None else _rendered_counts(about)
    found = {
        "identities": len(splits),
        "training identities (train + val)": sum(split != "test" for split in splits.values()),
        "test identities": sum(split == "test" for split in splits.values()),
    }
    files = {(camid, pid): paths for (camid, pid), paths in folders.items() if pid in splits}
    images = {key: len(paths) for key, paths in files.items()}
    for what, number in (found | _count_images(splits, images)).items():
        report.expect(what, number, expected[what])
    absent = sorted(set(splits) - {pid for (_, pid), n in images.items() if n})
    if absent:
        report.notes.append(f"{len(absent)} listed identities have no image, for example {absent[:5]}")
    _check_permutations(report, root, splits, images)
    report.expect_readable("unreadable images", list(chain.from_iterable(files.values())))
    return report


def _rendered_counts(about: dict[str, Any]) -> dict[str, int]:
    """What to expect of a rendered folder, where every person is seen by every camera."""
    people, images = about["identities"], about["counts"]
    return {
        "identities": sum(people.values()),
        "training identities (train + val)": people["train"],
        "test identities": people["test"],
        "training images, visible": images["train visible"],
        "training images, infrared": images["train infrared"],
        "query images (cameras 3 and 6)": images["test infrared"],
        "gallery of one shot, all search": people["test"] * len(VISIBLE_CAMERAS),
        "gallery of one shot, indoor search": people["test"] * len(INDOOR_CAMERAS),
    }


def _check_lists(report: Report, root: Path, splits: dict[int, str]) -> None:
    """Count the sound identity lists of a rendered set: it has each as text and for MATLAB, and one of everybody."""
    people = {name: [pid for pid in sorted(splits) if splits[pid] == name] for name in ("train", "val", "test")}
    sound = 0
    for name, pids in (people | {"available": sorted(splits)}).items():
        for file, read in ((f"{name}_id.txt", read_identity_list), (f"{name}_id.mat", _read_matlab_list)):
            try:
                if read(root / "exp" / file) != pids:
                    raise InputError(f"{root / 'exp' / file} lists other people than train, val and test_id.txt")
                sound += 1
            except InputError as error:
                report.notes.append(f"{error}; the `vireid synth` command of this set writes it anew")
    report.expect("identity lists, as text and for MATLAB", sound, 8)


def _read_matlab_list(file: Path) -> list[int]:
    try:
        return [int(pid) for pid in np.ravel(loadmat(file)["id"])]
    except Exception:  # scipy reports damaged files by many kinds of error
        raise InputError(f"{file} is missing or no MATLAB file of `id`") from None


def _count_images(splits: dict[int, str], images: dict[tuple[int, int], int]) -> dict[str, int]:
    def count(test: bool, cameras: Sequence[int]) -> int:
        return sum(n for (camid, pid), n in images.items() if camid in cameras and (splits[pid] == "test") == test)

    def cells(cameras: Sequence[int]) -> int:
        return sum(bool(n) for (camid, pid), n in images.items() if splits[pid] == "test" and camid in cameras)

    return {
        "training images, visible": count(False, VISIBLE_CAMERAS),
        "training images, infrared": count(False, INFRARED_CAMERAS),
        "query images (cameras 3 and 6)": count(True, INFRARED_CAMERAS),
        "gallery of one shot, all search": cells(VISIBLE_CAMERAS),
        "gallery of one shot, indoor search": cells(INDOOR_CAMERAS),
    }


def _check_permutations(report: Report, root: Path, splits: dict[int, str], images: dict[tuple[int, int], int]) -> None:
    try:
        draws = official_permutations(root)
    except InputError as error:
        report.expect("rand_perm_cam.mat", "absent" if permutation_file(root) is None else "damaged", "present")
        report.notes.append(str(error))
        return
    report.expect("rand_perm_cam.mat", "present", "present")
    wrong = [
        key
        for key, n in images.items()
        if splits[key[1]] == "test" and n and (key not in draws or draws[key].shape[1] != n)
    ]
    report.expect("test folders whose image count differs from rand_perm_cam.mat", len(wrong), 0)


def _require_layout(root: Path) -> None:
    require_folder(root, "cam1 to cam6 and exp of SYSU-MM01; see `vireid data check sysu_mm01`")
    for camid in CAMERAS:
        require_folder(root / f"cam{camid}", "the images of that camera of SYSU-MM01; a part of the data is missing")


def _splits(root: Path) -> dict[int, str]:
    splits: dict[int, str] = {}
    for split in ("train", "val", "test"):
        file = root / "exp" / f"{split}_id.txt"
        for pid in read_identity_list(file):
            if pid in splits:
                raise InputError(f"{file}: identity {pid} is in {splits[pid]}_id.txt as well; keep one of them")
            splits[pid] = split
    return splits


def _require_everyone(root: Path, splits: dict[int, str], samples: Sequence[Sample]) -> None:
    absent = sorted(set(splits) - {sample.pid for sample in samples})
    if absent:
        raise InputError(
            f"{root}: identity {absent[0]} of exp/{splits[absent[0]]}_id.txt has no image in cam1 to cam6 "
            f"({len(absent)} such identities); restore the images or mend the list"
        )


def _modality(camid: int) -> Modality:
    return Modality.INFRARED if camid in INFRARED_CAMERAS else Modality.VISIBLE


def _cells(array: Any) -> list[Any]:
    # A MATLAB cell column arrives as an object array, one of one element sometimes wrapped once more.
    array = np.asarray(array, dtype=object) if not isinstance(array, np.ndarray) else array
    if array.dtype != object:
        raise TypeError("not a cell array")
    while array.size == 1 and isinstance(array.flat[0], np.ndarray) and array.flat[0].dtype == object:
        array = array.flat[0]
    return list(array.flat)
