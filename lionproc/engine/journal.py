"""The journal: every reply that was paid for, found again by what was asked.

Records are keyed by a hash of everything that shapes an answer, so resuming a run, caching
across runs and not asking twice are one lookup. Replies are kept raw, so another schema can
be read from them without paying again. Which place answers is a part of the hash, the key that
opens it is not (`model/identity.py`): who shares a journal shares the answers of the same place.

What is appended within a few milliseconds is put on disk together, and one future per group tells
everybody who waits. A reply counts only once its group is on disk.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final, Self, TypeVar

from lionproc.engine.forking import go_on, hold
from lionproc.engine.journal_contents import JournalContents
from lionproc.engine.journal_file import LAST_ID, MEMORY, JournalFile, MuchKeptError
from lionproc.engine.journal_owed import forget, owed_of, owing
from lionproc.engine.journal_path import real_path
from lionproc.engine.journal_record import (
    Entry,
    Failure,
    Record,
    Row,
    Voted,
    from_row,
    prefix,
    to_row,
)
from lionproc.engine.journal_stats import JournalStats
from lionproc.engine.journal_writer import JournalWriter, Kept
from lionproc.engine.run_log import RunLog
from lionproc.errors import JournalError

__all__ = [
    "Entry",
    "Failure",
    "Journal",
    "JournalStats",
    "Kept",
    "MuchKeptError",
    "Record",
    "Voted",
]

_BATCH: Final = 512  # keys in one query

_R = TypeVar("_R", Failure, Voted)


class Journal:
    """Replies on disk. Make one with `Journal.open`, which shares it within the process.

    All methods may be called from any thread. The journal stays usable after `fork`: the child
    opens connections of its own, and what the parent had not yet written stays the parent's.

    Attributes:
        runs: The runs that it remembers.
        contents: Its records, for whoever looks at all of them or removes some.

    Example:
        >>> import asyncio
        >>> async def main(journal):
        ...     key = bytes(16)
        ...     await journal.append(Entry(key, b"{}", "some-model", 10, 2, 1, 0.3, 1.8e9))
        ...     return journal.find([key])[key].reply
        >>> with Journal.open(":memory:") as journal:
        ...     asyncio.run(main(journal))
        b'{}'
    """

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        self._users = 1
        self._writer = JournalWriter(file)
        self.runs = RunLog(file)
        self.contents = JournalContents(file, self.runs, self._read)
        self._damaged: set[int] = set()
        _everyone.add(self)

    @classmethod
    def open(cls, path: str | os.PathLike[str] | None = None) -> Journal:
        """Open a journal, or share the one that this process has open already.

        Args:
            path: A file, made if it is not there (its folder must be). None is
                `journal.sqlite` in the home folder (`.lionproc/`, or `LIONPROC_HOME`).
                `":memory:"` keeps nothing and shares nothing.

        Returns:
            The journal. Each `open` wants one `close`.

        Raises:
            JournalError: The file cannot be used; the message says why and what to do.
        """
        if path is not None and os.fspath(path) == MEMORY:
            return cls(JournalFile(MEMORY))
        where = real_path(path)
        with _registry_lock:
            journal = _open.get(where)
            if journal is None:
                journal = _open[where] = cls(JournalFile(where))
            else:
                journal._writer.take_over()
                journal._users += 1
        return journal

    # Writing

    def append(self, entry: Entry) -> asyncio.Future[None]:
        """Keep a reply.

        Must be called on a running event loop. The future belongs to every record of the same
        group; any number of tasks may await it, and cancelling one of them does not disturb
        the others (it is cancelled when the group is settled, usually within 35 ms).

        Args:
            entry: The reply.

        Returns:
            A future that is done when the reply is on disk. It raises `JournalError` when the
            reply could not be kept.

        Raises:
            ValueError: The key is not 16 bytes, or a number is none.
        """
        return self.keep(entry).durable

    def keep(self, entry: Entry | Voted, run: int = 0) -> Kept:
        """Keep a reply, and tell whether a kill would lose it and when it is on disk.

        Args:
            entry: The reply; or how the votes on a row stood.
            run: The number of the run that bought it, 0 for none that is remembered.

        Raises:
            ValueError: As `append`.
        """
        return self._writer.append((*to_row(entry), run))

    def hurry(self) -> None:
        """Somebody waits until what was kept last is on disk."""
        self._writer.hurry()

    def append_failure(self, failure: Failure, run: int = 0) -> asyncio.Future[None]:
        """Keep the fact that a request was given up. As `append`; it makes `find` miss the key.

        Args:
            failure: What happened.
            run: The number of the run it happened in, 0 for none that is remembered.

        Returns:
            As `append`.

        Raises:
            ValueError: As `append`, or the kind is empty.
        """
        return self._writer.append((*to_row(failure), run)).durable

    def flush(self) -> None:
        """Block until everything appended so far is on disk.

        Raises:
            JournalError: Some of it could not be kept.
        """
        self._writer.flush()

    def catch_up(self) -> None:
        """Put in what the file did not take, if it takes it by now; it may wait for others."""
        self._writer.catch_up()

    # Reading

    def find(
        self,
        keys: Sequence[bytes],
        since: int = 0,
        until: int | None = None,
        most: int | None = None,
    ) -> dict[bytes, Entry]:
        """Look up replies.

        Args:
            keys: Keys of 16 bytes each, any number, repeats allowed.
            since: Only records that came after this `mark()` count.
            until: Only records that came before this `mark()` count.
            most: Bytes that 512 of them may have together; None for any.

        Returns:
            The newest reply of each key that has one. A key whose newest record is damaged or a
            failure is absent, unless another process's reply came while that was under way.

        Raises:
            JournalError: The journal cannot be read.
            MuchKeptError: They have more than `most`.
        """
        until = LAST_ID if until is None else until
        found: dict[bytes, Entry] = {}
        for key, record in self._newest(keys, since, until, most).items():
            entry = record if type(record) is Entry else self._meanwhile(record, since, until)
            if entry is not None:
                found[key] = entry
        return found

    def newest(
        self, keys: Sequence[bytes], kind: type[_R], since: int = 0, until: int | None = None
    ) -> dict[bytes, _R]:
        """Look up failures (`kind=Failure`), or how votes stood (`Voted`).

        As `find`; of the keys whose newest record is one.
        """
        found = self._newest(keys, since, LAST_ID if until is None else until)
        return {key: record for key, record in found.items() if type(record) is kind}

    def latest(self, most: int) -> Iterator[Entry]:
        """The replies among the records that came last, the newest first, one at a time.

        Args:
            most: How many records are looked at.

        Raises:
            JournalError: The journal cannot be read.
        """
        records = map(self._read, self._file.latest(most))
        return (record for record in records if type(record) is Entry)

    def mark(self) -> int:
        """A point in the journal, for `since`: what is on disk now comes before it."""
        return self._file.last_id()

    def __len__(self) -> int:
        """How many records there are, those that were superseded included."""
        return self._file.count()

    def __bool__(self) -> bool:
        return True  # an empty journal is a journal

    # Its life

    @property
    def path(self) -> str:
        """The file, or `":memory:"`."""
        return self._file.path

    def stats(self) -> JournalStats:
        """The journal at this moment."""
        writer = self._writer
        with writer.lock:
            return JournalStats(
                path=self.path,
                mode=self._file.mode,
                bytes=self._file.size(),
                pending=writer.pending,
                written=writer.done.records,
                commits=writer.done.groups,
                largest_group=writer.done.largest,
                damaged=len(self._damaged),
                trouble=None if writer.trouble is None else str(writer.trouble),
            )

    def close(self) -> None:
        """Give back one `open`. The last one writes what is pending and closes the file."""
        with _registry_lock:
            self._users -= 1
            if self._users > 0:
                return
            if _open.get(self.path) is self:
                del _open[self.path]
        self._shut()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        stats = self.stats()
        state = "closed" if self._writer.closing else "in trouble" if stats.trouble else "open"
        return (
            f"<Journal {stats.path!r} {state}, {stats.mode}, {stats.written} written, "
            f"{stats.pending} pending>"
        )

    # Inside

    def _newest(
        self, keys: Sequence[bytes], since: int, until: int, most: int | None = None
    ) -> dict[bytes, Record]:
        found: dict[bytes, Record] = {}
        owed = owed_of(self.path, keys) if until == LAST_ID else []  # else it comes after that
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), _BATCH):
            by_prefix: dict[int, list[bytes]] = {}
            for key in wanted[start : start + _BATCH]:
                by_prefix.setdefault(prefix(key), []).append(key)
            for row in self._file.newest(list(by_prefix), since, until, most):
                record = self._read(row)
                for key in by_prefix.get(row[1], ()):
                    if record is None or record.key != key:
                        # Damaged, or of a key that begins alike: look further back.
                        older = next(self._of_key(key, since, until), None)
                        if older is not None:
                            found[key] = older
                    else:
                        found[key] = record
        return found | {record.key: record for record in owed}

    def _meanwhile(self, record: Record, since: int, until: int) -> Entry | None:
        """The reply that came while a request was under way that failed in the end."""
        if type(record) is not Failure or not record.seconds:
            return None
        began = record.at - record.seconds
        for older in self._of_key(record.key, since, until):
            if type(older) is Entry:
                return older if older.at > began else None
        return None

    def _of_key(self, key: bytes, since: int, until: int) -> Iterator[Record]:
        """The records of a key, the newest first."""
        yield from reversed(owed_of(self.path, [key]) if until == LAST_ID else [])
        for row in self._file.history(prefix(key), since, until):
            record = self._read(row)
            if record is not None and record.key == key:
                yield record

    def _read(self, row: Row) -> Record | None:
        record = from_row(row[1:])
        if record is None:
            self._damaged.add(row[0])
        return record

    def _shut(self) -> None:
        self._writer.close()
        self._file.close()

    def _before_fork(self) -> None:
        hold(self._writer.lock)
        self._file.before_fork()

    def _after_fork_in_child(self) -> None:
        self._file.after_fork_in_child()
        self._writer.after_fork_in_child()


# One journal per file in a process; those in memory are only in `_everyone`.
_open: dict[str, Journal] = {}
_everyone: weakref.WeakSet[Journal] = weakref.WeakSet()
_registry_lock = threading.Lock()


def _before_fork() -> None:
    hold(_registry_lock)
    for journal in list(_everyone):
        journal._before_fork()


def _after_fork_in_child() -> None:
    global _registry_lock  # noqa: PLW0603  (a thread that stayed with the parent may have it)
    _registry_lock = threading.Lock()
    forget()
    for journal in list(_everyone):
        journal._after_fork_in_child()
    go_on()


@atexit.register
def _close_all() -> None:
    with _registry_lock:
        journals = list(_open.values())
        _open.clear()
    for journal in journals:
        with contextlib.suppress(JournalError):
            journal._shut()
    for path in owing():
        with contextlib.suppress(JournalError):
            Journal.open(path)._shut()  # which puts it in, if there is room by now


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=go_on,
        after_in_child=_after_fork_in_child,
    )
