"""Which columns of a parquet file have a dictionary: each different value once, and numbers for it.

Arrow tells the values apart in a table whose hash has no seed. Of texts that were chosen to fall into
one place of it, each is held against all that are there: a mebibyte of them, after which Arrow gives
up, takes five seconds, and fewer of them in a million rows take twenty. So the different texts of a
column are told apart once by themselves. Where that takes far longer than it ever does, the column has
no dictionary; every other is written as Arrow does by itself.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lionproc.frame.arrow_kinds import is_text, no_view

__all__ = ["DICTIONARY_BYTES", "GROUP_ROWS", "are_quick", "with_dictionary"]

GROUP_ROWS: Final = 2**20  # of a file that are written together, as Arrow does
DICTIONARY_BYTES: Final = 2**20  # after which a column goes on without one, as Arrow does
_AT_ONCE: Final = 2048  # that go through a table of Arrow's: each is held against a thousand others
_TRIES: Final = 3  # of which the quickest counts: the machine may have been busy
# Seconds of the processor in which texts are told apart take a fifth of this. Those that were chosen
# for it take three times as many where they are few, and a hundred times where they are many.
_START_S, _EACH_S, _BYTE_S = 0.001, 0.5e-6, 2e-9
_FIRST, _TIMES = 2_000, 4  # texts of the first trial, and how many times as many the next has
_SHORT: Final = 1000  # bytes; of longer ones no file has so many that it would matter
_PREFIX: Final = 4  # bytes that a text takes in a dictionary, beyond its own
_untyped: Any = pc
_Chunk: TypeAlias = Any  # an Arrow array: stubs for these differ too much


def with_dictionary(table: pa.Table) -> list[str]:
    """The columns of a table that may have a dictionary, as `pyarrow.parquet` names them.

    Args:
        table: One that parquet can hold.

    Returns:
        The paths of all columns but those of texts that take long to tell apart. Lists and records
        have columns in them: "tags.list.element".
    """
    empty = pa.BufferOutputStream()
    pq.write_table(table.slice(0, 0).replace_schema_metadata(None), empty)
    schema = pq.ParquetFile(pa.BufferReader(empty.getvalue())).schema
    paths = [schema.column(place).path for place in range(len(schema.names))]
    may = [True] * len(paths)
    for start in range(0, table.num_rows, GROUP_ROWS):
        group = table.slice(start, GROUP_ROWS)
        leaves = [leaf for column in group.columns for leaf in _leaves(column.type, column.chunks)]
        may = [was and _is_quick(leaf) for was, leaf in zip(may, leaves, strict=True)]
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


def _is_quick(leaf: Sequence[_Chunk]) -> bool:
    """Whether Arrow tells the short texts of a column apart as quickly as others.

    They are looked at until a dictionary would be full.
    """
    seen: set[bytes] = set()
    room, first = DICTIONARY_BYTES, _FIRST
    for texts in _texts_of(leaf):
        new: set[bytes] = set(texts.cast(pa.large_binary()).to_pylist()) - seen
        seen |= new
        room -= sum(map(len, new)) + _PREFIX * len(new)
        if len(seen) > first:
            if not are_quick(seen):
                return False
            first = len(seen) + room  # the others together with the last
        if room < 0:
            break
    return are_quick(seen)


def are_quick(texts: Collection[bytes]) -> bool:
    """Whether a table of Arrow's tells texts apart as quickly as others.

    Args:
        texts: Different ones. Of a set some are tried out before all are: it has its own order in
            each process, so that nobody knows which. Long ones are left out, as they are few.
    """
    texts = [each for each in texts if len(each) <= _SHORT]
    most = _FIRST
    while True:
        some = pa.array(islice(texts, most), pa.large_binary())
        limit_s = _START_S + _EACH_S * len(some) + _BYTE_S * some.nbytes
        if all(_seconds_of(some) > limit_s for _ in range(_TRIES)):
            return False
        if most >= len(texts):
            return True
        most *= _TIMES


def _texts_of(leaf: Sequence[_Chunk]) -> Iterator[_Chunk]:
    """The short texts of a column, part by part."""
    for chunk in leaf:
        held = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
        if not _is_chosen(held.type):
            continue
        for start in range(0, len(held), _AT_ONCE):
            texts = no_view(pc.dictionary_encode(held[start : start + _AT_ONCE]).dictionary)
            yield texts.filter(_untyped.less_equal(_untyped.binary_length(texts), _SHORT))


def _seconds_of(texts: _Chunk) -> float:
    began = time.thread_time()
    pc.dictionary_encode(texts)
    return time.thread_time() - began


def _is_chosen(kind: pa.DataType) -> bool:
    """Whether values can be chosen so that very many have one hash."""
    return is_text(kind) or pa.types.is_fixed_size_binary(kind)
