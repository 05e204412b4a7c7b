"""What was seen of a question on its way through a cluster, as the numbers of a run."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from lionproc.dask.question import Question
from lionproc.engine.limits import Limits
from lionproc.engine.stats import RunStats, State

__all__ = ["Progress"]

_COUNTED = frozenset(
    {
        *("answered", "cached", "skipped", "failed", "in_flight", "queued", "sent", "retried"),
        *("throttled", "prompt_tokens", "completion_tokens", "guessed", "usd"),
    }
)


class Progress:
    """The latest sums over all workers, and how fast they grow.

    Args:
        question: What is asked.
        limits: Those that a person sets.
        rows: How many rows there are, None where nobody knows before all partitions have begun.
    """

    def __init__(self, question: Question, limits: Limits, rows: int | None) -> None:
        self._question = question
        self._limits = limits
        self._known = rows
        self._seen: Mapping[str, Any] = {}
        self._rates: deque[tuple[float, int, int]] = deque()
        self._began_at, self._started_at = time.time(), time.monotonic()
        self._ended_at: float | None = None

    @property
    def reached(self) -> str:
        """The bound of the budget that ended it, in words; empty if none did."""
        reached: str = self._seen.get("reached", "")
        return reached

    @property
    def about(self) -> str:
        """The word that stands before the number of rows while it is not known."""
        begun = self._seen.get("begun", 0) == self._question.partitions
        return "" if begun or self._known is not None else "about "

    @property
    def failures(self) -> list[dict[str, Any]]:
        """Some rows that failed."""
        failures: list[dict[str, Any]] = self._seen.get("failures", [])
        return failures

    def see(self, seen: Mapping[str, Any]) -> None:
        """Take what the scheduler has heard of all workers."""
        self._seen = seen
        now = time.monotonic()
        tokens = seen["prompt_tokens"] + seen["completion_tokens"]
        self._rates.append((now, seen["sent"], tokens))
        # Before anything was sent workers were only getting ready.
        while len(self._rates) > 1 and (now - self._rates[0][0] > 60 or not self._rates[1][1]):
            self._rates.popleft()

    def end(self) -> None:
        """It goes on no more."""
        self._ended_at = time.monotonic()

    @property
    def ended(self) -> bool:
        """Whether it goes on no more."""
        return self._ended_at is not None

    def stats(self, state: State, done: int) -> RunStats:
        """All workers at this moment.

        Args:
            state: Where it is in its life.
            done: How many partitions are done.
        """
        seen, limits = self._seen, self._limits
        allowed = seen.get("limits") or (limits.requests_per_minute, limits.tokens_per_minute)
        processes = max(len(seen.get("places", ())), 1)
        requests, tokens = self._per_minute()
        return RunStats(
            state=state,
            began_at=self._began_at,
            elapsed_s=(self._ended_at or time.monotonic()) - self._started_at,
            requests_per_minute=requests,
            tokens_per_minute=tokens,
            requests_limit=allowed[0],
            tokens_limit=allowed[1],
            concurrency=limits.concurrency * processes,
            note=f"The budget of {self.reached} is reached." if self.reached else "",
            partitions=self._partitions(done, processes),
            errors=seen.get("errors", {}),
            rows=self._rows(),
            **{name: seen[name] for name in seen if name in _COUNTED},
        )

    def _rows(self) -> int:
        """As they are known; else what they come to if all partitions are like those that began."""
        parts, begun = self._question.partitions, self._seen.get("begun", 0)
        rows: int = self._seen.get("rows", 0)
        if begun == parts:
            return rows
        if self._known is not None:
            return self._known
        return round(rows * parts / begun) if begun else 0

    def _partitions(self, done: int, processes: int) -> str:
        if self.ended:
            return ""
        if not self._seen.get("begun"):
            return "The workers are getting ready."
        under_way = self._seen["begun"] - self._seen["ended"]
        where = f" in {processes} processes" if processes > 1 else ""
        return (
            f"{done:,} of {self._question.partitions:,} partitions done, "
            f"{under_way:,} under way{where}."
        )

    def _per_minute(self) -> tuple[float, float]:
        """Requests and tokens."""
        if not self._rates:
            return 0.0, 0.0
        since, *before = self._rates[0]
        until, *now = self._rates[-1]
        took = until - since
        if took < 1:
            return 0.0, 0.0
        requests, tokens = (60 * (b - a) / took for a, b in zip(before, now, strict=True))
        return requests, tokens
