"""One pass over the rows of a run that is foreseen: how many are to be asked, and how large they are."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from lionproc.engine.journal import Entry, Journal
from lionproc.engine.replay import Replay
from lionproc.frame.cacheable import MOST_SAMPLES, FixedPart, fixed_part
from lionproc.frame.kept_votes import KeptVotes
from lionproc.frame.legs import legs_of
from lionproc.frame.plan import Plan
from lionproc.frame.seen import Reservoir
from lionproc.frame.votes import ballots_of
from lionproc.model.call import ModelCall, RequestBuilder

__all__ = ["ToAsk"]


class ToAsk:
    """One pass over all rows: how many are to be asked, and how large their questions are.

    Attributes:
        builder: Makes the questions.
        answered: Rows that the journal answers.
        skipped: Rows that are not asked.
        sizes: How many questions there are, by bytes of text and tokens of media.
        kept: Some that the journal has replies to.
    """

    def __init__(self, plan: Plan, builder: RequestBuilder) -> None:
        self._plan = plan
        self.builder = builder
        self.answered = self.skipped = 0
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.kept = Reservoir()
        self._some: list[ModelCall] = []
        self._asked: set[bytes] = set()

    def with_kept(self, kept: Reservoir) -> ToAsk:
        """The same, judged by these replies."""
        self.kept = kept
        return self

    def ask(self, call: ModelCall) -> None:
        """A question is to be sent, unless an equal one is."""
        if call.key is not None and call.key not in self._asked:
            self._asked.add(call.key)
            self.sizes[call.text_size, call.media_tokens] += 1
            if len(self._some) < MOST_SAMPLES:
                self._some.append(call)

    def through(self, journal: Journal) -> None:
        """Look at every row."""
        resumes, stage = self._plan.options.resume, self._plan.stages[0]
        for made in self._plan.first_calls(self.builder):
            rows: list[list[tuple[bytes, ModelCall]]] = []
            for _, call in made:
                if isinstance(call, ModelCall):
                    ballots = ballots_of(call, stage.votes)
                    rows.append([(each.key, each) for each in ballots if each.key is not None])
                else:
                    self.skipped += 1
            asked = [call.keys_by_way for calls in rows for _, call in calls]
            found = journal.find([key for own in asked for key in own])
            self._plan.found(0, len(made), found)
            kept = {own[0] for own in asked if any(key in found for key in own)}
            if resumes and stage.votes > 1:
                kept |= self._failed_and_decided(rows, kept, found, journal)
            self.answered += sum(resumes and all(key in kept for key, _ in row) for row in rows)
            for key, call in itertools.chain.from_iterable(rows):
                if key in kept:
                    self.kept.add(call)
                if not (key in kept and resumes):
                    self.ask(call)
        self._plan.forget_occurrences()

    def _failed_and_decided(
        self,
        rows: Sequence[Sequence[tuple[bytes, ModelCall]]],
        kept: Collection[bytes],
        found: Mapping[bytes, Entry],
        journal: Journal,
    ) -> set[bytes]:
        """The keys of votes that failed and are not asked again, for the others decide."""
        stage, (leg,) = self._plan.stages[0], legs_of(self._plan.stages)
        replay = Replay(journal, 0, self._plan.options.retry.max_corrections)
        some = (row for row in rows if 0 < sum(key in kept for key, _ in row) < stage.votes)
        asked = [[(vote, [call]) for vote, (_, call) in enumerate(row)] for row in some]
        votes = KeptVotes(stage, leg.steps, replay)
        ways = (way for row in votes.looked_up(asked, found) for way in votes.begin(row))
        failed = (
            way.event for way in ways if way.event is not None and way.event.error is not None
        )
        return {event.first.key for event in failed if event.first.key is not None}

    def fixed(self) -> FixedPart | None:
        """What is the same in all questions."""
        return fixed_part(self._some, self._plan.outputs[0].prompt.literals)
