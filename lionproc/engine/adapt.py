"""What the server teaches by its replies: headers and latency. Pure: time is handed in.

Two teachers, each with its own class; the third, what 429s teach, is in `congestion`:

* `Headers`: limits and what is left of them, as rate-limit headers say it.
* `Saturation`: how many requests in flight a server without a limit takes well. Latency above
  the unloaded one raises the suspicion, throughput judges: fewer in flight are kept only if as
  much comes back as before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

LANES = REQUESTS, TOKENS, INPUT, OUTPUT = ("requests", "tokens", "input", "output")


@dataclass(frozen=True, slots=True)
class Quota:
    """One limited amount as a reply's headers describe it; None where they do not say."""

    limit: float | None = None
    remaining: float | None = None
    reset_s: float | None = None


@dataclass(frozen=True, slots=True)
class Signals:
    """What a reply says about limits.

    Attributes:
        quotas: Limits by lane.
        retry_after_s: Seconds that everybody is asked to wait.
        ignored: A header that cannot be meant, with its value, which is not heeded.
    """

    quotas: Mapping[str, Quota] = field(default_factory=dict)
    retry_after_s: float | None = None
    ignored: str = field(default="", repr=False)

    @property
    def wait_s(self) -> float | None:
        """Seconds that a refusal asks to wait: outright, or until what has run out is back."""
        if self.retry_after_s is not None:
            return self.retry_after_s
        resets = [q.reset_s for q in self.quotas.values() if q.remaining == 0 and q.reset_s]
        return max(resets, default=None)


class Headers:
    """Remembers the provider's limits, and never plans beyond what it says is left."""

    def __init__(self) -> None:
        self.limits: dict[str, float] = {}
        self._left: dict[str, tuple[float, float, float, float]] = {}
        self._departed = [0.0] * len(LANES)
        self._doubted: set[tuple[str, float]] = set()

    def disbelieve(self, lane: str) -> None:
        """Forget a limit that cannot be, and what was said with it; also when it is said again."""
        limit = self.limits.pop(lane, None)
        self._left.pop(lane, None)
        if limit is not None:
            self._doubted.add((lane, limit))

    def departed(self, amounts: Sequence[float]) -> None:
        """Note what leaves now, lane by lane."""
        departed = self._departed
        for place, amount in enumerate(amounts):
            departed[place] += amount

    def mark(self) -> tuple[float, ...]:
        """How much has left so far, to tell later what left after a request."""
        return tuple(self._departed)

    def learn(self, quotas: Mapping[str, Quota], mark: tuple[float, ...], now: float) -> bool:
        """Take in a reply's quotas; `mark` is from when its request left. True for a new limit."""
        news = False
        for place, lane in enumerate(LANES):
            quota = quotas.get(lane)
            if quota is None or (lane, quota.limit) in self._doubted:
                continue
            if quota.limit is not None and quota.limit > 0 and self.limits.get(lane) != quota.limit:
                self.limits[lane] = quota.limit
                news = True
            if quota.remaining is not None and quota.reset_s is not None:
                # What left after this request is not yet in the server's count.
                ceiling = quota.remaining + mark[place]
                until = now + min(quota.reset_s, 120.0)
                self._left[lane] = (ceiling, until, now, _refill(quota, self.limits.get(lane)))
        return news

    def wait_s(self, amounts: Sequence[float], now: float) -> float:
        """Seconds until the server has these amounts left, by its own words."""
        wait = 0.0
        for lane, (ceiling, until, since, per_s) in list(self._left.items()) if self._left else ():
            place = LANES.index(lane)
            if now >= until:
                del self._left[lane]
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


class Saturation:
    """Finds how many requests in flight a server takes well that has no limit."""

    BASELINE = 8  # first requests, whose latency counts as unloaded
    SUSPECT = 1.5
    EPOCH_S = 2.0

    def __init__(self) -> None:
        self.cap: int | None = None
        self._first: list[float] = []
        self._unloaded_s: float | None = None
        self._epoch_from: float | None = None
        self._latencies: list[float] = []
        self._counted_from = 0.0
        self._before: tuple[int | None, float, float] | None = None
        self._quiet_until = -math.inf

    def replied(
        self, number: int, latency_s: float, left_at: float, now: float, full: int | None
    ) -> None:
        """A good reply came.

        Args:
            number: Which request of this limiter it answers, from 0.
            latency_s: Seconds it took.
            left_at: When it left.
            now: Seconds of the loop's clock.
            full: The concurrency, if all slots were taken when it left, else None.
        """
        if self._unloaded_s is None:
            if number < self.BASELINE:
                self._first.append(latency_s)
                if len(self._first) == self.BASELINE:
                    self._unloaded_s = median(self._first)
            return
        if full is None:
            self._epoch_from = None
            return
        if self._epoch_from is None:
            self._epoch_from, self._latencies = now, []
        if left_at < self._epoch_from:
            return
        if not self._latencies:
            self._counted_from = now
        self._latencies.append(latency_s)
        count = len(self._latencies)
        seconds = now - self._counted_from
        if seconds >= self.EPOCH_S and count > 2 * full:
            self._judge(median(self._latencies), (count - 1) / seconds, full, now)
            self._epoch_from = None

    def slows(self, latency_s: float, by: float = SUSPECT) -> bool:
        """Whether so long a latency looks like a queue."""
        return self._unloaded_s is not None and latency_s > by * self._unloaded_s

    def _judge(self, latency_s: float, per_s: float, full: int, now: float) -> None:
        unloaded_s = self._unloaded_s or latency_s
        if self._before is not None:
            cap, before_per_s, before_s = self._before
            self._before = None
            fewer = self.cap is not None and (cap is None or cap > self.cap)
            if per_s < (0.95 if fewer else 1.03) * before_per_s:
                # Fewer in flight cost throughput, so the longer latency is not a queue; or more
                # of them brought nothing.
                if fewer:
                    self._unloaded_s = before_s
                self.cap = cap
                self._quiet_until = now + 60
                return
        if now < self._quiet_until:
            return
        if self.slows(latency_s) and full > 1:
            self._before = (self.cap, per_s, latency_s)
            self.cap = max(1, math.ceil(full * max(1.25 * unloaded_s / latency_s, 0.5)))
        elif self.cap is not None and latency_s < 1.3 * unloaded_s:
            self._before = (self.cap, per_s, latency_s)
            self.cap = math.ceil(1.25 * self.cap)
