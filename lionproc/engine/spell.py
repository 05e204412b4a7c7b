"""What a server admitted from one opening to the next, and what that says of its limit. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

STORE_S = 60.0  # seconds of its rate that a bucket holds, at most
SHORTEST_S = 0.02  # that is measured


class Refusal(NamedTuple):
    """A 429, and how things stood when it came.

    Attributes:
        now: Seconds of the loop's clock.
        epoch: `Congestion.epoch` when the request left.
        number: Which request of this limiter it was, from 0.
        took_s: Seconds from its leaving to the refusal.
        per_s: Requests per second that left lately.
        retry_after_s: Seconds the server asks for.
        jitter: A random number from 0 to 1, so that many clients do not wake together.
        is_spent: Whether the server says that nothing is left of a limit.
    """

    now: float
    epoch: int
    number: int
    took_s: float
    per_s: float
    retry_after_s: float | None
    jitter: float
    is_spent: bool = False


class Bounds(NamedTuple):
    """Requests per second that a server takes: between these."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """As many times the one as the other is of it."""
        return math.sqrt(self.low * self.high)


@dataclass(slots=True)
class Spell:
    """From an opening of the server to the next one.

    Attributes:
        shut_at: When it was last known to be shut before; `-inf` where it was never, so that it
            may have had more in store than can be known.
        opened_at: When it was first known to be open.
        closed_at: When it refused again.
        admitted: Requests between.
        per_s: Requests per second that left in the end.
        is_joined: Whether it goes on with what was measured before it closed the last time.
        idle_s: Seconds of it in which nothing was asked: what a server stores came back, and what
            was not asked for by the second was lost.
    """

    shut_at: float
    opened_at: float
    closed_at: float = 0.0
    admitted: int = 0
    per_s: float = 0.0
    is_joined: bool = False
    idle_s: float = 0.0

    @property
    def seconds(self) -> float:
        """For how long it was open."""
        return self.closed_at - self.opened_at

    @property
    def busy_s(self) -> float:
        """For how long of it something was asked."""
        return self.seconds - self.idle_s

    @property
    def is_first(self) -> bool:
        """Whether what the server had in store is in the count."""
        return self.shut_at == -math.inf

    def is_window(self, shut_at: float) -> bool:
        """Whether it is shut until then, longer than a bucket that can hold what it admitted."""
        return self.admitted * (shut_at - self.closed_at) > STORE_S

    def bounds(self, shut_at: float, open_at: float) -> Bounds:
        """The limit, where the next opening is between these: what was admitted, over the time."""
        high = self.admitted / max(shut_at - self.opened_at - self.idle_s, SHORTEST_S)
        return Bounds(min(self.admitted / max(open_at - self.shut_at, SHORTEST_S), high), high)

    def exact(self, shut_at: float) -> Bounds:
        """The same, where the server had nothing in store when it was shut before and then."""
        seconds = max(shut_at - self.shut_at, SHORTEST_S)
        busy_s = max(seconds - self.idle_s, SHORTEST_S)
        return Bounds(max(self.admitted - 1, 0.5) / seconds, (self.admitted + 1) / busy_s)

    def had_in_store(self, per_s: float, seconds: float) -> bool:
        """Whether more was admitted than the limit and so many seconds of it in store."""
        return self.admitted >= (self.busy_s + seconds) * per_s
