"""`dataset.json`: what a finished set says of itself."""

from collections import Counter
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from vireid.synth.presets import CAMERAS, DAYS, PEOPLE, SPLIT_RULE, Job
from vireid.synth.progress import CHANGES, Note

GENERATOR = 2  # raise when the same settings give other pixels
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

    Keys: `sizes` are the numbers of people that have a protocol and can be picked, `identities` and `counts` people
    and images by split, `cameras` band, place and whether it is indoors by camera number, `changes` the pids that
    wear another top or carry another bag on another day, `masks` the folder of the silhouettes or null, `made_with`
    the versions and devices that painted, more than one if they changed between runs.
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
