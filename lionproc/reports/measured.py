"""What the engine has measured of a run, as a report has it: percentiles, and rates over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lionproc.engine.latencies import Latencies, quantile
from lionproc.engine.timeline import Point

__all__ = ["latency_of", "over_time"]

SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
MOST_POINTS = 48
SMOOTH_S = 3.0  # a rate is the mean of so long: what leaves within a second comes in bursts
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
    points = [point for point in points if point.seconds > 0]
    return [_rates(point, points) for point in points]


def _rates(point: Point, points: Sequence[Point]) -> dict[str, Any]:
    middle = point.start_s + point.seconds / 2
    near = [(p, part) for p in points if (part := _part(p, middle)) > 0]
    per_minute = 60 / sum(p.seconds * part for p, part in near)

    def rate(name: str) -> float:
        return per_minute * sum(float(getattr(p, name)) * part for p, part in near)

    return {
        "seconds": middle,
        "requests_per_minute": rate("sent"),
        "requests_limit": point.requests_limit,
        "input_tokens_per_minute": rate("input_tokens"),
        "output_tokens_per_minute": rate("output_tokens"),
        "tokens_limit": point.tokens_limit,
        "latency_p50": quantile(point.latencies, 0.5),
        "latency_p95": quantile(point.latencies, 0.95),
        "refused": point.refused,
        "retries": point.retried,
        "failed": point.failed,
    }


def _part(point: Point, middle: float) -> float:
    """How much of a point lies within the seconds around a moment that its rate is the mean of."""
    start = max(point.start_s, middle - SMOOTH_S / 2)
    end = min(point.start_s + point.seconds, middle + SMOOTH_S / 2)
    return max(end - start, 0.0) / point.seconds
