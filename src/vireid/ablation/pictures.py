"""The picture of an ablation, from the content of its `ablation.json` alone."""

from typing import Any

from matplotlib.figure import Figure

from vireid.ablation.tables import Group, belongs, group_of, groups, heading
from vireid.figures.charts import Dots, Trend, dot_chart, trend_chart

SHOWN = {"rank1": "Rank-1, %", "mAP": "mAP, %"}

Plain = dict[str, Any]


def chart(ablation: Plain) -> Figure:
    """Every run a dot, row by row; or, where one number is varied, the mean and its spread over that number."""
    key = _varied(ablation)
    if key is not None:
        trends = {heading(group): _trends(ablation, group, key) for group in groups(ablation)}
        return trend_chart(trends, title=ablation["title"], x_label=key)
    dots = {heading(group): _dots(ablation, group) for group in groups(ablation)}
    return dot_chart(dots, title=ablation["title"])


def _varied(ablation: Plain) -> str | None:
    """The only key of the grid if its values are numbers and at most the reference is no row of the grid."""
    grid = ablation["grid"]
    numbers = len(grid) == 1 and all(type(value) in (int, float) for values in grid.values() for value in values)
    key = next(iter(grid), None)
    named = len(ablation["rows"]) - (len(grid[key]) if key is not None else 0)
    return key if numbers and named <= 1 else None


def _dots(ablation: Plain, group: Group) -> dict[str, Dots]:
    return {
        label: {
            row["row"]: [100 * r["mean"][score] for run in row["runs"] for r in run["results"] if group_of(r) == group]
            for row in ablation["rows"]
            if belongs(row, group)
        }
        for score, label in SHOWN.items()
    }


def _trends(ablation: Plain, group: Group, key: str) -> dict[str, Trend]:
    named = len(ablation["rows"]) - len(ablation["grid"][key])
    found = {row["row"]: entry for row in ablation["rows"] for entry in row["summary"] if group_of(entry) == group}
    points = [
        (row["changes"][key], found[row["row"]])
        for row in sorted(ablation["rows"][named:], key=lambda row: float(row["changes"][key]))
        if row["row"] in found
    ]
    reference = found.get(ablation["reference"]) if named else None
    return {
        label: Trend(
            x=[x for x, _ in points],
            y=[100 * entry["mean"][score] for _, entry in points],
            spread=[100 * (entry["std"][score] or 0.0) for _, entry in points],
            runs=[entry["n"] for _, entry in points],
            reference=100 * reference["mean"][score] if reference else None,
        )
        for score, label in SHOWN.items()
    }
