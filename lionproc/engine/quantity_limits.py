"""The limits of all quantities together, over one history of what was sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lionproc.engine.tokens import QUANTITIES, REQUESTS, Amounts
from lionproc.engine.window import MARGIN_CAP_S, MINUTE_S, QuantityLimit, SlidingWindow


class QuantityLimits:
    """Keeps requests, tokens, input tokens and output tokens under their limits.

    Attributes:
        active: The limits that hold something back.
    """

    def __init__(self) -> None:
        self._minute = SlidingWindow(MINUTE_S + MARGIN_CAP_S, len(QUANTITIES))
        self._all = tuple(
            QuantityLimit(place, self._minute, by_second=name == REQUESTS)
            for place, name in enumerate(QUANTITIES)
        )
        self.active: tuple[QuantityLimit, ...] = ()

    @property
    def any_known(self) -> bool:
        """True if there is a limit for at least one quantity."""
        return any(limit.limit for limit in self._all)

    @property
    def shortest_s(self) -> float | None:
        """The shortest window that a limit is kept over besides the minute; None for none."""
        return min(
            (limit.short_s for limit in self.active if limit.short_s is not None), default=None
        )

    def set(self, per_minute: Iterable[float | None], burst_s: float, now: float) -> None:
        """Take new limits, one for each quantity, None for no limit."""
        for limit, amount in zip(self._all, per_minute, strict=True):
            limit.set(amount, burst_s, now)
        self.active = tuple(limit for limit in self._all if not limit.free)

    def wait_s(self, amounts: Amounts, now: float) -> float:
        """Seconds until these amounts fit under all limits: 0.0 now, inf never."""
        wait = 0.0
        for limit in self.active:
            wait = max(wait, limit.wait_s(now, amounts[limit.place]))
        return wait

    def due_s(self, amounts: Amounts, now: float) -> float:
        """Seconds until these amounts are due at an even pace: 0.0 now."""
        wait = 0.0
        for limit in self.active:
            wait = max(wait, limit.due_s(now, amounts[limit.place]))
        return wait

    async def pace(self, amounts: Amounts) -> None:
        """Let these amounts pass; waits until they are due."""
        for limit in self.active:
            await limit.pace(amounts[limit.place])

    def sent(self, amounts: Amounts, now: float) -> int:
        """Count these amounts as sent now; returns the bucket, for `correct` and `redate`."""
        self._minute.forget(now)
        bucket = self._minute.add(now, amounts)
        if self.active:
            self._take(amounts, now)
        return bucket

    def correct(self, bucket: int, deltas: Sequence[float]) -> None:
        """The amounts turned out to be so much more (or less) than was counted."""
        for limit, delta in zip(self._all, deltas, strict=True):
            if delta:
                limit.correct(bucket, delta)

    def withdraw(self, bucket: int, amounts: Amounts, at: float) -> None:
        """What was counted in a bucket at that time is never sent."""
        self.correct(bucket, [-amount for amount in amounts])
        for limit in self.active:
            limit.withdraw(at, amounts[limit.place])

    def redate(self, bucket: int, amounts: Amounts, at: float, now: float) -> int:
        """What was counted in a bucket at that time is sent only now; returns its new bucket."""
        for place, amount in enumerate(amounts):
            self._minute.correct(bucket, place, -amount)
        for limit in self.active:
            limit.withdraw(at, amounts[limit.place])
        bucket = self._minute.add(now, amounts)
        self._take(amounts, now)
        return bucket

    def sent_since(self, moment: float, quantity: str) -> float:
        """How much of a quantity was sent since then. From any thread."""
        return self._minute.left_since(moment, QUANTITIES.index(quantity))

    def past(self, now: float) -> list[tuple[float, list[float]]]:
        """What was sent in the last minute: seconds ago, and the amounts of all quantities."""
        self._minute.forget(now)
        return self._minute.past(now)

    def per_minute(self, quantity: str, window_s: float, limit: float | None, now: float) -> float:
        """See `Limiter.per_minute`."""
        # Buckets that lie whole in the window: the one across its edge would make 602 of 600.
        now += self._minute.grain_s
        last_minute = self.sent_since(now - MINUTE_S, quantity)
        if window_s >= MINUTE_S:
            return last_minute
        rate = self.sent_since(now - window_s, quantity) * MINUTE_S / window_s
        return max(rate if limit is None else min(rate, limit), last_minute)

    def _take(self, amounts: Amounts, now: float) -> None:
        for limit in self.active:
            limit.take(now, amounts[limit.place])
