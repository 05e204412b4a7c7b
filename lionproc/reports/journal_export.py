"""The records of a journal in one file that any program reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lionproc.engine.paths import shown
from lionproc.errors import ConfigurationError
from lionproc.frame.place import AnyPath, place_of, saving

__all__ = ["export"]

# Of a column's texts, which are different ones as a rule; see frame/parquet_dictionary.py.
_DICTIONARY_BYTES = 2**18


def export(groups: Iterator[pd.DataFrame], path: AnyPath) -> str:
    """Write frames of the same columns one below the other, whole or not at all.

    Args:
        groups: The frames, at least one; no more than one of them is in memory.
        path: A path that ends in .parquet or .jsonl.

    Returns:
        The path.

    Raises:
        ConfigurationError: It has another ending.
        SaveError: The file could not be written.
    """
    ways = {".parquet": _as_parquet, ".jsonl": _as_json_lines}
    way = ways.get(place_of(path).suffix.lower())
    if way is None:
        raise ConfigurationError(
            f"{shown(path)!r} ends neither in .parquet nor in .jsonl: name one of these."
        )
    with saving(path) as file:
        way(groups, file)
    return shown(path)


def _as_parquet(groups: Iterator[pd.DataFrame], file: BinaryIO) -> None:
    first = pa.Table.from_pandas(next(groups), preserve_index=False)
    with pq.ParquetWriter(
        file, first.schema, dictionary_pagesize_limit=_DICTIONARY_BYTES
    ) as writer:
        writer.write_table(first)
        for group in groups:
            writer.write_table(pa.Table.from_pandas(group, schema=first.schema))


def _as_json_lines(groups: Iterator[pd.DataFrame], file: BinaryIO) -> None:
    for group in groups:
        group.to_json(file, orient="records", lines=True, date_format="iso", date_unit="us")
