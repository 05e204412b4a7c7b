"""How a journal is at one moment."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["JournalStats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalStats:
    """The journal at one moment.

    Attributes:
        path: Its file, or `":memory:"`.
        mode: `"wal"`, `"rollback"` on a network disk or where WAL does not work, or `"memory"`.
        bytes: Size on disk.
        pending: Records appended and not yet on disk.
        written: Records that this process has put on disk.
        commits: Groups in which it did so.
        largest_group: Records in the largest of them.
        damaged: Records whose checksum is wrong; they are never returned.
        trouble: Why nothing can be written just now, or None.
    """

    path: str
    mode: str
    bytes: int
    pending: int
    written: int
    commits: int
    largest_group: int
    damaged: int
    trouble: str | None
