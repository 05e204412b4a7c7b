"""What the answers of a run cost when they were bought, and what was not bought again."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable

from lionproc.engine.usage import plus

__all__ = ["Bought"]


class Bought:
    """What answers cost when they were bought, in this run or before it; each question once.

    Args:
        by_row: Whether it is asked which row bears what a question cost.

    Attributes:
        usd: Dollars, None where that of one is not known.
        by_journal: Dollars that the answers had cost which the journal had; None as above.
        by_sharing: Dollars that the rows would have cost which got the answer of an equal one;
            None as above.
    """

    def __init__(self, *, by_row: bool = False) -> None:
        self.usd: float | None = 0.0
        self.by_journal: float | None = 0.0
        self.by_sharing: float | None = 0.0
        # Half of a key tells questions apart well enough, and takes 8 bytes where a set takes 100.
        # By the first byte, so that there is little to move when one comes in between.
        self._asked = [array("Q") for _ in range(256)]
        self._borne_by = [array("q") for _ in range(256)] if by_row else None
        self._free = set[int]()  # borne in an earlier run by rows that are asked again

    def add(
        self,
        key: bytes | None,
        usd: float | None,
        place: int = 0,
        *,
        rows: int = 1,
        kept: bool = False,
    ) -> bool:
        """An answer has come.

        Args:
            key: Of its question; None for one that is never shared.
            usd: What it cost.
            place: Of the first row that gets it.
            rows: How many rows get it.
            kept: Whether the journal had it.

        Returns:
            Whether that row bears what it cost; False where another one does.
        """
        first = self._is_first(key, place)
        if first:
            self.usd = plus(self.usd, usd)
            if kept:
                self.by_journal = plus(self.by_journal, usd)
        bears = first or self._is_free(key)
        shared = rows - bears
        if shared:
            more = None if usd is None else shared * usd
            self.by_sharing = plus(self.by_sharing, more)
        return bears

    def _is_first(self, key: bytes | None, row: int) -> bool:
        if key is None:
            return True
        asked, half = self._asked[key[0]], int.from_bytes(key[:8], "big")
        place = bisect_left(asked, half)
        if place < len(asked) and asked[place] == half:
            return False
        asked.insert(place, half)
        if self._borne_by is not None:
            self._borne_by[key[0]].insert(place, row)
        return True

    def _is_free(self, key: bytes | None) -> bool:
        half = 0 if key is None else int.from_bytes(key[:8], "big")
        if half not in self._free:
            return False
        self._free.remove(half)
        return True

    def take_over(self, before: Bought, is_open: Callable[[int], bool]) -> None:
        """Begin with what an earlier run of the same rows had.

        Args:
            before: That.
            is_open: Whether a row is asked again: what it has taken is counted from the start then.
        """
        self.usd, self._asked = before.usd, [asked[:] for asked in before._asked]
        if self._borne_by is not None and before._borne_by is not None:
            self._borne_by = [rows[:] for rows in before._borne_by]
            for asked, rows in zip(self._asked, self._borne_by, strict=True):
                self._free |= {half for half, row in zip(asked, rows, strict=True) if is_open(row)}
