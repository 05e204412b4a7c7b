"""What waits to be sent: in which order, until when, and how much of it.

The queue knows no loop and no clock: it is told the time, and says which events to give up.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lionproc.engine.request import Event

QUEUE_BYTES = 24 * 2**20  # that calls take while they wait, if they say so; the last may be more
OUT_BYTES = 56 * 2**20  # that the bodies in flight take together; one may always be in flight
SLACK = 64  # outdated moments that may stay in the heap


class EventQueue:
    """Events that wait to be sent, first or again.

    Retries go before what was never sent; then higher priorities go first, and equal ones in the
    order they came. An event may be delayed (a retry with backoff) and may have a deadline.

    Args:
        capacity: Events that may wait. Retries that are due do not count: they have been let in
            before.
        capacity_bytes: What they may take in memory; one more may wait as long as it is less.
        out_bytes: What those may take together that were taken and are not back.

    Attributes:
        at_limiter: The event that a worker has taken and that waits for permission to send. While
            there is one, `take` gives no other: until the last moment the queue decides which is
            next, so priorities and deadlines hold.
        room: Set when a producer that waits for room is to look again.
    """

    def __init__(
        self, capacity: int, capacity_bytes: int = QUEUE_BYTES, out_bytes: int = OUT_BYTES
    ) -> None:
        self.capacity = capacity
        self.out_bytes = out_bytes
        self.capacity_bytes = capacity_bytes
        self.at_limiter: Event | None = None
        self.room = asyncio.Event()
        # A producer is woken for a quarter of the queue at once, not for every single place.
        self._refill_at = capacity - max(1, capacity // 4)
        self._refill_at_bytes = capacity_bytes - capacity_bytes // 4
        self._bytes = 0  # of those that count
        self._out = 0  # bytes of those that were taken and are not back
        self._new: deque[Event] = deque()
        self._again: deque[Event] = deque()
        self._delayed: dict[Event, float] = {}
        self._deadlines: dict[Event, float] = {}
        # When something is to happen to an event: a delay or a deadline ends. Moments that are
        # outdated stay until they come up, or until there are too many of them.
        self._moments: list[tuple[float, int, Event]] = []
        self._moments_made = 0

    # -- order ------------------------------------------------------------------------------

    def add(self, event: Event) -> None:
        """Let an event wait for its turn."""
        self._bytes += event.size
        new = self._new
        if not new or new[-1].priority >= event.priority:
            new.append(event)
        else:
            place = next(i for i, other in enumerate(new) if other.priority < event.priority)
            new.insert(place, event)

    def take(self, *, new: bool = True, far: bool = False) -> Event | None:
        """Take out the event whose turn it is.

        Args:
            new: Whether it may be one that was never sent.
            far: Whether it is to be the last of those instead, the least like what was sent last.

        Returns:
            None if nothing is ready, if another event still waits for permission to send, or if
            those in flight take too much memory for one more.
        """
        if self.at_limiter is not None:
            return None
        fresh = new and bool(self._new)
        if self._again and not (far and fresh):
            return self._leaves(self._again)
        if not fresh:
            return None
        if far:
            self._new.rotate(1)
        event = self._leaves(self._new)
        if event is None:
            return None
        self._bytes -= event.size
        self._call_producers()
        return event

    def _call_producers(self) -> None:
        waiting = len(self._new) + len(self._delayed)
        if waiting <= self._refill_at and self._bytes <= self._refill_at_bytes:
            self.room.set()

    def _leaves(self, waiting: deque[Event]) -> Event | None:
        """Take the first one out, if what is out already leaves room for it."""
        size = waiting[0].size
        if self._out and self._out + size > self.out_bytes:
            return None
        self._out += size
        return waiting.popleft()

    def is_back(self, event: Event) -> None:
        """An event that was taken is answered, or waits again."""
        self._out -= event.size

    def next_ones(self, most: int) -> Iterator[Event]:
        """Those that were never sent and whose turn comes next."""
        return itertools.islice(self._new, most)

    @property
    def is_ready(self) -> bool:
        """True if `take` may give an event."""
        return self.at_limiter is None and bool(self._new or self._again)

    @property
    def is_full(self) -> bool:
        """True while no other event may be added."""
        waiting = len(self._new) + len(self._delayed)
        return waiting >= self.capacity or self._bytes >= self.capacity_bytes

    def __len__(self) -> int:
        waiting = len(self._new) + len(self._again) + len(self._delayed)
        return waiting + (self.at_limiter is not None)

    def __iter__(self) -> Iterator[Event]:
        if self.at_limiter is not None:
            yield self.at_limiter
        yield from self._again
        yield from self._delayed
        yield from self._new

    # -- time -------------------------------------------------------------------------------

    def delay(self, event: Event, until: float) -> None:
        """Let an event wait until a time of the loop's clock; then it goes before new ones."""
        self._bytes += event.size if event not in self._delayed else 0
        self._delayed[event] = until
        self._remember(until, event)

    def end_delay(self, event: Event) -> bool:
        """Make a delayed event ready now.

        Returns:
            False if it is not delayed.
        """
        if self._delayed.pop(event, None) is None:
            return False
        self._bytes -= event.size
        self._again.append(event)
        self._call_producers()
        return True

    def set_deadline(self, event: Event, at: float) -> None:
        """Give an event a time of the loop's clock after which it is not sent any more."""
        self._deadlines[event] = at
        self._remember(at, event)

    def is_late(self, event: Event, now: float) -> bool:
        """Whether the deadline of an event has passed."""
        return self._deadlines.get(event, now) < now

    def extend_deadline(self, event: Event, deadline_s: float | None, now: float) -> None:
        """Somebody else wants the same: of two deadlines the later one counts.

        Args:
            event: An event that may have a deadline.
            deadline_s: Seconds that the other would wait, None for ever.
            now: The time.
        """
        at = self._deadlines.get(event)
        if at is None:
            return
        if deadline_s is None:
            del self._deadlines[event]
        elif now + deadline_s > at:
            event.deadline_s = deadline_s
            self.set_deadline(event, now + deadline_s)

    def advance(self, now: float) -> list[Event]:
        """Make the delayed events ready whose time has come.

        Returns:
            The waiting events whose deadline has passed; the caller withdraws them.
        """
        expired: list[Event] = []
        while self._moments and self._moments[0][0] <= now:
            moment, _, event = heapq.heappop(self._moments)
            if self._delayed.get(event) == moment:
                self.end_delay(event)
            elif self._deadlines.get(event) == moment and event.state == "pending":
                expired.append(event)
        return expired

    @property
    def next_moment(self) -> float | None:
        """When `advance` has something to do next; None if there is nothing to wait for."""
        moments = self._moments
        while moments and not self._counts(moments[0]):
            heapq.heappop(moments)
        return moments[0][0] if moments else None

    def _remember(self, moment: float, event: Event) -> None:
        if len(self._moments) > 2 * (len(self._delayed) + len(self._deadlines)) + SLACK:
            self._moments = [entry for entry in self._moments if self._counts(entry)]
            heapq.heapify(self._moments)
        self._moments_made += 1  # equal moments come in the order they were made
        heapq.heappush(self._moments, (moment, self._moments_made, event))

    def _counts(self, entry: tuple[float, int, Event]) -> bool:
        moment, _, event = entry
        return self._delayed.get(event) == moment or self._deadlines.get(event) == moment

    # -- withdrawal -------------------------------------------------------------------------

    def remove(self, event: Event) -> None:
        """Take out an event that is not to be sent any more, wherever it waits."""
        with contextlib.suppress(ValueError):
            self._new.remove(event)
            self._bytes -= event.size
        with contextlib.suppress(ValueError):
            self._again.remove(event)
        if self._delayed.pop(event, None) is not None:
            self._bytes -= event.size
        self.room.set()

    def finished(self, event: Event) -> None:
        """The event is finished, so its deadline means nothing any more."""
        if self._deadlines:
            self._deadlines.pop(event, None)

    def clear(self) -> list[Event]:
        """Take out all events and wake the producers; gives the events in their order."""
        waiting = [*self._again, *self._delayed, *self._new]
        for store in (self._again, self._delayed, self._new):
            store.clear()
        self._bytes = 0
        self.room.set()
        return waiting
