"""Votes that failed before, on rows that have their answer by the others: they are not asked again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from lionproc.engine.journal import Entry
from lionproc.engine.replay import Replay
from lionproc.engine.request import Event
from lionproc.frame.legs import Leg
from lionproc.frame.recall import Recalled, recall_at_one
from lionproc.frame.stage import Stage
from lionproc.frame.votes import Cast, Verdict, counted
from lionproc.model.call import RequestBuilder
from lionproc.model.steps import Outcome

__all__ = ["FailedVotes"]


@dataclass(frozen=True, slots=True)
class FailedVotes:
    """Finds the votes that failed before and would change nothing. Any thread.

    Attributes:
        stage: What they are votes on.
        legs: All legs of the run.
        builders: What makes the questions of each leg.
        replay: Reads what is kept.
        row_of: The row that a vote is on, by their places.
    """

    stage: Stage
    legs: Sequence[Leg]
    builders: Sequence[RequestBuilder]
    replay: Replay
    row_of: Callable[[int], int]

    def kept_in(self, recalled: Sequence[Recalled]) -> list[Recalled]:
        """Votes of which those stay failed that failed before, where the others decide.

        Args:
            recalled: As the journal answers them; those on a row follow each other.
        """
        rows = [list(row) for _, row in groupby(recalled, lambda vote: self.row_of(vote.event.tag))]
        some = (row for row in rows if len(row) == self.stage.votes and _may_have_answer(row))
        failed = self._failed([vote for row in some for vote in row if not _is_done(vote)])
        made: list[Recalled] = []
        for row in rows:
            votes = [failed.get(vote.event.tag, vote) for vote in row]
            if not self._are_decided(votes):
                made += row
                continue
            for vote in votes:
                if not _is_done(vote):
                    vote.event.finish()
            made += votes
        return made

    def has_answer(self, row: Sequence[Recalled]) -> bool:
        """Whether a row has its answer by what is kept, and nothing more is to be asked.

        Args:
            row: The votes on it.
        """
        failed = self._failed([vote for vote in row if not _is_done(vote)])
        votes = [failed.get(vote.event.tag, vote) for vote in row]
        verdict = self._verdict(votes)
        if verdict is None:
            return False
        following = self._following(votes, verdict)
        return verdict.error is None if following is None else self.has_answer(following)

    def _are_decided(self, votes: Sequence[Recalled]) -> bool:
        """Whether none of them is to be asked, for they decide, or those at the next model do."""
        verdict = self._verdict(votes)
        if verdict is None or verdict.error is None:
            return verdict is not None
        following = self._following(votes, verdict)
        return following is not None and self.has_answer(following)

    def _verdict(self, votes: Sequence[Recalled]) -> Verdict | None:
        """What they say together; None where some are still to be asked."""
        if not all(_is_done(vote) or vote.event.error is not None for vote in votes):
            return None
        cast = [Cast(vote.event, bears=False) for vote in votes]
        return counted(cast, first_of_equals=self.stage.tie == "first")

    def _following(self, votes: Sequence[Recalled], verdict: Verdict) -> list[Recalled] | None:
        """The votes at the model that is asked next, as the journal answers them, if one is."""
        leg = max((vote.leg for vote in votes), key=lambda each: each.leaf)
        leaf = leg.steps.after(leg.leaf, verdict.outcome)
        if leaf is None:
            return None
        there = self._asked_at(leg, leaf, votes)
        fresh = [(vote.event.tag, _call(vote)) for vote in there]
        return recall_at_one(fresh, there[0].leg, self._find, self.replay)

    def _find(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        found = zip(keys, self.replay.find_all([(key,) for key in keys]), strict=True)
        return {key: entry for key, entry in found if entry is not None}

    def _failed(self, votes: Sequence[Recalled]) -> dict[int, Recalled]:
        """Those that failed, by their places, each at the last of the models it was asked of."""
        failed: dict[int, Recalled] = {}
        while votes:
            # Others than those that may be sent after all.
            tried = [vote._replace(event=Event(_call(vote), tag=vote.event.tag)) for vote in votes]
            self.replay.fail_again([vote.event for vote in tried])
            votes = []
            for vote in tried:
                error = vote.event.error
                if error is None:
                    continue
                leaf = vote.leg.steps.after(vote.leg.leaf, Outcome(error.kind, of_vote=True))
                if leaf is None:
                    failed[vote.event.tag] = vote
                else:
                    votes += self._asked_at(vote.leg, leaf, [vote])
        return failed

    def _asked_at(self, leg: Leg, leaf: int, votes: Sequence[Recalled]) -> list[Recalled]:
        """The same votes at another model of the stage that this leg belongs to."""
        other = self.legs[leg.number - leg.leaf + leaf]
        ask_too = self.builders[other.number].ask_too
        return [
            Recalled(other, Event(ask_too(_call(vote)), tag=vote.event.tag), vote.before)
            for vote in votes
        ]


def _is_done(vote: Recalled) -> bool:
    return vote.event.done


def _may_have_answer(row: Sequence[Recalled]) -> bool:
    """Whether a row may have one by what is kept: here, or at a model that is asked next."""
    return any(_is_done(vote) or vote.leg.is_shared for vote in row)


def _call(vote: Recalled) -> Any:
    return vote.event.first
