"""The public face of the engine: calls in, answers out, from any thread and any event loop.

More than 400 lines because it is a public face: what people call and look at is described in full.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from copy import copy
from functools import partial
from numbers import Real
from types import TracebackType
from typing import Any, NoReturn, Self

from lionproc.engine import loop as engine_loop
from lionproc.engine.counters import Counters
from lionproc.engine.dispatcher import Dispatcher
from lionproc.engine.executor_group import ExecutorGroup
from lionproc.engine.forked import leave_behind, renew_in_child
from lionproc.engine.journal import Journal
from lionproc.engine.limiter import Limiter
from lionproc.engine.limiter_chain import LimiterChain
from lionproc.engine.limits import Limits
from lionproc.engine.look_up import LookUp
from lionproc.engine.outlay import Verdict
from lionproc.engine.permission import given_up
from lionproc.engine.request import Call, Event
from lionproc.engine.retry import Retry
from lionproc.engine.tokens import Tokens
from lionproc.errors import CallError, ConfigurationError, Kind, LimitsError, RunError
from lionproc.face import faced

PER_MINUTE = {"limit_requests": "requests_per_minute", "limit_tokens": "tokens_per_minute"}


@faced
class RateLimitedAPIExecutor:
    """Sends calls in the order they came, as fast as the limits allow, and loses none.

    Requests that fail in passing are sent again; equal ones share one request; a reply counts
    once the journal has it. Everything runs on the engine's own loop, so the same executor
    serves scripts, notebooks and any event loop; the async methods may be awaited anywhere.

    This class has more than 25 methods because it is a public face: nearly all of them are what
    people call or look at, and a few lines long. The work is done by its `Dispatcher`.

    Args:
        queue_capacity: Events that may wait; a full queue makes the producer wait.
        capacity_refresh_time: Seconds that `limit_*` are counted over, if `interval` is None.
        interval: Seconds that `limit_requests` and `limit_tokens` are counted over.
        limit_requests: Requests per `interval`. None for no limit.
        limit_tokens: Tokens per `interval`. None for no limit.
        concurrency_limit: Requests in flight at once, default 32.
        limiter: The limiter to share with others, instead of the four numbers above.
        journal: Where replies are kept. None keeps none, and shares only requests in flight.
        retry: How patient to be.
        since: Only journal records after this mark answer anything.
        history: Finished events to remember for `completed_events` and `failed_events`; see `History`.
        on_done: Called with every event when it is finished, on the engine's loop.
        may_send: Asked before each request, with its estimate and whether it is a correction:
            whether it may be sent, has to wait for what is in flight, or everything stops (a
            budget is reached).
        first_failures: So many first requests that fail in one way, with no answer among them,
            stop everything. None never does, as suits whoever serves callers that have nothing
            to do with each other.
        elsewhere: The kinds of failure that somebody else makes up for, so that they never stop
            everything.

    Attributes:
        queue_capacity: Events that may wait.
        interval: Seconds that `limit_requests` and `limit_tokens` are counted over.
        limiter: The limiter, to share with other executors.
        dispatcher: The core, for code that runs on the engine's loop.
        group: The core and those of what is inside, likewise; see `lp.Model(executor=)`.
        outlay: What was spent and is in flight, for a budget.

    Raises:
        ConfigurationError: A number is out of range.

    Example:
        ```python
        async with RateLimitedAPIExecutor(limit_requests=600) as executor:
            answer = await executor.submit(call)
        ```
    """

    def __init__(  # noqa: PLR0917  (its state, and the order is the contract's)
        self,
        queue_capacity: int = 1000,
        capacity_refresh_time: float = 60,
        interval: float | None = None,
        limit_requests: float | None = None,
        limit_tokens: float | None = None,
        concurrency_limit: int | None = None,
        *,
        limiter: Limiter | None = None,
        journal: Journal | None = None,
        retry: Retry | None = None,
        since: int = 0,
        history: int = 10_000,
        on_done: Callable[[Event], None] | None = None,
        may_send: Callable[[Tokens, bool], Verdict] | None = None,
        first_failures: int | None = None,
        elsewhere: frozenset[Kind] = frozenset(),
    ) -> None:
        if isinstance(queue_capacity, bool) or not queue_capacity >= 1:
            raise ConfigurationError(f"queue_capacity is at least 1, not {queue_capacity!r}.")
        self.queue_capacity = int(queue_capacity)
        self.interval = float(capacity_refresh_time if interval is None else interval)
        if not 0 < self.interval < math.inf:
            raise ConfigurationError(f"interval is a time in seconds above 0, not {interval!r}.")
        self.limiter = LimiterChain(Limits()) if limiter is None else limiter
        if limiter is None:
            # A share of an interval shorter than a minute is kept as strictly as the minute's.
            self.limits.burst_seconds = self.interval if self.interval < 60 else 1.0
            self.update_limits(limit_requests, limit_tokens, concurrency_limit)
        self._make_dispatcher = partial(
            Dispatcher,
            queue_capacity=self.queue_capacity,
            limiter=self.limiter,
            retry=retry or Retry(),
            since=since,
            history=history,
            on_done=on_done,
            may_send=may_send,
            first_failures=first_failures,
            elsewhere=elsewhere,
        )
        self._begin(journal)
        if limiter is None:
            renew_in_child(self)  # who shares a limiter with others is renewed by its owner

    def _begin(self, journal: Journal | None) -> None:
        self.dispatcher = self._make_dispatcher(journal=journal)
        self.group = ExecutorGroup(self.dispatcher)
        self.outlay = self.dispatcher.counters.outlay
        self._look_up = LookUp(self.dispatcher)

    def inside(
        self, *, retry: Retry | None = None, elsewhere: frozenset[Kind] = frozenset()
    ) -> RateLimitedAPIExecutor:
        """An executor inside this one, for a service. On the engine's loop.

        Its queue, its patience and what stops it are its own; limits, pauses, counts, lists and a
        journal, if there is one, are those of this one.

        Args:
            retry: How patient to be; None for as patient as this one.
            elsewhere: The kinds of failure that somebody else makes up for.
        """
        made = RateLimitedAPIExecutor(
            self.queue_capacity, interval=self.interval, limiter=self.limiter
        )
        given = self._make_dispatcher.keywords
        made._make_dispatcher = partial(
            self._make_dispatcher,
            retry=retry or given["retry"],
            elsewhere=given["elsewhere"] | elsewhere,
            outlay=self.outlay,
        )
        made._begin(self.journal)
        self.group.enter_service(made.dispatcher)
        return made

    def renew(self) -> None:
        """In a forked child: begin anew."""
        leave_behind((self.dispatcher, self.group, self._look_up))
        self.limiter.renew()
        self._begin(self.journal)

    # -- life -------------------------------------------------------------------------------

    @engine_loop.on_engine
    async def start(self) -> None:
        """Let requests be sent; also again, after `stop` or after an error that stopped all."""
        await self.group.start()

    @engine_loop.on_engine
    async def stop(self, grace_s: float = 10.0) -> None:
        """Stop sending; events that were waiting end as cancelled, and runs inside with an error.

        Args:
            grace_s: Seconds in which what is in flight may still come back.
        """
        await self.group.stop(grace_s)

    def pause(self) -> None:
        """Send nothing more until `resume`. What is in flight comes back."""
        engine_loop.call(self.dispatcher.permission.resumed.clear)

    def resume(self) -> None:
        """Send requests again."""
        engine_loop.call(self.dispatcher.permission.resumed.set)

    @property
    def paused(self) -> bool:
        """True between `pause` and `resume`."""
        return not self.dispatcher.permission.resumed.is_set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.forward()
        await self.stop()

    # -- in ---------------------------------------------------------------------------------

    @engine_loop.on_engine
    async def submit(
        self, call: Call, *, deadline_s: float | None = None, priority: float = 0
    ) -> object:
        """Send a call and wait for its answer.

        Giving up the wait takes the call out of the queue again, unless somebody else waits
        for an equal one: nothing is sent that nobody wants any more.

        Args:
            call: What to ask.
            deadline_s: Seconds it may wait in the queue; after that it is not sent any more.
            priority: Higher goes first; equal ones in the order they came.

        Returns:
            The answer.

        Raises:
            CallError: There is none; `kind` says why.
        """
        return await self.settled(await self._append(call, deadline_s, priority))

    async def settled(self, event: Event) -> object:
        """Wait for an event on the engine's loop; it is withdrawn when nobody waits any more."""
        event.claims += 1
        try:
            await asyncio.wait((event._waiter(),))
        finally:
            self._let_go(event)
        if event.error is not None:
            raise copy(event.error)  # it is kept, and would keep the frames of whoever hears of it
        return event.value

    @engine_loop.on_engine
    async def append(
        self, call: Call, *, deadline_s: float | None = None, priority: float = 0
    ) -> Event:
        """Queue a call, waiting while the queue is full.

        What the journal has an answer to is not sent.

        Args:
            call: What to ask.
            deadline_s: Seconds it may wait in the queue; after that it is not sent any more.
            priority: Higher goes first; equal ones in the order they came.

        Returns:
            Its event, which may be that of an equal call under way.
        """
        event = await self._append(call, deadline_s, priority)
        event.claims += 1  # held by somebody who may await it at any time
        return event

    def cancel(self, event: Event) -> bool:
        """Take an event out of the queue, from any thread.

        Args:
            event: What `append` returned.

        Returns:
            True if it was not sent and will not be; False if it is too late for that.
        """
        error = CallError(Kind.CANCELLED, "Cancelled before it was sent.")
        return engine_loop.call(lambda: self.group.withdraw(event, error))

    async def _append(self, call: Call, deadline_s: float | None, priority: float) -> Event:
        dispatcher = self.dispatcher
        event = await dispatcher.coalescing.to_join(call, self.settled if self.journal else None)
        if event is not None:
            event.is_given_up = False
            dispatcher.extend_deadline(event, deadline_s)
            return event
        event = Event(call, deadline_s=deadline_s, priority=priority)
        dispatcher.register(event)
        event.claims += 1
        try:
            await self._look_up(event)
        except asyncio.CancelledError:
            self._let_go(event)
            raise
        event.claims -= 1  # whoever asked takes it up at once
        return event

    def _let_go(self, event: Event) -> None:
        """Somebody waits for an event no more; if nobody else does, it is withdrawn."""
        event.claims -= 1
        if not event.claims:
            event.is_given_up = not self.dispatcher.withdraw(event, given_up())

    @engine_loop.on_engine
    async def forward(self) -> None:
        """Wait until everything that was appended is finished, and every run inside."""
        await self.group.forward()

    # -- what a person sees and sets --------------------------------------------------------

    @property
    def limits(self) -> Limits:
        """The live limits."""
        return self.limiter.limits

    def update_limits(
        self,
        limit_requests: float | None = None,
        limit_tokens: float | None = None,
        concurrency_limit: int | None = None,
    ) -> None:
        """Change limits at any time, from any thread. None leaves one as it is.

        Args:
            limit_requests: Requests per `interval`.
            limit_tokens: Tokens per `interval`.
            concurrency_limit: Requests in flight at once.

        Raises:
            LimitsError: A number is out of range.
        """
        given = {"limit_requests": limit_requests, "limit_tokens": limit_tokens}
        fields: dict[str, Any] = {}
        for name, limit in given.items():
            if limit is None:
                continue
            if isinstance(limit, bool) or not isinstance(limit, Real) or not limit > 0:
                raise LimitsError(
                    f"{name} must be a number above 0 (None for no limit), not {limit!r}."
                )
            fields[PER_MINUTE[name]] = float(limit) * 60.0 / self.interval
        if concurrency_limit is not None:
            fields["concurrency"] = concurrency_limit
        self.limits.update(**fields)

    @property
    def journal(self) -> Journal | None:
        """Where replies are kept; None keeps none."""
        return self.dispatcher.replay.journal

    @journal.setter
    def journal(self, journal: Journal | None) -> None:
        self.group.keep_in(journal)

    @property
    def counters(self) -> Counters:
        """What was sent and used so far."""
        return self.group.counters

    @property
    def fatal(self) -> RunError | None:
        """The error that stopped everything, if one did."""
        return self.dispatcher.fatal

    @property
    def failing(self) -> bool:
        """True while the server only fails and is probed."""
        return self.dispatcher.policy.is_open

    @property
    def queued(self) -> int:
        """Events that wait to be sent, first or again."""
        return self.group.queued

    @property
    def in_flight(self) -> int:
        """Requests of this executor on their way."""
        return self.group.in_flight

    @property
    def pending_events(self) -> list[Event]:
        """Events that wait to be sent, in the order they will be, and then those of runs inside."""
        return engine_loop.call(self.group.pending_events)

    @property
    def completed_events(self) -> list[Event]:
        """The latest finished events with an answer."""
        return self._finished({"completed"})

    @property
    def failed_events(self) -> list[Event]:
        """The latest finished events without an answer."""
        return self._finished({"failed", "cancelled"})

    def _finished(self, states: set[str]) -> list[Event]:
        history = self.dispatcher.history
        return engine_loop.call(lambda: [event for event in history if event.state in states])

    def status_counts(self) -> dict[str, int]:
        """How many events are in each state (finished ones as far as they are remembered)."""
        return engine_loop.call(self.group.status_counts)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: what waits and the limits belong to this process."""
        raise TypeError("An executor cannot be pickled. Make one in each process.")

    def __repr__(self) -> str:
        if "group" not in vars(self):
            return "<RateLimitedAPIExecutor, half made>"  # as tracebacks show it
        return (
            f"<RateLimitedAPIExecutor {self.queued} queued, {self.in_flight} in flight, "
            f"{self.counters.sent} sent, {self.limits!r}>"
        )
