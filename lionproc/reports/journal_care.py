"""`lp.journal()`: the journal in hand. How large it is, what is in it, and taking things out."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pandas as pd

from lionproc.engine.journal import Failure, Journal, Record, Voted
from lionproc.engine.journal_file import SOME_BYTES
from lionproc.engine.journal_path import real_path
from lionproc.engine.streams import Stream
from lionproc.errors import ConfigurationError, JournalError
from lionproc.face import face
from lionproc.frame.place import AnyPath
from lionproc.model.defaults import default
from lionproc.reports.runs import found_in, opened

__all__ = ["JournalCare", "Verified", "journal"]

_AGE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])", re.ASCII)
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_GROUP: Final = 2000
"""Records in one group of a file that is exported, unless their replies are large."""
_ENDED: Final = frozenset(("done", "stopped", "failed", "killed"))


@face
def journal(path: str | os.PathLike[str] | None = None) -> JournalCare:
    """The journal, to look at and to tidy up.

    Args:
        path: Its path; None for the one that `process` uses.

    Returns:
        What shows `.path`, `.size` and `.records`, and has `prune`, `export` and `verify`.

    Raises:
        ConfigurationError: The session has no journal on disk.

    Example:
        ```python
        lp.journal().prune(older_than="30d")
        ```
    """
    given = default("journal", path)
    if given is False:
        raise ConfigurationError("This session keeps no journal on disk (journal=False).")
    return JournalCare(real_path(given, make=False))


@dataclass(frozen=True, slots=True)
class Verified:
    """What `verify` found.

    Attributes:
        records: How many records there are.
        damaged: How many of them are damaged: they answer nothing, and what they were is asked
            again.
    """

    records: int
    damaged: int

    def __bool__(self) -> bool:
        return not self.damaged


class JournalCare:
    """A journal in hand. `lp.journal()` gives it.

    Attributes:
        path: Its file, which need not be there yet.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def size(self) -> int:
        """Bytes on disk."""
        with opened(self.path) as kept:
            return 0 if kept is None else kept.stats().bytes

    @property
    def records(self) -> int:
        """How many records there are: replies, failures and how votes stood, superseded ones included."""
        with opened(self.path) as kept:
            return 0 if kept is None else len(kept)

    @face
    def prune(self, older_than: str | None = None, run: str | None = None) -> int:
        """Remove records for good. Their answers are paid for again when they are asked again.

        The space goes back to the disk, unless another process reads the journal just then; it is
        used for new records then.

        Args:
            older_than: An age such as "30d" ("s", "m", "h", "d" and "w" are known): what is older
                goes.
            run: The id or name of a run: what it bought goes, and `lp.runs()` has it no more. With
                `older_than`, only what is both.

        Returns:
            How many records were removed.

        Raises:
            ConfigurationError: Neither is given, this is no age, there is no such run, or a run
                goes on over this journal.
            JournalError: The journal cannot be read or written.

        Example:
            ```python
            lp.journal().prune(older_than="30d")
            ```
        """
        if older_than is None and run is None:
            raise ConfigurationError(
                'Say what is to be removed: prune(older_than="30d"), or prune(run="...").'
            )
        before = None if older_than is None else time.time() - _seconds(older_than)
        with opened(self.path) as kept:
            if kept is None:
                return 0
            goes_on = [
                each.facts.get("run") for each in kept.runs.all() if each.state not in _ENDED
            ]
            if goes_on:
                raise ConfigurationError(
                    f"The run {goes_on[0]!r} goes on over this journal. Wait for it, or stop it."
                )
            number = None if run is None else found_in(kept, run).number
            return kept.contents.prune(before=before, run=number)

    @face
    def export(self, path: AnyPath, *, progress: bool = True) -> str:
        """Write all records into one file that any program reads, whole or not at all.

        Args:
            path: "records.parquet", or "records.jsonl".
            progress: False shows nothing.

        Returns:
            The path. Each record has its run, when it came, key, kind (empty for a reply, else how
            the request failed; "voted" for how the votes on a row stood), reply (or the failure's
            message), model, tokens, dollars, attempts and seconds.

        Raises:
            ConfigurationError: The path has another ending, or there is no journal.
            SaveError: The file could not be written.
            JournalError: The journal cannot be read.
        """
        from lionproc.reports.journal_export import export

        with opened(self.path) as kept:
            if kept is None:
                raise ConfigurationError(f"There is no journal {self.path!r}.")
            return export(_shown(kept, progress=progress), path)

    @face
    def verify(self, *, progress: bool = True) -> Verified:
        """Read every record, and compare it with its checksum.

        Args:
            progress: False shows nothing.

        Returns:
            How many records there are, and how many are damaged; true where none is.

        Raises:
            JournalError: The file is no journal, or cannot be read.
        """
        records = damaged = 0
        with opened(self.path) as kept:
            if kept is not None:
                for row in _bar(kept.contents, len(kept), shown=progress):
                    records += 1
                    damaged += row[0] is None
        return Verified(records, damaged)

    def __repr__(self) -> str:
        try:
            return f"<journal {self.path!r}: {self.records:,} records, {self.size / 2**20:,.1f} MB>"
        except JournalError as error:
            return f"<journal {self.path!r}: {error}>"


