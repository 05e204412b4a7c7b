"""How long replies took, counted in bins, so that any number of them fits into little room."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

__all__ = ["Latencies", "quantile"]

LEAST_S = 0.001
BINS = 400  # each 4 % longer than the one before: up to two hours
_PER_E = 1 / math.log(1.04)


class Latencies:
    """The times of replies: their number in each bin, and the longest.

    Attributes:
        counts: How many are in each bin.
        longest_s: The longest, in seconds.
    """

    __slots__ = ("counts", "longest_s")

    def __init__(self) -> None:
        self.counts = [0] * BINS
        self.longest_s = 0.0

    def add(self, seconds: float) -> None:
        """A reply took so long."""
        place = int(math.log(seconds / LEAST_S) * _PER_E) if seconds > LEAST_S else 0
        self.counts[place if place < BINS else BINS - 1] += 1
        self.longest_s = max(self.longest_s, seconds)

    @classmethod
    def together(cls, several: Iterable[Latencies]) -> Latencies:
        """Those of several as one."""
        whole = cls()
        for each in several:
            whole.counts = [
                one + other for one, other in zip(whole.counts, each.counts, strict=True)
            ]
            whole.longest_s = max(whole.longest_s, each.longest_s)
        return whole


def quantile(counts: Sequence[int], share: float) -> float | None:
    """The time within which a share of replies came, to 2 %; None where there is none.

    Args:
        counts: How many are in each bin.
        share: 0.5 for the median.

    Example:
        >>> seen = Latencies()
        >>> for seconds in (0.2, 0.2, 0.2, 3.0): seen.add(seconds)
        >>> round(quantile(seen.counts, 0.5), 1), round(quantile(seen.counts, 0.99))
        (0.2, 3)
    """
    wanted = share * sum(counts)
    if not wanted:
        return None
    before = 0
    for place, count in enumerate(counts):
        before += count
        if before >= wanted:
            return LEAST_S * math.exp((place + 0.5) / _PER_E)
    return None
