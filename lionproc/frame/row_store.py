"""Values, statuses and errors of a run, by position, and the columns of `details=True`."""

from __future__ import annotations

import math
from array import array
from collections.abc import Hashable, Iterator, Sequence
from copy import copy
from typing import Any

import numpy as np
import pandas as pd

from lionproc.engine.request import Event
from lionproc.errors import CallError, Kind
from lionproc.frame.answer_columns import AnswerColumns
from lionproc.frame.answered_by import AnsweredBy
from lionproc.frame.confidence_columns import ConfidenceColumns
from lionproc.frame.failures import Failures
from lionproc.frame.votes import Verdict
from lionproc.model.answer import Answer

__all__ = ["ANSWERED", "CACHED", "FAILED", "SKIPPED", "WAITING", "RowStore", "detail_names"]

WAITING, ANSWERED, CACHED, SKIPPED, FAILED = range(5)
STATUS = ("not_sent", "answered", "cached", "skipped", "failed")
DETAILS = (
    *("status", "error", "attempts", "tokens", "input_tokens", "cached_tokens", "output_tokens"),
    *("usd", "seconds", "model", "run", "note"),
)
_NOTES = (None, "asked again", "repaired", "asked again, repaired")
_MOST_ATTEMPTS = 65535  # what its array holds
_STILL_TO_ASK = frozenset({Kind.NOT_SENT, Kind.CANCELLED})


def detail_names(into: Hashable | None) -> list[str]:
    """What the columns of `details=True` are called."""
    prefix = into if isinstance(into, str) else "llm" if into is None else str(into)
    return [f"{prefix}_{name}" for name in DETAILS]


