"""What is asked of rows, and of whom: the stages of a run."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias

import pandas as pd

from lionproc.engine.limits import Limits
from lionproc.errors import CallError, Kind, pass_on_interrupt
from lionproc.frame.prompt import Message, Prompt
from lionproc.frame.prompt import Rendered as Messages
from lionproc.model.answer import Answer
from lionproc.model.call import RequestBuilder
from lionproc.model.composed import leaves_of, steps_of
from lionproc.model.connection import Connection
from lionproc.model.model import Model

__all__ = ["Answers", "Cells", "Output", "Rows", "Stage", "taken"]

Rows: TypeAlias = "range | Sequence[int]"
Cells: TypeAlias = "tuple[dict[Hashable, list[Any]], list[Any] | None]"


class Answers(Protocol):
    """What earlier stages answered, as JSON has it."""

    def __call__(self, stage: int, row: int, field: str | None = None, /) -> object:
        """What a stage answered for a row.

        Args:
            stage: The number of the stage.
            row: The row.
            field: Which field of the answer, by its name in Python; None for all of it.

        Raises:
            CallError: It has no form in JSON; that row cannot go on.
        """


@dataclass(frozen=True, slots=True)
class Output:
    """One answer per row.

    Attributes:
        prompt: Makes the messages.
        into: The column, or prefix of columns; None for bare field names.
        place: The position of the column whose cell is `{value}`, if there is one.
    """

    prompt: Prompt
    into: Hashable | None
    place: int | None = None

    def cells(self, frame: pd.DataFrame, rows: Rows, answers: Answers) -> Cells:
        """What the prompt reads, by what it calls it, and the cells that are `{value}`.

        Args:
            frame: The input.
            rows: Which rows.
            answers: What earlier stages answered.
        """
        del answers
        cells = {label: taken(frame[label], rows) for label in self.prompt.columns}
        return cells, None if self.place is None else taken(frame.iloc[:, self.place], rows)

    def reads(self, frame: pd.DataFrame) -> set[int]:
        """The places of the columns that are read for it."""
        labels = set(self.prompt.columns)
        places = {place for place, label in enumerate(frame.columns) if label in labels}
        return places if self.place is None else places | {self.place}

    def render(self, frame: pd.DataFrame, rows: Rows, answers: Answers) -> list[Messages]:
        """The messages for rows, or why there are none; the arguments are those of `cells`."""
        cells, value = self.cells(frame, rows, answers)
        return self.prompt.render_slice(cells, 0, len(rows), value=value)


def taken(column: pd.Series[Any], rows: Rows) -> list[Any]:
    """The cells of some rows; a `CallError` where one cannot be read.

    Arrow looks at nothing that it is given: a text may be no UTF-8, and a time may lie beyond what
    Python has. Nobody knows before the cell is read, and then all of the column fails with it.
    """
    places: Any = slice(rows.start, rows.stop) if isinstance(rows, range) else rows
    part = column.iloc[places]
    try:
        return list(part.tolist())
    except BaseException as error:  # noqa: BLE001  (of any class: an array may be anybody's)
        pass_on_interrupt(error)
    return [_cell(part, place) for place in range(len(part))]


def _cell(column: pd.Series[Any], place: int) -> Any:
    try:
        return column.iloc[place : place + 1].tolist()[0]
    except BaseException as error:  # noqa: BLE001  (as above)
        pass_on_interrupt(error)
        why = f"the cell of {column.name!r} cannot be read ({type(error).__name__})"
        return CallError(Kind.PROMPT, why)


@dataclass(frozen=True, slots=True)
class Stage:
    """What is asked of rows, and of whom.

    Attributes:
        outputs: What is asked of each row.
        answer: The shape of the answers.
        model: Who answers.
        name: What it is called, where there are several.
        limits: Limits of its own, kept besides those of the endpoint.
        told: What shapes its questions besides the rows; equal for equal stages.
        confidence: Whether replies are to tell how sure the model is of what it chose.
        votes: How often each row is asked.
        tie: What becomes of a row where several answers have the most votes.
    """

    outputs: tuple[Output, ...]
    answer: Answer
    model: Model
    name: str = ""
    limits: Limits | None = None
    told: str = ""
    confidence: bool = False
    votes: int = 1
    tie: Literal["na", "first"] = "na"

    @property
    def calls_functions(self) -> bool:
        """Whether functions of a person's make its questions."""
        return any(output.prompt.calls_functions for output in self.outputs)

    def with_turns(self, turns: Sequence[Sequence[Message]]) -> Stage:
        """The same with examples that are worded already, for each of its outputs."""
        pairs = zip(self.outputs, turns, strict=True)
        outputs = [replace(o, prompt=replace(o.prompt, turns=tuple(each))) for o, each in pairs]
        return replace(self, outputs=tuple(outputs))

    def builder(self, connection: Connection, leaf: int = 0) -> RequestBuilder:
        """What makes its questions.

        Args:
            connection: The way to a model.
            leaf: Which one, where its own is made of several.
        """
        fields = leaves_of(self.model)[leaf].body_params
        sure = self.is_asked_for_confidence(leaf)
        return RequestBuilder(connection, fields, self.answer, confidence=sure)

    def is_asked_for_confidence(self, leaf: int) -> bool:
        """Whether one of its models is to tell how sure it is: for the frame, or for a cascade."""
        return self.confidence or (self.votes == 1 and steps_of(self.model).unsure(leaf))

    def columns_of(self, frame: pd.DataFrame) -> list[pd.Series[Any]]:
        """The columns that are read for it."""
        places = set[int]().union(*(output.reads(frame) for output in self.outputs))
        return [frame.iloc[:, place] for place in sorted(places)]
