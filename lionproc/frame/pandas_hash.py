"""Whether pandas can tell the values of somebody else's file apart in a moment.

pandas has a hash of 32 bits, without a seed. Of whole numbers, times and fractions it is made of their
bits; of other objects it is that of Python, folded, so that numbers which Python tells apart can be
alike too. 200,000 that were chosen for it all have one, and to tell these apart compares each with each
for half a minute in which nothing else runs. The hashes: `khash_python.h` and `khash.h` of pandas.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd

from lionproc.model.one_hash import hashes_of

__all__ = ["Index", "has_one_place"]

Numbers: TypeAlias = np.ndarray[Any, Any]
Index: TypeAlias = "pd.Index[Any]"
_MOST_COMPARED: Final = 50_000_000  # pairs of one hash: half a second
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
    if isinstance(values, pd.IntervalIndex):
        return has_one_place(values.left) or has_one_place(values.right)
    numbers = _numbers(values)
    if numbers is None:
        return _are_many(_of_objects(values.tolist()))
    numbers, _ = np.unique(numbers, return_counts=True)  # sorted, for intervals share their ends
    return _are_many(_of_fractions(numbers) if numbers.dtype.kind == "f" else _of_whole(numbers))


def _are_many(hashes: Numbers) -> bool:
    _, counts = np.unique(hashes, return_counts=True)
    return bool((counts[counts > 1].astype(np.float64) ** 2).sum() > _MOST_COMPARED)


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
