"""The rows of a CSV as a frame of texts.

pandas reads CSV too. But it tells the texts of a file apart in a table whose hash has no seed: 100,000
that were chosen for it take half a minute, in which nothing hears Ctrl-C. Python's own reader looks at
each cell by itself.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["csv_frame"]

_ROWS, _CELLS = 20_000, 1_000_000  # that are texts of Python together


def csv_frame(
    lines: Iterable[str], delimiter: str, names: Sequence[str], rows: int | None
) -> pd.DataFrame:
    """What stands below the names of a CSV.

    Args:
        lines: All lines, with their ends as they are; the first that is not blank has the names.
        delimiter: Between the cells.
        names: Of the columns.
        rows: At most so many are read, None for all.

    Returns:
        Texts, as they stand there; a cell that is empty or not there is a missing one.

    Raises:
        csv.Error: A row has more cells than there are names, or a cell has no end.
    """
    import pandas as pd
    import pyarrow as pa

    below = itertools.islice(_rows_below(lines, delimiter, len(names)), rows)
    together = max(1, min(_ROWS, _CELLS // max(len(names), 1)))
    pieces: list[list[Any]] = [[] for _ in names]
    while part := list(itertools.islice(below, together)):
        columns = itertools.chain(itertools.zip_longest(*part), itertools.repeat(()))
        for piece, cells in zip(pieces, columns, strict=False):
            texts = [cell or None for cell in cells] if cells else [None] * len(part)
            piece.append(pa.array(texts, pa.large_string()))
    made = [_column(pa.chunked_array(piece, pa.large_string())) for piece in pieces]
    frame = pd.DataFrame(dict(enumerate(made)))
    frame.columns = pd.Index(names)
    return frame


def _column(texts: Any) -> Any:
    """Texts of Arrow in the way of this pandas."""
    import pandas as pd

    dtype: Any = pd.Series(["a"]).dtype
    if dtype == "str":
        return dtype.__from_arrow__(texts)
    return pd.Series(
        [math.nan if cell is None else cell for cell in texts.to_pylist()], dtype=object
    )


def _rows_below(lines: Iterable[str], delimiter: str, width: int) -> Iterator[list[str]]:
    written = ""  # the line that was read last

    def noted() -> Iterator[str]:
        nonlocal written
        for written in lines:
            yield written
        written = "\n"
        yield written  # a line of no cells

    def is_blank() -> bool:
        """Whether it is a line of nothing, and no row. A quoted blank is a cell."""
        return not row or (len(row) == 1 and written.isspace())

    reader = csv.reader(noted(), delimiter=delimiter)
    row = next(filter(None, reader), [])  # the names
    last: list[str] | None = None
    for row in reader:
        if last is not None:
            yield last
        if len(row) > width and (len(row) > width + 1 or row[-1]):  # a delimiter may end each line
            raise csv.Error(
                f"line {reader.line_num:,} has {len(row):,} cells and the first one {width:,} names"
            )
        last = None if width > 1 and is_blank() else row[:width]
    if row:
        raise csv.Error("a cell begins with a quote and has no end")
