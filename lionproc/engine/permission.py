"""Whether an event may be sent now: paused or not, the breaker, the budget, the limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lionproc.engine.limiter_chain import LimiterChain
from lionproc.engine.loop import cancellations
from lionproc.errors import CallError, Kind

if TYPE_CHECKING:
    from lionproc.engine.failure_policy import FailurePolicy
    from lionproc.engine.limiter import Limiter
    from lionproc.engine.outlay import Outlay, Verdict
    from lionproc.engine.request import Event
    from lionproc.engine.reservation import Reservation
    from lionproc.engine.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Refused:
    """An event may not be sent, however long it waits."""

    error: CallError
    stops_run: bool = False


class Permission:
    """Gives permission to send. Lives on the engine's loop.

    Args:
        limiter: Keeps the limits.
        policy: Has the circuit breaker.
        outlay: Tells when something is back, so that a budget may have room again.
        may_send: Asked before each request, with its estimate and whether it is a correction:
            whether the budget allows it, has no room before something is back, or is reached.

    Attributes:
        resumed: Cleared while nothing may be sent because somebody paused.
        outer_resumed: The same for the executor that this work runs in, if it is not its own.
        stopping: True once nothing more will be sent.
    """

    def __init__(
        self,
        limiter: Limiter,
        policy: FailurePolicy,
        outlay: Outlay,
        may_send: Callable[[Tokens, bool], Verdict] | None,
    ) -> None:
        self._limiter = limiter
        self._is_chain = isinstance(limiter, LimiterChain)
        self._policy = policy
        self._outlay = outlay
        self._may_send = may_send
        self._at_limiter: set[asyncio.Future[Reservation]] = set()
        self.stopping = False
        self.resumed = asyncio.Event()
        self.resumed.set()
        self.outer_resumed = self.resumed

    def paused_with(self, outer: Permission) -> None:
        """Send nothing while that is paused, either."""
        self.outer_resumed = outer.resumed

    @property
    def is_paused(self) -> bool:
        """True while nothing may be sent because somebody paused."""
        return not (self.resumed.is_set() and self.outer_resumed.is_set())

    def at_once(self, event: Event) -> Reservation | None:
        """Permission to send this event if nothing makes it wait; else `wait` has to be asked."""
        if event.done or self.stopping or self.is_paused or self._policy.is_open:
            return None
        estimate = event.call.estimate
        if self._verdict(event, estimate) != "send":
            return None
        last = self._further_limiter(event) if self._is_chain else None
        return self._limiter.reserve_at_once(estimate, last)

    async def wait(self, event: Event) -> Reservation | Refused | None:
        """Wait until this event may be sent.

        Returns:
            A reservation that the limiter wants back, or a refusal; None if somebody has
            finished the event in the meantime.
        """
        policy, limiter = self._policy, self._limiter
        while not self.stopping:
            await self._until_resumed()
            if event.done:
                return None
            if policy.has_substitute:
                end = self._further_limiter(event) or limiter  # which the server tells
                policy.told_to_wait(end.holding_s(), limiter.now())
            if policy.turns_away(event):  # somebody else answers meanwhile
                error = policy.refused(event, limiter.now())
                if error is not None:
                    return Refused(error)
            elif policy.is_open and not await policy.probes(event):
                continue
            estimate = event.call.estimate
            verdict = self._verdict(event, estimate)
            if verdict == "wait":
                await self._outlay.wait()
                continue
            if verdict == "stop":
                return Refused(CallError(Kind.NOT_SENT, "The budget was reached."), stops_run=True)
            given = await self._given(event, estimate)
            if given is not None:
                return given
        return Refused(not_sent())

    async def _given(self, event: Event, estimate: Tokens) -> Reservation | Refused | None:
        """What the limiter gives; None if meanwhile something else has changed."""
        try:
            reservation = await self._reserved(event, estimate)
        except CallError as error:
            return Refused(error)
        if reservation is None or (
            not self.is_paused
            and not event.done
            and not self.stopping
            # While this one waited the breaker may have opened, and others may have been sent.
            and self._policy.allows(event)
            and self._verdict(event, event.call.estimate) == "send"
        ):
            return reservation
        self._limiter.cancel(reservation)
        return None

    async def _reserved(self, event: Event, estimate: Tokens) -> Reservation | None:
        """What the limiter gives; None if it is not to be waited for, as somebody else answers."""
        waits = self._limiter.reserve(estimate, self._further_limiter(event))
        if not self._policy.has_substitute:
            return await waits
        task = asyncio.ensure_future(waits)
        self._at_limiter.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            if task.cancelled() and not cancellations():
                return None
            if not (task.cancelled() or task.exception()):  # its turn had come just now
                self._limiter.cancel(task.result())
            raise
        finally:
            self._at_limiter.discard(task)

    def look_again(self) -> None:
        """Whoever waits at the limiter asks again, as the breaker has opened."""
        for task in self._at_limiter:
            task.cancel()

    async def _until_resumed(self) -> None:
        while self.is_paused:
            await self.resumed.wait()
            await self.outer_resumed.wait()

    def _verdict(self, event: Event, estimate: Tokens) -> Verdict:
        return "send" if self._may_send is None else self._may_send(estimate, event.corrections > 0)

    def _further_limiter(self, event: Event) -> Limiter | None:
        """The limiter of the endpoint, where the executor has limits of its own."""
        return getattr(event.call, "limiter", None) if self._is_chain else None


def not_sent() -> CallError:
    """Why an event has no answer that waited when the run stopped."""
    return CallError(Kind.NOT_SENT, "The run stopped before this was sent.")


def given_up() -> CallError:
    """Why an event has no answer for which nobody waited any more."""
    return CallError(Kind.CANCELLED, "Given up before it was sent.")
