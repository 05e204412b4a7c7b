"""How much memory a parquet file takes once it is read, told before it is.

A text that stands in a file once can be the cell of every row, and an empty cell of a thousand
numbers takes as much room as a full one: a few hundred bytes are gigabytes. So can be what an honest
run has saved, with one prompt in each of a million rows. So a file is refused only where it is both:
out of proportion, and more than this machine can spare. How much there is of a column is known from its
pages (`parquet_pages.py`), since Arrow believes these whatever is said at the end of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lionproc.engine.regular_file import bytes_of
from lionproc.engine.spare_memory import spare_memory
from lionproc.engine.trusted import is_trusted
from lionproc.errors import ConfigurationError
from lionproc.frame.notes import DTYPE
from lionproc.frame.parquet_pages import Chunk, chunk_of
from lionproc.frame.place import Remote

__all__ = ["MemoryBound"]

TIMES: Final = 100  # the bytes of a file that it may take in any case
_OBJECT: Final = 200  # bytes of an array or a dict, which pandas makes of a list or a record
_CELL: Final = 8  # of a number, or of where a text begins
_COLUMN: Final = 4096  # of a column, whatever is in it
_TOLD_APART: Final = 40  # of a value that is told apart from others, as categories are
_BOXED: Final = 32  # of a number that is an object of Python, as in a record
_BATCH: Final = 2**24  # texts that are measured together
_ROOM: Final = 2**28  # bytes of those that are read for it as they are
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
        most = max(TIMES * self._bytes, spare)
        with pq.ParquetFile(source) as opened, _opened(source) as pages:
            table = _Table(opened, pages, most)
        if table.least() <= most and (
            table.most() <= share or table.most_of_longest(source) <= share
        ):
            return
        self._measured += table.measured(source, most)
        if self._measured > most:
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
        chunk: What its pages are.
        is_listed: Whether a row may have any number of them.
    """

    group: int
    path: str
    chunk: Chunk
    is_listed: bool

    def room(self, longest: int) -> int:
        """The bytes that they are, if none in the dictionary is longer than this."""
        return self.chunk.written + self.chunk.by_number * longest


