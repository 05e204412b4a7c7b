"""One question on its way through all of its partitions: what is done, spent and wanted.

Kept by whoever hears all runs: the scheduler of a cluster, or this process where there is none.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lionproc.engine.budget import Budget
from lionproc.engine.budget_group import BudgetGroup

__all__ = ["Work", "Works"]

MOST_QUESTIONS: Final = 100  # that are remembered
UNDER_WAY: Final = frozenset({"running", "paused", "stopping"})
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
        group: What the runs of this process share where there is no cluster: the budget of all.
    """

    paused: bool = False
    stopped: bool = False
    reached: str = ""
    concurrency: int | None = None
    runs: dict[int, dict[str, Mapping[str, Any]]] = field(default_factory=dict)
    failures: dict[int, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    group: BudgetGroup = field(default_factory=BudgetGroup)

    def begin(self, number: int, *, again: bool = False) -> BudgetGroup:
        """A partition is to be asked, which may be for the second time: then all begins anew.

        Args:
            number: Which partition.
            again: Whether nobody but Dask wants it a second time, for a worker has gone that had
                its answers. Then it is part of what there was: what was spent counts, and what was
                stopped stays so.
        """
        if self.runs.get(number) and not again and not self._under_way():
            self.runs.clear()
            self.failures.clear()
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
            stats: A `RunStats`, as a dict.
            failures: The first rows that failed, when it has ended.
            budget: The bounds of all together; None for none.
            again: As for `begin`.

        Returns:
            "paused", "stopped", "concurrency", and "left": what this run may spend by each bound,
            from its start.
        """
        if run not in self.runs.get(number, {}):
            self.begin(number, again=again)
        known = self.runs.setdefault(number, {})
        was = known.get(run)
        if was is None or was["state"] in UNDER_WAY or stats["state"] not in UNDER_WAY:
            known[run] = stats  # what was said before its end may come after it
        if failures:
            self.failures[number] = failures
        left = {} if budget is None else self._left(budget, stats)
        return {
            "paused": self.paused,
            "stopped": self.stopped,
            "concurrency": self.concurrency,
            "left": left,
        }

    def _under_way(self) -> bool:
        lasts = (list(runs.values())[-1] for runs in self.runs.values())
        return any(last["state"] in UNDER_WAY for last in lasts)

    def _left(
        self, budget: Mapping[str, float | None], stats: Mapping[str, Any]
    ) -> dict[str, float]:
        spent, own = spent_of(summed(self.runs.values())), spent_of(stats)
        reached = Budget(**budget).reached(**spent)  # type: ignore[arg-type]
        if reached and not self.reached:
            self.stopped, self.reached = True, reached
        return {
            name: max(bound - (spent[name] or 0) + (own[name] or 0), 0)
            for name, bound in budget.items()
            if bound is not None
        }


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

    def begin(self, question: str, number: int) -> BudgetGroup:
        """See `Work.begin`."""
        work = self.of(question)
        with self._lock:
            return work.begin(number)

    def hear(self, question: str, **said: Any) -> dict[str, Any]:
        """See `Work.hear`."""
        work = self.of(question)
        with self._lock:
            return work.hear(**said)


def spent_of(stats: Mapping[str, Any]) -> dict[str, Any]:
    """What was spent, by the bounds of a budget."""
    tokens = stats["prompt_tokens"] + stats["completion_tokens"]
    return {"usd": stats["usd"], "tokens": tokens, "requests": stats["sent"]}


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
    ended = begun - sum(states[state] for state in UNDER_WAY)
    return {
        **total,
        "begun": begun,
        "ended": ended,
        "errors": dict(errors),
        "places": sorted(places),
    }
