"""The journal's SQLite file: opening it safely, writing a group, reading the newest records.

Every figure below was measured with 1 KB replies on a 2-core machine (SQLite 3.40):

* An index on the first 8 bytes of the key as an integer costs 8 us of CPU a row with its
  insert, one on the 16-byte blob 9 us, and is smaller.
* A commit takes 0.1 ms of CPU, whether of one row or of ten, where the disk is not waited for
  (`synchronous=NORMAL`), and up to 8 ms where it is (`FULL`, which is one flush of the WAL more). So
  many rows are committed together, and meanwhile they are in a log (`journal_intake`), where a
  record takes 3 us.
* A checkpoint every 4,000 pages rather than 1,000 takes the cost of a row in a journal of
  200,000 from 16 to 12 us. Page size, cache size and mmap made no difference worth a setting.
* One `json_each` over 512 keys costs 4 us a key, a query for each key 8 us.

More than 400 lines because opening, looking whether the file is still the same, forking and closing
all act on the same two connections and their locks.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Final, TypeVar

from lionproc.engine.file_system import is_of_one_machine
from lionproc.engine.forking import hold
from lionproc.engine.journal_intake import MOST_ALIKE, take_in
from lionproc.engine.journal_mark import GIVE, bears_mark, check_mark, is_shared, marks
from lionproc.engine.journal_owed import owed
from lionproc.engine.journal_pages import look_through
from lionproc.engine.journal_record import LARGEST, Row
from lionproc.engine.journal_schema import (
    COLUMNS,
    VERSION,
    bring_up,
    check_numbers,
    checked_format,
    names_of,
)
from lionproc.engine.journal_trouble import ELSEWHERE, code_of, is_busy, trouble
from lionproc.engine.made_here import USUAL_JOURNAL, make_secret
from lionproc.engine.regular_file import bytes_of
from lionproc.engine.trust import check_journal
from lionproc.errors import JournalError

__all__ = ["BUSY_S", "LAST_ID", "MEMORY", "JournalFile"]

log = logging.getLogger("lionproc")
MEMORY: Final = ":memory:"
BUSY_S = 20.0
"""Seconds to wait for another process that is writing, or for others that have all files open."""
_TURN_S: Final = 0.2  # of these for which SQLite waits at a time; then a fork may have our locks
_PAUSE_S: Final = 0.02
FORK_S = 5.0
"""Seconds for which a fork waits for each of our two locks."""

_T = TypeVar("_T")


# All or none, so a statement that fails ends the transaction. Else SQLite keeps what each statement
# changes, to take it back alone: in a file of the system's temporary folder, with the answers.
_INSERT: Final = f"INSERT OR ROLLBACK INTO record ({COLUMNS}, run) SELECT * FROM (VALUES "  # noqa: S608  (ours)
_ROW: Final = f"({','.join('?' * (len(COLUMNS.split(',')) + 1))})"
_NO_ROW: Final = (None,) * (len(COLUMNS.split(",")) + 1)
_STEP: Final = 8
AT_ONCE: Final = 64
"""Rows in one statement, and one transaction. Python's lock is let go of once for each statement, and
got back only when the engine's thread, busy as it is, lets go of it in its turn."""
LAST_ID: Final = 2**63 - 1  # SQLite has no larger one
# What is larger, or of another type, was put there by somebody else. SQLite knows both without
# reading a value; of texts its newer versions do.
_LENGTH: Final = "octet_length" if sqlite3.sqlite_version_info >= (3, 43) else "length"
_TEXTS: Final = ("kind", "model")


def _bounded(column: str) -> str:
    is_own = f"typeof({column}) IN ('integer', 'real')"
    if column in _TEXTS:
        is_own = f"typeof({column}) = 'text' AND {_LENGTH}({column}) <= {LARGEST[column]}"
    elif column in LARGEST:
        is_own = f"typeof({column}) = 'blob' AND length({column}) <= {LARGEST[column]}"
    return f"CASE WHEN {is_own} THEN {column} END"


