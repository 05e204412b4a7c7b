"""The runs that share one budget: what they may spend, and what they have sent and spent so far."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lionproc.engine.budget import Budget
from lionproc.engine.outlay import Outlay

if TYPE_CHECKING:
    from lionproc.engine.routes import Routes

__all__ = ["BudgetGroup"]


class BudgetGroup:
    """One budget, and the routes of all runs that it is for. Most runs are alone in theirs.

    Attributes:
        bounds: What they may spend together.
        routes: Those of the runs that are in it.
        over: What those have spent that have left it.
        sent_before: And the requests that they have sent.
        news: Set when something is back anywhere, which leaves room for all.
    """

    def __init__(self) -> None:
        self.bounds = Budget()
        self.routes: list[Routes] = []
        self.over = Outlay()
        self.sent_before = 0
        self.news = asyncio.Event()

    @property
    def is_new(self) -> bool:
        """Whether no run has come into it."""
        return not (self.routes or self.sent_before)

    def leave(self, routes: Routes) -> None:
        """A run is over, and need not be kept in memory: what it has spent still counts."""
        if routes in self.routes:
            for executor in routes.executors:
                self.over.add(executor.outlay)
            self.sent_before += routes.sent()
            self.routes.remove(routes)
