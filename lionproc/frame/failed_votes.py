"""Votes that failed before, on rows that have their answer by the others: they are not asked again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from lionproc.engine.replay import Replay
from lionproc.engine.request import Event
from lionproc.frame.legs import Leg
from lionproc.frame.recall import Recalled
from lionproc.frame.stage import Stage
from lionproc.frame.votes import Cast, counted
from lionproc.model.call import RequestBuilder
from lionproc.model.steps import Outcome

__all__ = ["with_failed_votes"]


def with_failed_votes(
    recalled: Sequence[Recalled],
    stage: Stage,
    *,
    legs: Sequence[Leg],
    builders: Sequence[RequestBuilder],
    replay: Replay,
    row_of: Callable[[int], int],
) -> list[Recalled]:
    """Votes of which those stay failed that failed before, where the others decide. Any thread.

    Args:
        recalled: Votes at a stage, as the journal answers them; those on a row follow each other.
        stage: That stage.
        legs: All legs of the run.
        builders: What makes the questions of each leg.
        replay: Reads what is kept.
        row_of: The row that a vote is on, by their places.
    """
    rows = [list(row) for _, row in groupby(recalled, lambda vote: row_of(vote.event.tag))]
    open_ = [
        vote
        for row in rows
        if len(row) == stage.votes and any(vote.event.done for vote in row)
        for vote in row
        if not vote.event.done
    ]
    failed = _failed(open_, legs, builders, replay)
    made: list[Recalled] = []
    for row in rows:
        votes = [failed.get(vote.event.tag, vote) for vote in row]
        if not _is_decided(votes, stage):
            made += row
            continue
        for vote in votes:
            if not vote.event.done:
                vote.event.finish()
        made += votes
    return made


def _is_decided(votes: Sequence[Recalled], stage: Stage) -> bool:
    """Whether nothing more is to be asked: a vote that failed would change nothing."""
    events = [vote.event for vote in votes]
    if not all(event.done or event.error is not None for event in events):
        return False
    cast = [Cast(event, bears=False) for event in events]
    return counted(cast, first_of_equals=stage.tie == "first").error is None


def _failed(
    votes: Sequence[Recalled],
    legs: Sequence[Leg],
    builders: Sequence[RequestBuilder],
    replay: Replay,
) -> dict[int, Recalled]:
    """Those that failed, by their places, each at the last of the models that it was asked of."""
    failed: dict[int, Recalled] = {}
    while votes:
        # Others than those that may be sent after all.
        tried = [vote._replace(event=_anew(vote.event)) for vote in votes]
        replay.fail_again([vote.event for vote in tried])
        votes = []
        for vote in tried:
            event, leg = vote.event, vote.leg
            if event.error is None:
                continue
            leaf = leg.steps.after(leg.leaf, Outcome(event.error.kind, of_vote=True))
            if leaf is None:
                failed[event.tag] = vote
            else:
                following = legs[leg.number - leg.leaf + leaf]
                asked: Any = event.first
                call = builders[following.number].ask_too(asked)
                votes.append(Recalled(following, Event(call, tag=event.tag), vote.before))
    return failed


def _anew(event: Event) -> Event:
    return Event(event.first, tag=event.tag)
