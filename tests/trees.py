"""Fabricates small data sets in the official layouts; identity is visible as colours in the pictures.

Import it from any test with `from trees import make_sysu` (tests/conftest.py puts this folder on the path).
"""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

VISIBLE_CAMERAS, INFRARED_CAMERAS = (1, 2, 4, 5), (3, 6)


def person(pid: int, infrared: bool, shot: int, height: int = 32, width: int = 16) -> np.ndarray:
    """(H, W, 3) uint8, or (H, W) in infrared: two garments of the identity's own tones, noise per shot."""
    tones = np.random.default_rng([pid, 1]).integers(30, 225, (2, 3))
    noise = np.random.default_rng([pid, shot, int(infrared)]).integers(-12, 13, (height, width, 3))
    image = np.full((height, width, 3), 128, np.int64)
    image[height // 8 : height // 2, width // 4 : -(width // 4)] = tones[0]
    image[height // 2 :, width // 4 : -(width // 4)] = tones[1]
    image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return image.mean(2).astype(np.uint8) if infrared else image


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **({"quality": 95} if path.suffix in (".jpg", ".jpeg") else {}))
    return path


def make_sysu(
    root: Path,
    *,
    train: Sequence[int] = range(1, 9),
    val: Sequence[int] = range(9, 11),
    test: Sequence[int] = range(11, 17),
    images: int = 4,
    counts: Mapping[int, Sequence[int]] | None = None,
    outdoor_only: Iterable[int] = (),
    suffix: str = ".jpg",
    permutations: bool = True,
    known: Mapping[tuple[int, int], np.ndarray] | None = None,
    empty_images: bool = False,
) -> Path:
    """SYSU-MM01: `cam1..6/<id>/<frame>`, `exp/*_id.txt`, `exp/rand_perm_cam.mat`.

    Args:
        root: folder to write.
        train: identities, as are `val` and `test`.
        images: images per identity and camera.
        counts: images of a test identity in cameras 1 to 6, instead of `images`.
        outdoor_only: identities without images in cameras 1 and 2 and thus 3.
        suffix: kind of image file.
        permutations: write rand_perm_cam.mat, seeded.
        known: `(camid, pid)` to the first columns (10, k) that its rows must have.
        empty_images: write empty files, for tests that need no pixels.
    """
    outdoor_only = set(outdoor_only)
    for name, pids in {"train": train, "val": val, "test": test, "available": [*train, *val, *test]}.items():
        file = root / "exp" / f"{name}_id.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(",".join(map(str, pids)) + "\n")
    number = {}
    for pid in [*train, *val, *test]:
        for camid in range(1, 7):
            n = 0 if pid in outdoor_only and camid in (1, 2, 3) else images
            number[camid, pid] = n if counts is None or pid not in counts else counts[pid][camid - 1]
            for frame in range(1, number[camid, pid] + 1):
                path = root / f"cam{camid}" / f"{pid:04d}" / f"{frame:04d}{suffix}"
                if empty_images:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()
                else:
                    save(path, person(pid, camid in INFRARED_CAMERAS, 10 * frame + camid))
    if permutations:
        _write_permutations(root / "exp" / "rand_perm_cam.mat", number, known or {})
    return root


def _write_permutations(
    file: Path, number: Mapping[tuple[int, int], int], known: Mapping[tuple[int, int], np.ndarray]
) -> None:
    """Cells as in the official file: 6 x 1 cameras of (identities) x 1 arrays, 10 x n, uint8."""
    rng = np.random.default_rng(0)
    cameras = np.empty((6, 1), object)
    for camid in range(1, 7):
        people = np.empty((max(pid for _, pid in number), 1), object)
        for pid in range(1, len(people) + 1):
            n = number.get((camid, pid), 0)
            rows = [rng.permutation(n) + 1 for _ in range(10)]
            if (camid, pid) in known:
                heads = known[camid, pid]
                rows = [np.r_[head, row[~np.isin(row, head)]] for head, row in zip(heads, rows, strict=True)]
            people[pid - 1, 0] = np.array(rows, np.uint8).reshape(10, n)
        cameras[camid - 1, 0] = people
    savemat(file, {"rand_perm_cam": cameras})


def make_regdb(root: Path, *, identities: int = 12, images: int = 10, trials: int = 10) -> Path:
    """RegDB: `Visible|Thermal/<id>/*.bmp` and `idx/{train,test}_{visible,thermal}_<trial>.txt`."""
    paths: dict[tuple[str, int], list[str]] = {}
    for pid in range(1, identities + 1):
        for folder in ("Visible", "Thermal"):
            for shot in range(images):
                path = Path(folder) / str(pid) / f"male_back_{folder[0].lower()}_{shot:05d}_{pid}.bmp"
                save(root / path, person(pid, folder == "Thermal", shot))
                paths.setdefault((folder, pid), []).append(path.as_posix())
    (root / "idx").mkdir()
    for trial in range(1, trials + 1):
        order = np.random.default_rng(trial).permutation(identities) + 1
        for split, pids in (("train", order[: identities // 2]), ("test", order[identities // 2 :])):
            for folder in ("Visible", "Thermal"):
                lines = [
                    f"{path} {label}\n" for label, pid in enumerate(sorted(pids)) for path in paths[folder, int(pid)]
                ]
                (root / "idx" / f"{split}_{folder.lower()}_{trial}.txt").write_text("".join(lines))
    return root


def make_llcm(root: Path, *, train: int = 8, test: int = 5, images: int = 2) -> Path:
    """LLCM: `vis|nir/<id>/*`, `idx/train_*.txt`, `test_vis|test_nir/cam<1..9>/<id>/*`, `idx/test_id.txt`."""
    (root / "idx").mkdir(parents=True)
    for folder in ("vis", "nir"):
        lines = []
        for label, pid in enumerate(range(1, train + 1)):
            for shot in range(2 * images):
                path = Path(folder) / f"{pid:04d}" / f"{pid:04d}_c{shot % 9 + 1:02d}_s{shot}_f{shot}_{folder}.jpg"
                save(root / path, person(pid, folder == "nir", shot))
                lines.append(f"{path.as_posix()} {label}\n")
        (root / "idx" / f"train_{folder}.txt").write_text("".join(lines))
    pids = range(train + 1, train + test + 1)
    (root / "idx" / "test_id.txt").write_text(",".join(map(str, pids)) + "\n")
    for folder in ("vis", "nir"):
        for camid in range(1, 10):
            if folder == "nir" and camid == 3:
                continue
            for pid in pids:
                for shot in range(images):
                    name = f"{pid:04d}_c{camid:02d}_s{shot}_f{shot}_{folder}.jpg"
                    path = root / f"test_{folder}" / f"cam{camid}" / f"{pid:04d}" / name
                    save(path, person(pid, folder == "nir", 10 * shot + camid))
    return root


def make_manifest_tree(root: Path, *, identities: int = 4, images: int = 2) -> Path:
    """`ROOT/{visible,infrared}/<pid>/<image>`."""
    for name in ("visible", "infrared"):
        for pid in range(1, identities + 1):
            for shot in range(images):
                save(root / name / f"{pid:04d}" / f"{shot:02d}.png", person(pid, name == "infrared", shot))
    return root


def write_manifest(file: Path, rows: Iterable[Sequence[object]], header: str = "path,pid,modality,camid,split") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([header.split(","), *rows])
    return file


def make_manifest_csv(root: Path, *, train: int = 6, test: int = 4, images: int = 4, cameras: int = 2) -> Path:
    """`manifest.csv` with train and test identities beside their images; returns the file."""
    rows = []
    for pid in range(1, train + test + 1):
        for modality in ("visible", "infrared"):
            for shot in range(images):
                path = Path("images") / modality / f"{pid:04d}_{shot}.jpg"
                save(root / path, person(pid, modality == "infrared", shot))
                split = "train" if pid <= train else "test"
                rows.append([path.as_posix(), pid, modality, shot % cameras + 1, split])
    return write_manifest(root / "manifest.csv", rows)


def make_synthvi(root: Path, part: str = "nir", *, identities: int = 10, images: int = 2, seed: int = 0) -> Path:
    """One part of SynthVI: `manifest.csv`, `images/`, `dataset.json`; 60 % of the identities train."""
    bands = {"nir": "VVIVVI", "lwir": "VI"}[part]
    rows: list[list[object]] = []
    for pid in range(1, identities + 1):
        split = "train" if pid <= 0.6 * identities else "test"
        for camid, band in enumerate(bands, start=1):
            for shot in range(images):
                path = Path("images") / f"cam{camid}" / f"{pid:04d}" / f"{shot:04d}.jpg"
                save(root / path, person(pid, band == "I", 10 * shot + camid))
                modality = "infrared" if band == "I" else "visible"
                rows.append([path.as_posix(), pid, modality, camid, split, f"walk{shot}", str(shot)])
    write_manifest(root / "manifest.csv", rows, "path,pid,modality,camid,split,track,time")
    about = {
        "name": "SynthVI",
        "part": part,
        "generator": 1,
        "preset": part,
        "seed": seed,
        "size": [32, 16],
        "counts": Counter(f"{row[4]} {row[2]}" for row in rows),
        "license": "CC0-1.0",
    }
    (root / "dataset.json").write_text(json.dumps(about))
    return root
