"""What a journal could not take, as on a full disk, until it can: it was paid for.

It is in the memory of this process and of it alone, beside the logs, which such a disk may not take
either. Whoever opens the journal next in this process, or writes to it when it can be written again,
puts it in, and so does the end of the process. Until then it is found here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from lionproc.engine.journal_record import Record, Row, from_row

__all__ = ["forget", "owe", "owed", "owed_of", "owing"]

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

    Meanwhile they are still found.

    Args:
        path: Its file.
    """
    held = _owed.get(path, [])
    rows = held.copy()
    yield rows
    for row in rows:
        with contextlib.suppress(ValueError):  # another thread has put it in too
            held.remove(row)  # one by one, for more may be held by now


def owed_of(path: str, keys: Sequence[bytes]) -> list[Record]:
    """The records that are held for a journal under some keys, the newest last.

    Args:
        path: Its file.
        keys: Which.
    """
    held = _owed.get(path)
    if not held:
        return []
    wanted = set(keys)
    return [record for row in held.copy() if row[1] in wanted and (record := _record(row))]


def _record(row: Row) -> Record | None:
    start, key, kind, reply, model, *rest, _ = row  # the last is its run
    return from_row((start, key, kind.encode(), reply, model.encode(), *rest))


def owing() -> list[str]:
    """The journals for which rows are held."""
    return [path for path, rows in list(_owed.items()) if rows]


def forget() -> None:
    """In a forked child: all of it is its parent's."""
    _owed.clear()
