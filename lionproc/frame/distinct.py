"""The different values of a column, and which of them each row has.

The hash tables of pandas and Arrow have no seed. Whoever writes a file can write a hundred thousand
texts, numbers or times that fall into one place of them, and to tell those apart compares each with
each while Ctrl-C is dead. Here texts go through a dict of Python, whose hash of a text is another
one in each process, and numbers and times are sorted; pandas has what is left.

Thousands of rows in Arrow may share one text of megabytes. It is copied for none of them: what a few
rows have becomes objects once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lionproc.frame.arrow_kinds import no_view

__all__ = ["codes_in", "distinct"]

Codes: TypeAlias = np.ndarray[tuple[int], np.dtype[np.intp]]
Column: TypeAlias = "pd.Series[Any]"
Values: TypeAlias = "pd.Index[Any]"

_MOST_OTHERS: Final = 1000
_AT_ONCE: Final = 2048
"""Rows that go through a table of Arrow's: at worst each is compared with a thousand others."""


def distinct(column: Column, *, ordered: bool = True) -> tuple[Codes, Values]:
    """Tell the values of a column apart, as `pandas.factorize(use_na_sentinel=False)` does.

    Args:
        column: Of any dtype. What has_one_hash says cannot be told apart was refused before.
        ordered: Whether texts are put in order, too; otherwise they stay as they come.

    Returns:
        For each row the place of its value, and the values with the dtype of the column (of a
        dictionary of Arrow's that of its values). They are in their order where they have one, and
        missing ones are one value, the last.

    Raises:
        TypeError, NotImplementedError: They cannot be told apart, as lists cannot.

    Example:
        >>> codes, values = distinct(pd.Series(["b", "a", None, "b"]))
        >>> codes.tolist(), values.dropna().tolist()
        ([1, 0, 2, 1], ['a', 'b'])
    """
    if _is_of_arrow(column.dtype):
        array = _chunked(column)
        if not _is_number(array.type) and not _is_left_to_pandas(array.type):
            return _of_cells(array, column.dtype, ordered=ordered)
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
    if values.dtype == np.float16:
        values = values.astype(np.float32)  # an index has no shorter ones
    if missing.any() and values.dtype == object:
        values.iloc[-1] = np.nan  # whichever was there first
    return codes, pd.Index(values, tupleize_cols=False).rename(None)


def codes_in(cells: Any, place_of: Mapping[Any, int]) -> Codes:
    """Of each cell the place that its value has, -1 for what has none.

    Only the different values become objects of Python: a file of a few bytes may have millions of cells.

    Args:
        cells: In Arrow, an array or a chunked one.
        place_of: The places of values, as Arrow gives them to Python.

    Raises:
        ValueError: Very many different cells have no place.
        TypeError, NotImplementedError: They cannot be told apart, as lists cannot.

    Example:
        >>> codes_in(pa.array(["b", None, "b", "c"]), {"a": 0, "b": 1}).tolist()
        [1, -1, 1, -1]
    """
    array: Any = pd.arrays.ArrowExtensionArray(cells)
    codes, values = distinct(pd.Series(array), ordered=False)
    if len(values) > len(place_of) + _MOST_OTHERS:
        raise ValueError("very many cells are none of the values that they may be")
    held: Any = values.array
    places = [place_of.get(value, -1) for value in held.__arrow_array__().to_pylist()]
    return np.array(places, dtype=np.intp)[codes]


def _by_pandas(column: Column) -> tuple[Codes, Values]:
    try:
        codes, values = pd.factorize(column, sort=True, use_na_sentinel=False)
    except TypeError:  # they have no order
        codes, values = pd.factorize(column, use_na_sentinel=False)
    made = pd.Index(values, tupleize_cols=False)
    order = np.argsort(made.isna(), kind="stable")  # pandas has a missing one at any place
    return _ranks(order)[codes], made[order]


def _of_objects(cells: Sequence[Any]) -> Codes:
    """By the hashes of Python. pandas folds them to half their bits, and takes others of tuples."""
    place_of = _places()
    codes = np.fromiter(map(place_of.__getitem__, cells), np.intp, len(cells))
    values = list(place_of)
    try:
        order = sorted(range(len(values)), key=values.__getitem__)
    except TypeError:
        texts = [place for place, each in enumerate(values) if isinstance(each, str)]
        others = [place for place, each in enumerate(values) if not isinstance(each, str)]
        try:  # as pandas has them: numbers before texts
            order = [
                *sorted(others, key=values.__getitem__),
                *sorted(texts, key=values.__getitem__),
            ]
        except TypeError:  # they have no order
            return codes
    return _ranks(order)[codes]


