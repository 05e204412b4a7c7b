"""Records as Thrift's compact protocol writes them, which parquet has before each of its pages.

<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>. Of a field that
nobody here asks for only the length matters, so that a later writer may have more of them.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

__all__ = ["Record", "record", "unsigned", "zigzag"]

Record: TypeAlias = "dict[int, Any]"  # by the number of the field; None what is no number or record

_DEPTH: Final = 16  # records and lists within each other; parquet has three
_BYTES: Final = 10  # of the longest number
_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _RECORD = range(
    13
)
_TRUTHS: Final = {_TRUE, _FALSE}


def record(data: bytes, at: int, depth: int = _DEPTH) -> tuple[Record, int]:
    """A record, and where it ends.

    Args:
        data: Bytes with a record in them.
        at: Where it begins.
        depth: How many records may be within each other.

    Raises:
        IndexError: The bytes end before it does.
        ValueError: No writer makes such a one.
    """
    fields: Record = {}
    number = 0
    while True:
        head = data[at]
        kind = head & 15
        if kind == _STOP:
            return fields, at + 1
        if head >> 4:
            number += head >> 4
            at += 1
        else:
            last, (number, at) = number, zigzag(data, at + 1)
            if number <= last:
                raise ValueError("the fields of a record are not in their order")
        if kind == _I32:
            value = data[at]
            if value < 128:  # as nearly every one is
                fields[number] = value >> 1 ^ -(value & 1)
                at += 1
            else:
                fields[number], at = zigzag(data, at)
        elif kind in _TRUTHS:
            fields[number] = kind == _TRUE
        else:
            fields[number], at = _value(kind, data, at, depth)


def zigzag(data: bytes, at: int) -> tuple[int, int]:
    """A number that may be below zero, and where it ends.

    Raises:
        IndexError: The bytes end before it does.
        ValueError: It is longer than one can be.
    """
    value, at = unsigned(data, at)
    return value >> 1 ^ -(value & 1), at


def unsigned(data: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends.

    Raises:
        IndexError: The bytes end before it does.
        ValueError: It is longer than one can be.
    """
    value = data[at]
    if value < 128:
        return value, at + 1
    value = 0
    for place in range(_BYTES):
        byte = data[at + place]
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise ValueError("a number has no end")


def _value(kind: int, data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if not depth:
        raise ValueError("records are too deep within each other")
    if kind == _BINARY:
        length, at = unsigned(data, at)
        return None, at + length
    if kind == _RECORD:
        return record(data, at, depth - 1)
    if kind in {_I16, _I32, _I64}:
        return zigzag(data, at)
    if kind in {_TRUE, _FALSE, _BYTE}:  # in a list a truth has a byte
        return None, at + 1
    if kind == _DOUBLE:
        return None, at + 8
    if kind == _MAP:
        return None, _end_of_map(data, at, depth)
    if kind in {_LIST, _SET}:
        head = data[at]
        length, at = (head >> 4, at + 1) if head >> 4 < 15 else unsigned(data, at + 1)
        return None, _end_of_values([head & 15], length, data, at, depth)
    raise ValueError("a field of a record has no such kind")


def _end_of_map(data: bytes, at: int, depth: int) -> int:
    length, at = unsigned(data, at)
    if not length:
        return at
    return _end_of_values([data[at] >> 4, data[at] & 15], length, data, at + 1, depth)


def _end_of_values(kinds: list[int], length: int, data: bytes, at: int, depth: int) -> int:
    for _ in range(length):
        for kind in kinds:
            data[at]  # ends a list that says it is longer than all that is there
            _, at = _value(kind, data, at, depth - 1)
    return at
