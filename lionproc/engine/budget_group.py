"""The runs that share one budget: what they may spend, and what they have sent and spent so far."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from lionproc.engine.budget import Budget
from lionproc.engine.outlay import Outlay

__all__ = ["BudgetGroup", "Spender"]


class Spender(Protocol):
    """The routes of a run, as its budget sees them."""

    @property
    def own_outlays(self) -> Sequence[Outlay]:
        """What was spent on each of them."""

    @property
    def unpriced(self) -> Sequence[str]:
        """The models of which it is not known what a request costs."""

    def sent(self) -> int:
        """The requests that were sent on all of them."""


class BudgetGroup:
    """One budget, and the routes of all runs that it is for. Most runs are alone in theirs.

    Variants that are compared share one, and so do a run and those that go on from it.

    Attributes:
        bounds: What they may spend together.
        spenders: The routes of the runs that are in it.
        over: What those have spent that have left it, or are elsewhere.
        sent_before: And the requests that they have sent.
        news: Set when something is back anywhere, which leaves room for all.
    """

    def __init__(self) -> None:
        self.bounds = Budget()
        self.spenders: list[Spender] = []
        self.over = Outlay()
        self.sent_before = 0
        self.news = asyncio.Event()

    @property
    def is_new(self) -> bool:
        """Whether no run has come into it."""
        return not (self.spenders or self.sent_before)

    def leave(self, spender: Spender) -> None:
        """A run is over, and need not be kept in memory: what it has spent still counts."""
        if spender in self.spenders:
            self.spenders.remove(spender)
            for outlay in spender.own_outlays:
                self.over.add(outlay)
            self.sent_before += spender.sent()