_BOUNDED: Final = ", ".join(map(_bounded, COLUMNS.split(", ")))
_HELD: Final = "total(CASE WHEN typeof({0}) IN ('blob', 'text') THEN length({0}) END)"
_CLAIMED: Final = (
    f"SELECT {' + '.join(map(_HELD.format, COLUMNS.split(', ')))} FROM record",  # noqa: S608  (constants)
    f"SELECT {_HELD.format('facts')} FROM run",  # noqa: S608  (constants)
    f"SELECT {_HELD.format('digests')} FROM run_answers",  # noqa: S608  (constants)
)
_NEWEST: Final = (
    f"SELECT id, {_BOUNDED} FROM record WHERE id IN (SELECT max(id) FROM record WHERE prefix IN"  # noqa: S608  (constants)
    " (SELECT value FROM json_each(?)) AND id > ? AND id <= ? GROUP BY prefix)"
)
# Whether the index leads past records: a bit that has flipped there puts it out of order, or names a
# record that is not there. What is not found is asked again, and paid for.
_ASTRAY: Final = (
    "SELECT 1 FROM (SELECT id, prefix, lag(prefix) OVER (ORDER BY prefix) AS before FROM record)"
    " WHERE prefix < before OR id > (SELECT max(id) FROM record) LIMIT 1"
)
# Itself; or, where it is a failure, what another process was answered later: it would hide that.
_SAME: Final = (
    "SELECT id FROM (SELECT id, key, checksum, kind, at FROM record WHERE prefix = ?"  # noqa: S608  (a constant)
    f" ORDER BY id DESC LIMIT {MOST_ALIKE}) WHERE key = ?"
    " AND (checksum = ? OR (? <> '' AND kind = '' AND at >= ?)) LIMIT 1"
)
_BEFORE: Final = f"SELECT id, {_BOUNDED} FROM record WHERE id < ? ORDER BY id DESC LIMIT 1"  # noqa: S608  (constants)
_OF_RUN: Final = (
    f"SELECT id, {_BOUNDED} FROM record WHERE run = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?"  # noqa: S608  (constants)
)
_ALL: Final = f"SELECT id, {_BOUNDED}, {_bounded('run')} FROM record WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"  # noqa: S608  (constants)
_SIZES: Final = "SELECT id, CASE typeof(reply) WHEN 'blob' THEN length(reply) ELSE 0 END FROM record WHERE id > ? ORDER BY id LIMIT ?"
_SIZES_OF_RUN: Final = _SIZES.replace("WHERE", "WHERE run = ? AND")
_SOME: Final = 1000  # rows that are read at a time, unless their replies are large
_FEW: Final = 4  # rows of one prefix, of which nearly always the first is looked for
SOME_BYTES: Final = 8 * 2**20
"""Bytes of replies that whoever reads a whole journal has in memory at a time; one that is larger
comes alone."""
_HISTORY: Final = (
    f"SELECT id, {_BOUNDED} FROM record WHERE prefix = ? AND id > ? AND id <= ? ORDER BY id DESC"  # noqa: S608  (constants)
    " LIMIT ?"
)


# What SQLite answers where shared memory or its locks do not work.
_NO_WAL: Final = {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}

_MORE_THAN_IT_HAS: Final = "its records claim more bytes than it has"
# Of SQLite's steps, a row takes some dozens and more than as many bytes. A statement of many times
# more goes through pages that lead to each other: a few kilobytes of them hold rows without end.
_SOME_STEPS: Final = 1_000_000
_OF_A_SCHEMA: Final = 100_000  # steps; it has four tables
_MOST_STEPS: Final = 100_000_000
_STEPS_A_BYTE: Final = 10

_Inode = tuple[int, int] | None


class MuchKeptError(Exception):
    """There is more than was to be read at once."""


