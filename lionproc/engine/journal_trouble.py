"""What SQLite says when it cannot use the journal, in words that tell a person the way on."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Final

from lionproc.engine.file_system import file_system_of, is_of_one_machine
from lionproc.errors import JournalError

_TOO_MANY: Final = (errno.EMFILE, errno.ENFILE)
ELSEWHERE: Final = "or give another file with journal="
_REASONS: Final = {
    sqlite3.SQLITE_FULL: ("the disk is full", f"Free some space {ELSEWHERE}."),
    sqlite3.SQLITE_READONLY: ("it is read-only", f"Make it writable {ELSEWHERE}."),
    sqlite3.SQLITE_PERM: ("access is denied", f"Make it writable {ELSEWHERE}."),
    sqlite3.SQLITE_CANTOPEN: (
        "it or a file beside it cannot be opened",
        f"Check the folder and its rights {ELSEWHERE}.",
    ),
    sqlite3.SQLITE_BUSY: (
        "another process keeps it locked",
        f"Wait for that process {ELSEWHERE}.",
    ),
    sqlite3.SQLITE_NOTADB: (
        "it is not a database",
        f"Move the file aside to start a new one, {ELSEWHERE}.",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "it is damaged",
        f"Move it and its -wal and -shm files aside to start a new one, {ELSEWHERE}.",
    ),
    sqlite3.SQLITE_TOOBIG: (
        "it is damaged",
        f"Move it and its -wal and -shm files aside to start a new one, {ELSEWHERE}.",
    ),
    sqlite3.SQLITE_INTERRUPT: (
        "it is damaged, and reading it would have no end",
        f"Move it and its -wal and -shm files aside to start a new one, {ELSEWHERE}.",
    ),
    sqlite3.SQLITE_IOERR: (
        "the disk fails or has no more room for the file",
        f"Check the disk {ELSEWHERE}.",
    ),
}


def code_of(error: sqlite3.Error) -> int:
    """The code of an error without its further details."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def trouble(path: str, verb: str, error: sqlite3.Error | OSError) -> JournalError:
    """The error that names the file, the cause and the way on."""
    if _has_no_file_left(error):
        reason = "no more files can be opened, for this process or the machine has too many"
        way_on = f"Close some, or allow more (ulimit -n), {ELSEWHERE}."
    elif isinstance(error, OSError):
        why = error.strerror or error
        return JournalError(
            f"The journal {path!r} cannot be {verb}: {why}. Check the folder and its rights, "
            f"{ELSEWHERE}."
        )
    elif type(error) is sqlite3.DatabaseError and not hasattr(error, "sqlite_errorcode"):
        reason, way_on = _REASONS[sqlite3.SQLITE_CORRUPT]
    elif code_of(error) == sqlite3.SQLITE_IOERR and _is_read_only(path):
        reason = "its folder can only be read, and SQLite writes beside it also to read it"
        way_on = f"Copy it with its -wal file to a folder of yours, {ELSEWHERE}."
    elif code_of(error) == sqlite3.SQLITE_BUSY and not is_of_one_machine(path):
        reason, _ = _REASONS[sqlite3.SQLITE_BUSY]
        way_on = (
            f"It is on a network disk ({file_system_of(path) or 'unknown'}), so that process may be on another machine. One "
            "of the machine that has the disk for its own, or of an older lionproc, lets nobody in as "
            f"long as it has the journal open: end it, {ELSEWHERE}."
        )
    elif code_of(error) in _REASONS:
        reason, way_on = _REASONS[code_of(error)]
    else:
        reason, way_on = "SQLite refuses it", f"See the cause in brackets, {ELSEWHERE}."
    return JournalError(f"The journal {path!r} cannot be {verb}: {reason} ({error}). {way_on}")


def is_busy(error: BaseException | None) -> bool:
    """Whether another process has it just now, or others have all files that can be open."""
    if isinstance(error, sqlite3.Error) and code_of(error) == sqlite3.SQLITE_BUSY:
        return True
    return _has_no_file_left(error)


def _has_no_file_left(error: BaseException | None) -> bool:
    if isinstance(error, OSError):
        return error.errno in _TOO_MANY
    if not isinstance(error, sqlite3.Error) or code_of(error) != sqlite3.SQLITE_CANTOPEN:
        return False
    try:  # SQLite says no more than that it cannot open it
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as why:
        return why.errno in _TOO_MANY
    return False


def _is_read_only(path: str) -> bool:
    """Whether the folder is on a disk that is mounted so, whoever asks."""
    return not os.access(Path(path).parent, os.W_OK)


def may_pass(error: JournalError) -> bool:
    """Whether it is the disk, the rights or another process, and not the file or what goes into it."""
    return isinstance(error.__cause__, sqlite3.OperationalError | OSError)
