"""Where the votes on a row begin, by what is kept of them: their answers, and how they failed.

One rule, whatever a model is made of: a row that has its answer keeps it, and nothing is asked. How
its votes stood then is kept with them (`stood.py`), and so they stand again.

Where that is not kept, they go once more the way they went: each from model to model as it was
answered or failed there, and then all of them as they have said together. Where that ends in an
answer, the row has it: a vote that failed on the way stays failed. Where it does not, those are asked
that failed, and those that nobody has asked yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

from lionproc.engine.journal import Entry
from lionproc.engine.replay import Replay
from lionproc.engine.request import Event
from lionproc.errors import CallError, Kind
from lionproc.frame.legs import Leg
from lionproc.frame.read_once import ReadOnce
from lionproc.frame.recall import Recalled
from lionproc.frame.stage import Stage
from lionproc.frame.stood import Stood, StoodKeys, read
from lionproc.frame.votes import Cast, Verdict, counted
from lionproc.model.call import ModelCall, RequestBuilder
from lionproc.model.steps import Outcome, Steps, own_keys

__all__ = ["KeptVotes", "Standing", "Vote"]

_FAILED_THEN = "It failed when the others gave its row the answer."


@dataclass(slots=True)
class Vote:
    """What is kept of a vote.

    Attributes:
        events: Its event at each model; cached where the journal has the answer.
        own: Whether that would be an answer, or a failure, of this model alone; see `own_keys`.
        failed: Where it failed before: that event, which is another one than may be sent after all.
        stood: Where it stood when its row had its answer, as far as that is kept.
        counted_at: When that was, in Unix seconds.
    """

    events: Sequence[Event]
    own: Sequence[bool]
    failed: dict[int, Event] = field(default_factory=dict)
    stood: Standing | None = None
    counted_at: float = 0.0

    def answered(self) -> list[int]:
        """The models that have answered it."""
        return [leaf for leaf, each in enumerate(self.events) if each.cached]

    def before(self, start: int, leaf: int) -> list[Event]:
        """What became of it at the models before one, as far as that is kept."""
        return [
            self.failed.get(other, self.events[other])
            for other in range(start, leaf)
            if other in self.failed or (self.events[other].cached and self.own[other])
        ]

    def as_it_stood(self, stood: Stood) -> Standing | None:
        """Where it stands again; None where its answer is not kept, or is another one by now."""
        leaf, came = stood
        event = self.events[leaf]
        if not isinstance(came, Kind):
            return Standing(leaf, event) if event.cached and event.kept_at == came else None
        known = self.failed.get(leaf)
        if known is None or known.error is None or known.error.kind is not came:
            known = Event(event.first, tag=event.tag)  # somebody has asked it again since
            known.error, known.cached = CallError(came, _FAILED_THEN), True
        return Standing(leaf, known)


class Standing(NamedTuple):
    """Where a vote stands.

    Attributes:
        leaf: At which model.
        event: What became of it there; None where it is to be asked.
    """

    leaf: int
    event: Event | None


class KeptVotes:
    """Finds out where the votes on rows begin. Any thread.

    Args:
        stage: What they are votes on.
        steps: The way through its models.
        builders: What makes the questions of each.
        replay: Reads what is kept.
        once: What was read of each model.
    """

    def __init__(
        self,
        stage: Stage,
        steps: Steps,
        builders: Sequence[RequestBuilder],
        replay: Replay,
        once: Sequence[ReadOnce],
    ) -> None:
        self._stage, self._steps, self._builders, self._replay = stage, steps, builders, replay
        self._once = once
        self._keys = StoodKeys(stage, steps, builders)
        self._starts = steps.starts_of_votes()

    def recall(
        self,
        fresh: Sequence[tuple[int, ModelCall]],
        leg: Leg,
        legs: Sequence[Leg],
        *,
        find: Callable[[list[bytes]], Mapping[bytes, Entry]],
        row_of: Callable[[int], int],
    ) -> list[Recalled]:
        """Look votes up at the models that they may begin at.

        Args:
            fresh: Places, and what they ask at a leg; those on a row follow each other.
            leg: That leg.
            legs: All legs of the stage.
            find: Looks keys up in the journal.
            row_of: The row that a vote is on, by their places.
        """
        rows = []
        for _, row in groupby(fresh, lambda vote: row_of(vote[0])):
            rows.append([(tag, self.asked_of_all(call, leg.leaf)) for tag, call in row])
        made = []
        for votes in self.looked_up(rows, find, leg.leaf):
            for vote, way in zip(votes, self.begin(votes, leg.leaf), strict=True):
                leaf, event = way
                if event is not None:
                    event.finish()
                stands = way is vote.stood
                before = [
                    other
                    for other in vote.before(leg.leaf, leaf)
                    if not stands or other.kept_at <= vote.counted_at  # others asked it later
                ]
                made.append(Recalled(legs[leaf], event or vote.events[leaf], before, stands))
        return made

    def asked_of_all(self, call: ModelCall, leaf: int = 0) -> Sequence[ModelCall]:
        """What is asked of each model, by what is asked of one of them."""
        return [
            call if number == leaf else builder.ask_too(call)
            for number, builder in enumerate(self._builders)
        ]

    def looked_up(
        self,
        rows: Sequence[Sequence[tuple[int, Sequence[ModelCall]]]],
        find: Callable[[list[bytes]], Mapping[bytes, Entry]],
        start: int = 0,
    ) -> list[list[Vote]]:
        """What is kept of the votes on rows: their answers, how they failed, where they stood.

        Args:
            rows: Of each row its votes: their places, and what they ask each of the models.
            find: Looks keys up in the journal.
            start: The first model that matters.
        """
        made = self.answered(rows, find, start)
        unclear = [votes for votes in made if _is_unclear(votes)]
        tried = [
            (vote, leaf, Event(event.first, tag=event.tag))
            for votes in unclear
            for vote in votes
            for leaf, event in enumerate(vote.events)
            if leaf >= start and not event.cached
        ]
        self._replay.fail_again([event for _, _, event in tried])
        for vote, leaf, event in tried:
            if event.error is not None:
                vote.failed[leaf] = event
        if not start:
            self._stood([votes for votes in made if self._may_stand(votes)])
        return made

    def answered(
        self,
        rows: Sequence[Sequence[tuple[int, Sequence[ModelCall]]]],
        find: Callable[[list[bytes]], Mapping[bytes, Entry]],
        start: int = 0,
    ) -> list[list[Vote]]:
        """The answers that are kept of the votes on rows. Takes what `looked_up` does."""
        unknown = set[bytes]()
        for leaf, once in enumerate(self._once[start:], start):
            calls = (asked[leaf] for row in rows for _, asked in row)
            unknown.update(key for call in once.unknown(calls) for key in call.keys_by_way)
        kept = find(list(unknown))
        return [[self._vote(tag, calls, kept, start) for tag, calls in row] for row in rows]

    def _may_stand(self, votes: Sequence[Vote]) -> bool:
        """Whether these are all votes on a row, and some of them are kept."""
        return len(votes) == self._stage.votes and any(vote.answered() for vote in votes)

    def _stood(self, rows: Sequence[Sequence[Vote]]) -> None:
        """Find out where the votes on rows stood that have an answer."""
        calls: Any = [votes[0].events[0].first for votes in rows]
        keys = list(map(self._keys.of, calls))
        kept = self._replay.voted(keys)
        for votes, key in zip(rows, keys, strict=True):
            if (record := kept.get(key)) is None:
                continue
            stood = read(record.stood, votes=len(votes), leaves=self._steps.count)
            for vote, each in zip(votes, stood, strict=False):
                vote.stood, vote.counted_at = vote.as_it_stood(each), record.at

    def _vote(
        self, tag: int, calls: Sequence[ModelCall], kept: Mapping[bytes, Entry], start: int
    ) -> Vote:
        events = [Event(call, tag=tag) for call in calls]
        for event, once in zip(events[start:], self._once[start:], strict=True):
            once.answer(event, _keys(event), kept, self._replay)
        return Vote(events, [bool(keys) for keys in own_keys([_keys(each) for each in events])])

    def begin(self, votes: Sequence[Vote], leaf: int = 0) -> Sequence[Standing]:
        """Where the votes on a row begin.

        Args:
            votes: All of them; or some, if the others share those of an equal row.
            leaf: The model that they were handed on to; 0 where they were not.
        """
        if self._may_stand(votes):
            for ways, passes_over in self._ways(votes, leaf):
                if self._have_answer(votes, ways, passes_over=passes_over):
                    return ways
            for start in self._starts_at(leaf):
                ways = self._stand(votes, start, again=True, came=start == leaf)
                if all(event is not None for _, event in ways):
                    return ways
        return self._stand(votes, leaf, again=True, came=True)

    def _ways(self, votes: Sequence[Vote], leaf: int) -> Iterator[tuple[Sequence[Standing], bool]]:
        """The ways that the votes on a row may have gone, the likeliest first.

        Yields:
            Where they stand, and whether what was not asked was passed over.
        """
        stood = [vote.stood for vote in votes if vote.stood is not None]
        if not leaf and len(stood) == len(votes):
            yield stood, False
        for start in self._starts_at(leaf):
            ways = self._stand(votes, start, passes_over=False, came=start == leaf)
            if all(event is not None and event.error is None for _, event in ways):
                yield ways, False
        for passes_over in (False, True):
            yield self._stand(votes, leaf, passes_over=passes_over, came=True), passes_over
        for start in self._starts_at(leaf):
            yield self._stand(votes, start, passes_over=False, came=start == leaf), False

    def _starts_at(self, leaf: int) -> Sequence[int]:
        return (leaf,) if leaf else self._starts

    def following(self, ways: Sequence[Standing]) -> tuple[int | None, Verdict | None]:
        """Who is asked next by what votes say together, if somebody is, and what they say.

        Args:
            ways: Where they stand. Nothing is said while some are to be asked.
        """
        cast = [Cast(event, bears=False) for _, event in ways if event is not None]
        if len(cast) < len(ways):
            return None, None
        verdict = counted(cast, first_of_equals=self._stage.tie == "first")
        return self._steps.after(max(leaf for leaf, _ in ways), verdict.outcome), verdict

    def _have_answer(
        self, votes: Sequence[Vote], ways: Sequence[Standing], *, passes_over: bool
    ) -> bool:
        """Whether a row has its answer by what is kept, where its votes begin like this."""
        leaf, verdict = self.following(ways)
        while leaf is not None:
            ways = self._stand(votes, leaf, passes_over=passes_over, came=True)
            leaf, verdict = self.following(ways)
        return verdict is not None and verdict.error is None

    def _stand(
        self,
        votes: Sequence[Vote],
        leaf: int,
        *,
        passes_over: bool = True,
        again: bool = False,
        came: bool,
    ) -> list[Standing]:
        """Where votes stand that begin at a model.

        Args:
            votes: Which.
            leaf: The model.
            passes_over: Whether a model that was not asked counts as one that was down, where
                another one was asked that takes over then.
            again: Whether those that failed are asked again.
            came: Whether it is known that they came there, and did not just ask the same elsewhere.
        """

        def stands(vote: Vote, leaf: int, came: bool) -> Standing:
            event = vote.events[leaf]
            known = event if event.cached else vote.failed.get(leaf)
            if not (came or vote.own[leaf]):
                known = None
            following = None
            if known is not None and known.error is None:
                return Standing(leaf, known)
            if known is not None or passes_over:
                kind = Kind.CONNECTION if known is None or known.error is None else known.error.kind
                following = self._steps.after(leaf, Outcome(kind, of_vote=True))
            if following is not None:
                further = stands(vote, following, known is not None)
                if further.event is not None:
                    return further
            return Standing(leaf, None if again or following is not None else known)

        return [stands(vote, leaf, came) for vote in votes]


def _keys(event: Event) -> Sequence[bytes]:
    call: Any = event.first
    keys: Sequence[bytes] = call.keys_by_way
    return keys


def _is_unclear(votes: Sequence[Vote]) -> bool:
    """Whether it matters how those failed that are not answered.

    It does not where nothing is kept, and where the first model has answered all, and no other any.
    """
    answered = [vote.answered() for vote in votes]
    return any(answered) and any(each != [0] for each in answered)
