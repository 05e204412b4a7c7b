"""What a stage of a pipeline over a frame sees of a row, and what it asks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from lionproc.errors import CallError, Kind, PromptError
from lionproc.frame.cell import cell_text, is_missing
from lionproc.frame.pipeline_names import Answered, AnsweredByAny, OfPrompt
from lionproc.frame.prompt import Rendered as Messages
from lionproc.frame.stage import Answers, Cells, Output, Rows, taken
from lionproc.model.answer import Answer
from lionproc.model.as_json import to_json
from lionproc.template import Names

__all__ = ["StageOutput"]

_PLAIN = (str, bool, int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOutput(Output):
    """The one answer that a stage gives to a row.

    Attributes:
        stages: The names of the stages before it.
        hidden: Columns that answers have taken the place of.
        options: What to do, for `{options}`.
        wants: What its data has to look like.
        last_answer: Whether its data is the answer of the stage before, not the whole row.
        as_it_is: Whether it is shown cells as they are, for it is a function; else as JSON has
            them.
    """

    stages: tuple[str, ...]
    hidden: frozenset[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    wants: Answer | None = None
    last_answer: bool = False
    as_it_is: bool = False

    def cells(self, frame: pd.DataFrame, rows: Rows, answers: Answers) -> Cells:
        """See `Output.cells`. The value is the data of the stage, where its prompt is made of it."""
        cells: dict[Hashable, list[Any]] = {}
        for name in self.prompt.columns:
            if name is OfPrompt.OPTIONS:
                cells[name] = [_text(self.options)] * len(rows)
            elif name is OfPrompt.DATA:
                cells[name] = list(map(_text, self._data(frame, rows, answers)))
            elif isinstance(name, (Answered, AnsweredByAny)):
                cells[name] = [_shown(name, answers, row) for row in rows]
            else:
                cells[name] = taken(frame[name], rows)
        if not self.prompt.each:
            return cells, None
        return cells, self._data(frame, rows, answers, as_it_is=self.as_it_is)

    def reads(self, frame: pd.DataFrame) -> set[int]:
        """See `Output.reads`. The data of a stage has the whole row."""
        if self.prompt.each or self.wants is not None or OfPrompt.DATA in self.prompt.columns:
            return set(range(frame.shape[1]))
        return Output.reads(self, frame)

    def render(self, frame: pd.DataFrame, rows: Rows, answers: Answers) -> list[Messages]:
        """See `Output.render`. Data that the stage does not take is an error of its row."""
        made = Output.render(self, frame, rows, answers)
        if self.wants is not None or (self.prompt.each and not self.as_it_is):
            for place, data in enumerate(self._data(frame, rows, answers)):
                refused = self._refused(data)
                if refused is not None:
                    made[place] = refused
        return made

    def _refused(self, data: Any) -> CallError | None:
        if isinstance(data, CallError):
            return data
        if self.wants is not None:
            try:
                if isinstance(data, str):
                    self.wants.read(data)
                else:
                    self.wants.read_json(data)
            except CallError as error:
                return error
            except TypeError as error:
                return CallError(Kind.WRONG_SHAPE, f"The data is not JSON: {error}.")
        return None

    def _data(
        self, frame: pd.DataFrame, rows: Rows, answers: Answers, *, as_it_is: bool = False
    ) -> list[Any]:
        """The data of rows; a `CallError` where a cell of it has no text."""
        if self.last_answer and self.stages:
            return [_of(answers, row, len(self.stages) - 1) for row in rows]
        columns: dict[Hashable, list[Any]] = {}
        for place, label in enumerate(frame.columns):
            name = Names.text(label)
            if name not in self.hidden:
                cells = taken(frame.iloc[:, place], rows)
                if as_it_is:
                    columns[label] = cells
                else:
                    columns[name] = [_plain(cell, name) for cell in cells]
        made: list[Any] = []
        for offset, row in enumerate(rows):
            data = {name: cells[offset] for name, cells in columns.items()}
            data |= {name: _of(answers, row, number) for number, name in enumerate(self.stages)}
            why = (cell for cell in data.values() if issubclass(type(cell), CallError))
            made.append(next(why, data))
        return made


def _of(answers: Answers, row: int, stage: int) -> Any:
    """What a stage answered; the error where that has no form in JSON."""
    try:
        return answers(stage, row)
    except CallError as error:
        return error


def _shown(name: Answered | AnsweredByAny, answers: Answers, row: int) -> Any:
    try:
        return _text(name.value(lambda stage, field: answers(stage, row, field)))
    except CallError as error:
        return error


def _text(value: Any) -> Any:
    """A value as a template shows it: a text as it is, anything else as JSON, None as missing."""
    if value is None or isinstance(value, (str, CallError)):
        return value
    return to_json(value).decode()


def _plain(cell: Any, name: str) -> Any:
    """A cell in data; where it has no text, the error of whoever shows it."""
    if is_missing(cell):
        return None
    if type(cell) in _PLAIN or issubclass(type(cell), CallError):
        return cell
    try:
        return cell_text(cell)
    except PromptError as error:
        return CallError(Kind.PROMPT, f"Column {name!r}: {error}.")
