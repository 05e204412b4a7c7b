"""The few rows of a run that took longest, or cost most."""

from __future__ import annotations

import heapq
from typing import NamedTuple

from lionproc.engine.request import Event

__all__ = ["Extreme", "Extremes"]

MOST = 10


class Extreme(NamedTuple):
    """What one row took, all its requests together.

    Attributes:
        place: Where its answer belongs.
        seconds: How long its requests took.
        usd: What it cost, None where that is not known.
        input_tokens: Tokens read.
        output_tokens: Tokens written.
        attempts: Requests.
        model: Which model answered, as its reply says.
    """

    place: int
    seconds: float
    usd: float | None
    input_tokens: int
    output_tokens: int
    attempts: int
    model: str


class Extremes:
    """The rows with the largest numbers; of equal ones the first that came.

    Args:
        most: How many are kept.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._heap: list[tuple[float, int, Extreme]] = []

    def add(self, number: float, event: Event) -> None:
        """A row has come to its end."""
        heap = self._heap
        if len(heap) == self._most and number <= heap[0][0]:
            return
        row = Extreme(
            event.tag,
            event.seconds,
            event.usd,
            event.prompt_tokens,
            event.completion_tokens,
            event.attempts,
            event.model,
        )
        if len(heap) < self._most:
            heapq.heappush(heap, (number, -event.tag, row))
        else:
            heapq.heapreplace(heap, (number, -event.tag, row))

    def rows(self) -> list[Extreme]:
        """The rows, the largest first."""
        return [row for _, _, row in sorted(self._heap.copy(), reverse=True)]
