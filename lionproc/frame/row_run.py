"""Feeds rows to the engine, lets equal rows share a request, and collects the answers.

More than 400 lines because a row's whole way is here, in at a leg, on to others and out into the
store. What is decided on it is decided elsewhere: `steps.py`, `recall.py`, `calibrating.py`,
`votes.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any

from lionproc.engine.blocking_work import in_own_thread
from lionproc.engine.budget_group import BudgetGroup
from lionproc.engine.dispatcher import Dispatcher
from lionproc.engine.journal import Entry, Journal
from lionproc.engine.replay import Replay
from lionproc.engine.request import Event
from lionproc.engine.run import Run
from lionproc.engine.stats import RunStats
from lionproc.errors import CallError, ConfigurationError, Kind, TargetError, pass_on_interrupt
from lionproc.frame.arrivals import Arrivals
from lionproc.frame.assemble import Missing
from lionproc.frame.bought import Bought
from lionproc.frame.calibrating import Calibration, gold_of
from lionproc.frame.extremes import Extremes
from lionproc.frame.in_parts import in_parts
from lionproc.frame.kept_votes import KeptVotes
from lionproc.frame.legs import BACKLOG, Leg, legs_of, route_of
from lionproc.frame.members import Members
from lionproc.frame.options import Options
from lionproc.frame.part_writer import PartWriter
from lionproc.frame.plan import Plan, Rendered
from lionproc.frame.portions import PORTION_ROWS
from lionproc.frame.read_once import read_once
from lionproc.frame.recall import Recalled, asked_too, recall
from lionproc.frame.row_store import CACHED, SKIPPED, WAITING
from lionproc.frame.sample import sample_of
from lionproc.frame.stage import Stage
from lionproc.frame.stood import Stood, StoodKeys, written
from lionproc.frame.votes import Ballots, Verdict
from lionproc.frame.with_answers import store_of
from lionproc.model.as_json import plain, plain_field
from lionproc.model.became import what_became
from lionproc.model.call import ModelCall, RequestBuilder
from lionproc.model.cascade import Cascade
from lionproc.model.connection import Connection
from lionproc.model.steps import Cascaded, Found, Outcome
from lionproc.model.wire import mask_together

LOOK_S = 0.2  # whether a run has stopped in which a threshold is waited for
VOTED_KEYS = 10_000  # of rows that are remembered, so that those that are equal keep the same once


class RowRun(Run):
    """A run over the rows of a plan: it feeds the engine and fills a store.

    It has more than 25 methods because a row comes in, goes from leg to leg and comes out in many
    small steps, each of which a subclass may see; where it goes is decided in `steps.py`.

    Args:
        plan: The run.
        before: Another run of this plan, whose answers it begins with.
        group: The runs that share its budget; None for it alone.

    Attributes:
        run_id: What the run is called, where it has a name.
        in_other_words: Whether some rows were asked in other words than others.
    """

    run_id: str = ""

    def __init__(
        self, plan: Plan, before: RowRun | None = None, group: BudgetGroup | None = None
    ) -> None:
        self._plan = plan
        options = plan.options
        self._legs = legs_of(plan.stages)
        models = {id(leg.model): leg.model for leg in self._legs}
        ways = {number: model.connect() for number, model in models.items()}
        mask_together(way.wire for way in ways.values())
        self._connections = [ways[id(leg.model)] for leg in self._legs]
        self._builders = [
            self._builder(plan.stages[leg.stage], leg.leaf, connection)
            for leg, connection in zip(self._legs, self._connections, strict=True)
        ]
        # Each leg looks for answers on a thread of its own, at itself and at those after it.
        self._read_once = {leg.number: read_once(leg.steps.count) for leg in self._legs}
        for leg, builder in zip(self._legs, self._builders, strict=True):
            builder.for_others = leg.is_shared
            builder.elsewhere = leg.steps.elsewhere(leg.leaf)
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
                routes=[
                    route_of(leg, plan.stages[leg.stage], connection)
                    for leg, connection in zip(self._legs, self._connections, strict=True)
                ],
                journal=journal,
                retry=options.retry,
                budget=options.budget,
                since=_since(journal, before, options),
                limits=options.limits,
                before=before,
                group=group,
            )
        except BaseException:
            journal.close()
            raise
        self._store = store_of(plan, self.run_id)
        self._ballots = Ballots(plan.stages, plan.stages_of_outputs, plan.rows)
        self._staged = plan.staged
        # The first one's is not used.
        self._arrivals = [Arrivals[int](PORTION_ROWS) for _ in plan.stages]
        self._handed = [Arrivals[Sequence[tuple[int, ModelCall]]](PORTION_ROWS) for _ in self._legs]
        self._at: dict[int, Leg] = {}  # of rows that are not at the first leg of their stage
        self._first_legs = [leg for leg in self._legs if leg.leaf == 0]
        self._members = Members(self._legs, self._connections)
        self._calibrations = self._to_calibrate(before)
        self._followers: dict[int, list[int]] = {}  # rows that share the answer of an earlier one
        self._stand_again = set[int]()  # rows whose votes stand as it is kept
        self._voted_on: bytes | None = None  # the question that was the last one to be voted on
        self._voted_keys = set[bytes]()  # of rows lately, for equal ones keep the same
        self._given_up = 0  # stopped while they were in flight
        self._parts = self._part_writer()
        self._bought = Bought(by_row=options.details)
        self._slowest, self._dearest = Extremes(), Extremes()
        if before is not None:
            self._bought.take_over(before._bought, before._store.is_open)
            for place in self._store.take_over(before._store):
                self._had(place)

    def _builder(self, stage: Stage, leaf: int, connection: Connection) -> RequestBuilder:
        """What makes the questions of a stage for one of its models."""
        return stage.builder(connection, leaf)

    def _to_calibrate(self, before: RowRun | None) -> dict[int, Calibration]:
        """The cascades whose threshold this run finds, by stage; an earlier run may have found it."""
        made = {}
        for leg in self._first_legs:
            model = self._plan.stages[leg.stage].model
            if not isinstance(model, Cascade) or model.target is None:
                continue
            if self._plan.stages[leg.stage].votes > 1:
                raise ConfigurationError(
                    "A Cascade with target= goes by log-probabilities: leave votes= out, or give "
                    "the Cascade below=."
                )
            assert isinstance(leg.steps, Cascaded)  # noqa: S101  (those of a cascade)
            known = None if before is None else before._calibrations.get(leg.stage)
            if known is not None and known.threshold is not None and known.model is model:
                leg.steps.below = known.threshold.below
                made[leg.stage] = known
            else:
                places = self._plan.places_of(leg.stage)
                shape = self._plan.stages[leg.stage].answer.shape
                gold = gold_of(model, self._plan.frame, places, shape)
                going_on = known if known is not None and known.model is model else None
                if going_on is not None:
                    sample = going_on.sample
                else:
                    open_ = (p for p in places if before is None or before._store.is_open(p))
                    able = [place for place in open_ if gold is None or place in gold]
                    sample = sample_of(self._plan, able, model.sample)
                made[leg.stage] = Calibration(model, leg.steps, sample, gold, going_on)
        return made

    def _legs_at(self, stage: int) -> list[Leg]:
        """The legs of a stage, one for each of its models."""
        return [leg for leg in self._legs if leg.stage == stage]

    def _builders_at(self, stage: int) -> list[RequestBuilder]:
        """What makes the questions of a stage, for each of its models."""
        return [self._builders[leg.number] for leg in self._legs_at(stage)]

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
        legs = zip(self._legs, dispatchers, strict=True)
        feeds = [asyncio.create_task(self._feed_leg(leg, d)) for leg, d in legs]
        try:
            await asyncio.gather(*feeds)
        finally:
            for feed in feeds:
                feed.cancel()

    async def _feed_leg(self, leg: Leg, dispatcher: Dispatcher) -> None:
        try:
            await self._feed_calls(leg, dispatcher)
            dispatcher.is_fed = True
        finally:
            self._handed[leg.number].abandon()
        if leg.number + 1 < len(self._legs):
            await dispatcher.idle.wait()  # then nothing more comes out of this leg
            following = self._legs[leg.number + 1]
            if following.leaf:
                await self._until_calibrated(following, dispatcher)
                self._handed[following.number].close()
            else:
                self._arrivals[following.stage].close()

    async def _feed_calls(self, leg: Leg, dispatcher: Dispatcher) -> None:
        async for calls in self._calls(leg):
            if dispatcher.fatal is not None:
                break
            if leg.leaf == 0:  # who was handed on has its place already
                calls = list(self._ballots.each(calls))  # noqa: PLW2901
            fresh = self._fresh(dispatcher, calls)
            # Whoever was under way a moment ago and is not any more has been journaled since.
            recalled = await asyncio.to_thread(self._recall, leg, dispatcher.replay, fresh)
            for row in recalled:
                if row.stands:
                    self._stand_again.add(self._ballots.place_of(row.event.tag))
                for other in row.before:
                    self._answered_before(leg.stage, other)
                if row.leg is leg and not row.event.done:
                    await self._ask(dispatcher, row.event)
                else:
                    self._begin_at(row.leg, row.event)
            for further in self._handed[leg.number + 1 :]:
                await further.few(BACKLOG)  # nothing is taken up much sooner than it can go on

    async def _until_calibrated(self, leg: Leg, dispatcher: Dispatcher) -> None:
        """Before the large model's leg is closed: wait for the threshold that decides what it gets."""
        calibration = self._calibrations.get(leg.stage)
        if calibration is None or not self._is_last_of_cascade(leg):
            return
        calibration.small_is_over()
        self._calibrate(calibration)
        while not (calibration.settled.is_set() or dispatcher.permission.stopping):
            with suppress(TimeoutError):
                await asyncio.wait_for(calibration.settled.wait(), LOOK_S)

    @staticmethod
    def _is_last_of_cascade(leg: Leg) -> bool:
        return isinstance(leg.steps, Cascaded) and leg.leaf == leg.steps.starts[-1]

    def _calibrate(self, calibration: Calibration) -> None:
        """Find the threshold once the sample is complete, and let those go on who wait for it."""
        if not calibration.is_complete:
            return
        dispatchers = self._routes.dispatchers
        if any(each.permission.stopping for each in dispatchers):
            calibration.close()
            return
        try:
            calibration.find()
        except TargetError as error:
            dispatchers[0].stop_run(error)
            return
        held, calibration.held = calibration.held, []
        for event, sharing in held:
            self._passes(event, sharing)

    def _answered_before(self, stage: int, event: Event) -> None:
        """A kept answer of a smaller model, where that of a larger one is kept too."""
        self._paid_before([event.tag], event)
        calibration = self._calibrations.get(stage)
        if calibration is not None and calibration.is_open:
            leg = self._legs_at(stage)[0]
            calibration.small(event.tag, event, self._what_became(leg, event).confidence)

    def _begin_at(self, leg: Leg, event: Event) -> None:
        """A row enters a stage where the journal has what answers it, or leads there."""
        if event.done:
            if leg.leaf:
                self._at[event.tag] = leg
            self._took(event)
        else:
            self._hand_on(leg, (event.tag, event.first))

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
            if self._store.status(self._ballots.place_of(place)) != WAITING:
                continue  # an earlier job has it
            if isinstance(call, ModelCall):
                if not self._join(dispatcher, place, call):
                    fresh.append((place, call))
            else:
                self._without_call(place, call)
        return fresh

    async def _calls(self, leg: Leg) -> AsyncIterator[list[tuple[int, Rendered]]]:
        """What rows become at a leg, some of them at a time."""
        plan, builder = self._plan, self._builders[leg.number]
        if leg.leaf:
            async for handed in self._handed[leg.number].batches():
                yield await asyncio.to_thread(asked_too, builder, handed)
            return
        beside = in_own_thread if plan.stages[leg.stage].calls_functions else asyncio.to_thread
        if leg.stage == 0:
            first = plan.first_calls(builder)
            while (calls := await beside(next, first, None)) is not None:
                yield calls
            return
        async for rows in self._arrivals[leg.stage].batches():
            further = plan.in_portions(leg.stage, builder, rows, self._answer)
            while (calls := await beside(next, further, None)) is not None:
                yield calls

    def _answer(self, stage: int, row: int, field: str | None = None) -> Any:
        """What a stage answered for a row; see `Answers`."""
        try:
            value = self._store.value(self._plan.first_place(stage) + row)
            return plain(value) if field is None else plain_field(value, field)
        except BaseException as error:
            pass_on_interrupt(error)  # a property of the user's model may raise anything
            name = self._plan.stages[stage].name
            why = f"the answer of stage {name!r} cannot be written as JSON ({type(error).__name__})"
            raise CallError(Kind.PROMPT, why) from error

    def _without_call(self, place: int, reason: Missing | CallError) -> None:
        if isinstance(reason, CallError):
            self._fill_row(place, Verdict(error=reason), bears=False)
        else:
            self._store.skip(place)
            self._skipped += 1
            self._settled(place)

    def _join(self, dispatcher: Dispatcher, place: int, call: Any) -> bool:
        """Let a row share the answer, or the failure, of an equal one in this run."""
        if dispatcher.coalescing.is_new(call.key):
            return False
        event = dispatcher.coalescing.live(call.key)
        if event is not None:
            self._followers.setdefault(event.tag, []).append(place)
            return True
        error = dispatcher.coalescing.failure(call.key)
        if error is not None:
            stage = self._leg_of(place).stage
            following = self._following(place, self._of_vote(stage, Outcome(error.kind)))
            if following is None:
                self._fail(place, error, call)
            else:
                self._hand_on(following, (place, call))
            return True
        return False

    def _recall(
        self, leg: Leg, replay: Replay, fresh: list[tuple[int, ModelCall]]
    ) -> list[Recalled]:
        """Where calls begin; who was handed on to a leg begins there."""
        rows = [list(votes) for _, votes in groupby(fresh, self._row_of)]
        found = in_parts(rows, partial(self._recall_some, leg, replay))
        for each in found:
            if each.event.done and each.event.error is None:
                self._connections[each.leg.number].endpoint.proven = True
        return found

    def _row_of(self, vote: tuple[int, ModelCall]) -> int:
        return self._ballots.place_of(vote[0])

    def _recall_some(
        self,
        leg: Leg,
        replay: Replay,
        rows: Sequence[Sequence[tuple[int, ModelCall]]],
        most: int | None,
    ) -> list[Recalled]:
        fresh = [vote for votes in rows for vote in votes]
        if not fresh:
            return []
        stage, calibration = self._plan.stages[leg.stage], self._calibrations.get(leg.stage)

        def find(keys: list[bytes]) -> dict[bytes, Entry]:
            kept = self._journal.find(keys, self._since, self._until, most)
            self._plan.found(leg.stage, -(-len(fresh) // stage.votes), kept)
            return kept

        def begins(place: int, found: Found) -> tuple[int, bool]:
            if calibration is not None:
                return calibration.begins(place, found)
            return leg.steps.kept(found)

        if stage.votes > 1:
            legs = self._legs_at(leg.stage)
            builders = self._builders_at(leg.stage)
            votes = KeptVotes(stage, leg.steps, builders, replay, self._read_once[leg.number])
            return votes.recall(fresh, leg, legs, find=find, row_of=self._ballots.place_of)
        legs = [leg] if leg.leaf else self._legs_at(leg.stage)
        return recall(
            fresh,
            legs,
            [self._builders[each.number] for each in legs],
            find=find,
            replay=replay,
            read=self._read_once[leg.number],
            what_became=self._what_became,
            begins=begins,
        )

    # -- out --------------------------------------------------------------------------------

    def _leg_of(self, place: int) -> Leg:
        """Where a row is asked now."""
        at = self._at.get(place)
        return self._first_legs[self._plan.stage_at(place)] if at is None else at

    def _what_became(self, leg: Leg, event: Event) -> Outcome:
        """What became of a row at a leg."""
        return self._of_vote(leg.stage, what_became(event, sure=leg.steps.unsure(leg.leaf)))

    def _of_vote(self, stage: int, outcome: Outcome) -> Outcome:
        """What became of a question, where it may be one of several votes on a row."""
        return replace(outcome, of_vote=self._plan.stages[stage].votes > 1)

    def _following(self, place: int, outcome: Outcome) -> Leg | None:
        """The leg at which a row is asked next, None where the outcome stands."""
        leg = self._leg_of(place)
        leaf = leg.steps.after(leg.leaf, outcome)
        return None if leaf is None else self._legs[leg.number - leg.leaf + leaf]

    def _hand_on(self, leg: Leg, *votes: tuple[int, Any]) -> None:
        """A row is asked at another leg; votes on it stay together, for together they may decide."""
        for tag, _ in votes:
            self._at[tag] = leg
        self._handed[leg.number].add(votes)

    def _paid_before(self, places: Sequence[int], event: Event) -> None:
        """What rows that share a question have taken at a leg whose answer they do not keep."""
        first = self._ballots.place_of(places[0])
        bears = event.error is not None or self._bought.add(
            event.first.key, event.usd, first, kept=event.cached
        )
        for number, place in enumerate(places):
            row = self._ballots.place_of(place)
            self._store.add(row, event, bears=bears and number == 0)

    def _took(self, event: Event) -> None:
        self._passes(event, self._followers.pop(event.tag, ()))

    def _passes(self, event: Event, sharing: Sequence[int]) -> None:
        """Rows that share what came go on to another leg, wait for a threshold, or have it."""
        leg = self._leg_of(event.tag)
        if not leg.is_shared:
            self._keep(event, sharing)
            return
        outcome, places = self._what_became(leg, event), [event.tag, *sharing]
        following = leg.steps.after(leg.leaf, outcome)
        calibration = self._calibrations.get(leg.stage)
        waits = False
        if calibration is not None:
            following, waits = calibration.came(leg.leaf, places, event, outcome, following)
        if following is not None:
            self._paid_before(places, event)
            for place in places:
                self._hand_on(self._legs[leg.number - leg.leaf + following], (place, event.first))
        elif not waits:
            if event.error is None:
                self._members.count(leg, 1 + len(sharing), outcome.confidence)
                event.model = self._members.who(leg, event.model)
            self._keep(event, sharing)
        if calibration is not None:
            self._calibrate(calibration)

    def _keep(self, event: Event, sharing: Sequence[int]) -> None:
        """What came is what these rows have."""
        first = self._ballots.place_of(event.tag)
        bears = event.error is not None or self._bought.add(
            event.first.key, event.usd, first, rows=1 + len(sharing), kept=event.cached
        )
        if event.attempts and not event.cached:
            self._slowest.add(event.seconds, event)
            if event.usd:
                self._dearest.add(event.usd, event)
        self._fill(event.tag, event, bears=bears)
        for place in sharing:
            self._fill(place, event, bears=False)

    @property
    def stats(self) -> RunStats:
        """The run at this moment."""
        stats = super().stats
        members = self._members.used(self._routes, self._plan.stages)
        return replace(stats, members=members) if members else stats

    def _usd_of_answers(self) -> float | None:
        return self._bought.usd

    def _fill(self, tag: int, came: Event | CallError, *, bears: bool, asked: Any = None) -> None:
        """A row has an answer or cannot have one, or one of the votes on it."""
        if self._ballots.once and isinstance(came, Event):
            self._fill_row(tag, came, bears=bears)
            return
        said = self._ballots.cast(tag, came, bears=bears)
        asked = came.first if isinstance(came, Event) else asked
        if asked is not None and isinstance(said, Verdict):
            said = self._voted(self._ballots.place_of(tag), asked, said)
        if said is not None:
            place = self._ballots.place_of(tag)
            self._fill_row(place, said, bears=bears or not isinstance(said, Event))

    def _voted(self, place: int, asked: ModelCall, said: Verdict) -> Verdict | None:
        """What all votes say is sure enough, or they are all cast again at the next model.

        Args:
            place: That of their answer.
            asked: What was asked for one of them.
            said: What they say together.

        Returns:
            What they say; None where another model is asked.
        """
        # Some may have been cast further on, where a model could not; whichever came last.
        tags = self._ballots.tags(place)
        leg = max((self._leg_of(tag) for tag in tags), key=lambda each: each.leaf)
        leaf = leg.steps.after(leg.leaf, said.outcome)
        if leaf is None or asked.asked is None:
            some_failed = any(isinstance(came, Kind) for came in said.came)
            if said.error is None and (leg.is_shared or some_failed):
                self._keep_voted(place, asked, said)
            return said
        self._store.add(place, said)
        self._ballots.ties -= said.tied  # the next model decides
        following = self._legs[leg.number - leg.leaf + leaf]
        self._hand_on(following, *((tag, asked.as_vote(vote)) for vote, tag in enumerate(tags)))
        return None

    def _keep_voted(self, place: int, asked: ModelCall, said: Verdict) -> None:
        """Keep how the votes on a row stood that have given it its answer."""
        if place in self._stand_again:
            self._stand_again.remove(place)
            return
        legs = [self._leg_of(tag) for tag in self._ballots.tags(place)]
        votes = [Stood(leg.leaf, came) for leg, came in zip(legs, said.came, strict=True)]
        if said.cached and all(vote.leaf == 0 and vote.answered for vote in votes):
            return  # what else the journal has of it was asked by others
        if asked.key == self._voted_on:
            return  # one of those that share its request
        self._voted_on = asked.key
        leg, builders = legs[0], self._builders_at(legs[0].stage)
        keys = StoodKeys(self._plan.stages[leg.stage], leg.steps, builders)
        first = asked.as_first_vote()
        if leg.is_shared:
            first = builders[0].ask(asked.asked or (), asked.occurrence)
        key = keys.of(first)
        if key not in self._voted_keys:
            if len(self._voted_keys) >= VOTED_KEYS:
                self._voted_keys.clear()
            self._voted_keys.add(key)
            self._routes.dispatchers[leg.number].replay.keep_voted(key, written(votes))

    def _fill_row(self, place: int, event: Event | Verdict, *, bears: bool) -> None:
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
        following = self._plan.next_place(place) if self._staged else None
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

    def _fail(self, tag: int, error: CallError, asked: Any = None) -> None:
        self._fill(tag, error, bears=False, asked=asked)

    def _count_failure(self, place: int, error: CallError) -> None:
        if error.kind in {Kind.NOT_SENT, Kind.CANCELLED}:
            self._given_up += error.kind is Kind.CANCELLED
            return  # still to be asked, so its chunk is not whole
        self._count_error(error.kind)
        self._settled(place)

    def _settled(self, place: int) -> None:
        if self._parts is not None:
            self._parts.settled(place % self._plan.rows)


def _since(journal: Journal, before: RowRun | None, options: Options) -> int:
    """From which mark on the journal answers rows: what an earlier part of a run bought is its own."""
    if before is not None:
        return before._since
    if options.resume:
        return 0
    return journal.mark() if options.since is None else options.since.of(journal)
