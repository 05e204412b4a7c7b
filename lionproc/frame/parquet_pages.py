"""What the pages of a parquet file say of themselves, as Arrow obeys them.

The end of a file says how many values a column has and how many bytes they become. Arrow uses that to
know when it has read enough, and no further: each page has a header with both, and that is what it
unpacks and makes room for, whatever was said at the end. So the headers are walked through as Arrow
does it (`SerializedPageReader::NextPage` in its column_reader.cc), and of the pages nothing is read
but of those in which texts stand without what they begin alike with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pyarrow.parquet as pq

from lionproc.frame.compact_thrift import Record, record
from lionproc.frame.parquet_deltas import head_of, lengths, unpacked

__all__ = ["Chunk", "chunk_of"]

_WINDOW: Final = 2**12  # bytes that are read for a header, and for those that come close behind
_LONGEST: Final = 2**24  # that it may be: texts can be in it, and Arrow takes no longer one
_LARGEST: Final = 2**31 - 1  # bytes or values of a page
_PADDING: Final = 100  # bytes that an early parquet-mr did not count, so that Arrow reads on
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3  # kinds of pages; Arrow skips others
_KINDS: Final = {
    _DATA: (5, 2),
    _DICTIONARY: (7, 2),
    _DATA_V2: (8, 4),
}  # where is said what, and how
_BY_NUMBER: Final = {2, 8}  # ways to write: values of the dictionary
_LENGTH: Final = 8  # bytes of a length that is looked at
_BIT_PACKED, _DELTA_LENGTHS, _DELTAS = 4, 6, 7
_ALIKE: Final = {_DELTA_LENGTHS, _DELTAS}
_OLD: Final = "parquet-cpp version"  # whose pages are packed where they say that they are not
_TEXT: Final = 24  # bytes that Arrow takes for each text of a dictionary, beside its letters


class Chunk(NamedTuple):
    """What the pages of a column in a row group are.

    Attributes:
        values: How many there are in them.
        by_number: Of these, how many are numbers of texts in the dictionary.
        are_first: Whether these come before all others.
        written: The bytes of all pages when they are unpacked, with what texts begin alike with.
        dictionary: The bytes of the dictionary among them.
        largest: The bytes of the largest page.
        at_once: The most that Arrow holds while it makes values of a page.
        is_plain: Whether Arrow can read the texts as numbers and a dictionary.
    """

    values: int
    by_number: int
    are_first: bool
    written: int
    dictionary: int
    largest: int
    at_once: int
    is_plain: bool


class _Page(NamedTuple):
    """A page.

    Attributes:
        kind: Whether it has values, or the dictionary.
        values: How many are in it, also of those that are missing.
        way: How they are written.
        header: What more is said of them.
        unpacked: Its bytes when it is unpacked.
        packed: Its bytes.
        start: Where they begin in the file.
    """

    kind: int
    values: int
    way: int
    header: Record
    unpacked: int
    packed: int
    start: int


def chunk_of(
    file: Any, chunk: pq.ColumnChunkMetaData, column: Any, written_by: str, most: int
) -> Chunk:
    """What the pages of a column in a row group are.

    Args:
        file: The file, open to be read.
        chunk: What the end of the file says of them.
        column: What it says of the column.
        written_by: And of the program that wrote it, in small letters.
        most: Bytes that may be taken to look into a page.

    Raises:
        ValueError: No writer makes such pages.
        Exception: They cannot be read or unpacked, of many classes.
    """
    values = by_number = written = dictionary = largest = at_once = 0
    are_first = is_plain = True
    for place, page in enumerate(_pages(file, chunk, written_by)):
        size = max(page.unpacked, page.packed)  # it may not have to be unpacked
        largest = max(largest, size)
        if page.kind == _DICTIONARY:
            if place:
                raise ValueError("a dictionary is not before what is written with it")
            dictionary = size
            at_once = size + _TEXT * page.values
        elif page.way in _BY_NUMBER:
            are_first &= values == by_number
            by_number += page.values
        elif page.way in _ALIKE:
            is_plain = False
            if written_by.startswith(_OLD):
                raise ValueError("a page is written as its writer never did")
            room = most - written - _LENGTH * values  # what is beyond it is too much in any case
            alike = _alike(file, page, chunk.compression, column, room)
            size += most if alike is None else alike
        if page.kind != _DICTIONARY:
            values += page.values
        written += size
        at_once = max(at_once, size)
    return Chunk(values, by_number, are_first, written, dictionary, largest, at_once, is_plain)


def _pages(file: Any, chunk: pq.ColumnChunkMetaData, written_by: str) -> Iterator[_Page]:
    """The pages that Arrow reads: until it has seen as many values as the end of the file says."""
    at = chunk.data_page_offset
    if 0 < (chunk.dictionary_page_offset or 0) < at:
        at = chunk.dictionary_page_offset
    end = at + chunk.total_compressed_size
    if written_by.startswith("parquet-mr"):
        end += _PADDING
    window = _Window(file, end)
    seen, most = 0, chunk.num_values
    while seen < most and at < end:
        fields, start = window.record(at)
        packed = _number(fields, 3)
        at = start + packed
        kind = _number(fields, 1)
        if kind not in _KINDS:
            continue
        said, way = _KINDS[kind]
        header: Record = fields.get(said, {})
        values = _number(header, 1)
        seen += values * (kind != _DICTIONARY)
        yield _Page(kind, values, _number(header, way), header, _number(fields, 2), packed, start)


class _Window:
    """A few bytes of a file, in which there is often more than one header.

    Args:
        file: It.
        end: Where it is not read any more.
    """

    def __init__(self, file: Any, end: int) -> None:
        self._file = file
        self._end = end
        self._start = 0
        self._data = b""

    def record(self, at: int) -> tuple[Record, int]:
        """The record at a place of the file, and where it ends.

        Raises:
            ValueError: There is none.
        """
        size = 0
        while True:
            try:
                fields, end = record(self._data, at - self._start)
            except IndexError:
                if size and (len(self._data) < size or size > _LONGEST):
                    raise ValueError("the header of a page has no end") from None
                size = 2 * size or _WINDOW
                self._start = at
                self._file.seek(at)
                self._data = self._file.read(min(size, self._end - at))
            else:
                return fields, self._start + end


def _alike(file: Any, page: _Page, codec: str, column: Any, most: int) -> int | None:
    """The bytes that texts of a page have more than stand there, as they begin alike.

    Returns:
        None where it takes too much in any case, so that it was not looked into.

    Raises:
        ValueError: It has more lengths than values.
        IndexError: It ends before they do.
        Exception: It cannot be unpacked, of many classes.
    """
    if page.unpacked + _LENGTH * page.values > most:
        return None
    file.seek(page.start)
    data = file.read(page.packed)
    if page.kind == _DATA_V2:
        at = _number(page.header, 5) + _number(page.header, 6)
        if page.header.get(7, True):
            data = data[:at] + unpacked(data[at:], page.unpacked - at, codec)
    else:
        data = unpacked(data, page.unpacked, codec)
        at = _end_of_levels(data, page, column)
    alike = 0
    if page.way == _DELTAS:
        alike, at = lengths(data, at, page.values)
    head_of(data, at, page.values)  # of the lengths of what comes then
    return alike


def _end_of_levels(data: bytes, page: _Page, column: Any) -> int:
    """Where the values of a page begin: before them is which are missing, and where lists begin."""
    at = 0
    levels = ((column.max_repetition_level, 4), (column.max_definition_level, 3))
    for most, way in levels:
        if not most:
            continue
        if page.header.get(way) == _BIT_PACKED:
            at += (page.values * most.bit_length() + 7) // 8
        else:
            at += 4 + int.from_bytes(data[at : at + 4], "little")
    return at


def _number(fields: Record, field: int) -> int:
    value = fields.get(field)
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise ValueError("a page does not say how much is in it")
    return value
