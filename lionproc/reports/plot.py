"""`report.plot()`: the run over time, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lionproc.notebook.figure import BAD, MAIN, OTHER, TEXT, blank, tidy
from lionproc.notebook.formatting import count
from lionproc.reports.charts import Chart, charts_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["figure"]

_LOOKS: Mapping[str, Mapping[str, Any]] = {
    "main": {"color": MAIN, "linewidth": 1.6},
    "other": {"color": OTHER, "linewidth": 1.4},
    "limit": {"color": TEXT, "linewidth": 1.2, "linestyle": (0, (5, 3)), "drawstyle": "steps-mid"},
    "bad": {"color": BAD, "linewidth": 1.6},
}


def figure(title: str, points: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the points of a report.

    Args:
        title: What stands above.
        points: Its `over_time`.

    Returns:
        A matplotlib figure, transparent, that a notebook shows as the last line of a cell.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    made = blank(
        title, 9.0, 6.0, called="report.plot()",
        without="report.to_html(path) draws without it.",
    )  # fmt: skip
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes = made.subplots(2, 2, sharex=True).flat
    seconds = [point["seconds"] for point in points]
    in_minutes = bool(seconds) and seconds[-1] >= 120
    for chart, axis in zip(charts_of(points), axes, strict=True):
        _draw(axis, chart, [s / 60 for s in seconds] if in_minutes else seconds)
        axis.yaxis.set_major_locator(MaxNLocator(4, integer=chart.counts))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    for axis in made.axes[2:]:
        axis.set_xlabel("minutes" if in_minutes else "seconds", color=TEXT, fontsize=9)
    return made


def _tick(value: float) -> str:
    """A number beside a line of the grid: none of them is rounded to the next one's."""
    return count(value) if value >= 10 else f"{value:.3g}"


def _draw(axis: Axes, chart: Chart, times: Sequence[float]) -> None:
    axis.set_title(chart.title, loc="left", color=TEXT, fontsize=10, fontweight="bold", pad=20)
    for line in chart.lines:
        values = [float("nan") if value is None else value for value in line.values]
        axis.plot(times, values, label=line.name, **_LOOKS[line.look])
    axis.set_ylim(0, chart.top)
    tidy(axis, grid="y")
    beside = chart.beside if chart.lines else "nothing"
    if chart.lines:
        axis.legend(
            loc="lower left", fontsize=8, frameon=False, labelcolor=TEXT, ncols=4,
            bbox_to_anchor=(-0.02, 0.99), handlelength=1.4, columnspacing=1.2, borderaxespad=0.2,
        )  # fmt: skip
    axis.text(
        1.0, 1.03, beside, transform=axis.transAxes, ha="right", va="bottom",
        color=TEXT, fontsize=8,
    )  # fmt: skip
