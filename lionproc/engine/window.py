"""One limited quantity: how much of it was sent lately, and when more may be sent.

aiolimiter paces, a sliding window guards. A leaky bucket alone passes its whole capacity at once
and then refills while it does, up to twice the limit in the first minute; a window alone lets a
minute's worth pass in a second. Together they are smooth and never over.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

MINUTE_S = 60.0
# Requests that leave 60.0 s apart may arrive 59.9 s apart, so windows are kept a little longer
# than the server's: 1.2 % up to 0.15 s, which leaves 98.8 % of a limit judged by the second.
MARGIN = 0.012
MARGIN_CAP_S = 0.15
# Connections are made first, so what leaves then arrives later than what follows on them. That is
# counted as leaving a little later, for who judges by the second would see too much in the next.
COLD_S = 0.05
IDLE_S = 10.0  # after so long without departures servers have closed their connections
DUST = 1e-9  # what adding many floats may be off by


class SlidingWindow:
    """How much was sent during the last `window_s` seconds, in buckets of a thousandth of that.

    Several amounts are kept side by side, so that a departure is one entry.

    Args:
        window_s: Seconds that are looked back on.
        width: How many amounts there are.
    """

    __slots__ = ("_buckets", "grain_s", "used", "window_s")

    def __init__(self, window_s: float, width: int) -> None:
        self.window_s = window_s
        self.grain_s = window_s / 1000
        self.used = [0.0] * width
        self._buckets: dict[int, list[float]] = {}

    def forget(self, now: float) -> None:
        """Drop what was sent before the window. A bucket goes when its last moment is outside."""
        gone = (now - self.window_s) // self.grain_s - 1
        buckets, used = self._buckets, self.used
        while buckets and (oldest := next(iter(buckets))) <= gone:
            for place, amount in enumerate(buckets.pop(oldest)):
                used[place] -= amount
        if not buckets:
            self.used = [0.0] * len(used)

    def add(self, at: float, amounts: Sequence[float]) -> int:
        """Note that these amounts were sent at `at`; returns the bucket, for `correct`."""
        bucket = int(at // self.grain_s)
        held = self._buckets.get(bucket)
        if held is None:
            held = self._buckets[bucket] = [0.0] * len(self.used)
        used = self.used
        for place, amount in enumerate(amounts):
            held[place] += amount
            used[place] += amount
        return bucket

    def correct(self, bucket: int, place: int, delta: float) -> None:
        """Change what was sent in a bucket, if it is still in the window."""
        held = self._buckets.get(bucket)
        if held is not None:
            held[place] += delta
            self.used[place] += delta

    def wait_s(self, now: float, place: int, amount: float, limit: float) -> float:
        """Seconds until `amount` more fits under `limit`: 0.0 now, inf never."""
        self.forget(now)
        excess = self.used[place] + amount - limit
        if excess <= DUST:
            return 0.0
        for bucket, held in self._buckets.items():
            excess -= held[place]
            if excess <= DUST:
                return max((bucket + 2) * self.grain_s + self.window_s - now, 1e-4)
        return math.inf

    def left_since(self, moment: float, place: int) -> float:
        """How much was sent since then. From any thread."""
        first = moment // self.grain_s
        buckets = list(self._buckets.copy().items())  # in one step, whatever other threads do
        if buckets and buckets[0][0] >= first:  # the oldest
            return self.used[place]
        return sum(held[place] for bucket, held in buckets if bucket >= first)

    def past(self, now: float) -> list[tuple[float, list[float]]]:
        """What was sent: seconds ago at most, and the amounts."""
        return [
            (max(now - (bucket + 1) * self.grain_s, 0.0), list(held))
            for bucket, held in self._buckets.items()
        ]

    def narrowed(self, window_s: float, place: int, now: float) -> SlidingWindow:
        """The history of one amount, seen through a shorter window."""
        other = SlidingWindow(window_s, 1)
        for bucket, held in self._buckets.items():
            at = min((bucket + 1) * self.grain_s, now)
            if at > now - window_s:
                other.add(at, (held[place],))
        return other


class QuantityLimit:
    """The limit of one quantity (requests, tokens, input tokens or output tokens).

    Args:
        place: Its place among the amounts of the minute.
        minute: What was sent in the last minute, of all quantities.
        by_second: Keep the share of every `burst_s` seconds as strictly as the minute's.
            For amounts that come in ones; tokens come in lumps that a second may not hold.
    """

    def __init__(self, place: int, minute: SlidingWindow, *, by_second: bool) -> None:
        self.place = place
        self.by_second = by_second
        self.limit: float | None = None
        self._minute = minute
        self._allowed = math.inf
        self._short: SlidingWindow | None = None
        self._short_allowed = math.inf
        self._pacer: AsyncLimiter | None = None
        self._owed = 0.0
        self._per_second = math.inf
        self._drained_at = -math.inf  # when the pacer will have forgotten all that passed
        self._left_at = self._warm_at = -math.inf

    @property
    def free(self) -> bool:
        """True while nothing holds this amount back."""
        return self._pacer is None

    @property
    def short_s(self) -> float | None:
        """Seconds of the window that is kept besides the minute; None for none."""
        return None if self._short is None else self._short.window_s

    def set(self, per_minute: float | None, burst_s: float, now: float) -> None:
        """Take a new limit, with everything that was already sent counted against it."""
        self.limit = per_minute
        self._short = self._pacer = None
        self._owed = 0.0
        self._allowed = math.inf
        if per_minute is None:
            return
        from aiolimiter import AsyncLimiter

        per_second = self._per_second = per_minute / MINUTE_S
        self._drained_at = now
        self._allowed = max(per_minute, 1.0)
        burst = per_second * burst_s
        if self.by_second:
            # A quarter of the burst at once keeps the pace even; the window allows the rest
            # only as far as it makes up for timers that came late.
            capacity = max(1.0, burst / 4)
            self._short_allowed = max(math.ceil(burst - DUST), 1)
            window_s = self._short_allowed / per_second
            window_s += min(MARGIN * window_s, MARGIN_CAP_S)
            self._short = self._minute.narrowed(window_s, self.place, now)
        else:
            capacity = max(1.0, burst)
        self._pacer = AsyncLimiter(capacity, capacity / per_second)

    def wait_s(self, now: float, amount: float) -> float:
        """Seconds for which the windows hold this amount back."""
        if self.limit is None:
            return 0.0
        wait = self._minute.wait_s(now, self.place, amount, self._allowed)
        if self._short is not None:
            wait = max(wait, self._short.wait_s(now, 0, amount, self._short_allowed))
        return wait

    def due_s(self, now: float, amount: float) -> float:
        """Seconds until this amount is due at an even pace: 0.0 now."""
        if self._pacer is None:
            return 0.0
        due = max(amount + self._owed, 0.0)
        wait = self._drained_at - now + (due - self._pacer.max_rate) / self._per_second
        return wait + DUST if wait > 0 else 0.0  # then the pacer, which counts by itself, agrees

    async def pace(self, amount: float) -> None:
        """Let this amount pass; waits until it is due.

        More than the bucket holds passes when all of it is, and fills the bucket.
        """
        pacer = self._pacer
        if pacer is None:
            return
        loop = asyncio.get_running_loop()
        if (wait := self.due_s(loop.time(), amount)) > 0:
            await asyncio.sleep(wait)
        due = max(amount + self._owed, 0.0)
        self._owed = min(amount + self._owed, 0.0)
        held = min(due, pacer.max_rate)
        await pacer.acquire(held)
        self._drained_at = max(
            self._drained_at + due / self._per_second, loop.time() + held / self._per_second
        )

    def take(self, now: float, amount: float) -> None:
        """Note that this amount is sent now (the limiter tells the minute's window)."""
        if self._short is not None:
            if now - self._left_at > IDLE_S:
                self._warm_at = now + COLD_S
            self._left_at = now
            self._short.add(max(now, self._warm_at), (amount,))

    def withdraw(self, at: float, amount: float) -> None:
        """What was taken at that time is not sent then (the limiter tells the minute's window)."""
        short = self._short
        if short is not None and at > self._warm_at:  # what was counted a little later stays
            short.correct(int(at // short.grain_s), 0, -amount)

    def correct(self, bucket: int, delta: float) -> None:
        """The amount turned out to be `delta` more (or less) than was taken."""
        self._minute.correct(bucket, self.place, delta)
        if self._pacer is not None and self.limit is not None:
            # No more than a minute's worth: what it took is out of every window after that, and a
            # server that counts wrongly would stop all rows for days.
            self._owed = min(self._owed + delta, self.limit)
