"""What is rendered: the parts, cameras and counts of each preset, and where each image lies.

A part mirrors a real data set: `nir` SYSU-MM01 (any viewpoint, two cameras of six near-infrared), `lwir`
RegDB (visible and thermal images of the same instants).
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from vireid.errors import InputError

PresetName = Literal["mini", "nir", "lwir"]
LayoutName = Literal["manifest", "sysu", "regdb"]
Size = tuple[int, int]

# camera: (band, place, indoor); places with one number are one place.
CAMERAS: dict[str, dict[int, tuple[str, int, bool]]] = {
    "nir": {
        1: ("visible", 1, True),
        2: ("visible", 2, True),
        3: ("nir", 2, True),
        4: ("visible", 4, False),
        5: ("visible", 5, False),
        6: ("nir", 6, False),
    },
    "lwir": {1: ("visible", 7, False), 2: ("lwir", 7, False)},
}

_LARGEST_SEED = 1_000_000  # the hashes of the places overflow not far beyond


@dataclass(frozen=True, slots=True)
class Preset:
    """Counts of one preset.

    Attributes:
        parts: images per identity and camera of each part.
        identities: how many by default.
        train: share of the identities that train.
        validation: share of the identities that the SYSU layout lists as validation, out of `train`.
        size: (height, width) in pixels.
        poses: different instants of a walk per identity.
        samples: rays per pixel and axis.
        quality: JPEG quality.
    """

    parts: dict[str, int]
    identities: int
    train: float
    validation: float
    size: Size
    poses: int
    samples: int
    quality: int


PRESETS: dict[str, Preset] = {
    "mini": Preset({"nir": 4, "lwir": 6}, 100, 0.6, 0.0, (128, 64), 6, 2, 85),
    "nir": Preset({"nir": 15}, 491, 395 / 491, 99 / 491, (288, 144), 15, 2, 92),
    "lwir": Preset({"lwir": 10}, 412, 0.5, 0.0, (288, 144), 10, 2, 92),
}


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that decides the pixels of a run; written beside them."""

    preset: PresetName
    layout: LayoutName
    identities: int
    size: Size
    seed: int

    @property
    def nested(self) -> bool:
        """Whether each part has its own folder."""
        return len(PRESETS[self.preset].parts) > 1

    @property
    def sites(self) -> int:
        """How many sets of places: one for a small set; large ones would otherwise teach one background."""
        return min(32, max(1, self.identities // 200)) if self.preset == "mini" else 1

    def train_count(self) -> int:
        """The first this many identities train, the others test."""
        return min(self.identities - 1, max(1, round(self.identities * PRESETS[self.preset].train)))

    def image_path(self, part: str, camid: int, pid: int, number: int) -> PurePosixPath:
        """Where an image lies, relative to the output folder."""
        if self.layout == "sysu":
            return PurePosixPath(f"cam{camid}/{pid:04d}/{number:04d}.jpg")
        if self.layout == "regdb":
            folder = "Visible" if camid == 1 else "Thermal"
            return PurePosixPath(f"{folder}/{pid}/{folder.lower()}_{pid:04d}_{number:02d}.bmp")
        path = PurePosixPath(f"images/cam{camid}/{pid:04d}/{number:04d}.jpg")
        return part / path if self.nested else path


def make_job(preset: str, layout: str, identities: int | None, size: Size | None, seed: int) -> Job:
    """Check the settings of a run and fill in the preset's defaults; raises `InputError`."""
    if preset not in PRESETS:
        raise InputError(f"unknown preset {preset!r}: expected one of {', '.join(PRESETS)}")
    needed = {"manifest": preset, "sysu": "nir", "regdb": "lwir"}
    if layout not in needed:
        raise InputError(f"unknown layout {layout!r}: expected one of {', '.join(needed)}")
    if needed[layout] != preset:
        raise InputError(
            f"layout {layout} is that of preset {needed[layout]}, not {preset}: use --preset {needed[layout]}"
        )
    defaults = PRESETS[preset]
    count = defaults.identities if identities is None else identities
    if not 2 <= count <= 9999:
        raise InputError(f"{count} identities asked for: give 2 to 9999 (one to train on and one to test on at least)")
    if layout == "sysu" and count < 4:
        raise InputError(
            f"{count} identities asked for: layout sysu needs 4 or more (two to train on, one to validate on "
            "and one to test on)"
        )
    height, width = size or defaults.size
    if not (32 <= height <= 1024 and 16 <= width <= 512):
        raise InputError(f"image size {height}x{width}: height must be 32 to 1024 and width 16 to 512 pixels")
    if not 0 <= seed <= _LARGEST_SEED:
        raise InputError(f"seed {seed} asked for: give 0 to {_LARGEST_SEED}")
    return Job(preset, layout, count, (height, width), seed)  # type: ignore[arg-type]
