"""What a failed attempt means: for the event, for those that wait, and for the run.

Four things have a say, and this is where they meet: the patience for one event (`decide`), the
retry budget of the run, the circuit breaker, and the verdict on a run whose first requests all
fail in one way. The policy only returns decisions; the dispatcher carries them out.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from lionproc.engine.first_failures import FirstOutcomes
from lionproc.engine.neighbours import Neighbours
from lionproc.engine.probing import Probing
from lionproc.engine.refusals import REFUSED_S, REFUSING_S, Refusals
from lionproc.engine.retry import FATAL, Fail, Retry, RetryBudget, Stop, Wait, decide
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

log = logging.getLogger("lionproc.engine")
# Failures of a server that is down, which open the circuit breaker.
BREAKING = frozenset(
    {Kind.CONNECTION, Kind.TIMEOUT, Kind.SERVER_ERROR, Kind.OVERLOADED, Kind.BAD_REPLY}
)
COSTLY = BREAKING | {Kind.FORBIDDEN}  # final failures that the retry budget pays for
# Failures in a row that open it where somebody else answers meanwhile, and where nobody does.
ENOUGH, ENOUGH_ALONE = 5, 16
LIVES_S = 60.0  # limits by the minute refuse no longer than that


@dataclass(frozen=True, slots=True)
class StopRun:
    """Give this event up, and the run with it."""

    error: RunError


Decision: TypeAlias = Wait | Fail | StopRun


class FailurePolicy(Probing):
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
        answers: How many paid replies came.
        has_answered: Whether one of them was an answer.
        is_known: Whether the journal had an answer to anything.
        others: Those that are asked before and after this one.
        held: What would have ended the run, had nobody before this one been able to answer.
    """

    answers = 0
    has_answered = False
    held: RunError | None = None
    _is_vouched_for = False

    def __init__(
        self,
        retry: Retry,
        first_failures: int | None,
        uniform: Callable[[float, float], float] = random.uniform,
        elsewhere: frozenset[Kind] = frozenset(),
    ) -> None:
        self.elsewhere = elsewhere
        self.others = Neighbours()
        self.is_known: Callable[[], bool] = lambda: False
        self._retry = retry
        self._first_failures = first_failures
        self._uniform = uniform
        super().__init__()
        self.start()

    def start(self) -> None:
        """Forget what was; also when an executor is started again."""
        self._first = FirstOutcomes(self._first_failures)
        self._budget = RetryBudget(self._retry.budget)
        self._close()
        self.held = None
        self._refusals = Refusals()
        self._known_answers = self.answers
        self._lives_until = -math.inf
        if self._is_vouched_for:
            self.vouch()

    def vouch(self) -> None:
        """Others ask the same of the same model, and were answered: what fails is its row's own."""
        self._is_vouched_for = True
        self._first.stop()
        self._first.believe_no_refusal()

    # -- what others make of it -------------------------------------------------------------

    @property
    def has_substitute(self) -> bool:
        """Whether another server makes up for this one while it is down, not only for single rows."""
        return self.elsewhere >= BREAKING and not self.others.cannot

    def _makes_up_for(self, kind: Kind) -> bool:
        """Whether another server does for failures of a kind."""
        is_told = kind is Kind.NO_LOGPROBS  # of a reply that came
        return kind in self.elsewhere and (is_told or not self.others.cannot)

    @property
    def is_proven(self) -> bool:
        """Whether there are answers of it."""
        return self.has_answered or self._is_vouched_for or self.is_known()

    @property
    def may_answer(self) -> bool:
        """Whether it does not refuse all, and if it only fails, it has answered before."""
        return not self._breaker.is_open or (self.is_proven and not self._refuses_all)

    @property
    def is_left_alone(self) -> bool:
        """Whether it would have ended the run, so that it is asked only now and then."""
        return self.held is not None and self.is_open

    # -- before an attempt ------------------------------------------------------------------

    @property
    def looks_far(self) -> bool:
        """True while it is probed whether the server fails for all, or for those sent last alone."""
        return self._breaker.is_open and not self.has_substitute

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

    def turns_away(self, event: Event) -> bool:
        """Whether the breaker is open and this event need not wait for it; see `refused`.

        Who has answered others gets no row unasked taken from it, only for a server of which
        nobody knows whether it answers: what has failed already tells.
        """
        if not self.is_open:
            return False
        if self.is_left_alone and self.others.may_answer:
            return True
        fails = self._opened_by is not None and self._opened_by.kind in BREAKING
        waits = fails and self.is_proven and bool(self.others.after) and not self.others.stand_in
        return self.has_substitute and (event.attempts > 0 or not waits)

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
        return self._probed(event)

    def paid(self) -> None:
        """A paid reply came: the server lives, and retries are earned back."""
        self.answers += 1
        self._budget.refund(fully=self._breaker.is_open)
        self._lives()
        self._refusals.none()
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
        alone = not self.has_substitute and (self.is_proven or not self.others.after)
        self._breaker.threshold = ENOUGH_ALONE if alone else ENOUGH
        retry, refused = self._retry, event.refused
        attempt = max(event.attempts - event.crowded, 1)
        decision = decide(
            error, attempt, retry, self._uniform, took_s, stray=stray, refused=refused
        )
        if self._makes_up_for(error.kind):
            return self._failed_here(event, error, now, decision, probe=probe)
        # What was in flight when the breaker opened tells nothing more, so it costs nothing more.
        counts = probe or error.kind not in BREAKING or not self._breaker.is_open
        if error.kind in BREAKING and not crowded:
            self._breaker.failed(now, probe=probe)
            self._opened_by = self._opened_by if self.is_left_alone else error
            if self._breaker.is_open and self.others.cannot and not self.is_proven:
                return self._ends(error, _stopped(error), now)  # nobody has ever answered
        elif error.kind is not Kind.RATE_LIMITED and error.kind not in FATAL:
            self._lives()  # it answers, though not what we hoped
        if isinstance(decision, Stop):
            if self._first.doubts(event, error):
                self._lives()
                return Fail(error)
            return self._ends(error, _stopped(error), now)
        if isinstance(decision, Fail):
            costs = error.kind in COSTLY and counts
            spent = costs and not self._budget.spend(error, crowded=crowded)
            if spent and error.kind is Kind.FORBIDDEN:
                too_many = AccessError(f"{error.message} So were too many others to go on.")
                return self._ends(error, too_many, now)
            return decision
        spent = counts and not self._budget.spend(error, crowded=crowded)
        if spent or self._breaker.is_down:
            why = (
                f"The server keeps failing, so the run stopped. The last time: {error} "
                "What was answered so far is kept; run the same cell again to go on."
            )
            return self._ends(error, ServiceDownError(why), now)
        self._first.put_off(event)
        return decision

    def _lives(self) -> None:
        """It replies again, or all the time."""
        self._breaker.succeeded()
        self.held = None

    def _ends(self, error: CallError, end: RunError, now: float) -> Fail | StopRun:
        """What no other row would get past: the end, unless others answer most rows before it."""
        if not self.others.may_answer:
            said = None if self.is_proven else self.others.held_back
            return StopRun(said or end)
        if not self.is_left_alone:
            log.warning(
                "a model that is asked what others cannot answer is left alone, for it cannot "
                "either (%s): rows that need it fail, and it is asked for one now and then",
                error.kind,
            )
        self.held, self._opened_by = end, error
        self._breaker.refused(now, REFUSING_S)
        return Fail(error)

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
        elif error.kind not in {Kind.NO_CAPACITY, Kind.RATE_LIMITED}:
            self._lives()
            self._refusals.none()
        if error.kind in {Kind.OVERLOADED, Kind.RATE_LIMITED}:
            wait_s = self._refusals.again(now, error.retry_after_s or 0.0)
            if wait_s:
                self._breaker.refused(now, wait_s)
        if self._breaker.is_open:
            self._opened_by = error
            return Fail(error)
        if not isinstance(decision, Wait):
            return Fail(error)
        self._first.put_off(event)
        return decision

    def finished(self, event: Event, *, known: bool) -> StopRun | None:
        """An event is finished.

        Args:
            event: With an answer or an error.
            known: Whether the journal had an answer to anything.

        Returns:
            `StopRun` if the first requests all failed in one way.
        """
        error = event.error
        self._probed(event)  # also where nothing came back, as its call raised or was given up
        if error is None and not (self.has_answered or event.cached):
            self.has_answered = True
            for each in self.others.before:
                each.hear()
        if (
            error is not None
            and event.state == "failed"
            and error.kind is Kind.NO_LOGPROBS
            and error.kind not in self.elsewhere
            and not self._first.doubts(event, error)
        ):
            return StopRun(_stopped(error))  # a reply that was paid for, as all others would be
        if self._first.on_trial:
            made_up_for = error is not None and self._makes_up_for(error.kind)
            counts = not (made_up_for or self.others.may_answer)
            if self._first.is_over_with(event, known=known, counts=counts):
                return StopRun(self.others.held_back or self._first.verdict(event))
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
        if self.others.may_answer and self.others.have_answered:
            return None
        if self.held is not None:
            return self.held
        known = known or self._is_vouched_for
        refused = None if known else self._first.refused(errors)
        if refused is not None and refused.kind not in self.elsewhere:
            return _stopped(refused)
        return None if self.elsewhere >= BREAKING else self._first.unreached(errors, known=known)


def _stopped(error: CallError) -> RunError:
    """Every other row would fail like this one."""
    kind = NoLogprobsError if error.kind is Kind.NO_LOGPROBS else AccessError
    return kind(f"{error.message} Everything answered so far is kept.")
