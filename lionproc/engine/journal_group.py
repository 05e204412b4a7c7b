"""Records that are committed together, and the one future that tells all who wait for them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import Any

from lionproc.engine.journal_record import Row
from lionproc.errors import JournalError


class Durable(asyncio.Future[None]):
    """A future that many tasks await.

    Cancelling a task cancels the future it waits for, and with it everybody else's wait. This
    one declines; the task is cancelled all the same, as soon as the group is settled.
    """

    def cancel(self, msg: Any | None = None) -> bool:  # noqa: ARG002  (the signature of Future)
        """Decline; True would say that it is cancelled."""
        return False


class Group:
    """Records that are committed together, and those who wait for it."""

    __slots__ = ("born", "error", "futures", "rows", "settled")

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.futures: dict[asyncio.AbstractEventLoop, Durable] = {}
        self.born = time.monotonic()
        self.settled = threading.Event()
        self.error: JournalError | None = None

    def settle(self, error: JournalError | None) -> None:
        """Tell everybody that they are on disk, or why not."""
        self.error = error
        for loop, future in self.futures.items():
            with contextlib.suppress(RuntimeError):  # that loop is closed, nobody waits there
                loop.call_soon_threadsafe(resolve, future, error)
        self.settled.set()


def resolve(future: Durable, error: JournalError | None) -> None:
    """Tell those who wait in one loop."""
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
        future.exception()  # those who did not wait need no complaint when it is collected
