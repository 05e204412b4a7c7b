"""Answers by position become columns with real dtypes, and columns join the frame.

Nothing here looks at the index: answer i belongs to row i, whatever its label, so duplicate
labels, a MultiIndex and an empty frame are no special cases.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from enum import Enum
from operator import itemgetter
from typing import Any, Final, Literal, cast

import pandas as pd
import pyarrow as pa
from pandas.api.extensions import ExtensionArray

from lionproc.errors import ColumnError
from lionproc.frame.answer_arrays import array_of, arrow_of
from lionproc.frame.snapshot import snapshot
from lionproc.model.answer import Answer
from lionproc.model.shape import Shape
from lionproc.model.validate import is_whole

__all__ = [
    "MISSING",
    "Missing",
    "arrow_columns",
    "assemble",
    "check_names",
    "column_names",
    "column_shapes",
    "columns",
    "names_of",
    "place_in",
]


class Missing(Enum):
    """The type of `MISSING`."""

    MISSING = "no answer"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final[Literal[Missing.MISSING]] = Missing.MISSING
"""Stands where a row has no answer: skipped, failed, or not reached."""


def column_names(answer: Answer, into: Hashable | None) -> list[Hashable]:
    """What the output columns will be called. Known before anything is sent.

    Args:
        answer: The answer type.
        into: The column; for models and objects the prefix of the columns, or None for the
            bare field names.

    Returns:
        One name per column, in order.

    Raises:
        ColumnError: One column and no name for it, or a prefix that is no text.
    """
    if answer.fields is None:
        if into is None:
            raise ColumnError(
                f"The answer ({answer.label}) needs a column to go into: add into='...'. "
                "into=None is for models, whose fields name the columns."
            )
        return [into]
    if into is None:
        return [field.name for field in answer.fields]
    if not isinstance(into, str):
        raise ColumnError(
            f"into={into!r} is the start of the names of {len(answer.fields)} columns "
            f"({answer.label}), so it has to be a text, or None for the field names alone."
        )
    return [f"{into}_{field.name}" for field in answer.fields]


def columns(
    answer: Answer, cells: Sequence[Any], into: Hashable | None
) -> dict[Hashable, ExtensionArray]:
    """The arrays of the columns that answers fill.

    Args:
        answer: The answer type.
        cells: One per row, in the order of the rows: the `cell` of what `answer.answered`
            returned, or `MISSING`.
        into: As for `column_names`.

    Returns:
        The arrays by column name, each as long as `cells`. A row without an answer, and an
        answer of None, is NA in all of them. See `lionproc.frame.dtypes` for the dtypes.

    Raises:
        ColumnError: As `column_names`.

    Example:
        >>> mood = Answer.of(Literal["good", "bad"])
        >>> list(columns(mood, ["bad", MISSING], "mood")["mood"])
        ['bad', nan]
    """
    kept = arrow_columns(answer, cells)
    return {
        name: array_of(shape, values)
        for name, shape, values in zip(
            column_names(answer, into), column_shapes(answer), kept, strict=True
        )
    }


def column_shapes(answer: Answer) -> list[Shape]:
    """What each of the columns holds, in order."""
    return [answer.shape] if answer.fields is None else [field.shape for field in answer.fields]


def arrow_columns(answer: Answer, cells: Sequence[Any]) -> list[pa.Array]:
    """The columns that answers fill, as they are kept.

    Args:
        answer: The answer type.
        cells: As for `columns`.

    Returns:
        One array per column, each as long as `cells`.
    """
    present: list[Any] = [None if cell is MISSING else cell for cell in cells]
    if answer.fields is None:
        return [arrow_of(answer.shape, present)]
    names = [field.name for field in answer.fields]
    if not (names and present):
        return [arrow_of(shape, ()) for shape in column_shapes(answer)]
    # One call for all fields of an answer, and one that turns rows into columns.
    taken: Any = itemgetter(*names)
    if len(names) == 1:  # of a single one it would give the bare value
        taken = lambda cell: (cell[names[0]],)  # noqa: E731
    none = (None,) * len(names)
    parts = zip(*(none if cell is None else taken(cell) for cell in present), strict=True)
    return [arrow_of(field.shape, part) for field, part in zip(answer.fields, parts, strict=True)]


def check_names(frame: pd.DataFrame, names: Sequence[Hashable], *, overwrite: bool) -> None:
    """Refuse, before anything is sent, names that are taken or given twice.

    Args:
        frame: The input.
        names: The output columns, of all outputs together.
        overwrite: Whether columns that are there may be replaced.

    Raises:
        ColumnError: A name is no whole text (pandas 3 joins no column to such a one either), occurs
            twice among the new ones, is taken, or is the name of several columns, so that it is not
            clear which to replace.
    """
    for there in frame.columns:
        if isinstance(there, str) and not is_whole(there):
            raise ColumnError(
                f"The column {there!r} has half a character (a lone surrogate) in its name, and no "
                "other can be joined to it. Rename it first."
            )
    for place, name in enumerate(names):
        parts = name if isinstance(name, tuple) else (name,)
        if not all(is_whole(part) for part in parts if isinstance(part, str)):
            raise ColumnError(
                f"A column cannot be called {name!r}: half a character (a lone surrogate) is in it. "
                "Choose another name with into=."
            )
        if name in names[:place]:
            raise ColumnError(
                f"Two output columns would be called {name!r}. Give them different names with "
                "into=; where one is a field of the schema, and the other is of details=, votes= or "
                "confidence=, rename the field, or leave that argument out."
            )
    taken = [name for name in names if name in frame.columns]
    if taken and not overwrite:
        named = "name" if len(names) == 1 else "name, of several fields the prefix,"
        raise ColumnError(
            f"The frame has {_listed(taken)} already. Choose another {named} with into=, or say "
            "overwrite=True to replace the values."
        )
    for name in taken:
        if place_in(frame, name) is None:
            raise ColumnError(
                f"The frame has several columns called {name!r}, so it is not clear which one "
                "to overwrite. Choose another name with into=."
            )


def assemble(
    frame: pd.DataFrame, new: Mapping[Hashable, ExtensionArray], *, overwrite: bool = False
) -> pd.DataFrame:
    """The input with the new columns.

    Args:
        frame: The input, which is not touched.
        new: The arrays by column name, each with one element per row of the frame.
        overwrite: Whether columns that are there are replaced. A replaced column keeps its
            place; new ones follow at the end, in order.

    Returns:
        A frame with the input's index, order, columns and attrs. The input's data is shared,
        not copied, where pandas copies on write.

    Raises:
        ColumnError: As `check_names`.
    """
    check_names(frame, list(new), overwrite=overwrite)
    made = frame.copy(deep=False)
    added = {}
    for name, values in new.items():
        place = place_in(frame, name)
        if place is not None:
            made.isetitem(place, values)  # never writes in place
        else:
            added[name] = values
    if added:
        extra = pd.DataFrame(added, index=frame.index, copy=False)
        levels = frame.columns.nlevels
        if levels > 1:
            padded = [_padded(name, levels) for name in added]
            extra.columns = pd.MultiIndex.from_tuples(padded, names=frame.columns.names)
        # One concat for all of them: insert() in a loop fragments the frame and warns of it.
        made = pd.concat([made, extra], axis=1)
        made.columns.names = frame.columns.names
        # What concat drops: attrs, flags, and what a subclass keeps in `_metadata`.
        return cast(pd.DataFrame, made.__finalize__(frame))  # type: ignore[operator]
    return snapshot(made)  # who writes into it does not write into the input


def names_of(frame: pd.DataFrame, new: Sequence[Hashable]) -> list[Hashable]:
    """What the columns are called when new ones have joined the frame.

    Args:
        frame: The input.
        new: The names of the new columns.

    Returns:
        All names: those of a frame with several levels of them are filled up to as many.
    """
    none: ExtensionArray = pd.array([], dtype="string")
    return list(assemble(frame.iloc[:0], dict.fromkeys(new, none), overwrite=True).columns)


def _listed(names: Sequence[Hashable]) -> str:
    quoted = ", ".join(map(repr, names))
    return f"a column {quoted}" if len(names) == 1 else f"columns {quoted}"


def place_in(frame: pd.DataFrame, name: Hashable) -> int | None:
    """Where the one column of this name is; None if there is none, or several.

    Args:
        frame: A frame; its columns may have several levels, which the name need not fill.
        name: The name.
    """
    key = name if frame.columns.nlevels == 1 else _padded(name, frame.columns.nlevels)
    place = frame.columns.get_loc(key) if key in frame.columns else None
    return place if isinstance(place, int) else None


def _padded(name: Hashable, levels: int) -> tuple[Hashable, ...]:
    """The name of a column in a frame whose columns have several levels."""
    start = name if isinstance(name, tuple) else (name,)
    return (*start, *[""] * (levels - len(start)))
