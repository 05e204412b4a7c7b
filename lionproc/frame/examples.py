"""Examples: rows with their answers, shown to the model before each question.

They become turns of a user and an assistant behind the system prompt: what would be asked of such
a row, and the answer in the very form in which the model is asked for one. They are the same for
all rows, so that a provider's prompt cache has them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from enum import Enum
from hashlib import blake2b
from typing import Any

import numpy as np
import orjson
import pandas as pd
from pydantic import BaseModel

from lionproc.errors import CallError, ColumnError, ConfigurationError, PromptError, did_you_mean
from lionproc.frame.assemble import column_names, place_in
from lionproc.frame.cell import is_missing
from lionproc.frame.dtypes import cells_of
from lionproc.frame.prompt import MISSING, Prompt
from lionproc.frame.prompt_function import SYSTEM_ROLES, Message, Writer
from lionproc.model.answer import Answer
from lionproc.model.coerce import MisfitError, cell_maker
from lionproc.model.media import tariff_of, weigh
from lionproc.model.model import Model
from lionproc.model.window import window_of

__all__ = ["Examples", "check_length", "examples_kept", "examples_of"]

_BYTES_PER_TOKEN = 4.0  # of English; other texts take more tokens
_SURELY = 1.2  # times the window: it is a guess
_NO_ANSWER = (CallError, MisfitError, ValueError, TypeError, AttributeError, LookupError)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """What is shown, before it is worded.

    Attributes:
        cells: The cells of the examples by column, or of single cells under None.
        labels: The columns that a prompt may show.
        answers: The answers, as a reply has them.
        names: What each example is called in a message.
        on_missing: As for `process`.
    """

    cells: Mapping[Hashable, Sequence[Any]]
    labels: tuple[Hashable, ...]
    answers: tuple[str, ...]
    names: tuple[str, ...]
    on_missing: Any

    def as_rows(self) -> Examples:
        """The same for a prompt that is shown whole rows, as dicts."""
        rows = [
            dict(zip(self.labels, row, strict=True))
            for row in zip(*(self.cells[label] for label in self.labels), strict=True)
        ]
        return dataclasses.replace(self, cells={None: rows}, labels=())

    def shown_by(self, template: str | Writer, *, each: bool) -> tuple[Message, ...]:
        """The turns, in the words of a prompt.

        Args:
            template: The template or function of the prompt.
            each: Whether it shows single cells.

        Raises:
            ConfigurationError: It cannot be made for an example; the message names it.
        """
        value = self.cells.get(None)
        prompt = Prompt.of(
            template, () if each else self.labels, each=each, on_missing=self.on_missing
        )
        rows = {label: self.cells[label] for label in prompt.columns}
        made = prompt.render_slice(rows, 0, len(self.names), value=value if each else None)
        turns: list[Message] = []
        for name, answer, told in zip(self.names, self.answers, made, strict=True):
            if told is MISSING:
                raise ConfigurationError(
                    f"examples: {name} has no value where the prompt shows one. Give it one, or "
                    "leave the example out."
                )
            if isinstance(told, CallError):
                raise PromptError(f"examples: for {name} {told.message}.") from told.__cause__
            asked = [message for message in told if message["role"] not in SYSTEM_ROLES]
            if not asked or asked[-1]["role"] != "user":
                raise PromptError(
                    f"examples: for {name} the prompt function's messages do not end with one of "
                    "the user, which an answer could follow."
                )
            turns += [*asked, {"role": "assistant", "content": answer}]
        return tuple(turns)


def examples_kept(turns: Sequence[Message]) -> str:
    """How many examples there are and which, in a few characters, for facts and differences."""
    if not turns:
        return "none"
    digest = blake2b(orjson.dumps(list(turns)), digest_size=4).hexdigest()
    return f"{sum(turn['role'] == 'assistant' for turn in turns)} ({digest})"


def check_length(turns: Sequence[Message], model: Model) -> None:
    """Refuse examples that are longer than all that the model reads.

    Args:
        turns: The examples.
        model: Who is asked.

    Raises:
        ConfigurationError: They are, by far enough for an estimate to be sure.
    """
    window = window_of(model)
    if not turns or window is None:
        return
    media = weigh(turns, tariff_of(str(model.model)))
    tokens = media.tokens + (len(orjson.dumps(list(turns))) - media.size) / _BYTES_PER_TOKEN
    if tokens > _SURELY * window:
        raise ConfigurationError(
            f"The examples take about {tokens:,.0f} tokens, and {model.model or model.provider} "
            f"reads {window:,} in all. Take fewer of them, or shorter ones."
        )


def examples_of(
    given: object,
    *,
    answer: Answer,
    into: Hashable | None,
    read: Sequence[Hashable],
    values: Sequence[Hashable],
    on_missing: Any,
) -> Examples:
    """Understand what was given as examples.

    Args:
        given: A frame with the columns of the prompt and of the answer, or pairs of what is asked
            about and the answer.
        answer: The type of the answers.
        into: As for `column_names`.
        read: The columns that the prompt shows, or all that a function may look at.
        values: For a prompt of single cells, what their column may be called.
        on_missing: As for `process`.

    Raises:
        ConfigurationError: They are none; the message names the row and what is wrong with it.
    """
    if isinstance(given, pd.DataFrame):
        cells, said, names = _of_frame(given, answer, into, values)
    elif isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
        cells, said, names = _of_pairs(given, read, each=bool(values))
    else:
        raise ConfigurationError(
            "examples= is a frame with the columns of the prompt and of the answer, or a list of "
            f'pairs like ({{"review": "Fine."}}, "positive"), not {type(given).__name__}.'
        )
    if not names:
        raise ConfigurationError(
            "examples= has no rows. Leave it out to ask without any, or look at what selected them."
        )
    where = f" in {into!r}" if isinstance(given, pd.DataFrame) and into is not None else ""
    return Examples(
        cells=cells,
        labels=tuple(label for label in cells if label is not None),
        answers=tuple(
            _written(answer, each, name, where) for each, name in zip(said, names, strict=True)
        ),
        names=tuple(names),
        on_missing=on_missing,
    )


def _of_frame(
    frame: pd.DataFrame, answer: Answer, into: Hashable | None, values: Sequence[Hashable]
) -> tuple[dict[Hashable, list[Any]], list[Any], list[str]]:
    answers = column_names(answer, into)
    places = [_place(frame, name, "with the answers") for name in answers]
    columns = [cells_of(frame.iloc[:, place]) for place in places]
    said: list[Any] = list(columns[0])
    if answer.fields is not None:
        fields = [field.name for field in answer.fields]
        rows = (dict(zip(fields, row, strict=True)) for row in zip(*columns, strict=True))
        said = [None if all(cell is None for cell in row.values()) else row for row in rows]
    cells: dict[Hashable, list[Any]] = {}
    if values:
        name = next((each for each in values if place_in(frame, each) is not None), values[0])
        cells[None] = frame.iloc[:, _place(frame, name, "with the cells to ask about")].tolist()
    else:
        for place, label in enumerate(frame.columns):
            if place not in places:
                cells[label] = frame.iloc[:, place].tolist()
    return cells, said, [f"row {label!r}" for label in frame.index]


def _place(frame: pd.DataFrame, name: Hashable, what: str) -> int:
    place = place_in(frame, name)
    if place is None:
        raise ColumnError(
            f"examples: there is no one column {name!r} {what}.{did_you_mean(name, frame.columns)} "
            f"If it is called otherwise: examples=frame.rename(columns={{...: {name!r}}})."
        )
    return place


def _of_pairs(
    pairs: Sequence[Any], read: Sequence[Hashable], *, each: bool
) -> tuple[dict[Hashable, list[Any]], list[Any], list[str]]:
    names = [f"example {number}" for number in range(len(pairs))]
    shown, said = [], []
    for name, pair in zip(names, pairs, strict=True):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ConfigurationError(
                f"examples: {name} (counted from 0) is no pair of what is asked about and the "
                'answer, like ({"review": "Fine."}, "positive").'
            )
        shown.append(pair[0])
        said.append(pair[1])
    if each:
        return {None: [_alone(cell) for cell in shown]}, said, names
    rows = [_row(row, read, name) for row, name in zip(shown, names, strict=True)]
    labels = list(dict.fromkeys(label for row in rows for label in row))
    for name, row in zip(names, rows, strict=True):
        for label in labels:
            if label not in row:
                raise ColumnError(f"examples: {name} has no {label!r}, as others have.")
    return {label: [row[label] for row in rows] for label in labels}, said, names


def _alone(cell: Any) -> Any:
    """A cell to ask about, which may be named as the prompt names it."""
    return cell["value"] if isinstance(cell, Mapping) and list(cell) == ["value"] else cell


def _row(given: Any, read: Sequence[Hashable], name: str) -> Mapping[Hashable, Any]:
    """What is asked about in a pair, by column."""
    if isinstance(given, pd.Series):
        given = given.to_dict()
    if not isinstance(given, Mapping) and len(read) == 1:
        return {read[0]: given}  # there is one thing that it can be
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"examples: {name} begins with {type(given).__name__}; it is a dict of the columns that "
            f"the prompt shows: {', '.join(map(repr, read)) or 'none'}."
        )
    return given


def _written(answer: Answer, said: Any, name: str, where: str) -> str:
    """An answer in the form in which the model is asked for it, whatever way it was written."""
    try:
        text = answer.written(_cell(answer, said))
        return answer.written(answer.answered(text).cell)
    except _NO_ANSWER as error:
        if is_missing(said):
            raise ConfigurationError(
                f"examples: {name} has no answer{where}. Give it one, or leave the example out: "
                "examples=frame.dropna()."
            ) from None
        why = error.message if isinstance(error, CallError) else "it has another type"
        raise ConfigurationError(
            f"examples: what {name} has as its answer{where} is none of the type "
            f"{answer.label[:80]}: {why}."
        ) from None


def _cell(answer: Answer, said: Any) -> Any:
    """What somebody wrote as an answer, as a column would hold it."""
    if said is None or (not isinstance(said, (Mapping, list)) and is_missing(said)):
        return None
    if isinstance(said, Enum):
        said = said.value
    if isinstance(said, np.generic):
        said = said.item()
    if isinstance(said, (set, frozenset, tuple)):
        said = list(said)
    if isinstance(said, BaseModel) or dataclasses.is_dataclass(said):
        return cell_maker(answer.shape)(said)
    if answer.plain and not isinstance(said, str):
        raise TypeError("no text")
    return said
