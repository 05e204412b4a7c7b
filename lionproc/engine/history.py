"""The latest finished events: so many of them, and so much of what they hold.

What several calls have in common, as a schema, counts once: as long as one of them is remembered.
"""

from __future__ import annotations

from collections import Counter, deque
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
        self._shared: Counter[int] = Counter()  # events that have a thing, by its id
        self._size = 0

    def append(self, event: Event) -> None:
        """Remember one more."""
        size = getattr(event.call, "length", 0) + event.size
        self._events.append((event, size))
        shared, shared_size = _shared_by(event)
        self._size += size + (0 if self._shared[id(shared)] else shared_size)
        self._shared[id(shared)] += 1
        while self._events and (
            len(self._events) > self._most or (self._size > MOST_CHARACTERS and len(self) > 1)
        ):
            self._forget_first()

    def _forget_first(self) -> None:
        event, size = self._events.popleft()
        shared, shared_size = _shared_by(event)
        self._shared[id(shared)] -= 1
        if not self._shared[id(shared)]:
            del self._shared[id(shared)]
            size += shared_size
        self._size -= size

    def __iter__(self) -> Iterator[Event]:
        return (event for event, _ in self._events)

    def __len__(self) -> int:
        return len(self._events)


def _shared_by(event: Event) -> tuple[object, int]:
    """What the call of an event has in common with others, and the characters that it is worth."""
    shared: tuple[object, int] = getattr(event.call, "shares", (None, 0))
    return shared
