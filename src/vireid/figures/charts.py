"""Charts: lines, dots, trends, error rates and histograms."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, StrMethodFormatter

from vireid.figures.style import BLUE, new_figure, styled

LABEL_WIDTH = 30  # letters in a line of a row's name
TITLE_WIDTH = 70
LINE_TITLE_WIDTH = 64
MOST_TICKS = 8  # values of an option that are all named

Series = tuple[Sequence[float], Sequence[float]]
Dots = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Trend:
    """Means `y (N,)` of `runs (N,)` runs each, with a spread `(N,)`, over the values `x (N,)` of an option.

    `reference` is a level beside them.
    """

    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float]
    runs: Sequence[int]
    reference: float | None = None


@styled
def line_chart(
    series: Mapping[str, Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    y_range: tuple[float, float] | None = None,
    x_ticks: Sequence[int] | None = None,
) -> Figure:
    """A chart with one line per named `(x, y)` series and a legend; x counts in whole numbers."""
    figure = new_figure(title, 5.4, 3.4)
    axes = figure.add_subplot()
    for name, (x, y) in series.items():
        axes.plot(x, y, label=name, linewidth=1.8, marker="o", markersize=2.5)
    lines = [textwrap.fill(line, LINE_TITLE_WIDTH) for line in title.splitlines()]
    axes.set(title="\n".join(lines), xlabel=x_label, ylabel=y_label)
    axes.xaxis.set_major_locator(FixedLocator(x_ticks) if x_ticks else MaxNLocator(integer=True))
    if y_range is not None:
        axes.set_ylim(*y_range)
    if series:
        axes.legend()
    return figure


@styled
def dot_chart(panels: Mapping[str, Mapping[str, Dots]], *, title: str) -> Figure:
    """A chart that compares rows: for each panel and score the runs of every row as dots, their mean as a bar.

    Args:
        panels: by heading and by name of the score, the values of each row. The rows of a panel are the same for all
            scores; one without values keeps an empty line.
        title: above everything. The first row's mean is drawn as a thin line through all rows.
    """
    rows = dict.fromkeys(name for scores in panels.values() for dots in scores.values() for name in dots)
    names = {name: textwrap.fill(name, LABEL_WIDTH) for name in rows}
    lines = sum(1 + label.count("\n") for label in names.values())
    key = "dot: one run; bar: their mean; grey line: the mean of the first row"
    figure, grid = _grid(panels, title, key, height=0.9 + 0.32 * lines)
    for scores, line in zip(panels.values(), grid, strict=True):
        for number, (axes, (label, dots)) in enumerate(zip(line, scores.items(), strict=True)):
            _draw_dots(axes, dots)
            axes.set_xlabel(label)
            axes.set_yticks(range(len(dots)), [names[name] for name in dots] if number == 0 else [])
    return figure


@styled
def trend_chart(panels: Mapping[str, Mapping[str, Trend]], *, title: str, x_label: str) -> Figure:
    """A chart with a line and error bars for each panel (by heading) and score (by name) over one option."""
    trends = [trend for scores in panels.values() for trend in scores.values()]
    key = "; ".join([f"line: mean of {_runs(trends)}", "bars: their standard deviation", *_grey_line(trends)])
    figure, grid = _grid(panels, title, key, height=2.9)
    for scores, line in zip(panels.values(), grid, strict=True):
        for axes, (label, trend) in zip(line, scores.items(), strict=True):
            axes.errorbar(trend.x, trend.y, yerr=trend.spread, marker="o", markersize=3, linewidth=1.5, capsize=3)
            if trend.reference is not None:
                axes.axhline(trend.reference, color="grey", linewidth=0.8)
            # Learning rates and the like are tried in factors, not in steps.
            if trend.x and min(trend.x) > 0 and max(trend.x) >= 100 * min(trend.x):
                axes.set_xscale("log")
            elif len(trend.x) <= MOST_TICKS:
                axes.set_xticks(trend.x)
            axes.set(xlabel=x_label, ylabel=label)
    return figure


def _runs(trends: Sequence[Trend]) -> str:
    counts = sorted({count for trend in trends for count in trend.runs})
    if counts == [1]:
        return "1 run"
    return (
        f"{' to '.join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))} runs" if counts else "no runs"
    )


def _grey_line(trends: Sequence[Trend]) -> list[str]:
    return ["grey line: the first row"] if any(trend.reference is not None for trend in trends) else []


@styled
def det_chart(curves: Mapping[str, Series], *, title: str) -> Figure:
    """A chart of detection error trade-offs.

    Args:
        curves: by name, false match rates and false non-match rates, 0 to 1; a rate of 0 has no place on the axes.
        title: above it.
    """
    figure = new_figure(title, 5.4, 4.6)
    axes = figure.add_subplot()
    for (name, (fmr, fnmr)), style in zip(curves.items(), ("-", "--", ":", "-."), strict=False):
        shown = [(100 * x, 100 * y) for x, y in zip(fmr, fnmr, strict=True) if x > 0 and y > 0]
        axes.plot(*zip(*shown, strict=True) if shown else ([], []), style, label=name, linewidth=1.8)
    axes.set(title=textwrap.fill(title, TITLE_WIDTH), xlabel="false match rate, %", ylabel="false non-match rate, %")
    axes.set(xscale="log", yscale="log", xlim=(0.001, 100), ylim=(0.1, 100))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14))
    return figure


def _grid(
    panels: Mapping[str, Mapping[str, object]], title: str, key: str, height: float
) -> tuple[Figure, list[list[Axes]]]:
    """A line of axes for each panel, and below all what the marks mean; without panels the title only."""
    columns = max((len(scores) for scores in panels.values()), default=1)
    figure = new_figure(title, 4.2 * columns, (height + 0.3) * max(len(panels), 1) + 0.4)
    figure.suptitle(textwrap.fill(title, TITLE_WIDTH))
    grid = []
    for name, part in zip(panels, figure.subfigures(max(len(panels), 1), 1, squeeze=False)[:, 0], strict=False):
        part.suptitle(textwrap.fill(name, TITLE_WIDTH + 10), fontsize="medium")
        grid.append(list(part.subplots(1, columns, squeeze=False)[0]))
    if panels:
        part.supxlabel(key, fontsize="small", color="dimgrey")
    return figure, grid


def _draw_dots(axes: Axes, dots: Dots) -> None:
    """The first row is on top."""
    for height, values in enumerate(dots.values()):
        if values:
            mean = sum(values) / len(values)
            axes.vlines(mean, height - 0.3, height + 0.3, color="black", linewidth=2)
            # A little apart, so that runs of one score do not hide each other.
            places = [height + 0.24 * ((n + 0.5) / len(values) - 0.5) for n in range(len(values))]
            axes.plot(values, places, "o", color=BLUE, alpha=0.7, markersize=5)
    first = next(iter(dots.values()), ())
    if first:
        axes.axvline(sum(first) / len(first), color="grey", linewidth=0.8)
    axes.set_ylim(len(dots) - 0.5, -0.5)
