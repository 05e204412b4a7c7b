"""What a session has open, and how it is closed: by whoever uses it, or when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from lionproc.engine import loop as engine_loop
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.forked import in_forked_child
from lionproc.engine.journal import Journal
from lionproc.model.connection import Connection
from lionproc.model.wire import Wire

__all__ = ["CLOSED", "Resources", "all_closed", "close_unused", "to_its_end"]

T = TypeVar("T")
CLOSED: Final = "It was closed meanwhile: resume() goes on."
_under_way: set[asyncio.Task[Any]] = set()


class Resources:
    """Kept apart from the session, so that they can be closed once that is gone. On the engine's loop.

    Args:
        executor: What sends, or what sends for others too.
        inside: Makes the executor of the session inside that of others; None where nobody else sends.

    Attributes:
        connection: The way to the model, None where there is none.
        sender: The executor of the session alone, None where there is none yet.
    """

    def __init__(
        self, executor: RateLimitedAPIExecutor, inside: Callable[[], RateLimitedAPIExecutor] | None
    ) -> None:
        self.connection: Connection | None = None
        self.sender = executor if inside is None else None
        self._executor = executor
        self._make = inside or (lambda: executor)
        self._journal: Journal | None = None

    @property
    def are_open(self) -> bool:
        """Whether there is anything to close or to leave."""
        is_inside = self.sender is not None and self.sender is not self._executor
        return self.connection is not None or self._journal is not None or is_inside

    async def open(self, connection: Connection, journal: str | os.PathLike[str] | None) -> None:
        """Have requests sent over a connection.

        Args:
            connection: It.
            journal: The file that replies are kept in, None to keep none. An executor that came with a
                journal of its own keeps them there.

        Raises:
            JournalError: It cannot be opened.
        """
        self.connection = connection
        sender = self.sender = self.sender or self._make()
        if journal is not None and sender.journal is None:
            sender.journal = self._journal = await asyncio.to_thread(Journal.open, journal)
        await self.start()

    async def start(self) -> None:
        """Let requests be sent, unless the executor of others is stopped, which its owner may start."""
        sender = self.sender
        if sender is self._executor:
            await sender.start()
        elif sender is not None:
            await self._executor.group.start_service(sender.dispatcher)

    def stay_behind(self) -> object:
        """In a forked child: what is open is the parent's, and is not used any more."""
        if self.sender is not None and self._journal is not None:
            self.sender.dispatcher.replay.journal = None
        return self.take()

    def begin_anew(self) -> object:
        """In a forked child, where nothing is open: what was inside an executor is its parent's."""
        before = self.sender
        if before is self._executor:
            return None
        self.sender = None
        return before

    def take(self) -> tuple[Wire | None, Journal | None]:
        """What is open, for the caller to close; nothing is left here."""
        connection, journal = self.connection, self._journal
        self.connection = self._journal = None
        return None if connection is None else connection.wire, journal

    async def close(self) -> None:
        """Close what is open, once what is in flight has come back, each in its own timeout, and is kept."""
        sender = self.sender
        if self.connection is not None:
            self.connection.is_closed = True
        if sender is not None:
            await sender.dispatcher.halt(None)
        wire, journal = self.take()
        if sender is not None and journal is not None:
            sender.journal = None
        if wire is not None:
            await wire.close()
        if journal is not None:
            with contextlib.suppress(RuntimeError):  # at exit no thread can be started,
                await asyncio.to_thread(journal.close)  # and journals close themselves

    async def leave(self) -> None:
        """Close what is open, and be no part of an executor of others any more."""
        await self.close()
        if self.sender is not None and self.sender is not self._executor:
            self._executor.group.leave(self.sender.dispatcher)


def close_unused(resources: Resources) -> None:
    """Close what a session had open that is gone.

    Args:
        resources: What it had.
    """
    if resources.are_open:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and its connections with it
            engine_loop.soon(lambda: to_its_end(resources.leave()))


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
