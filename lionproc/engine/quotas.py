"""What a provider says of its limits, as replies carry it. Pure: time is handed in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import add

from lionproc.engine.tokens import QUANTITIES

FORGOTTEN_AFTER = 5  # replies one after the other that say nothing of limits


@dataclass(frozen=True, slots=True)
class Quota:
    """One limited quantity as a reply's headers describe it; None where they do not say."""

    limit: float | None = None
    remaining: float | None = None
    reset_s: float | None = None


@dataclass(frozen=True, slots=True)
class Signals:
    """What a reply says about limits.

    Attributes:
        quotas: Limits by quantity.
        retry_after_s: Seconds that everybody is asked to wait.
        ignored: A header that cannot be meant, with its value, which is not heeded.
        at_once: Whether a request was refused because too many were in flight at once.
    """

    quotas: Mapping[str, Quota] = field(default_factory=dict)
    retry_after_s: float | None = None
    ignored: str = field(default="", repr=False)
    at_once: bool = field(default=False, repr=False)

    @property
    def wait_s(self) -> float | None:
        """Seconds that a refusal asks to wait: outright, or until what has run out is back."""
        if self.retry_after_s is not None:
            return self.retry_after_s
        resets = [q.reset_s for q in self.quotas.values() if q.remaining == 0 and q.reset_s]
        return max(resets, default=None)


class ProviderQuotas:
    """Remembers the provider's limits, and never plans beyond what it says is left.

    Attributes:
        limits: By quantity.
        left: Likewise what is left: how much may be sent in all until when, since when that counts,
            and how much comes back a second.
    """

    def __init__(self) -> None:
        self.limits: dict[str, float] = {}
        self.left: dict[str, tuple[float, float, float, float]] = {}
        self._departed = (0.0,) * len(QUANTITIES)
        self._doubted: set[tuple[str, float]] = set()
        self._silent = 0

    def disbelieve(self, quantity: str) -> None:
        """Forget a limit that cannot be, and what was said with it; also when it is said again."""
        limit = self.limits.pop(quantity, None)
        self.left.pop(quantity, None)
        if limit is not None:
            self._doubted.add((quantity, limit))

    def silent(self) -> bool:
        """A reply said nothing of limits. True if what an earlier one said is forgotten with that.

        Whoever has limits tells them with every reply. One that was told once, and never again, was
        a mistake, or that of another server behind the same address: a whole run would keep to it.
        """
        self._silent += 1
        if self._silent < FORGOTTEN_AFTER or not self.limits:
            return False
        self.limits.clear()
        self.left.clear()
        return True

    def departed(self, amounts: Sequence[float]) -> None:
        """Note what is sent now, one amount for each quantity."""
        self._departed = tuple(map(add, self._departed, amounts))

    def mark(self) -> tuple[float, ...]:
        """How much was sent so far, to tell later what was sent after a request."""
        return self._departed

    def learn(self, quotas: Mapping[str, Quota], mark: tuple[float, ...], now: float) -> bool:
        """Take in a reply's quotas; `mark` is from when its request was sent. True for a new limit."""
        news = False
        self._silent = 0
        for place, quantity in enumerate(QUANTITIES):
            quota = quotas.get(quantity)
            if quota is None or (quantity, quota.limit) in self._doubted:
                continue
            if (
                quota.limit is not None
                and quota.limit > 0
                and self.limits.get(quantity) != quota.limit
            ):
                self.limits[quantity] = quota.limit
                news = True
            if quota.remaining is not None and quota.reset_s is not None:
                # What was sent after this request is not yet in the server's count.
                ceiling = quota.remaining + mark[place]
                until = now + min(quota.reset_s, 120.0)
                self.left[quantity] = (
                    ceiling,
                    until,
                    now,
                    _refill(quota, self.limits.get(quantity)),
                )
        return news

    def wait_s(self, amounts: Sequence[float], now: float) -> float:
        """Seconds until the server has these amounts left, by its own words."""
        wait = 0.0
        for quantity, (ceiling, until, since, per_s) in list(self.left.items()):
            place = QUANTITIES.index(quantity)
            if now >= until:
                del self.left[quantity]
                continue
            lacking = self._departed[place] + amounts[place] - ceiling - (now - since) * per_s
            if lacking > 1e-9:
                wait = max(wait, min(until - now, lacking / per_s + 1e-6 if per_s else math.inf))
        return wait


def _refill(quota: Quota, limit: float | None) -> float:
    """How much comes back a second until the reset; 0.0 where all of it comes back then.

    A reset that is just as far away as it takes to refill what is gone is the time until
    everything is back, as OpenAI says it; one that is nearer is the end of a window.
    """
    if not limit or quota.remaining is None or quota.reset_s is None:
        return 0.0
    gone = limit - quota.remaining
    return limit / 60 if abs(quota.reset_s * limit / 60 - gone) <= 0.1 * limit else 0.0
