"""A run from start to end: fed, watched and steered from any thread."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import logging
import os
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from lionproc.engine import gc_threshold
from lionproc.engine import loop as engine_loop
from lionproc.engine.adapt import REQUESTS, TOKENS
from lionproc.engine.budget import Budget
from lionproc.engine.dispatcher import Dispatcher
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.journal import Journal
from lionproc.engine.limiter import Limiter, Tokens
from lionproc.engine.limits import Limits
from lionproc.engine.outlay import Verdict
from lionproc.engine.request import Event
from lionproc.engine.retry import Retry
from lionproc.engine.stats import LimitUse, RunStats, State
from lionproc.errors import ConfigurationError, Kind, RunError

log = logging.getLogger("lionproc.engine")
TICK_S = 0.2  # how often watchers look
GRACE_S = 0.8  # what is in flight gets when a person interrupts
FAULT_GRACE_S = 10.0  # and when the run fails
GUESSED = "they are estimated from the texts"
_running: set[Run] = set()


class Price(Protocol):
    """What tokens cost."""

    def usd(self, tokens: Tokens) -> float:
        """Dollars for these tokens."""


class Watcher(Protocol):
    """Something a person looks at. It is told, and never asks."""

    def update(self, stats: RunStats) -> None:
        """The run at this moment; called a few times a second from the engine's thread."""

    def close(self, stats: RunStats) -> None:
        """The run has ended like this."""


