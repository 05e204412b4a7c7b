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
from dataclasses import dataclass
from typing import Any

from distributed import get_worker
from distributed.protocol.pickle import dumps

from lionproc.dask.keys import with_keys
from lionproc.dask.question import Question
from lionproc.dask.scheduler_plugin import NAME, LionprocPlugin
from lionproc.engine import loop as engine_loop
from lionproc.engine.lease_messages import Ask, Grant
from lionproc.engine.lender import Lender
from lionproc.engine.limiter import Limiter
from lionproc.engine.limits import Limits
from lionproc.errors import ConfigurationError, LionprocError
from lionproc.model.composed import leaves_of

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
        for limiter in {leaf.connect().limiter for leaf in leaves_of(model)}:
            _enter(limiter, worker, question)
            borrowing.callback(_leave, limiter)
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

_with_plugin: set[str] = set()  # schedulers that have it


def with_plugin(worker: Any) -> None:
    """Have the scheduler keep budgets.

    Raises:
        ConfigurationError: It does not.
    """
    address = str(worker.scheduler.address)
    if address in _with_plugin:
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
    _with_plugin.add(address)


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
        self._worker = worker
        self._budget = budget

    async def __call__(self, ask: Ask) -> Grant:
        """Ask the scheduler; on the engine's loop."""
        answer = self._worker.scheduler.lionproc_ask(budget=self._budget, ask=ask.as_dict())
        return Grant(**await asyncio.wrap_future(on_worker(self._worker, _awaited(answer))))


async def _awaited(work: Any) -> Any:
    return await work


# -- the limiters of this process ------------------------------------------------------------


@dataclass(slots=True)
class _Borrowing:
    lender: Lender
    scheduler: str
    runs: int = 0


_borrowing: dict[Limiter, _Borrowing] = {}
_heeded: set[tuple[str, str]] = set()  # questions whose limits were told to a budget
_lock = threading.Lock()


def _enter(limiter: Limiter, worker: Any, question: Question) -> None:
    scheduler = str(worker.scheduler.address)
    with _lock:
        now = _borrowing.get(limiter)
        if now is None or now.scheduler != scheduler:
            name = hashlib.sha256(limiter.identity.encode()).hexdigest()[:32]
            office = SchedulerOffice(worker, name)
            lender = engine_loop.call(lambda: limiter.borrow(office, place=worker.address))
            assert lender is not None  # noqa: S101  (there is an office)
            now = _borrowing[limiter] = _Borrowing(lender, scheduler)
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


def _leave(limiter: Limiter) -> None:
    with _lock:
        now = _borrowing[limiter]
        now.runs -= 1
        if now.runs:
            return
        del _borrowing[limiter]
        engine_loop.call(lambda: limiter.borrow(None))
    with contextlib.suppress(Exception):  # the scheduler may be gone; what is lent ends by itself
        engine_loop.submit(now.lender.close()).result(5.0)
