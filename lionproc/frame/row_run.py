"""Rows on their way: what they become, who shares an answer, and what comes back."""

from __future__ import annotations

import asyncio
from typing import Any

from lionproc.engine.dispatcher import Dispatcher
from lionproc.engine.journal import Journal
from lionproc.engine.replay import Replay
from lionproc.engine.request import Event
from lionproc.engine.run import Run
from lionproc.errors import CallError, Kind
from lionproc.frame.assemble import Missing
from lionproc.frame.part_writer import PartWriter
from lionproc.frame.plan import Plan
from lionproc.frame.row_store import CACHED, WAITING, RowStore
from lionproc.model.call import ModelCall, RequestBuilder


class RowRun(Run):
    """A run over the rows of a plan: it feeds the engine and fills a store.

    Args:
        plan: The run.
        before: Another run of this plan, whose answers it begins with.
    """

    def __init__(self, plan: Plan, before: RowRun | None = None) -> None:
        self._plan = plan
        options = plan.options
        connection = plan.model.connect()
        self._connection = connection
        self._recipe = RequestBuilder(connection, plan.model.body_params, plan.answer)
        self._fingerprint = plan.fingerprint(self._recipe)
        self._check()
        limiter = connection.limiter
        if plan.model.executor is not None:
            limiter = plan.model.executor.limiter
        journal = Journal.open(":memory:" if options.journal is False else options.journal)
        try:
            super().__init__(
                rows=plan.total,
                limiter=limiter,
                journal=journal,
                retry=options.retry,
                budget=options.budget,
                price=connection.price,
                since=0 if options.resume else journal.mark(),
                limits=options.limits,
            )
        except BaseException:
            journal.close()
            raise
        names = [str(output.into or "") for output in plan.outputs]
        self._store = RowStore(plan.frame.index, names, where="into", details=options.details)
        self._followers: dict[int, list[int]] = {}  # rows that share the answer of an earlier one
        self._given_up = 0  # stopped while they were in flight
        self._parts = self._part_writer()
        if before is not None:
            for place in self._store.take_over(before._store):
                self._had(place)

    def _check(self) -> None:
        """Refuse what cannot work, before anything is opened."""

    def _part_writer(self) -> PartWriter | None:
        """What writes rows as soon as they are settled, if anything does."""
        return None

    def _had(self, place: int) -> None:
        """What an earlier run had is counted as from the journal."""
        if self._store.status(place) == CACHED:
            self._cached += 1
        else:
            self._skipped += 1
        if self._parts is not None:
            self._parts.had(place % self._plan.rows)

    async def _open(self) -> None:
        """The connection opens with the first request."""

    async def _close(self) -> None:
        await self._connection.wire.close()

    # -- in ---------------------------------------------------------------------------------

    async def _feed(self, dispatcher: Dispatcher) -> None:
        plan, recipe = self._plan, self._recipe
        for start, stop in plan.batches():
            if dispatcher.fatal is not None:
                return
            made = await asyncio.to_thread(plan.calls, recipe, start, stop)
            fresh: list[tuple[int, ModelCall]] = []
            for place, call in made:
                if self._store.status(place) != WAITING:
                    continue  # an earlier job has it
                if isinstance(call, ModelCall):
                    if not self._join(dispatcher, place, call):
                        fresh.append((place, call))
                else:
                    self._without_call(place, call)
            # Whoever was under way a moment ago and is not any more has been journaled since.
            events = await asyncio.to_thread(self._recall, dispatcher.replay, fresh)
            for event in events:
                if event.done:
                    self._took(event)
                elif not (
                    self._join(dispatcher, event.tag, event.first) or dispatcher.offer(event)
                ):
                    await dispatcher.put(event)

    def _without_call(self, place: int, reason: Missing | CallError) -> None:
        if isinstance(reason, CallError):
            self._fail(place, reason)
        else:
            self._store.skip(place)
            self._skipped += 1
            self._settled(place)

    def _join(self, dispatcher: Dispatcher, place: int, call: Any) -> bool:
        """Let a row share the answer, or the failure, of an equal one in this run."""
        event = dispatcher.coalescing.live(call.key)
        if event is not None:
            self._followers.setdefault(event.tag, []).append(place)
            return True
        error = dispatcher.coalescing.failure(call.key)
        if error is not None:
            self._fail(place, error)
            return True
        return False

    def _recall(self, replay: Replay, fresh: list[tuple[int, ModelCall]]) -> list[Event]:
        """Events for calls, those that the journal can answer already settled."""
        if not fresh:
            return []
        kept = self._journal.find(
            [call.key for _, call in fresh if call.key is not None], self._since
        )
        events = []
        for place, call in fresh:
            event = Event(call, tag=place)
            entry = None if call.key is None else kept.get(call.key)
            if entry is not None and replay.answer(event, entry):
                event.finish()
                self._connection.endpoint.proven = True
            events.append(event)
        return events

    # -- out --------------------------------------------------------------------------------

    def _took(self, event: Event) -> None:
        self._fill(event.tag, event)
        for place in self._followers.pop(event.tag, ()):
            self._fill(place, event)

    def _fill(self, place: int, event: Event) -> None:
        self._store.put(place, event)
        if event.error is not None:
            self._count_failure(place, event.error)
            return
        if event.cached:
            self._cached += 1
        else:
            self._answered += 1
        if self._parts is not None:
            self._settled(place)

    def _fail(self, place: int, error: CallError) -> None:
        self._store.fail(place, error)
        self._count_failure(place, error)

    def _count_failure(self, place: int, error: CallError) -> None:
        if error.kind in {Kind.NOT_SENT, Kind.CANCELLED}:
            self._given_up += error.kind is Kind.CANCELLED
            return  # still to be asked, so its chunk is not whole
        self._count_error(error.kind)
        self._settled(place)

    def _settled(self, place: int) -> None:
        if self._parts is not None:
            self._parts.settled(place % self._plan.rows)
