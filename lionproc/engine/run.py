"""A run from start to end: fed, watched and steered from any thread.

More than 400 lines because it is a public face: nearly all are what people steer and look at.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from lionproc.engine import at_exit, gc_threshold
from lionproc.engine import loop as engine_loop
from lionproc.engine.budget import Budget
from lionproc.engine.budget_group import BudgetGroup
from lionproc.engine.dispatcher import Dispatcher
from lionproc.engine.forked import STAYED_BEHIND
from lionproc.engine.journal import Journal
from lionproc.engine.limits import Limits
from lionproc.engine.noted_run import NotedRun
from lionproc.engine.promise import SLICE_S, Promise
from lionproc.engine.request import Event
from lionproc.engine.retry import Retry
from lionproc.engine.routes import Route, Routes
from lionproc.engine.run_budget import RunBudget
from lionproc.engine.stats import LimitUse, RunStats, State
from lionproc.engine.timeline import Timeline
from lionproc.engine.watching import Watcher
from lionproc.errors import Kind, RunError

log = logging.getLogger("lionproc.engine")
TICK_S = 0.2  # how often watchers look
MANY = 16  # runs at once; where there are more, each is looked at less often
FAULT_GRACE_S = 10.0  # and when the run fails


class Run(ABC):
    """Rows on their way through one executor or more. A subclass feeds and takes back events.

    It has more than 25 methods because it is a public face: what people steer and look at, and
    the four that a subclass fills in, are a few lines each. The sending is done by its `Routes`.

    Args:
        rows: How many rows there are.
        routes: Where the requests go, stage by stage.
        journal: Where replies are kept. Closed when the run ends.
        retry: How patient to be.
        budget: What it may spend.
        since: Only journal records after this mark answer rows.
        limits: Limits this run was given, which become those of its endpoints; None leaves those
            they have.
        before: An earlier run of the same rows, whose budget is that of this run too.
        group: The runs that share its budget; None for it alone.
    """

    def __init__(
        self,
        *,
        rows: int,
        routes: Sequence[Route],
        journal: Journal,
        retry: Retry,
        budget: Budget | None,
        since: int,
        limits: Limits | None = None,
        before: Run | None = None,
        group: BudgetGroup | None = None,
    ) -> None:
        self._rows = rows
        self._routes = Routes(routes)
        if before is not None:
            group = before._routes.group
            budget = before.budget
        self._budget: RunBudget = RunBudget(self._routes, budget, group)
        limiters = self._routes.limiters
        if limits is not None:
            for limiter in limiters:
                limiter.limits = limiter.limits_of_run = limits
        self._inherits_limits = limits is None and any(
            limiter.limits_of_run is limiter.limits for limiter in limiters
        )
        self._journal = journal
        self._noted = NotedRun(journal, self._to_note, self._digests)
        self._retry = retry
        self._since = since
        self._until: int | None = None  # a run that is over ends at a mark, one that runs does not
        self._cached = self._skipped = self._answered = self._failed = 0
        self._errors: Counter[str] = Counter()
        self._state: State = "running"
        self._started_at = time.monotonic()
        self._began_at: float | None = None  # by the clock on the wall
        self._ended_at: float | None = None
        self._stop_grace_s: float | None = None
        self._feeding: asyncio.Task[None] | None = None
        self._watchers: list[Watcher] = []
        self._promise: Promise[None] | None = None
        self._lock = threading.Lock()
        self._late_pause = self._is_vouched_for = False
        self._halting: asyncio.Future[None] | None = None
        self._use = LimitUse()
        self._timeline = Timeline()

    # -- what a subclass does ---------------------------------------------------------------

    @abstractmethod
    async def _feed(self, dispatchers: Sequence[Dispatcher]) -> None:
        """Give every event to the dispatcher of its stage, on the engine's loop."""

    @abstractmethod
    def _took(self, event: Event) -> None:
        """An event is finished, on the engine's loop."""

    @abstractmethod
    async def _open(self) -> None:
        """Open what the run needs, on the engine's loop."""

    @abstractmethod
    async def _close(self) -> None:
        """The last event is finished: write what is open, close what `_open` opened."""

    def _to_note(self) -> Mapping[str, object] | None:
        """What the journal remembers of this run; None for a run that it does not remember."""
        return None

    def _digests(self) -> bytes | None:
        """Digests of the answers, by which runs are compared; None where there are none."""
        return None

    # -- life -------------------------------------------------------------------------------

    def give_up(self) -> None:
        """It will never begin: close what is open for it."""
        self._journal.close()

    def stay_behind(self) -> None:
        """In a forked child: whoever waits for it here hears that it goes on in the parent."""
        self._lock = threading.Lock()
        self._watchers.clear()
        self._ended_at = time.monotonic()
        self._promise = Promise()
        self._promise.settle(error=RunError(STAYED_BEHIND))

    def watch(self, watcher: Watcher) -> None:
        """Tell a watcher how the run goes."""
        self._watchers.append(watcher)

    def begin(self) -> None:
        """Start, and return at once."""
        self._routes.count_connections()
        with self._lock:
            if self._promise is None:
                self._started_at = time.monotonic()
                at_exit.began(self)
                self._promise = engine_loop.submit(self._run())

    async def _run(self) -> None:
        if self._began_at is not None:  # Ctrl-C came before `begin` could note that it had begun
            return
        self._began_at = time.time()
        with gc_threshold.relaxed():
            try:
                await self._main()
            finally:
                self._routes.leave()

    async def _main(self) -> None:
        ticker = asyncio.create_task(self._tick())
        routes = self._routes
        routes.open(
            journal=self._journal,
            retry=self._retry,
            since=self._since,
            until=self._until,
            known=self._cached > 0,
            on_done=self._took,
            may_send=self._budget.may_send,
        )
        routes.recall(self._rows, self._journal.path)
        if self._late_pause:
            routes.pause()
        if self._is_vouched_for:
            self._vouch()
        fault: BaseException | None = None
        try:
            routes.number(await self._noted.begin())
            await self._open()
            if self._stop_grace_s is None:
                feeding = self._feeding = asyncio.create_task(self._feed(routes.dispatchers))
                # Unlike awaiting it, this tells a run that stops feeding from one that is killed.
                await asyncio.wait((feeding,))
                if not feeding.cancelled():
                    feeding.result()
                if self._stop_grace_s is None:
                    await routes.forward()
        except asyncio.CancelledError:
            self._stop_grace_s = 0.0
            raise
        except BaseException as error:
            fault = error
            raise
        finally:
            if self._feeding is not None:
                self._feeding.cancel()
            grace_s = self._stop_grace_s
            if grace_s is None:  # all is back, unless a fault ended it half way
                grace_s = 0.0 if fault is None else FAULT_GRACE_S
            await routes.halt(grace_s)
            routes.remember(time.monotonic() - self._started_at, self._journal.path)
            await self._end(fault)
            ticker.cancel()
            self._tell_the_end()
            at_exit.ended(self)

    async def _end(self, fault: BaseException | None) -> None:
        if fault is None and self._stop_grace_s is None and not self._budget.reached:
            self._routes.judge_the_end()
        if fault is not None or self._routes.fatal is not None:
            self._state = "failed"
        elif self._stop_grace_s is not None or self._budget.reached:
            self._state = "stopped"
        else:
            self._state = "done"
        try:
            await self._close()
        finally:
            await self._noted.end()
            await engine_loop.in_thread(self._journal.close)
            self._ended_at = time.monotonic()

    async def _tick(self) -> None:
        before, looks = self.stats, 0.0
        while True:
            await asyncio.sleep(TICK_S)
            self._budget.heed()
            looks += min(MANY / at_exit.under_way(), 1.0)
            if looks < 1.0:
                continue
            looks -= 1.0
            stats = self.stats
            self._use.add(before, stats)
            self._timeline.add(stats, self._routes.latencies.counts)
            before = stats
            await self._noted.again()
            for watcher in self._watchers:
                _safely(watcher.update, stats)

    def _tell_the_end(self) -> None:
        stats = self.stats
        self._timeline.add(stats, self._routes.latencies.counts)
        for watcher in self._watchers:
            _safely(watcher.close, stats)

    # -- the wheel --------------------------------------------------------------------------

    @property
    def limits(self) -> Limits:
        """The live limits, shared by all runs to the same endpoint, key and model.

        Those of the first stage, where stages go to different ones.
        """
        return self._routes.limiters[0].limits

    @property
    def budget(self) -> Budget:
        """The live budget of this run; assign a field of it, or another one, to raise it.

        It acts within 200 ms as long as the run goes on. What was stopped by a budget goes on
        with `retry_failed()` once it is raised, and what was spent counts; or by running the
        cell again, whose budget counts from the start.
        """
        return self._budget.bounds

    @budget.setter
    def budget(self, budget: Budget) -> None:
        self._budget.set(budget)

    def pause(self) -> None:
        """Let nothing more leave until `resume`. What is in flight comes back and is kept."""
        self._steer(paused=True)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._steer(paused=False)

    def _steer(self, *, paused: bool) -> None:
        def act() -> None:
            self._late_pause = paused
            if paused:
                self._routes.pause()
            else:
                self._routes.resume()
            if self._state in {"running", "paused"}:
                self._state = "paused" if paused else "running"

        engine_loop.get().call_soon_threadsafe(act)

    def vouch(self) -> None:
        """Say that other runs ask the same and were answered: it ends for no rows that fail alike."""
        engine_loop.get().call_soon_threadsafe(self._vouch)

    def _vouch(self) -> None:
        self._is_vouched_for = True
        for dispatcher in self._routes.dispatchers:
            dispatcher.policy.vouch()

    def stop(self, grace_s: float = 10.0) -> None:
        """Send nothing more, and let what is in flight come back.

        Args:
            grace_s: Seconds for that; what is later is cancelled (and may be billed all the
                same). Nothing that came back is lost.
        """

        def act() -> None:
            if self._state in {"done", "stopped", "failed"}:  # what it had is being put away
                return
            self._stop_grace_s = grace_s
            self._state = "stopping"
            if self._feeding is not None:
                self._feeding.cancel()
            self._halting = asyncio.ensure_future(self._routes.halt(grace_s))

        self.begin()  # interrupted before it had begun, it begins in order to end as others do
        engine_loop.get().call_soon_threadsafe(act)

    @property
    def done(self) -> bool:
        """True once the run has ended, in whatever way."""
        return self._promise is not None and self._promise.done()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the run has ended.

        Args:
            timeout: Seconds to wait at most, None for no bound.

        Returns:
            True if it has ended.

        Raises:
            RunError: It is waited for where it runs: in a validator of an answer type.
            KeyboardInterrupt: Ctrl-C, in a coroutine that `asyncio.run` runs too.
        """
        if self._promise is None:
            return False
        engine_loop.refuse_to_wait_here()
        cancelled = engine_loop.cancellations()
        end = None if timeout is None else time.monotonic() + timeout
        while not self._promise.done():
            left = SLICE_S if end is None else min(SLICE_S, end - time.monotonic())
            if left <= 0:
                return False
            self._promise.wait(left)
            if engine_loop.cancellations() > cancelled:
                raise KeyboardInterrupt
            self._while_waiting()
        return True

    def _while_waiting(self) -> None:  # noqa: B027  (nothing, unless a subclass has something)
        """Called a few times a second in the thread that waits."""

    def raise_faults(self) -> None:
        """Raise what ended the run before its time."""
        if self._promise is not None and self._promise.done():
            self._promise.result()
        if self._routes.fatal is not None:
            raise self._routes.fatal

    # -- what a person sees -----------------------------------------------------------------

    @property
    def stats(self) -> RunStats:
        """The run at this moment."""
        if not self._routes.executors:
            return RunStats(state=self._state, rows=self._rows, began_at=self._began_at)
        bound, used = self._budget.used()
        so_far = RunStats(
            state=self._state,
            rows=self._rows,
            answered=self._answered + self._cached,
            cached=self._cached,
            skipped=self._skipped,
            failed=self._failed,
            usd_of_answers=self._usd_of_answers(),
            budget=bound,
            budget_used=used,
            began_at=self._began_at,
            limits_inherited=self._inherits_limits,
            limit_used=self._use.share,
            note=self._note(),
            errors=self._error_counts(),
        )
        elapsed_s = (self._ended_at or time.monotonic()) - self._started_at
        return self._routes.stats(elapsed_s, so_far)

    def _note(self) -> str:
        if self._state == "failed" and self._routes.fatal is not None:
            return str(self._routes.fatal)
        if self._budget.reached:
            return f"The budget of {self._budget.reached} is reached."
        if self._state != "running":
            return ""
        return self._budget.note or self._routes.note

    def _usd_of_answers(self) -> float | None:
        """What the answers cost when they were bought, where a subclass knows that."""
        return None

    def _error_counts(self) -> Mapping[str, int]:
        return dict(self._errors)

    def _count_error(self, kind: Kind, rows: int = 1) -> None:
        self._failed += rows
        self._errors[kind] += rows

    @property
    def fatal(self) -> RunError | None:
        """What no row could get past, if the run stopped for that."""
        return self._routes.fatal


def _safely(tell: Callable[[RunStats], None], stats: RunStats) -> None:
    """A display that breaks must not break the run."""
    try:
        tell(stats)
    except Exception:
        log.debug("a watcher failed", exc_info=True)
