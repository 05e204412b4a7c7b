"""Files of gzip: how much one may unpack to, and how one is written that is read again.

A few kilobytes may unpack to more than there is memory. Text of people unpacks to 3 to 20 times its
size; a table of ours that says the same in each row to a thousand times.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import IO, BinaryIO, Final, cast

__all__ = ["TIMES", "most_unpacked", "write_packed"]

TIMES: Final = 100  # its size, that a file unpacks to at the most
_FREE: Final = 2**25  # bytes that it may unpack to, however small it is
_LEVELS: Final = (9, 0)  # how well it is packed; not at all


def most_unpacked(size: int) -> int:
    """The bytes that a file of so many may unpack to.

    Args:
        size: Its bytes.

    Example:
        >>> most_unpacked(1_000_000)
        100000000
    """
    return max(_FREE, TIMES * size)


def write_packed(file: BinaryIO, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file, so that it unpacks to no more than it may: else its text stands in it as it is.

    There is no time in it, so that the same text makes the same file.

    Args:
        file: Where; an open file, empty.
        write: Writes the text into what it is given, and the same when it is called again.

    Raises:
        OSError: It cannot be written.
    """
    for level in _LEVELS:
        with gzip.GzipFile("", "wb", level, file, mtime=0) as sink:
            write(cast("IO[bytes]", sink))
            written = sink.tell()
        if written <= most_unpacked(file.tell()):
            return
        file.seek(0)
        file.truncate()
