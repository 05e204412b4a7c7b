"""How many requests in flight a server without a limit takes well. Pure: time is handed in.

Latency above that of an idle server raises the suspicion, throughput judges: fewer in flight are
kept only if as much comes back as before. One of the bounds of `Limiter.concurrency`.
"""

from __future__ import annotations

import math
from statistics import median

FEWER, MORE = -1, 1


class AdaptiveConcurrency:
    """Finds how many requests in flight a server takes well that has no limit."""

    BASELINE = 32  # first requests, whose latency counts as unloaded
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
        self._tried_fewer = False

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
        failed = None
        if self._before is not None:
            cap, before_per_s, before_s = self._before
            self._before = None
            fewer = self.cap is not None and (cap is None or cap > self.cap)
            if per_s < (0.95 if fewer else 1.03) * before_per_s:
                # Fewer in flight cost throughput, so the longer latency is not a queue; or more
                # of them brought nothing.
                failed = FEWER if fewer else MORE
                mistaken = fewer and self.slows(before_s)
                if mistaken:
                    unloaded_s = self._unloaded_s = before_s
                self.cap, per_s, latency_s = cap, before_per_s, before_s
                if not mistaken or cap is None:  # else what the cap was chosen by was wrong too
                    self._quiet_until = now + 60
                if now < self._quiet_until and (fewer or cap is None or self._tried_fewer):
                    self._tried_fewer = False
                    return
        if failed is None and now < self._quiet_until:
            return
        if failed is None and self.slows(latency_s) and full > 1:
            self._try(self._fewer(full, latency_s), per_s, latency_s)
        elif self.cap is not None and failed is MORE:
            # The best may be at fewer: throughput falls on both sides of its peak.
            self._tried_fewer = True
            self._try(max(1, math.floor(self.cap / 1.25)), per_s, latency_s)
        elif self.cap is not None and latency_s < 1.3 * unloaded_s:
            self._try(math.ceil(1.25 * self.cap), per_s, latency_s)

    def queues(self, in_flight: int, latency_s: float) -> None:
        """A server queues already in slow start, by so long a latency: begin with fewer."""
        self.cap = self._fewer(in_flight, latency_s)

    def _fewer(self, count: int, latency_s: float) -> int:
        """As many as would be answered without a queue, by Little's law; half at least."""
        unloaded_s = self._unloaded_s or latency_s
        return max(1, math.ceil(count * max(1.25 * unloaded_s / latency_s, 0.5)))

    def _try(self, cap: int, per_s: float, latency_s: float) -> None:
        self._before = (self.cap, per_s, latency_s)
        self.cap = cap
