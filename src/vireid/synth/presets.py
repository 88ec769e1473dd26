"""What is rendered: the parts, cameras and counts of each preset, who trains, and where each image lies.

A part mirrors a real data set: `nir` SYSU-MM01 (any viewpoint, two cameras of six near-infrared), `lwir`
RegDB (visible and thermal images of the same instants).

Sets are nested: a person's looks, places and split depend on the seed and the person's number alone, so the first
100 people of a set of 1000 are the set of 100.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from vireid.errors import InputError

PresetName = Literal["mini", "nir", "lwir"]
LayoutName = Literal["manifest", "sysu", "regdb"]
DeviceName = Literal["auto", "cpu", "cuda"]
Split = Literal["train", "test"]
Size = tuple[int, int]

PEOPLE = (100, 400, 1000)  # the sizes that have a protocol
DAYS = 2  # each person is seen on that many days; what is worn may change between them
SPLIT_RULE = "odd pids train, even pids test; of those that train, pids ending in 3 validate in layout sysu"

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
        size: (height, width) in pixels.
        poses: different postures per identity; part nir takes every other one for each modality.
        samples: rays per pixel and axis.
        quality: JPEG quality.
        sites: how many sets of places; each image is taken in one of them. Real data sets have one; a set made to
            train for other places needs several. Not by the number of people: that would tell early from late pids.
    """

    parts: dict[str, int]
    identities: int
    size: Size
    poses: int
    samples: int
    quality: int
    sites: int


PRESETS: dict[str, Preset] = {
    "mini": Preset({"nir": 4, "lwir": 6}, 100, (128, 64), 8, 2, 85, 32),
    "nir": Preset({"nir": 15}, 400, (288, 144), 16, 2, 92, 1),
    "lwir": Preset({"lwir": 10}, 400, (288, 144), 10, 2, 92, 1),
}


def split_of(pid: int) -> Split:
    """Whether the person trains or tests; of any even number of people half do either."""
    return "train" if pid % 2 else "test"


def validates(pid: int) -> bool:
    """Whether the layout of SYSU-MM01 lists the person as validation: one in five of those that train."""
    return pid % 10 == 3


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that decides the pixels of a run; written beside them."""

    preset: PresetName
    layout: LayoutName
    identities: int
    size: Size
    seed: int
    masks: bool = False

    @property
    def nested(self) -> bool:
        """Whether each part has its own folder."""
        return len(PRESETS[self.preset].parts) > 1

    @property
    def sites(self) -> int:
        """How many sets of places."""
        return PRESETS[self.preset].sites

    def image_path(self, part: str, camid: int, pid: int, number: int) -> PurePosixPath:
        """Where an image lies, relative to the output folder."""
        if self.layout == "sysu":
            return PurePosixPath(f"cam{camid}/{pid:04d}/{number:04d}.jpg")
        if self.layout == "regdb":
            folder = "Visible" if camid == 1 else "Thermal"
            return PurePosixPath(f"{folder}/{pid}/{folder.lower()}_{pid:04d}_{number:02d}.bmp")
        return self.part_folder(part) / f"images/cam{camid}/{pid:04d}/{number:04d}.jpg"

    def part_folder(self, part: str) -> PurePosixPath:
        """The folder of a part, relative to the output folder; paths of its manifest are relative to it."""
        return PurePosixPath(part if self.nested else ".")

    def mask_path(self, part: str, image: str) -> PurePosixPath:
        """Where the silhouette of an image lies, relative to the output folder; `image` as in the manifest."""
        return self.part_folder(part) / "masks" / PurePosixPath(image).with_suffix(".png")


def make_job(
    preset: str, layout: str, identities: int | None, size: Size | None, seed: int, masks: bool = False
) -> Job:
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
            f"{count} identities asked for: layout sysu needs 4 or more (two to train on, one of them for "
            "validation, and two to test on)"
        )
    height, width = size or defaults.size
    if not (32 <= height <= 1024 and 16 <= width <= 512):
        raise InputError(f"image size {height}x{width}: height must be 32 to 1024 and width 16 to 512 pixels")
    if not 0 <= seed <= _LARGEST_SEED:
        raise InputError(f"seed {seed} asked for: give 0 to {_LARGEST_SEED}")
    return Job(preset, layout, count, (height, width), seed, masks)  # type: ignore[arg-type]
