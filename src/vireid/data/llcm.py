"""LLCM (Zhang and Wang, CVPR 2023): 1,064 people and nine cameras in low light, visible and near infrared.

Layout: `idx/train_vis.txt` and `idx/train_nir.txt` with lines `vis/0001/0001_c01_s185535_f7010_vis.jpg 0`,
`idx/test_id.txt` (one comma-separated line), `test_vis/cam1..9/<identity>/` and
`test_nir/cam1..9/<identity>/` (no near-infrared camera 3). The authors revised the data: never mix numbers
from before and after. A sample reads `Sample(path=.../test_nir/cam2/0007/x.jpg, pid=7, modality=INFRARED,
camid=2, split="test")`.
"""

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from vireid.data.files import image_files, numbered_folders, read_identity_list, read_index, require_folder
from vireid.data.report import Report
from vireid.errors import InputError
from vireid.sample import Modality, Sample

SHORT = {Modality.VISIBLE: "vis", Modality.INFRARED: "nir"}
CAMERAS = range(1, 10)
CONTACT = "github.com/ZYK100/LLCM: sign the data set agreement there (academic use, no redistribution)"


class Config(BaseModel):
    """Where LLCM lies and which of its two evaluation protocols is meant.

    `paper`: the query is every image of one modality, the gallery one random image per identity and camera of
    the other. `repo_script`: visible to infrared swaps these roles, as the authors' public script does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path
    protocol: Literal["paper", "repo_script"] = "paper"
    trials: int = Field(10, ge=1, description="gallery draws")


def load(config: Config) -> list[Sample]:
    """Training images in list order, then test images by modality, camera, identity and file name.

    Raises:
        InputError: a folder or list is missing, a row is malformed or names a file that does not exist, a
            test identity has no image, or one modality of the test is empty.
    """
    root = config.root
    require_folder(root, "idx, test_vis and test_nir of LLCM; see `vireid data check llcm`")
    for modality in Modality:
        require_folder(root / f"test_{SHORT[modality]}", "test images of LLCM; a part of the data is missing")
    train = [sample for modality in Modality for sample in _read_train(root, modality)]
    test_ids = set(read_identity_list(root / "idx" / "test_id.txt"))
    shared = sorted(test_ids & {sample.pid for sample in train})
    if shared:
        raise InputError(
            f"{root / 'idx' / 'test_id.txt'}: identity {shared[0]} is a training identity as well "
            f"({len(shared)} such identities); expected separate people"
        )
    test = [sample for modality in Modality for sample in _read_test(root, modality, test_ids)]
    absent = sorted(test_ids - {sample.pid for sample in test})
    if absent:
        raise InputError(
            f"{root}: identity {absent[0]} of idx/test_id.txt has no image in test_vis or test_nir "
            f"({len(absent)} such identities); restore the images or mend the list"
        )
    for modality in Modality:
        if not any(sample.modality is modality for sample in test):
            folder = root / f"test_{SHORT[modality]}"
            raise InputError(f"{folder}: the gallery is empty; expected cam1 to cam9 with test identities")
    return train + test


def check(root: Path) -> Report:
    """Count identities and images against the official numbers; `InputError` if `root` is no folder."""
    require_folder(root, f"idx, test_vis and test_nir of LLCM; to get it: {CONTACT}")
    report = Report("LLCM", root, CONTACT)
    try:
        samples = load(Config(root=root))
    except InputError as error:
        report.expect("loadable", "no", "yes")
        report.notes.append(str(error))
        report.expect_readable("unreadable images", _images(root))
        return report
    train = {sample.pid for sample in samples if sample.split == "train"}
    test = {sample.pid for sample in samples if sample.split == "test"}
    report.expect("training identities", len(train), 713)
    report.expect("test identities", len(test), 351)
    report.expect("person boxes", len(samples), 46_767)
    for modality, cameras in ((Modality.VISIBLE, 9), (Modality.INFRARED, 8)):
        found = {s.camid for s in samples if s.split == "test" and s.modality is modality}
        report.expect(f"test cameras, {modality.name.lower()}", len(found), cameras)
    for split in ("train", "test"):
        for modality in Modality:
            count = sum(s.split == split and s.modality is modality for s in samples)
            report.expect(f"{split} images, {modality.name.lower()}", count, None)
    report.expect_readable("unreadable images", [sample.path for sample in samples])
    report.notes.append("the authors revised this data set: compare only numbers measured on the same version")
    return report


def _images(root: Path) -> list[Path]:
    """All images that are there, listed or not."""
    folders = [root / SHORT[modality] for modality in Modality]
    folders += [root / f"test_{SHORT[modality]}" / f"cam{camid}" for modality in Modality for camid in CAMERAS]
    return [path for folder in folders for person in numbered_folders(folder).values() for path in image_files(person)]


def _read_train(root: Path, modality: Modality) -> list[Sample]:
    file = root / "idx" / f"train_{SHORT[modality]}.txt"
    return [Sample(path, pid, modality, _camid(path), "train") for path, pid, _ in read_index(file, root)]


def _camid(path: Path) -> int:
    """The camera of a training image, which only its name tells, such as `0001_c01_s185535_f7010_vis`."""
    part = re.search(r"(?:^|_)c(\d+)(?:_|$)", path.stem)
    return int(part.group(1)) if part else 0


def _read_test(root: Path, modality: Modality, test_ids: set[int]) -> list[Sample]:
    return [
        Sample(path, pid, modality, camid, "test")
        for camid in CAMERAS
        for pid, folder in numbered_folders(root / f"test_{SHORT[modality]}" / f"cam{camid}").items()
        if pid in test_ids
        for path in image_files(folder)
    ]
