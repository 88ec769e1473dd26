"""What a run's log says: losses, learning rate and scores on held-out people by epoch, and attention heads."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vireid.errors import InputError
from vireid.figures.style import new_figure, styled

Row = Mapping[str, Any]
TITLE_WIDTH = 62
HEADS = "heads/"


@styled
def training_curves(log: Sequence[Row], *, title: str) -> Figure:
    """Losses, learning rate and, where people were held out, their Rank-1 and mAP, over the epochs.

    Args:
        log: the lines of `metrics.jsonl`.
        title: above everything.

    Raises:
        InputError: the log has no epoch.
    """
    names = list(dict.fromkeys(name for row in log for name in row))
    panels = {
        "loss (its factor included)": [name for name in names if name.startswith("loss/")],
        "learning rate": ["lr"],
        "held-out people, %": [name for name in names if name.startswith("val/")],
    }
    shown = {label: curves for label, curves in panels.items() if any(name in names for name in curves)}
    if not shown:
        raise InputError(f"{title}: the log has no finished epoch to draw; train at least one")
    figure = new_figure(title, 5.4, 2.2 + 1.9 * len(shown))
    figure.suptitle(textwrap.fill(title, TITLE_WIDTH), fontsize="medium")
    heights = [1 if label == "learning rate" else 2 for label in shown]
    grid = figure.subplots(len(shown), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (label, curves) in zip(grid, shown.items(), strict=True):
        for name in curves:
            rows = [row for row in log if name in row]
            scale = 100 if name.startswith("val/") else 1
            values = [scale * row[name] for row in rows]
            axes.plot([row["epoch"] for row in rows], values, label=name.partition("/")[2], marker="o", markersize=2.5)
        axes.set_ylabel(label)
        if label != "learning rate":
            axes.legend(loc="upper left", bbox_to_anchor=(1, 1.05))
        _draw_stages(axes, log, named=axes is grid[0])
    grid[-1].set_xlabel("epoch")
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _draw_stages(axes: Axes, log: Sequence[Row], *, named: bool) -> None:
    """A thin line where a stage of training begins, and its name."""
    last = None
    for row in log:
        stage = row.get("stage", "").partition(":")[0]  # turns of one stage are no stages
        if stage != last:
            start = row["epoch"] - 0.5
            if last is not None:
                axes.axvline(start, color="grey", linewidth=0.8, linestyle=":")
            if named and stage:
                axes.text(start, 1.0, f" {stage}", fontsize=7, color="dimgrey", transform=axes.get_xaxis_transform())
            last = stage


@styled
def head_chart(log: Sequence[Row], *, keep: int, title: str) -> Figure:
    """Which attention heads were selected, epoch by epoch: a panel for each role and block.

    Args:
        log: the lines of `metrics.jsonl`.
        keep: heads that are kept, which are marked; 0 where each image has its own.
        title: above everything.

    Raises:
        InputError: no head was selected in any epoch.
    """
    names = list(dict.fromkeys(name for row in log for name in row if name.startswith(HEADS)))
    if not names:
        raise InputError(
            f"{title}: the log names no attention heads; only CM-DASN selects some, in the last stage of its training"
        )
    if any(len({len(row[name]) for row in log if name in row}) > 1 for name in names):
        raise InputError(f"{title}: the number of heads changes in the log; it is of more than one training")
    figure = new_figure(title, 5.4, 0.7 + 1.7 * len(names))
    figure.suptitle(textwrap.fill(title, TITLE_WIDTH), fontsize="medium")
    grid = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name in zip(grid, names, strict=True):
        rows = [row for row in log if name in row]
        scores = np.array([row[name] for row in rows]).T  # (heads, epochs)
        epochs = np.array([row["epoch"] for row in rows])
        edges = np.append(epochs - 0.5, epochs[-1] + 0.5), np.arange(len(scores) + 1) + 0.5
        image = axes.pcolormesh(*edges, scores, cmap="cividis")
        # As the gate does: of equal scores the first ones.
        kept = np.argsort(-scores, axis=0, kind="stable")[:keep]
        axes.plot(
            np.tile(epochs, len(kept)), kept.ravel() + 1, "o", color="white", markeredgecolor="black", markersize=4
        )
        axes.grid(visible=False)
        axes.set_ylabel("head")
        axes.set_title(name.removeprefix(HEADS).replace("/", " features, "), loc="left")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        figure.colorbar(image, ax=axes, label="mean score")
    grid[-1].set_xlabel("epoch" + (f" (a dot: one of the {keep} heads that are kept)" if keep else ""))
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
