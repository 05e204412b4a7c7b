"""What a session has open, and how it is closed: by whoever uses it, or when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import weakref
from collections import Counter
from collections.abc import Coroutine, Iterator
from typing import Any, Final, TypeVar

from lionproc.engine import loop as engine_loop
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.forked import in_forked_child
from lionproc.engine.journal import Journal
from lionproc.engine.journal_path import real_path
from lionproc.engine.request import Event
from lionproc.errors import CallError, Kind
from lionproc.model.wire import Wire

__all__ = ["CLOSED", "Resources", "all_closed", "close_unused", "to_its_end"]

log = logging.getLogger("lionproc.service")
T = TypeVar("T")
CLOSED: Final = "It was closed meanwhile: resume() goes on."
# How many sessions keep replies in a journal that they gave to an executor.
_users: weakref.WeakKeyDictionary[RateLimitedAPIExecutor, int] = weakref.WeakKeyDictionary()
_under_way: set[asyncio.Task[Any]] = set()


class Resources:
    """Kept apart from the session, so that they can be closed once that is gone. On the engine's loop.

    Args:
        executor: What sends.
        owns_executor: Whether nobody else sends through it.

    Attributes:
        wire: The connection, None where there is none.
    """

    def __init__(self, executor: RateLimitedAPIExecutor, *, owns_executor: bool) -> None:
        self.wire: Wire | None = None
        self._executor = executor
        self._owns_executor = owns_executor
        self._journal: Journal | None = None
        self._asked: Counter[Event] = Counter()  # how often the session waits for each
        self._beginning: set[asyncio.Future[None]] = set()

    @contextlib.contextmanager
    def beginning(self) -> Iterator[None]:
        """The session asks for an event, which it has not yet."""
        begins = asyncio.get_running_loop().create_future()
        self._beginning.add(begins)
        try:
            yield
        finally:
            self._beginning.discard(begins)
            begins.set_result(None)

    @contextlib.contextmanager
    def asking(self, event: Event) -> Iterator[None]:
        """The session waits for an event.

        Args:
            event: Its own, or that of an equal request of somebody else.
        """
        self._asked[event] += 1
        event.on_done(lambda: self._asked.__delitem__(event))
        try:
            yield
        finally:
            if event in self._asked:  # in flight, though the wait was given up
                self._asked[event] -= 1

    @property
    def are_open(self) -> bool:
        """Whether there is anything to close."""
        return self.wire is not None or self._journal is not None

    async def open_journal(self, path: str | os.PathLike[str]) -> None:
        """Keep replies, unless the executor came with a journal of its own.

        What another session has given to an executor that they share is held open by both.

        Args:
            path: The file.

        Raises:
            JournalError: It cannot be opened.
        """
        while (kept := self._executor.journal) is None or self._executor in _users:
            journal = await asyncio.to_thread(Journal.open, path if kept is None else kept.path)
            if self._executor.journal is kept:
                break
            await asyncio.to_thread(journal.close)  # another session was quicker
        else:
            return
        if kept is not None and kept.path != real_path(path):
            log.warning(
                "replies are kept in %s, for another service has given that journal to the executor that "
                "they share; %s is not used. Give the executor a journal of its own, or each service its "
                "own executor.",
                kept.path,
                os.fspath(path),
            )
        self._journal = self._executor.journal = journal
        _users[self._executor] = _users.get(self._executor, 0) + 1

    def take(self) -> tuple[Wire | None, Journal | None]:
        """What is open, for the caller to close; nothing is left here."""
        taken = self.wire, self._journal
        self.wire = self._journal = None
        return taken

    async def close(self) -> None:
        """Close what is open, once what is in flight has come back, each in its own timeout, and is kept."""
        if self._owns_executor:
            await self._executor.dispatcher.halt(None)
        else:
            await self._come_back()
        wire, journal = self.take()
        if journal is not None:
            _users[self._executor] -= 1
            if not _users[self._executor]:
                del _users[self._executor]
                self._executor.journal = None
        if wire is not None:
            await wire.close()
        if journal is not None:
            with contextlib.suppress(RuntimeError):  # at exit no thread can be started,
                await asyncio.to_thread(journal.close)  # and journals close themselves

    async def _come_back(self) -> None:
        """Take back what waits, and wait for what is in flight.

        Sessions that share an executor share equal requests. One of this session is taken back from
        all, as it would be sent over this connection: others ask it again themselves.
        """
        dispatcher, closed = self._executor.dispatcher, CallError(Kind.NOT_SENT, CLOSED)
        while True:
            own = {event for event in dispatcher.coalescing.unfinished() if self._sends(event)}
            for event in own.union(self._asked):
                if event in own or event.claims <= self._asked[event]:
                    dispatcher.withdraw(event, closed)
            waiting = self._beginning or {event._waiter() for event in own.union(self._asked)}
            if not waiting:
                return
            await asyncio.wait(tuple(waiting))

    def _sends(self, event: Event) -> bool:
        connection = getattr(event.first, "connection", None)  # others may share the executor
        return connection is not None and connection.wire is self.wire


def close_unused(resources: Resources) -> None:
    """Close what a session had open that is gone.

    Args:
        resources: What it had.
    """
    if resources.are_open:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and its connections with it
            engine_loop.get().call_soon_threadsafe(lambda: to_its_end(resources.close()))


def to_its_end(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Begin to open or close something, which goes on whoever gives up the wait.

    Args:
        work: What does it.
    """
    task = asyncio.get_running_loop().create_task(work)
    _under_way.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _under_way.discard(task)
    if not task.cancelled():
        task.exception()  # who waits for it hears of it; nobody may


async def all_closed() -> None:
    """Wait until what unused sessions had open is closed."""
    if _under_way:
        await asyncio.wait(set(_under_way), timeout=2.0)
        await asyncio.sleep(0.01)  # the loop's callbacks close the connections


@in_forked_child
def _forked() -> None:
    """In a forked child: what is open is the parent's."""
    _under_way.clear()
    for executor in _users:  # what a service had given it
        executor.dispatcher.replay.journal = None
    _users.clear()
