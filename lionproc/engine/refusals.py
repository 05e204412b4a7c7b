"""Whether a server that refuses for its limits refuses all, for longer than its limits explain."""

from __future__ import annotations

import math

# Where somebody else answers meanwhile, one counts as down that refuses so many in a row, for longer
# than the longest of usual windows lasts, or fewer and asked to wait for so long. What opens sooner is
# waited for.
REFUSALS = 10
REFUSED_S = 90.0
# For so long one is left alone that refuses all, or the key, the model or the account.
REFUSING_S = 30.0


class Refusals:
    """Those for its limits, in a row."""

    def __init__(self) -> None:
        self._since = 0.0
        self.none()

    def none(self) -> None:
        """It took something."""
        self._count = 0
        self._asked_s = 0.0  # to wait, by those
        self._asked_until = -math.inf

    def again(self, now: float, wait_s: float) -> float:
        """A request was refused for a limit: who refuses all for longer than any window is down.

        Args:
            now: The time of the loop's clock.
            wait_s: Seconds that the server asks to wait.

        Returns:
            Seconds for which it is left alone from now on, 0 while it is waited for.
        """
        self._count += 1
        if self._count == 1:
            self._since = now
        self._asked_s += max(now + wait_s - max(self._asked_until, now), 0.0)
        self._asked_until = max(self._asked_until, now + wait_s)
        refused = self._count >= REFUSALS and now > self._since + REFUSED_S
        if refused or self._asked_s > REFUSED_S:
            return max(REFUSING_S, self._asked_until - now)
        return 0.0
