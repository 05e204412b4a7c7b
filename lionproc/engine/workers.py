"""The tasks that carry requests: started when there is work for one more, ended when idle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger("lionproc.engine")
IDLE_S = 1.0  # workers without work stay for this long
Worker = asyncio.Task[None]


class WorkerPool:
    """Workers that each carry one event after the other.

    A worker that is done with an event takes the next one by itself. `call` is for when all
    workers are busy or asleep: it wakes or starts one, and that one calls the next as soon as it
    has permission to send. So at most one worker is on its way to the queue, and there is no task
    for each event.

    Args:
        work: What a worker does. It returns when the worker is not needed any more.
        most: How many workers there may be now.
        on_fault: Called with an exception that ended a worker. That is a fault of our own.
        on_end: Called when a worker has ended, so that another one may be called.

    Attributes:
        sending: The workers whose request is in flight.
    """

    def __init__(
        self,
        work: Callable[[Worker], Coroutine[Any, Any, None]],
        most: Callable[[], int],
        on_fault: Callable[[BaseException], None],
        on_end: Callable[[], None],
    ) -> None:
        self._work = work
        self._most = most
        self._on_fault = on_fault
        self._on_end = on_end
        self._all: set[Worker] = set()
        self._wake_ups: dict[Worker, asyncio.Future[None]] = {}
        self._called: Worker | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self.sending: set[Worker] = set()

    def call(self) -> None:
        """Have one worker look at the queue, unless one is on its way or all are busy."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        if self._called is not None:
            return
        while self._wake_ups:
            worker, wake_up = self._wake_ups.popitem()
            if not wake_up.done():  # otherwise it was cancelled just now
                wake_up.set_result(None)
                self._called = worker
                return
        if len(self._all) < self._most():
            self._called = asyncio.get_running_loop().create_task(self._run())
            self._all.add(self._called)
            self._called.add_done_callback(self._ended)

    async def _run(self) -> None:
        worker = asyncio.current_task()
        assert worker is not None  # noqa: S101  (a coroutine always runs in a task)
        await self._work(worker)

    def needs(self, worker: Worker) -> bool:
        """Asked by a worker that looks at the queue: whether it is to go on."""
        if self._called is worker:
            self._called = None
        return len(self._all) <= self._most()

    async def sleep(self, worker: Worker) -> None:
        """Wait until this worker is called."""
        wake_up = self._wake_ups[worker] = asyncio.get_running_loop().create_future()
        await wake_up

    def _ended(self, worker: Worker) -> None:
        self._all.discard(worker)
        self.sending.discard(worker)
        self._wake_ups.pop(worker, None)
        if self._called is worker:
            self._called = None
        if not worker.cancelled() and (fault := worker.exception()) is not None:
            log.error("a worker ended", exc_info=fault)
            self._on_fault(fault)
        self._on_end()

    def cancel_idle(self) -> None:
        """Cancel all workers whose request is not in flight."""
        self._idle_timer = None
        for worker in self._all - self.sending:
            worker.cancel()

    def cancel_idle_soon(self) -> None:
        """Cancel the idle workers in a while, unless one is called before.

        So an executor that nobody stops leaves no task behind.
        """
        if self._idle_timer is None:
            loop = asyncio.get_running_loop()
            self._idle_timer = loop.call_later(IDLE_S, self.cancel_idle)

    async def stop(self, grace_s: float | None) -> None:
        """End all workers.

        Args:
            grace_s: Seconds in which requests in flight may still come back; None for as long as
                they take. The other workers are cancelled at once.
        """
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self.cancel_idle()
        me = asyncio.current_task()
        sending = self.sending - {me}
        if sending:
            _, late = await asyncio.wait(
                sending, timeout=None if grace_s is None else max(grace_s, 0.001)
            )
            for worker in late:
                worker.cancel()
        others = self._all - {me}
        if others:
            await asyncio.wait(others)
        self._wake_ups.clear()
        self._called = None