class Run(ABC):
    """Rows on their way through an executor. A subclass feeds events and takes them back.

    Args:
        rows: How many rows there are.
        limiter: The gate.
        journal: Where replies are kept. Closed when the run ends.
        retry: How patient to be.
        budget: What it may spend.
        price: What tokens cost, None where that is not known.
        since: Only journal records after this mark answer rows.
        limits: Limits this run was given, which become the gate's; None leaves those it has.
    """

    def __init__(
        self,
        *,
        rows: int,
        limiter: Limiter,
        journal: Journal,
        retry: Retry,
        budget: Budget | None,
        price: Price | None,
        since: int,
        limits: Limits | None = None,
    ) -> None:
        if budget is not None and budget.usd is not None and price is None:
            raise ConfigurationError(
                "The price of this model is not known, so a budget in dollars cannot be kept. "
                "Use Budget(tokens=...) or Budget(requests=...)."
            )
        self._rows = rows
        if limits is not None:
            limiter.limits = limiter.limits_of_run = limits
        self._inherits_limits = limits is None and limiter.limits_of_run is limiter.limits
        self._limiter = limiter
        self._journal = journal
        self._retry = retry
        self._budget = budget
        self._price = price
        self._since = since
        self._cached = self._skipped = self._answered = self._failed = 0
        self._errors: Counter[str] = Counter()
        self._state: State = "running"
        self._budget_reached = ""
        self._started_at = time.monotonic()
        self._began_at: float | None = None  # by the clock on the wall
        self._ended_at: float | None = None
        self._executor: RateLimitedAPIExecutor | None = None
        self._stop_grace_s: float | None = None
        self._feeding: asyncio.Task[None] | None = None
        self._watchers: list[Watcher] = []
        self._future: concurrent.futures.Future[None] | None = None
        self._lock = threading.Lock()
        self._late_pause = False
        self._halting: asyncio.Future[None] | None = None
        self._use = LimitUse()

    # -- what a subclass does ---------------------------------------------------------------

    @abstractmethod
    async def _feed(self, dispatcher: Dispatcher) -> None:
        """Put every event, on the engine's loop."""

    @abstractmethod
    def _took(self, event: Event) -> None:
        """An event is finished, on the engine's loop."""

    @abstractmethod
    async def _open(self) -> None:
        """Open what the run needs, on the engine's loop."""

    @abstractmethod
    async def _close(self) -> None:
        """The last event is finished: write what is open, close what `_open` opened."""

    # -- life -------------------------------------------------------------------------------

    def watch(self, watcher: Watcher) -> None:
        """Tell a watcher how the run goes."""
        self._watchers.append(watcher)

    def begin(self) -> None:
        """Start, and return at once."""
        with self._lock:
            if self._future is None:
                self._started_at = time.monotonic()
                self._began_at = time.time()
                _running.add(self)
                self._future = engine_loop.submit(self._run())
                atexit.unregister(_end_all)  # last registered is first called: before the loop ends
                atexit.register(_end_all)

    async def _run(self) -> None:
        with gc_threshold.relaxed():
            await self._main()

    async def _main(self) -> None:
        ticker = asyncio.create_task(self._tick())
        executor = RateLimitedAPIExecutor(
            limiter=self._limiter,
            journal=self._journal,
            retry=self._retry,
            history=0,
            since=self._since,
            on_done=self._took,
            may_send=self._may_send if self._budget is not None else None,
            first_failures=self._retry.first_failures,
        )
        executor.dispatcher.replay.has_answered = self._cached > 0
        self._executor = executor
        if self._late_pause:
            executor.pause()
        fault: BaseException | None = None
        try:
            await self._open()
            if self._stop_grace_s is None:
                feeding = self._feeding = asyncio.create_task(self._feed(executor.dispatcher))
                # Unlike awaiting it, this tells a run that stops feeding from one that is killed.
                await asyncio.wait((feeding,))
                if not feeding.cancelled():
                    feeding.result()
                if self._stop_grace_s is None:
                    await executor.forward()
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
            await executor.dispatcher.halt(grace_s)
            await self._end(executor, fault)
            ticker.cancel()
            self._tell_the_end()
            _running.discard(self)

    async def _end(self, executor: RateLimitedAPIExecutor, fault: BaseException | None) -> None:
        if fault is None and self._stop_grace_s is None and not self._budget_reached:
            executor.dispatcher.judge_the_end()
        if fault is not None or executor.fatal is not None:
            self._state = "failed"
        elif self._stop_grace_s is not None or self._budget_reached:
            self._state = "stopped"
        else:
            self._state = "done"
        try:
            await self._close()
        finally:
            await _in_thread(self._journal.close)
            self._ended_at = time.monotonic()

    def _may_send(self, estimate: Tokens) -> Verdict:
        executor, budget = self._executor, self._budget
        if executor is None or budget is None:
            return "send"
        if self._budget_reached:
            return "stop"
        verdict, self._budget_reached = executor.outlay.verdict(
            budget, estimate, executor.counters.sent, self._usd
        )
        return verdict

    def _usd(self, tokens: Tokens) -> float | None:
        return None if self._price is None else self._price.usd(tokens)

    async def _tick(self) -> None:
        before = self.stats
        while True:
            await asyncio.sleep(TICK_S)
            stats = self.stats
            self._use.add(before, stats)
            before = stats
            for watcher in self._watchers:
                _safely(watcher.update, stats)

    def _tell_the_end(self) -> None:
        stats = self.stats
        for watcher in self._watchers:
            _safely(watcher.close, stats)

    # -- the wheel --------------------------------------------------------------------------

    @property
    def limits(self) -> Limits:
        """The live limits, shared by all runs to the same endpoint, key and model."""
        return self._limiter.limits

    def pause(self) -> None:
        """Let nothing more leave until `resume`. What is in flight comes back and is kept."""
        self._steer(paused=True)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._steer(paused=False)

    def _steer(self, *, paused: bool) -> None:
        def act() -> None:
            self._late_pause = paused
            if self._executor is not None:
                if paused:
                    self._executor.pause()
                else:
                    self._executor.resume()
            if self._state in {"running", "paused"}:
                self._state = "paused" if paused else "running"

        engine_loop.get().call_soon_threadsafe(act)

    def stop(self, grace_s: float = 10.0) -> None:
        """Send nothing more, and let what is in flight come back.

        Args:
            grace_s: Seconds for that; what is later is cancelled (and may be billed all the
                same). Nothing that came back is lost.
        """

        def act() -> None:
            if self._ended_at is not None:
                return
            self._stop_grace_s = grace_s
            self._state = "stopping"
            if self._feeding is not None:
                self._feeding.cancel()
            if self._executor is not None:
                self._halting = asyncio.ensure_future(self._executor.dispatcher.halt(grace_s))

        engine_loop.get().call_soon_threadsafe(act)

    @property
    def done(self) -> bool:
        """True once the run has ended, in whatever way."""
        return self._future is not None and self._future.done()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the run has ended.

        Args:
            timeout: Seconds to wait at most, None for no bound.

        Returns:
            True if it has ended.
        """
        if self._future is None:
            return False
        end = None if timeout is None else time.monotonic() + timeout
        while not self._future.done():
            # In slices, so that Ctrl-C gets through on every platform.
            left = 0.25 if end is None else min(0.25, end - time.monotonic())
            if left <= 0:
                return False
            concurrent.futures.wait((self._future,), timeout=left)
        return True

    def _raise_faults(self) -> None:
        """Raise what ended the run before its time."""
        if self._future is not None and self._future.done():
            self._future.result()
        if self._executor is not None and self._executor.fatal is not None:
            raise self._executor.fatal

    # -- what a person sees -----------------------------------------------------------------

    @property
    def stats(self) -> RunStats:
        """The run at this moment."""
        executor, limiter = self._executor, self._limiter
        if executor is None:
            return RunStats(state=self._state, rows=self._rows)
        counters = executor.counters
        ended = self._ended_at
        elapsed = (ended or time.monotonic()) - self._started_at
        window_s = min(max(elapsed, 1.0), 60.0)
        used = Tokens(counters.prompt_tokens, counters.completion_tokens)
        pace = limiter.pace_per_minute
        return RunStats(
            state=self._state,
            rows=self._rows,
            answered=self._answered + self._cached,
            cached=self._cached,
            skipped=self._skipped,
            failed=self._failed,
            sent=counters.sent,
            retried=counters.retried,
            throttled=counters.throttled,
            in_flight=executor.in_flight,
            queued=executor.queued,
            prompt_tokens=used.input,
            completion_tokens=used.output,
            guessed=counters.guessed,
            estimate_error=counters.estimate_off / counters.estimated
            if counters.estimated
            else 0.0,
            usd=self._usd(used),
            began_at=self._began_at,
            elapsed_s=elapsed,
            requests_per_minute=limiter.per_minute(REQUESTS, window_s),
            tokens_per_minute=limiter.per_minute(TOKENS, window_s),
            requests_limit=limiter.effective(REQUESTS),
            tokens_limit=limiter.effective(TOKENS),
            pace=pace,
            learned_requests_per_minute=limiter.learned.per_minute,
            learned_from=limiter.learned.source,
            limits_inherited=self._inherits_limits,
            limit_used=self._use.share,
            concurrency=limiter.concurrency,
            holding_s=limiter.holding_s(),
            note=self._note(executor),
            errors=self._error_counts(),
        )

    def _note(self, executor: RateLimitedAPIExecutor) -> str:
        if self._state == "failed" and executor.fatal is not None:
            return str(executor.fatal)
        if self._budget_reached:
            return f"The budget of {self._budget_reached} is reached."
        if self._state != "running":
            return ""
        if executor.failing:
            return "The server fails; probing whether it is back."
        if executor.outlay.waiting:
            return "Waiting for what is in flight: it may use up the budget."
        hold = self._limiter.hold_note()
        if hold:
            return hold
        waiting = self._limiter.waiting_for
        if waiting and waiting != "a free slot":
            return f"Waiting for {waiting}."
        if self._limiter.ignored:
            return (
                f"A header of the server cannot be meant and is ignored ({self._limiter.ignored})."
            )
        return f"The server does not count tokens: {GUESSED}." if executor.counters.guessed else ""

    def _error_counts(self) -> Mapping[str, int]:
        return MappingProxyType(dict(self._errors))

    def _count_error(self, kind: Kind, rows: int = 1) -> None:
        self._failed += rows
        self._errors[kind] += rows

    @property
    def fatal(self) -> RunError | None:
        """What no row could get past, if the run stopped for that."""
        return None if self._executor is None else self._executor.fatal

    @property
    def budget_reached(self) -> str:
        """Which budget stopped the run, in words."""
        return self._budget_reached


async def _in_thread(work: Callable[[], None]) -> None:
    try:
        done = asyncio.get_running_loop().run_in_executor(None, work)
    except RuntimeError:  # the interpreter ends and starts no more threads
        work()
    else:
        await done


def _end_all() -> None:
    """At exit: what is in flight may still come back and is kept."""
    runs = list(_running)
    for run in runs:
        run.stop(GRACE_S)
    for run in runs:
        run.wait(GRACE_S + 1.0)


def _forget() -> None:
    """In a forked child: the runs stayed with the parent."""
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _safely(tell: Callable[[RunStats], None], stats: RunStats) -> None:
    """A display that breaks must not break the run."""
    try:
        tell(stats)
    except Exception:
        log.debug("a watcher failed", exc_info=True)
