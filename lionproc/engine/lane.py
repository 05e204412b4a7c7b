"""One limited amount: how much of it left lately, and when more may leave.

aiolimiter paces, a ledger guards. A leaky bucket alone passes its whole capacity at once and
then refills while it does, up to twice the limit in the first minute; a ledger alone lets a
minute's worth leave in a second. Together they are smooth and never over.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

MINUTE_S = 60.0
# Requests that leave 60.0 s apart may arrive 59.9 s apart, so windows are kept a little longer
# than the server's: 1.2 % up to 0.3 s, which leaves 98.8 % of a limit judged by the second.
MARGIN = 0.012
MARGIN_CAP_S = 0.3


class Ledger:
    """How much left during the last `window_s` seconds, in buckets of a thousandth of that.

    Args:
        window_s: Seconds that are looked back on.
    """

    __slots__ = ("_buckets", "grain_s", "used", "window_s")

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self.grain_s = window_s / 1000
        self.used = 0.0
        self._buckets: dict[int, float] = {}

    def forget(self, now: float) -> None:
        """Drop what left before the window. A bucket goes when its last moment is outside."""
        gone = math.floor((now - self.window_s) / self.grain_s) - 1
        buckets = self._buckets
        while buckets and (oldest := next(iter(buckets))) <= gone:
            self.used -= buckets.pop(oldest)
        if not buckets:
            self.used = 0.0

    def add(self, at: float, amount: float) -> int:
        """Note that `amount` left at `at`; returns the bucket, for `correct`."""
        bucket = math.floor(at / self.grain_s)
        self._buckets[bucket] = self._buckets.get(bucket, 0.0) + amount
        self.used += amount
        return bucket

    def correct(self, bucket: int, delta: float) -> None:
        """Change what left in a bucket, if it is still in the window."""
        if bucket in self._buckets:
            self._buckets[bucket] += delta
            self.used += delta

    def wait_s(self, now: float, amount: float, limit: float) -> float:
        """Seconds until `amount` more fits under `limit`: 0.0 now, inf never."""
        self.forget(now)
        excess = self.used + amount - limit
        if excess <= 1e-9:
            return 0.0
        for bucket, held in self._buckets.items():
            excess -= held
            if excess <= 1e-9:
                return max((bucket + 2) * self.grain_s + self.window_s - now, 1e-4)
        return math.inf

    def left_since(self, moment: float) -> float:
        """How much left since then. From any thread."""
        first = math.floor(moment / self.grain_s)
        return sum(amount for bucket, amount in list(self._buckets.items()) if bucket >= first)

    def replayed(self, window_s: float, now: float) -> Ledger:
        """The same history seen through a shorter window."""
        other = Ledger(window_s)
        for bucket, amount in self._buckets.items():
            at = min((bucket + 1) * self.grain_s, now)
            if at > now - window_s:
                other.add(at, amount)
        return other


class Lane:
    """One limited amount (requests, tokens, input tokens or output tokens).

    Args:
        by_second: Keep the share of every `burst_s` seconds as strictly as the minute's.
            For amounts that come in ones; tokens come in lumps that a second may not hold.
    """

    def __init__(self, *, by_second: bool) -> None:
        self.by_second = by_second
        self.limit: float | None = None
        self.minute = Ledger(MINUTE_S + MARGIN_CAP_S)
        self._allowed = math.inf
        self._short: Ledger | None = None
        self._short_allowed = math.inf
        self._pacer: AsyncLimiter | None = None
        self._owed = 0.0

    def set(self, per_minute: float | None, burst_s: float, now: float) -> None:
        """Take a new limit, with everything that already left counted against it."""
        self.limit = per_minute
        self._short = self._pacer = None
        self._owed = 0.0
        if per_minute is None:
            self._allowed = math.inf
            return
        from aiolimiter import AsyncLimiter

        per_second = per_minute / MINUTE_S
        self._allowed = max(per_minute, 1.0)
        # Below one a minute the window grows until it holds one.
        minute = MINUTE_S * max(1.0, 1.0 / per_minute) + MARGIN_CAP_S
        if not math.isclose(minute, self.minute.window_s):
            self.minute = self.minute.replayed(minute, now)
        burst = per_second * burst_s
        if self.by_second:
            # A quarter of the burst at once keeps the pace even; the ledger allows the rest
            # only as far as it makes up for timers that came late.
            capacity = max(1.0, burst / 4)
            self._short_allowed = math.ceil(burst - 1e-9)
            window_s = self._short_allowed / per_second
            window_s += min(MARGIN * window_s, MARGIN_CAP_S)
            self._short = self.minute.replayed(window_s, now)
        else:
            capacity = max(1.0, burst)
        self._pacer = AsyncLimiter(capacity, capacity / per_second)

    def slow_to(self, per_second: float | None, burst_s: float) -> None:
        """Pace below the limit, without a word about what already left. None: as the limit is."""
        from aiolimiter import AsyncLimiter

        limit = None if self.limit is None else self.limit / MINUTE_S
        if per_second is None or (limit is not None and limit <= per_second):
            per_second = limit
        if per_second is None:
            self._pacer = None
            return
        capacity = max(1.0, per_second * min(burst_s, 1.0) / 4)
        fresh = AsyncLimiter(capacity, capacity / per_second)
        self._pacer = fresh

    def wait_s(self, now: float, amount: float) -> float:
        """Seconds for which the ledgers hold this amount back."""
        if self.limit is None:
            return 0.0
        wait = self.minute.wait_s(now, amount, self._allowed)
        if self._short is not None:
            wait = max(wait, self._short.wait_s(now, amount, self._short_allowed))
        return wait

    def ready(self, amount: float) -> bool:
        """True if the pacer would let this amount pass at once."""
        return self._pacer is None or self._pacer.has_capacity(
            min(max(amount + self._owed, 0.0), self._pacer.max_rate)
        )

    async def pace(self, amount: float) -> None:
        """Wait until this amount is due. More than the bucket holds passes in slices."""
        if self._pacer is None:
            return
        due = amount + self._owed
        self._owed = min(due, 0.0)
        due = max(due, 0.0)
        while due > self._pacer.max_rate:
            await self._pacer.acquire(self._pacer.max_rate)
            due -= self._pacer.max_rate
        await self._pacer.acquire(due)

    def take(self, now: float, amount: float) -> int:
        """Note that this amount leaves now."""
        self.minute.forget(now)
        if self._short is not None:
            self._short.add(now, amount)
        return self.minute.add(now, amount)

    def correct(self, bucket: int, delta: float) -> None:
        """The amount turned out to be `delta` more (or less) than was taken."""
        if delta:
            self.minute.correct(bucket, delta)
            if self._pacer is not None:
                self._owed += delta