class RowStore:
    """The answers of a run. Written on the engine's loop, read from any thread.

    Args:
        index: The labels of the frame's rows.
        outputs: What is asked of each row: the shape of the answer, and its column. Place
            `output * rows + row` is the answer of a row to one of them.
        where: What `errors()` calls the column of those names.
        details: Whether attempts, tokens and seconds are kept too.
        run: The id of the run that fills it.
        further: How many places, the first ones, have answers that later stages read.
        sure: For each output the columns that say how sure its answers are.

    Attributes:
        columns: The answers to each output.
        failures: Why there is none.
        confidences: How sure they are.
        no_confidence: How many answers should have a confidence and have none.
        answered_by: Which model answered.
        filled_by: Which run did, by its id.
    """

    def __init__(
        self,
        index: pd.Index[Any],
        outputs: Sequence[tuple[Answer, Hashable | None]],
        *,
        where: str,
        details: bool,
        run: str = "",
        further: int = 0,
        sure: Sequence[Sequence[str]] = (),
    ) -> None:
        size = len(index) * len(outputs)
        self._rows = len(index)
        self.columns = [AnswerColumns(answer, into, len(index)) for answer, into in outputs]
        sure = sure or [()] * len(outputs)
        self.confidences = [ConfidenceColumns(names, len(index)) for names in sure]
        self._sure = any(sure)
        self.no_confidence = 0
        self._values: list[Any] = [None] * further
        self.failures = Failures(index, [str(into or "") for _, into in outputs], where)
        self.answered_by = AnsweredBy(size)
        self.filled_by = AnsweredBy(size if details else 0)
        self._run = run
        self._status = bytearray(size)
        kept = size if details else 0
        self._details = details
        self._attempts = array("H", bytes(2 * kept))
        self._read = array("q", bytes(8 * kept))
        self._from_cache = array("q", bytes(8 * kept))  # -1 where it is not known
        self._written = array("q", bytes(8 * kept))
        self._usd = array("d", bytes(8 * kept))  # NaN where it is not known
        self._seconds = array("f", bytes(4 * kept))
        self._notes = bytearray(kept)  # places in _NOTES
        self._begun = bytearray(kept)  # whether something of this run is kept

    def status(self, place: int) -> int:
        """WAITING, ANSWERED, CACHED, SKIPPED or FAILED."""
        return self._status[place]

    def is_open(self, place: int) -> bool:
        """Whether a run that goes on with these rows asks for it."""
        return self._status[place] in {WAITING, FAILED}

    def count(self, status: int, start: int, stop: int) -> int:
        """How many places from `start` to `stop` have this status."""
        return self._status.count(status, start, stop)

    def value(self, place: int) -> Any:
        """What was answered at one of the `further` places, as its type says."""
        return self._values[place]

    def put(self, place: int, event: Event | Verdict, *, bears: bool = True) -> None:
        """An answer has come, or the last attempt to get one failed.

        Args:
            place: Where it belongs.
            event: What has come.
            bears: Whether this row bears the cost; of equal rows the first one does, so that the
                column adds up to what was paid.
        """
        if self._details:
            self.add(place, event, bears=bears)
        if event.error is None:
            call: Any = event.call
            if self._details:
                self.filled_by.note(place, self._run)
                self._notes[place] += 2 * call.mended
            output, row = divmod(place, self._rows)
            self.columns[output].put(row, call.cell, call.length)
            if self._sure:
                sure = self.confidences[output]
                sure.put(row, call.confidences)
                self.no_confidence += sure.unknown(row)
            if place < len(self._values):
                self._values[place] = event.value
            self.answered_by.note(place, event.model)
            self._status[place] = CACHED if event.cached else ANSWERED
        else:
            self.fail(place, event.error, event.attempts)

    def add(self, place: int, event: Event | Verdict, *, bears: bool = True) -> None:
        """Add what an event took to what its row has taken in this run."""
        if not self._details:
            return
        if not self._begun[place]:  # what it had is of an earlier run
            self._begun[place] = 1
            for kept in (self._attempts, self._read, self._written, self._from_cache, self._notes):
                kept[place] = 0
            self._usd[place] = self._seconds[place] = 0.0
        self._attempts[place] = min(self._attempts[place] + event.attempts, _MOST_ATTEMPTS)
        self._read[place] += event.prompt_tokens
        self._written[place] += event.completion_tokens
        cached, known = event.cached_tokens, self._from_cache[place]
        self._from_cache[place] = -1 if cached is None or known < 0 else known + cached
        usd = event.usd if bears else 0.0
        self._usd[place] += math.nan if usd is None else usd
        self._seconds[place] += event.seconds
        self._notes[place] |= event.corrections > 0

    def skip(self, place: int) -> None:
        """It is not asked, for a cell is missing."""
        self._status[place] = SKIPPED
        self._never(place)

    def fail(self, place: int, error: CallError, attempts: int = 0) -> None:
        """There is no answer. One that was not sent, or given up, is still to be asked."""
        self.failures.add(place, error, attempts)
        if error.kind not in _STILL_TO_ASK:
            self._status[place] = FAILED
            self._never(place)

    def _never(self, place: int) -> None:
        output, row = divmod(place, self._rows)
        self.columns[output].never(row)

    def take_over(self, before: RowStore) -> Iterator[int]:
        """Begin with what another run of the same rows has; only the rest is asked.

        Yields:
            The places that need nothing more.
        """
        self.answered_by.take_over(before.answered_by)
        self._values = copy(before._values)
        if self._details:
            self._attempts = copy(before._attempts)
            self._read, self._written = copy(before._read), copy(before._written)
            self._from_cache, self._usd = copy(before._from_cache), copy(before._usd)
            self._seconds, self._notes = copy(before._seconds), copy(before._notes)
            self.filled_by.take_over(before.filled_by)
        answered = [status in {ANSWERED, CACHED} for status in before._status]
        for output, kept in enumerate(self.columns):
            first = output * self._rows
            rows = [row for row in range(self._rows) if answered[first + row]]
            kept.take_over(before.columns[output], rows)
            self.confidences[output].take_over(before.confidences[output])
        for place, status in enumerate(before._status):
            if answered[place]:
                self._status[place] = CACHED
                yield place
            elif status == SKIPPED:
                self._status[place] = SKIPPED
                yield place

    def settle(self) -> Iterator[None]:
        """No more is to come: keep the answers in the least memory, a piece at a time."""
        for kept in self.columns:
            yield from kept.settle()

    def details(self, into: Hashable | None, first: int, count: int) -> dict[Hashable, Any]:
        """The columns of `details=True` for some places."""
        end = first + count
        places = range(first, end)
        errors = [self.failures.at(place) for place in places]
        status = [
            error.kind.value
            if error is not None and self._status[place] == WAITING
            else STATUS[self._status[place]]
            for place, error in zip(places, errors, strict=True)
        ]
        texts = [None if error is None else f"{error.kind}: {error}" for error in errors]
        read, written = (np.array(a[first:end], dtype="int64") for a in (self._read, self._written))
        from_cache = np.array(self._from_cache[first:end], dtype="int64")
        usd = np.array(self._usd[first:end], dtype="float64")
        made = (
            pd.array(status, dtype="string"),
            pd.array(texts, dtype="string"),
            pd.array(np.array(self._attempts[first:end], dtype="int64"), dtype="Int64"),
            pd.array(read + written, dtype="Int64"),
            pd.array(read, dtype="Int64"),
            pd.arrays.IntegerArray(from_cache, from_cache < 0),
            pd.array(written, dtype="Int64"),
            pd.arrays.FloatingArray(np.nan_to_num(usd), np.isnan(usd)),
            pd.array(np.array(self._seconds[first:end], dtype="float64"), dtype="Float64"),
            self.answered_by.column(first, count),
            self.filled_by.column(first, count),
            pd.array([_NOTES[note] for note in self._notes[first:end]], dtype="string"),
        )
        return dict(zip(detail_names(into), made, strict=True))
