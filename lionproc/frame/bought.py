"""What the answers of a run cost when they were bought."""

from __future__ import annotations

from copy import copy

from lionproc.engine.usage import plus

__all__ = ["Bought"]


class Bought:
    """What answers cost when they were bought, in this run or before it; each question once.

    Attributes:
        usd: Dollars, None where that of one is not known.
    """

    def __init__(self) -> None:
        self.usd: float | None = 0.0
        # Half of a key tells questions apart well enough, and takes little room.
        self._asked: set[int] = set()

    def add(self, key: bytes | None, usd: float | None) -> bool:
        """An answer has come.

        Args:
            key: Of its question; None for one that is never shared.
            usd: What it cost.

        Returns:
            False where it was counted already.
        """
        if key is not None:
            half = int.from_bytes(key[:8], "big")
            if half in self._asked:
                return False
            self._asked.add(half)
        self.usd = plus(self.usd, usd)
        return True

    def take_over(self, before: Bought) -> None:
        """Begin with what an earlier run of the same rows had."""
        self.usd, self._asked = before.usd, copy(before._asked)
