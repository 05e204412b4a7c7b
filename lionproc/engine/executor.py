"""The engine: a bounded queue, a gate, workers, and a journal before anything counts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from types import TracebackType
from typing import Any, Self

from lionproc.engine import loop as engine_loop
from lionproc.engine.adapt import Signals
from lionproc.engine.crew import Crew, Worker
from lionproc.engine.first_failures import FirstOutcomes
from lionproc.engine.journal import Entry, Failure, Journal
from lionproc.engine.limiter import Limiter, Reservation, Tokens
from lionproc.engine.limiter_chain import LimiterChain
from lionproc.engine.limits import Limits
from lionproc.engine.outlay import Outlay, Verdict, may_be_billed
from lionproc.engine.request import Call, Event, Reply
from lionproc.engine.retry import Breaker, Fail, Retry, RetryBudget, Stop, decide
from lionproc.engine.sharing import Sharing
from lionproc.errors import (
    AccessError,
    CallError,
    ConfigurationError,
    JournalError,
    Kind,
    LimitsError,
    RunError,
    ServiceDownError,
)
from lionproc.face import faced

log = logging.getLogger("lionproc.engine")
IDLE_S = 1.0  # workers without work stay for this long
STALE_S = 2.0  # the journal is asked again for what was looked up longer ago, just before it leaves
PATIENCE_S = 60.0  # the most that a run waits for another one, which may be paused
PER_MINUTE = {"limit_requests": "requests_per_minute", "limit_tokens": "tokens_per_minute"}
BREAKING = frozenset(
    {Kind.CONNECTION, Kind.TIMEOUT, Kind.SERVER_ERROR, Kind.OVERLOADED, Kind.BAD_REPLY}
)
COSTLY = BREAKING | {Kind.FORBIDDEN}  # what the retry budget pays for


class Tally:
    """What an executor has done so far. Written on the engine's loop, copied by readers."""

    __slots__ = ("completion_tokens", "errors", "estimate_off", "estimated", "guessed", "prompt_tokens", "retried", "sent", "throttled")  # fmt: skip

    def __init__(self) -> None:
        self.sent = self.retried = self.throttled = 0
        self.prompt_tokens = self.completion_tokens = 0
        self.estimated = self.guessed = 0  # replies whose tokens were counted, and those where not
        self.estimate_off = 0.0
        self.errors: Counter[str] = Counter()


