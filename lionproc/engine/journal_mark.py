"""What a journal bears where it was made, or looked through: what an archive put there bears none.

In a folder that lionproc made it is the secret of that (`made_here`), elsewhere the number that the
file system gave the file, which a copy has not and nobody who writes an archive knows. It is kept as a
run with the number 0 and a wrong checksum, which nobody lists and no format forbids. A file that is
opened by another name for a while bears both, a line each. Another line says that it was opened over
a network: the machine that has the disk, for which it is a file as any other, keeps to what is safe there.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

from lionproc.engine.journal_trouble import is_busy
from lionproc.engine.made_here import say_it_was_not, secret_of

__all__ = ["GIVE", "bears_mark", "check_mark", "is_shared", "marks"]

GIVE: Final = "INSERT OR REPLACE INTO run (id, facts, checksum) VALUES (0, ?, -1)"
_GIVEN: Final = (
    "SELECT CASE WHEN typeof(facts) = 'blob' AND length(facts) <= 100 THEN facts ELSE x'' END"
    " FROM run WHERE id = 0"
)
_MOST_DIGITS: Final = 20  # of a file's number; a secret is longer
_SHARED: Final = b"network"
_HOLDS: Final = "SELECT EXISTS (SELECT 1 FROM record) OR EXISTS (SELECT 1 FROM run WHERE id <> 0)"


def bears_mark(connection: sqlite3.Connection, path: str) -> bool:
    """Whether a journal was made here, or was looked through before.

    Args:
        connection: To a file with the tables of a journal, or with none.
        path: The file, by its real path.
    """
    return _bears(connection, _mark_of(path))


def is_shared(connection: sqlite3.Connection, path: str) -> bool:
    """Whether a journal was opened over a network since it was made; a copy of it was not.

    Args:
        connection: As `bears_mark`.
        path: The file, by its real path.
    """
    return _SHARED in _given(connection) and bears_mark(connection, path)


def marks(mark: bytes, *, over_network: bool) -> bytes:
    """What a journal is given that bears nothing else.

    Args:
        mark: Its mark.
        over_network: Whether it is opened over a network.
    """
    return b"\n".join((mark, _SHARED)) if over_network else mark


def check_mark(connection: sqlite3.Connection, path: str, *, over_network: bool) -> None:
    """Give a journal its mark, and say so if it should have had that already.

    Args:
        connection: Not in a transaction.
        path: The journal's file, by its real path.
        over_network: Whether it is opened over a network, which it then tells all who come.

    Raises:
        sqlite3.Error: Another process writes just now.

    Warns:
        LionprocWarning: There is something in it, and its folder was made here. Said once, or each
            time where it cannot be written.
    """
    mark = _mark_of(path)
    if mark and _is_foreign(connection, mark, over_network) and secret_of(path):
        say_it_was_not(path)


def _mark_of(path: str) -> bytes:
    """Empty where there is none: some file systems give files no number."""
    try:
        number = Path(path).stat().st_ino
    except OSError:
        number = 0
    return secret_of(path) or (b"%d" % number if number else b"")


def _bears(connection: sqlite3.Connection, mark: bytes) -> bool:
    return bool(mark) and mark in _given(connection)


def _given(connection: sqlite3.Connection) -> list[bytes]:
    """The marks that a journal bears."""
    try:
        return bytes(*(connection.execute(_GIVEN).fetchone() or ())).split(b"\n")
    except sqlite3.Error:  # it has no runs as yet, or is damaged: nothing speaks for it
        return []


def _is_foreign(connection: sqlite3.Connection, mark: bytes, over_network: bool) -> bool:
    wanted = {mark, _SHARED} if over_network else {mark}
    if wanted <= set(_given(connection)):
        return False
    execute = connection.execute
    try:
        execute("BEGIN IMMEDIATE")
        holds = False
        given = _given(connection)
        if mark not in given:  # else another process was quicker
            (holds,) = execute(_HOLDS).fetchone()
            others = (each for each in given if _is_number(each) != _is_number(mark))
            given = [mark, *(each for each in others if each != _SHARED)]  # a copy is elsewhere
        if over_network and _SHARED not in given:
            given.append(_SHARED)
        execute(GIVE, (b"\n".join(given),))
        execute("COMMIT")
    except sqlite3.Error as error:  # full or damaged: nothing speaks for it
        with contextlib.suppress(sqlite3.Error):
            connection.rollback()
        if is_busy(error):
            raise
        return not _bears(connection, mark)
    return bool(holds)


def _is_number(mark: bytes) -> bool:
    return mark.isdigit() and len(mark) <= _MOST_DIGITS
