"""The latest finished events: so many of them, and so much of what they hold."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from lionproc.engine.request import Event

__all__ = ["History"]

MOST_CHARACTERS: Final = 32 * 2**20  # of replies; in memory an answer takes some bytes for each


class History:
    """The latest finished events, the oldest first.

    Args:
        most: How many are remembered; fewer where their replies are long.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._events: deque[tuple[Event, int]] = deque()
        self._size = 0

    def append(self, event: Event) -> None:
        """Remember one more."""
        size = getattr(event.call, "length", 0) + event.size
        self._events.append((event, size))
        self._size += size
        while self._events and (
            len(self._events) > self._most or (self._size > MOST_CHARACTERS and len(self) > 1)
        ):
            self._size -= self._events.popleft()[1]

    def __iter__(self) -> Iterator[Event]:
        return (event for event, _ in self._events)

    def __len__(self) -> int:
        return len(self._events)
