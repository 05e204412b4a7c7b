"""A run over time, in a bounded number of points: what its report draws.

Told by snapshots, a few times a second, so it costs a row nothing. When the points are used up,
two and two become one and each lasts twice as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lionproc.engine.stats import RunStats

__all__ = ["MOST_POINTS", "Point", "Timeline"]

MOST_POINTS = 96
FIRST_S = 0.25  # how long a point lasts at first


@dataclass(slots=True)
class Point:
    """What happened in a run between two moments.

    Attributes:
        start_s: When it began, in seconds since the run did.
        seconds: How long it lasted.
        sent: Requests sent.
        input_tokens: Tokens read.
        output_tokens: Tokens written.
        refused: Replies 429.
        retried: Requests sent again.
        failed: Rows that ended in an error.
        requests_limit: The requests per minute that were allowed at its end, None for no limit.
        tokens_limit: The tokens per minute that were allowed at its end, None for no limit.
        latencies: Replies by how long they took, as `Latencies.counts`.
    """

    start_s: float
    seconds: float = 0.0
    sent: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    refused: int = 0
    retried: int = 0
    failed: int = 0
    requests_limit: float | None = None
    tokens_limit: float | None = None
    latencies: list[int] = field(default_factory=list)

    def take(self, later: Point) -> None:
        """Add what came right behind it."""
        self.seconds = later.start_s + later.seconds - self.start_s
        self.sent += later.sent
        self.input_tokens += later.input_tokens
        self.output_tokens += later.output_tokens
        self.refused += later.refused
        self.retried += later.retried
        self.failed += later.failed
        self.requests_limit, self.tokens_limit = later.requests_limit, later.tokens_limit
        if self.latencies and later.latencies:
            pairs = zip(self.latencies, later.latencies, strict=True)
            self.latencies = [one + other for one, other in pairs]
        else:
            self.latencies = self.latencies or later.latencies


class Timeline:
    """The points of a run. Written on the engine's loop, read from any thread.

    Args:
        most: How many points there may be.
    """

    def __init__(self, most: int = MOST_POINTS) -> None:
        self._most = most
        self._lasts_s = FIRST_S
        self._points: list[Point] = []
        self._last = RunStats()
        self._seen: Sequence[int] = ()

    def add(self, now: RunStats, latencies: Sequence[int]) -> None:
        """Take in what happened since the last snapshot.

        Args:
            now: The run.
            latencies: All its replies so far, as `Latencies.counts`.
        """
        last, self._last = self._last, now
        seen, self._seen = self._seen or [0] * len(latencies), list(latencies)
        more = Point(
            last.elapsed_s,
            now.elapsed_s - last.elapsed_s,
            now.sent - last.sent,
            now.prompt_tokens - last.prompt_tokens,
            now.completion_tokens - last.completion_tokens,
            now.throttled - last.throttled,
            now.retried - last.retried,
            now.failed - last.failed,
            now.requests_limit,
            now.tokens_limit,
            [n - before for n, before in zip(latencies, seen, strict=True)],
        )
        points = self._points
        if points and points[-1].seconds < self._lasts_s:
            points[-1].take(more)
        else:
            points.append(more)
        if len(points) > self._most:
            self._lasts_s *= 2
            self._points = list(_halved(points))

    def points(self) -> list[Point]:
        """The points so far, the oldest first."""
        return [replace(point) for point in self._points]


def _halved(points: Sequence[Point]) -> list[Point]:
    halved = []
    for place in range(0, len(points), 2):
        point = points[place]
        for later in points[place + 1 : place + 2]:
            point.take(later)
        halved.append(point)
    return halved
