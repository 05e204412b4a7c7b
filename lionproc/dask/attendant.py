"""Watches over a partition's run: ends it when nobody wants it any more, and tells how it goes.

Dask cannot stop a task that runs. Without this, a worker whose client has pressed Ctrl-C would go
on asking, and paying, to the end of its partitions.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from lionproc.dask.computing import current_task, is_given_up
from lionproc.dask.question import Question
from lionproc.dask.sharing import on_worker
from lionproc.dask.work import ANSWERED, ASKED, BOUNDS, Works
from lionproc.engine.budget import Budget
from lionproc.engine.outlay import Spending
from lionproc.engine.stats import RunStats
from lionproc.model.composed import singles_of

if TYPE_CHECKING:
    from lionproc.frame.job import Job

__all__ = ["Attendant"]

TELL_S = 0.4
MOST_FAILURES = 50  # of a partition that are told
FIRST_S = 10.0  # to hear whether a partition is to begin at all
MOMENT = 5  # times TELL_S, for others to begin
FEW = 32  # rows of a partition that may all fail alike, though no other one has answers yet
WAIT_S = 60.0  # for the first answer of others
LAST_S = 2.0  # to hear how it ended
GRACE_S = 2.0  # for what is in flight when nobody wants the answers, which are kept all the same

# A worker that is out of memory for now ("paused") ends what it has, and begins nothing.
_AT_WORK = frozenset({"running", "paused", "closing_gracefully"})
WORKS = Works()  # of this process, where there is no cluster


class Attendant:
    """A `Watcher` of a partition's run.

    Args:
        run: The run, not yet begun.
        worker: The worker that does it; None where there is no cluster.
        question: What is asked.
        number: Which partition it is.
        again: Whether it goes on with what another run has begun.

    Attributes:
        unwanted: True if the run was ended because nobody wants it any more.
    """

    def __init__(
        self, run: Job, worker: Any, question: Question, number: int, *, again: bool = False
    ) -> None:
        self._run = run
        self._worker = worker
        self._question = question
        self._number = number
        self._again = again
        self._key = current_task() if worker is None else worker.get_current_task()
        self._place = f"{socket.gethostname()}/{os.getpid()}"
        self._told_at = 0.0
        self._shares_budget = question.budget is not None and worker is not None
        self._paused = False
        self._stopped = self._vouched = False
        self._concurrency: int | None = None  # as it was wanted last
        self._asked: Future[dict[str, Any]] = Future()  # what was told last, and its answer
        self._last: Future[dict[str, Any]] | None = None  # what was told at the end
        self.unwanted = False

    def begin(self) -> None:
        """Hear whether the run is to send anything, in the thread of the task.

        Where it is not, it still has the answers that are kept: Dask does a partition again whose
        worker has gone, though the budget is used up by then or somebody has stopped the work.
        """
        with contextlib.suppress(Exception):  # then it is heard later
            wanted = self._tell(self._run.stats).result(FIRST_S)
            if wanted["stopped"] and self._worker is not None:
                self._run.budget, self._stopped = Budget(requests=0), True
            self._heed_now(wanted)

    def tell_of_part(self, answered: int) -> None:
        """The rows are there with their answers, and nothing is asked: others hear that it goes well.

        Args:
            answered: How many have one.
        """
        stats = self._run.stats
        skipped = stats.rows - answered
        stats = replace(stats, state="done", answered=answered, cached=answered, skipped=skipped)
        with contextlib.suppress(Exception):  # it is read all the same
            self._tell(replace(stats, queued=0)).result(LAST_S)

    def update(self, stats: RunStats) -> None:
        """See `Watcher.update`."""
        if self.unwanted:
            return
        if not self._is_wanted():
            self.unwanted = True
            self._run.stop(GRACE_S)
        elif time.monotonic() - self._told_at >= (TELL_S if self._asked.done() else FIRST_S):
            self._tell(stats).add_done_callback(self._heed)

    def close(self, stats: RunStats) -> None:
        """See `Watcher.close`."""
        if self._worker is None or self._worker.status.name in _AT_WORK:
            with contextlib.suppress(Exception):
                failures = self._run._store.failures.kept(MOST_FAILURES)
                self._last = self._tell(stats, failures)

    def end(self) -> None:
        """Wait, in the thread of the task, until the end was heard: the job may look at once."""
        with contextlib.suppress(Exception):
            if self._last is not None:
                self._last.result(LAST_S)

    def is_to_go_on(self) -> bool:
        """Whether a run that has stopped, for its rows fail alike, is to go on: in the thread of the task.

        It is where rows of another partition were answered. As long as none was and one is asked it
        waits, for its first answers may be on their way; and a moment for those that begin together
        with this one. Where none comes, one thread may do them all: then a small partition goes on, if
        it is the first that has no answers.
        """
        if self._again:
            return False
        until = time.monotonic() + (WAIT_S if self._question.partitions > 1 else 0.0)
        stats = replace(self._run.stats, state="failed", failed=self._run.stats.rows)
        looks = 0
        while self._is_wanted() and time.monotonic() < until:
            with contextlib.suppress(Exception):
                heard = self._tell(stats).result(FIRST_S)
                if heard["others"] == ANSWERED or heard["stopped"]:
                    return bool(heard["others"] == ANSWERED)  # if all has stopped, it sends nothing
                if heard["others"] != ASKED and looks >= MOMENT:
                    return not heard["others"] and stats.rows <= FEW
                looks += 1
            time.sleep(TELL_S)
        return False

    def _is_wanted(self) -> bool:
        if self._worker is None:
            return not is_given_up(self._key)
        if self._worker.status.name not in _AT_WORK:
            return False
        task = self._worker.state.tasks.get(self._key)
        return task is not None and task.state != "cancelled"

    def _tell(
        self, stats: RunStats, failures: Sequence[Mapping[str, object]] = ()
    ) -> Future[dict[str, Any]]:
        self._told_at = time.monotonic()
        budget = self._question.budget
        said: dict[str, Any] = {
            "number": self._number,
            "run": self._run.run_id,
            "stats": asdict(replace(stats, errors={}))
            | {"errors": dict(stats.errors), "place": self._place}
            | {"worker": getattr(self._worker, "address", "")}
            | {"spending": self._run._budget.tell(shared=self._shares_budget)},
            "failures": failures,
            "budget": None if budget is None else {name: getattr(budget, name) for name in BOUNDS},
        }
        if self._worker is None:
            self._asked = Future()
            self._asked.set_result(WORKS.hear(self._question.token, again=self._again, **said))
            return self._asked

        async def tell() -> dict[str, Any]:
            answer: dict[str, Any] = await self._worker.scheduler.lionproc_tell(
                question=self._question.token, task=str(self._key), **said
            )
            return answer

        self._asked = on_worker(self._worker, tell())
        return self._asked

    def _heed(self, answer: Future[dict[str, Any]]) -> None:
        """Do what is wanted. What cannot be heard is heard the next time."""
        with contextlib.suppress(Exception):
            if answer is self._asked:
                self._heed_now(answer.result())

    def _heed_now(self, wanted: Mapping[str, Any]) -> None:
        if self._shares_budget:
            self._run._budget.heard(Spending(*wanted["elsewhere"]))
        concurrency = wanted["concurrency"]
        if concurrency is not None and concurrency != self._concurrency:
            self._concurrency = concurrency
            for each in singles_of(self._question.model):
                each.connect().limiter.limits.update(concurrency=concurrency)
        if (wanted["others"] == ANSWERED or self._again) and not self._vouched:
            self._vouched = True
            self._run.vouch()
        if wanted["stopped"] and not self._stopped:
            self._stopped = True
            self._run.stop()
        if wanted["paused"] != self._paused:
            self._paused = wanted["paused"]
            (self._run.pause if self._paused else self._run.resume)()
