"""What the engine has measured of a run, as a report has it: percentiles, and rates over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lionproc.engine.latencies import Latencies, quantile
from lionproc.engine.timeline import Point

__all__ = ["latency_of", "over_time"]

SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
MOST_POINTS = 48
FEW_POINTS = 24  # of less than a second each, in which a rate says little


def latency_of(latencies: Latencies) -> dict[str, float | None]:
    """The percentiles of a report. None of them is longer than the longest."""
    longest = latencies.longest_s or None
    made: dict[str, float | None] = {}
    for name, share in SHARES.items():
        seconds = quantile(latencies.counts, share)
        made[name] = None if seconds is None or longest is None else min(seconds, longest)
    return {**made, "longest": longest}


def over_time(points: Sequence[Point]) -> list[dict[str, Any]]:
    """The points of a timeline as those of a report: fewer of them, and rates per minute."""
    points = list(points)
    while len(points) > MOST_POINTS or (len(points) > FEW_POINTS and points[0].seconds < 1):
        for point, later in zip(points[::2], points[1::2], strict=False):
            point.take(later)
        points = points[::2]
    return [_rates(point) for point in points if point.seconds > 0]


def _rates(point: Point) -> dict[str, Any]:
    per_minute = 60 / point.seconds
    return {
        "seconds": point.start_s + point.seconds / 2,
        "requests_per_minute": point.sent * per_minute,
        "requests_limit": point.requests_limit,
        "input_tokens_per_minute": point.input_tokens * per_minute,
        "output_tokens_per_minute": point.output_tokens * per_minute,
        "tokens_limit": point.tokens_limit,
        "latency_p50": quantile(point.latencies, 0.5),
        "latency_p95": quantile(point.latencies, 0.95),
        "refused": point.refused,
        "retries": point.retried,
        "failed": point.failed,
    }