class _Table:
    """What a file takes as a table: bounds that are ever closer, and cost more.

    Args:
        file: The file.
        pages: The same, to be read where the pages are.
        most: Bytes beyond which nobody asks how many they are.
    """

    def __init__(self, file: pq.ParquetFile, pages: Any, most: int) -> None:
        footer = file.metadata
        leaves = [leaf for field in file.schema_arrow for leaf in _leaves_of(field)]
        columns = [footer.schema.column(place) for place in range(footer.num_columns)]
        if len(leaves) != len(columns):
            raise ValueError("the columns are not those that the schema of Arrow has")
        self._fixed = _COLUMN * len(columns)
        self._at_once = [0] * len(columns)
        self._texts: list[_Texts] = []
        self._longest: dict[tuple[int, str], int] = {}
        written_by, written = (footer.created_by or "").lower(), 0
        for group in range(footer.num_row_groups):
            rows = footer.row_group(group)
            for place, (leaf, column) in enumerate(zip(leaves, columns, strict=True)):
                said = rows.column(place)
                chunk = chunk_of(
                    pages, said, column, written_by, max(most - self._fixed - written, 0)
                )
                values = max(said.num_values, chunk.values)
                width = max(_CELL, column.length)
                self._fixed += leaf.room(rows.num_rows, values, chunk.written, width + leaf.made)
                self._at_once[place] = max(self._at_once[place], chunk.at_once)
                if column.physical_type != "BYTE_ARRAY":
                    continue
                if leaf.stays_folded:
                    self._fixed += chunk.written
                else:
                    texts = _Texts(group, said.path_in_schema, chunk, leaf.is_listed)
                    self._texts.append(texts)
                    written += chunk.written

    def least(self) -> int:
        """What is there in any case while it is read: Arrow reads all columns together."""
        written = sum(each.chunk.written for each in self._texts)
        return max(self._fixed + written, sum(self._at_once))

    def most(self) -> int:
        """As if each text of a dictionary were as long as all of it."""
        return max(
            self.least(),
            self._fixed + sum(each.room(each.chunk.dictionary) for each in self._texts),
        )

    def most_of_longest(self, source: Any) -> int:
        """As if each text of a dictionary were as long as the longest in it."""
        numbered = [each for each in self._texts if each.chunk.by_number and each.chunk.are_first]
        every = list({each.path for each in numbered})
        with pq.ParquetFile(source, read_dictionary=every, pre_buffer=False) as file:
            for group, texts in _by_group(numbered).items():
                paths = [each.path for each in texts]
                first = next(file.iter_batches(1, [group], paths), ())  # all texts come with it
                found = [
                    _untyped.max(_length(each.dictionary)).as_py() for each in _texts_in(first)
                ]
                if len(found) != len(texts):  # two columns are called alike
                    continue
                for path, longest in zip(paths, found, strict=True):
                    if longest is not None:  # something was in it
                        self._longest[group, path] = longest
        return max(self.least(), self._fixed + sum(map(self._room, self._texts)))

    def measured(self, source: Any, most: int) -> int:
        """What they take: each text is measured, while it stands there once for all of its cells.

        Args:
            source: The file.
            most: They are measured no further than to see that they take more.
        """
        total = self._fixed
        to_read: dict[bool, list[_Texts]] = {True: [], False: []}
        for each in self._texts:
            if not each.chunk.by_number or (each.is_listed and not each.chunk.is_plain):
                total += self._room(each)
            else:
                to_read[each.chunk.is_plain].append(each)
        if max(total, self.least()) > most:
            return max(total, self.least())
        for by_number, texts in to_read.items():
            known = list({each.path for each in texts}) if by_number else []
            with pq.ParquetFile(source, read_dictionary=known, pre_buffer=False) as file:
                for batch in self._batches(file, texts, by_number=by_number):
                    total += sum(map(_room_of, _texts_in(batch))) if by_number else batch.nbytes
                    if total > most:
                        return total
        return max(total, self.least())

    def _batches(
        self, file: pq.ParquetFile, texts: list[_Texts], *, by_number: bool
    ) -> Iterator[pa.RecordBatch]:
        """Those of each row group by itself: another one has other texts in its dictionary."""
        for group, those in _by_group(texts).items():
            values = sum(each.chunk.values for each in those)
            size = _BATCH * file.metadata.row_group(group).num_rows // max(1, values)
            if not by_number:  # they are as they will be, at once
                size = min(size, _ROOM // max(1, *(each.chunk.largest for each in those)))
            yield from file.iter_batches(max(1, size), [group], [each.path for each in those])

    def _room(self, texts: _Texts) -> int:
        longest = self._longest.get((texts.group, texts.path), texts.chunk.dictionary)
        return texts.room(longest)


class _Leaf(NamedTuple):
    """A column of values, of which a column of lists and records may have several.

    Attributes:
        size: How many an empty cell takes room for, where there are lists of a fixed size.
        is_listed: Whether it is in a list of any size, so that nobody knows how many there are.
        for_row: Lists and records that pandas makes for each row.
        for_value: Those that it makes for each value, within a list.
        stays_folded: Whether equal ones stand there once also when it is read.
        made: The bytes of the object that pandas makes of each value.
    """

    size: int
    is_listed: bool
    for_row: int
    for_value: int
    stays_folded: bool
    made: int

    def room(self, rows: int, values: int, written: int, width: int) -> int:
        """The bytes that the values of a row group take, without the texts."""
        values = max(rows if not self.is_listed else 0, values)
        empty = rows
        if self.is_listed:  # so many may be empty, if they are not all written there
            empty = 0 if 2 * written > values * width else values
        objects = rows * self.for_row + values * self.for_value
        return max(values, empty * self.size) * width + objects * _OBJECT


def _leaves_of(field: pa.Field) -> Iterator[_Leaf]:
    """Those of a column; where a note says that it is one of categories, these are told apart."""
    return _leaves(field.type, made=_TOLD_APART if DTYPE in (field.metadata or {}) else 0)


def _leaves(
    kind: Any,
    size: int = 1,
    for_row: int = 0,
    for_value: int = 0,
    *,
    is_listed: bool = False,
    made: int = 0,
) -> Iterator[_Leaf]:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_dictionary(kind) or not pa.types.is_nested(kind):
        is_folded = pa.types.is_dictionary(kind)
        yield _Leaf(size, is_listed, for_row, for_value, is_folded, max(made, _made(kind)))
        return
    for_row, for_value = for_row + (not is_listed), for_value + is_listed
    if pa.types.is_struct(kind):
        within = [kind.field(place).type for place in range(kind.num_fields)]
    elif pa.types.is_map(kind):
        within = [kind.key_type, kind.item_type]
        for_value += 1  # a pair for each
    else:
        within = [kind.value_type]
    if pa.types.is_struct(kind) or pa.types.is_map(kind):
        made = _BOXED
    if pa.types.is_fixed_size_list(kind):
        size *= kind.list_size
    elif not pa.types.is_struct(kind):
        is_listed = True
    for each in within:
        yield from _leaves(each, size, for_row, for_value, is_listed=is_listed, made=made)
        for_row = for_value = 0  # one record for all of its fields


def _made(kind: Any) -> int:
    """The bytes of the object of Python that a value becomes; a decimal has 104 bytes and more."""
    if pa.types.is_decimal(kind):
        return 136
    return 48 if pa.types.is_time(kind) or pa.types.is_date(kind) else 0


def _by_group(texts: list[_Texts]) -> dict[int, list[_Texts]]:
    groups: dict[int, list[_Texts]] = {}
    for each in texts:
        groups.setdefault(each.group, []).append(each)
    return groups


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


@contextmanager
def _opened(source: Any) -> Iterator[Any]:
    if isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as file:
            yield file
    else:
        yield source


def _size_of(source: Any) -> int:
    if isinstance(source, str | os.PathLike):
        return bytes_of(Path(source).stat())
    size: int = source.seek(0, os.SEEK_END)
    source.seek(0)
    return size


def _folder_of(file: Path | Remote) -> str:
    return str(file.parent) if isinstance(file, Path) else "the folder of a copy on this machine"
