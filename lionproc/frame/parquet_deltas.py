"""How long texts are that stand in a page of parquet without what they begin alike with.

Of each text such a page says how many letters it has of the one before, and what comes then. So a
page of a few bytes may hold gigabytes, or say that it holds so many lengths, which nothing but the
page itself tells. <https://parquet.apache.org/docs/file-format/data-pages/encodings/>
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from lionproc.frame.compact_thrift import unsigned, zigzag

__all__ = ["head_of", "lengths", "unpacked"]

_LEAST_BLOCK, _LEAST_PART = 128, 32  # of which blocks and their parts are multiples
_SMALL: Final = 1024  # lengths of a part; those of smaller ones are reckoned together
_PARTS: Final = 2048  # that are
_AT_ONCE: Final = 2**16  # numbers that are looked at together
_WIDEST: Final = 32  # bits of a length
_BITS: Final = 2**_WIDEST - 1
# As pyarrow calls them, and as its codecs are. What it has no name for is LZ4 as Hadoop frames it.
_CODECS: Final = {"LZ4": "lz4_raw", "UNKNOWN": "lz4_raw"}


_Part: TypeAlias = tuple[int, int, int]  # where it begins, bits of a length, what each has more


class Head(NamedTuple):
    """What is said before lengths.

    Attributes:
        values: How many they are.
        parts: How many parts a block has.
        size: How many lengths a part has.
        first: The first of them.
        end: Where the others begin.
    """

    values: int
    parts: int
    size: int
    first: int
    end: int


def head_of(data: bytes, at: int, most: int) -> Head:
    """What is said before lengths; Arrow makes room for as many as are said there.

    Args:
        data: The page.
        at: Where they begin.
        most: How many there may be.

    Raises:
        IndexError: The page ends before.
        ValueError: There are more, or they are in blocks that Arrow does not read.
    """
    block, at = unsigned(data, at)
    parts, at = unsigned(data, at)
    values, at = unsigned(data, at)
    first, at = zigzag(data, at)
    size = block // max(1, parts)
    if values > most:
        raise ValueError("a page has more lengths than values")
    if block % _LEAST_BLOCK or not size or size % _LEAST_PART:
        raise ValueError("a page has lengths in blocks that are none")
    return Head(values, parts, size, first, at)


def lengths(data: bytes, at: int, most: int) -> tuple[int, int]:
    """What lengths make together, and where they end.

    Args:
        data: The page.
        at: Where they begin.
        most: How many there may be.

    Raises:
        IndexError: The page ends before.
        ValueError: There are more, or they are no lengths that Arrow reads.
    """
    left, parts, size, last, at = head_of(data, at, most)
    if not left:
        return 0, at
    total, last, left = last & _BITS, last & _BITS, left - 1
    small: list[_Part] = []
    missing = 0
    while left:
        step, at = zigzag(data, at)
        widths = data[at : at + parts]
        data[at + parts - 1]  # all of them are there
        at += parts
        for width in widths:
            if not left:
                break
            end = at + size * width // 8
            if width > _WIDEST or end > len(data):
                raise ValueError("a page has lengths that it has no bytes for")
            if size > _SMALL:
                more, last = _block(data[at:end], width, min(left, size), step, last)
                total += more
            else:
                small.append((at, width, step))
            missing = max(size - left, 0)  # of the last part
            left -= size - missing
            at = end
        if small and (len(small) >= _PARTS or not left):
            more, last = _together(data, small, size, missing, last)
            total += more
            small.clear()
    return total, at


def _together(
    data: bytes, parts: list[_Part], size: int, missing: int, last: int
) -> tuple[int, int]:
    """As `_block`, of many parts with few lengths each."""
    starts, widths, steps = (np.array(column, np.int64) for column in zip(*parts, strict=True))
    made = np.repeat((steps & _BITS)[:, None], size, axis=1)
    content = np.frombuffer(data, np.uint8)
    for width in np.unique(widths[widths > 0]).tolist():
        rows = np.flatnonzero(widths == width)
        packed = content[starts[rows][:, None] + np.arange(size * width // 8)]
        bits = np.unpackbits(packed, axis=1, bitorder="little").reshape(len(rows), size, width)
        made[rows] += bits @ (1 << np.arange(width, dtype=np.int64))
    each = made.reshape(-1)[: len(parts) * size - missing]
    each = (np.cumsum(each) + last) & _BITS
    return int(each.sum()), int(each[-1])


def _block(packed: bytes, width: int, values: int, step: int, last: int) -> tuple[int, int]:
    """What the lengths of a part make together, and the last of them."""
    if not width and not step:  # all are as long as the last
        return values * last, last
    total = 0
    for start in range(0, values, _AT_ONCE):
        many = min(_AT_ONCE, values - start)
        there = np.arange(1, many + 1, dtype=np.int64) * (step & _BITS)
        if width:
            bits = np.frombuffer(packed, np.uint8, (many * width + 7) // 8, start * width // 8)
            each = np.unpackbits(bits, bitorder="little")[: many * width].reshape(many, width)
            there += np.cumsum(each @ (1 << np.arange(width, dtype=np.int64)))
        there = (there + last) & _BITS
        total += int(there.sum())
        last = int(there[-1])
    return total, last


def unpacked(packed: bytes, size: int, codec: str) -> Any:
    """The bytes of a page.

    Args:
        packed: As they are in the file.
        size: How many they are then.
        codec: As pyarrow calls it.

    Raises:
        Exception: They are not packed so, of many classes.
    """
    if codec == "UNCOMPRESSED" or not size:
        return packed
    made = pa.Codec(_CODECS.get(codec, codec.lower()))
    if codec == "UNKNOWN":
        framed = _framed(packed, size, made)
        if framed is not None:
            return framed
    return made.decompress(packed, size, asbytes=True)


def _framed(packed: bytes, size: int, codec: Any) -> bytes | None:
    """What is in the frames of Hadoop; None where there are none."""
    parts, at, left = [], 0, size
    while at < len(packed):
        long = int.from_bytes(packed[at : at + 4], "big")
        end = at + 8 + int.from_bytes(packed[at + 4 : at + 8], "big")
        if end > len(packed) or long > left:
            return None
        parts.append(codec.decompress(packed[at + 8 : end], long, asbytes=True))
        at, left = end, left - long
    return b"".join(parts) if not left else None
