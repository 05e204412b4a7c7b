"""A pace that rises over time. Pure: time is handed in."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lionproc.engine.spell import Bounds

DOUBLING_S = 3.0  # beyond the bounds, as BBR's Startup but slow enough for refusals to come back


@dataclass(slots=True)
class Curve:
    """A pace over time: from `low` to `top`, then doubling; no bound any more beyond `most`."""

    low: float
    top: float
    most: float
    patience_s: float = 0.0
    doubling_s: float = DOUBLING_S
    since: float = math.inf  # the first request

    def at(self, now: float) -> float | None:
        """Requests per second; None for no bound."""
        seconds = max(now - self.since, 0.0)
        if seconds < self.patience_s:
            return self.low * math.pow(self.top / self.low, seconds / self.patience_s)
        pace = self.top * 2.0 ** min((seconds - self.patience_s) / self.doubling_s, 99.0)
        return None if pace > self.most else pace


def twice(bounds: Bounds, most: float, doubling_s: float, now: float) -> Curve:
    """The pace that proves a limit: of twice as much it refuses every second one."""
    return Curve(2 * bounds.middle, 2 * bounds.middle, most, 0.0, doubling_s, now)
