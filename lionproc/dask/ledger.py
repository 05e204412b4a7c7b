"""A budget that the runs of all partitions have together: what they have spent, and what is theirs.

Runs that have ended are added up once: each tell then looks at those alone that are under way, of
which there are as many as threads of workers, and not at ten thousand partitions.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Final, NamedTuple

from lionproc.engine.budget import Budget
from lionproc.engine.outlay import Spending

__all__ = ["Ledger", "PartitionRun"]

MOST_OF_REST: Final = 0.5  # of a budget, that one run has at a time


class PartitionRun(NamedTuple):
    """A run of a partition.

    Attributes:
        partition: Which one.
        name: The id of the run.
    """

    partition: int
    name: str


class Ledger:
    """What each run has spent, and what it may spend until it tells again."""

    def __init__(self) -> None:
        self._under_way: dict[PartitionRun, Spending] = {}
        self._shares: dict[PartitionRun, Spending] = {}  # of those that are under way
        self._ended: dict[PartitionRun, Spending] = {}
        self._of_ended = Spending()

    def write(self, run: PartitionRun, spending: Spending, *, has_ended: bool) -> None:
        """A run tells what it has spent so far.

        Args:
            run: Which one.
            spending: All of it, and not only what is new.
            has_ended: Whether it spends no more. It may be told twice: of a run that was given for
                lost, and has ended all the same.
        """
        if not has_ended:
            self._under_way[run] = spending
            return
        self._under_way.pop(run, None)
        self._shares.pop(run, None)
        was = self._ended.get(run)
        self._ended[run] = spending
        if was is None:
            self._of_ended = self._of_ended.plus(spending)
        elif was != spending:
            self._of_ended = _sum(self._ended.values())

    def reached(self, budget: Budget) -> str:
        """The bound that all together have reached, in words; empty while none is.

        Args:
            budget: The bounds. What is in flight, or is some run's share, is not spent yet.
        """
        spent = _sum([self._of_ended, *self._under_way.values()])
        return budget.reached(usd=spent.usd, tokens=spent.tokens, requests=spent.sent)

    def divide(self, budget: Budget, run: PartitionRun) -> Spending:
        """Give a run its share of what is left of the budget.

        Each run has its share until it tells the next time, and part of the rest is kept for those
        that have not told yet: else each of them would send for all of it at once.

        Args:
            budget: The bounds of all together.
            run: Which one asks.

        Returns:
            What all others have spent, and what is theirs of the rest. Nothing where the run has
            ended.
        """
        own = self._under_way.get(run)
        if own is None:
            return Spending()
        elsewhere = self._of_ended
        for each, spending in self._under_way.items():
            if each != run:
                elsewhere = elsewhere.plus(spending).plus(self._shares.get(each, Spending()))
        spent = own.plus(elsewhere)
        kept = max(1 - 1 / len(self._under_way), 1 - MOST_OF_REST)
        others = spent.share_of_rest(budget, kept)
        self._shares[run] = spent.plus(others).share_of_rest(budget, 1.0)
        return elsewhere.plus(others)


def _sum(of: Iterable[Spending]) -> Spending:
    return reduce(Spending.plus, of, Spending())
