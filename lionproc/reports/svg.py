"""A chart as SVG: readable anywhere, without JavaScript and without a package that draws."""

from __future__ import annotations

import html
from collections.abc import Sequence

from lionproc.notebook.formatting import count, duration
from lionproc.reports.charts import Chart, Line

__all__ = ["svg"]

WIDTH, HEIGHT = 420, 150
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 20  # around the picture itself


def svg(chart: Chart, seconds: Sequence[float]) -> str:
    """Draw a chart, with its title and what its lines are.

    Args:
        chart: What is drawn.
        seconds: The time of each point, since the run began.

    Returns:
        HTML, styled by the classes of `html.py`.
    """
    last = max(seconds, default=0.0) or 1.0
    lines = "".join(_path(line, seconds, last, chart.top) for line in chart.lines)
    return (
        f"<figure><figcaption><b>{html.escape(chart.title)}</b>{_key(chart)}</figcaption>"
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{_spoken(chart)}'>"
        f"{_grid(chart.top)}{_times(last)}{lines}</svg></figure>"
    )


def _x(seconds: float, last: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * seconds / last


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(value / top, 1.0)


def _path(line: Line, seconds: Sequence[float], last: float, top: float) -> str:
    """A line, broken where there is nothing."""
    parts, drawing = [], False
    for moment, value in zip(seconds, line.values, strict=True):
        if value is not None:
            parts.append(f"{'L' if drawing else 'M'}{_x(moment, last):.1f} {_y(value, top):.1f}")
            if not drawing:
                parts.append("h.01")  # a point by itself is seen too
        drawing = value is not None
    return f"<path class='{line.look}' d='{''.join(parts)}'/>" if parts else ""


def _grid(top: float) -> str:
    made = []
    for part in (0.0, 0.5, 1.0):
        y = _y(part * top, top)
        made.append(
            f"<path class='grid' d='M{LEFT} {y:.1f}H{WIDTH - RIGHT}'/>"
            f"<text x='{LEFT - 6}' y='{y + 3.5:.1f}' text-anchor='end'>{count(part * top)}</text>"
        )
    return "".join(made)


def _times(last: float) -> str:
    ends = ((0.0, "start", "0"), (last / 2, "middle", duration(last / 2)))
    return "".join(
        f"<text x='{_x(at, last):.1f}' y='{HEIGHT - 4}' text-anchor='{anchor}'>{text}</text>"
        for at, anchor, text in (*ends, (last, "end", duration(last)))
    )


def _key(chart: Chart) -> str:
    parts = [f"<span class='{line.look}'>{html.escape(line.name)}</span>" for line in chart.lines]
    parts += [f"<span>{html.escape(chart.beside)}</span>"] if chart.beside else []
    return "".join(parts)


def _spoken(chart: Chart) -> str:
    said = [f"{line.name} up to {count(line.highest)}" for line in chart.lines]
    return html.escape(f"{chart.title}: {', '.join(said) or 'nothing'}", quote=True)
