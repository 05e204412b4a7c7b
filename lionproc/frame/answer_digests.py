"""A short digest of each answer, by which two runs are compared that were over the same rows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any
from zlib import compress, decompress, error

import numpy as np
import pandas as pd

from lionproc.model.as_json import to_json

__all__ = ["digests_of", "packed", "unpacked"]

Digests = np.ndarray[Any, np.dtype[np.uint64]]
"""One number for each row; 0 where there is no answer."""


def digests_of(column: Any) -> Digests:
    """The digests of a column: equal for equal answers, whatever the type of the column.

    Args:
        column: Cells as a column of a frame holds them.
    """
    series = pd.Series(column)
    try:
        codes, distinct = pd.factorize(series)
        cells = list(distinct)
    except (TypeError, ValueError, NotImplementedError):  # lists and structs
        texts = pd.Series(
            [None if _missing(cell) else _text(cell) for cell in series], dtype=object
        )
        codes, distinct = pd.factorize(texts)
        cells = list(distinct)
    texts_of = np.array([*map(_text, cells), ""], dtype=object)
    numbers = pd.util.hash_array(texts_of, categorize=False)
    numbers[-1] = 0  # what is missing has the code -1
    made: Digests = numbers.take(codes)
    return made


def packed(columns: Mapping[Hashable, Any]) -> bytes:
    """The digests of some columns of one length, one column after the other, compressed."""
    whole = b"".join(digests_of(column).tobytes() for column in columns.values())
    return compress(whole, 1)


def unpacked(kept: bytes, columns: int, rows: int) -> list[Digests] | None:
    """The digests of each column; None where what is kept is not that many."""
    try:
        whole = decompress(kept)
    except error:
        return None
    if len(whole) != columns * rows * 8:
        return None
    numbers = np.frombuffer(whole, dtype=np.uint64)
    return [numbers[n * rows : (n + 1) * rows] for n in range(columns)]


def _missing(cell: object) -> bool:
    missing = pd.isna(cell)  # type: ignore[call-overload]
    return missing is True or missing is np.True_ or cell is None


def _text(cell: Any) -> str:
    if type(cell) is str:
        return "s" + cell
    if isinstance(cell, bool | np.bool_):
        return f"j{bool(cell)}"
    if isinstance(cell, int | float | np.number):
        return f"j{float(cell)!r}"
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    try:
        return "j" + to_json(cell).decode()
    except (TypeError, ValueError):
        return "r" + str(cell)
