"""The rows of a run that failed, and what is needed to ask them again."""

from __future__ import annotations

import itertools
import weakref
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from lionproc.engine.stats import RunStats
from lionproc.errors import CallError, Kind, let_go
from lionproc.frame.cell import label_text

if TYPE_CHECKING:
    from lionproc.frame.asked import Asked
    from lionproc.reports.report import Report


class Failure(NamedTuple):
    """A row without an answer: where it is, where it failed, why, and after how many requests."""

    position: int
    where: str
    error: CallError
    attempts: int


class Failures:
    """The failures of a run, by the places of its answers.

    Args:
        index: The labels of the frame's rows.
        outputs: What is asked of each row, by the names of the columns; place
            `output * rows + row` is the answer of a row to one of them.
        where: What `errors()` calls the column of those names.
    """

    def __init__(self, index: pd.Index[Any], outputs: Sequence[str], where: str = "into") -> None:
        self._index = index
        self._where = where
        self._outputs = tuple(outputs)
        self._all: dict[int, tuple[CallError, int]] = {}

    def add(self, place: int, error: CallError, attempts: int) -> None:
        """Note that the answer at a place failed."""
        let_go(error)
        self._all[place] = (error, attempts)

    def at(self, place: int) -> CallError | None:
        """Why there is no answer at a place, None where nothing went wrong."""
        found = self._all.get(place)
        return None if found is None else found[0]

    def hint(self) -> str:
        """What to do about them, where it is the same for all; empty where it differs."""
        hints = {error.hint for _, error in self if error.kind is not Kind.NOT_SENT}
        return hints.pop() if len(hints) == 1 else ""

    def __iter__(self) -> Iterator[tuple[int, CallError]]:
        """Places and errors."""
        return ((place, error) for place, (error, _) in self._so_far().items())

    def latest(self, most: int) -> Iterator[tuple[int, CallError]]:
        """Places and errors, the newest first."""
        for place, (error, _) in itertools.islice(reversed(self._all.items()), most):
            yield place, error

    def kept(self, most: int) -> list[dict[str, object]]:
        """The first failures, in JSON's types, for the journal; without the model's own replies.

        Args:
            most: How many.
        """
        rows = len(self._index)
        return [
            {
                "position": place % rows,
                "index": label_text(self._index[place % rows]),
                "where": self._outputs[place // rows],
                "kind": str(error.kind),
                "message": error.message,
                "hint": error.hint,
                "attempts": attempts,
            }
            for place, (error, attempts) in sorted(
                self._so_far().items(), key=lambda item: item[0]
            )[:most]
            if error.kind is not Kind.NOT_SENT
        ]

    def _so_far(self) -> dict[int, tuple[CallError, int]]:
        # `list(self._all.items())` makes a tuple of each: CPython 3.11 may collect garbage at any
        # of them, and with it another thread gets its turn and adds to what is gone through.
        return self._all.copy()

    def table(self, stats: RunStats) -> ErrorsTable:
        """What `errors()` gives. Rows that were never sent are no errors: the report counts them.

        Args:
            stats: The run, for what to say where there are no errors.
        """
        rows = len(self._index)
        failures = [
            Failure(place % rows, self._outputs[place // rows], error, attempts)
            for place, (error, attempts) in sorted(self._so_far().items(), key=lambda item: item[0])
            if error.kind is not Kind.NOT_SENT
        ]
        return errors_table(self._index, self._where, failures, stats)


class ErrorsTable(pd.DataFrame):
    """The frame of `errors()`, which says so where there are none."""

    _metadata = ["no_errors"]  # noqa: RUF012  (as pandas wants it)
    no_errors: str

    @property
    def _constructor(self) -> object:
        return pd.DataFrame  # what is made of it is a frame like any other

    def __repr__(self) -> str:
        return super().__repr__() if len(self) else self.no_errors

    def _repr_html_(self) -> str:
        if not len(self):
            return f"<p>{self.no_errors}</p>"
        from lionproc.notebook.errors_html import MOST_ROWS, MOST_WAYS, errors_html

        where = str(self.columns[2])  # `into`, or a pipeline's `stage`
        several = len(set(self[where])) > 1
        alike = defaultdict[tuple[object, ...], list[int]](list)
        for place, way in enumerate(zip(self["kind"], self["message"], strict=True)):
            alike[way].append(place)
        most = sorted(alike.values(), key=len, reverse=True)[:MOST_WAYS]
        ways = [(len(places), self.iloc[places[:MOST_ROWS]].to_dict("records")) for places in most]
        return errors_html(ways, len(self), where if several else "")


def errors_table(
    index: pd.Index[Any], where: str, failures: Iterable[Failure], stats: RunStats
) -> ErrorsTable:
    """One row for every row that failed.

    Args:
        index: The labels of the rows.
        where: What the column of the places where they failed is called.
        failures: In the order they are shown.
        stats: The run, for what to say where there are none.
    """
    rows = list(failures)

    def texts(values: Iterable[str]) -> Any:
        return pd.array([value or None for value in values], dtype="string")

    table = ErrorsTable(
        {
            "position": pd.array([row.position for row in rows], dtype="int64"),
            "index": pd.Series([index[row.position] for row in rows], dtype=object),
            where: pd.Series([row.where for row in rows], dtype=object),
            "kind": texts(str(row.error.kind) for row in rows),
            "message": texts(row.error.message for row in rows),
            "hint": texts(row.error.hint for row in rows),
            "reply": texts(row.error.reply for row in rows),
            "attempts": pd.array([row.attempts for row in rows], dtype="int64"),
            "raw": texts(row.error.raw.decode("utf-8", "replace") for row in rows),
        }
    )
    table.no_errors = _none(stats)
    return table


def _none(stats: RunStats) -> str:
    """What to say where no row failed."""
    parts = [f"{stats.answered:,} of {stats.rows:,} rows answered"]
    if stats.skipped:
        parts.append(f"{stats.skipped:,} skipped (empty cells)")
    if stats.left:
        over = stats.state in {"done", "stopped", "failed"}
        parts.append(f"{stats.left:,} {'not sent' if over else 'to come'}")
    return f"No errors: {', '.join(parts)}."


class Outcome:
    """A run as its frames remember it: errors and report, without its rows and answers.

    A `Watcher` of the run, so that it has the last report when nobody holds the job any more.

    Args:
        report: A job's method that says what it did. The job itself is not kept.
        failures: Its failures.
        named: The facts that its files have, of those of its report.
        asked: What it asks of every row.
    """

    def __init__(
        self,
        report: Callable[[], Report],
        failures: Failures,
        named: Collection[str],
        asked: Sequence[Asked] = (),
    ) -> None:
        self.asked = asked
        self._newest = weakref.WeakMethod(report)
        self._named = named
        self._failures = failures
        self._report: Report | None = None

    def update(self, stats: RunStats) -> None:
        """See `Watcher.update`."""

    def close(self, stats: RunStats) -> None:
        """See `Watcher.close`."""
        del stats
        self._report = self.report()

    def errors(self) -> ErrorsTable:
        """The rows that failed."""
        return self._failures.table(self.report().stats)

    def facts(self) -> dict[str, Any]:
        """What a file with its answers says of the run."""
        facts = self.report().facts
        return {name: facts[name] for name in facts if name in self._named}

    def report(self) -> Report:
        """What the run did, or has done so far."""
        newest = self._newest()
        if newest is not None:
            self._report = newest()
        assert self._report is not None  # noqa: S101  (a job that has gone has closed its watchers)
        return self._report
