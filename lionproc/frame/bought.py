"""What the answers of a run cost when they were bought, and what was not bought again."""

from __future__ import annotations

from array import array
from bisect import bisect_left

from lionproc.engine.usage import plus

__all__ = ["Bought"]


class Bought:
    """What answers cost when they were bought, in this run or before it; each question once.

    Attributes:
        usd: Dollars, None where that of one is not known.
        by_journal: Dollars that the answers had cost which the journal had; None as above.
        by_sharing: Dollars that the rows would have cost which got the answer of an equal one;
            None as above.
    """

    def __init__(self) -> None:
        self.usd: float | None = 0.0
        self.by_journal: float | None = 0.0
        self.by_sharing: float | None = 0.0
        # Half of a key tells questions apart well enough, and takes 8 bytes where a set takes 100.
        # By the first byte, so that there is little to move when one comes in between.
        self._asked = [array("Q") for _ in range(256)]

    def add(
        self, key: bytes | None, usd: float | None, *, rows: int = 1, kept: bool = False
    ) -> bool:
        """An answer has come.

        Args:
            key: Of its question; None for one that is never shared.
            usd: What it cost.
            rows: How many rows get it.
            kept: Whether the journal had it.

        Returns:
            False where it was counted already.
        """
        first = self._is_first(key)
        if first:
            self.usd = plus(self.usd, usd)
            if kept:
                self.by_journal = plus(self.by_journal, usd)
        shared = rows - first
        if shared:
            more = None if usd is None else shared * usd
            self.by_sharing = plus(self.by_sharing, more)
        return first

    def _is_first(self, key: bytes | None) -> bool:
        if key is None:
            return True
        asked, half = self._asked[key[0]], int.from_bytes(key[:8], "big")
        place = bisect_left(asked, half)
        if place < len(asked) and asked[place] == half:
            return False
        asked.insert(place, half)
        return True

    def take_over(self, before: Bought) -> None:
        """Begin with what an earlier run of the same rows had."""
        self.usd, self._asked = before.usd, [asked[:] for asked in before._asked]
