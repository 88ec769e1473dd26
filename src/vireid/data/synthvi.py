"""SynthVI: rendered people in visible, near-infrared and thermal light, as `vireid synth` writes them.

A part is a folder with `manifest.csv`, `images/` and `dataset.json`. Part `nir` mirrors SYSU-MM01 (six
cameras, 3 and 6 infrared), part `lwir` RegDB (one visible and one thermal camera). A root holds one part, or
`nir/` and `lwir/`; in such a root both parts show the same people. The root `mini` is the set that is shipped
inside the package. Sets are nested: the first 100 people of a large set are the set of 100, with the same split.
"""

import hashlib
import shutil
import tarfile
from collections import Counter
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vireid.data.cache import cache_folder, publish, unfinished, writing
from vireid.data.files import read_description, require_folder, require_numbers
from vireid.data.manifest import describe, read_csv, require_both_sides
from vireid.data.report import Report
from vireid.errors import InputError
from vireid.sample import Sample

PARTS = ("nir", "lwir")
CONTACT = "rendered by `vireid synth`; free of rights (CC0)"


class Config(BaseModel):
    """Where a rendered set lies, which part of it is used and how it is evaluated (as SYSU-MM01 or RegDB)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path = Field(Path("mini"), description="a folder of `vireid synth`, or `mini`, the shipped set")
    part: Literal["nir", "lwir", "all"] = Field("nir", description="all: both parts, for training only")
    size: Literal[100, 400, 1000] | None = Field(None, description="the first so many people; null: all of them")
    train_ids: Literal["train", "all"] = Field("train", description="all: every identity is training data")
    search: Literal["all", "indoor"] = Field("all", description="gallery cameras 1, 2, 4, 5 or 1, 2 (part nir)")
    shots: Literal[1, 10] = Field(1, description="gallery images per identity and camera (part nir)")
    trials: int = Field(10, ge=1, description="gallery draws (part nir)")


def load(config: Config) -> list[Sample]:
    """The part's images in the order of its manifest; with part `all` the training images of both parts.

    Raises:
        InputError: the folder is missing, is not a SynthVI folder, lacks the part or holds fewer people than `size`,
            or a row is malformed.
    """
    folders = find_parts(config.root)
    wanted = PARTS if config.part == "all" else (config.part,)
    missing = [part for part in wanted if part not in folders]
    if missing:
        raise InputError(
            f"{config.root} holds part {' and '.join(folders)}, not {missing[0]}; set part to "
            f"{next(iter(folders))} or render the other one with `vireid synth`"
        )
    if len(wanted) > 1:
        _require_same_people(folders)
    if config.size is not None:
        for part in wanted:
            _require_size(folders[part], config.size)
    samples = [
        sample for part in wanted for sample in _read(folders[part]) if config.size is None or sample.pid <= config.size
    ]
    if config.train_ids == "all":
        return [replace(sample, split="train") for sample in samples]
    if config.part == "all":
        return [sample for sample in samples if sample.split == "train"]
    require_both_sides(samples, config.root)
    return samples


def _read(folder: Path) -> list[Sample]:
    """The images of a part, with their silhouettes if it was rendered with them."""
    samples = read_csv(folder / "manifest.csv")
    if not _description(folder).get("masks"):
        return samples
    return [
        replace(sample, mask=mask_path(folder, sample.path)) if sample.path.is_relative_to(folder) else sample
        for sample in samples
    ]


def benchmark(config: Config) -> str:
    """What results on a part are named after, such as `SynthVI3-nir-400`: the set and its number of people.

    Results of one name are of the same pictures. Sets of an older `vireid synth` have no name: the part alone.
    """
    if config.part == "all":
        return config.part  # for training only
    about = _description(find_parts(config.root)[config.part])
    name, people = about.get("benchmark"), about.get("identities")
    if not isinstance(name, str) or not isinstance(people, dict):
        return config.part
    return f"{name}-{config.size or sum(people.values())}"


def find_parts(root: Path) -> dict[str, Path]:
    """The parts in a root, by name: `nir` before `lwir`; raises `InputError` if there is none or one is another."""
    root = shipped() if str(root) == "mini" else root
    require_folder(root, "a folder that `vireid synth` wrote, or `mini` for the shipped set")
    if (root / "manifest.csv").is_file():
        part = _description(root).get("part")
        if part not in PARTS:
            raise InputError(f"{root / 'dataset.json'}: part is {part!r}, expected nir or lwir; render the set anew")
        return {part: root}
    folders = {part: root / part for part in PARTS if (root / part / "manifest.csv").is_file()}
    if not folders:
        raise InputError(
            f"{root} is no complete SynthVI folder; expected manifest.csv, nir/manifest.csv or "
            "lwir/manifest.csv (an interrupted `vireid synth` continues when called again)"
        )
    for name, folder in folders.items():
        part = _description(folder).get("part")
        if part != name:
            raise InputError(
                f"{folder / 'dataset.json'}: part is {part!r}, expected {name!r} as the folder; "
                "give each part the folder of its name, or render the set anew"
            )
    return folders


def shipped() -> Path:
    """The folder of the shipped set, unpacked into the cache on the first call.

    Raises:
        InputError: the package was installed without its assets, or the cache cannot be written.
    """
    archive = Path(str(files("vireid"))) / "assets" / "synthvi-mini.tar.gz"
    if not archive.is_file():
        raise InputError(f"the shipped set {archive} is missing; reinstall vireid, or render it: vireid synth mini")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()[:12]
    folder = cache_folder() / f"synthvi-mini-{digest}"
    if folder.is_dir():
        return folder
    partial = unfinished(folder)
    with writing(folder.parent, "the shipped SynthVI set"):
        try:
            with tarfile.open(archive) as content:
                # Python before 3.11.4 knows no filters, and later ones warn where none is named.
                content.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
                content.extractall(partial)
            publish(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def check(root: Path) -> Report:
    """Counts of each part against its dataset.json, identities, cameras and unreadable images."""
    report = Report("SynthVI", root, CONTACT)
    for part, folder in find_parts(root).items():
        samples = read_csv(folder / "manifest.csv")
        about = _description(folder)
        seed, size, generator = (about.get(key, "unknown") for key in ("seed", "size", "generator"))
        report.notes.append(f"part {part}: seed {seed}, size {size}, generator version {generator}")
        counts = about.get("counts")
        counts = counts if isinstance(counts, dict) else {}
        found = Counter(f"{sample.split} {sample.modality.name.lower()}" for sample in samples)
        for name in sorted({*counts, *found}):
            expected = counts[name] if type(counts.get(name)) is int else "no number in dataset.json"
            report.expect(f"{part}: rows of the manifest, {name}", found[name], expected)
        if about.get("masks"):
            masks = [mask_path(folder, sample.path) for sample in samples]
            there = [mask for mask in masks if mask.is_file()]
            report.expect(f"{part}: silhouettes", len(there), len(samples))
            report.expect_readable(f"{part}: unreadable silhouettes", there)
        describe(report, samples, f"{part}: ")
    return report


def mask_path(folder: Path, image: Path) -> Path:
    """Where the silhouette of an image of a part lies; `InputError` if the image is not in the part's folder."""
    if not image.is_relative_to(folder):
        raise InputError(
            f"{folder / 'manifest.csv'}: {image} is not in {folder}, where its silhouette is looked for; "
            "expected paths relative to the manifest"
        )
    return (folder / "masks" / image.relative_to(folder)).with_suffix(".png")


def _require_size(folder: Path, size: int) -> None:
    sizes = _description(folder).get("sizes")
    if not isinstance(sizes, list):
        raise InputError(f"{folder} is of an older `vireid synth`, whose sets are not nested; leave out data.size")
    if size not in sizes:
        smaller = f"set data.size to {' or '.join(map(str, sizes))}" if sizes else "leave out data.size"
        raise InputError(
            f"{folder} holds fewer than {size} people; render more by the same `vireid synth` command with "
            f"--identities {size}, or {smaller}"
        )


def _require_same_people(folders: dict[str, Path]) -> None:
    """Both parts number the people of one seed; with different seeds one number would mean two people."""
    seeds = {part: _description(folder).get("seed") for part, folder in folders.items()}
    if seeds["nir"] != seeds["lwir"]:
        told = " and ".join(f"{part} seed {seed}" for part, seed in seeds.items())
        raise InputError(f"part all needs parts of one seed, got {told}; render both with the same --seed")


def _description(folder: Path) -> dict[str, Any]:
    about = read_description(folder)
    if about is None:
        raise InputError(f"{folder / 'dataset.json'} does not exist; expected the description `vireid synth` writes")
    if "identities" in about:
        require_numbers(folder, about, "identities")
    return about
