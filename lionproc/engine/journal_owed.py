"""What a journal could not take, as on a full disk, until it can: it was paid for.

It is in the memory of this process and of it alone, beside the logs, which such a disk may not take
either. Whoever opens the journal next in this process, or writes to it when it can be written again,
puts it in, and so does the end of the process.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Final

from lionproc.engine.journal_record import Row

__all__ = ["forget", "owe", "owed", "owing"]

MOST_BYTES: Final = 64 * 2**20  # of replies for one journal; a run stops at the first refusal
_REPLY: Final = 3  # its place in a row
_owed: dict[str, list[Row]] = {}


def owe(path: str, rows: Iterable[Row]) -> None:
    """Hold rows for a journal.

    Args:
        path: Its file.
        rows: What it did not take.
    """
    held = _owed.setdefault(path, [])
    size = sum(len(row[_REPLY]) for row in held)
    for row in rows:
        size += len(row[_REPLY])
        if size <= MOST_BYTES:
            held.append(row)


@contextlib.contextmanager
def owed(path: str) -> Iterator[list[Row]]:
    """The rows that are held for a journal; when the block ends well they are no more.

    Args:
        path: Its file.
    """
    rows = _owed.pop(path, [])
    try:
        yield rows
    except BaseException:
        owe(path, rows)
        raise


def owing() -> list[str]:
    """The journals for which rows are held."""
    return list(_owed)


def forget() -> None:
    """In a forked child: all of it is its parent's."""
    _owed.clear()
