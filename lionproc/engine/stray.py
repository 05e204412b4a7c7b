"""Whether refusals come of the pace or come anyway: a sequential test (Wald, 1945). Pure.

Each refusal and each request between two of them shifts the odds of "every fifth is refused"
against "a few in a hundred are, whatever the pace". What is refused at a pace that the server was
measured to take counts towards those few, and so does what was not enough to tell.
"""

from __future__ import annotations

import math

SURE = 3.0  # the logarithm of the odds at which it is believed
DOUBT = 2.0  # more of it, for each doubt
MANY = 0.2  # the share of refusals that come of the pace
FEW = 0.005, 0.1  # the share of those that come anyway, at least and at most


class StrayTest:
    """Counts refusals, and says when they are congestion.

    Attributes:
        presumed: Doubts that there are before the first refusal.
        doubts: Times that congestion was believed and is in doubt.
    """

    def __init__(self) -> None:
        self.presumed = 0
        self.doubts = 0
        self._below = 0  # requests at a pace that the server takes
        self._stray = 0
        self._score = 0.0
        self._run = 0  # refusals that the score is made of
        self._ran = 0  # of the last congestion
        self._last = 0  # number of the last refused request

    def left(self) -> None:
        """A request left at a pace that the server takes, as far as is known."""
        self._below += 1

    def is_congestion(self, number: int, *, below: bool, within: bool) -> bool:
        """A request was refused.

        Args:
            number: Which of this limiter it was, from 0.
            within: Whether it left at a pace that the server may take.
            below: Whether it left at a pace that the server was measured to take.

        Returns:
            True if such refusals are more than those that come anyway.
        """
        few = self._few
        between = max(number - self._last - 1, 0)
        self._last = max(number, self._last)
        self._score += between * math.log((1 - MANY) / (1 - few))
        if self._score <= 0:  # those before were stray
            self._stray += self._run
            self._score, self._run = 0.0, 0
        self._score += math.log(MANY / few)
        self._run += within
        if self._score < SURE + DOUBT * (max(self.doubts, self.presumed) + below):
            return False
        self._ran, self._score, self._run = self._run, 0.0, 0
        return True

    def unproved(self, *, doubt: bool) -> None:
        """Congestion was believed, and there was none."""
        self.doubts += doubt
        self._stray += max(self._ran, 1)

    def confirmed(self) -> None:
        """Congestion was believed, and there was."""
        self.doubts = max(self.doubts - 1, 0)

    @property
    def _few(self) -> float:
        least, most = FEW
        if self.presumed:
            least *= 4
        return min(max((self._stray + 0.5) / (self._below + 100), least), most)
