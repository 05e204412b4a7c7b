"""One question on its way through all of its partitions: what is done, spent and wanted.

Kept by whoever hears all runs: the scheduler of a cluster, or this process where there is none.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lionproc.dask.ledger import Ledger, PartitionRun
from lionproc.engine.budget import Budget
from lionproc.engine.budget_group import BudgetGroup
from lionproc.engine.outlay import Spending

__all__ = ["Work", "Works"]

MOST_QUESTIONS: Final = 100  # that are remembered
UNDER_WAY: Final = frozenset({"running", "paused", "stopping"})
ANSWERED: Final = "answered"
ASKED: Final = "asked"
FAILED: Final = "failed"
LOST: Final = "lost"  # the state of a run whose worker has gone
OF_ROWS: Final = ("rows", "answered", "cached", "skipped", "failed", "in_flight", "queued")
OF_REQUESTS: Final = (
    *("sent", "retried", "throttled", "prompt_tokens", "completion_tokens", "guessed", "usd"),
)
BOUNDS: Final = ("usd", "tokens", "requests")


@dataclass(slots=True)
class Work:
    """What is known of a question.

    Attributes:
        paused: Whether nothing more is to leave for now.
        stopped: Whether nothing more is to leave at all.
        reached: The bound of the budget that stopped it, in words.
        concurrency: How many requests each process may have in flight; None leaves what there is.
        runs: Of each partition, its runs and the stats of each; the last one is that which counts,
            the others were on workers that have gone.
        failures: Of each partition, the first rows that failed.
        answered: Two partitions with answers, or those that there are.
        ledger: What each run has spent, and its share of the budget.
        group: What the runs of this process share where there is no cluster: the budget of all.
    """

    paused: bool = False
    stopped: bool = False
    reached: str = ""
    concurrency: int | None = None
    runs: dict[int, dict[str, Mapping[str, Any]]] = field(default_factory=dict)
    failures: dict[int, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)
    ledger: Ledger = field(default_factory=Ledger)
    group: BudgetGroup = field(default_factory=BudgetGroup)

    def begin(self, number: int, *, again: bool = False) -> BudgetGroup:
        """A partition is to be asked, which may be for the second time: then all begins anew.

        Args:
            number: Which partition.
            again: Whether nobody but Dask wants it a second time, for a worker has gone that had
                its answers; or its run has to go on. Then it is part of what there was: what was
                spent counts, and what was stopped stays so.
        """
        if self.runs.get(number) and not again and not self._under_way():
            self.runs.clear()
            self.failures.clear()
            self.answered.clear()
            self.ledger = Ledger()
            self.stopped, self.reached = False, ""
            self.group = BudgetGroup()
        return self.group

    def hear(
        self,
        number: int,
        run: str,
        stats: Mapping[str, Any],
        failures: Sequence[Mapping[str, Any]] = (),
        budget: Mapping[str, float | None] | None = None,
        *,
        again: bool = False,
    ) -> dict[str, Any]:
        """A partition says how it gets on, and hears whether it is to go on.

        Args:
            number: Which partition.
            run: The id of its run.
            stats: A `RunStats`, as a dict; "spending" is its `Spending`, "worker" the address of
                who does it.
            failures: The first rows that failed, when it has ended.
            budget: The bounds of all together; None for none.
            again: As for `begin`.

        Returns:
            "paused", "stopped", "concurrency", and "elsewhere": the `Spending` of all other runs. "others":
            "answered" if rows of another partition were, "asked" while none are and one is under way,
            "failed" if one has ended without an answer, else "".
        """
        if run not in self.runs.get(number, {}):
            self.begin(number, again=again)
        known = self.runs.setdefault(number, {})
        was = known.get(run)
        if was is None or was["state"] in UNDER_WAY or stats["state"] not in UNDER_WAY:
            self._note(number, run, stats)  # what was said before its end may come after it
        if failures:
            self.failures[number] = failures
        if stats["answered"] and len(self.answered) < 2:
            self.answered.add(number)
        elsewhere = Spending()
        if budget is not None:
            bounds = Budget(**budget)  # type: ignore[arg-type]
            if not self.reached:
                self.reached = self.ledger.reached(bounds)
                self.stopped = self.stopped or bool(self.reached)
            elsewhere = self.ledger.divide(bounds, PartitionRun(number, run))
        return {
            "paused": self.paused,
            "stopped": self.stopped,
            "concurrency": self.concurrency,
            "elsewhere": elsewhere,
            "others": self._others(number),
        }

    def _note(self, number: int, run: str, stats: Mapping[str, Any]) -> None:
        self.runs[number][run] = stats
        has_ended = stats["state"] not in UNDER_WAY
        self.ledger.write(
            PartitionRun(number, run), Spending(*stats["spending"]), has_ended=has_ended
        )

    def _others(self, number: int) -> str:
        if self.answered - {number}:
            return ANSWERED
        others = [list(runs.values())[-1] for n, runs in self.runs.items() if n != number]
        if any(stats["state"] in UNDER_WAY for stats in others):
            return ASKED
        return FAILED if any(stats["failed"] for stats in others) else ""

    def lose(self, worker: str) -> None:
        """A worker is gone: nobody hears how its runs end, and what was in flight may be billed.

        Args:
            worker: Its address.
        """
        for number, runs in self.runs.items():
            for run, stats in runs.items():
                if stats["state"] in UNDER_WAY and stats.get("worker") == worker:
                    spent = Spending(*stats["spending"]).given_up()
                    lost = {**stats, "state": LOST, "in_flight": 0, "spending": spent}
                    self._note(number, run, lost)

    def _under_way(self) -> bool:
        lasts = (list(runs.values())[-1] for runs in self.runs.values())
        return any(last["state"] in UNDER_WAY for last in lasts)


class Works:
    """The work of the latest questions, by their tokens."""

    def __init__(self) -> None:
        self._all: dict[str, Work] = {}
        self._lock = threading.Lock()

    def of(self, question: str) -> Work:
        """The work of a question; the one that nobody asked for the longest is forgotten."""
        with self._lock:
            work = self._all.pop(question, None) or Work()
            if len(self._all) >= MOST_QUESTIONS:
                del self._all[next(iter(self._all))]
            self._all[question] = work
            return work

    def begin(self, question: str, number: int, *, again: bool = False) -> BudgetGroup:
        """See `Work.begin`."""
        work = self.of(question)
        with self._lock:
            return work.begin(number, again=again)

    def lose(self, worker: str) -> None:
        """See `Work.lose`; for all questions."""
        with self._lock:
            for work in self._all.values():
                work.lose(worker)

    def hear(self, question: str, **said: Any) -> dict[str, Any]:
        """See `Work.hear`."""
        work = self.of(question)
        with self._lock:
            return work.hear(**said)


def summed(partitions: Iterable[Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """What the runs of all partitions come to.

    Args:
        partitions: Of each, the stats of its runs, the one that counts last.

    Returns:
        Sums by field; "begun" and "ended" count partitions; "errors" counts kinds; "places" are
        the processes that have some under way.
    """
    total: dict[str, Any] = dict.fromkeys((*OF_ROWS, *OF_REQUESTS), 0)
    errors, states = Counter[str](), Counter[str]()
    places = set()
    for runs in partitions:
        *lost, last = runs.values()
        errors.update(last["errors"])
        states[last["state"]] += 1
        if last["state"] in UNDER_WAY:
            places.add(last.get("place", ""))
        for name in OF_ROWS:
            total[name] += last[name]
        for name in OF_REQUESTS:
            for each in (*lost, last):
                amount = each[name]
                if amount is None and not each["prompt_tokens"] + each["completion_tokens"]:
                    amount = 0  # nothing was bought yet
                known = total[name] is not None and amount is not None
                total[name] = total[name] + amount if known else None
    begun = states.total()
    ended = begun - sum(states[state] for state in (*UNDER_WAY, LOST))
    return {
        **total,
        "begun": begun,
        "ended": ended,
        "errors": dict(errors),
        "places": sorted(places),
    }
