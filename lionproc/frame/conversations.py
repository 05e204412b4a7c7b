"""Answered rows as conversations: what was asked and what is right, to train a model on.

A frame knows how its rows were asked as long as the run that made it is of this session. The
messages are made anew from the cells that it has now, and the answers are those that it has now:
so rows may have been selected or sorted, and answers corrected.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from lionproc.errors import CallError, ColumnError, ConfigurationError
from lionproc.frame import results
from lionproc.frame.asked import Asked
from lionproc.frame.assemble import column_names, place_in
from lionproc.frame.dtypes import cells_of
from lionproc.model.as_json import to_json

__all__ = ["conversations"]

CHUNK_ROWS = 1000


def conversations(frame: pd.DataFrame) -> Iterator[bytes | None]:
    """For each row `{"messages": [...]}` as JSON, with the answer as the last turn; None without an answer.

    Where the run asked about several columns, the rows come again for each of them.

    Raises:
        ConfigurationError: It is not known how this frame was asked.
        ColumnError: A column that was shown or answered is not there any more, or a cell of an
            answer is none that its type allows.
    """
    asked = results.run_of(frame, results.HOW_ASKED).asked
    if not asked:
        raise ConfigurationError(
            "These rows were asked in several ways (the stages of a pipeline, or other words in "
            "retry_failed), so there is no one conversation of them. Ask with "
            "df.llm.process(...), and write what it returns."
        )
    for question in asked:
        _check(frame, question)
    for question in asked:
        for start in range(0, len(frame), CHUNK_ROWS):
            yield from _turns(frame.iloc[start : start + CHUNK_ROWS], question)


def _check(frame: pd.DataFrame, asked: Asked) -> None:
    answers = column_names(asked.answer, asked.into)
    shown = [*asked.prompt.columns, *([] if asked.value is None else [asked.value])]
    for name in answers:
        if place_in(frame, name) is None:
            raise ColumnError(f"The frame has no column {name!r} any more, with the answers.")
    for name in shown:
        if name in answers:
            raise ColumnError(
                f"The prompt shows the column {name!r}, and the answers have taken its place: "
                "what was asked is not known any more. Ask with another into=."
            )
        if name not in frame.columns:
            raise ColumnError(f"The frame has no column {name!r} any more, which the prompt shows.")


def _turns(frame: pd.DataFrame, asked: Asked) -> Iterator[bytes | None]:
    cells = {label: frame[label].tolist() for label in asked.prompt.columns}
    value = None if asked.value is None else frame[asked.value].tolist()
    rendered = asked.prompt.render_slice(cells, 0, len(frame), value=value)
    for row, (messages, answer) in enumerate(zip(rendered, _answers(frame, asked), strict=True)):
        if answer is None or not isinstance(messages, list):
            yield None
            continue
        try:
            said = asked.answer.written(answer)
        except (CallError, ValueError, TypeError, AttributeError, LookupError) as error:
            why = error.message if isinstance(error, CallError) else "it has another type"
            raise ColumnError(
                f"Row {frame.index[row]!r}: what stands in {_where(asked)} is no answer of the "
                f"type {asked.answer.label}: {why}. Correct it, or make it NA to leave the row out."
            ) from None
        yield to_json({"messages": [*messages, {"role": "assistant", "content": said}]})


def _answers(frame: pd.DataFrame, asked: Asked) -> list[Any]:
    """The answers of rows as cells, None where there is none."""
    places: list[Any] = [place_in(frame, name) for name in column_names(asked.answer, asked.into)]
    columns = [cells_of(frame.iloc[:, place]) for place in places]
    if asked.answer.fields is None:
        return columns[0]
    fields = [field.name for field in asked.answer.fields]
    return [
        None if all(cell is None for cell in row) else dict(zip(fields, row, strict=True))
        for row in zip(*columns, strict=True)
    ]


def _where(asked: Asked) -> str:
    names = column_names(asked.answer, asked.into)
    return repr(names[0]) if len(names) == 1 else "the columns of the answer"
