"""What the plots of a report show, whatever draws them: `plot.py` or `html.py`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Chart", "Line", "charts_of", "round_top"]

NEAR = 4.0  # a limit so many times above what happened would press the lines to the ground


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Attributes:
        name: What it is.
        values: One for each point, None where there is none.
        look: "main" and "other" are measured, "limit" is what was allowed, "bad" what failed.
    """

    name: str
    values: Sequence[float | None]
    look: Literal["main", "other", "limit", "bad"]

    @property
    def highest(self) -> float:
        """The largest value, 0 where there is none."""
        return max((value for value in self.values if value is not None), default=0.0)


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture: lines over the time of a run.

    Attributes:
        title: What is shown, with its unit.
        lines: Its lines.
        beside: What is said beside them, such as a limit that is far above.
        counts: Whether the values are whole numbers.
    """

    title: str
    lines: Sequence[Line]
    beside: str = ""
    counts: bool = False

    @property
    def top(self) -> float:
        """The value at the upper edge."""
        top = round_top(max((line.highest for line in self.lines), default=0.0))
        return 2 * math.ceil(top / 2) if self.counts else top  # half of it has a line, too


def charts_of(points: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """The charts of a report, from the points of its `over_time`."""

    def of(name: str) -> list[float | None]:
        return [point[name] for point in points]

    requests = Line("requests", of("requests_per_minute"), "main")
    tokens = [
        Line("input", of("input_tokens_per_minute"), "main"),
        Line("output", of("output_tokens_per_minute"), "other"),
    ]
    failures = [
        Line("refused (429)", of("refused"), "other"),
        Line("sent again", of("retries"), "main"),
        Line("rows failed", of("failed"), "bad"),
    ]
    return [
        _held("Requests per minute", [requests], of("requests_limit")),
        Chart(
            "Seconds until the reply",
            [
                Line("95 % within", of("latency_p95"), "other"),
                Line("half within", of("latency_p50"), "main"),
            ],
        ),
        _held("Tokens per minute", tokens, of("tokens_limit")),
        Chart("What went wrong", [line for line in failures if line.highest], counts=True),
    ]


def _held(title: str, lines: list[Line], limits: Sequence[float | None]) -> Chart:
    """A chart with the limit, where it is near enough to be seen beside what happened."""
    limit = Line("limit", limits, "limit")
    highest = max(line.highest for line in lines)
    if not limit.highest:
        return Chart(title, lines, "no limit")
    if highest and limit.highest > NEAR * highest:
        return Chart(title, lines, f"limit {limit.highest:,.0f}, far above")
    return Chart(title, [*lines, limit])


def round_top(highest: float) -> float:
    """The next round number above a value.

    Example:
        >>> round_top(0), round_top(0.31), round_top(1480), round_top(5000)
        (1.0, 0.4, 2000.0, 6000.0)
    """
    if highest <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(highest))
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15)
    return next(step * size for step in steps if step * size >= 1.02 * highest)
