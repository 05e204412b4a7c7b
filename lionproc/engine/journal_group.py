"""Records that share their fate, and the one future that tells all who wait for them."""

from __future__ import annotations

import asyncio
import contextlib
import time

from lionproc.engine.journal_intake import Log
from lionproc.engine.journal_record import Row
from lionproc.engine.promise import Promise
from lionproc.errors import JournalError


class Durable(asyncio.Future[None]):
    """A future that many tasks await.

    Cancelling a task cancels the future it waits for, and with it everybody else's wait. This
    one declines; the task is cancelled all the same, as soon as the group is settled.
    """

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002  (the signature of Future)
        """Decline; True would say that it is cancelled."""
        return False


class Group:
    """Records that are put on disk together, and those who wait for it.

    Attributes:
        rows: What is to be written.
        log: Where they are already, if anywhere.
        fate: Settled when they are on disk, or with why they could not be kept.
    """

    __slots__ = ("born", "fate", "futures", "log", "rows")

    def __init__(self, log: Log | None) -> None:
        self.rows: list[Row] = []
        self.log = log
        self.futures: dict[asyncio.AbstractEventLoop, Durable] = {}
        self.born = time.monotonic()
        self.fate: Promise[None] = Promise()

    def to_log(self) -> None:
        """Write into the log, if there is one, what came since the last time."""
        if self.log is not None:
            self.log.flush()

    def future(self, loop: asyncio.AbstractEventLoop) -> Durable:
        """What tells those who wait in this loop."""
        future = self.futures.get(loop)
        if future is None:
            future = self.futures[loop] = Durable(loop=loop)
        return future

    def settle(self, error: JournalError | None) -> None:
        """Tell everybody that it is done, or why not."""
        for loop, future in self.futures.items():
            with contextlib.suppress(RuntimeError):  # that loop is closed, nobody waits there
                loop.call_soon_threadsafe(resolve, future, error)
        self.fate.settle(error=error)


def resolve(future: Durable, error: JournalError | None) -> None:
    """Tell those who wait in one loop."""
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
        future.exception()  # those who did not wait need no complaint when it is collected
