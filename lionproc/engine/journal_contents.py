"""All that is in a journal: read from one end to the other, or of one run, and taken out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from lionproc.engine.journal_file import JournalFile
from lionproc.engine.journal_record import Entry, Record, Row
from lionproc.engine.run_log import RunLog

__all__ = ["JournalContents"]

_ANY_LEFT: Final = "SELECT 1 FROM record WHERE run = ? LIMIT 1"


class JournalContents:
    """The records of a journal.

    Args:
        file: Its file.
        runs: The runs that it remembers.
        read: From a row, its id first, to a record; None for a damaged one.
    """

    def __init__(
        self, file: JournalFile, runs: RunLog, read: Callable[[Row], Record | None]
    ) -> None:
        self._file = file
        self._runs = runs
        self._read = read

    def of_run(self, run: int, since: int) -> Iterator[Record]:
        """What a run kept, oldest first, without the replies.

        Args:
            run: Its number.
            since: The mark at which it began.

        Raises:
            JournalError: The journal cannot be read.
        """
        for row in self._file.of_run(run, since):
            record = self._read(row)
            if record is not None:
                yield record._replace(reply=b"") if isinstance(record, Entry) else record

    def of_runs(self, since: Mapping[int, int]) -> Iterator[tuple[int, Record]]:
        """What several runs kept, oldest first, each with the number of its run.

        Args:
            since: The marks at which they began, by their numbers.

        Raises:
            JournalError: The journal cannot be read.
        """
        for row in self._file.all():
            number = row[-1]
            if number in since and row[0] > since[number]:
                record = self._read(row[:-1])
                if record is not None:
                    yield number, record

    def __iter__(self) -> Iterator[tuple[Record | None, int]]:
        """All records, oldest first, each with the number of its run; None for a damaged one.

        Raises:
            JournalError: The journal cannot be read.
        """
        for row in self._file.all():
            yield self._read(row[:-1]), row[-1]

    def prune(self, *, before: float | None = None, run: int | None = None) -> int:
        """Remove records for good, and give their space back.

        Args:
            before: Those that came before this time, in Unix seconds.
            run: Those of the run with this number; when none of them is left, the run too.

        Returns:
            How many records were removed.

        Raises:
            JournalError: The journal cannot be written.
        """
        conditions = {"at < ?": before, "run = ?": run}
        asked = {where: value for where, value in conditions.items() if value is not None}
        which, values = " AND ".join(asked) or "0", tuple(asked.values())
        # SQLite gives the ids of the last records again. So what reaches beyond those that stay is
        # noted before any goes: whoever is killed in between has lost nothing.
        last = self._file.last_id()
        self._runs.end_before(self._file.last_id(f"NOT ({which})", values), last)
        removed = self._file.prune(which, values)
        # The number of a run that is forgotten is given again, and with it what is left of it.
        if run is not None and not self._file.read(_ANY_LEFT, (run,)):
            self._runs.forget(run)
        return removed
