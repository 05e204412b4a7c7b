"""The secret of a folder in its journal: what an archive put in the journal's place bears none.

It is kept as a run with the number 0 and a wrong checksum, which nobody lists and no format forbids.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Final

from lionproc.engine.journal_trouble import is_busy
from lionproc.engine.made_here import say_it_was_not, secret_of

__all__ = ["GIVE", "check_mark"]

GIVE: Final = "INSERT OR REPLACE INTO run (id, facts, checksum) VALUES (0, ?, -1)"
_HAS: Final = "SELECT 1 FROM run WHERE id = 0 AND facts = ?"
_HOLDS: Final = "SELECT EXISTS (SELECT 1 FROM record) OR EXISTS (SELECT 1 FROM run WHERE id <> 0)"


def check_mark(connection: sqlite3.Connection, path: str) -> None:
    """Give a journal the secret of its folder, and say so if it should have had it already.

    Args:
        connection: Not in a transaction.
        path: The journal's file, by its real path.

    Raises:
        sqlite3.Error: Another process writes just now.

    Warns:
        LionprocWarning: There is something in it. Said once, or each time where it cannot be written.
    """
    secret = secret_of(path)
    if secret and _is_foreign(connection, secret):
        say_it_was_not(path)


def _is_foreign(connection: sqlite3.Connection, secret: bytes) -> bool:
    execute = connection.execute
    try:
        if execute(_HAS, (secret,)).fetchone():
            return False
        execute("BEGIN IMMEDIATE")
        holds = False
        if not execute(_HAS, (secret,)).fetchone():  # else another process was quicker
            (holds,) = execute(_HOLDS).fetchone()
            execute(GIVE, (secret,))
        execute("COMMIT")
    except sqlite3.Error as error:  # full or damaged: nothing speaks for it
        with contextlib.suppress(sqlite3.Error):
            connection.rollback()
        if is_busy(error):
            raise
        return True
    return bool(holds)
