"""The throughput of a run as a small picture: the rate, what it is held by, and refusals."""

from __future__ import annotations

from collections.abc import Sequence

from lionproc.notebook import formatting
from lionproc.notebook.formatting import count
from lionproc.notebook.history import ChartLine
from lionproc.notebook.rates import about

FIRST_S = 30  # seconds the picture shows at the least, or a young run would sit in a corner
WIDTH, HEIGHT = 400.0, 100.0


def sparkline(line: ChartLine) -> str:
    """The picture as HTML: an SVG that stretches, and its few words beside it.

    Args:
        line: At most `history.SECONDS` points, one a second.

    Returns:
        HTML of numbers and words of ours only, styled by `style.CSS`.
    """
    span = max(len(line.rates), FIRST_S)
    limit = line.limits[-1] if line.limits else None
    takes = line.learned[-1] if line.learned else None
    top = _top(line)
    box = f"viewBox='0 0 {WIDTH:.0f} {HEIGHT:.0f}' preserveAspectRatio='none'"
    parts = [
        f"<div class='lp-canvas'><svg {box} role='img' aria-label='{_spoken(line, span)}'>",
        _curve(line.rates, top),
        _steps(line.limits, top, "lp-line"),
        _steps(line.learned, top, "lp-takes"),
    ]
    parts.extend(
        f"<path class='lp-refused' d='M{_x(place, len(line.refused)):.1f} {HEIGHT:.0f}v-9'/>"
        for place, refused in enumerate(line.refused)
        if refused
    )
    parts.append("</svg>")
    if limit is not None:
        above = limit > top
        place = "" if above else f" style='top:{100 * (1 - limit / top):.1f}%'"
        parts.append(
            f"<span class='lp-limit{' lp-above' * above}'{place}>limit {count(limit)}"
            f"{' ↑' * above}</span>"
        )
    parts.append(
        f"</div><div class='lp-axis'><span>{line.unit} / min, last {formatting.duration(span)}</span>"
        f"{_key(line, takes)}</div>"
    )
    return "".join(parts)


def _key(line: ChartLine, takes: float | None) -> str:
    """What the marks mean, for those that are in the picture."""
    marks = []
    if takes is not None:
        marks.append(("lp-takes-key", f"the server takes about {about(takes)}"))
    if any(line.refused):
        marks.append(("lp-refused-key", "refused (429)"))
    return "".join(
        f"<span class='lp-key'><i class='{name}'></i>{text}</span>" for name, text in marks
    )


def _top(line: ChartLine) -> float:
    """The rate at the upper edge: above the curve, and above what holds it where that is near."""
    highest = max(line.rates, default=0.0)
    known = [held for held in (*line.limits, *line.learned) if held is not None]
    # A limit far above what happens would press the curve to the ground.
    near = [held for held in known if held <= 4 * highest] if highest else known
    return 1.18 * max(highest, max(near, default=0.0), 1.0)


def _spoken(line: ChartLine, span: int) -> str:
    limit = line.limits[-1] if line.limits else None
    takes = line.learned[-1] if line.learned else None
    now = line.rates[-1] if line.rates else 0.0
    parts = [
        f"now {count(now)}",
        f"highest {count(max(line.rates, default=0.0))}",
        "no limit" if limit is None else f"limit {count(limit)}",
    ]
    if takes is not None:
        parts.append(f"the server takes about {about(takes)}")
    if any(line.refused):
        parts.append(f"{sum(line.refused):,} refused")
    return f"{line.unit.capitalize()} per minute, the last {span} seconds: {', '.join(parts)}"


def _curve(rates: Sequence[float], top: float) -> str:
    if not rates:
        return ""
    points = " ".join(
        f"{_x(place, len(rates)):.1f},{_y(rate, top):.1f}" for place, rate in enumerate(rates)
    )
    last = _x(len(rates) - 1, len(rates))
    return (
        f"<polygon class='lp-area' points='0,{HEIGHT:.0f} {points} {last:.1f},{HEIGHT:.0f}'/>"
        f"<polyline class='lp-curve' points='{points}'/>"
    )


def _x(place: int, points: int) -> float:
    return place * WIDTH / (max(points, FIRST_S) - 1)


def _y(rate: float, top: float) -> float:
    return HEIGHT * (1 - min(rate / top, 1.0))


def _steps(limits: Sequence[float | None], top: float, kind: str) -> str:
    """A limit as a line that steps where it was moved, and stops where there was none."""
    path, before = [], None
    for place, limit in enumerate(limits):
        shown = limit if limit is not None and limit <= top else None
        if shown != before:
            if before is not None:
                path.append(f"H{_x(place, len(limits)):.1f}")
            if shown is not None:
                step = "V" if before is not None else f"M{_x(place, len(limits)):.1f} "
                path.append(f"{step}{_y(shown, top):.1f}")
        before = shown
    if before is not None:
        path.append(f"H{WIDTH:.0f}")  # to the edge: it holds for what comes, too
    return f"<path class='{kind}' d='{''.join(path)}'/>" if path else ""
