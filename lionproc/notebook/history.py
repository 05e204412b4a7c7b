"""What a run did lately, second by second: what the chart draws and the time left is judged by."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from lionproc.engine.stats import RunStats
from lionproc.notebook.rates import KNOWN_AFTER_S, learned

SECONDS = 120  # what is remembered and drawn at the most
SMOOTH_S = 3  # a point is the mean of so many seconds, or single requests would be needles
RECENT_S = 30  # what the time left is judged by,
LATELY_S = 10  # and by so much of it, to see whether the pace changes
ENOUGH = 10  # rows to judge by; where they come slowly, more seconds are taken
ALIKE = 1.5  # as many times more or less may be allowed before the past says nothing;
SEARCHED = 3.0  # so many times by what was learned, which moves while the limit is looked for


@dataclass(frozen=True, slots=True)
class Second:
    """What happened in one second, and what was allowed in it (None for no limit).

    Attributes:
        sent: Requests.
        tokens: Tokens.
        rows: Rows that were finished by requests.
        refused: Replies 429.
        requests_limit: Requests per minute.
        tokens_limit: Tokens per minute.
        learned: Requests per minute that the server takes, where that is less.
        concurrency: Requests in flight.
        open: Whether requests could leave: not while it is paused or the server asked to wait.
    """

    sent: float
    tokens: float
    rows: float
    refused: int
    requests_limit: float | None
    tokens_limit: float | None
    learned: float | None
    concurrency: int
    open: bool

    def allowed_as(self, other: Second) -> bool:
        """Whether about as much was allowed in another second."""
        return (
            _near(self.requests_limit, other.requests_limit, ALIKE)
            and _near(self.tokens_limit, other.tokens_limit, ALIKE)
            and _near(self.concurrency, other.concurrency, ALIKE)
            and _near(self.learned, other.learned, SEARCHED)
        )


@dataclass(frozen=True, slots=True)
class ChartLine:
    """A rate per minute, second by second, and what it was held by.

    Attributes:
        unit: "requests" or "tokens".
        rates: Oldest first.
        limits: For each of them, None where there was no limit.
        learned: For each of them, what the server was found to take; None where that is not
            known, or not less than the limit.
        refused: Replies 429 in each.
    """

    unit: str
    rates: Sequence[float]
    limits: Sequence[float | None]
    learned: Sequence[float | None]
    refused: Sequence[int]


class Left(NamedTuple):
    """Seconds until the end: at the least and at the most."""

    least: float
    most: float


class History:
    """The last two minutes of a run, a second at a time. Told by snapshots, in any rhythm."""

    def __init__(self) -> None:
        self._seconds: deque[Second] = deque(maxlen=SECONDS)
        self._last: RunStats | None = None
        self.idle_s = 0.0  # for how long nothing was sent

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
        self.idle_s = 0.0 if stats.sent > last.sent else self.idle_s + elapsed
        second = Second(
            sent=(stats.sent - last.sent) / elapsed,
            tokens=(stats.tokens - last.tokens) / elapsed,
            rows=(_bought(stats) - _bought(last)) / elapsed,
            refused=stats.throttled - last.throttled,
            requests_limit=stats.requests_limit,
            tokens_limit=stats.tokens_limit,
            learned=learned(stats),
            concurrency=stats.concurrency,
            open=_open(last) and _open(stats),
        )
        for _ in range(min(round(elapsed), SECONDS)):  # more than one after a machine slept
            self._seconds.append(second)
        return True

    def line(self) -> ChartLine:
        """What to draw: requests, or tokens where only they are limited."""
        seconds = list(self._seconds)
        by_tokens = bool(
            seconds
            and seconds[-1].requests_limit is None
            and seconds[-1].learned is None
            and seconds[-1].tokens_limit is not None
        )
        amounts = [s.tokens if by_tokens else s.sent for s in seconds]
        return ChartLine(
            unit="tokens" if by_tokens else "requests",
            rates=[60 * rate for rate in _smooth(amounts)],
            limits=[s.tokens_limit if by_tokens else s.requests_limit for s in seconds],
            learned=[None if by_tokens else s.learned for s in seconds],
            refused=[s.refused for s in seconds],
        )

    def left(self, stats: RunStats) -> Left | None:
        """How long it still takes, None while that is not known.

        Only seconds count in which requests could leave and about as much was allowed as now:
        after a limit was moved, or a 429 showed what the server takes, the time before it says
        nothing. Two spans of them are asked, and where they disagree the pace is changing.
        """
        if stats.left == 0:
            return Left(0.0, 0.0)
        if stats.state != "running":
            return None
        alike = list(self._alike())
        if len(alike) < KNOWN_AFTER_S:
            return None
        span, rows = 0, 0.0
        for second in alike:
            if span >= RECENT_S and rows >= ENOUGH:
                break
            span, rows = span + 1, rows + second.rows
        if rows <= 0:
            return None
        seconds = [stats.left * span / rows]
        lately = sum(second.rows for second in islice(alike, LATELY_S))
        if span > LATELY_S and lately >= ENOUGH / 2:
            seconds.append(stats.left * LATELY_S / lately)
        return Left(min(seconds) + stats.holding_s, max(seconds) + stats.holding_s)

    def _alike(self) -> Iterator[Second]:
        """Seconds that say something about the next one, the newest first."""
        newest: Second | None = None
        for second in reversed(self._seconds):
            if newest is None:
                newest = second
            elif not second.allowed_as(newest):
                return
            if second.open:
                yield second


def _near(mine: float | None, theirs: float | None, times: float) -> bool:
    if not mine or not theirs:
        return mine == theirs
    return 1 / times <= mine / theirs <= times


def _open(stats: RunStats) -> bool:
    return stats.state == "running" and stats.holding_s <= 0.5


def _bought(stats: RunStats) -> int:
    return stats.finished - stats.cached - stats.skipped


def _smooth(amounts: Sequence[float]) -> list[float]:
    means = []
    for end in range(1, len(amounts) + 1):
        part = amounts[max(end - SMOOTH_S, 0) : end]
        means.append(sum(part) / len(part))
    return means
