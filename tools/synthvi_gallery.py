"""Draw the picture of SynthVI in the README: `python tools/synthvi_gallery.py ROOT OUTPUT.jpg`.

ROOT is what `vireid synth ROOT --preset mini --identities 8 --size 192x96 --seed 2026` wrote. A row is a person: four
visible and three near-infrared pictures of part nir, then three pairs of part lwir. Nobody is chosen: these are the
first people of that seed, and of each the first pictures.
"""

import sys
from pathlib import Path

from PIL import Image

from vireid.data.manifest import read_csv
from vireid.sample import Modality, Sample

GAP = 3
WIDE_GAP = 12


def rows(root: Path, people: int) -> list[list[list[Path]]]:
    """For each person three groups of pictures."""
    nir, lwir = (read_csv(root / part / "manifest.csv") for part in ("nir", "lwir"))
    result = []
    for pid in sorted({sample.pid for sample in nir})[:people]:
        mine, pairs = ([sample for sample in part if sample.pid == pid] for part in (nir, lwir))
        cameras = [of_camera(mine, camid) for camid in (1, 2, 4, 5)]
        infrared = [sample.path for sample in mine if sample.modality is Modality.INFRARED]
        instants = [sample.path for sample in pairs[:6]]
        result.append([cameras, infrared[:2] + infrared[4:5], instants])
    return result


def of_camera(samples: list[Sample], camid: int) -> Path:
    """The first picture by a camera."""
    return next(sample.path for sample in samples if sample.camid == camid)


def main(root: Path, output: Path) -> None:
    """Write the picture."""
    people = rows(root, 8)
    width, height = Image.open(people[0][0][0]).size
    count = sum(len(group) for group in people[0])
    wide = 2 * (count * (width + GAP) - GAP + 2 * (WIDE_GAP - GAP)) + 2 * WIDE_GAP
    sheet = Image.new("RGB", (wide, len(people) // 2 * (height + GAP) - GAP), "white")
    for number, groups in enumerate(people):
        x = (number % 2) * (wide // 2 + WIDE_GAP)
        for group in groups:
            for path in group:
                sheet.paste(Image.open(path).convert("RGB"), (x, number // 2 * (height + GAP)))
                x += width + GAP
            x += WIDE_GAP - GAP
    sheet.save(output, quality=78)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
