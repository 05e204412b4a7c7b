"""A template filled with the cells of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from lionproc.errors import CallError, PromptError
from lionproc.frame.assemble import MISSING, Missing
from lionproc.frame.cell import cell_text, is_missing, sound
from lionproc.frame.prompt_function import failed

__all__ = ["LONGEST", "Odd", "filled"]

LONGEST: Final = 2**27  # characters of a prompt; no model reads a tenth of it

Odd: TypeAlias = "dict[int, str | Missing | CallError]"
"""Why rows have no prompt, by their position."""


def filled(
    pattern: str,
    fields: Sequence[Hashable],
    cells: Mapping[Hashable, Sequence[Any]],
    odd: Odd,
    count: int,
    *,
    skip: bool,
) -> list[str]:
    """The prompts of rows.

    Args:
        pattern: The template for the % operator.
        fields: What fills it, in order; the same may come again.
        cells: The cells of each of them.
        odd: Takes why rows have none; their texts mean nothing then.
        count: How many rows there are.
        skip: Whether a row that lacks a cell is skipped; else it shows an empty text there.

    Returns:
        A text for each row.
    """
    times = Counter(fields)
    texts = {field: _texts(field, cells[field], odd, skip=skip) for field in times}
    _refuse_long_ones(texts, times, odd, count)
    columns = [texts[field] for field in fields]
    rows = zip(*columns, strict=True) if columns else [()] * count
    return [sound(pattern % row) for row in rows]


def _refuse_long_ones(
    texts: Mapping[Hashable, list[str]], times: Mapping[Hashable, int], odd: Odd, count: int
) -> None:
    """A short template that shows a long cell again and again is a prompt that fills the memory."""
    longest = (times[field] * max(map(len, column), default=0) for field, column in texts.items())
    if sum(longest) <= LONGEST:
        return
    for row in range(count):
        size = sum(times[field] * len(column[row]) for field, column in texts.items())
        if size > LONGEST:
            odd[row] = failed(f"the prompt would have {size:,} characters for this row")
            for column in texts.values():
                column[row] = ""


def _texts(field: Hashable, column: Sequence[Any], odd: Odd, *, skip: bool) -> list[str]:
    texts: list[str] = []
    add = texts.append
    for position, cell in enumerate(column):
        if type(cell) is str:
            add(cell)
            continue
        text = ""
        if issubclass(type(cell), CallError):  # isinstance() asks the cell
            odd[position] = cell
        elif is_missing(cell):
            if skip:
                odd.setdefault(position, MISSING)
        else:
            try:
                text = cell_text(cell)
            except PromptError as error:
                odd[position] = failed(f"the cell of {field!r} cannot be written as text ({error})")
        add(text)
    return texts
