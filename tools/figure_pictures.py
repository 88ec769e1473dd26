"""Draws the pictures of docs/figures.md into docs/pictures/figures: two short runs of DFW-SLN and one of CM-DASN.

Run: python tools/figure_pictures.py [--work runs/figures]. Runs that are there are not trained again. The training is
far too short for scores that mean anything: the pictures show what the figures look like.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures" / "figures"
WIDTH = 1200  # pixels of a sheet

DFW = "configs/dfw_sln_synthvi_nir.yaml"
SHORT = ["train.epochs=2", "train.steps_per_epoch=20"]
OFF = ["method.dfw.enabled=false", "method.sln.enabled=false"]
RUNS = {
    "baseline": (DFW, [*SHORT, *OFF]),
    "dfw_sln": (DFW, SHORT),
    "cm_dasn": ("configs/cm_dasn_synthvi_nir.yaml", ["train.epochs=9", "train.steps_per_epoch=6"]),
}
# Sheets of photographs become JPEG, which is smaller; charts stay SVG.
SHEETS = {
    "rank": (["figures", "rank", "default", "--data", "mini", "--direction", "i2v"], "rank-synthvi-nir-i2v"),
    "heatmap": (["figures", "heatmap", "baseline", "dfw_sln", "--people", "4"], "heatmap-synthvi-nir"),
    "weakening": (["figures", "weakening", "dfw_sln", "--people", "4"], "weakening-synthvi-nir"),
}
CHARTS = {
    "map": (["figures", "map", "default", "--data", "mini"], "map-synthvi-nir"),
    "distances": (["figures", "distances", "baseline", "dfw_sln"], "distances-synthvi-nir"),
    "cmc": (["figures", "cmc", "baseline", "dfw_sln"], "cmc-1-synthvi-i2v"),
    "training": (["figures", "training", "cm_dasn"], "training"),
    "heads": (["figures", "heads", "cm_dasn"], "heads"),
}


def main(work: Path) -> None:
    """Train what is missing, draw everything, and keep what the page shows."""
    for name, (config, changes) in RUNS.items():
        if not (work / name / "results.json").is_file():
            shutil.rmtree(work / name, ignore_errors=True)
            settings = [word for change in changes for word in ("--set", change)]
            vireid("train", config, *settings, "--output", work / name)
            vireid("evaluate", work / name, "--rerank", "off")
    PICTURES.mkdir(parents=True, exist_ok=True)
    drawn = work / "drawn"
    for name, (words, stem) in (SHEETS | CHARTS).items():
        vireid(*(work / word if word in RUNS else word for word in words), "--output", drawn)
        if name in CHARTS:
            shutil.copyfile(drawn / f"{stem}.svg", PICTURES / f"{name}.svg")
        else:
            sheet = Image.open(drawn / f"{stem}.png").convert("RGB")
            sheet.thumbnail((WIDTH, 10 * WIDTH))
            sheet.save(PICTURES / f"{name}.jpg", quality=85)


def vireid(*words: str | Path) -> None:
    """One command."""
    subprocess.run([sys.executable, "-m", "vireid", *map(str, words)], check=True, cwd=ROOT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "figures", help="folder of the runs")
    main(parser.parse_args().work.absolute())
