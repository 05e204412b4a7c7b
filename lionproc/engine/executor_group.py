"""What an executor shows and steers: its own work, and that of the models and services it was given to.

A run or a service has a core of its own inside that executor, because its queue, its journal and its
patience are its own, and an error that stops it stops nobody else. Limits, pause, stop, counts and
lists are those of the executor.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from lionproc.engine import loop as engine_loop
from lionproc.engine.counters import Counters
from lionproc.errors import CallError, RunError

if TYPE_CHECKING:
    from lionproc.engine.dispatcher import Dispatcher
    from lionproc.engine.journal import Journal
    from lionproc.engine.request import Event

STOPPED = (
    "The executor of this model was stopped. What was answered is kept; await executor.start() "
    "and run it again for the rest."
)


class ExecutorGroup:
    """The core of an executor, and the cores of the runs and services inside it.

    They are added and removed on the engine's loop, and read from any thread.

    Args:
        own: The executor's own core.
    """

    def __init__(self, own: Dispatcher) -> None:
        self._own = own
        self._runs: tuple[Dispatcher, ...] = ()  # replaced, never changed: others may read it
        self._services: tuple[Dispatcher, ...] = ()  # likewise
        self.is_stopped = False
        self._left = asyncio.Event()

    def enter(self, run: Dispatcher) -> None:
        """A run begins. Where the executor is stopped, so is the run, before it sends anything."""
        self._join(run)
        self._runs = (*self._runs, run)

    def enter_service(self, service: Dispatcher) -> None:
        """A service begins, which may be idle and goes on after the executor was stopped."""
        self._services = (*self._services, service)
        self._join(service)

    async def start_service(self, service: Dispatcher) -> None:
        """Let a service send; where the executor is stopped, when that is started."""
        if not self.is_stopped:
            await service.start()
        if self.is_stopped:  # perhaps only by now
            service.stop_run(RunError(STOPPED))

    def _join(self, core: Dispatcher) -> None:
        core.history = self._own.history
        core.permission.paused_with(self._own.permission)
        if self.is_stopped:
            core.stop_run(RunError(STOPPED))

    def leave(self, core: Dispatcher) -> None:
        """A run has ended, or a service is gone; what it did stays counted."""
        if core not in self.all[1:]:
            return
        self._runs = tuple(other for other in self._runs if other is not core)
        self._services = tuple(other for other in self._services if other is not core)
        self._own.counters.add(core.counters)
        self._left.set()

    async def start(self) -> None:
        """Let requests be sent."""
        self.is_stopped = False
        await self._own.start()
        if self.is_stopped:  # by now
            await self._own.halt()
        for service in self._services:
            await self.start_service(service)

    async def stop(self, grace_s: float) -> None:
        """Stop the runs and services, too; each keeps what it was answered."""
        self.is_stopped = True
        for core in (*self._runs, *self._services):
            core.stop_run(RunError(STOPPED), grace_s)
        await asyncio.gather(*(each.halt(grace_s) for each in self.all))

    def keep_in(self, journal: Journal | None) -> None:
        """From now on its replies are in another journal, and those of services that had the same."""
        before = self._own.replay.journal
        for core in (self._own, *self._services):
            if core.replay.journal is before:
                core.replay.journal = journal
                engine_loop.call(partial(core.coalescing.keep_in, journal))

    def withdraw(self, event: Event, error: CallError) -> bool:
        """Take an event back, whose ever it is; see `Dispatcher.withdraw`."""
        inside = (each for each in self.all[1:] if _has(each, event))
        return next(inside, self._own).withdraw(event, error)

    async def forward(self) -> None:
        """Wait until everything is finished, the runs included."""
        while self._runs or any(each.open_events > 0 for each in self.all):
            self._left.clear()
            for each in (self._own, *self._services):
                await each.idle.wait()
            if self._runs:
                await self._left.wait()

    @property
    def all(self) -> tuple[Dispatcher, ...]:
        """The cores, the executor's own first."""
        return (self._own, *self._runs, *self._services)

    @property
    def counters(self) -> Counters:
        """What all of them have done, those that have ended included."""
        cores = self.all
        if len(cores) == 1:
            return self._own.counters
        total = Counters()
        for each in cores:
            total.add(each.counters)
        return total

    @property
    def queued(self) -> int:
        """Events that wait to be sent, first or again."""
        return sum(len(each.queue) for each in self.all)

    @property
    def in_flight(self) -> int:
        """Requests on their way."""
        return sum(len(each.workers.sending) for each in self.all)

    def pending_events(self) -> list[Event]:
        """Events that wait to be sent. On the engine's loop."""
        return [event for each in self.all for event in each.queue]

    def status_counts(self) -> dict[str, int]:
        """How many events are in each state. On the engine's loop."""
        states: Counter[str] = Counter(event.state for event in self._own.history)
        processing = self.in_flight + sum(len(each.awaiting_disk) for each in self.all)
        states["processing"] = processing
        under_way = sum(each.open_events for each in self.all)
        states["pending"] = max(under_way - processing, 0)
        return {
            state: states[state]
            for state in ("pending", "processing", "completed", "failed", "cancelled")
        }


def _has(core: Dispatcher, event: Event) -> bool:
    return core.coalescing.live(event.first.key) is event or event in core.queue
