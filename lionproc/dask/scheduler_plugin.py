"""What the scheduler of a cluster knows for all workers: the budgets, and how runs are getting on.

The budgets are asked by workers through handlers of the scheduler, a few times a second each. What
is in them is in memory alone: a scheduler that is started again begins with nothing in store, and
hears from the workers what they have sent in the last minute. Nothing here tells which endpoint, key
or model a budget is for.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from distributed import SchedulerPlugin

from lionproc.dask.killed import warn_if_killed
from lionproc.dask.work import Work, Works, summed
from lionproc.engine.lease_budget import LeaseBudget
from lionproc.engine.lease_messages import Ask

__all__ = ["NAME", "LionprocPlugin"]

NAME: Final = "lionproc"
MOST_SHOWN: Final = 20


class LionprocPlugin(SchedulerPlugin):
    """Keeps the budgets of a cluster. The first that is registered stays."""

    name = NAME
    idempotent = True

    def __init__(self) -> None:
        self._budgets: dict[str, LeaseBudget] = {}
        self._of_question: dict[str, set[str]] = {}
        self._wishes: dict[str, Sequence[float | None]] = {}
        self._works = Works()
        self._tasks: set[str] = set()  # that have begun, and that Dask would do again
        self._scheduler: Any = None
        self._warned_of = ""

    def __reduce__(self) -> tuple[object, ...]:
        """It goes to the scheduler empty."""
        return (LionprocPlugin, ())

    async def start(self, scheduler: Any) -> None:
        """Offer the handlers, unless somebody was faster."""
        self._scheduler = scheduler
        scheduler.handlers.setdefault("lionproc_ask", self.ask)
        scheduler.handlers.setdefault("lionproc_set_limits", self.set_limits)
        scheduler.handlers.setdefault("lionproc_budgets", self.budgets)
        scheduler.handlers.setdefault("lionproc_tell", self.tell)
        scheduler.handlers.setdefault("lionproc_steer", self.steer)
        scheduler.handlers.setdefault("lionproc_look", self.look)
        scheduler.handlers.setdefault("lionproc_failures", self.failures)

    def transition(
        self, key: Any, start: str, finish: str, *_: object, stimulus_id: str, **__: object
    ) -> None:
        """A task is in another state. If it is a partition that was given up, notebooks hear why.

        One that is forgotten is wanted by nobody any more: who computes it again has a new task.
        """
        del start
        if finish == "forgotten" and self._tasks:
            self._tasks.discard(str(key))
        if finish != "erred" or stimulus_id == self._warned_of:
            return
        if warn_if_killed(self._scheduler, key):
            self._warned_of = stimulus_id  # a worker's end may take several partitions with it

    def remove_worker(self, scheduler: object, worker: str, **_: object) -> None:
        """A worker is gone, however: what it was lent, and has in flight, counts as spent."""
        del scheduler
        self._works.lose(worker)
        for budget in self._budgets.values():
            budget.drop(worker, time.monotonic())

    async def ask(self, budget: str, ask: Mapping[str, Any]) -> dict[str, Any]:
        """Lend permissions; see `LeaseBudget.ask`.

        Args:
            budget: Which one.
            ask: An `Ask`, as a dict.
        """
        asked = Ask(**ask)
        found = self._budgets.setdefault(budget, LeaseBudget())
        if asked.assigned:
            self._of_question.setdefault(asked.assigned, set()).add(budget)
        grant = found.ask(asked, time.monotonic())
        if asked.assigned in self._wishes:  # somebody changed them before anybody had begun
            found.assign(tuple(self._wishes[asked.assigned]), f"{asked.assigned} changed")
        return grant.as_dict()

    async def set_limits(
        self, question: str, limits: Sequence[float | None], concurrency: int | None = None
    ) -> None:
        """Change the limits of everything that a question is sent to.

        Args:
            question: Its token.
            limits: One for each quantity, None for no limit.
            concurrency: That of each process; None leaves what there is.
        """
        self._works.of(question).concurrency = concurrency
        self._wishes[question] = limits
        for name in self._of_question.get(question, ()):
            self._budgets[name].assign(tuple(limits), secrets.token_hex(8))

    async def budgets(self) -> list[dict[str, Any]]:
        """What became of the permissions of each budget, for whoever looks."""
        return [
            {"limits": budget.limits, **budget.as_json()["counts"]}
            for budget in self._budgets.values()
        ]

    # -- how it goes ------------------------------------------------------------------------

    async def tell(self, question: str, task: str, **said: Any) -> dict[str, Any]:
        """A worker says how a partition gets on, and hears whether it is to go on: see `Work.hear`."""
        again = task in self._tasks
        self._tasks.add(task)
        return self._works.hear(question, again=again, **said)

    async def steer(self, question: str, paused: bool, stopped: bool) -> None:
        """Pause, go on or stop, for all partitions of a question."""
        work = self._works.of(question)
        work.paused, work.stopped = paused, stopped

    async def look(self, question: str) -> dict[str, Any]:
        """How a question gets on: the sums of what its runs say, and its limits."""
        work = self._works.of(question)
        names = self._of_question.get(question, ())
        limits = next((self._budgets[name].effective() for name in names), ())
        failures = list(islice(_failures_of(work), MOST_SHOWN))
        seen = summed(work.runs.values())
        return {**seen, "limits": limits, "failures": failures, "reached": work.reached}

    async def failures(self, question: str) -> list[dict[str, Any]]:
        """The first rows that failed in each partition."""
        return list(_failures_of(self._works.of(question)))


def _failures_of(work: Work) -> Iterator[dict[str, Any]]:
    for number in sorted(work.failures):
        for failure in work.failures[number]:
            yield {"partition": number, **failure}
