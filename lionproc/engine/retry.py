"""Whether to try again, and when: pure decisions, and the budget that bounds them for a run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from lionproc.errors import CallError, ConfigurationError, Kind
from lionproc.face import faced

TRANSIENT = frozenset(
    {
        Kind.RATE_LIMITED,
        Kind.OVERLOADED,
        Kind.NO_CAPACITY,
        Kind.SERVER_ERROR,
        Kind.TIMEOUT,
        Kind.CONNECTION,
        Kind.BAD_REPLY,
    }
)
# A cheaper tier waits for room that others leave, which takes minutes: waits are so many times as
# long there, and there are twice as many of them.
PATIENCE = 8
REFUSED = 0.25  # of an attempt, or a failure, is a 429: it costs the server next to nothing
IN_FULL = 3  # 429s of a row count as attempts all the same
STRAY = 1 / 8  # of the first wait after a refusal that stops nobody else
FATAL = frozenset({Kind.ACCESS, Kind.NOT_FOUND, Kind.QUOTA, Kind.NO_LOGPROBS})


@faced
@dataclass(frozen=True, slots=True)
class Retry:
    """How patient a run is with failures that may pass.

    429, 408, 409, 5xx, timeouts, broken connections and unreadable replies are tried again
    after a random time of up to `base_s * 2**(attempt - 1)` seconds, at most `cap_s` ("full
    jitter", M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), and
    never before the server's `Retry-After`. The time counts from when the attempt was sent: what
    took long to fail has waited already. After a 429 for which nobody else waits, since the server
    takes the others, the first wait is at most an eighth of `base_s`: a longer one would spare the
    server nothing, as other rows are sent meanwhile.

    Args:
        max_attempts: Requests for one row, the first included, at least 1. From its fourth 429
            on, four of them count as one while the server answers, or for a minute before it ever
            did: others may use up the limit. A 503 for too many at once is no attempt.
        base_s: Seconds of the first wait's upper bound.
        cap_s: Seconds that no wait of our own exceeds.
        max_corrections: How often an answer of a wrong shape is asked again with the reason.
        budget: How many failed attempts a run affords beyond its successes. A failure costs 1,
            a 429 a quarter, as does a 503 for too many at once, and a success gives 1 back up to
            the start; at zero the run stops. So a server that fails half of the time is lived
            with, a dead one is not hammered. (A token bucket for retries as the AWS SDKs have in
            their standard retry mode.) While the circuit breaker is open only its probes cost, and
            an answer then gives all of it back. Where there are answers, and nothing is left but
            rows that failed before, those fail and the run does not.
        first_failures: How many first requests that all fail in one way, with no answer among
            them, stop a run (a schema that is never kept to, a parameter that the model does
            not take). None goes on whatever comes.

    Raises:
        ConfigurationError: A number is out of range.

    Example:
        >>> Retry(max_attempts=3).max_attempts
        3
    """

    max_attempts: int = 6
    base_s: float = 0.5
    cap_s: float = 30.0
    max_corrections: int = 2
    budget: float = 100.0
    first_failures: int | None = 16

    def __post_init__(self) -> None:
        least = {"max_attempts": 1, "base_s": 0, "cap_s": 0, "max_corrections": 0, "budget": 1}
        for name, low in least.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= low:
                raise ConfigurationError(f"Retry({name}=...) is at least {low}, not {value!r}.")
        first = self.first_failures
        if first is not None and (
            isinstance(first, bool) or not isinstance(first, int) or first < 1
        ):
            raise ConfigurationError(
                f"Retry(first_failures=...) is a whole number from 1 on, or None, not {first!r}."
            )
        for name in ("max_attempts", "max_corrections"):
            if getattr(self, name) != int(getattr(self, name)):
                raise ConfigurationError(f"Retry({name}=...) counts, so it is a whole number.")


@dataclass(frozen=True, slots=True)
class Wait:
    """Try again after this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Fail:
    """Give this one up."""

    error: CallError


@dataclass(frozen=True, slots=True)
class Stop:
    """Give the whole run up: no other row would fare better."""

    error: CallError


Decision: TypeAlias = Wait | Fail | Stop


def decide(
    error: CallError,
    attempt: int,
    retry: Retry,
    uniform: Callable[[float, float], float],
    took_s: float = 0.0,
    *,
    stray: bool = False,
    refused: int = 0,
) -> Decision:
    """What to do after a failed attempt.

    Args:
        error: How it failed.
        attempt: Which attempt it was, from 1.
        retry: The run's patience.
        uniform: `random.uniform`, or something tests can foresee.
        took_s: Seconds from when it was sent to its failure.
        stray: Whether it was refused, and nobody else has to wait for that.
        refused: How many of the attempts got a 429 from a server that answers.

    Returns:
        Wait, Fail or Stop.

    Example:
        >>> slow = CallError(Kind.TIMEOUT, "no reply in 60 s")
        >>> decide(slow, 2, Retry(base_s=1.0), lambda low, high: high)
        Wait(seconds=2.0)
    """
    if error.kind in FATAL:
        return Stop(error)
    if error.kind is Kind.UNSUPPORTED:
        return Wait(0.0)  # the next attempt is another one, so it counts for nothing
    patient = error.kind is Kind.NO_CAPACITY
    counted = attempt - math.floor(max(refused - IN_FULL, 0) * (1 - REFUSED))
    if error.kind not in TRANSIENT or counted >= retry.max_attempts * (2 if patient else 1):
        return Fail(error)
    bound = min(retry.cap_s, retry.base_s * 2 ** min(attempt - 1, 30))
    bound *= PATIENCE if patient else STRAY if stray and attempt == 1 else 1
    return Wait(max(uniform(0.0, bound) - took_s, error.retry_after_s or 0.0))


class RetryBudget:
    """Bounds what a run spends on a server that is going down.

    Args:
        size: Tokens at the start, and the most there can be.
    """

    def __init__(self, size: float) -> None:
        self.size = size
        self.left = size

    def spend(self, error: CallError, *, crowded: bool = False) -> bool:
        """Pay for a failed attempt. False when the budget is gone.

        Args:
            error: How it failed.
            crowded: Whether it was refused because too many are in flight.
        """
        costs = {Kind.RATE_LIMITED: REFUSED, Kind.NO_CAPACITY: REFUSED, Kind.UNSUPPORTED: 0.0}
        self.left -= REFUSED if crowded else costs.get(error.kind, 1.0)
        return self.left > 0

    def refund(self, *, fully: bool = False) -> None:
        """A success gives a little back, or all: what failed was not the server's fault."""
        if self.left < self.size:
            self.left = self.size if fully else min(self.size, self.left + 1.0)


class Breaker:
    """Stops sending to a server that only fails, and probes whether it is back.

    Opens after `threshold` failures without a success between them. Then one request at a time
    probes, after 1, 2, 4, ... seconds; the first success closes it, and `probes` failed ones
    mean that the server is down.

    Args:
        threshold: Failures in a row that open it.
        probes: Failed probes after which the server counts as down.
    """

    def __init__(self, threshold: int = 16, probes: int = 6) -> None:
        self.threshold = threshold
        self.probes = probes
        self.failures = 0
        self.failed_probes = 0
        self.opened_until: float | None = None

    @property
    def is_open(self) -> bool:
        """True while only probes may go."""
        return self.opened_until is not None

    @property
    def is_down(self) -> bool:
        """True when enough probes have failed."""
        return self.failed_probes >= self.probes

    def succeeded(self) -> None:
        """A reply came, so the server lives."""
        self.failures = self.failed_probes = 0
        self.opened_until = None

    def failed(self, now: float, *, probe: bool) -> None:
        """An attempt failed at `now` seconds of the loop's clock."""
        self.failures += 1
        if probe:
            self.failed_probes += 1
        elif self.is_open or self.failures < self.threshold:
            return
        self.opened_until = now + min(2.0**self.failed_probes, 30.0)

    def refused(self, now: float, seconds: float) -> None:
        """It refused everybody at `now`, which takes at least so many seconds to change."""
        self.failures += 1
        self.opened_until = now + seconds
