"""Whether refusals come of the pace or come anyway: a sequential test (Wald, 1945). Pure.

Each refusal and each request between two of them shifts the odds of "every second is refused"
against "a few in a hundred are, whatever the pace". How few is counted, from those that were not
enough to tell; before there is proof of a limit it may be a tenth, or more if more were counted.
Each of them had its chance to look like congestion, so the surer it has to be (Bonferroni); for
proof by the square of their number, so that the chances of a run of any length add up to little. A
burst that is enough against that share is proof; a smaller one is, after a first refusal that a
look in vain confirmed. Of those before it the ones at more than half of its pace came of the same
limit, for at twice the limit every second is refused; the others are stray, and go on counting.
What was believed has been answered by a lower pace: of its odds no more than was needed stays for
those that leave at that pace, and nothing where strays were seen.
"""

from __future__ import annotations

import math
from bisect import insort

SURE = 3.0  # the logarithm of the odds at which it is believed
DOUBT = 1.8  # more of it, at a pace that is not above a limit that was measured
MANY = 0.5  # the share of refusals that come of the pace
FEW = 0.005, 0.1  # the share of those that come anyway, at least: with proof of a limit, without
MOST = 0.3  # and at most
REACH = 500  # requests that may overtake each other


class StrayTest:
    """Counts refusals, and says when they are congestion.

    Attributes:
        proved: Whether there is proof that the server has a limit.
        is_sure: Whether a burst alone was proof, without a look in vain.
    """

    def __init__(self) -> None:
        self.proved = False
        self.is_sure = False
        self._recent: list[tuple[int, float]] = []  # numbers and paces; inf: no stray
        self._before = 0  # refusals before these that were not enough to tell
        self._settled = 0  # the same of the recent ones
        self._doubted = 0  # refusals that were believed, and are in doubt
        self._believed = 1  # new ones of what was last believed
        self._answered = 0  # the first to leave at the pace that answered it

    def is_congestion(
        self,
        number: int,
        *,
        above: bool,
        per_s: float,
        again: bool = False,
        is_unproved: bool = False,
    ) -> bool:
        """A request was refused.

        Args:
            number: Which of this limiter it was, from 0; they come in any order.
            above: Whether it left at a pace above the limit, as far as is known.
            per_s: That pace.
            again: Whether the server had refused before, and whoever looked whether it is open.
            is_unproved: Whether that limit is asked for twice as much, to prove it: one refusal
                alone may be stray.

        Returns:
            True if such refusals are more than those that come anyway.
        """
        recent = self._recent
        insort(recent, (number, math.inf if above else per_s))
        while recent[0][0] < recent[-1][0] - REACH:
            self._before += recent.pop(0)[1] < math.inf
        strays = self._strays
        counted = min(strays / (number + 100), MOST)
        few, perhaps = (max(counted, least) for least in FEW)
        if is_unproved or not (above or self.proved):
            few = perhaps
        odds, self._settled, run = self._odds(few)
        sure = SURE + (1 if self.proved else 2) * math.log(1 + strays)
        burst, _, burst_run = self._odds(perhaps)
        self.is_sure |= burst >= sure + DOUBT
        if burst >= sure + DOUBT * (not again):
            if not self.proved:
                recent[:] = [(at, pace if 2 * pace < per_s else math.inf) for at, pace in recent]
                self.proved, self._settled = True, self.seen - self._before
            self._believe(burst_run)
        if odds < sure + DOUBT * (not (above or again)):
            return False
        self._believed = max(self._believe(run), 1)
        return True

    @property
    def seen(self) -> int:
        """How many were not enough to tell, as far as is known."""
        return self._before + sum(pace < math.inf for _, pace in self._recent)

    @property
    def _strays(self) -> int:
        return self._before + self._settled + self._doubted

    def _believe(self, run: int) -> int:
        """The last ones are not stray; returns how many of them might have been."""
        recent = self._recent
        new = sum(pace < math.inf for _, pace in recent[-run:])
        recent[-run:] = [(number, math.inf) for number, _ in recent[-run:]]
        return new

    def answered(self, number: int) -> None:
        """Congestion was believed; requests from this number on leave at a lower pace."""
        self._answered = number

    def _odds(self, few: float) -> tuple[float, int, int]:
        """The logarithm of the odds; how many refusals before do not count, and how many do."""
        odds, settled, last = 0.0, 0, self._recent[0][0]
        run: list[bool] = []
        for number, pace in self._recent:
            if last < self._answered <= number:  # those before are answered
                odds = min(odds, 0.0 if self._strays else SURE + DOUBT)
            odds += max(number - last - 1, 0) * math.log((1 - MANY) / (1 - few))
            if odds <= 0:  # those before were stray
                settled += sum(run)
                odds, run = 0.0, []
            odds += math.log(MANY / few)
            run.append(pace < math.inf)
            last = number
        return odds, settled, len(run)

    def forget_proof(self) -> None:
        """Whether the server has a limit is not known any more."""
        self.proved = self.is_sure = False

    def unproved(self) -> None:
        """Congestion was believed, and there may have been none."""
        self._doubted += self._believed

    def confirmed(self) -> None:
        """Congestion was believed, and there was."""
        self._doubted = 0
