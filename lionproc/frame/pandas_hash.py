"""Whether pandas can tell the values of somebody else's file apart in a moment.

pandas has a hash of 32 bits, without a seed. Of whole numbers, times and fractions it is made of their
bits; of other objects it is that of Python, folded, so that numbers which Python tells apart can be
alike too. 200,000 that were chosen for it all have one, and to tell these apart compares each with each
for half a minute in which nothing else runs. The hashes: `khash_python.h` and `khash.h` of pandas.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd

from lionproc.model.one_hash import hashes_of

__all__ = ["Index", "has_one_place", "share_a_place"]

Numbers: TypeAlias = np.ndarray[Any, Any]
Index: TypeAlias = "pd.Index[Any]"
_MOST_COMPARED: Final = 50_000_000  # pairs of one hash: half a second
_MOST_TOGETHER: Final = 500_000_000  # of the values of all parts: five seconds
_FEW: Final = 4  # pairs of one hash, in however small a column; of any values there is one in 2**32
_WORD: Final = np.uint64(0xFFFFFFFF)
_FACTOR: Final = np.uint64(0x5BD1E995)  # of MurmurHash2, whose last steps change nothing here
_SHIFT: Final = np.uint64(24)
_START: Final = np.uint64((0xC70F6907 ^ 4) * 0x5BD1E995 & 0xFFFFFFFF)


def has_one_place(values: Index) -> bool:
    """Whether so many values have one hash in pandas that telling them apart takes long.

    Args:
        values: Of any dtype, and different ones. Texts have another hash in each process.

    Example:
        >>> same = [n << 33 | (n ^ n << 11 ^ n << 22) % 2**32 for n in range(8000)]
        >>> has_one_place(pd.Index(same)), has_one_place(pd.Index(range(8000)))
        (True, False)
    """
    return any(_compared(hashes) > _MOST_COMPARED for hashes in _hashes(values))


def share_a_place(values: Index, parts: int) -> bool:
    """Whether values and those of other parts may have one hash, so that telling all apart takes long.

    Args:
        values: Different ones, of the dtype that those of all parts have.
        parts: How many there are, which may have as many of the same hash, and other ones.

    Example:
        >>> same = pd.Index([n << 33 | (n ^ n << 11 ^ n << 22) % 2**32 for n in range(3000)])
        >>> share_a_place(same, 2), share_a_place(same, 20), share_a_place(pd.Index(range(3000)), 20)
        (False, True, False)
    """
    return any(
        not _are_by_chance(_counts(hashes)) and _compared(hashes) * parts**2 > _MOST_TOGETHER
        for hashes in _hashes(values)
    )


def _are_by_chance(counts: Numbers) -> bool:
    """Whether no more values have a hash in common than of any values: now and then two."""
    pairs = counts[counts > 1]
    most = _FEW + float(counts.sum()) ** 2 / 2**31
    return len(pairs) <= most and int(pairs.max(initial=2)) == 2


def _hashes(values: Index) -> Iterator[Numbers]:
    """The hash of each value in the tables that pandas has for values of their dtype."""
    if isinstance(values, pd.IntervalIndex):
        yield from _hashes(values.left)
        yield from _hashes(values.right)
        return
    numbers = _numbers(values)
    if numbers is None:
        yield _of_objects(values.tolist())
        return
    numbers, _ = np.unique(numbers, return_counts=True)  # sorted, for intervals share their ends
    yield _of_fractions(numbers) if numbers.dtype.kind == "f" else _of_whole(numbers)


def _counts(hashes: Numbers) -> Numbers:
    """How many have each hash."""
    return np.unique(hashes, return_counts=True)[1]


def _compared(hashes: Numbers) -> float:
    """How often a value is compared with another one of its hash, when each is looked up."""
    counts = _counts(hashes)
    return float((counts[counts > 1].astype(np.float64) ** 2).sum())


def _numbers(values: Index) -> Numbers | None:
    """The numbers that pandas makes hashes of; None where it has none."""
    dtype: Any = values.dtype
    if isinstance(dtype, pd.DatetimeTZDtype | pd.PeriodDtype) or dtype.kind in "mM":
        return values.astype("int64").to_numpy()
    if pd.api.types.is_numeric_dtype(dtype) and dtype.kind in "iuf":
        wide = {"i": np.int64, "u": np.uint64, "f": np.float64}[dtype.kind]
        return np.asarray(values, dtype=wide)
    return None


def _of_objects(cells: Iterable[object]) -> Numbers:
    hashes = np.array(hashes_of(cells), dtype=np.int64).view(np.uint64)
    return (hashes ^ hashes >> np.uint64(32)) & _WORD


def _of_whole(numbers: Numbers) -> Numbers:
    folded = numbers >> 33 ^ numbers ^ numbers << 11
    return folded.view(np.uint64) & _WORD


def _of_fractions(numbers: Numbers) -> Numbers:
    bits = numbers.view(np.uint64)
    first = (_START ^ _mixed(bits & _WORD)) * _FACTOR & _WORD
    return first ^ _mixed(bits >> np.uint64(32))


def _mixed(word: Numbers) -> Numbers:
    word = word * _FACTOR & _WORD
    return (word ^ word >> _SHIFT) * _FACTOR & _WORD
