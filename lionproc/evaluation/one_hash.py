"""Cells that cannot be told apart in a moment, for they differ and have one hash.

The hash of a text is another one in each process. That of a number is the number itself, modulo
2**61 - 1: a stranger's file of 400 KB can have 40,000 decimals of one hash, and to sort those into
strata compares each with each while nothing else in the process runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

__all__ = ["has_one_hash"]

MOST_COMPARED: Final = 1_000_000  # pairs of cells
_TOLD_APART: Final = frozenset((str, bytes, float, bool, type(None)))


def has_one_hash(cells: Iterable[object]) -> bool:
    """Whether so many different cells have one hash that telling them apart takes long.

    Args:
        cells: As plain Python values; what has no hash is left out.

    Example:
        >>> has_one_hash([(2**61 - 1) * n for n in range(2000)]), has_one_hash(range(2000))
        (True, False)
    """
    seen: set[tuple[int, str]] = set()
    of_each = Counter[int]()
    for cell in cells:
        if type(cell) in _TOLD_APART:
            continue
        try:
            number = hash(cell)
        except TypeError:
            continue
        # Python writes no whole number of more than 4,300 digits in tens.
        known = (number, hex(cell) if isinstance(cell, int) else repr(cell))
        if known not in seen:
            seen.add(known)
            of_each[number] += 1
    return sum(count**2 for count in of_each.values() if count > 1) > MOST_COMPARED
