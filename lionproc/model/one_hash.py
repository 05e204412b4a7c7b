"""Values that cannot be told apart in a moment, for they differ and have one hash.

The hash of a text is another one in each process. That of a number is the number itself, modulo
2**61 - 1: a stranger's file of 400 KB can have 40,000 decimals of one hash, and to sort those into
strata, or choices into a set, compares each with each while nothing else in the process runs. pandas
folds hashes to half of their bits, so there numbers that Python tells apart can be alike as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from lionproc.model.long_numbers import MOST_COMPARED

__all__ = ["has_one_hash"]

_TOLD_APART: Final = frozenset((str, bytes, bool, type(None)))
_HALF: Final = 32  # bits: pandas takes those of both halves that differ (khash_python.h)


def has_one_hash(values: Iterable[object]) -> bool:
    """Whether so many different values have one hash that telling them apart takes long.

    Args:
        values: As plain Python has them; what has no hash is left out.

    Example:
        >>> has_one_hash([(2**61 - 1) * n for n in range(2000)]), has_one_hash(range(2000))
        (True, False)
        >>> has_one_hash((n << 32) + n for n in range(2000))  # told apart by Python, not by pandas
        True
    """
    seen: set[tuple[int, str]] = set()
    of_each = Counter[int]()
    for value in values:
        if type(value) in _TOLD_APART:
            continue
        try:
            number = hash(value)
        except TypeError:
            continue
        # Python writes no whole number of more than 4,300 digits in tens.
        known = (number, hex(value) if isinstance(value, int) else repr(value))
        if known not in seen:
            seen.add(known)
            of_each[(number ^ (number >> _HALF)) % (1 << _HALF)] += 1
    return sum(count**2 for count in of_each.values() if count > 1) > MOST_COMPARED
