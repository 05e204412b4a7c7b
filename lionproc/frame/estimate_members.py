"""What a run would cost whose model is made of several: each member foreseen by itself, and added up.

Of a `Fallback` the first member is foreseen, as if it could answer all. Of a `Cascade` each level is:
how many rows go on is taken from the small model's answers that the journal has; where it has too few
of them, all are counted, so that the estimate is rather too high.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lionproc.engine.replay import Replay
from lionproc.engine.request import Event
from lionproc.frame.failed_votes import FailedVotes
from lionproc.frame.legs import legs_of
from lionproc.frame.recall import Recalled
from lionproc.frame.votes import Cast, ballots_of, counted
from lionproc.model.became import what_became
from lionproc.model.call import ModelCall
from lionproc.model.composed import steps_of
from lionproc.model.steps import Cascaded, Outcome, own_keys

if TYPE_CHECKING:
    from lionproc.engine.journal import Journal
    from lionproc.frame.plan import Plan
    from lionproc.frame.to_ask import ToAsk

__all__ = ["MemberLooks", "added_up"]

FEW = 20  # answers of the small model that say too little of how many rows go on
_UNKNOWN = (
    "How many rows go on to the larger model is not known before the small one has answered some: all "
    "are counted. preview(n=50) asks both and shows it."
)


class MemberLooks:
    """One pass over all rows, for all members.

    Args:
        plan: The run.
        looks: What is to be asked of each member for sure; filled.
        perhaps: What is asked of each if a smaller one is not sure; filled.

    Attributes:
        answered: Rows that the journal answers.
        skipped: Rows that are not asked.
    """

    def __init__(self, plan: Plan, looks: Sequence[ToAsk], perhaps: Sequence[ToAsk]) -> None:
        self._plan, self._looks, self._perhaps = plan, looks, perhaps
        self._steps = steps_of(plan.model)
        self._legs = legs_of(plan.stages)
        self._unsure = self._kept_by_small = 0
        self.answered = self.skipped = 0

    def through(self, journal: Journal) -> None:
        """Look at every row."""
        plan, looks = self._plan, self._looks
        replay = Replay(journal, 0, plan.options.retry.max_corrections)
        for made in plan.first_calls(looks[0].builder):
            asked: list[list[list[ModelCall]]] = []  # of rows, of votes, of members
            for _, call in made:
                if isinstance(call, ModelCall):
                    ballots = ballots_of(call, plan.stages[0].votes)
                    asked.append(
                        [[b, *(each.builder.ask_too(b) for each in looks[1:])] for b in ballots]
                    )
                else:
                    self.skipped += 1
            keys = (
                key for row in asked for vote in row for call in vote for key in call.keys_by_way
            )
            kept = journal.find(list(keys))
            plan.found(0, len(made), kept)
            for votes in asked:
                self._row(votes, kept, replay)
        plan.forget_occurrences()

    def _row(
        self, votes: Sequence[Sequence[ModelCall]], kept: Mapping[bytes, Any], replay: Replay
    ) -> None:
        steps = self._steps
        found = [self._found(calls, kept, replay) for calls in votes]
        if (
            isinstance(steps, Cascaded)
            and steps.below is not None
            and all(0 in each for each in found)
        ):
            self._kept_by_small += 1
            self._unsure += steps.after(0, self._said(found, [0] * len(found))) is not None
        if not self._plan.options.resume:
            found = [{} for _ in votes]
        founds = [_own(calls, each).get for calls, each in zip(votes, found, strict=True)]
        ways = steps.kept_votes(founds) if len(votes) > 1 else [steps.kept(founds[0])]
        leaf: int | None = max(place for place, _ in ways)
        while leaf is not None and all(stands for _, stands in ways):
            leaf = steps.after(leaf, self._said(found, [place for place, _ in ways]))
            ways = [] if leaf is None else [(leaf, leaf in each) for each in found]
        if leaf is None or self._is_decided(votes, found, ways, replay):
            self.answered += 1
        else:
            self._ask(votes, found, ways, leaf)

    def _ask(
        self,
        votes: Sequence[Sequence[ModelCall]],
        found: Sequence[Mapping[int, tuple[Event, Outcome]]],
        ways: Sequence[tuple[int, bool]],
        leaf: int,
    ) -> None:
        """A row is to be asked, where its votes are not kept and, perhaps, beyond."""
        for calls, each, (place, stands) in zip(votes, found, ways, strict=True):
            if not stands and place not in each:
                self._looks[place].ask(calls[place])
        if isinstance(self._steps, Cascaded):
            for start in self._steps.starts:
                for calls in votes if start > leaf else ():
                    self._perhaps[start].ask(calls[start])

    def _is_decided(
        self,
        votes: Sequence[Sequence[ModelCall]],
        found: Sequence[Mapping[int, tuple[Event, Outcome]]],
        ways: Sequence[tuple[int, bool]],
        replay: Replay,
    ) -> bool:
        """Whether a row has its answer without votes that failed, which are not asked again."""
        if not any(found) or len(votes) == 1:
            return False
        row = []
        for number, (place, stands) in enumerate(ways):
            event = found[number][place][0] if stands else Event(votes[number][place], tag=number)
            if stands:
                event.tag = number
                event.finish()
            row.append(Recalled(self._legs[place], event))
        builders = [look.builder for look in self._looks]
        failed = FailedVotes(self._plan.stages[0], self._legs, builders, replay, lambda _: 0)
        return failed.has_answer(row)

    def _found(
        self, calls: Sequence[ModelCall], kept: Mapping[bytes, Any], replay: Replay
    ) -> dict[int, tuple[Event, Outcome]]:
        """What is kept of a question, by member."""
        found = {}
        for number, call in enumerate(calls):
            entry = next((kept[key] for key in call.keys_by_way if key in kept), None)
            if entry is not None:
                self._looks[number].kept.add(call)
                event = Event(call)
                if replay.answer(event, entry):
                    became = what_became(event, sure=self._steps.unsure(number))
                    of_vote = self._plan.stages[0].votes > 1
                    found[number] = (event, replace(became, of_vote=of_vote))
        return found

    def _said(
        self, found: Sequence[Mapping[int, tuple[Event, Outcome]]], leaves: Sequence[int]
    ) -> Outcome:
        """What is said of a row by its votes, each of them kept at a member."""
        if len(found) == 1:
            return found[0][leaves[0]][1]
        cast = [Cast(each[leaf][0], bears=False) for each, leaf in zip(found, leaves, strict=True)]
        return counted(cast, first_of_equals=self._plan.stages[0].tie == "first").outcome

    @property
    def share(self) -> float | None:
        """The share of rows that go on to the next level; None where that is not known."""
        return self._unsure / self._kept_by_small if self._kept_by_small >= FEW else None


def added_up(
    certain: Sequence[Mapping[str, Any]], perhaps: Sequence[Mapping[str, Any]], share: float | None
) -> dict[str, Any]:
    """The fields of an estimate of all members.

    Args:
        certain: The fields of each member that is asked for sure, the first one's first.
        perhaps: Those of each that may be asked.
        share: How many of these rows are, as far as that is known.
    """
    part = 1.0 if share is None else share
    weighed = [(each, 1.0) for each in certain] + [(each, part) for each in perhaps]
    low = [(each, 1.0) for each in certain] + [(each, share or 0.0) for each in perhaps]
    first = dict(certain[0])
    slowest, weight = max(weighed, key=lambda each: (each[0]["minutes"] or 0.0) * each[1])
    ranges = [each["usd_range"] for each, _ in weighed]
    return {
        **first,
        "input_tokens": round(_sum(weighed, "input_tokens") or 0),
        "cached_tokens": _whole(_sum(weighed, "cached_tokens")),
        "output_tokens": round(_sum(weighed, "output_tokens") or 0),
        "output_range": (
            round(sum(each["output_range"][0] * times for each, times in low)),
            round(sum(each["output_range"][1] * times for each, times in weighed)),
        ),
        "usd": _sum(weighed, "usd"),
        "usd_range": None
        if None in ranges
        else (
            sum(each["usd_range"][0] * times for each, times in low),
            sum(each["usd_range"][1] * times for each, times in weighed),
        ),
        "usd_standard": None,
        "minutes": None if slowest["minutes"] is None else slowest["minutes"] * weight,
        "limited_by": slowest["limited_by"],
        "basis": "seen" if all(each["basis"] == "seen" for each, _ in weighed) else "guess",
        "model": ", ".join(dict.fromkeys(each["model"] for each, _ in weighed)),
        "hints": (*first["hints"], *([_UNKNOWN] if perhaps and share is None else [])),
    }


def _sum(weighed: Sequence[tuple[Mapping[str, Any], float]], name: str) -> float | None:
    amounts = [(each[name], times) for each, times in weighed]
    if any(amount is None for amount, _ in amounts):
        return None
    return float(sum(amount * times for amount, times in amounts))


def _whole(amount: float | None) -> int | None:
    return None if amount is None else round(amount)


def _own(
    calls: Sequence[ModelCall], found: Mapping[int, tuple[Event, Outcome]]
) -> dict[int, Outcome]:
    """What became of a question at the members that have an answer of their own."""
    keys = own_keys([call.keys_by_way for call in calls])
    return {leaf: outcome for leaf, (_, outcome) in found.items() if keys[leaf]}
