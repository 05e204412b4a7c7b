"""How much memory a parquet file takes once it is read, told before it is.

A text that stands in a file once can be the cell of every row, and an empty cell of a thousand
numbers takes as much room as a full one: a few hundred bytes are gigabytes. So can be what an honest
run has saved, with one prompt in each of a million rows. So a file is refused only where it is both:
out of proportion, and more than this machine can spare.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lionproc.engine.regular_file import bytes_of
from lionproc.engine.trusted import is_trusted
from lionproc.errors import ConfigurationError
from lionproc.frame.place import Remote

__all__ = ["MemoryBound"]

TIMES: Final = 100  # the bytes of a file that it may take in any case
_LEAST: Final = 2**30  # and so many, on however small a machine
_UNKNOWN: Final = 2**33  # the memory of a machine that does not say how much it has
_OBJECT: Final = 200  # bytes of an array or a dict, which pandas makes of a list or a record
_CELL: Final = 8  # of a number, or of where a text begins
_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_BATCH: Final = 2**24  # texts that are measured together
_ROOM: Final = 2**28  # bytes of those that are read for it as they are
_FEW: Final = 64  # of these are read together in any case
_PACKED: Final = 1000  # bytes that one of a packed file may become, more or less
_SNAPPY: Final = 24  # that it may become at the most in this way of packing, which is the usual one
_PLAIN: Final = {
    "PLAIN",
    "RLE",
    "BIT_PACKED",
    "PLAIN_DICTIONARY",
    "RLE_DICTIONARY",
}  # ways to write
_untyped: Any = pc


class MemoryBound:
    """The most that the files of a folder, or one alone, may take.

    Args:
        files: How many there are.
    """

    def __init__(self, files: int = 1) -> None:
        self._files = files
        self._bytes = 0
        self._measured = 0  # of those that take more than their share

    def check(self, source: Any, file: Path | Remote) -> None:
        """Refuse a file that would take far more memory than it has bytes, and than there is.

        Args:
            source: What `pyarrow.parquet.ParquetFile` reads.
            file: Where it is.

        Raises:
            ConfigurationError: It would.
            Exception: Whatever is wrong with it, of many classes.
        """
        if isinstance(file, Path) and is_trusted(Path(os.path.realpath(file.parent))):
            return
        size = _size_of(source)
        self._bytes += size
        spare = spare_memory()
        share = max(TIMES * size, spare // self._files)
        with pq.ParquetFile(source) as opened:
            footer = _Footer(opened)
        if footer.most() <= share or footer.most_of_longest(source) <= share:
            return
        self._measured += footer.measured(source, TIMES * self._bytes + spare)
        if self._measured > max(TIMES * self._bytes, spare):
            raise ConfigurationError(
                f"{file.name!r} is not read: it has {size:,} bytes, and would take more memory than "
                f"this machine can spare for a table, {spare / 1e9:,.1f} GB. Read only "
                'the columns that you need, with pd.read_parquet(..., columns=["..."]); or, if you '
                f"trust whoever made it and have the memory: LIONPROC_TRUST={_folder_of(file)}"
            )


class _Texts(NamedTuple):
    """The texts of a column in a row group.

    Attributes:
        group: Which row group.
        path: Which column.
        values: How many there are.
        written: The most bytes that they can be, while equal ones stand there once.
        is_by_number: Whether Arrow can read them so: as numbers, and a list of texts.
        is_bounded: Whether they can be no more, whatever the file says.
    """

    group: int
    path: str
    values: int
    written: int
    is_by_number: bool
    is_bounded: bool

    @classmethod
    def of(cls, group: int, chunk: pq.ColumnChunkMetaData) -> _Texts:
        """Those of a column. A stranger may say that the packed bytes become fewer than they do."""
        is_bounded = chunk.compression in {"SNAPPY", "UNCOMPRESSED"}
        times = _SNAPPY if is_bounded else _PACKED
        written = max(chunk.total_uncompressed_size, times * chunk.total_compressed_size)
        is_by_number = set(chunk.encodings) <= _PLAIN
        return cls(group, chunk.path_in_schema, chunk.num_values, written, is_by_number, is_bounded)


class _Footer:
    """What the end of a file says of what it takes; bounds that are ever closer, and cost more.

    Args:
        file: The file.
    """

    def __init__(self, file: pq.ParquetFile) -> None:
        footer = file.metadata
        leaves = [leaf for field in file.schema_arrow for leaf in _leaves(field.type)]
        places = [footer.schema.column(place) for place in range(footer.num_columns)]
        if len(leaves) != len(places):
            raise ValueError("the columns are not those that the schema of Arrow has")
        self._rows = footer.num_rows
        self._fixed = 0
        self._texts: list[_Texts] = []
        for group in range(footer.num_row_groups):
            rows = footer.row_group(group)
            for place, (leaf, column) in enumerate(zip(leaves, places, strict=True)):
                chunk = rows.column(place)
                width = max(_CELL, column.length)
                self._fixed += leaf.room(rows.num_rows, chunk, width)
                if column.physical_type != "BYTE_ARRAY":
                    continue
                if leaf.stays_folded:
                    self._fixed += chunk.total_uncompressed_size
                else:
                    self._texts.append(_Texts.of(group, chunk))

    def most(self) -> int:
        """As if each text were as long as all that is written of its column."""
        return self._fixed + sum((each.values + 1) * each.written for each in self._texts)

    def most_of_longest(self, source: Any) -> int:
        """As if each text were as long as the longest of its column, where that is known."""
        total = self._fixed
        groups: dict[int, list[_Texts]] = {}
        for each in self._texts:
            total += each.written
            if each.is_by_number and each.is_bounded:
                groups.setdefault(each.group, []).append(each)
            else:
                total += each.values * each.written
        every = list({each.path for texts in groups.values() for each in texts})
        with pq.ParquetFile(source, read_dictionary=every, pre_buffer=False) as file:
            for group, texts in groups.items():
                paths = [each.path for each in texts]
                first = next(file.iter_batches(1, [group], paths), ())  # all texts come with it
                found = [
                    _untyped.max(_length(each.dictionary)).as_py() for each in _texts_in(first)
                ]
                if len(found) != len(texts):  # two columns are called alike
                    found = [None] * len(texts)
                for each, longest in zip(texts, found, strict=True):  # None where nothing was in it
                    total += each.values * (each.written if longest is None else longest)
        return total

    def measured(self, source: Any, most: int) -> int:
        """What they take: each text is measured, while it stands there once for all of its cells.

        Args:
            source: The file.
            most: They are measured no further than to see that they take more.
        """
        total = self._fixed
        others = {each.path for each in self._texts if not each.is_by_number}
        for by_number in (True, False):
            texts = [each for each in self._texts if (each.path not in others) is by_number]
            paths = list(dict.fromkeys(each.path for each in texts))
            if not paths or total > most:
                continue
            values = sum(each.values for each in texts)
            size = _BATCH * self._rows // max(1, values)
            if not by_number:  # they are as they will be, at once
                size = max(_FEW, min(size, _ROOM // max(each.written for each in texts)))
            known = paths if by_number else []
            with pq.ParquetFile(source, read_dictionary=known, pre_buffer=False) as file:
                for batch in file.iter_batches(max(1, size), columns=paths):
                    total += sum(map(_room_of, _texts_in(batch))) if by_number else batch.nbytes
                    if total > most:
                        break
        return total


class _Leaf(NamedTuple):
    """A column of values, of which a column of lists and records may have several.

    Attributes:
        size: How many an empty cell takes room for, where there are lists of a fixed size.
        is_listed: Whether it is in a list of any size, so that nobody knows how many there are.
        for_row: Lists and records that pandas makes for each row.
        for_value: Those that it makes for each value, within a list.
        stays_folded: Whether equal ones stand there once also when it is read.
    """

    size: int
    is_listed: bool
    for_row: int
    for_value: int
    stays_folded: bool

    def room(self, rows: int, chunk: pq.ColumnChunkMetaData, width: int) -> int:
        """The bytes that the values of a row group take, without the texts."""
        values: int = max(rows if not self.is_listed else 0, chunk.num_values)
        empty = rows
        if self.is_listed:  # so many may be empty, if they are not all written there
            empty = 0 if 2 * chunk.total_uncompressed_size > values * width else values
        objects = rows * self.for_row + values * self.for_value
        return max(values, empty * self.size) * width + objects * _OBJECT


def _leaves(
    kind: Any, size: int = 1, for_row: int = 0, for_value: int = 0, *, is_listed: bool = False
) -> Iterator[_Leaf]:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_dictionary(kind) or not pa.types.is_nested(kind):
        yield _Leaf(size, is_listed, for_row, for_value, pa.types.is_dictionary(kind))
        return
    for_row, for_value = for_row + (not is_listed), for_value + is_listed
    if pa.types.is_struct(kind):
        within = [kind.field(place).type for place in range(kind.num_fields)]
    elif pa.types.is_map(kind):
        within = [kind.key_type, kind.item_type]
    else:
        within = [kind.value_type]
    if pa.types.is_fixed_size_list(kind):
        size *= kind.list_size
    elif not pa.types.is_struct(kind):
        is_listed = True
    for each in within:
        yield from _leaves(each, size, for_row, for_value, is_listed=is_listed)
        for_row = for_value = 0  # one record for all of its fields


def _texts_in(held: Any) -> Iterator[Any]:
    """The columns of texts in a batch that are numbers and a list of texts."""
    if isinstance(held, pa.Array) and pa.types.is_dictionary(held.type):
        yield held
        return
    if isinstance(held, pa.RecordBatch):
        within: list[Any] = held.columns
    elif isinstance(held, pa.StructArray):
        within = held.flatten()
    elif isinstance(held, pa.MapArray):
        within = [held.keys, held.items]
    elif isinstance(held, pa.Array) and pa.types.is_nested(held.type):
        within = [held.flatten()]
    else:
        return
    for each in within:
        yield from _texts_in(each)


def _room_of(texts: Any) -> int:
    room: int | None = _untyped.sum(_length(texts.dictionary).take(texts.indices)).as_py()
    return room or 0


def _length(texts: Any) -> Any:
    return _untyped.cast(_untyped.binary_length(texts), pa.int64())


def _size_of(source: Any) -> int:
    if isinstance(source, str | os.PathLike):
        return bytes_of(Path(source).stat())
    size: int = source.seek(0, os.SEEK_END)
    source.seek(0)
    return size


def _folder_of(file: Path | Remote) -> str:
    return str(file.parent) if isinstance(file, Path) else "the folder of a copy on this machine"


@cache
def spare_memory() -> int:
    """The bytes that a file may take in any case: a quarter of what the machine or container has."""
    there = _UNKNOWN
    with suppress(AttributeError, ValueError, OSError):
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit in _LIMITS:
        with suppress(OSError, ValueError):
            there = min(there, int(Path(limit).read_text()))
    return max(_LEAST, there // 4)
