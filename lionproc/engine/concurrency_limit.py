"""How many requests in flight a server takes that refuses more of them. Pure: time is handed in.

Some providers limit the requests in flight, besides those of a minute or in their place (Moonshot,
Zhipu, DeepSeek, Anthropic's connections, LiteLLM's `max_parallel_requests`), and their refusals say
so. To wait, as for the end of a minute, is of no use then: the next reply makes room. What is in
flight when one is refused are those that were taken, so there may be as many. Now and then more are
tried, for others who use the account may be gone: twice as many more after each success, and after
each refusal later by twice the time. What is in flight may take minutes, so that more are tried does
not wait for a reply.

Others refuse with a bare 503 what is too much at once (nginx's `limit_conn`, uvicorn's
`--limit-concurrency`), as a server does that is overloaded or down. There are as many in flight as
it takes if most are refused so, and others are answered meanwhile; or, where no answer has come
yet, if some have been in flight for so long that they were not refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["ConcurrencyLimit", "Overload"]

FIRST_LOOK_S = 10.0
LAST_LOOK_S = 120.0
MOST = 0.6  # of what came back last was refused with a 503
NEWS = 1 / 16  # how much one more says of that
LATELY_S = 30.0  # since a server answered that is not down


@dataclass(frozen=True, slots=True)
class Overload:
    """What a server says that is overloaded.

    Attributes:
        wait_s: For how long all are to wait; 0 if it says nothing of that.
        works: Whether it was seen to work on what is in flight beside.
    """

    wait_s: float = 0.0
    works: bool = False


class ConcurrencyLimit:
    """The number of requests in flight that a server takes, by its refusals.

    One of the bounds of `Limiter.concurrency`.

    Attributes:
        cap: How many may be in flight; None where the server never said that there is a limit.
        look_at: When it is time to try more.
    """

    def __init__(self) -> None:
        self.cap: int | None = None
        self._cut_at = -math.inf
        self._looks = False  # more are in flight than were known to be taken
        self.look_at = math.inf
        self._look_s = FIRST_LOOK_S
        self._step = 1
        self._busy = 0.0
        self._replied_at = -math.inf

    def overloaded(
        self, left_at: float, in_flight: int, now: float, *, works: bool = False
    ) -> bool:
        """A request was refused with a 503 that says no more.

        Args:
            left_at: As for `refused`.
            in_flight: As for `refused`.
            now: As for `refused`.
            works: Whether the server was seen to work on what is in flight.

        Returns:
            Whether it was refused because too many are in flight.
        """
        self._busy += (1 - self._busy) * NEWS
        most = self._busy > MOST and now - self._replied_at < LATELY_S
        crowded = works or most or self._looks
        if crowded:
            self.refused(left_at, in_flight, now)
        return crowded

    def refused(self, left_at: float, in_flight: int, now: float) -> None:
        """A request was refused because too many are in flight.

        Args:
            left_at: When it left, in seconds of the loop's clock.
            in_flight: How many others are in flight, 1 at least.
            now: Seconds of the loop's clock.
        """
        # Of a burst, the last one that is refused leaves only those in flight that were taken.
        self.cap = in_flight if self.cap is None else min(self.cap, in_flight)
        if left_at <= self._cut_at:
            return
        self._look_s = min(2 * self._look_s, LAST_LOOK_S) if self._looks else FIRST_LOOK_S
        self._cut_at, self.look_at = now, now + self._look_s
        self._looks, self._step = False, 1

    def is_reached(self, in_flight: int) -> bool:
        """Whether as many are in flight as are known to be taken. A person may allow fewer."""
        return self.cap is not None and in_flight >= self.cap

    def look(self, in_flight: int, now: float) -> bool:
        """Nothing came for some time; returns True if more may leave, as it is time to try that.

        Args:
            in_flight: How many are in flight.
            now: Seconds of the loop's clock.
        """
        if not self.is_reached(in_flight) or now < self.look_at:
            return False
        if self._looks:  # those that were tried were not refused for so long
            self._step *= 2
        self._try_more(now)
        return True

    def _try_more(self, now: float) -> None:
        assert self.cap is not None  # noqa: S101  (else there is no limit to be tried)
        self.cap += self._step
        self._looks, self.look_at = True, now + self._look_s

    def replied(self, left_at: float, full: int | None, now: float) -> bool:
        """A good reply came.

        Args:
            left_at: When its request left.
            full: The concurrency, if the request took the last slot, else None.
            now: Seconds of the loop's clock.

        Returns:
            True if more may leave because of it.
        """
        self._busy -= self._busy * NEWS
        self._replied_at = now
        if self.cap is None or full is None or full < self.cap or left_at <= self._cut_at:
            return False
        if self._looks:  # and as many were taken
            self._looks, self._look_s, self.look_at = False, FIRST_LOOK_S, now
            self._step *= 2
        if now < self.look_at:
            return False
        self._try_more(now)
        return True
