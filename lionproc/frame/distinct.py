"""The different values of a column, and which of them each row has.

The hash tables of pandas and Arrow have no seed. Whoever writes a file can write a hundred thousand
texts, numbers or times that fall into one place of them, and to tell those apart compares each with
each while Ctrl-C is dead. Here texts go through a dict of Python, whose hash of a text is another
one in each process, and numbers and times are sorted; pandas has what is left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import count
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["distinct"]

Codes: TypeAlias = np.ndarray[tuple[int], np.dtype[np.intp]]

_AT_ONCE: Final = 2048
"""Rows that go through a table of Arrow's: at worst each is compared with a thousand others."""


def distinct(column: pd.Series[Any], *, ordered: bool = True) -> tuple[Codes, pd.Index[Any]]:
    """Tell the values of a column apart, as `pandas.factorize(use_na_sentinel=False)` does.

    Args:
        column: Of any dtype. What has_one_hash says cannot be told apart was refused before.
        ordered: Whether texts are put in order, too; otherwise they stay as they come.

    Returns:
        For each row the place of its value, and the values with the dtype of the column. They are
        in their order where they have one, and missing ones are one value, the last.

    Raises:
        TypeError, NotImplementedError: They cannot be told apart, as lists cannot.

    Example:
        >>> codes, values = distinct(pd.Series(["b", "a", None, "b"]))
        >>> codes.tolist(), values.dropna().tolist()
        ([1, 0, 2, 1], ['a', 'b'])
    """
    missing = column.isna().to_numpy(dtype=bool)
    there = column[~missing] if missing.any() else column
    found = _codes(there, ordered=ordered)
    if found is None:
        return _by_pandas(column)
    codes = np.full(len(column), found.max(initial=-1) + 1, dtype=np.intp)
    codes[~missing] = found
    first = np.empty(codes.max(initial=-1) + 1, dtype=np.intp)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # of several the last one is kept
    values = column.iloc[first]
    if missing.any() and values.dtype == object:
        values.iloc[-1] = np.nan  # whichever was there first
    return codes, pd.Index(values, tupleize_cols=False).rename(None)


def _by_pandas(column: pd.Series[Any]) -> tuple[Codes, pd.Index[Any]]:
    try:
        codes, values = pd.factorize(column, sort=True, use_na_sentinel=False)
    except TypeError:  # they have no order
        codes, values = pd.factorize(column, use_na_sentinel=False)
    return codes, pd.Index(values, tupleize_cols=False)


def _codes(there: pd.Series[Any], *, ordered: bool) -> Codes | None:
    """The codes of a column without missing values; None where pandas has to find them."""
    dtype: Any = there.dtype
    if isinstance(dtype, pd.ArrowDtype) or getattr(dtype, "storage", None) == "pyarrow":
        return _of_arrow(_whole(there), ordered=ordered)
    if isinstance(dtype, pd.StringDtype) or (
        pd.api.types.is_object_dtype(dtype) and pd.api.types.infer_dtype(there) == "string"
    ):
        return _of_texts(there.tolist(), ordered=ordered)
    if isinstance(dtype, pd.DatetimeTZDtype | pd.PeriodDtype) or dtype.kind in "mM":
        return _sorted(there.astype("int64").to_numpy())
    if isinstance(dtype, np.dtype) and dtype.kind in "iufc":
        return _sorted(there.to_numpy())
    if pd.api.types.is_numeric_dtype(dtype) and dtype.kind in "iuf":  # with a mask, or sparse
        return _sorted(there.to_numpy(dtype=getattr(dtype, "numpy_dtype", dtype.type)))
    return None


def _whole(there: pd.Series[Any]) -> Any:
    array: Any = pa.array(there.array)
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _sorted(numbers: np.ndarray[Any, Any]) -> Codes:
    _, codes = np.unique(numbers, return_inverse=True)
    return codes


def _of_arrow(array: Any, *, ordered: bool) -> Codes | None:
    kind = array.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _sorted(array.to_numpy(zero_copy_only=False))
    if pa.types.is_temporal(kind) and kind != pa.month_day_nano_interval():
        return _sorted(array.view(pa.int32() if kind.bit_width == 32 else pa.int64()).to_numpy())
    if pa.types.is_nested(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return None
    place_of = _places()
    codes = np.empty(len(array), dtype=np.intp)
    for start in range(0, len(array), _AT_ONCE):
        part = pc.dictionary_encode(array[start : start + _AT_ONCE])
        places = [place_of[value] for value in part.dictionary.to_pylist()]
        codes[start : start + _AT_ONCE] = np.array(places, dtype=np.intp)[part.indices.to_numpy()]
    if not ordered:
        return codes
    first = np.empty(len(place_of), dtype=np.intp)
    first[codes] = np.arange(len(codes))
    return _ranks(pc.sort_indices(array.take(pa.array(first))).to_numpy())[codes]


def _of_texts(texts: Sequence[str], *, ordered: bool) -> Codes:
    place_of = _places()
    codes = np.fromiter(map(place_of.__getitem__, texts), np.intp, len(texts))
    if not ordered:
        return codes
    return _ranks([place_of[text] for text in sorted(place_of)])[codes]


def _places() -> defaultdict[Any, int]:
    """A dict that numbers what is looked up, in the order in which it comes."""
    return defaultdict(count().__next__)  # its own length would be a cycle, and stay in memory


def _ranks(order: Sequence[int] | Codes) -> Codes:
    """Where each value stands, of the values in their order."""
    made = np.empty(len(order), dtype=np.intp)
    made[np.asarray(order, dtype=np.intp)] = np.arange(len(order))
    return made
