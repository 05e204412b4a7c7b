"""Whether the pages of a journal are trees: looked at before one that was not made here is read.

A journal may be anybody's. In some kilobytes, pages lead to each other without an end, or one page
has the rows of two tables, or is free as well and will be written over with the next answer. SQLite's
own check finds all of it in the time that reading the file takes. But it follows pages by calling
itself, as deep as they lead, and 100 MB of them end the process. Who reads rows in order comes no
deeper than 20 pages, so that is done first, in few steps. Both take 1.1 s of CPU for 1 GB (900,000
replies of 1 KB, SQLite 3.40), 0.5 s where replies have 12 KB, and 1 ms for 1 MB.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable
from itertools import chain, repeat
from pathlib import Path
from typing import Final

from lionproc.engine.journal_trouble import code_of, trouble
from lionproc.engine.trusted import is_trusted, trusting
from lionproc.errors import JournalError

__all__ = ["look_through"]

# SQLite's own tables were read to their end where the schema was.
_IN_ORDER: Final = {
    "record": "SELECT total(id) FROM record NOT INDEXED",
    "by_prefix": "SELECT total(id) FROM record INDEXED BY by_prefix",
    "run": "SELECT total(id) FROM run",
    "run_answers": "SELECT total(run) FROM run_answers",
}
_SOME_STEPS: Final = 100_000
_MOST_STEPS: Final = 1_000_000  # and one for each byte: a row has some dozen bytes, and takes four
_SOUND: Final = b"ok"
_OF_A_FILE: Final = b"*** in database main ***\n"
# A value of another type than its column's is that of a damaged record, which its checksum tells.
_OF_A_ROW: Final = re.compile(rb"[A-Za-z-]{1,20} value in [a-z_]{1,20}\.[a-z_]{1,20}")
_SHOWN: Final = 200


def look_through(
    connection: sqlite3.Connection, path: str, size: int, names: Iterable[str]
) -> None:
    """Refuse a journal that cannot be read to its end, or that writing to would damage.

    Args:
        connection: Not in a transaction. It has no progress handler when this returns.
        path: The file, by its real path.
        size: Its bytes, holes left out.
        names: Of the tables and indexes of a journal, those that it has.

    Raises:
        JournalError: It is such a one, and `LIONPROC_TRUST` does not name its folder; the message
            says the way on.
        sqlite3.OperationalError: It cannot be read just now.
    """
    if is_trusted(Path(os.path.realpath(Path(path).parent))):
        return
    few = (_MOST_STEPS + size) // _SOME_STEPS
    # Nothing of Python's runs within it, which would take an interrupt for itself.
    is_over = chain(repeat(False, few), repeat(True)).__next__
    connection.set_progress_handler(is_over, _SOME_STEPS)
    try:
        for name in names:
            connection.execute(_IN_ORDER[name]).fetchone()
        connection.set_progress_handler(None, 0)
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        of_now = isinstance(error, sqlite3.OperationalError)
        if of_now and code_of(error) != sqlite3.SQLITE_INTERRUPT:
            raise
        raise _refusal(path, error) from error
    if found != _SOUND and not _OF_A_ROW.fullmatch(found):
        why = found.removeprefix(_OF_A_FILE)[:_SHOWN].decode("utf-8", "replace")
        raise _refusal(path, sqlite3.DatabaseError(why))


def _refusal(path: str, error: sqlite3.DatabaseError) -> JournalError:
    return JournalError(
        f"{trouble(path, 'opened', error)} If it is your own and you want what is sound in it, say "
        f"so once: {trusting(os.path.dirname(path))}"  # noqa: PTH120  (no Path is shown)
    )
