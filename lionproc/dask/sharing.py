"""The limits of a partition's run: those of all workers together.

On a cluster the limiter of a worker's process borrows from a budget in the scheduler, as long as
partitions are asked about there. Where Dask works without one, in processes of this machine, they
borrow from a file beside the journal; in threads there is one limiter anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import multiprocessing
import threading
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from distributed import get_worker
from distributed.protocol.pickle import dumps

from lionproc.dask.keys import with_keys
from lionproc.dask.question import Question
from lionproc.dask.scheduler_plugin import NAME, LionprocPlugin
from lionproc.engine import loop as engine_loop
from lionproc.engine.lease_messages import Ask, Grant
from lionproc.engine.limiter import Limiter
from lionproc.engine.limits import Limits
from lionproc.errors import ConfigurationError, LionprocError
from lionproc.model.composed import singles_of

__all__ = ["shared_budget", "this_worker", "with_plugin"]


@contextlib.contextmanager
def shared_budget(question: Question, worker: Any) -> Iterator[Limits | None]:
    """For as long as a run over a partition takes.

    Args:
        question: What is asked.
        worker: The worker that asks; None where there is no cluster.

    Yields:
        The limits that the run is given; None where they are those of a budget.

    Raises:
        ConfigurationError: The scheduler cannot keep a budget.
    """
    if worker is None:
        yield _alone(question)
        return
    with_plugin(worker)
    model = with_keys(question.model, question.keys)
    with contextlib.ExitStack() as borrowing:
        for limiter in {each.connect().limiter for each in singles_of(model)}:
            borrowing.callback(_leave, limiter, _enter(limiter, worker, question))
        yield None


def this_worker() -> Any:
    """The worker of a cluster that this is done by, None where it is done without one."""
    try:
        return get_worker()
    except ValueError:
        return None


def _alone(question: Question) -> Limits | None:
    limits = question.limits
    if multiprocessing.parent_process() is None:
        return limits
    if question.budget is not None:
        raise ConfigurationError(
            "budget= is counted in one place, and processes without a cluster have none: make one "
            "with lionproc.dask.local(), or compute with scheduler='threads'."
        )
    if limits is None or limits.shared:
        return limits
    together = limits.copy()
    together.shared = True
    return together


# -- the scheduler ---------------------------------------------------------------------------

_with_plugin = WeakSet[Any]()  # workers whose scheduler has it; the next one may have its address


def with_plugin(worker: Any) -> None:
    """Have the scheduler keep budgets.

    Raises:
        ConfigurationError: It does not.
    """
    if worker in _with_plugin:
        return

    async def register() -> None:
        await worker.scheduler.register_scheduler_plugin(
            plugin=dumps(LionprocPlugin()),  # type: ignore[no-untyped-call]
            name=NAME,
            idempotent=True,
        )

    try:
        on_worker(worker, register()).result()
    except LionprocError:
        raise
    except Exception as error:
        raise ConfigurationError(
            "The scheduler of the cluster cannot keep the limits of all workers together: "
            f"{type(error).__name__}: {error}. lionproc has to be installed where the scheduler "
            "runs, in the same version, and distributed.scheduler.pickle has to be allowed there."
        ) from error
    _with_plugin.add(worker)


def on_worker(worker: Any, work: Any) -> Any:
    """Run a coroutine on the worker's own loop, where its connections are."""
    return asyncio.run_coroutine_threadsafe(work, worker.loop.asyncio_loop)


class SchedulerOffice:
    """An `Office` in the scheduler.

    Args:
        worker: Through whose connection it is asked.
        budget: Which budget.
    """

    def __init__(self, worker: Any, budget: str) -> None:
        self.worker = worker
        self._budget = budget

    async def __call__(self, ask: Ask) -> Grant:
        """Ask the scheduler; on the engine's loop."""
        answer = self.worker.scheduler.lionproc_ask(budget=self._budget, ask=ask.as_dict())
        return Grant(**await asyncio.wrap_future(on_worker(self.worker, _awaited(answer))))


async def _awaited(work: Any) -> Any:
    return await work


# -- the limiters of this process ------------------------------------------------------------


class _Borrowing:
    """What the runs for one cluster borrow for a limiter of this process.

    Args:
        limiter: The limiter.
        worker: The worker of the cluster that was the first to ask.
    """

    def __init__(self, limiter: Limiter, worker: Any) -> None:
        name = hashlib.sha256(limiter.identity.encode()).hexdigest()[:32]
        self._office = SchedulerOffice(worker, name)
        self.scheduler = str(worker.scheduler.address)
        self.runs = 0
        lender = engine_loop.call(lambda: limiter.borrow(self._office, place=worker.address))
        assert lender is not None  # noqa: S101  (there is an office)
        self.lender = lender
        self._departures = -1

    def again(self, limiter: Limiter, worker: Any = None) -> None:
        """Have the limiter borrow here again: what the budget knows is not told it anew."""
        self._office.worker = worker or self._office.worker
        engine_loop.call(lambda: limiter.borrow_again(self.lender, self._departures))

    def end(self, limiter: Limiter) -> None:
        """Have the limiter borrow here no more, for now."""

        def end() -> None:
            limiter.borrow(None)
            self._departures = limiter.departures

        engine_loop.call(end)


# The clusters that use a limiter of this process; it borrows from the one that came last.
_borrowing: dict[Limiter, list[_Borrowing]] = {}
_ended = WeakKeyDictionary[Limiter, _Borrowing]()  # the last one, for the next partition
_heeded: set[tuple[str, str]] = set()  # questions whose limits were told to a budget
_lock = threading.Lock()


def _enter(limiter: Limiter, worker: Any, question: Question) -> _Borrowing:
    scheduler = str(worker.scheduler.address)
    with _lock:
        of_all = _borrowing.setdefault(limiter, [])
        now = next((each for each in of_all if each.scheduler == scheduler), None)
        if now is None:
            now = _ended.pop(limiter, None)
            if now is not None and now.scheduler == scheduler:
                now.again(limiter, worker)
            else:
                now = _Borrowing(limiter, worker)
            of_all.append(now)
        now.runs += 1
        wanted = question.limits
        known = (question.token, limiter.identity)
        if wanted is not None and known not in _heeded:
            _heeded.add(known)
            lender = now.lender

            def tell() -> None:
                limiter.limits = wanted.copy()
                lender.wish(limiter.in_force.own_limits(), question.token)

            engine_loop.call(tell)
        return now


def _leave(limiter: Limiter, borrowing: _Borrowing) -> None:
    with _lock:
        borrowing.runs -= 1
        if borrowing.runs:
            return
        left, of_all = borrowing.lender, _borrowing[limiter]
        was_in_force = of_all[-1] is borrowing
        of_all.remove(borrowing)
        if was_in_force:
            borrowing.end(limiter)
            _ended[limiter] = borrowing
        if not of_all:
            del _borrowing[limiter]
        elif was_in_force:
            of_all[-1].again(limiter)
    with contextlib.suppress(Exception):  # the scheduler may be gone; what is lent ends by itself
        engine_loop.submit(left.close()).result(5.0)
