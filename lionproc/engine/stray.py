"""Whether refusals come of the pace or come anyway: a sequential test (Wald, 1945). Pure.

Each refusal and each request between two of them shifts the odds of "every second is refused"
against "a few in a hundred are, whatever the pace". How few is counted, from those that were not
enough to tell; before there is proof of a limit it may be a tenth. Each of them had its chance to
look like congestion, so the surer it has to be (Bonferroni); for proof by the square of their
number, so that the chances of a run of any length add up to little. A burst that is enough against
a tenth is proof, and those before it came of the same limit. What was believed has been answered by
a lower pace: of its odds no more than was needed stays for those that leave at that pace.
"""

from __future__ import annotations

import math
from bisect import insort

SURE = 3.0  # the logarithm of the odds at which it is believed
DOUBT = 1.8  # more of it, at a pace that is not above a limit that was measured
MANY = 0.5  # the share of refusals that come of the pace
FEW = 0.005, 0.1  # the share of those that come anyway, at least and at most
REACH = 500  # requests that may overtake each other


class StrayTest:
    """Counts refusals, and says when they are congestion.

    Attributes:
        proved: Whether there is proof that the server has a limit.
    """

    def __init__(self) -> None:
        self.proved = False
        self._recent: list[tuple[int, bool]] = []  # refused numbers, and whether they may be stray
        self._before = 0  # refusals before these that were not enough to tell
        self._settled = 0  # the same of the recent ones
        self._doubted = 0  # refusals that were believed, and are in doubt
        self._believed = 1  # new ones of what was last believed
        self._answered = 0  # the first to leave at the pace that answered it

    def is_congestion(self, number: int, *, above: bool) -> bool:
        """A request was refused.

        Args:
            number: Which of this limiter it was, from 0; they come in any order.
            above: Whether it left at a pace above the limit, as far as is known.

        Returns:
            True if such refusals are more than those that come anyway.
        """
        recent = self._recent
        insort(recent, (number, not above))
        while recent[0][0] < recent[-1][0] - REACH:
            self._before += recent.pop(0)[1]
        (least, most), strays = FEW, self._before + self._settled + self._doubted
        few = min(max((strays + 0.5) / (number + 100), least), most)
        if not (above or self.proved):
            few = most
        odds, self._settled, run = self._odds(few)
        sure = SURE + (1 if self.proved else 2) * math.log(1 + strays)
        if self._odds(most)[0] >= sure + DOUBT:
            self.proved, self._before, self._settled = True, 0, 0
            recent[:] = [(number, False) for number, _ in recent]
        if odds < sure + DOUBT * (not above):
            return False
        self._believed = max(sum(stray for _, stray in recent[-run:]), 1)
        recent[-run:] = [(number, False) for number, _ in recent[-run:]]
        return True

    def answered(self, number: int) -> None:
        """Congestion was believed; requests from this number on leave at a lower pace."""
        self._answered = number

    def _odds(self, few: float) -> tuple[float, int, int]:
        """The logarithm of the odds; how many refusals before do not count, and how many do."""
        odds, settled, last = 0.0, 0, self._recent[0][0]
        run: list[bool] = []
        for number, may_be_stray in self._recent:
            if last < self._answered <= number:  # those before are answered
                odds = min(odds, SURE + DOUBT)
            odds += max(number - last - 1, 0) * math.log((1 - MANY) / (1 - few))
            if odds <= 0:  # those before were stray
                settled += sum(run)
                odds, run = 0.0, []
            odds += math.log(MANY / few)
            run.append(may_be_stray)
            last = number
        return odds, settled, len(run)

    def unproved(self) -> None:
        """Congestion was believed, and there may have been none."""
        self._doubted += self._believed

    def confirmed(self) -> None:
        """Congestion was believed, and there was."""
        self._doubted = 0
