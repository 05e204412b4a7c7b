"""What a session has open, and how it is closed: by whoever uses it, or when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import weakref
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Final, TypeVar

from lionproc.engine import loop as engine_loop
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.forked import in_forked_child
from lionproc.engine.journal import Journal
from lionproc.engine.journal_path import real_path
from lionproc.engine.request import Event
from lionproc.errors import CallError, Kind
from lionproc.model.connection import Connection
from lionproc.model.wire import Wire

__all__ = ["CLOSED", "Ask", "Resources", "all_closed", "close_unused", "to_its_end"]

log = logging.getLogger("lionproc.service")
T = TypeVar("T")
LOOK_S: Final = 0.2  # how often it is looked at what is to come back
CLOSED: Final = "It was closed meanwhile: resume() goes on."
# How many sessions keep replies in a journal that they gave to an executor.
_users: weakref.WeakKeyDictionary[RateLimitedAPIExecutor, int] = weakref.WeakKeyDictionary()
_under_way: set[asyncio.Task[Any]] = set()


class Ask:
    """A session asks for something, until it has it or is closed.

    Attributes:
        event: What it waits for, its own or that of an equal request of somebody else; None while
            it has none.
    """

    def __init__(self, scope: asyncio.Timeout) -> None:
        self.event: Event | None = None
        self._scope = scope
        self._ends = False

    def end(self) -> None:
        """Wait no more."""
        if not self._ends:
            self._ends = True
            self._scope.reschedule(0.0)


class Resources:
    """Kept apart from the session, so that they can be closed once that is gone. On the engine's loop.

    Args:
        executor: What sends.
        owns_executor: Whether nobody else sends through it.

    Attributes:
        connection: The way to the model, None where there is none.
    """

    def __init__(self, executor: RateLimitedAPIExecutor, *, owns_executor: bool) -> None:
        self.connection: Connection | None = None
        self._executor = executor
        self._owns_executor = owns_executor
        self._journal: Journal | None = None
        self._asks: set[Ask] = set()
        self._own: set[Event] = set()  # of the session's calls, until they are done

    @contextlib.asynccontextmanager
    async def asking(self) -> AsyncIterator[Ask]:
        """The session asks for something.

        Raises:
            CallError: Of kind `not_sent`: it is closed, and what it waits for is of somebody else.
        """
        try:
            async with asyncio.timeout(None) as scope:
                ask = Ask(scope)
                self._asks.add(ask)
                try:
                    yield ask
                finally:
                    self._asks.discard(ask)
        except TimeoutError:
            raise CallError(Kind.NOT_SENT, CLOSED) from None

    def sends(self, event: Event) -> None:
        """An event of the session's own calls is under way.

        Args:
            event: It. Others may wait for it too, also when the session does no more.
        """
        self._own.add(event)
        event.on_done(lambda: self._own.discard(event))

    @property
    def are_open(self) -> bool:
        """Whether there is anything to close."""
        return self.connection is not None or self._journal is not None

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
        connection, journal = self.connection, self._journal
        self.connection = self._journal = None
        return None if connection is None else connection.wire, journal

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

        Sessions that share an executor share equal requests. Those of this session are taken back from
        all, for they would be sent over this connection: others ask again themselves.
        """
        if self.connection is not None:
            self.connection.is_closed = True
        while True:
            own = self._under_way()
            for event in own:
                closed = CallError(Kind.NOT_SENT, CLOSED)
                self._executor.dispatcher.withdraw(event, closed)
            for ask in self._asks:
                if ask.event not in own:
                    ask.end()
            back = [event._waiter() for event in own if not event.done]
            if not back:
                return
            # What fails meanwhile waits to be sent again, and nobody tells.
            await asyncio.wait(back, timeout=LOOK_S)

    def _under_way(self) -> set[Event]:
        """The events of the session's calls, also where who asked first gave up and others wait."""
        if self.connection is None:
            return set(self._own)
        live = self._executor.dispatcher.coalescing.unfinished()
        sent = (each for each in live if getattr(each.first, "connection", None) is self.connection)
        return self._own.union(sent)


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