def _codes(there: Column, *, ordered: bool) -> Codes | None:
    """The codes of a column without missing values; None where pandas has to find them."""
    dtype: Any = there.dtype
    if _is_of_arrow(dtype):
        return _of_numbers(_chunked(there))
    if isinstance(dtype, pd.StringDtype) or (
        pd.api.types.is_object_dtype(dtype) and pd.api.types.infer_dtype(there) == "string"
    ):
        return _of_texts(there.tolist(), ordered=ordered)
    if pd.api.types.is_object_dtype(dtype):
        return _of_objects(there.tolist())
    if isinstance(dtype, pd.DatetimeTZDtype | pd.PeriodDtype) or dtype.kind in "mM":
        return _sorted(there.astype("int64").to_numpy())
    if isinstance(dtype, np.dtype) and dtype.kind in "iufc":
        return _sorted(there.to_numpy())
    if pd.api.types.is_numeric_dtype(dtype) and dtype.kind in "iuf":  # with a mask, or sparse
        return _sorted(there.to_numpy(dtype=getattr(dtype, "numpy_dtype", dtype.type)))
    return None


def _sorted(numbers: np.ndarray[Any, Any]) -> Codes:
    _, codes = np.unique(numbers, return_inverse=True)
    return codes


def _is_of_arrow(dtype: object) -> bool:
    return isinstance(dtype, pd.ArrowDtype) or getattr(dtype, "storage", None) == "pyarrow"


def _chunked(column: Column) -> pa.ChunkedArray:
    array: Any = pa.array(column.array)
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_number(kind: pa.DataType) -> bool:
    """Whether it is a number, or a time that is one."""
    kind = _value_type(kind)
    of_time = pa.types.is_temporal(kind) and kind != pa.month_day_nano_interval()
    return bool(of_time or pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_left_to_pandas(kind: pa.DataType) -> bool:
    kind = _value_type(kind)
    return bool(pa.types.is_nested(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind))


def _of_numbers(array: pa.ChunkedArray) -> Codes | None:
    kind = _value_type(array.type)
    if not _is_number(kind):
        return None
    numbers: Any = array.cast(kind).combine_chunks()
    if pa.types.is_temporal(kind):
        numbers = numbers.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    return _sorted(numbers.to_numpy(zero_copy_only=False))


def _of_cells(array: pa.ChunkedArray, dtype: object, *, ordered: bool) -> tuple[Codes, Values]:
    kind = _value_type(array.type)
    if pa.types.is_decimal(kind):  # very many may have one hash in Python too, and no texts do
        array = array.cast(pa.string())
    place_of = _places()
    codes = np.empty(len(array), dtype=np.intp)
    end = 0
    for start in range(0, len(array), _AT_ONCE):
        for cells, which in _of_few(array.slice(start, _AT_ONCE)):
            places = [-1 if cell is None else place_of[cell] for cell in cells]
            begin, end = end, end + len(which)
            codes[begin:end] = np.array([*places, -1], dtype=np.intp)[which]
    cells = list(place_of)
    if codes.min(initial=0) < 0:
        codes[codes < 0] = len(cells)
        cells.append(None)
    values = no_view(pa.array(cells, _value_type(array.type)).cast(kind))
    if ordered:
        try:
            order = pc.sort_indices(values)  # a missing one is the last
        except pa.ArrowNotImplementedError:  # they have no order
            pass
        else:
            codes, values = _ranks(order.to_numpy())[codes], values.take(order)
    made: Any = pd.ArrowDtype(kind) if isinstance(dtype, pd.ArrowDtype) else dtype
    return codes, pd.Index(made.__from_arrow__(values), tupleize_cols=False)


def _of_few(rows: pa.ChunkedArray) -> Iterator[tuple[list[Any], Codes]]:
    """What a few rows have, each once, and which of it each row has; -1 for none."""
    if not pa.types.is_dictionary(rows.type):
        # The rows are looked at where they are, and each array has the same dictionary.
        made = pc.dictionary_encode(rows).combine_chunks()
        yield made.dictionary.to_pylist(), made.indices.fill_null(-1).to_numpy()
        return
    for chunk in rows.chunks:
        used = pc.dictionary_encode(chunk.indices)
        cells = [chunk.dictionary[place].as_py() for place in used.dictionary.to_pylist()]
        yield cells, used.indices.fill_null(-1).to_numpy()


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
