"""`report.plot()`: the run over time, drawn by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lionproc.errors import MissingDependencyError
from lionproc.notebook.formatting import count
from lionproc.reports.charts import Chart, charts_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["figure"]

# Seen well on white and on nearly black: a notebook has the theme of its reader.
_TEXT = "#7f858d"
_LOOKS: Mapping[str, Mapping[str, Any]] = {
    "main": {"color": "#2f81d6", "linewidth": 1.6},
    "other": {"color": "#d98a1f", "linewidth": 1.4},
    "limit": {"color": _TEXT, "linewidth": 1.2, "linestyle": (0, (5, 3)), "drawstyle": "steps-mid"},
    "bad": {"color": "#d64545", "linewidth": 1.6},
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
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, MaxNLocator
    except ImportError:
        raise MissingDependencyError(
            "report.plot() draws with matplotlib, which is not installed: "
            "pip install 'lionproc[plot]'. report.to_html(path) draws without it."
        ) from None

    class Drawn(Figure):
        """A figure that shows itself in a notebook without pyplot, whose state is global."""

        def _repr_png_(self) -> bytes:
            drawn = io.BytesIO()
            self.savefig(drawn, format="png", dpi=110)
            return drawn.getvalue()

    made = Drawn(figsize=(9.0, 6.0), layout="constrained")
    made.patch.set_alpha(0.0)
    axes = made.subplots(2, 2, sharex=True).flat
    seconds = [point["seconds"] for point in points]
    in_minutes = bool(seconds) and seconds[-1] >= 120
    for chart, axis in zip(charts_of(points), axes, strict=True):
        _draw(axis, chart, [s / 60 for s in seconds] if in_minutes else seconds)
        axis.yaxis.set_major_locator(MaxNLocator(4, integer=chart.counts))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    for axis in made.axes[2:]:
        axis.set_xlabel("minutes" if in_minutes else "seconds", color=_TEXT, fontsize=9)
    made.suptitle(title, color=_TEXT, fontsize=10, x=0.01, ha="left")
    return made


def _draw(axis: Axes, chart: Chart, times: Sequence[float]) -> None:
    axis.patch.set_alpha(0.0)
    axis.set_title(chart.title, loc="left", color=_TEXT, fontsize=10, fontweight="bold", pad=20)
    for line in chart.lines:
        values = [float("nan") if value is None else value for value in line.values]
        axis.plot(times, values, label=line.name, **_LOOKS[line.look])
    axis.set_ylim(0, chart.top)
    axis.tick_params(colors=_TEXT, labelsize=8, length=0)
    axis.grid(axis="y", color=_TEXT, alpha=0.25, linewidth=0.6)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(_TEXT)
    beside = chart.beside if chart.lines else "nothing"
    if chart.lines:
        axis.legend(
            loc="lower left", fontsize=8, frameon=False, labelcolor=_TEXT, ncols=4,
            bbox_to_anchor=(-0.02, 0.99), handlelength=1.4, columnspacing=1.2, borderaxespad=0.2,
        )  # fmt: skip
    axis.text(
        1.0, 1.03, beside, transform=axis.transAxes, ha="right", va="bottom",
        color=_TEXT, fontsize=8,
    )  # fmt: skip