def _seconds(age: object) -> float:
    found = _AGE.fullmatch(age.strip()) if isinstance(age, str) else None
    if found is None:
        raise ConfigurationError(f'An age is a text such as "30d" or "12h", not {age!r}.')
    return float(found[1]) * _SECONDS[found[2]]


def _shown(kept: Journal, *, progress: bool) -> Iterator[pd.DataFrame]:
    """The records as frames, some at a time."""
    names = {each.number: str(each.facts.get("run", "")) for each in kept.runs.all()}
    group: list[Mapping[str, Any]] = []
    total = 0
    for record, run in _bar(kept.contents, len(kept), shown=progress):
        if record is None:
            continue
        row = _row(record, names.get(run))
        group.append(row)
        total += len(row["reply"])
        if len(group) == _GROUP or total > SOME_BYTES:
            yield _table(group)
            group, total = [], 0
    yield _table(group)


def _bar(records: Any, total: int, *, shown: bool) -> Any:
    from tqdm.auto import tqdm

    if not shown or sys.stderr is None:  # which a program without a window has not
        return records
    return tqdm(records, total=total, unit=" records", leave=False, file=Stream(sys.stderr))


_TYPES: Final = {
    "run": "string",
    "at": "datetime64[us, UTC]",
    "key": "string",
    "kind": "string",
    "reply": "string",
    "model": "string",
    "input_tokens": "Int64",
    "output_tokens": "Int64",
    "usd": "Float64",
    "attempts": "Int64",
    "seconds": "Float64",
}


def _row(record: Record, run: object) -> Mapping[str, Any]:
    common: dict[str, Any] = {
        "run": run,
        "at": _date(record.at),
        "key": record.key.hex(),
    }
    if isinstance(record, Voted):
        return {**common, "kind": "voted", "reply": record.stood}
    common["attempts"] = record.attempts
    if isinstance(record, Failure):
        return {**common, "kind": record.kind, "reply": record.message}
    return {
        **common,
        "kind": "",
        "reply": record.reply.decode("utf-8", "replace"),
        "model": record.model,
        "input_tokens": record.prompt_tokens,
        "output_tokens": record.completion_tokens,
        "usd": record.usd,
        "seconds": record.seconds,
    }


def _date(at: float) -> datetime | None:
    """The time of a record; None where no calendar has it."""
    try:
        return _EPOCH + timedelta(seconds=at)
    except OverflowError:
        return None


def _table(rows: list[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame({name: [row.get(name) for row in rows] for name in _TYPES}).astype(_TYPES)
