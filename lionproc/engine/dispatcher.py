"""The core of an executor: workers take events out of the queue and see each to its end.

Everything here runs on the engine's loop. The parts around the core return decisions, and the
core carries them out: which event is next (`EventQueue`), whether it is answered already
(`Replay`, `Coalescing`), when it may be sent (`Permission`), and what its failure means
(`FailurePolicy`).

More than 400 lines because the workers' loop, the end of an event and the state that both change
(running, paused, halting, over) are one thing; what can be decided apart from it is in the parts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from lionproc.engine.awaiting_disk import AwaitingDisk
from lionproc.engine.coalescing import PATIENCE_S, Coalescing
from lionproc.engine.concurrency_limit import Overload
from lionproc.engine.counters import Counters
from lionproc.engine.event_queue import EventQueue
from lionproc.engine.failure_policy import FailurePolicy, StopRun
from lionproc.engine.history import History
from lionproc.engine.journal import Entry, Journal
from lionproc.engine.limiter import Limiter
from lionproc.engine.outlay import Outlay, Verdict
from lionproc.engine.permission import Permission, Refused, given_up, not_sent
from lionproc.engine.quotas import Signals
from lionproc.engine.readings import Readings
from lionproc.engine.replay import Replay
from lionproc.engine.reply_room import reply_room
from lionproc.engine.request import Event, Reply
from lionproc.engine.reservation import Reservation
from lionproc.engine.retry import Retry, Wait
from lionproc.engine.tokens import Tokens
from lionproc.engine.turn import turn_of
from lionproc.engine.workers import Worker, WorkerPool
from lionproc.errors import (
    CallError,
    JournalError,
    Kind,
    RunError,
    ServiceDownError,
    pass_on_interrupt,
    words_of,
)

log = logging.getLogger("lionproc.engine")
AHEAD = 63  # events that are looked up together with the one whose turn it is
WAITING_A_SLOT = 4
"""Replies that may wait for the disk for each slot, so that one which takes 0.2 s to flush keeps no
slot of 100 ms from sending."""


class Dispatcher:
    """Sends events in their order, as fast as the limits allow, and loses none.

    It has more than 25 methods because each step from the queue to the end of an event changes the
    same state, and is small.

    Args:
        queue_capacity: Events that may wait.
        limiter: Gives permission to send.
        journal: Where replies are kept; None keeps none.
        retry: How patient to be.
        since: Only journal records after this mark answer anything.
        history: Finished events to remember.
        on_done: Called with every event when it is finished.
        may_send: Asked before each request; see `Permission`.
        first_failures: How many first requests that fail in one way stop everything.
        elsewhere: The kinds of failure that somebody else makes up for; see `FailurePolicy`.
        outlay: Where what it spends counts too; None for one of its own.

    Attributes:
        on_stop: Called when something that no event can get past stops everything, with the seconds in
            which what is in flight may still come back.
        fatal: The error that stopped everything, if one did.
        counters: What was done so far.
        idle: Set while every event is finished.
        open_events: How many events are not finished.
        is_fed: Whether all that there will be was queued, as far as whoever feeds it says.
        history: The latest finished events.
    """

    def __init__(
        self,
        *,
        queue_capacity: int,
        limiter: Limiter,
        journal: Journal | None,
        retry: Retry,
        since: int,
        history: int,
        on_done: Callable[[Event], None] | None,
        may_send: Callable[[Tokens, bool], Verdict] | None,
        first_failures: int | None,
        elsewhere: frozenset[Kind] = frozenset(),
        outlay: Outlay | None = None,
    ) -> None:
        self._limiter = limiter
        self._on_done = on_done
        self.on_stop: Callable[[float], None] = lambda _: None
        self.counters = Counters(outlay)
        self.queue = EventQueue(queue_capacity)
        self.replay = Replay(journal, since, retry.max_corrections)
        self.coalescing = Coalescing(journal)
        self.policy = FailurePolicy(retry, first_failures, elsewhere=elsewhere)
        self.policy.is_known = lambda: self.replay.has_answered
        self.permission = Permission(limiter, self.policy, self.counters.outlay, may_send)
        self.workers = WorkerPool(
            self._work,
            lambda: limiter.concurrency,
            lambda fault: self.stop_run(RunError(f"A fault inside lionproc: {fault!r}")),
            self._call_worker,
        )
        self.awaiting_disk = AwaitingDisk(
            lambda: WAITING_A_SLOT * limiter.limits.concurrency, self._on_disk, self.replay.hurry
        )
        self.readings = Readings()
        limiter.on_change(self._call_worker)
        self.fatal: RunError | None = None
        self.history = History(history)
        self.open_events = 0
        self.is_fed = False
        self.idle, self._halted = asyncio.Event(), asyncio.Event()
        self.idle.set()
        self._timer: asyncio.TimerHandle | None = None
        self._starting = asyncio.Lock()  # by one of all who want it
        self._halting: asyncio.Task[None] | None = None  # held, so that it is not collected

    # -- life -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Let requests be sent; also again, after `halt` or after an error that stopped all."""
        async with self._starting:
            if self.permission.stopping:
                await self._halted.wait()
                await self.replay.catch_up()
                self.permission.stopping = False
                self.fatal = None
                self.is_fed = False
                self.policy.start()
                self.replay.has_answered = False
                self.coalescing.start()
        self.permission.resumed.set()

    async def halt(self, grace_s: float | None = 10.0) -> None:
        """Stop sending; events that were waiting end as cancelled.

        Args:
            grace_s: Seconds in which what is in flight may still come back; None for as long as it
                takes.
        """
        self.permission.stopping = True
        self._halted.clear()
        try:
            self.counters.outlay.news.set()
            self.policy.stop()
            for event in self.queue.clear():
                self.finish(event, not_sent())
            now = asyncio.get_running_loop().time
            until = None if grace_s is None else now() + grace_s
            await self.workers.stop(grace_s)
            await self.awaiting_disk.empty()
            await self.readings.end(None if until is None else max(0.0, until - now()))
            for event in self.queue.clear():  # what came back meanwhile, and would be sent again
                self.finish(event, not_sent())
            for event in self.coalescing.unfinished():
                self.finish(event, CallError(Kind.CANCELLED, "Stopped while it was in flight."))
            self.coalescing.stop()
        finally:
            self._halted.set()

    def stop_run(self, error: RunError | None, grace_s: float = 10.0) -> None:
        """Something no event can get past: stop sending, keep what there is.

        Args:
            error: It; None where it is told elsewhere.
            grace_s: As for `halt`.
        """
        if error is not None and self.fatal is None:
            self.fatal = error
        if not self.permission.stopping:
            self.permission.stopping = True
            self._halted.clear()
            self._halting = asyncio.create_task(self.halt(grace_s))
            self.on_stop(grace_s)

    def judge_the_end(self, *, answered: bool) -> None:
        """Everything is back: if nothing was ever reached, that is what there is to say.

        Args:
            answered: Whether any reply of the run was paid for, from whatever model.
        """
        known = answered or self.replay.has_answered
        self.fatal = self.fatal or self.policy.unreached(self.counters.errors, known=known)

    # -- in ---------------------------------------------------------------------------------

    def offer(self, event: Event) -> bool:
        """Queue an event if there is room for it; where there is none, `put` waits."""
        if self.permission.stopping or self.queue.is_full:
            return False
        self.register(event)
        self.queue.add(event)
        self._call_worker()
        return True

    async def put(self, event: Event) -> None:
        """Queue an event, waiting while the queue is full."""
        self.register(event)
        await self.queue_up(event)

    def register(self, event: Event) -> None:
        """An event is under way: equal calls join it from now on, and its deadline runs."""
        self.open_events += 1
        self.idle.clear()
        self.coalescing.add(event)
        if event.deadline_s is not None:
            self.queue.set_deadline(event, self._limiter.now() + event.deadline_s)
            self._set_timer()

    async def queue_up(self, event: Event) -> None:
        """Queue an event that is registered, waiting while the queue is full."""
        try:
            while self.queue.is_full and not (self.permission.stopping or event.done):
                self.queue.room.clear()
                await self.queue.room.wait()
        except asyncio.CancelledError:
            self.finish(event, CallError(Kind.NOT_SENT, "Given up before it was queued."))
            raise
        if event.done:
            return
        if self.permission.stopping:
            self.finish(event, not_sent())
            return
        self.queue.add(event)
        self._call_worker()

    def extend_deadline(self, event: Event, deadline_s: float | None) -> None:
        """Somebody else wants the same: of two deadlines the later one counts."""
        self.queue.extend_deadline(event, deadline_s, self._limiter.now())
        self._set_timer()

    def withdraw(self, event: Event, error: CallError) -> bool:
        """Take back what was not sent, or waits to be sent again. False if it is too late."""
        if event.state != "pending":
            return False
        self.queue.remove(event)
        self.finish(event, error)
        self.queue.room.set()  # it may be one that waits for room
        return True

    # -- time -------------------------------------------------------------------------------

    def _delay(self, event: Event, seconds: float) -> None:
        self.queue.delay(event, self._limiter.now() + seconds)
        self._set_timer()

    def _set_timer(self) -> None:
        """See to it that `_on_time` runs when the queue has something to do."""
        moment = self.queue.next_moment
        if self._timer is not None:
            if moment is not None and self._timer.when() <= moment:
                return
            self._timer.cancel()
            self._timer = None
        if moment is not None:
            self._timer = asyncio.get_running_loop().call_at(moment, self._on_time, moment)

    def _on_time(self, moment: float) -> None:
        self._timer = None
        # A timer may fire early by the resolution of the clock.
        for event in self.queue.advance(max(moment, self._limiter.now())):
            self._is_late(event)
        self._set_timer()
        self._call_worker()

    def _is_late(self, event: Event) -> None:
        error = f"It waited for {event.deadline_s} s and was not sent."
        self.withdraw(event, CallError(Kind.DEADLINE, error))

    # -- the workers ------------------------------------------------------------------------

    def _call_worker(self) -> None:
        """Something may have come to be sent: see that somebody does it."""
        if not self.permission.stopping and self.queue.is_ready:
            self.workers.call()

    async def _work(self, worker: Worker) -> None:
        """What a worker does."""
        workers, queue = self.workers, self.queue
        while workers.needs(worker) and not self.permission.stopping:
            event = queue.take(new=not self.policy.holds_back, far=self.policy.looks_far)
            if event is None:
                if len(self.awaiting_disk) >= len(workers.sending):
                    self.replay.hurry()  # nobody sends while they wait
                await workers.sleep(worker)
                continue
            try:
                if await self._is_left_to_others(event):
                    continue
                reservation = self.permission.at_once(event)
                if reservation is None:
                    queue.at_limiter = event
                    try:
                        reservation = await self._wait_for_permission(event)
                    finally:
                        queue.at_limiter = None
                self._call_worker()
                if reservation is not None:
                    await self._send(event, reservation, worker)
            except asyncio.CancelledError:
                if not event.done:
                    kind = Kind.NOT_SENT if event.state == "pending" else Kind.CANCELLED
                    self.finish(event, CallError(kind, "Stopped while it was under way."))
                raise
            finally:
                workers.sending.discard(worker)
                queue.is_back(event)

    async def _is_left_to_others(self, event: Event) -> bool:
        """True if another executor has answered it since it was queued, or asks it just now."""
        found = self._look_elsewhere(event)
        return await self.is_answered_by(found, event) if isinstance(found, Entry) else found

    def _look_elsewhere(self, event: Event, *, has_permission: bool = False) -> bool | Entry:
        """True if another asks it just now, or nothing is to be sent; or the reply that is kept."""
        replay = self.replay
        if replay.journal is None or event.first.key is None:
            return False
        other = self.coalescing.asked_elsewhere(event, has_permission=has_permission)
        if other is not None:
            self._delay(event, PATIENCE_S)
            other.on_done(lambda: self._look_again(event))
            return True
        shared = self.coalescing.has_peers
        entry = None
        if replay.is_stale(event, shared=shared):
            try:
                entry = replay.find_again(event, () if shared else self.queue.next_ones(AHEAD))
            except JournalError as error:
                self.finish(event, CallError(Kind.NOT_SENT, str(error)))
                self.stop_run(error)
                return True
        self.coalescing.asks(event)
        return False if entry is None else entry

    async def is_answered_by(self, entry: Entry, event: Event) -> bool:
        """Whether a kept reply ends an event: it is its answer, or nothing is to be sent any more."""
        event.state = "processing"  # it waits no longer: who takes it back comes too late
        try:
            reading = self.replay.answering(event, entry)
            is_answered = await self.readings.read(reading, len(entry.reply))
        finally:
            if not event.done:
                event.state = "pending"
        if is_answered or event.done:
            self.finish(event)
        elif event.is_given_up:
            self.finish(event, given_up())
        elif self.queue.is_late(event, self._limiter.now()):
            self._is_late(event)
        return event.done

    def _look_again(self, event: Event) -> None:
        """Another executor is done with an equal event."""
        if self.coalescing.end_wait(event) and self.queue.end_delay(event):
            self._call_worker()

    async def _wait_for_permission(self, event: Event) -> Reservation | None:
        """Wait until this event may be sent. None if it is finished instead."""
        permission = await self.permission.wait(event)
        if not isinstance(permission, Refused):
            is_overtaken = event.state == "pending" and self.coalescing.is_overtaken(event)
            found = (
                self._look_elsewhere(event, has_permission=True)
                if permission and is_overtaken
                else False
            )
            if permission is None or found is False:
                return permission
            self._limiter.cancel(permission)  # to read what is kept may take seconds
            if found is True or await self.is_answered_by(found, event):
                return None
            return await self._wait_for_permission(event)
        if permission.stops_run:
            self.stop_run(None)
        self.finish(event, permission.error)
        return None

    async def _send(self, event: Event, reservation: Reservation | None, worker: Worker) -> None:
        """Send one event until it is finished or has to wait."""
        counters, policy, now = self.counters, self.policy, asyncio.get_running_loop().time
        while reservation is not None:
            self._leaves(event, reservation, worker)
            started = now()
            try:
                reply = await event.call.send()
            except BaseException as fault:
                self._limiter.failed(reservation)
                counters.outlay.may_have_taken(event.call.estimate)  # given up, or lost to a fault
                if isinstance(fault, (asyncio.CancelledError, GeneratorExit)):
                    raise
                pass_on_interrupt(fault)
                log.exception("a call raised instead of replying")
                self.finish(event, CallError(Kind.UNEXPECTED, words_of(fault)))
                return
            finally:
                counters.outlay.is_back(reservation.tokens)
            seconds = now() - started
            event.seconds += seconds
            probe = policy.came_back(event, reply)
            if reply.error is not None:
                self._failed(event, reservation, reply, seconds, probe=probe)
                return
            left = False
            try:
                policy.paid()
                used = counters.paid(reservation.tokens, reply, event, reservation.way)
                counters.latencies.add(seconds)
                event.model = reply.model
                # Durable before anything else is done with it. Its slot need not wait for the disk,
                # but for the first replies: what they say decides whether anything else is sent.
                kept = self.replay.keep(event, reply, used, seconds)
                if kept is not None:
                    may_leave = not (policy.on_trial or self.readings.are_behind)
                    left = may_leave and self.awaiting_disk.takes(event, reply, kept)
                    if not left:
                        with reply_room().kept(len(reply.raw)):
                            await self.replay.hurried(kept)
            except JournalError as error:
                # This one is in hand and goes into the frame, but nothing more is bought.
                self.stop_run(error)
            finally:
                charged = reply.charged or reply.used
                self._limiter.settle(reservation, charged, reply.signals, seconds)
            if left:
                return
            reading = self.replay.settling(event, reply)
            if await self.readings.read(reading, len(reply.raw)) or event.done:
                self.finish(event)
                return
            self.workers.sending.discard(worker)
            await policy.may_correct(event)
            reservation = await self._wait_for_permission(event)

    def _leaves(self, event: Event, reservation: Reservation, worker: Worker) -> None:
        event.state = "processing"
        event.attempts += 1
        if reservation.way is not None:
            call: Any = event.call
            event.call = call.through(reservation.way)
        if not getattr(event.call, "leaves_later", False):
            turn_of(asyncio.get_running_loop()).noted()
        self.counters.sends(event)
        if self.policy.on_trial:
            self.policy.sent(event)
        self.workers.sending.add(worker)
        self.counters.outlay.leaves(reservation.tokens)

    def _on_disk(self, event: Event, reply: Reply, error: BaseException | None) -> None:
        """A reply whose slot has gone on counts from now; or it never will."""
        if isinstance(error, JournalError):
            self.stop_run(error)
        self.readings.begin(
            self.replay.settling(event, reply),
            len(reply.raw),
            partial(self._is_read, event),
            partial(self._is_unread, event),
        )

    def _is_read(self, event: Event, is_settled: bool) -> None:
        if is_settled or event.done:
            self.finish(event)
        elif self.permission.stopping:
            self.finish(event, not_sent())
        else:  # it is corrected when its turn comes, as after a failure
            event.state = "pending"
            self._delay(event, 0.0)

    def _is_unread(self, event: Event, why: BaseException) -> None:
        if isinstance(why, asyncio.CancelledError):
            self.finish(event, CallError(Kind.CANCELLED, "Stopped while its reply was read."))
            return
        log.error("a reply could not be read", exc_info=why)
        self.finish(event, CallError(Kind.UNEXPECTED, f"{type(why).__name__}: {why}"))
        self.stop_run(RunError(f"A fault inside lionproc: {why!r}"))

    # -- out --------------------------------------------------------------------------------

    def _failed(
        self, event: Event, reservation: Reservation, reply: Reply, took_s: float, *, probe: bool
    ) -> None:
        """An attempt failed: do what the policy decides."""
        error = reply.error
        assert error is not None  # noqa: S101  (else it did not fail)
        another_takes = self._limiter.another_takes(reservation, error, event.attempts)
        self.counters.failed(reservation.tokens, error, reply, event, reservation.way)
        stray = crowded = False
        if error.kind is Kind.RATE_LIMITED:
            signals = reply.signals or Signals(retry_after_s=error.retry_after_s)
            stray = self._limiter.throttled(reservation, signals)
        else:
            # A server that is overloaded asks everybody to wait. Whatever else it refuses may be
            # the fault of this one, which waits by itself, as it does where a tier has no room.
            overload = None
            if error.kind is Kind.OVERLOADED:
                # While it is probed nothing else is sent: what is in flight then was taken before.
                works = probe and len(self.workers.sending) > 1
                overload = Overload(error.retry_after_s or 0.0, works)
            crowded = self._limiter.failed(reservation, overload)
        now = self._limiter.now()
        decision = (
            self.policy.goes_another_way(event)
            if another_takes
            else self.policy.failed(
                event, error, now, probe=probe, took_s=took_s, stray=stray, crowded=crowded
            )
        )
        if self.policy.is_open and self.policy.has_substitute:
            self.permission.look_again()
        if isinstance(decision, Wait) and not event.is_given_up:
            event.state = "pending"
            event.again_for = error
            self._delay(event, decision.seconds)
            return
        self.finish(event, error)
        if not isinstance(decision, StopRun):
            return
        if isinstance(decision.error, ServiceDownError) and self._is_left_with_failures():
            self._give_up_the_rest(error)
        else:
            self.stop_run(decision.error)

    def _is_left_with_failures(self) -> bool:
        """Whether there are answers, and nothing is left but what failed before."""
        if not (self.is_fed and (self.policy.answers or self.replay.has_answered)):
            return False
        left = self.coalescing.unfinished()
        try:
            return len(left) == self.open_events and self.replay.failed_before(left)
        except JournalError:
            return False

    def _give_up_the_rest(self, error: CallError) -> None:
        """What waits to be sent again fails; what is in flight may still come back."""
        self.queue.clear()
        why = f"It failed before. It was not sent now, for others failed: {error.message}"
        for event in self.coalescing.unfinished():
            if event.state == "pending":
                self.finish(event, event.again_for or CallError(error.kind, why, hint=error.hint))

    def finish(self, event: Event, error: CallError | None = None) -> None:
        """An event has come to its end: tell everybody. Nothing is done if it had before."""
        if event.done:
            return
        event.finish(error)
        self.queue.finished(event)
        self.coalescing.finished(event)
        if (error := event.error) is not None:
            self.counters.errors[error.kind] += 1
            if event.state == "failed":
                log.info("a request failed: %s", error.kind)
                self.coalescing.failed(event, error)
                if event.attempts or error.kind not in self.policy.elsewhere:
                    self.replay.keep_failure(event)
        verdict = self.policy.finished(event, known=self.replay.has_answered)
        if verdict is not None:
            self.stop_run(verdict.error)
        self.history.append(event)
        if self._on_done is not None:
            try:
                self._on_done(event)
            except Exception as fault:
                log.exception("an answer could not be taken")
                self.stop_run(RunError(f"A fault inside lionproc: {fault!r}"))
        self.open_events -= 1
        if self.open_events == 0:
            self.idle.set()
            self._set_timer()
            self.workers.cancel_idle_soon()
