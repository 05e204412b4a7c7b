"""Feeds rows to the engine, lets equal rows share a request, and collects the answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from lionproc.engine.dispatcher import Dispatcher
from lionproc.engine.journal import Journal
from lionproc.engine.limiter_chain import LimiterChain
from lionproc.engine.replay import Replay
from lionproc.engine.request import Event
from lionproc.engine.routes import Route
from lionproc.engine.run import Run
from lionproc.errors import CallError, Kind, pass_on_interrupt
from lionproc.frame.arrivals import Arrivals
from lionproc.frame.assemble import Missing
from lionproc.frame.bought import Bought
from lionproc.frame.extremes import Extremes
from lionproc.frame.part_writer import PartWriter
from lionproc.frame.plan import Plan, Rendered
from lionproc.frame.portions import PORTION_ROWS
from lionproc.frame.row_store import CACHED, SKIPPED, WAITING
from lionproc.frame.stage import Stage
from lionproc.frame.with_answers import store_of
from lionproc.model.as_json import plain
from lionproc.model.call import ModelCall, RequestBuilder
from lionproc.model.connection import Connection


class RowRun(Run):
    """A run over the rows of a plan: it feeds the engine and fills a store.

    Args:
        plan: The run.
        before: Another run of this plan, whose answers it begins with.
        beside: A run at the same time, whose budget is that of both.

    Attributes:
        run_id: What the run is called, where it has a name.
        in_other_words: Whether some rows were asked in other words than others.
    """

    run_id: str = ""

    def __init__(
        self, plan: Plan, before: RowRun | None = None, beside: RowRun | None = None
    ) -> None:
        self._plan = plan
        options = plan.options
        models = {id(stage.model): stage.model for stage in plan.stages}
        ways = {number: model.connect() for number, model in models.items()}
        self._connections = [ways[id(stage.model)] for stage in plan.stages]
        self._builders = [
            self._builder(stage, connection)
            for connection, stage in zip(self._connections, plan.stages, strict=True)
        ]
        self._fingerprint = plan.fingerprint(self._builders)
        # Parts of one frame are of one run, whoever answers the rest of it.
        self._saved_as: str = self._fingerprint if before is None else before._saved_as
        self.in_other_words: bool = before is not None and (
            before.in_other_words or before._plan.outputs != plan.outputs
        )
        self._check()
        journal = Journal.open(":memory:" if options.journal is False else options.journal)
        try:
            super().__init__(
                rows=plan.total,
                routes=list(map(_route, plan.stages, self._connections)),
                journal=journal,
                retry=options.retry,
                budget=options.budget,
                since=0 if options.resume else journal.mark(),
                limits=options.limits,
                before=before,
                beside=beside,
            )
        except BaseException:
            journal.close()
            raise
        self._store = store_of(plan, self.run_id)
        self._arrivals = [
            Arrivals(PORTION_ROWS) for _ in plan.stages
        ]  # the first one's is not used
        self._followers: dict[int, list[int]] = {}  # rows that share the answer of an earlier one
        self._given_up = 0  # stopped while they were in flight
        self._parts = self._part_writer()
        self._bought = Bought()
        self._slowest, self._dearest = Extremes(), Extremes()
        if before is not None:
            self._bought.take_over(before._bought)
            for place in self._store.take_over(before._store):
                self._had(place)

    def _builder(self, stage: Stage, connection: Connection) -> RequestBuilder:
        """What makes the questions of a stage."""
        return RequestBuilder(connection, stage.model.body_params, stage.answer)

    def _check(self) -> None:
        """Refuse what cannot work, before anything is opened."""

    def _part_writer(self) -> PartWriter | None:
        """What writes rows as soon as they are settled, if anything does."""
        return None

    def _had(self, place: int) -> None:
        """What an earlier run had is counted as from the journal."""
        if self._store.status(place) == SKIPPED:
            self._skipped += 1
        elif self._goes_on(place):
            return
        else:
            self._cached += 1
        if self._parts is not None:
            self._parts.had(place % self._plan.rows)

    async def _open(self) -> None:
        """The connection opens with the first request."""

    async def _close(self) -> None:
        for connection in {id(each): each for each in self._connections}.values():
            await connection.wire.close()

    # -- in ---------------------------------------------------------------------------------

    async def _feed(self, dispatchers: Sequence[Dispatcher]) -> None:
        stages = [asyncio.create_task(self._feed_stage(n, d)) for n, d in enumerate(dispatchers)]
        try:
            await asyncio.gather(*stages)
        finally:
            for stage in stages:
                stage.cancel()

    async def _feed_stage(self, number: int, dispatcher: Dispatcher) -> None:
        async for calls in self._calls(number):
            if dispatcher.fatal is not None:
                break
            fresh = self._fresh(dispatcher, calls)
            # Whoever was under way a moment ago and is not any more has been journaled since.
            events = await asyncio.to_thread(self._recall, number, dispatcher.replay, fresh)
            for event in events:
                if event.done:
                    self._took(event)
                else:
                    await self._ask(dispatcher, event)
        if number + 1 < len(self._plan.stages):
            await dispatcher.idle.wait()  # then nothing more comes out of this stage
            self._arrivals[number + 1].close()

    async def _ask(self, dispatcher: Dispatcher, event: Event) -> None:
        """Send what the journal could not answer, unless an equal row asks it already."""
        if not (self._join(dispatcher, event.tag, event.first) or dispatcher.offer(event)):
            await dispatcher.put(event)

    def _fresh(
        self, dispatcher: Dispatcher, calls: list[tuple[int, Rendered]]
    ) -> list[tuple[int, ModelCall]]:
        """The calls that nobody asks yet; what needs no call of its own is settled."""
        fresh: list[tuple[int, ModelCall]] = []
        for place, call in calls:
            if self._store.status(place) != WAITING:
                continue  # an earlier job has it
            if isinstance(call, ModelCall):
                if not self._join(dispatcher, place, call):
                    fresh.append((place, call))
            else:
                self._without_call(place, call)
        return fresh

    async def _calls(self, number: int) -> AsyncIterator[list[tuple[int, Rendered]]]:
        """What rows become at a stage, some of them at a time."""
        plan, builder = self._plan, self._builders[number]
        if number == 0:
            first = plan.first_calls(builder)
            while (calls := await asyncio.to_thread(next, first, None)) is not None:
                yield calls
            return
        async for rows in self._arrivals[number].batches():
            further = plan.in_portions(number, builder, rows, self._answer)
            while (calls := await asyncio.to_thread(next, further, None)) is not None:
                yield calls

    def _answer(self, stage: int, row: int) -> Any:
        """What a stage answered for a row, as JSON has it.

        Raises:
            CallError: It has no form in JSON; that row cannot go on.
        """
        try:
            return plain(self._store.value(self._plan.first_place(stage) + row))
        except BaseException as error:
            pass_on_interrupt(error)  # a property of the user's model may raise anything
            name = self._plan.stages[stage].name
            why = f"the answer of stage {name!r} cannot be written as JSON ({type(error).__name__})"
            raise CallError(Kind.PROMPT, why) from error

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

    def _recall(
        self, number: int, replay: Replay, fresh: list[tuple[int, ModelCall]]
    ) -> list[Event]:
        """Events for calls, those that the journal can answer already settled."""
        if not fresh:
            return []
        kept = self._journal.find(
            [call.key for _, call in fresh if call.key is not None], self._since, self._until
        )
        events = []
        for place, call in fresh:
            event = Event(call, tag=place)
            entry = None if call.key is None else kept.get(call.key)
            if entry is not None and replay.answer(event, entry):
                event.finish()
                self._connections[number].endpoint.proven = True
            events.append(event)
        return events

    # -- out --------------------------------------------------------------------------------

    def _took(self, event: Event) -> None:
        sharing = self._followers.pop(event.tag, ())
        bears = event.error is not None or self._bought.add(
            event.first.key, event.usd, rows=1 + len(sharing), kept=event.cached
        )
        if event.attempts and not event.cached:
            self._slowest.add(event.seconds, event)
            if event.usd:
                self._dearest.add(event.usd, event)
        self._fill(event.tag, event, bears=bears)
        for place in sharing:
            self._fill(place, event, bears=False)

    def _usd_of_answers(self) -> float | None:
        return self._bought.usd

    def _fill(self, place: int, event: Event, *, bears: bool) -> None:
        self._store.put(place, event, bears=bears)
        if event.error is not None:
            self._count_failure(place, event.error)
            return
        if self._goes_on(place):
            return
        if event.cached and self._all_cached(place):
            self._cached += 1
        else:
            self._answered += 1
        if self._parts is not None:
            self._settled(place)

    def _goes_on(self, place: int) -> bool:
        """Hand a row with its answer to the next stage. False if there is none."""
        following = self._plan.next_place(place)
        if following is None:
            return False
        self._arrivals[self._plan.stage_at(following)].add(place % self._plan.rows)
        return True

    def _all_cached(self, place: int) -> bool:
        """Whether the stages before have their answers from the journal too."""
        if not self._plan.staged:
            return True
        before = range(place % self._plan.rows, place, self._plan.rows)
        return all(self._store.status(other) == CACHED for other in before)

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


def _route(stage: Stage, connection: Connection) -> Route:
    limiter = connection.limiter
    own = None if stage.limits is None else LimiterChain(stage.limits, [limiter])
    return Route(limiter, connection.price, own, connection.executor)
