"""Which columns of a parquet file have a dictionary: each different value once, and numbers for it.

Arrow tells the values apart in a table whose hash has no seed. Of texts that were chosen to fall into
one place of it, the mebibyte after which it gives up takes five seconds. So a column whose mebibyte
would be very many short texts has none; every other is written as Arrow does by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lionproc.frame.arrow_kinds import is_text, no_view

__all__ = ["DICTIONARY_BYTES", "GROUP_ROWS", "MOST_TEXTS", "with_dictionary"]

GROUP_ROWS: Final = 2**20  # of a file that are written together, as Arrow does
DICTIONARY_BYTES: Final = 2**20  # after which a column goes on without one, as Arrow does
MOST_TEXTS: Final = 13_000  # in one: chosen badly, to tell them apart takes a third of a second
_AT_ONCE: Final = (
    2048  # that go through a table of Arrow's: each is compared with a thousand others
)
_SHORT: Final = 1000  # bytes; of longer ones no dictionary has many
_PREFIX: Final = 4  # bytes that a text takes in a dictionary, beyond its own
_untyped: Any = pc
_Chunk: TypeAlias = Any  # an Arrow array: stubs for these differ too much


def with_dictionary(table: pa.Table) -> list[str]:
    """The columns of a table that may have a dictionary, as `pyarrow.parquet` names them.

    Args:
        table: One that parquet can hold.

    Returns:
        The paths of all columns but those of very many different short texts. A list or a record
        has columns within it: "tags.list.element".
    """
    empty = pa.BufferOutputStream()
    pq.write_table(table.slice(0, 0).replace_schema_metadata(None), empty)
    schema = pq.ParquetFile(pa.BufferReader(empty.getvalue())).schema
    paths = [schema.column(place).path for place in range(len(schema.names))]
    may = [True] * len(paths)
    for start in range(0, table.num_rows, GROUP_ROWS):
        group = table.slice(start, GROUP_ROWS)
        leaves = [leaf for column in group.columns for leaf in _leaves(column.type, column.chunks)]
        may = [was and _are_few(leaf) for was, leaf in zip(may, leaves, strict=True)]
    return [path for path, each in zip(paths, may, strict=True) if each]


def _leaves(kind: pa.DataType, chunks: Sequence[_Chunk]) -> Iterator[Sequence[_Chunk]]:
    """The columns that a column is written as, each in its chunks."""
    if isinstance(kind, pa.BaseExtensionType):
        yield from _leaves(kind.storage_type, [chunk.storage for chunk in chunks])
    elif pa.types.is_struct(kind):
        fields = [chunk.flatten() for chunk in chunks]
        for place in range(kind.num_fields):
            yield from _leaves(kind.field(place).type, [field[place] for field in fields])
    elif pa.types.is_map(kind):
        yield from _leaves(kind.key_type, [chunk.keys for chunk in chunks])
        yield from _leaves(kind.item_type, [chunk.items for chunk in chunks])
    elif pa.types.is_nested(kind):
        yield from _leaves(kind.value_type, [chunk.flatten() for chunk in chunks])
    else:
        yield chunks


def _are_few(leaf: Sequence[_Chunk]) -> bool:
    """Whether a dictionary of the values has few short texts, or is full after few of them."""
    seen: set[bytes] = set()
    room = DICTIONARY_BYTES
    for chunk in leaf:
        if pa.types.is_dictionary(chunk.type):  # all of it is written, at once
            if _is_chosen(chunk.type.value_type) and len(chunk.dictionary) > MOST_TEXTS:
                return False
            continue
        if not _is_chosen(chunk.type):
            return True
        for start in range(0, len(chunk), _AT_ONCE):
            texts = no_view(pc.dictionary_encode(chunk[start : start + _AT_ONCE]).dictionary)
            texts = texts.filter(_untyped.less_equal(_untyped.binary_length(texts), _SHORT))
            new: set[bytes] = set(texts.cast(pa.large_binary()).to_pylist()) - seen
            seen |= new
            room -= sum(map(len, new)) + _PREFIX * len(new)
            if len(seen) > MOST_TEXTS:
                return False
            if room < 0:
                return True
    return True


def _is_chosen(kind: pa.DataType) -> bool:
    """Whether values can be chosen so that very many have one hash."""
    return is_text(kind) or pa.types.is_fixed_size_binary(kind)