@faced
class RateLimitedAPIExecutor:
    """Sends calls in the order they came, as fast as the limits allow, and loses none.

    Requests that fail in passing are sent again; equal ones share one request; a reply counts
    once the journal has it. Everything runs on the engine's own loop, so the same executor
    serves scripts, notebooks and any event loop; the async methods may be awaited anywhere.

    Args:
        queue_capacity: Events that may wait; a full queue makes the producer wait.
        capacity_refresh_time: Seconds that `limit_*` are counted over, if `interval` is None.
        interval: Seconds that `limit_requests` and `limit_tokens` are counted over.
        limit_requests: Requests per `interval`. None for no limit.
        limit_tokens: Tokens per `interval`. None for no limit.
        concurrency_limit: Requests in flight at once, default 32.
        limiter: The gate to share with others, instead of the four numbers above.
        journal: Where replies are kept. None keeps none, and shares only requests in flight.
        retry: How patient to be.
        since: Only journal records after this mark answer anything.
        history: Finished events to remember for `completed_events` and `failed_events`.
        on_done: Called with every event when it is finished, on the engine's loop.
        may_send: Asked before each request, with its estimate: whether it may leave, has to wait
            for what is in flight, or everything stops (a budget is reached).
        first_failures: So many first requests that fail in one way, with no answer among them,
            stop everything. None never does, as suits whoever serves callers that have nothing
            to do with each other.

    Raises:
        ConfigurationError: A number is out of range.

    Example:
        ```python
        async with RateLimitedAPIExecutor(limit_requests=600) as executor:
            answer = await executor.submit(call)
        ```
    """

    def __init__(  # noqa: PLR0915, PLR0917  (its state, and the order is the contract's)
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
        may_send: Callable[[Tokens], Verdict] | None = None,
        first_failures: int | None = None,
    ) -> None:
        if isinstance(queue_capacity, bool) or not queue_capacity >= 1:
            raise ConfigurationError(f"queue_capacity is at least 1, not {queue_capacity!r}.")
        self.queue_capacity = int(queue_capacity)
        self.interval = float(capacity_refresh_time if interval is None else interval)
        if not 0 < self.interval < math.inf:
            raise ConfigurationError(f"interval is a time in seconds above 0, not {interval!r}.")
        if limiter is None:
            limiter = LimiterChain(Limits())
            self._limiter: Limiter = limiter
            # A share of an interval shorter than a minute is kept as strictly as the minute's.
            limiter.limits.burst_seconds = self.interval if self.interval < 60 else 1.0
            self.update_limits(limit_requests, limit_tokens, concurrency_limit)
        self._limiter = limiter
        self._chain = limiter if isinstance(limiter, LimiterChain) else None
        limiter.on_change(self._staff)
        self.journal = journal
        self.shares = False  # see `Member`
        self._sharing = Sharing.over(journal)
        self._sharing.join(self)
        self._since = since
        self.retry = retry or Retry()
        self.tally = Tally()
        self.outlay = Outlay()
        self.fatal: RunError | None = None
        self._on_done = on_done
        self._may_send = may_send
        self.first = FirstOutcomes(first_failures)
        self._budget = RetryBudget(self.retry.budget)
        self._breaker = Breaker()
        self._prober: Event | None = None
        self._breaker_news = asyncio.Event()
        self._queue: deque[Event] = deque()
        self._again: deque[Event] = deque()
        self._delayed: dict[Event, asyncio.TimerHandle] = {}
        self._live: dict[bytes, Event] = {}
        self._doomed: dict[bytes, CallError] = {}
        self._expiry: dict[Event, asyncio.TimerHandle] = {}
        self._open = 0
        self._at_gate: Event | None = None
        self._helpers: set[asyncio.Task[None]] = set()
        self._leisure: asyncio.TimerHandle | None = None
        self._crew = Crew(
            self._work,
            lambda: limiter.limits.concurrency,
            lambda fault: self._stop_all(RunError(f"A fault inside lionproc: {fault!r}")),
            self._staff,
        )
        self._stopping = False
        self._history: deque[Event] = deque(maxlen=history)
        # A producer is woken for a quarter of the queue at once, not for every single place.
        self._refill_at = self.queue_capacity - max(1, self.queue_capacity // 4)
        self._room = asyncio.Event()
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._halted = asyncio.Event()
        self._halted.set()

    # -- life -------------------------------------------------------------------------------

    @engine_loop.on_engine
    async def start(self) -> None:
        """Let requests leave; also again, after `stop` or after an error that stopped all."""
        if self._stopping:
            await self._halted.wait()
            self._stopping = False
            self.fatal = None
            self._budget = RetryBudget(self.retry.budget)
            self._breaker = Breaker()
            self._prober = None
            self._doomed.clear()
            self.first = FirstOutcomes(self.first.enough)
            self._sharing.join(self)
        self._resumed.set()

    @engine_loop.on_engine
    async def stop(self, grace_s: float = 10.0) -> None:
        """Stop sending; events that were waiting end as cancelled.

        Args:
            grace_s: Seconds in which what is in flight may still come back.
        """
        await self.halt(grace_s)

    async def halt(self, grace_s: float) -> None:
        """`stop`, on the engine's loop."""
        self._stopping = True
        self._halted.clear()
        try:
            await self._halt(grace_s)
        finally:
            self._halted.set()

    async def _halt(self, grace_s: float) -> None:
        self._room.set()
        self.outlay.news.set()
        self.first.dismiss()
        for timer in self._delayed.values():
            timer.cancel()
        waiting = [*self._again, *self._delayed, *self._queue]
        for store in (self._again, self._delayed, self._queue):
            store.clear()
        for event in waiting:
            self._finish(event, CallError(Kind.NOT_SENT, "The run stopped before this was sent."))
        await self._crew.disband(grace_s)
        for event in list(self._live.values()):
            self._finish(event, CallError(Kind.CANCELLED, "Stopped while it was in flight."))
        self._sharing.leave(self)

    def pause(self) -> None:
        """Let nothing more leave until `resume`. What is in flight comes back."""
        self._resumed.clear()

    def resume(self) -> None:
        """Let requests leave again."""
        self._resumed.set()

    @property
    def paused(self) -> bool:
        """True between `pause` and `resume`."""
        return not self._resumed.is_set()

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
    ) -> Any:
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

    async def settled(self, event: Event) -> Any:
        """Wait for an event on the engine's loop; it is withdrawn when nobody waits any more."""
        event.claims += 1
        try:
            await asyncio.wait((event._waiter(),))
        finally:
            event.claims -= 1
            if not event.claims:
                self._withdraw(event, CallError(Kind.CANCELLED, "Given up before it was sent."))
        if event.error is not None:
            raise event.error
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
        return engine_loop.call(lambda: self._withdraw(event, error))

    async def _append(self, call: Call, deadline_s: float | None, priority: float) -> Event:
        event = self.live(call.key)
        if event is not None:
            self._prolong(event, deadline_s)
            return event
        event = Event(call, deadline_s=deadline_s, priority=priority)
        if self.journal is None or call.key is None:
            await self.put((event,))
            return event
        # A task of its own: equal calls may join the event while it is looked up, and they
        # must not suffer when the one who came first gives up.
        self._register(event)
        task = asyncio.get_running_loop().create_task(self._look_up(event))
        self._helpers.add(task)
        task.add_done_callback(self._helpers.discard)
        await asyncio.shield(task)
        return event

    async def _look_up(self, event: Event) -> None:
        try:
            entry = await asyncio.to_thread(self._kept, event.first.key)
            if event.done:
                return
            if entry is not None and self.answered(event, entry):
                self._finish(event)
                return
        except Exception as error:  # noqa: BLE001  (whatever it is, somebody waits to hear)
            if isinstance(error, JournalError):
                self._stop_all(error)
            self._finish(event, CallError(Kind.NOT_SENT, f"The journal cannot be read: {error}"))
            return
        await self._queue_up(event)

    def answered(self, event: Event, entry: Entry) -> bool:
        """Answer an event from the journal, if what is kept is an answer. Any thread."""
        if self.recall(event, entry) and event.error is None:
            event.cached = True
            event.prompt_tokens = entry.prompt_tokens
            event.completion_tokens = entry.completion_tokens
            event.seconds = entry.seconds
            return True
        if event.error is not None:
            event.reset()  # it failed with what was kept, so it is asked anew
        return False

    @engine_loop.on_engine
    async def forward(self) -> None:
        """Wait until everything that was appended is finished."""
        await self._quiet.wait()

    def live(self, key: bytes | None) -> Event | None:
        """The unfinished event with this key, if any. On the engine's loop."""
        return None if key is None else self._live.get(key)

    def doomed(self, key: bytes | None) -> CallError | None:
        """How an equal call failed in this run, if it did. On the engine's loop."""
        return None if key is None else self._doomed.get(key)

    async def put(self, events: Sequence[Event]) -> None:
        """Queue events in order, on the engine's loop; waits while the queue is full."""
        for event in events:
            self._register(event)
            await self._queue_up(event)

    def _register(self, event: Event) -> None:
        """From here on it counts as open, equal ones join it and its deadline runs."""
        self._open += 1
        self._quiet.clear()
        key = event.first.key
        if key is not None:
            self._live[key] = event
        if event.deadline_s is not None:
            self._expire_in(event, event.deadline_s)

    def offer(self, event: Event) -> bool:
        """Queue an event on the engine's loop, if there is room for it; else `put` it."""
        if self._stopping or self._waiting >= self.queue_capacity:
            return False
        self._register(event)
        self._line_up(event)
        return True

    async def _queue_up(self, event: Event) -> None:
        try:
            while self._waiting >= self.queue_capacity and not (self._stopping or event.done):
                self._room.clear()
                await self._room.wait()
        except asyncio.CancelledError:
            self._finish(event, CallError(Kind.NOT_SENT, "Given up before it was queued."))
            raise
        if event.done:
            return
        if self._stopping:
            self._finish(event, CallError(Kind.NOT_SENT, "The run stopped before this was sent."))
            return
        self._line_up(event)

    def _line_up(self, event: Event) -> None:
        queue = self._queue
        if not queue or queue[-1].priority >= event.priority:
            queue.append(event)
        else:
            place = next(i for i, other in enumerate(queue) if other.priority < event.priority)
            queue.insert(place, event)
        self._staff()

    @property
    def _waiting(self) -> int:
        return len(self._queue) + len(self._delayed)

    def _prolong(self, event: Event, deadline_s: float | None) -> None:
        """Somebody joins an event: the later deadline counts."""
        timer = self._expiry.get(event)
        if timer is None:
            return
        if deadline_s is None:
            self._expiry.pop(event).cancel()
        elif asyncio.get_running_loop().time() + deadline_s > timer.when():
            timer.cancel()
            event.deadline_s = deadline_s
            self._expire_in(event, deadline_s)

    def _expire_in(self, event: Event, seconds: float) -> None:
        error = CallError(Kind.DEADLINE, f"It waited for {event.deadline_s} s and was not sent.")
        loop = asyncio.get_running_loop()
        self._expiry[event] = loop.call_later(seconds, self._withdraw, event, error)

    def _withdraw(self, event: Event, error: CallError) -> bool:
        """Take back what was not sent, or waits to be sent again."""
        if event.state != "pending":
            return False
        for queue in (self._queue, self._again):
            with contextlib.suppress(ValueError):
                queue.remove(event)
        timer = self._delayed.pop(event, None)
        if timer is not None:
            timer.cancel()
        self._finish(event, error)
        self._room.set()
        return True

    # -- the workers ------------------------------------------------------------------------

    def _staff(self) -> None:
        """Something may have come to be sent: see that somebody does it."""
        if self._leisure is not None:
            self._leisure.cancel()
            self._leisure = None
        if (self._queue or self._again) and self._at_gate is None and not self._stopping:
            self._crew.call()

    async def _work(self, worker: Worker) -> None:
        """What a worker does."""
        crew = self._crew
        while crew.needs(worker) and not self._stopping:
            # One at a time at the gate: until the last moment the queue decides who is next,
            # so that priorities and deadlines hold.
            if self._at_gate is not None or not (self._queue or self._again):
                await crew.sleep(worker)
                continue
            event = self._again.popleft() if self._again else self._queue.popleft()
            try:
                if self._asked_elsewhere(event):
                    continue
                if self._waiting <= self._refill_at:
                    self._room.set()
                leave = self._leave_at_once(event)
                if leave is None:
                    self._at_gate = event
                    try:
                        leave = await self._leave(event)
                    finally:
                        self._at_gate = None
                self._staff()
                if leave is not None:
                    await self._ask(event, leave, worker)
            except asyncio.CancelledError:
                if not event.done:
                    kind = Kind.NOT_SENT if event.state == "pending" else Kind.CANCELLED
                    self._finish(event, CallError(kind, "Stopped while it was under way."))
                raise
            finally:
                crew.sending.discard(worker)

    def _asked_elsewhere(self, event: Event) -> bool:
        """True if another run has answered it since it was queued, or is asking it just now."""
        key, sharing = event.first.key, self._sharing
        if key is None or self.journal is None:
            return False
        other = sharing.asking.get(key)
        if other is not None and other is not event and not other.done:
            loop = asyncio.get_running_loop()
            self._delayed[event] = loop.call_later(PATIENCE_S, self._look_again, event)
            other.on_done(lambda: self._look_again(event))
            return True
        if event.attempts == 0 and (self.shares or time.time() - event.created > STALE_S):
            try:
                entry = self._kept(key)
            except JournalError as error:
                self._finish(event, CallError(Kind.NOT_SENT, str(error)))
                self._stop_all(error)
                return True
            if entry is not None and self.answered(event, entry):
                self._finish(event)
                return True
        sharing.asking[key] = event
        return False

    def _look_again(self, event: Event) -> None:
        """Another run is done with it, or takes too long."""
        timer = self._delayed.pop(event, None)
        if timer is not None:
            timer.cancel()
            self._sharing.asking.pop(event.first.key or b"", None)
            self._again.append(event)
            self._staff()

    async def _ask(self, event: Event, leave: Reservation, worker: Worker) -> None:
        """Send one event until it is settled or has to wait."""
        while True:
            event.state = "processing"
            event.attempts += 1
            self.tally.sent += 1
            if event.attempts > 1:
                self.tally.retried += 1
            self.first.left(event)
            self._crew.sending.add(worker)
            estimate = leave.tokens
            self.outlay.leaves(estimate)
            started = time.perf_counter()
            try:
                reply = await event.call.send()
            except BaseException as fault:
                self._limiter.failed(leave)
                if not isinstance(fault, Exception):
                    raise
                log.exception("a call raised instead of replying")
                self._finish(event, CallError(Kind.UNEXPECTED, f"{type(fault).__name__}: {fault}"))
                return
            finally:
                self.outlay.is_back(estimate)
            seconds = time.perf_counter() - started
            event.seconds += seconds
            # What was under way when the breaker opened is no probe.
            probe = self._probed(event) and self._breaker.is_open
            self.first.back(reply)
            if reply.error is not None:
                self._went_wrong(event, leave, reply.error, reply, probe=probe)
                return
            try:
                # Durable before anything else is done with it.
                kept = self._keep(event, leave, reply, seconds)
                if kept is not None:
                    await kept
            except JournalError as error:
                # This one is in hand and goes into the frame, but nothing more is bought.
                self._stop_all(error)
            finally:
                charged = reply.charged or reply.used
                self._limiter.settle(leave, charged, reply.signals, seconds)
            if self._is_settled(event, reply):
                self._finish(event)
                return
            self._crew.sending.discard(worker)
            await self.first.may_correct(event)
            again = await self._leave(event)
            if again is None:
                return
            leave = again

    def _keep(
        self, event: Event, leave: Reservation, reply: Reply, seconds: float
    ) -> asyncio.Future[None] | None:
        """Count a paid reply and hand it to the journal, if there is one to wait for."""
        self._breaker.succeeded()
        self._budget.refund()
        expected, tally = leave.tokens, self.tally
        used = expected if reply.used is None else reply.used
        known = reply.used is not None and not reply.guessed
        if not known:
            tally.guessed += 1  # what is not known is not nothing
        else:
            tally.estimated += 1
            tally.estimate_off += abs(expected.total - used.total) / max(used.total, 1)
        self._count(event, used, expected if known else None)
        event.model = reply.model
        key = event.call.key
        if self.journal is None or key is None:
            return None
        read, written = used
        attempts, now = event.attempts, time.time()
        return self.journal.append(
            Entry(key, reply.raw, reply.model, read, written, attempts, seconds, now)
        )

    def _count(self, event: Event, used: Tokens, expected: Tokens | None = None) -> None:
        """Tokens that were billed, for an answer or for none."""
        self.outlay.took(used, expected)
        self.tally.prompt_tokens += used.input
        self.tally.completion_tokens += used.output
        event.prompt_tokens += used.input
        event.completion_tokens += used.output

    def _is_settled(self, event: Event, reply: Reply) -> bool:
        if event.done or event.advance(reply.data, self.retry.max_corrections):
            return True
        return self.recall(event, self._kept(event.call.key))

    def _leave_at_once(self, event: Event) -> Reservation | None:
        """Leave to send this event, where nothing makes it wait."""
        if (
            event.done
            or self._stopping
            or not self._resumed.is_set()
            or self._breaker.is_open
            or self._verdict(event) != "send"
        ):
            return None
        return self._limiter.reserve_at_once(event.call.estimate, self._gate_of(event))

    def _verdict(self, event: Event) -> Verdict:
        return "send" if self._may_send is None else self._may_send(event.call.estimate)

    def _gate_of(self, event: Event) -> Limiter | None:
        return None if self._chain is None else getattr(event.call, "gate", None)

    async def _leave(self, event: Event) -> Reservation | None:
        """Wait until this event may be sent. None if it may not be any more."""
        while not self._stopping:
            await self._resumed.wait()
            if event.done:
                return None
            if self._breaker.is_open and not await self._probe(event):
                continue
            verdict = self._verdict(event)
            if verdict == "wait":
                await self.outlay.wait()
                continue
            if verdict == "stop":
                self._stop_all(None)
                self._finish(event, CallError(Kind.NOT_SENT, "The budget was reached."))
                return None
            try:
                leave = await self._limiter.reserve(event.call.estimate, self._gate_of(event))
            except CallError as error:
                self._finish(event, error)
                return None
            if (
                self._resumed.is_set()
                and not event.done
                and not self._stopping
                # While this one waited the breaker may have opened, and others may have left.
                and (self._prober is event or not self._breaker.is_open)
                and self._verdict(event) == "send"
            ):
                return leave
            self._limiter.cancel(leave)
        self._finish(event, CallError(Kind.NOT_SENT, "The run stopped before this was sent."))
        return None

    async def _probe(self, event: Event) -> bool:
        """While the breaker is open: True when this event may go and see."""
        if self._prober is not None and self._prober is not event and not self._prober.done:
            self._breaker_news.clear()
            await self._breaker_news.wait()
            return False
        self._prober = event
        until = self._breaker.opened_until
        if until is not None:
            await asyncio.sleep(max(until - asyncio.get_running_loop().time(), 0.0))
        return True

    def _probed(self, event: Event) -> bool:
        """Something came back; if it was the probe's, others may hear of it."""
        if self._prober is not event:
            return False
        self._prober = None
        self._breaker_news.set()
        return True

    # -- out --------------------------------------------------------------------------------

    def recall(self, event: Event, entry: Entry | None) -> bool:
        """Answer an event from the journal, corrections included, as far as it goes.

        Any thread, as long as nobody else holds the event.

        Args:
            event: Not yet sent.
            entry: What the journal has for its call, if that was looked up already.

        Returns:
            True if that settles it (it may have an error); False if `event.call` is to be sent.
        """
        while entry is not None:
            event.attempts += 1
            event.model = entry.model
            if event.advance_kept(entry.reply, self.retry.max_corrections):
                self.first.known = self.first.known or event.error is None
                return True
            entry = self._kept(event.call.key)
        return False

    def _kept(self, key: bytes | None) -> Entry | None:
        if key is None or self.journal is None:
            return None
        return self.journal.find([key], self._since).get(key)

    def _went_wrong(
        self, event: Event, leave: Reservation, error: CallError, reply: Reply, *, probe: bool
    ) -> None:
        if reply.used is not None:
            self._count(event, reply.used)
        elif may_be_billed(error):
            self.outlay.may_have_taken(leave.tokens)
        if error.kind is Kind.RATE_LIMITED:
            self.tally.throttled += 1
            signals = reply.signals or Signals(retry_after_s=error.retry_after_s)
            self._limiter.throttled(leave, signals)
        else:
            self._limiter.failed(leave, error.retry_after_s)
        if error.kind in BREAKING:
            self._breaker.failed(asyncio.get_running_loop().time(), probe=probe)
        elif error.kind is not Kind.RATE_LIMITED:
            self._breaker.succeeded()  # it answers, though not what we hoped
        decision = decide(error, event.attempts, self.retry, random.uniform)
        if isinstance(decision, Stop):
            self._finish(event, error)
            self._stop_all(AccessError(f"{error.message} Everything answered so far is kept."))
        elif isinstance(decision, Fail):
            lasting = error.kind not in COSTLY or self._budget.spend(error)
            self._finish(event, error)
            if not lasting and error.kind is Kind.FORBIDDEN:
                self._stop_all(AccessError(f"{error.message} So were too many others to go on."))
        elif not self._budget.spend(error) or self._breaker.is_down:
            self._finish(event, error)
            self._stop_all(
                ServiceDownError(
                    f"The server keeps failing (last: {error.message}), so the run stopped. "
                    "Everything answered so far is kept; run the same cell again to go on."
                )
            )
        else:
            event.state = "pending"
            self.first.put_off(event)
            handle = asyncio.get_running_loop().call_later(decision.seconds, self._return, event)
            self._delayed[event] = handle

    def _return(self, event: Event) -> None:
        """A retry is due: it goes before what never left."""
        if self._delayed.pop(event, None) is not None:
            self._again.append(event)
            self._staff()

    def _finish(self, event: Event, error: CallError | None = None) -> None:
        if event.done:
            return
        event.finish(error)
        if self._expiry and (timer := self._expiry.pop(event, None)) is not None:
            timer.cancel()
        self._unlist(event)
        if event.error is not None:
            self.tally.errors[event.error.kind] += 1
            if event.state == "failed":
                log.info("a request failed: %s", event.error.kind)
                self._note_failure(event, event.error)
        if self.first.is_over_with(event):
            self._stop_all(self.first.verdict(event))
        if self._history.maxlen:
            self._history.append(event)
        if self._on_done is not None:
            try:
                self._on_done(event)
            except Exception as fault:
                log.exception("an answer could not be taken")
                self._stop_all(RunError(f"A fault inside lionproc: {fault!r}"))
        self._open -= 1
        if self._open == 0:
            self._quiet.set()
            self._at_leisure()

    def _unlist(self, event: Event) -> None:
        """Equal calls do not join it any more."""
        key = event.first.key
        if key is not None:
            for events in (self._live, self._sharing.asking):
                if events.get(key) is event:
                    del events[key]

    def _at_leisure(self) -> None:
        """Nothing is open: let the workers go soon, so that nobody need stop an executor."""

        def dismiss() -> None:
            self._leisure = None
            if self._open == 0:
                self._crew.dismiss()

        if self._leisure is None:
            self._leisure = asyncio.get_running_loop().call_later(IDLE_S, dismiss)

    def _note_failure(self, event: Event, error: CallError) -> None:
        """Failures are kept as failures, so that the next run tries them again."""
        for key in event.keys:
            self._doomed[key] = error
            # Whoever knows what the ending means may take the reply that is kept.
            if self.journal is not None and error.kind is not Kind.UNKNOWN_ENDING:
                failure = Failure(key, error.kind, error.message, event.attempts, time.time())
                with contextlib.suppress(JournalError):
                    self.journal.append_failure(failure).add_done_callback(_looked_at)

    def _stop_all(self, error: RunError | None) -> None:
        """Something no row can get past: stop sending, keep what there is."""
        if error is not None and self.fatal is None:
            self.fatal = error
        if not self._stopping:
            self._stopping = True
            self._halted.clear()
            task = asyncio.get_running_loop().create_task(self.halt(10.0))
            self._helpers.add(task)  # held, so that it is not collected
            task.add_done_callback(self._helpers.discard)

    def judge_the_end(self) -> None:
        """Everything is back: if nothing was ever reached, that is what there is to say."""
        self.fatal = self.fatal or self.first.unreached(self.tally.errors)

    # -- what a person sees -----------------------------------------------------------------

    @property
    def limits(self) -> Limits:
        """The live limits."""
        return self._limiter.limits

    @property
    def limiter(self) -> Limiter:
        """The gate, to share with other executors."""
        return self._limiter

    def update_limits(
        self,
        limit_requests: float | None = None,
        limit_tokens: float | None = None,
        concurrency_limit: int | None = None,
    ) -> None:
        """Change limits while requests leave, from any thread. None leaves one as it is.

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
        self._limiter.limits.update(**fields)

    @property
    def failing(self) -> bool:
        """True while the server only fails and is probed."""
        return self._breaker.is_open

    @property
    def queued(self) -> int:
        """Events that wait to be sent, first or again."""
        return sum(map(len, (self._queue, self._again, self._delayed))) + (
            self._at_gate is not None
        )

    @property
    def in_flight(self) -> int:
        """Requests of this executor on their way."""
        return len(self._crew.sending)

    @property
    def pending_events(self) -> list[Event]:
        """Events that are not finished, in order of arrival."""
        return engine_loop.call(lambda: list(self._live_events()))

    @property
    def completed_events(self) -> list[Event]:
        """The latest finished events with an answer."""
        return engine_loop.call(lambda: [e for e in self._history if e.state == "completed"])

    @property
    def failed_events(self) -> list[Event]:
        """The latest finished events without an answer."""
        return engine_loop.call(
            lambda: [e for e in self._history if e.state in {"failed", "cancelled"}]
        )

    def _live_events(self) -> Iterable[Event]:
        if self._at_gate is not None:
            yield self._at_gate
        yield from self._again
        yield from self._delayed
        yield from self._queue

    def status_counts(self) -> dict[str, int]:
        """How many events are in each state (finished ones as far as they are remembered)."""

        def count() -> dict[str, int]:
            states = Counter(e.state for e in self._history)
            states["processing"] = self.in_flight
            states["pending"] = max(self._open - self.in_flight, 0)
            return {
                state: states[state]
                for state in ("pending", "processing", "completed", "failed", "cancelled")
            }

        return engine_loop.call(count)

    def __repr__(self) -> str:
        return (
            f"<RateLimitedAPIExecutor {self.queued} queued, {self.in_flight} in flight, "
            f"{self.tally.sent} sent, {self._limiter.limits!r}>"
        )


def _looked_at(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.exception()
