"""Workers of an executor: hired when there is work for one more, called one by one, dismissed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger("lionproc.engine")
Worker = asyncio.Task[None]


class Crew:
    """Tasks that each carry one event after the other.

    A worker that is done with an event takes the next one by itself. `call` is for when all who
    are there are busy or asleep: it wakes or hires one, and that one calls the next when it has
    left the gate. So there is never more than one on its way there, and no task for each event.

    Args:
        work: What a worker does; it ends when it is not needed any more.
        most: How many workers there may be now.
        on_fault: Told what a worker raised. That is a fault of our own.
        on_retired: Called when one has gone, so that another may be called.
    """

    def __init__(
        self,
        work: Callable[[Worker], Coroutine[Any, Any, None]],
        most: Callable[[], int],
        on_fault: Callable[[BaseException], None],
        on_retired: Callable[[], None],
    ) -> None:
        self._work = work
        self._most = most
        self._on_fault = on_fault
        self._on_retired = on_retired
        self._all: set[Worker] = set()
        self._asleep: dict[Worker, asyncio.Future[None]] = {}
        self._called: Worker | None = None
        self.sending: set[Worker] = set()

    def call(self) -> None:
        """Have one come to the gate, unless one is on its way or all are busy."""
        if self._called is not None:
            return
        while self._asleep:
            worker, bed = self._asleep.popitem()
            if not bed.done():  # else it was dismissed just now
                bed.set_result(None)
                self._called = worker
                return
        if len(self._all) < self._most():
            self._called = asyncio.get_running_loop().create_task(self._employ())
            self._all.add(self._called)
            self._called.add_done_callback(self._retire)

    async def _employ(self) -> None:
        worker = asyncio.current_task()
        assert worker is not None  # noqa: S101  (a coroutine always runs in a task)
        await self._work(worker)

    def needs(self, worker: Worker) -> bool:
        """Asked by a worker that has come to the gate: whether it is to go on."""
        if self._called is worker:
            self._called = None
        return len(self._all) <= self._most()

    async def sleep(self, worker: Worker) -> None:
        """Nothing to do, until it is called."""
        bed = self._asleep[worker] = asyncio.get_running_loop().create_future()
        await bed

    def _retire(self, worker: Worker) -> None:
        self._all.discard(worker)
        self.sending.discard(worker)
        self._asleep.pop(worker, None)
        if self._called is worker:
            self._called = None
        if not worker.cancelled() and (fault := worker.exception()) is not None:
            log.error("a worker ended", exc_info=fault)
            self._on_fault(fault)
        self._on_retired()

    def dismiss(self) -> None:
        """Let all go who are not sending."""
        for worker in self._all - self.sending:
            worker.cancel()

    async def disband(self, grace_s: float) -> None:
        """End all: those who send may finish that within `grace_s`, the others go at once."""
        self.dismiss()
        me = asyncio.current_task()
        sending = self.sending - {me}
        if sending:
            _, late = await asyncio.wait(sending, timeout=max(grace_s, 0.001))
            for worker in late:
                worker.cancel()
        others = self._all - {me}
        if others:
            await asyncio.wait(others)
        self._asleep.clear()
        self._called = None
