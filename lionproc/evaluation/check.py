"""`out.llm.check(...)`: what should be looked at before the answers are trusted."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lionproc.errors import ConfigurationError
from lionproc.evaluation.columns import one_column
from lionproc.evaluation.row_ids import cell_words, contents
from lionproc.frame import results
from lionproc.frame.asked import Asked
from lionproc.frame.assemble import column_names
from lionproc.frame.distinct import distinct
from lionproc.frame.foreseen import foreseen
from lionproc.frame.look import FEWEST, Bounds, Finding, bounds_of, looked_at
from lionproc.notebook.formatting import dollars, escaped, plain, plural
from lionproc.notebook.pairs import BOX, CELL, QUIET

if TYPE_CHECKING:
    from lionproc.reports.report import Report

__all__ = ["Check", "check"]

AGAIN = 0.05  # of the rows
FAILED = 0.01
SAME, LEAST_SAME = 0.02, 5  # of the rows, and rows
SAME_LENGTH = 20  # characters of a text that is no label
THOUGHTS = 0.7  # of the tokens that were written
DEARER = 1.5  # times the most that was foreseen
FEW_DOLLARS = 0.01  # nobody minds them
EXAMPLE = 120  # characters


class Check(pd.DataFrame):
    """What should be looked at: a frame with a row for each finding, which prints itself.

    Columns: column, finding, rows (how many it is about), example (the label of the first of them
    and what it says) and what_to_do. Empty where nothing was found.
    """

    _metadata = ["told"]  # noqa: RUF012  (as pandas wants it)
    told: str

    @property
    def _constructor(self) -> object:
        return pd.DataFrame  # what is made of it is a frame like any other

    @property
    def _headline(self) -> str:
        if not len(self):
            return f"lionproc: nothing found in {self.told}"
        return f"lionproc: {plural(len(self), 'thing')} to look at in {self.told}"

    def _rows(self) -> list[tuple[str, str, str, str]]:
        several = len(set(self["column"])) > 1
        return [
            (
                f"{plain(column, 40)}: {says}" if several and column else says,
                plain(example, EXAMPLE + 60),
                advice,
                f"{rows:,}",
            )
            for column, says, rows, example, advice in zip(
                self["column"],
                self["finding"],
                self["rows"],
                self["example"],
                self["what_to_do"],
                strict=True,
            )
        ]

    def __repr__(self) -> str:
        lines = [self._headline]
        for says, example, advice, _ in self._rows():
            lines += [f"  {says}", *([f"    {example}"] if example else []), f"    {advice}"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr style='background:none'><td style='{CELL};padding-bottom:8px'>"
            f"<div>{escaped(says)}</div>"
            + (f"<div style='{QUIET}'>{escaped(example)}</div>" if example else "")
            + f"<div style='{QUIET}'>→ {escaped(advice)}</div></td></tr>"
            for says, example, advice, _ in self._rows()
        )
        table = f"<table style='border:0;margin:4px 0 0'>{rows}</table>" if rows else ""
        return f"{BOX}<strong>{escaped(self._headline)}</strong>{table}</div>"


def check(frame: pd.DataFrame, into: Hashable | None) -> Check:
    """Look at a column of answers, or all of a run; see `df.llm.check`."""
    asked, report = _of_run(frame)
    columns, bounds = _columns(frame, asked, into)
    found: list[Finding] = []
    noted: list[Finding] = []
    for name in columns:
        answers = one_column(frame, name, "into")
        found += looked_at(answers, bounds.get(name, (None, None)))
        found += _same_text(frame, answers, _read(frame, asked, columns))
        noted += _notes(frame, name)
    found += noted
    found += _missing(frame, columns) if report is None else _of_report(report, noted=bool(noted))
    named = ", ".join(plain(name, 40) for name in columns[:4])
    more = f" and {len(columns) - 4} more" if len(columns) > 4 else ""
    return _frame(frame, found, f"{named}{more}, {plural(len(frame), 'row')}")


def _of_run(frame: pd.DataFrame) -> tuple[Sequence[Asked], Report | None]:
    """What the run that made it asked, and its report; nothing where it is not known."""
    try:
        run = results.run_of(frame)
        report = run.report()
    except ConfigurationError:
        return (), None
    try:
        return run.asked, report
    except ConfigurationError:
        return (), report


def _columns(
    frame: pd.DataFrame, asked: Sequence[Asked], into: Hashable | None
) -> tuple[list[Hashable], dict[Hashable, Bounds]]:
    """The columns to look at, and the bounds of their numbers."""
    made: list[Hashable] = []
    bounds: dict[Hashable, Bounds] = {}
    for each in asked:
        names = column_names(each.answer, each.into)
        known = list(bounds_of(each.answer).values())
        if len(known) == len(names):
            bounds.update(zip(names, known, strict=True))
        if into is None or into == each.into:
            made += [name for name in names if name in frame.columns]
    if into is not None and not made:
        one_column(frame, into, "into")
        made = [into]
    if not made:
        raise ConfigurationError("into= says which column is to be looked at: the one of answers.")
    return made, bounds


def _read(
    frame: pd.DataFrame, asked: Sequence[Asked], columns: Sequence[Hashable]
) -> list[Hashable]:
    """The columns that a prompt shows; all others where that is not known."""
    for each in asked:
        if set(columns) & set(column_names(each.answer, each.into)):
            read = [*each.prompt.columns, *([] if each.value is None else [each.value])]
            return [name for name in dict.fromkeys(read) if name in frame.columns]
    first = str(columns[0])
    return [name for name in frame.columns if not str(name).startswith(first)]


def _same_text(
    frame: pd.DataFrame, answers: pd.Series[Any], read: Sequence[Hashable]
) -> Iterator[Finding]:
    """One long text for many rows that say different things."""
    if not isinstance(answers.dtype, pd.StringDtype) or len(answers) < FEWEST or not read:
        return
    least = max(LEAST_SAME, SAME * len(answers))
    places = np.flatnonzero(answers.str.len().fillna(0).to_numpy() >= SAME_LENGTH)
    codes = distinct(answers, ordered=False)[0][places]  # rows may share a text: none is taken out
    rows = places[codes == np.bincount(codes, minlength=1).argmax()]
    if len(rows) >= least:
        shown = frame.loc[:, frame.columns.isin(read)].iloc[rows]
        different = len(set(contents(shown, read)))
        if different >= least:
            yield Finding(
                f"one text is the answer to {different:,} different rows",
                len(rows),
                int(rows[0]),
                "Does the prompt show the cell? preview() shows what is sent.",
                answers.name or "",
            )


def _notes(frame: pd.DataFrame, name: Hashable) -> Iterator[Finding]:
    """Answers that were asked again for their shape or repaired, by `details=True`."""
    column = f"{name}_note"
    if list(frame.columns).count(column) != 1:
        return
    there = frame[column].notna().to_numpy(dtype=bool)
    rows = int(there.sum())
    if rows >= max(2, AGAIN * len(frame)):
        yield Finding(
            f"{plural(rows, 'answer')} had the wrong shape and were asked again or repaired",
            rows,
            int(np.flatnonzero(there)[0]),
            "Make the schema simpler, or say its shape in the prompt: each is paid more than once.",
            name,
        )


def _of_report(report: Report, *, noted: bool) -> Iterator[Finding]:
    """What the run itself tells; of answers that were asked again, what its rows do not."""
    stats = report.stats
    again = sum(report.retried_for.get(kind, 0) for kind in ("wrong_shape", "truncated", "empty"))
    if not noted and again >= max(2, AGAIN * stats.rows):
        yield Finding(
            f"{plural(again, 'answer')} had the wrong shape and were asked again",
            again,
            None,
            "Make the schema simpler, or say its shape in the prompt: each is paid more than once.",
        )
    asked = stats.rows - stats.skipped
    if stats.failed >= max(1, FAILED * asked):
        yield Finding(
            f"{plural(stats.failed, 'row')} of {asked:,} have no answer: they failed",
            stats.failed,
            None,
            "out.llm.errors() says why; numbers of the rest may be of the easy rows alone.",
        )
    thoughts = stats.reasoning_tokens or 0
    if stats.completion_tokens >= 1000 and thoughts >= THOUGHTS * stats.completion_tokens:
        share = round(100 * thoughts / stats.completion_tokens)
        yield Finding(
            f"{share} % of the tokens that were paid for as output are thoughts",
            stats.answered,
            None,
            'lp.Model(..., reasoning_effort="low") thinks less; compare() says whether it is as good.',
        )
    usual = foreseen(report.facts.get("fingerprint"))
    if usual is not None and stats.usd is not None and stats.usd > FEW_DOLLARS:
        low, high = usual
        if stats.usd > DEARER * high:
            yield Finding(
                f"it has cost {dollars(stats.usd)}, and {dollars(low)} to {dollars(high)} were foreseen",
                stats.answered,
                None,
                "report().most_expensive has the dearest rows; longer answers and thoughts cost most.",
            )


def _missing(frame: pd.DataFrame, columns: Sequence[Hashable]) -> Iterator[Finding]:
    """Of a frame whose run is not known: rows without any answer."""
    none = np.ones(len(frame), dtype=bool)
    for name in columns:
        none &= one_column(frame, name, "into").isna().to_numpy(dtype=bool)
    rows = int(none.sum())
    if rows >= max(1, FAILED * len(frame)):
        yield Finding(
            f"{plural(rows, 'row')} of {len(frame):,} have no answer",
            rows,
            int(np.flatnonzero(none)[0]),
            "Were they skipped for an empty cell, or did they fail? lp.runs() has the run.",
        )


def _frame(frame: pd.DataFrame, found: Sequence[Finding], told: str) -> Check:
    def example(each: Finding) -> str | None:
        if each.place is None:
            return None
        label = cell_words(frame.index[each.place])
        if each.column == "":
            return f"row {label}"
        cell = one_column(frame, each.column, "into").iloc[each.place]
        return f"row {label}: {plain(cell_words(cell), EXAMPLE)}"

    made = Check(
        {
            "column": pd.array([str(each.column) for each in found], dtype="string"),
            "finding": pd.array([each.says for each in found], dtype="string"),
            "rows": pd.array([each.rows for each in found], dtype="int64"),
            "example": pd.array([example(each) or "" for each in found], dtype="string"),
            "what_to_do": pd.array([each.advice for each in found], dtype="string"),
        }
    )
    made.told = told
    return made
