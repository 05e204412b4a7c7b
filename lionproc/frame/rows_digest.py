"""What rows a part is of, as a digest that stands in its facts.

A folder of parts may have come from anywhere, and a few bytes of parquet can be gigabytes of cells.
So whoever asks whether a part is of these rows reads its facts, and none of its cells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from lionproc.errors import ColumnError
from lionproc.frame.export import table_of

__all__ = ["OF", "digest_of", "written"]

OF = "of"  # in the facts of a part: the digest of its rows, as far as they were asked about


def digest_of(rows: pd.DataFrame, read: Sequence[int], like: pa.Schema) -> str:
    """A digest of rows, the same for the same rows, whoever has read them.

    Args:
        rows: The rows.
        read: The places of the columns that count.
        like: The types of the whole frame, of which they are a part.

    Returns:
        The digest; "" where a column that counts has no place in a file, for answers replace it.
    """
    names: list[Hashable] = [str(rows.columns[place]) for place in read]
    try:
        table = table_of(rows.iloc[:, list(read)], like)
    except ColumnError:
        return ""
    return hashlib.sha256(written(table.select(names))).hexdigest()


def written(table: pa.Table) -> memoryview:
    """Rows as bytes: the same for the same rows."""
    table = table.replace_schema_metadata(None).combine_chunks()
    every = pa.array(range(len(table)))
    alone = [_taken(column, every) for column in table.columns]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(pa.Table.from_arrays(alone, schema=table.schema))
    return memoryview(sink.getvalue())


def _taken(column: Any, every: pa.Array[Any]) -> Any:
    """A column with nothing beside its cells: a piece of a frame holds the texts of all of it."""
    try:
        return column.take(every)
    except pa.ArrowException:  # a type for which Arrow cannot do it
        return column
