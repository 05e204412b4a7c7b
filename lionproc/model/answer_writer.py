"""The cell of a column becomes the text of a reply again: `answer_parser` backwards.

For a model that is trained on answers: it is shown each in the very form in which it will be
asked for one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from pydantic_core import to_jsonable_python

from lionproc.engine.json_bounds import read_json
from lionproc.errors import CallError
from lionproc.model.answer_parser import Read
from lionproc.model.shape import Choice, DecimalNumber, Json, List, Map, Record, Shape

__all__ = ["Write", "write_json", "write_text"]

Write: TypeAlias = Callable[[Any], str]


def write_text(cell: str) -> str:
    """An answer that is the text of the reply itself."""
    return cell


def write_json(shape: Shape, on_wire: Shape, read: Read, under: str | None) -> Write:
    """The writer of JSON replies.

    Args:
        shape: The shape of the value, with the names that its columns have.
        on_wire: The same with the names that are used in the JSON.
        read: What reads a reply: what it does not take is not written.
        under: The one property that a bare value is asked for in, None for an object.

    Returns:
        A function from a cell, as `coerce.cell_maker` makes them or as a column gives them back,
        to the text of a reply. It raises `CallError` of kind wrong_shape for a cell that is no
        answer.
    """

    def write(cell: Any) -> str:
        # A field that an answer may lack is NA in its column, as one that is null; which of them
        # may be null, the schema knows.
        try:
            return _checked(_told(shape, on_wire, cell, nulls=True))
        except CallError:
            return _checked(_told(shape, on_wire, cell, nulls=False))

    def _checked(told: object) -> str:
        text = json.dumps(
            told if under is None else {under: told}, ensure_ascii=False, separators=(",", ":")
        )
        read(text)
        return text

    return write


def _told(shape: Shape, on_wire: Shape, cell: Any, *, nulls: bool) -> object:
    """A cell as JSON has it."""
    if cell is None:
        return None
    match shape, on_wire:
        case Record(fields=fields), Record(fields=named):
            told = {
                name: _told(inner, wire, cell[key], nulls=nulls)
                for (key, inner), (name, wire) in zip(fields, named, strict=True)
            }
            return told if nulls else {k: v for k, v in told.items() if v is not None}
        case List(item=item), List(item=wire):
            return [_told(item, wire, each, nulls=nulls) for each in cell]
        case Map(value=value), Map(value=wire):
            pairs = cell.items() if isinstance(cell, Mapping) else cell
            return {key: _told(value, wire, each, nulls=nulls) for key, each in pairs}
        case Json(), _:
            return read_json(cell)
        case Choice(members=members), _ if cell not in members:
            return _unmixed(cell)
        case DecimalNumber(), _:
            return _digits(cell)
        case _:
            return to_jsonable_python(cell)


def _digits(cell: Decimal) -> str:
    """All digits of a decimal without zeros behind them; `normalize` would round to 28 of them."""
    written = format(cell, "f")
    return written.rstrip("0").rstrip(".") if "." in written else written


def _unmixed(cell: object) -> object:
    """A number that stands as text among texts, as Arrow wants it inside a list or a record."""
    try:
        return read_json(str(cell))
    except ValueError:
        return cell  # what reads it says that it is none of the choices
