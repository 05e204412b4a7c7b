"""The tables of the journal's file, and whether a file has these and nothing else."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from typing import Final

from lionproc.engine.journal_record import Row
from lionproc.engine.journal_trouble import ELSEWHERE
from lionproc.errors import JournalError

_APPLICATION: Final = 0x4C696F6E  # "Lion", see https://sqlite.org/pragma.html#pragma_application_id
VERSION: Final = 3
COLUMNS: Final = (
    "prefix, key, kind, reply, model, prompt_tokens, completion_tokens, attempts, seconds, at,"
    " checksum, usage"
)
_SCHEMA: Final = {
    "record": (
        "CREATE TABLE record (id INTEGER PRIMARY KEY, prefix INTEGER NOT NULL, key BLOB NOT NULL,"
        " kind TEXT NOT NULL, reply BLOB NOT NULL, model TEXT NOT NULL,"
        " prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,"
        " attempts INTEGER NOT NULL, seconds REAL NOT NULL, at REAL NOT NULL,"
        " checksum INTEGER NOT NULL, usage BLOB NOT NULL DEFAULT x'',"
        " run INTEGER NOT NULL DEFAULT 0)"
    ),
    "by_prefix": "CREATE INDEX by_prefix ON record (prefix)",
    "run": (
        "CREATE TABLE run (id INTEGER PRIMARY KEY, facts BLOB NOT NULL, checksum INTEGER NOT NULL)"
    ),
    "run_answers": ("CREATE TABLE run_answers (run INTEGER PRIMARY KEY, digests BLOB NOT NULL)"),
}
# Format 1 had no usage, and neither it nor format 2 had runs. Their records stay as they are.
_USAGE: Final = "usage BLOB NOT NULL DEFAULT x''"
_RUN: Final = "run INTEGER NOT NULL DEFAULT 0"
_SECOND: Final = {
    "record": _SCHEMA["record"].replace(f", {_RUN}", ""),
    "by_prefix": _SCHEMA["by_prefix"],
}
_SCHEMAS: Final = {
    1: {**_SECOND, "record": _SECOND["record"].replace(f", {_USAGE}", "")},
    2: _SECOND,
    3: _SCHEMA,
}
# What ANALYZE makes, and nothing that is reckoned where it is read.
_STATISTICS: Final = {
    (b"table", b"sqlite_stat1", b"CREATE TABLE sqlite_stat1(tbl,idx,stat)"),
    (b"table", b"sqlite_stat4", b"CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)"),
}
_MOST_STATISTICS: Final = 1000  # rows; of each table and index there are some two dozen at the most
_MOST_TABLES: Final = len(_SCHEMA) + len(_STATISTICS) + 1  # and indexes, that are looked at
_OF_A_SCHEMA: Final = {
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_LENGTH: 10_000,  # bytes of a row
}
_MOST_IDS: Final = 2**62  # once the last one is taken, SQLite gives others in no order
_ADDED: Final = {
    2: (f"ALTER TABLE record ADD COLUMN {_USAGE}",),
    3: (f"ALTER TABLE record ADD COLUMN {_RUN}", _SCHEMA["run"], _SCHEMA["run_answers"]),
}


def bring_up(connection: sqlite3.Connection, found: int) -> None:
    """Make the tables in an empty file, or what those of an earlier format lack.

    Args:
        connection: In a transaction.
        found: What `checked_format` says.
    """
    if found == VERSION:
        return
    statements = list(_SCHEMA.values())
    if found:
        later = range(found + 1, VERSION + 1)
        statements = [statement for version in later for statement in _ADDED[version]]
    for statement in statements:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def checked_format(connection: sqlite3.Connection, path: str) -> int:
    """The format of the file, 0 if it is empty; refuses one that is no journal, or a newer one."""
    tables, application, version = _at_one_moment(connection)
    if tables == [] and application == version == 0:
        return 0
    if application != _APPLICATION:
        raise JournalError(
            f"{path!r} is a database of another program, not a journal. "
            "Give the path of a new file with journal=."
        )
    if isinstance(tables, sqlite3.DatabaseError):
        raise tables
    if version > VERSION:
        raise JournalError(
            f"The journal {path!r} was written by a newer lionproc (format {version}, this one "
            f"reads {VERSION}). Upgrade lionproc, {ELSEWHERE}."
        )
    schema = _SCHEMAS.get(version)
    if schema is None:
        raise sqlite3.DatabaseError("it does not say its format")
    # A trigger or a view could rewrite answers, and an index hide them or refuse new ones, so a
    # schema that is not ours to the letter is not used. A name says nothing: a trigger may have
    # that of a table or an index.
    ours = {
        (sql.split()[1].lower().encode(), n.encode(), sql.encode()) for n, sql in schema.items()
    }
    if not ours <= set(tables):
        raise sqlite3.DatabaseError("its tables are not those of a journal")
    for more in set(tables) - ours - _STATISTICS:
        kind, name, _ = map(_text, more)
        raise sqlite3.DatabaseError(f"it has a {kind} {name!r} that lionproc did not put there")
    for _, table, _ in _STATISTICS & set(tables):
        some = f"SELECT 1 FROM {_text(table)} LIMIT {_MOST_STATISTICS + 1}"  # noqa: S608  (SQLite's)
        if len(connection.execute(some).fetchall()) > _MOST_STATISTICS:  # they would be written out
            raise sqlite3.DatabaseError(
                f"it has more than {_MOST_STATISTICS:,} rows of statistics, and SQLite writes two dozen"
            )
    return version


def names_of(version: int) -> Iterable[str]:
    """The tables and indexes of a journal of this format, none if that is 0."""
    return _SCHEMAS.get(version, {})


def check_numbers(connection: sqlite3.Connection) -> None:
    """Refuse a journal in which records or runs could not be told by their order any more."""
    for table in ("record", "run"):
        (last,) = connection.execute(f"SELECT max(id) FROM {table}").fetchone()  # noqa: S608  (ours)
        if (last or 0) > _MOST_IDS:
            raise sqlite3.DatabaseError("it counts further than any journal")


def _text(part: object) -> str:
    return part[:100].decode("utf-8", "replace") if isinstance(part, bytes) else str(part)


def _at_one_moment(
    connection: sqlite3.Connection,
) -> tuple[list[Row] | sqlite3.DatabaseError, int, int]:
    """What a file says it is, in one transaction: another process may just be making it."""
    execute = connection.execute
    alone = not connection.in_transaction
    # SQLite reads statistics before anybody can see in what kind of table they are: one that
    # somebody has made may be reckoned without an end. Nothing is reckoned in a schema of ours, and
    # all of it is short.
    before = {limit: connection.setlimit(limit, few) for limit, few in _OF_A_SCHEMA.items()}
    try:
        if alone:
            execute("BEGIN")
        (application,) = execute("PRAGMA application_id").fetchone()
        (version,) = execute("PRAGMA user_version").fetchone()
        tables: list[Row] | sqlite3.DatabaseError
        try:
            with contextlib.closing(execute("SELECT type, name, sql FROM sqlite_master")) as found:
                tables = found.fetchmany(_MOST_TABLES)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:  # it is none that is read here
            tables = error
        if alone:
            execute("COMMIT")
    finally:
        for limit, usual in before.items():
            connection.setlimit(limit, usual)
    return tables, application, version
