"""A short digest of each answer, by which two runs are compared that were over the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any, Final
from zlib import compressobj, decompressobj, error

import numpy as np
import pandas as pd

from lionproc.frame.distinct import distinct
from lionproc.model.as_json import to_json

__all__ = ["digests_of", "packed", "unpacked"]

_MOST: Final = 2**30
"""Bytes of the digests of a run that are compared."""

_SAMPLE: Final = 1000
_AT_ONCE: Final = 16_384  # cells
_OBJECTS: Final = 1024  # cells that are objects at one time: they take many times what cells take
_OBJECT_BYTES: Final = 2**25
_EXACT: Final = 2**53  # from there on a float stands for several whole numbers
_DIGITS: Final = 400  # of the longest whole number that is written with all of its zeros
_ALL_DIGITS: Final = Context(prec=10**6, Emax=MAX_EMAX, Emin=MIN_EMIN)

_NUMBER: Final = "number "  # stands before one that no float is

Floats = np.ndarray[Any, np.dtype[np.float64]]
Digests = np.ndarray[Any, np.dtype[np.uint64]]
"""One number for each row; 0 where there is no answer."""


def digests_of(column: Any) -> Digests:
    """The digests of a column: equal for equal answers, whatever the type of the column.

    Args:
        column: Cells as a column of a frame holds them.
    """
    series = pd.Series(column)
    missing = series.isna().to_numpy()
    made = _numbers(series, missing)
    made[made == 0] = 1
    made[missing] = 0
    return made


def _numbers(series: pd.Series[Any], missing: np.ndarray[Any, Any]) -> Digests:
    if isinstance(series.dtype, pd.CategoricalDtype):
        of_each = digests_of(list(series.cat.categories)) if len(series.cat.categories) else None
        codes = series.cat.codes.to_numpy()
        return np.zeros(len(series), np.uint64) if of_each is None else of_each.take(codes)
    if pd.api.types.is_numeric_dtype(series.dtype) and not isinstance(series.dtype, pd.ArrowDtype):
        floats = series.to_numpy(dtype="float64", na_value=0.0)  # 3 and 3.0 are one answer
        made = pd.util.hash_array(floats)
        if series.dtype.kind in "iu":
            large = np.flatnonzero(np.abs(floats) >= _EXACT)
            made[large] = _large(series.iloc[large], floats[large], made[large])
        return made
    if isinstance(series.dtype, pd.StringDtype) and _repeats(series):
        codes, different = distinct(series, ordered=False)
        texts = different.fillna("").to_numpy(dtype=object)
        return pd.util.hash_array(texts, categorize=False).take(codes)
    pieces = _pieces(series, 0, len(series))
    return np.concatenate([_of_objects(series.iloc[some], missing[some]) for some in pieces])


def _pieces(series: pd.Series[Any], start: int, stop: int) -> Iterator[slice]:
    """Slices of a column that are few enough to become objects: rows may share megabytes in Arrow."""
    rows = stop - start
    if rows > _OBJECTS or (rows > 1 and series.iloc[start:stop].nbytes > _OBJECT_BYTES):
        middle = start + rows // 2
        yield from _pieces(series, start, middle)
        yield from _pieces(series, middle, stop)
    else:
        yield slice(start, stop)


def _large(series: pd.Series[Any], floats: Floats, made: Digests) -> Digests:
    """The digests of whole numbers: those of their floats, unless a float is not exactly as large."""
    kind = "uint64" if series.dtype.kind == "u" else "int64"
    whole = series.to_numpy(dtype=kind)
    within = floats < float(np.iinfo(kind).max)  # which is one more than there can be
    other = ~within
    other[within] = floats[within].astype(kind) != whole[within]
    texts = _NUMBER + whole[other].astype(str).astype(object)
    made[other] = pd.util.hash_array(texts, categorize=False)
    return made


def _of_objects(series: pd.Series[Any], missing: np.ndarray[Any, Any]) -> Digests:
    texts = series.to_numpy(dtype=object, copy=True)
    texts[missing] = ""
    if isinstance(series.dtype, pd.StringDtype):
        return pd.util.hash_array(texts, categorize=False)
    read = [_read(cell) for cell in texts]
    number = np.array([isinstance(each, float) for each in read], dtype=bool)
    made = pd.util.hash_array(np.array([str(each) for each in read], object), categorize=False)
    floats = np.array([each for each in read if isinstance(each, float)], dtype=np.float64)
    made[number] = pd.util.hash_array(floats)
    return made


def _repeats(series: pd.Series[Any]) -> bool:
    """Whether it has few different texts, by its beginning: it is quicker then to tell them apart."""
    _, different = distinct(series.head(_SAMPLE), ordered=False)
    return 2 * len(different) < min(len(series), _SAMPLE)


def packed(columns: Iterable[Any]) -> bytes:
    """The digests of some columns of one length, one column after the other, compressed."""
    packing = compressobj(1)
    pieces = [
        packing.compress(digests_of(column[start : start + _AT_ONCE]).tobytes())
        for column in columns
        for start in range(0, len(column), _AT_ONCE)
    ]
    return b"".join((*pieces, packing.flush()))


def unpacked(kept: bytes, columns: int, rows: int) -> list[Digests] | None:
    """The digests of each column; None where what is kept is not that many."""
    size = columns * rows * 8
    if size > _MOST:
        return None
    try:
        whole = decompressobj().decompress(kept, size + 1)  # what is packed may be far more
    except error:
        return None
    if len(whole) != size:
        return None
    numbers = np.frombuffer(whole, dtype=np.uint64)
    return [numbers[n * rows : (n + 1) * rows] for n in range(columns)]


def _read(cell: object) -> float | str:
    """A number as the float that is exactly as large, anything else as a text."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool | np.bool_):
        return str(bool(cell))
    if isinstance(cell, np.number | np.ndarray):
        cell = cell.tolist()
    if isinstance(cell, int | float | Decimal):
        return _number(cell)
    try:
        return to_json(cell).decode()
    except (TypeError, ValueError):
        return str(cell)


def _number(number: float | Decimal) -> float | str:
    try:
        near = float(number)
    except OverflowError:  # a whole number of more than 308 digits
        near = np.inf
    if number == near or (not near.is_integer() and number == Decimal(repr(near))):
        return near
    made = Decimal(number).normalize(_ALL_DIGITS)
    return _NUMBER + (f"{made:f}" if 0 <= made.adjusted() < _DIGITS else str(made))
