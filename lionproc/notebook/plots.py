"""The throughput of a run as a small picture, with the limit as a line through it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from lionproc.engine.stats import RunStats
from lionproc.notebook import words
from lionproc.notebook.words import count

SECONDS = 120  # what the picture shows at the most
FIRST_S = 30  # and at the least, so that a young run does not sit in a corner
SMOOTH_S = 3  # a point is the mean of so many seconds, or single requests would be needles
RECENT_S = 15  # what the time left is judged by
WIDTH, HEIGHT = 400.0, 100.0


@dataclass(frozen=True, slots=True)
class Second:
    """What happened in one second."""

    sent: float
    tokens: float
    rows: float
    refused: int
    requests_limit: float | None
    tokens_limit: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """A rate per minute, second by second, and the limit it had.

    Attributes:
        unit: "requests" or "tokens".
        rates: Oldest first.
        limits: For each of them, None where there was no limit.
        refused: Replies 429 in each.
    """

    unit: str
    rates: Sequence[float]
    limits: Sequence[float | None]
    refused: Sequence[int]


class History:
    """The last two minutes of a run, a second at a time. Told by snapshots, in any rhythm."""

    def __init__(self) -> None:
        self._seconds: deque[Second] = deque(maxlen=SECONDS)
        self._last: RunStats | None = None

    def add(self, stats: RunStats) -> bool:
        """Take a snapshot in. True if a second is complete."""
        last = self._last
        if last is None:
            self._last = stats
            return False
        elapsed = stats.elapsed_s - last.elapsed_s
        if elapsed < 1.0:
            return False
        self._last = stats
        second = Second(
            sent=(stats.sent - last.sent) / elapsed,
            tokens=(stats.tokens - last.tokens) / elapsed,
            rows=(_bought(stats) - _bought(last)) / elapsed,
            refused=stats.throttled - last.throttled,
            requests_limit=stats.requests_limit,
            tokens_limit=stats.tokens_limit,
        )
        for _ in range(min(round(elapsed), SECONDS)):  # more than one after a machine slept
            self._seconds.append(second)
        return True

    def line(self) -> Line:
        """What to draw: requests, or tokens where only they are limited."""
        seconds = list(self._seconds)
        by_tokens = bool(
            seconds and seconds[-1].requests_limit is None and seconds[-1].tokens_limit is not None
        )
        amounts = [s.tokens if by_tokens else s.sent for s in seconds]
        return Line(
            unit="tokens" if by_tokens else "requests",
            rates=[60 * rate for rate in _smooth(amounts)],
            limits=[s.tokens_limit if by_tokens else s.requests_limit for s in seconds],
            refused=[s.refused for s in seconds],
        )

    def left_s(self, stats: RunStats) -> float | None:
        """Seconds until the end at the pace of the last moments, None while that is not known."""
        if stats.left == 0:
            return 0.0
        recent = list(self._seconds)[-RECENT_S:]
        rows = sum(second.rows for second in recent)
        if len(recent) < 3 or rows <= 0:
            return None
        return stats.left * len(recent) / rows


def _bought(stats: RunStats) -> int:
    return stats.finished - stats.cached - stats.skipped


def _smooth(amounts: Sequence[float]) -> list[float]:
    means = []
    for end in range(1, len(amounts) + 1):
        part = amounts[max(end - SMOOTH_S, 0) : end]
        means.append(sum(part) / len(part))
    return means


def sparkline(line: Line) -> str:
    """The picture as HTML: an SVG that stretches, and its few words beside it.

    Args:
        line: At most `SECONDS` points, one a second.

    Returns:
        HTML of numbers and words of ours only, styled by `style.CSS`.
    """
    span = max(len(line.rates), FIRST_S)
    known = [limit for limit in line.limits if limit is not None]
    highest = max(line.rates, default=0.0)
    # A limit far above what happens would press the curve to the ground.
    near = [limit for limit in known if limit <= 4 * highest] if highest else known
    top = 1.18 * max(highest, max(near, default=0.0), 1.0)
    limit = line.limits[-1] if line.limits else None
    now = line.rates[-1] if line.rates else 0.0
    said = "no limit" if limit is None else f"limit {count(limit)}"
    label = (
        f"{line.unit.capitalize()} per minute, the last {span} seconds: "
        f"now {count(now)}, highest {count(highest)}, {said}"
    )
    box = f"viewBox='0 0 {WIDTH:.0f} {HEIGHT:.0f}' preserveAspectRatio='none'"
    parts = [f"<div class='lp-canvas'><svg {box} role='img' aria-label='{label}'>"]
    if line.rates:
        points = _points(line.rates, top)
        last = _x(len(line.rates) - 1, len(line.rates))
        parts.append(
            f"<polygon class='lp-area' points='0,{HEIGHT:.0f} {points} {last:.1f},{HEIGHT:.0f}'/>"
            f"<polyline class='lp-curve' points='{points}'/>"
        )
    parts.append(_limit_steps(line.limits, top))
    parts.extend(
        f"<path class='lp-refused' d='M{_x(place, len(line.refused)):.1f} {HEIGHT:.0f}v-9'/>"
        for place, refused in enumerate(line.refused)
        if refused
    )
    parts.append("</svg>")
    if limit is not None and limit <= top:
        height = 100 * (1 - limit / top)
        parts.append(f"<span class='lp-limit' style='top:{height:.1f}%'>{said}</span>")
    elif limit is not None:
        parts.append(f"<span class='lp-limit lp-above'>{said} ↑</span>")
    parts.append(
        f"</div><div class='lp-axis'><span>{line.unit} / min, last {words.duration(span)}</span>"
        f"<b>{count(now)}</b></div>"
    )
    return "".join(parts)


def _x(place: int, points: int) -> float:
    return place * WIDTH / (max(points, FIRST_S) - 1)


def _y(rate: float, top: float) -> float:
    return HEIGHT * (1 - min(rate / top, 1.0))


def _points(rates: Sequence[float], top: float) -> str:
    return " ".join(
        f"{_x(place, len(rates)):.1f},{_y(rate, top):.1f}" for place, rate in enumerate(rates)
    )


def _limit_steps(limits: Sequence[float | None], top: float) -> str:
    """The limit as a line that steps where it was moved, and stops where there was none."""
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
    return f"<path class='lp-line' d='{''.join(path)}'/>" if path else ""
