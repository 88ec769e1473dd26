"""Histograms of the distances between images of one person and of two, across the modalities."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vireid.errors import InputError
from vireid.figures.style import BLUE, VERMILION, new_figure, styled

BINS = 60
TITLE_WIDTH = 62


@dataclass(frozen=True, eq=False)
class PairDistances:
    """Cosine distances (0 to 2) between visible and infrared images.

    Attributes:
        intra: pairs that show one person, `(n,)`.
        inter: pairs that show two, `(m,)`.
    """

    intra: npt.NDArray[np.float32]
    inter: npt.NDArray[np.float32]

    @property
    def gap(self) -> float:
        """Mean distance of two persons less that of one: the further above 0, the better they are apart."""
        return float(self.inter.mean(dtype=np.float64) - self.intra.mean(dtype=np.float64))


def pair_distances(
    distances: npt.NDArray[np.float32],
    query_ids: npt.NDArray[np.int64],
    gallery_ids: npt.NDArray[np.int64],
    ignore: npt.NDArray[np.bool_] | None,
) -> PairDistances:
    """The pairs of a distance matrix `(Q, G)`, less those that a protocol hides.

    Raises:
        InputError: no pair shows one person, or none shows two.
    """
    same = query_ids[:, None] == gallery_ids[None, :]
    seen = np.ones_like(same) if ignore is None else ~ignore
    pairs = PairDistances(distances[same & seen], distances[~same & seen])
    if not len(pairs.intra) or not len(pairs.inter):
        kind = "one person" if not len(pairs.intra) else "two different people"
        raise InputError(
            f"distances: no visible and infrared image of {kind} can be compared; expected at least two people with "
            "images of both modalities"
        )
    return pairs


@styled
def distance_histograms(panels: Mapping[str, PairDistances], *, title: str) -> Figure:
    """A panel for each model (by name), all on one axis of distances."""
    figure = new_figure(title, 5.4, 0.5 + 2.1 * len(panels))
    figure.suptitle(textwrap.fill(title, TITLE_WIDTH), fontsize="medium")
    highest = max(float(max(pairs.intra.max(), pairs.inter.max())) for pairs in panels.values())
    edges = np.linspace(0, max(highest, 0.1), BINS + 1)
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, pairs) in zip(grid, panels.items(), strict=True):
        _draw(axes, pairs, edges)
        axes.set_title(textwrap.fill(f"{name}: gap {pairs.gap:.3f}", TITLE_WIDTH), loc="left")
        axes.set_ylabel("share of pairs, %")
    grid[-1].set_xlabel("cosine distance between a visible and an infrared image")
    return figure


def _draw(axes: Axes, pairs: PairDistances, edges: npt.NDArray[np.float64]) -> None:
    shown = {"one person": (pairs.intra, BLUE, "-"), "two people": (pairs.inter, VERMILION, "--")}
    for name, (values, colour, dashes) in shown.items():
        share = 100 * np.histogram(values, edges)[0] / len(values)
        label = f"{name} ({len(values):,} pairs)"
        axes.stairs(share, edges, fill=True, color=colour, alpha=0.25)
        axes.stairs(share, edges, color=colour, linestyle=dashes, linewidth=1.4, label=label)
        axes.axvline(float(values.mean()), color=colour, linestyle=dashes, linewidth=0.9)
    axes.plot([], [], color="grey", linewidth=0.9, label="vertical: the means")
    axes.set_ylim(bottom=0)
    axes.legend(loc="best")
