"""What a failed attempt means: for the event, for those that wait, and for the run.

Four things have a say, and this is where they meet: the patience for one event (`decide`), the
retry budget of the run, the circuit breaker, and the verdict on a run whose first requests all
fail in one way. The policy only returns decisions; the dispatcher carries them out.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from lionproc.engine.first_failures import FirstOutcomes
from lionproc.engine.retry import FATAL, Breaker, Fail, Retry, RetryBudget, Stop, Wait, decide
from lionproc.engine.retry import Decision as Decided
from lionproc.errors import (
    AccessError,
    CallError,
    Kind,
    NoLogprobsError,
    RunError,
    ServiceDownError,
)

if TYPE_CHECKING:
    from lionproc.engine.request import Event, Reply

# Failures of a server that is down, which open the circuit breaker.
BREAKING = frozenset(
    {Kind.CONNECTION, Kind.TIMEOUT, Kind.SERVER_ERROR, Kind.OVERLOADED, Kind.BAD_REPLY}
)
COSTLY = BREAKING | {Kind.FORBIDDEN}  # final failures that the retry budget pays for
# Where somebody else answers meanwhile: failures in a row after which a server is left alone, and
# seconds for which one is that refuses the key, the model or the account.
ENOUGH = 5
REFUSING_S = 30.0
# And the same for one that refuses all for its limits: so many in a row, for longer than the longest
# of usual windows lasts, or fewer that asked to wait for so long. What opens sooner is waited for.
REFUSALS = 10
REFUSED_S = 90.0
LIVES_S = 60.0  # limits by the minute refuse no longer than that


@dataclass(frozen=True, slots=True)
class StopRun:
    """Give this event up, and the run with it."""

    error: RunError


Decision: TypeAlias = Wait | Fail | StopRun


class FailurePolicy:
    """Decides what failures mean.

    Lives on the engine's loop; it is told the time.

    Args:
        retry: How patient to be.
        first_failures: How many first requests that fail in one way stop the run; None never.
        uniform: `random.uniform`, or something that tests can foresee.
        elsewhere: The kinds of failure that another server makes up for. They never stop the run;
            while the circuit breaker is open for one, what would wait is refused at once, so that
            it can go there.

    Attributes:
        has_substitute: Whether another server makes up for this one while it is down, and not only
            for what it says of single rows.
        answers: How many paid replies came.
    """

    answers = 0
    _is_vouched_for = False

    def __init__(
        self,
        retry: Retry,
        first_failures: int | None,
        uniform: Callable[[float, float], float] = random.uniform,
        elsewhere: frozenset[Kind] = frozenset(),
    ) -> None:
        self.elsewhere = elsewhere
        self.has_substitute = elsewhere >= BREAKING
        self._retry = retry
        self._first_failures = first_failures
        self._uniform = uniform
        self._probe_back = asyncio.Event()
        self.start()

    def start(self) -> None:
        """Forget what was; also when an executor is started again."""
        self._first = FirstOutcomes(self._first_failures, self.elsewhere)
        self._budget = RetryBudget(self._retry.budget)
        self._breaker = Breaker(ENOUGH) if self.has_substitute else Breaker()
        self._prober: Event | None = None
        self._opened_by: CallError | None = None
        self._refused_nobody()
        self._refused_since = 0.0
        self._known_answers = self.answers
        self._lives_until = -math.inf
        if self._is_vouched_for:
            self.vouch()

    def vouch(self) -> None:
        """Others ask the same of the same model, and were answered: what fails is its row's own."""
        self._is_vouched_for = True
        self._first.stop()
        self._first.believe_no_refusal()

    def _refused_nobody(self) -> None:
        self._refusals = 0  # for its limits, in a row
        self._asked_s = 0.0  # to wait, by those
        self._asked_until = -math.inf

    # -- before an attempt ------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """True while the server only fails and is probed: the circuit breaker is open."""
        return self._breaker.is_open

    @property
    def looks_far(self) -> bool:
        """True while it is probed whether the server fails for all, or for those sent last alone."""
        return self._breaker.is_open and not self.has_substitute

    def allows(self, event: Event) -> bool:
        """Whether this event may be sent now, as far as the circuit breaker goes."""
        return not self._breaker.is_open or self._prober is event

    def told_to_wait(self, wait_s: float, now: float) -> None:
        """Some run was told that everybody has to wait for so long, and somebody else answers.

        Args:
            wait_s: Seconds.
            now: The time of the loop's clock.
        """
        if wait_s > REFUSED_S and not self.is_open:
            why = f"The server has asked everybody to wait, for {math.ceil(wait_s)} s more."
            self._opened_by = CallError(Kind.RATE_LIMITED, why)
            self._breaker.refused(now, wait_s)

    async def probes(self, event: Event) -> bool:
        """While the breaker is open: wait until this event may be sent to probe the server.

        Returns:
            True when it is the probe; False when another probe came back, so that the breaker
            may be closed.
        """
        if self._prober is not None and self._prober is not event and not self._prober.done:
            self._probe_back.clear()
            await self._probe_back.wait()
            return False
        self._prober = event
        until = self._breaker.opened_until
        if until is not None:
            await asyncio.sleep(max(until - asyncio.get_running_loop().time(), 0.0))
        return True

    def refused(self, event: Event, now: float) -> CallError | None:
        """While the breaker is open and somebody else answers: why this event is not sent here.

        Returns:
            None where it may be sent, as the probe for which it is time.
        """
        if self._prober is event:
            return None
        probed = self._prober is not None and not self._prober.done
        until = self._breaker.opened_until
        error = self._opened_by
        if error is None or (not probed and (until is None or now >= until)):
            self._prober = event
            return None
        why = f"{error.message} So it was not asked for this row."
        return CallError(error.kind, why, status=error.status)

    @property
    def on_trial(self) -> bool:
        """True while what comes back may stop the run, as nothing was answered yet."""
        return self._first.on_trial

    @property
    def holds_back(self) -> bool:
        """True while nothing new is to be sent."""
        return self._first.on_trial and self._first.holds_back

    async def may_correct(self, event: Event) -> None:
        """Wait until this event may be asked again with the reason."""
        await self._first.may_correct(event)

    def sent(self, event: Event) -> None:
        """An attempt is sent."""
        self._first.sent(event)

    # -- after it ---------------------------------------------------------------------------

    def came_back(self, event: Event, reply: Reply) -> bool:
        """An attempt came back, one way or the other.

        Returns:
            True if it was a probe. What was in flight when the breaker opened is none.
        """
        self._first.back(reply)
        if self._prober is not event:
            return False
        self._prober = None
        self._probe_back.set()
        return self._breaker.is_open

    def paid(self) -> None:
        """A paid reply came: the server lives, and retries are earned back."""
        self.answers += 1
        self._budget.refund(fully=self._breaker.is_open)
        self._breaker.succeeded()
        self._refused_nobody()
        self._first.believe_no_refusal()

    def goes_another_way(self, event: Event) -> Wait:
        """An attempt failed, and there is another way to the same model: it is sent there at once.

        It says nothing of the model, so nobody else is judged by it.
        """
        self._first.put_off(event)
        return Wait(0.0)

    def failed(
        self,
        event: Event,
        error: CallError,
        now: float,
        *,
        probe: bool,
        took_s: float = 0.0,
        stray: bool = False,
        crowded: bool = False,
    ) -> Decision:
        """An attempt failed.

        Args:
            event: Of which it was an attempt.
            error: How it failed.
            now: The time of the loop's clock.
            probe: What `came_back` said.
            took_s: Seconds from when it was sent to its failure.
            stray: What `Limiter.throttled` said of a refusal.
            crowded: What `Limiter.failed` said of it: too many are in flight.

        Returns:
            `Wait`: send the event again after that time. `Fail`: give the event up. `StopRun`:
            give up the event and the run.
        """
        event.refused += error.kind is Kind.RATE_LIMITED and self._answers(now)
        event.crowded += crowded  # which says nothing of this one: it does not count as an attempt
        retry, refused = self._retry, event.refused
        attempt = max(event.attempts - event.crowded, 1)
        decision = decide(
            error, attempt, retry, self._uniform, took_s, stray=stray, refused=refused
        )
        if error.kind in self.elsewhere:
            return self._failed_here(event, error, now, decision, probe=probe)
        # What was in flight when the breaker opened tells nothing more, so it costs nothing more.
        counts = probe or error.kind not in BREAKING or not self._breaker.is_open
        if error.kind in BREAKING and not crowded:
            self._breaker.failed(now, probe=probe)
        elif error.kind is not Kind.RATE_LIMITED:
            self._breaker.succeeded()  # it answers, though not what we hoped
        if isinstance(decision, Stop):
            return Fail(error) if self._first.doubts(event, error) else _stopped(error)
        if isinstance(decision, Fail):
            costs = error.kind in COSTLY and counts
            spent = costs and not self._budget.spend(error, crowded=crowded)
            if spent and error.kind is Kind.FORBIDDEN:
                return StopRun(AccessError(f"{error.message} So were too many others to go on."))
            return decision
        spent = counts and not self._budget.spend(error, crowded=crowded)
        if spent or self._breaker.is_down:
            return StopRun(
                ServiceDownError(
                    f"The server keeps failing, so the run stopped. The last time: {error} "
                    "What was answered so far is kept; run the same cell again to go on."
                )
            )
        self._first.put_off(event)
        return decision

    def _answers(self, now: float) -> bool:
        """Whether the server has answered anything for a minute, or began to refuse in it."""
        if self.answers > self._known_answers or self._lives_until == -math.inf:
            self._known_answers, self._lives_until = self.answers, now + LIVES_S
        return now < self._lives_until

    def _failed_here(
        self, event: Event, error: CallError, now: float, decision: Decided, *, probe: bool
    ) -> Decision:
        """As `failed`, where somebody else makes up for it: nothing of it stops the run."""
        if error.kind is Kind.NO_LOGPROBS:  # of what it answers, and the others may do without
            return Fail(error)
        if error.kind in FATAL:
            if not self._first.doubts(event, error):
                self._breaker.refused(now, REFUSING_S)
        elif error.kind in BREAKING:
            self._breaker.failed(now, probe=probe)
            if error.kind is Kind.OVERLOADED:
                self._refused_again(now, error.retry_after_s or 0.0)
        elif error.kind is Kind.RATE_LIMITED:
            self._refused_again(now, error.retry_after_s or 0.0)
        elif error.kind is not Kind.NO_CAPACITY:
            self._breaker.succeeded()
            self._refused_nobody()
        if self._breaker.is_open:
            self._opened_by = error
            return Fail(error)
        if not isinstance(decision, Wait):
            return Fail(error)
        self._first.put_off(event)
        return decision

    def _refused_again(self, now: float, wait_s: float) -> None:
        """A request was refused for a limit: who refuses all for longer than any window is down."""
        self._refusals += 1
        if self._refusals == 1:
            self._refused_since = now
        self._asked_s += max(now + wait_s - max(self._asked_until, now), 0.0)
        self._asked_until = max(self._asked_until, now + wait_s)
        refused = self._refusals >= REFUSALS and now > self._refused_since + REFUSED_S
        if refused or self._asked_s > REFUSED_S:
            self._breaker.refused(now, max(REFUSING_S, self._asked_until - now))

    def finished(self, event: Event, *, known: bool) -> StopRun | None:
        """An event is finished.

        Args:
            event: With an answer or an error.
            known: Whether the journal had an answer to anything.

        Returns:
            `StopRun` if the first requests all failed in one way.
        """
        error = event.error
        if (
            error is not None
            and event.state == "failed"
            and error.kind is Kind.NO_LOGPROBS
            and error.kind not in self.elsewhere
            and not self._first.doubts(event, error)
        ):
            return _stopped(error)  # a reply that was paid for, as all others would be
        if self._first.on_trial and self._first.is_over_with(event, known=known):
            return StopRun(self._first.verdict(event))
        return None

    # -- at the end -------------------------------------------------------------------------

    def stop(self) -> None:
        """The run stops: nobody waits for a verdict any more."""
        self._first.stop()

    def unreached(self, errors: Iterable[str], *, known: bool = False) -> RunError | None:
        """What to say when everything is back, if no server was ever reached.

        Args:
            errors: The kinds of the failures.
            known: Whether the journal had an answer to anything.
        """
        known = known or self._is_vouched_for
        refused = None if known else self._first.refused(errors)
        if refused is not None and refused.kind not in self.elsewhere:
            return _stopped(refused).error
        return None if self.has_substitute else self._first.unreached(errors, known=known)


def _stopped(error: CallError) -> StopRun:
    """Every other row would fail like this one."""
    kind = NoLogprobsError if error.kind is Kind.NO_LOGPROBS else AccessError
    return StopRun(kind(f"{error.message} Everything answered so far is kept."))
