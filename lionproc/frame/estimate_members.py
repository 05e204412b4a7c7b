"""What is to be asked of whom: each member of the model foreseen by itself, and added up.

A single model is its own one member. Of a `Fallback` the first member is foreseen, as if it could
answer all. Of a `Cascade` each level is, wherever it stands: how many rows go on is taken from the
small model's answers that the journal has; where it has too few of them, all are counted, and so are
the rows that have left the small model behind, so that the estimate is rather too high.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from lionproc.engine.replay import Replay
from lionproc.engine.request import Event
from lionproc.errors import Kind
from lionproc.frame.in_parts import in_parts
from lionproc.frame.kept_votes import KeptVotes, Standing, Vote
from lionproc.frame.read_once import read_once
from lionproc.frame.to_ask import ToAsk
from lionproc.frame.votes import ballots_of
from lionproc.model.became import what_became
from lionproc.model.call import ModelCall, RequestBuilder
from lionproc.model.composed import steps_of
from lionproc.model.steps import Outcome

if TYPE_CHECKING:
    from lionproc.engine.journal import Entry, Journal
    from lionproc.frame.plan import Plan

__all__ = ["MemberLooks", "added_up"]

_Asked: TypeAlias = tuple[int, Sequence[ModelCall]]  # a vote: its place, what it asks the members
FEW = 20  # answers of the small model that say too little of how many rows go on
_UNSURE = Outcome(Kind.WRONG_SHAPE)  # as unsure as one can be, for whatever threshold
_UNKNOWN = (
    "How many rows go on to the larger model is not known before the small one has answered some: all "
    "are counted. preview(n=50) asks both and shows it."
)


class MemberLooks:
    """One pass over all rows, for all members.

    Args:
        plan: The run.
        builders: What makes the questions to each member.

    Attributes:
        certain: What is to be asked of each member for sure.
        perhaps: What is asked of each where the first one is not sure.
        further: What is asked of each where another one is not.
        answered: Rows that the journal answers.
        skipped: Rows that are not asked.
    """

    def __init__(self, plan: Plan, builders: Sequence[RequestBuilder]) -> None:
        self._plan = plan
        self._steps = steps_of(plan.model)
        self.certain, self.perhaps, self.further = (
            [ToAsk(plan, builder) for builder in builders] for _ in range(3)
        )
        self._unsure = self._kept_by_small = 0
        self.answered = self.skipped = 0

    def through(self, journal: Journal) -> None:
        """Look at every row."""
        plan, builders = self._plan, [look.builder for look in self.certain]
        stage, replay = plan.stages[0], Replay(journal, 0, plan.options.retry.max_corrections)
        once = read_once(self._steps.count)
        votes_of = KeptVotes(stage, self._steps, builders, replay, once)

        def look_up(rows: Sequence[Sequence[_Asked]], most: int | None) -> list[list[Vote]]:
            def find(keys: list[bytes]) -> dict[bytes, Entry]:
                kept = journal.find(keys, most=most)
                plan.found(0, len(rows), kept)
                return kept

            several = stage.votes > 1
            return (votes_of.looked_up if several else votes_of.answered)(rows, find)

        for made in plan.first_calls(builders[0]):
            asked: list[list[_Asked]] = []  # of rows, of votes
            for _, call in made:
                if isinstance(call, ModelCall):
                    ballots = enumerate(ballots_of(call, stage.votes))
                    asked.append([(vote, votes_of.asked_of_all(each)) for vote, each in ballots])
                else:
                    self.skipped += 1
            for votes in in_parts(asked, look_up):
                if stage.votes > 1:
                    self._votes(votes, votes_of)
                else:
                    self._row(*votes)
        plan.forget_occurrences()

    def _row(self, vote: Vote) -> None:
        """A row that is asked once."""
        self._kept(vote)
        found = {leaf: vote.events[leaf] for leaf in vote.answered()}
        became = {leaf: self._became(leaf, event) for leaf, event in found.items()}
        if 0 in found:
            self._small_says(self._steps.after(0, became[0]))
        if not self._plan.options.resume:
            found = {}
        own = {leaf: became[leaf] for leaf in found if vote.own[leaf]}
        leaf, _ = self._steps.kept(own.get)

        self._go(
            [[event.first for event in vote.events]],
            leaf,
            begin=lambda leaf: [Standing(leaf, found.get(leaf))],
            following=lambda ways: self._steps.after(ways[0].leaf, became[ways[0].leaf]),
        )

    def _became(self, leaf: int, event: Event) -> Outcome:
        return what_became(event, sure=self._steps.unsure(leaf))

    def _votes(self, votes: Sequence[Vote], votes_of: KeptVotes) -> None:
        """A row that is voted on."""
        for vote in votes:
            self._kept(vote)
        if all(vote.events[0].cached for vote in votes):
            small = [Standing(0, vote.events[0]) for vote in votes]
            self._small_says(votes_of.following(small)[0])

        resumes = self._plan.options.resume
        self._go(
            [[event.first for event in vote.events] for vote in votes],
            0,
            begin=lambda leaf: (
                votes_of.begin(votes, leaf) if resumes else [Standing(leaf, None) for _ in votes]
            ),
            following=lambda ways: votes_of.following(ways)[0],
        )

    def _go(
        self,
        votes: Sequence[Sequence[Any]],
        leaf: int | None,
        *,
        begin: Callable[[int], Sequence[Standing]],
        following: Callable[[Sequence[Standing]], int | None],
    ) -> None:
        """A row goes its way, as far as that is known, and then as far as it may lead.

        Args:
            votes: What each vote on it asks the members.
            leaf: The member that it begins at.
            begin: Where the votes stand that come to a member.
            following: The member that is asked next, where all is known of where they stand.
        """
        looks, asked = self.certain, set[bytes]()
        while leaf is not None:
            ways, last = begin(leaf), leaf
            for calls, (at, event) in zip(votes, ways, strict=True):
                if calls[leaf].key in asked:
                    continue  # a member that is the same has answered by then
                last = max(last, at)
                if event is None:
                    asked.add(calls[at].key)
                    looks[at].ask(calls[at])
            if asked and looks is self.certain:
                looks = self.further if last else self.perhaps
            leaf = self._steps.after(last, _UNSURE) if asked else following(ways)
        self.answered += not asked

    def _kept(self, vote: Vote) -> None:
        """What the journal has of it are examples."""
        for leaf in vote.answered():
            call: Any = vote.events[leaf].first
            self.certain[leaf].kept.add(call)

    def _small_says(self, following: int | None) -> None:
        """The journal has what the first member says of a row, and who is asked then."""
        if self._steps.after(0, Outcome(confidence=0.0)) is not None:
            self._kept_by_small += 1
            self._unsure += following is not None

    @property
    def requests(self) -> int:
        """How many there are, as far as that is known."""
        certain, perhaps, further = (
            sum(look.sizes.total() for look in looks)
            for looks in (self.certain, self.perhaps, self.further)
        )
        return certain + round(perhaps * (1.0 if self.share is None else self.share)) + further

    @property
    def share(self) -> float | None:
        """The share of rows that go on from the first member; None where that is not known."""
        return self._unsure / self._kept_by_small if self._kept_by_small >= FEW else None


def added_up(
    certain: Sequence[Mapping[str, Any]],
    perhaps: Sequence[Mapping[str, Any]],
    further: Sequence[Mapping[str, Any]],
    share: float | None,
) -> dict[str, Any]:
    """The fields of an estimate of all members.

    Args:
        certain: The fields of each member that is asked for sure, the first one's first.
        perhaps: Those of each that is asked where the first one is not sure.
        further: Those of each that is asked where another one is not.
        share: Of how many rows the first one is not sure, as far as that is known.
    """
    part = 1.0 if share is None else share
    of_each = [(certain, 1.0, 1.0), (perhaps, part, share or 0.0), (further, 1.0, 0.0)]
    weighed = [(each, most) for fields, most, _ in of_each for each in fields]
    low = [(each, least) for fields, _, least in of_each for each in fields]
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
