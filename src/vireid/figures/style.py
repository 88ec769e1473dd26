"""One look for all pictures: colours that colour-blind people tell apart, white paper, files as PNG and SVG.

The colours are those of Okabe and Ito, Color Universal Design, 2008, less the yellow, which vanishes on paper. No
meaning hangs on a colour alone: lines also differ by their dashes, dots by their shape, borders by their stroke. The
background is part of the picture, so it reads the same on a dark page.
"""

import io
from pathlib import Path
from typing import Any

from cycler import cycler
from matplotlib import rc_context
from matplotlib.figure import Figure

from vireid.atomic import replacing

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#000000",
)
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (4, 1, 1, 1)))
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
RIGHT, WRONG, QUERY = "#18864b", "#c2331f", "#444444"  # borders; those of the HTML sheets too
HEAT = "inferno"  # grows lighter from end to end, in grey print too
DPI = 200

# A `$` in a name is a dollar sign. Without a salt the names of SVG's elements are drawn by lot.
STYLE: Any = {
    "text.parse_math": False,
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9,
    "axes.titlesize": 10,
    # Each line has a colour and dashes of its own; after seven the dashes move on by one.
    "axes.prop_cycle": cycler(color=COLOURS * 7)
    + cycler(linestyle=[DASHES[(turn + place) % 7] for turn in range(7) for place in range(7)]),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": "small",
    "image.cmap": HEAT,
}

styled = rc_context(STYLE)


def new_figure(title: str, width: float, height: float) -> Figure:
    """An empty figure of that size in inches; the title is its name for those who cannot see it, too."""
    return Figure(figsize=(width, height), layout="constrained", label=title, facecolor="white")


def inline(figure: Figure) -> str:
    """The figure as an SVG element that can stand in a page; the same data give the same text."""
    buffer = io.StringIO()
    # Names of elements follow from the title, so that no two pictures of a page share one.
    with rc_context(STYLE), rc_context({"svg.hashsalt": figure.get_label()}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Title": figure.get_label()})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace("<svg", '<svg role="img"', 1)


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `<stem>.png` (200 dots an inch) and `<stem>.svg`, each whole or not at all; returns both paths."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind in ("png", "svg"):
        path = stem.with_name(f"{stem.name}.{kind}")
        about = {"Title": figure.get_label(), **({"Date": None, "Creator": None} if kind == "svg" else {})}
        with rc_context(STYLE), rc_context({"svg.hashsalt": figure.get_label()}), replacing(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=DPI, metadata=about)
        paths.append(path)
    return paths
