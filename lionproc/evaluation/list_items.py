"""The items of lists that a person wrote, made what those of the answers are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

__all__ = ["kind_of_items", "read_items"]

# A file has texts and JSON's numbers for them. A bool is an int, a datetime a date.
_KINDS: Final = (bool, int, float, Decimal, dt.datetime, dt.date, dt.time, dt.timedelta)


def kind_of_items(cells: Iterable[object]) -> type | None:
    """What the items in a column of lists are, where that is no text.

    Args:
        cells: The cells.

    Returns:
        Their type; None where they are texts, records or lists, of several kinds, or there are none.
    """
    kinds = {
        type(item)
        for cell in cells
        if isinstance(cell, (list, tuple))
        for item in cell
        if item is not None
    }
    if len(kinds) != 1:
        return None
    found = kinds.pop()
    return next((kind for kind in _KINDS if issubclass(found, kind)), None)


def read_items(items: list[object], kind: type) -> list[object]:
    """The items as values of a type; as they are where one is none, for what compares them to say.

    Args:
        items: What was written.
        kind: What `kind_of_items` says of the answers.

    Example:
        >>> read_items(["1", "2"], int), read_items(["2020-01-02"], dt.date)
        ([1, 2], [datetime.date(2020, 1, 2)])
    """
    read: Any = TypeAdapter(kind).validate_strings
    try:
        return [item if item is None else read(_text(item)) for item in items]
    except ValidationError:
        return items


def _text(item: object) -> str:
    return str(item).lower() if isinstance(item, bool) else str(item)
