"""What a run would cost whose model is made of several: each member foreseen by itself, and added up.

Of a `Fallback` the first member is foreseen, as if it could answer all. Of a `Cascade` each level is:
how many rows go on is taken from the small model's answers that the journal has; where it has too few
of them, all are counted, so that the estimate is rather too high.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lionproc.engine.replay import Replay
from lionproc.engine.request import Event
from lionproc.frame.kept_votes import KeptVotes, Standing, Vote, asked_of_all
from lionproc.frame.votes import ballots_of
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
        self._unsure = self._kept_by_small = 0
        self.answered = self.skipped = 0

    def through(self, journal: Journal) -> None:
        """Look at every row."""
        plan, looks = self._plan, self._looks
        stage, replay = plan.stages[0], Replay(journal, 0, plan.options.retry.max_corrections)
        builders = [look.builder for look in looks]
        votes_of = KeptVotes(stage, self._steps, replay)
        for made in plan.first_calls(looks[0].builder):
            asked: list[list[tuple[int, Sequence[ModelCall]]]] = []  # of rows, of votes
            for _, call in made:
                if isinstance(call, ModelCall):
                    ballots = enumerate(ballots_of(call, stage.votes))
                    asked.append(
                        [(vote, asked_of_all(each, 0, builders)) for vote, each in ballots]
                    )
                else:
                    self.skipped += 1
            calls = (call for row in asked for _, of_vote in row for call in of_vote)
            kept = journal.find([key for call in calls for key in call.keys_by_way])
            plan.found(0, len(made), kept)
            if stage.votes > 1:
                for votes in votes_of.looked_up(asked, kept):
                    self._votes(votes, votes_of)
            else:
                for ((_, of_row),) in asked:
                    self._row(of_row, kept, replay)
        plan.forget_occurrences()

    def _row(self, calls: Sequence[ModelCall], kept: Mapping[bytes, Any], replay: Replay) -> None:
        """A row that is asked once."""
        found = self._found(calls, kept, replay)
        if 0 in found:
            self._small_says(self._steps.after(0, found[0]))
        if not self._plan.options.resume:
            found = {}
        own = own_keys([call.keys_by_way for call in calls])
        known = {leaf: outcome for leaf, outcome in found.items() if own[leaf]}
        leaf, _ = self._steps.kept(known.get)
        while leaf in found:
            following = self._steps.after(leaf, found[leaf])
            if following is None:
                self.answered += 1
                return
            leaf = following
        self._ask([calls], [Standing(leaf, None)])

    def _votes(self, votes: Sequence[Vote], votes_of: KeptVotes) -> None:
        """A row that is voted on."""
        for vote in votes:
            for look, event in zip(self._looks, vote.events, strict=True):
                if event.cached:
                    call: Any = event.first
                    look.kept.add(call)
        if all(vote.events[0].cached for vote in votes):
            small = [Standing(0, vote.events[0]) for vote in votes]
            self._small_says(votes_of.following(small)[0])
        resumes = self._plan.options.resume
        ways = votes_of.begin(votes) if resumes else [Standing(0, None) for _ in votes]
        leaf, said = votes_of.following(ways)
        while leaf is not None:
            ways = votes_of.begin(votes, leaf)
            leaf, said = votes_of.following(ways)
        if said is not None:
            self.answered += 1
            return
        self._ask([[event.first for event in vote.events] for vote in votes], ways)

    def _ask(self, votes: Sequence[Sequence[Any]], ways: Sequence[Standing]) -> None:
        """A row is to be asked, where its votes are not kept and, perhaps, beyond."""
        for calls, (leaf, event) in zip(votes, ways, strict=True):
            if event is None:
                self._looks[leaf].ask(calls[leaf])
        if isinstance(self._steps, Cascaded):
            last = max(leaf for leaf, _ in ways)
            for start in self._steps.starts:
                for calls in votes if start > last else ():
                    self._perhaps[start].ask(calls[start])

    def _found(
        self, calls: Sequence[ModelCall], kept: Mapping[bytes, Any], replay: Replay
    ) -> dict[int, Outcome]:
        """What became of a question at each member, as far as that is kept."""
        found = {}
        for number, call in enumerate(calls):
            entry = next((kept[key] for key in call.keys_by_way if key in kept), None)
            if entry is not None:
                self._looks[number].kept.add(call)
                event = Event(call)
                if replay.answer(event, entry):
                    found[number] = what_became(event, sure=self._steps.unsure(number))
        return found

    def _small_says(self, following: int | None) -> None:
        """The journal has what the small model of a cascade says of a row, and who is asked then."""
        if isinstance(self._steps, Cascaded) and self._steps.below is not None:
            self._kept_by_small += 1
            self._unsure += following is not None

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
