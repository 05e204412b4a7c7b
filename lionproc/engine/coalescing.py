"""Equal calls share one request: in one executor, and in all that run over the same journal.

The equal rows of one run are joined before, in `frame/row_run.py`.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from lionproc.engine.request import read_alike
from lionproc.errors import CallError

if TYPE_CHECKING:
    from lionproc.engine.journal import Journal
    from lionproc.engine.request import Call, Event

MOST_FAILURES = 100_000  # that are remembered, each with some 1 KB of what was said
PATIENCE_S = 60.0  # the most that an event waits for another executor, which may be paused


class Coalescing:
    """Knows which calls of an executor are equal to others. Lives on the engine's loop.

    Equal calls of one executor share an event. An equal call of another executor over the same
    journal waits until the first one is finished, and then finds the answer in the journal.

    Args:
        journal: Where replies are kept. Without one, executors do not share anything.

    Attributes:
        has_peers: Whether another executor may answer what this one asks; once true it stays so.
    """

    def __init__(self, journal: Journal | None) -> None:
        self.has_peers = False
        self._peers = JournalPeers.of(journal)
        self._live: dict[bytes, Event] = {}
        self._failures: dict[bytes, CallError] = {}
        self._waiting: set[Event] = set()
        self._peers.join(self)

    def start(self) -> None:
        """The executor starts again: what failed before may be asked again."""
        self._failures.clear()
        self._peers.join(self)

    def stop(self) -> None:
        """The executor sends nothing more."""
        self._peers.leave(self)

    def keep_in(self, journal: Journal | None) -> None:
        """From now on replies are kept in another journal, and those who ask over it are the peers."""
        before, self._peers = self._peers, JournalPeers.of(journal)
        if before is self._peers:
            return
        for key, event in self._live.items():
            if before.asking.get(key) is event:
                del before.asking[key]
                self._peers.asking.setdefault(key, event)
        before.leave(self)
        self._peers.join(self)

    # -- in this executor -------------------------------------------------------------------

    def live(self, key: bytes | None) -> Event | None:
        """The unfinished event with this key, if there is one."""
        return None if key is None else self._live.get(key)

    async def to_join(
        self, call: Call, settled: Callable[[Event], Awaitable[object]] | None
    ) -> Event | None:
        """The unfinished event that a call is to share, if there is one.

        An equal one that is read otherwise is waited for, where replies are kept: then its reply is
        there, and is read by this call itself.

        Args:
            call: Which.
            settled: Waits for an event, and raises its error; None where no reply is kept.
        """
        while (event := self.live(call.key)) is not None:
            if read_alike(event.first, call):
                return event
            if settled is None:
                return None
            with contextlib.suppress(CallError):
                await settled(event)
        return None

    def failure(self, key: bytes | None) -> CallError | None:
        """How an equal call failed since the executor started, if one did and it is remembered."""
        return None if key is None else self._failures.get(key)

    def is_new(self, key: bytes | None) -> bool:
        """Whether nobody asks the same now, or failed with it since the executor started."""
        return key is None or not (key in self._live or key in self._failures)

    def add(self, event: Event) -> None:
        """From now on equal calls may share this event."""
        key = event.first.key
        if key is not None:
            self._live[key] = event

    def finished(self, event: Event) -> None:
        """From now on equal calls do not share this event any more."""
        key = event.first.key
        if key is not None:
            live, asking = self._live, self._peers.asking
            if live.get(key) is event:
                del live[key]
            if asking.get(key) is event:
                del asking[key]
            if self._waiting:
                self._waiting.discard(event)

    def failed(self, event: Event, error: CallError) -> None:
        """Equal calls would fail like this one, and so would calls equal to its corrections."""
        for key in event.keys:
            self._failures[key] = error
        while len(self._failures) > MOST_FAILURES:
            del self._failures[next(iter(self._failures))]

    def unfinished(self) -> list[Event]:
        """The events that equal calls may share now."""
        return list(self._live.values())

    # -- across executors over one journal --------------------------------------------------

    def asked_elsewhere(self, event: Event, *, has_permission: bool = False) -> Event | None:
        """The event of another executor that asks the same just now.

        Args:
            event: About to be sent. If it waited for another one before, and comes again though
                `end_wait` was not called, its patience is over.
            has_permission: Whether it would leave at once: then only one that is in flight counts.

        Returns:
            The event to wait for, for at most `PATIENCE_S` seconds; None if this one is to ask.
        """
        was_waiting = bool(self._waiting) and self.end_wait(event)
        other = self._peers.asking.get(event.first.key or b"")
        if other is None or other is event or other.done or was_waiting:
            return None
        if has_permission and other.state != "processing":
            return None
        self._waiting.add(event)
        return other

    def is_overtaken(self, event: Event) -> bool:
        """Whether others no longer wait for an event that `asks`: one that had waited long asks too."""
        key = event.first.key
        return self.has_peers and key is not None and self._peers.asking.get(key) is not event

    def end_wait(self, event: Event) -> bool:
        """What an event waited for is finished. False if it does not wait any more."""
        if event not in self._waiting:
            return False
        self._waiting.remove(event)
        return True

    def asks(self, event: Event) -> None:
        """The event is about to be sent: equal ones of other executors may wait for it."""
        key = event.first.key
        if key is not None:
            self._peers.asking[key] = event


class Peer(Protocol):
    """One who asks over a journal."""

    has_peers: bool


class JournalPeers:
    """Those who ask over one journal, in this process.

    Attributes:
        asking: Events that are about to be sent or in flight, by the key of their first call.
    """

    __slots__ = ("__weakref__", "_lock", "_members", "asking")

    def __init__(self) -> None:
        self.asking: dict[bytes, Event] = {}
        self._members: weakref.WeakSet[Peer] = weakref.WeakSet()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, journal: Journal | None) -> JournalPeers:
        """The peers over a journal. Without a journal, somebody without peers."""
        global _process  # noqa: PLW0603
        if _process != os.getpid():  # it was forked: those who ask stay with the parent
            _known.clear()
            _process = os.getpid()
        return cls() if journal is None else _known.setdefault(journal, cls())

    def join(self, member: Peer) -> None:
        """From now on this member and all others may answer each other's questions."""
        with self._lock:
            for other in self._members:
                if other is not member:
                    other.has_peers = member.has_peers = True
            self._members.add(member)

    def leave(self, member: Peer) -> None:
        """This member asks nothing more."""
        with self._lock:
            self._members.discard(member)


_known: weakref.WeakKeyDictionary[Journal, JournalPeers] = weakref.WeakKeyDictionary()
_process = os.getpid()
