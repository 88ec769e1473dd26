"""Sheets of pictures: rows of small images with captions and frames, as HTML for pages and as figures for papers.

Shapes: H and W height and width in pixels, h and w of a map.
"""

import base64
import html
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from vireid.data.pixels import read_pixels
from vireid.errors import InputError
from vireid.figures.style import HEAT, QUERY, RIGHT, WRONG, new_figure, styled

Kind = Literal["plain", "query", "right", "wrong"]
FRAMES: dict[str, tuple[str, Any]] = {"query": (QUERY, "-"), "right": (RIGHT, "-"), "wrong": (WRONG, (0, (3, 2)))}
HEIGHT, WIDTH = 128, 64  # of an image in a page, in pixels
QUALITY = 82  # of its JPEG
COLUMN_WIDTH = 13  # letters of a heading in a line

STYLE = """
.sheet { display: grid; gap: 6px; margin: 0 0 10px; grid-auto-flow: column; justify-content: start;
  overflow-x: auto; padding-bottom: 4px; }
.sheet figure { margin: 0; text-align: center; font-size: 11px; color: var(--dim); width: 72px; }
.sheet img { display: block; width: 64px; height: 128px; object-fit: contain; background: #eee; box-sizing: content-box;
  border: 4px solid transparent; border-radius: 3px; }
.sheet .query { margin-right: 14px; }
.sheet .query img { border-color: #888; }
"""
STYLE += f"""
.sheet .right img {{ border-color: {RIGHT}; }}
.sheet .wrong img {{ border-color: {WRONG}; border-style: dashed; }}
"""


@dataclass(frozen=True, eq=False)
class Cell:
    """One picture of a sheet.

    Attributes:
        image: a file, or `(H, W, 3)` uint8.
        caption: below it.
        alt: what it shows, for those who cannot see it.
        kind: of its frame.
        marks: places `(row, column)` in pixels of the image, numbered from 1; drawn in figures only.
    """

    image: Path | npt.NDArray[np.uint8]
    caption: str = ""
    alt: str = ""
    kind: Kind = "plain"
    marks: Sequence[tuple[float, float]] = ()


def html_sheet(rows: Sequence[Sequence[Cell]]) -> str:
    """HTML of the rows; a row too wide for the window scrolls."""
    return "\n".join(f'<div class="sheet">{"".join(map(_figure, row))}</div>' for row in rows)


@styled
def sheet(
    rows: Sequence[Sequence[Cell]], *, title: str, columns: Sequence[str] = (), key: str = "", gap_after: int = 0
) -> Figure:
    """A figure of the rows.

    Args:
        rows: of any lengths; each image is drawn as large as fits into a box twice as high as wide.
        title: above everything.
        columns: headings of the columns.
        key: below everything, what the marks mean.
        gap_after: a column after which there is more room; 0 for none.

    Raises:
        InputError: there is no row, or an image cannot be read.
    """
    if not rows:
        raise InputError(f"{title}: there is nothing to show; give at least one image")
    width, height, gap = 0.72, 1.44, 0.14
    line = height + 0.3
    across = max(4.2, max(map(len, rows)) * (width + 0.1) + gap * bool(gap_after) + 0.2)
    title, key = textwrap.fill(title, int(13.5 * across)), textwrap.fill(key, int(19 * across))
    columns = [textwrap.fill(column, COLUMN_WIDTH) for column in columns]
    heads = max((len(column.splitlines()) for column in columns), default=0)
    top = 0.16 + 0.16 * len(title.splitlines()) + (0.06 + 0.12 * heads) * bool(heads)
    total = (across, top + len(rows) * line + 0.13 * len(key.splitlines()))
    figure = new_figure(title, *total)
    figure.set_layout_engine("none")
    figure.text(0.1 / total[0], 1 - 0.06 / total[1], title, fontsize=9, weight="bold", va="top")
    for number, row in enumerate(rows):
        for place, cell in enumerate(row):
            left = 0.1 + place * (width + 0.1) + gap * (0 < gap_after <= place)
            low = total[1] - top - number * line - height
            axes = figure.add_axes((left / total[0], low / total[1], width / total[0], height / total[1]))
            _draw(axes, cell, _pixels(cell))
            if number == 0 and place < len(columns):
                axes.set_title(columns[place], fontsize=7, pad=4)
    figure.text(0.1 / total[0], 0.06 / total[1], key, fontsize=7, color="#444444", va="bottom")
    return figure


def overlay(
    image: npt.NDArray[np.uint8], heat: npt.NDArray[np.float32], *, strength: float = 0.55
) -> npt.NDArray[np.uint8]:
    """An image `(H, W, 3)` in grey under a map `(H, W)` or coarser `(h, w)`, from 0 to 1, in colours."""
    grey = image.mean(2, keepdims=True).repeat(3, 2)
    large = np.asarray(Image.fromarray(heat).resize(image.shape[1::-1], Image.Resampling.NEAREST))
    colours = 255 * matplotlib.colormaps[HEAT](large)[..., :3]
    mixed: npt.NDArray[np.uint8] = ((1 - strength) * grey + strength * colours).round().astype(np.uint8)
    return mixed


def _draw(axes: Axes, cell: Cell, pixels: npt.NDArray[np.uint8]) -> None:
    axes.imshow(pixels, interpolation="antialiased")
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(cell.caption, fontsize=6.5, labelpad=3)
    colour, dashes = FRAMES.get(cell.kind, ("none", "-"))
    for spine in axes.spines.values():
        spine.set(visible=cell.kind != "plain", color=colour, linestyle=dashes, linewidth=2)
    for row, column in dict.fromkeys(cell.marks):
        numbers = ",".join(str(n) for n, mark in enumerate(cell.marks, start=1) if mark == (row, column))
        halo = {"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": "black", "linewidth": 0.8}
        axes.text(column, row, numbers, fontsize=6, ha="center", va="center", color="black", bbox=halo)


def _pixels(cell: Cell) -> npt.NDArray[np.uint8]:
    if isinstance(cell.image, np.ndarray):
        return cell.image
    return read_pixels(cell.image).transpose(1, 2, 0)


def _figure(cell: Cell) -> str:
    image = f'<img src="{_inline(cell)}" alt="{html.escape(cell.alt)}">'
    return f'<figure class="{cell.kind}">{image}<figcaption>{html.escape(cell.caption)}</figcaption></figure>'


def _inline(cell: Cell) -> str:
    """A JPEG of at most the size it is shown at; a large gallery image would make a page of megabytes."""
    picture = Image.fromarray(_pixels(cell))
    picture.thumbnail((WIDTH, HEIGHT))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
