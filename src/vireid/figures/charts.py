"""Line charts as SVG text, ready to stand in a page."""

import io
from collections.abc import Mapping, Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

Series = tuple[Sequence[float], Sequence[float]]


def line_chart(
    series: Mapping[str, Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    y_range: tuple[float, float] | None = None,
    x_ticks: Sequence[int] | None = None,
) -> str:
    """An SVG element with one line per named `(x, y)` series and a legend; x counts in whole numbers."""
    figure = Figure(figsize=(5.4, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for name, (x, y) in series.items():
        axes.plot(x, y, label=name, linewidth=1.8, marker="o", markersize=2.5)
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    axes.xaxis.set_major_locator(FixedLocator(x_ticks) if x_ticks else MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if y_range is not None:
        axes.set_ylim(*y_range)
    if series:
        axes.legend(fontsize="small", frameon=False)
    buffer = io.StringIO()
    # No date: the same data give the same file.
    # Element names follow from the title: stable from run to run, and no two charts of a page share one.
    with rc_context({"svg.hashsalt": title}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
