"""How many rows are rendered at once: many short ones, few long ones.

Rows that are rendered wait in memory as cells, as messages and as requests. So what is rendered at
once is bounded by bytes, and begins with a single row: the first request leaves when it is made. The
same rows are looked up in the journal at once, and what it has of them is in memory together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lionproc.engine.journal import Entry
from lionproc.frame.arrow_kinds import is_text, no_view

__all__ = ["PORTION_BYTES", "PORTION_ROWS", "Portions"]

PORTION_ROWS = 256  # looking them up in the journal at once is as cheap as more would be
PORTION_BYTES = 4 * 2**20  # of the cells that are read, and of the requests that are made
_GROWTH = 4
_R = TypeVar("_R", range, Sequence[int], range | Sequence[int])


class Portions:
    """Cuts rows into portions. Long requests, or long replies in the journal, shorten the next one.

    Args:
        columns: The columns that are read.
    """

    def __init__(self, columns: Sequence[pd.Series[Any]]) -> None:
        self._columns = columns
        self._most = 1

    def first(self, rows: _R) -> _R:
        """The first of these rows, as many as are rendered at once; one at least."""
        part: Any = rows[: self._most]
        sizes = np.zeros(len(part), dtype=np.int64)
        for column in self._columns:
            places = slice(part.start, part.stop) if isinstance(part, range) else part
            sizes += _sizes(column.iloc[places])
        fitting = int(np.searchsorted(np.cumsum(sizes), PORTION_BYTES, side="right"))
        return part[: max(fitting, 1)]  # type: ignore[no-any-return]

    def made(self, rows: int, size: int) -> None:
        """So many rows became requests of so many bytes together."""
        self._most = min(self._most * _GROWTH, PORTION_ROWS)
        self._fit(rows, size)

    def found(self, rows: int, replies: Iterable[Entry]) -> None:
        """The journal had these replies to so many rows."""
        self._fit(rows, sum(len(entry.reply) for entry in replies))

    def _fit(self, rows: int, size: int) -> None:
        self._most = min(self._most, max(PORTION_BYTES * rows // max(size, 1), 1))


def _sizes(cells: pd.Series[Any]) -> Any:
    """About how much memory each cell takes when it is read, where it is a text; else 0."""
    dtype = cells.dtype
    if isinstance(dtype, pd.ArrowDtype) or getattr(dtype, "storage", "") == "pyarrow":
        held = pa.array(cells.array)
        if not is_text(held.type):
            return 0
        lengths = pc.binary_length(no_view(held))  # they are no objects yet
        return pc.fill_null(lengths, 0).to_numpy()
    if not (pd.api.types.is_object_dtype(dtype) or isinstance(dtype, pd.StringDtype)):
        return 0
    return [_length(cell) for cell in cells.tolist()]


def _length(cell: object) -> int:
    kind = type(cell)  # isinstance() and len() ask the cell, which may be of any class
    if issubclass(kind, str):
        return str.__len__(cell)  # type: ignore[arg-type]
    return bytes.__len__(cell) if issubclass(kind, bytes) else 0  # type: ignore[arg-type]
