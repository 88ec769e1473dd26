"""`dataset.json`: what a finished set says of itself."""

from collections import Counter
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from vireid.synth.presets import CAMERAS, DAYS, PEOPLE, PRESETS, SPLIT_RULE, Job
from vireid.synth.progress import CHANGES, Note

GENERATOR = 3  # raise when the same settings give other pixels
LICENSE = "CC0-1.0"


def list_versions(device: str) -> dict[str, str]:
    """What else decides the pixels: the versions of the packages that draw, and the device."""
    found = {"device": device}
    for package in ("anny", "warp-lang", "numpy", "pillow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def describe_part(
    job: Job, part: str, notes: Mapping[int, Note], settings: dict[str, Any], made_with: list[dict[str, str]]
) -> dict[str, Any]:
    """The description of one part, ready for JSON.

    Keys: `benchmark` is what results are named after, followed by the number of people, `sizes` the numbers of people
    that have a protocol and can be picked, `identities` and `counts` people and images by split, `cameras` band, place
    and whether it is indoors by camera number, `changes` the pids that wear another top or carry another bag on another
    day, `masks` the folder of the silhouettes or null, `made_with` the versions and devices that painted, more than one
    if they changed between runs.
    """
    rows = [row for note in notes.values() for row in note.rows[part]]
    counts = Counter(f"{split} {modality}" for _, _, modality, _, split, _, _ in rows)
    # A set of strings would come in another order in every process.
    people = Counter(split for _, split in dict.fromkeys((row[1], row[4]) for row in rows))
    cameras = {
        str(camid): {"band": band, "place": place, "indoor": indoor}
        for camid, (band, place, indoor) in CAMERAS[part].items()
    }
    return {
        "name": "SynthVI",
        "part": part,
        "generator": GENERATOR,
        "preset": job.preset,
        "seed": job.seed,
        "size": list(job.size),
        "benchmark": _benchmark(job, part),
        "sizes": [size for size in PEOPLE if size <= job.identities],
        "split": SPLIT_RULE,
        "identities": dict(people),
        "counts": dict(counts),
        "cameras": cameras,
        "sites": job.sites,
        "days": DAYS,
        "changes": {name: [pid for pid, note in notes.items() if name in note.changes] for name in CHANGES},
        "masks": "masks" if job.masks else None,
        "license": LICENSE,
        "settings": settings,
        "made_with": made_with,
    }


def _benchmark(job: Job, part: str) -> str:
    """What results are named after, such as `SynthVI3-nir`, the 3 being the generator's version.

    The plain name is that of what the presets `nir` and `lwir` give if nothing but the number of people is asked for;
    any other set says in its name what is other.
    """
    preset = PRESETS[job.preset]
    others: list[str] = [] if job.preset == part else [job.preset]
    if job.size != preset.size:
        others.append(f"{job.size[0]}x{job.size[1]}")
    if job.seed:
        others.append(f"seed{job.seed}")
    if job.layout == "regdb":
        others.append("bmp")
    return "-".join([f"SynthVI{GENERATOR}", *others, part])


def describe_parts(
    job: Job, parts: list[str], settings: dict[str, Any], made_with: list[dict[str, str]]
) -> dict[str, Any]:
    """The description of a folder of several parts, each of which has its own."""
    return {
        "name": "SynthVI",
        "generator": GENERATOR,
        "parts": parts,
        "sizes": [size for size in PEOPLE if size <= job.identities],
        "license": LICENSE,
        "settings": settings,
        "made_with": made_with,
    }
