"""Values that cannot be told apart in a moment, for they differ and have one hash.

The hash of a text is another one in each process. That of a number is the number itself, modulo
2**61 - 1: a stranger's file of 400 KB can have 40,000 decimals of one hash, and to sort those into
strata, or choices into a set, compares each with each while nothing else in the process runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from lionproc.model.long_numbers import MOST_COMPARED

__all__ = ["has_one_hash", "hashes_of"]

_TOLD_APART: Final = frozenset((str, bytes, bool, type(None)))


def has_one_hash(values: Iterable[object]) -> bool:
    """Whether so many different values have one hash that telling them apart takes long.

    Args:
        values: As plain Python has them; what has no hash is left out.

    Example:
        >>> has_one_hash([(2**61 - 1) * n for n in range(2000)]), has_one_hash(range(2000))
        (True, False)
    """
    of_each = Counter(hashes_of(values))
    return sum(count**2 for count in of_each.values() if count > 1) > MOST_COMPARED


def hashes_of(values: Iterable[object]) -> list[int]:
    """The hashes of values, each different one once, but for texts and what has none.

    Args:
        values: As plain Python has them.

    Example:
        >>> hashes_of([2, "a", 2, [], 2.5])
        [2, 1152921504606846978]
    """
    seen: set[tuple[int, str]] = set()
    made = []
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
            made.append(number)
    return made