class _Steps:
    """Ends a statement that takes more steps than any of ours can.

    Args:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._taken = 0

    def begin(self) -> None:
        """A statement begins."""
        self._taken = 0

    def __call__(self) -> bool:
        """Called by SQLite after some; whether it is to stop."""
        self._taken += _SOME_STEPS
        return self._taken > _MOST_STEPS + _STEPS_A_BYTE * _size(self._path)


@dataclass(slots=True)
class _Link:
    connection: sqlite3.Connection
    steps: _Steps
    inode: _Inode  # of the file when it was opened
    wal: _Inode = None  # of its WAL after the first commit

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()


class JournalFile:
    """One SQLite file with a connection to write and one to read, each behind its lock.

    It has more than 25 methods because every question to the file, and what befalls a file (a fork,
    a change from outside, a fault), has to hold the same two locks.

    Args:
        path: An absolute path, or `":memory:"`.

    Raises:
        JournalError: The file cannot be used; the message names it, the cause and the way on.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.mode = "memory" if path == MEMORY else "wal"
        self._usable = True
        self._is_still = False  # as before a fork, and nothing was begun since
        self._is_forked_open = False  # SQLite was in the middle of something
        self._doubtful = False  # what is in the WAL may never come to the disk
        self._is_ordered = False  # its index, as far as that was looked at
        self._looked_through: _Inode = None  # the file whose pages were looked at
        self._writer: _Link | None = None
        self._reader: _Link | None = None
        self._make_locks()
        self._guard("opened", self._open, self._write_lock)
        self.take_over()
        if Path(path).name == USUAL_JOURNAL:
            with contextlib.suppress(JournalError):  # on a full disk: when it is opened next
                make_secret(Path(path).parent, self._give)

    # Writing and reading

    def take_over(self) -> None:
        """Put in what processes that were killed had not put in any more, and what this one could not."""
        with self._taking_over:  # or two would put in the same
            if self.mode != "memory":  # a log may be of a time when this was in WAL mode
                take_in(self.path, self._put_in)
            with owed(self.path) as rows:
                if rows:
                    self._put_in(rows)

    def _give(self, secret: bytes) -> None:
        self.change(GIVE, (marks(secret, over_network=self._is_over_network()),))

    def _put_in(self, rows: Sequence[Row]) -> None:
        missing = [row for row in dict.fromkeys(rows) if not self._has(row)]
        if missing:
            self.write(missing)
        self.flush()

    def _has(self, row: Row) -> bool:
        start, key, kind, *_, at, checksum, _, _ = row
        return bool(self.read(_SAME, (start, key, checksum, kind, at)))

    def write(self, rows: Sequence[Row]) -> None:
        """Keep rows, all or none; no end of this process loses them when this returns."""
        self._guard("written", lambda: self._commit(rows), self._write_lock)

    def flush(self) -> None:
        """Put all that was written on disk; it is there when this returns."""
        if self.mode != "wal":  # each commit has done it
            return
        wal = self._guard("written", self._open_wal, self._write_lock)
        if wal is None:
            return
        try:
            self._guard("written", lambda: _flush(wal))
        except JournalError:
            with self._write_lock:
                self._doubtful = True
            raise
        finally:
            os.close(wal)

    def newest(
        self, prefixes: Sequence[int], since: int, until: int = LAST_ID, most: int | None = None
    ) -> list[Row]:
        """The newest row (its id first) of each prefix, with an id above `since` up to `until`.

        Raises:
            MuchKeptError: They have more bytes than `most`.
        """
        values = (json.dumps(list(prefixes)), since, until)
        found = self.read(_NEWEST, values, most)
        if len(found) < len(prefixes) and not self._is_ordered and self._put_in_order():
            return self.read(_NEWEST, values, most)
        return found

    def _put_in_order(self) -> bool:
        """Look, once, whether the index leads past records, and make it anew if it does."""
        self._is_ordered = True
        if not self.read(_ASTRAY, ()):
            return False
        log.warning("%r had a damaged index, which is made anew from its records", self.path)
        self.change("REINDEX by_prefix", ())
        return True

    def history(self, prefix: int, since: int, until: int = LAST_ID) -> Iterator[Row]:
        """All rows (id first) of one prefix with an id above `since` up to `until`, newest first."""
        while found := self.read(_HISTORY, (prefix, since, until, _FEW)):
            yield from found
            if found[-1][0] > until:
                raise self._without_order()
            until = found[-1][0] - 1

    def latest(self, most: int) -> Iterator[Row]:
        """The rows (id first) that came last, the newest first, one at a time."""
        before = LAST_ID
        for _ in range(most):
            rows = self.read(_BEFORE, (before,))
            yield from rows
            if not rows:
                break
            before = rows[0][0]

    def of_run(self, run: int, since: int) -> Iterator[Row]:
        """The rows (id first) of a run with an id above `since`, oldest first, some at a time."""
        yield from self._some(_SIZES_OF_RUN, _OF_RUN, (run,), since)

    def all(self) -> Iterator[Row]:
        """All rows: the id, the columns of a record, and the number of its run; oldest first."""
        yield from self._some(_SIZES, _ALL, (), 0)

    def _some(
        self, sizes: str, query: str, values: tuple[object, ...], since: int
    ) -> Iterator[Row]:
        """The rows of a query, as many at a time as are not too large together."""
        while found := self.read(sizes, (*values, since, _SOME)):
            for until, rows in _cuts(found):
                if until <= since:  # or it would never end
                    raise self._without_order()
                yield from self.read(query, (*values, since, until, rows))
                since = until

    def _without_order(self) -> JournalError:
        return trouble(self.path, "read", sqlite3.DatabaseError("its records stand in no order"))

    def prune(self, where: str, values: tuple[object, ...]) -> int:
        """Remove the records of which `where` is true, and give their space back.

        Returns:
            How many they were.
        """
        return self._guard("written", lambda: self._prune(where, values), self._write_lock)

    def last_id(self, where: str = "1", values: tuple[object, ...] = ()) -> int:
        """The id of the newest record of which `where` is true, 0 if there is none."""
        query = f"SELECT id FROM record WHERE {where} ORDER BY id DESC LIMIT 1"  # noqa: S608
        return next((int(number) for (number,) in self.read(query, values)), 0)

    def count(self) -> int:
        """How many records there are."""
        # With a condition it is counted in steps: nothing bounds what SQLite counts at once. This
        # one is of the index, whose pages are few.
        query = "SELECT count(*) FROM record WHERE prefix >= -9223372036854775808"
        return int(self.read(query, ())[0][0])

    def read(self, query: str, values: tuple[object, ...], most: int | None = None) -> list[Row]:
        """What the file answers; texts are bytes.

        Raises:
            MuchKeptError: It is more than so many bytes.
        """
        return self._guard("read", lambda: self._fetch(query, values, most), self._read_lock)

    def change(self, statement: str, values: tuple[object, ...]) -> int:
        """Change what is kept beside the records; in the file when this returns.

        Returns:
            The id of the row that was inserted last.
        """
        return self._guard("written", lambda: self._change(statement, values), self._write_lock)

    def size(self) -> int:
        """Bytes on disk, what is not yet checkpointed included."""
        return 0 if self.path == MEMORY else _size(self.path)

    # Its life

    def close(self) -> None:
        """Close the connections. The last one to close the file folds the WAL into it."""
        with self._both_locks():
            self._drop()
            self._usable = False

    def before_fork(self) -> None:
        """Come to a point where nothing is open: SQLite must not be carried across a fork.

        Source: https://sqlite.org/howtocorrupt.html, section 2.6.
        """
        # A lock that is not free in time means a disk that hangs; the child then goes without, for
        # SQLite takes the locks that it remembers for its own, though they stayed with the parent.
        has_write = hold(self._write_lock, FORK_S)
        if has_write and (self.path == MEMORY or hold(self._read_lock, FORK_S)):
            if self.path != MEMORY:
                self._drop()
            self._is_still = True

    def after_fork_in_child(self) -> None:
        """Go on with connections and locks of the child's own."""
        if not self._is_still:
            self._is_forked_open = True
            _abandoned.extend(link for link in (self._reader, self._writer) if link is not None)
            self._reader = self._writer = None
        self._make_locks()

    # Inside

    def _make_locks(self) -> None:
        self._taking_over = threading.Lock()  # taken before the others
        self._write_lock = threading.Lock()
        # A database in memory is its connection, so writing and reading share one.
        self._read_lock = self._write_lock if self.path == MEMORY else threading.Lock()

    @contextlib.contextmanager
    def _both_locks(self) -> Iterator[None]:
        with self._write_lock:
            if self.path == MEMORY:
                yield
            else:
                with self._read_lock:
                    yield

    def _drop(self) -> None:
        links = self._reader, self._writer
        self._reader = self._writer = None  # first, or who is interrupted leaves closed ones there
        for link in links:
            if link is not None:
                link.close()

    def _open(self) -> None:
        self._writer = self._current(None, write=True)

    def _commit(self, rows: Sequence[Row]) -> None:
        self._writer = self._current(self._writer, write=True)
        connection = self._writer.connection
        try:
            if self._doubtful:  # nothing counts that comes after it there
                busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                self._doubtful = bool(busy)
            if len(rows) <= AT_ONCE:
                _insert(connection, rows)
            else:
                connection.execute("BEGIN IMMEDIATE")
                for start in range(0, len(rows), AT_ONCE):
                    _insert(connection, rows[start : start + AT_ONCE])
                connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.rollback()
            if self.path != MEMORY:  # the next group starts from a clean connection
                self._writer.close()
                self._writer = None
            raise

    def _prune(self, where: str, values: tuple[object, ...]) -> int:
        self._writer = self._current(self._writer, write=True)
        execute = self._writer.connection.execute
        claimed = sum(execute(query).fetchone()[0] for query in _CLAIMED)
        if claimed > _length(self.path):  # it would be written out
            raise sqlite3.DatabaseError(_MORE_THAN_IT_HAS)
        with self._writer.connection:
            execute("BEGIN IMMEDIATE")  # where another process may have to be waited for
            removed = execute(f"DELETE FROM record WHERE {where}", values).rowcount  # noqa: S608  (ours)
            execute("DELETE FROM run_answers WHERE run NOT IN (SELECT id FROM run)")
        with contextlib.suppress(
            sqlite3.OperationalError
        ):  # others read just now: it is used again
            execute("VACUUM")
            execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return removed

    def _open_wal(self) -> int | None:
        """The WAL, to be flushed; None where all of it is in the file, where SQLite flushed it."""
        if self._writer is not None:
            self._watch_wal(self._writer)
        try:
            return os.open(self.path + "-wal", os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        except FileNotFoundError:
            return None

    def _watch_wal(self, link: _Link) -> None:
        found = _inode(self.path + "-wal")
        if link.wal is None:
            link.wal = found
        if found is None or found != link.wal:
            # Somebody removed the WAL, and with it the only copy of the newest records. It is
            # still open here: fold it into the file, and begin another.
            busy, *_ = link.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:  # else somebody reads just now; the next commit tries again
                with self._read_lock:
                    self._drop()

    def _change(self, statement: str, values: tuple[object, ...]) -> int:
        self._writer = self._current(self._writer, write=True)
        return int(self._writer.connection.execute(statement, values).lastrowid or 0)

    def _fetch(self, query: str, values: tuple[object, ...], most: int | None) -> list[Row]:
        if self.path == MEMORY:
            self._writer = link = self._current(self._writer, write=True)
        else:
            self._reader = link = self._current(self._reader)
        try:
            # Closed before an error goes on: it would keep to what the file had by then.
            with contextlib.closing(link.connection.execute(query, values)) as rows:
                return list(self._whole(rows, most))
        except sqlite3.Error:
            if self.path != MEMORY:
                link.close()
                self._reader = None
            raise

    def _whole(self, rows: Iterable[Row], most: int | None) -> Iterator[Row]:
        """The same, if there is room for them in the file: pages may lead to one page again and again."""
        held, room = 0, SOME_BYTES
        for row in rows:
            held += sum(len(cell) for cell in row if type(cell) is bytes)
            if most is not None and held > most:
                raise MuchKeptError
            if held > room and self.path != MEMORY:
                room = max(room, _length(self.path) or held)  # or it was taken away meanwhile
                if held > room:
                    raise sqlite3.DatabaseError(_MORE_THAN_IT_HAS)
            yield row

    def _current(self, link: _Link | None, *, write: bool = False) -> _Link:
        """The link itself while the file is still where it was, else a new one."""
        self._is_still = False
        if not self._usable:
            raise JournalError(f"The journal {self.path!r} is closed. Open it again.")
        if self._is_forked_open:
            raise JournalError(
                f"The journal {self.path!r} was being read or written when this process was forked, for "
                "longer than a fork waits, and so cannot be used here. Fork again when that is over, "
                f"start this process in another way (as multiprocessing's 'spawn'), {ELSEWHERE}."
            )
        if link is not None:
            if link.inode == _inode(self.path):
                link.steps.begin()
                return link
            # Somebody removed or replaced the file: what goes into the old one is lost. Closing
            # it would remove the WAL of the new one, which has the same name.
            _abandoned.append(link)
        return self._connect(write=write)

    def _connect(self, *, write: bool) -> _Link:
        if self.path != MEMORY:
            check_journal(self.path)
            _make_file(self.path)
        inode, steps = _inode(self.path), _Steps(self.path)
        return self._still_ours(_Link(self._prepared(steps, write=write), steps, inode))

    def _still_ours(self, link: _Link) -> _Link:
        """The link, if what is open now was not put there after it was looked at."""
        try:
            if self.path != MEMORY:
                check_journal(self.path)
                check_mark(link.connection, self.path, over_network=self._is_over_network())
        except BaseException:
            link.close()
            raise
        return link

    def _is_over_network(self) -> bool:
        return self.path != MEMORY and not is_of_one_machine(self.path)

    def _prepared(self, steps: _Steps, *, write: bool) -> sqlite3.Connection:
        if self._is_over_network():
            return self._prepare("TRUNCATE", steps, write=write)
        try:
            return self._prepare("WAL", steps, write=write)
        except sqlite3.OperationalError as error:
            if self.path == MEMORY or code_of(error) not in _NO_WAL or is_busy(error):
                raise
            return self._prepare("TRUNCATE", steps, write=write)

    def _prepare(self, mode: str, steps: _Steps, *, write: bool) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_TURN_S, isolation_level=None, check_same_thread=False
        )
        execute = connection.execute
        try:
            connection.text_factory = bytes  # damaged text must not fail before its checksum does
            execute("PRAGMA trusted_schema = OFF")
            execute("PRAGMA cell_size_check = ON")
            if mode == "WAL":
                # Before anything in a stranger's file changes.
                self._look(connection, steps)
                # One that was opened over a network may be open there now, and nothing shows it.
                mode = "TRUNCATE" if is_shared(connection, self.path) else mode
                (kept,) = execute(f"PRAGMA journal_mode = {mode}").fetchone()
                execute("PRAGMA wal_autocheckpoint = 4000")
            else:
                # A file left in WAL mode opens without shared memory only in exclusive mode.
                execute("PRAGMA locking_mode = EXCLUSIVE")
                self._look(connection, steps)
                (kept,) = execute("PRAGMA journal_mode = TRUNCATE").fetchone()
                execute("PRAGMA locking_mode = NORMAL")
                execute("SELECT count(*) FROM sqlite_master").fetchone()  # lets go of the lock
            execute(f"PRAGMA synchronous = {'NORMAL' if kept == b'wal' else 'FULL'}")
            if write or self._checked(connection, steps) != VERSION:
                execute("BEGIN IMMEDIATE")
                bring_up(connection, self._checked(connection, steps))
                execute("DELETE FROM record WHERE id < 0")  # shows that the file can be written
                execute("COMMIT")
            check_numbers(connection)
        except BaseException:
            connection.close()
            raise
        self.mode = {b"wal": "wal", b"memory": "memory"}.get(kept, "rollback")
        return connection

    def _look(self, connection: sqlite3.Connection, steps: _Steps) -> None:
        """Look at what the file is, and through all of it unless it is known."""
        version = self._checked(connection, steps)
        inode = _inode(self.path)
        if (
            self.path == MEMORY
            or inode == self._looked_through
            or bears_mark(connection, self.path)
        ):
            return
        # Some file systems tell of one block for seconds after a write, whatever is in it.
        size = max(_size(self.path), min(_length(self.path), _MOST_STEPS))
        look_through(connection, self.path, size, names_of(version))
        connection.set_progress_handler(steps, _SOME_STEPS)
        self._looked_through = inode

    def _checked(self, connection: sqlite3.Connection, steps: _Steps) -> int:
        """The format of the file, which is read in few steps."""
        if self.path == MEMORY:
            return checked_format(connection, self.path)
        connection.set_progress_handler(lambda: True, _OF_A_SCHEMA)
        try:
            return checked_format(connection, self.path)
        finally:
            connection.set_progress_handler(steps, _SOME_STEPS)

    def _guard(self, verb: str, work: Callable[[], _T], lock: threading.Lock | None = None) -> _T:
        """Do it with a lock held, all or nothing, which is let go of while others are waited for.

        A fork takes it meanwhile.
        """
        deadline = time.monotonic() + BUSY_S
        while True:
            try:
                with lock or contextlib.nullcontext():
                    return self._told(verb, work)
            except JournalError as error:
                if not is_busy(error.__cause__) or time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE_S)

    def _told(self, verb: str, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except (sqlite3.Error, OSError) as error:
            raise trouble(self.path, verb, error) from error
        except UnicodeDecodeError as error:  # in a message that quotes a schema that is damaged
            damaged = sqlite3.DatabaseError("its schema is no text")
            raise trouble(self.path, verb, damaged) from error


_abandoned: list[_Link] = []
_flush: Final = getattr(os, "fdatasync", os.fsync)  # as SQLite does


def _insert(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Insert rows, all or none.

    SQLite's statements are remembered, and each has the rows that it was used for last: so there
    are few, for 8, 16, 24 rows, whose last places may be empty.
    """
    places = -(-len(rows) // _STEP) * _STEP
    filled = [*rows, *[_NO_ROW] * (places - len(rows))]
    connection.execute(
        f"{_INSERT}{','.join([_ROW] * places)}) WHERE column1 NOT NULL",
        list(chain.from_iterable(filled)),
    )


def _cuts(sizes: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The last id, and the rows, of each group whose replies are not too large together."""
    total = rows = 0
    for (last, size), (_, following) in pairwise([*sizes, (0, 0)]):
        total += size
        rows += 1
        if total + following > SOME_BYTES or last == sizes[-1][0]:
            yield last, rows
            total = rows = 0


def _size(path: str) -> int:
    return sum(map(bytes_of, _files(path)))


def _length(path: str) -> int:
    """The bytes that are in it; on the disk they may be fewer (Btrfs, ZFS), or none as yet."""
    return sum(found.st_size for found in _files(path))


def _files(path: str) -> Iterator[os.stat_result]:
    for end in ("", "-wal"):
        with contextlib.suppress(OSError):
            yield Path(path + end).stat()


def _inode(path: str) -> _Inode:
    if path == MEMORY:
        return None
    try:
        found = os.stat(path)  # noqa: PTH116  (for each group; a Path takes three times as long)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _make_file(path: str) -> None:
    """Make the file for its owner alone; SQLite gives -wal and -shm the same rights."""
    try:
        # Never opened when it exists: closing it would drop the locks of other connections.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if stat.S_ISREG(Path(path).stat().st_mode):
            return
        folder = Path(path).is_dir()
        raise JournalError(
            f"The journal {path!r} is {'a folder' if folder else 'not a regular file'}. "
            + (
                f"Name a file in it: {str(Path(path, 'journal.sqlite'))!r}."
                if folder
                else "Give the path of a file with journal=."
            )
        ) from None
    except FileNotFoundError:
        raise JournalError(
            f"The journal {path!r} cannot be made: there is no folder {str(Path(path).parent)!r}. "
            "Make the folder first, or correct the path."
        ) from None
