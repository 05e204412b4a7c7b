"""What is compared: a column of answers and a column of gold, as plain values of a known kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from lionproc.errors import ColumnError, ConfigurationError, did_you_mean
from lionproc.frame.dtypes import cells_of
from lionproc.frame.pandas_hash import has_one_place
from lionproc.model.one_hash import has_one_hash

__all__ = ["Column", "Measure", "check_labels", "column", "measure_of", "one_column", "ordered"]

Measure: TypeAlias = Literal["labels", "numbers", "lists"]
_SHOWN = 100  # characters of a label in a message
_DIGITS = 400  # of the longest decimal number that becomes an int; 1E+999999999 is one, too
_LISTS = (list, tuple, set, frozenset, np.ndarray)
_KINDS: Sequence[tuple[str, tuple[type, ...]]] = (
    ("text", (str,)),
    ("true and false", (bool, np.bool_)),  # before numbers: a bool is an int
    ("numbers", (int, float, Decimal, np.number)),
    ("lists", _LISTS),
)
_MEASURES: dict[str, Measure] = {"numbers": "numbers", "lists": "lists"}
# (gold, answers): what makes the gold comparable.
_WAYS = {
    ("numbers", "true and false"): '.astype("boolean")',
    ("text", "true and false"): '.map({"yes": True, "no": False})',
    ("text", "numbers"): ", by pd.to_numeric",
    ("numbers", "text"): '.map({0: "negative", 1: "positive"})',
    ("true and false", "text"): '.map({False: "no", True: "yes"})',
    ("text", "lists"): '.str.split(", ")',
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column as plain values.

    Attributes:
        name: Its name in the frame.
        cells: One a row, None where there is nothing.
        kinds: What they are, in words.
        categories: What they can be, where the column's type says so.
    """

    name: Hashable
    cells: Sequence[object]
    kinds: frozenset[str]
    categories: tuple[object, ...] | None

    @property
    def is_there(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Where there is a value."""
        return np.fromiter((cell is not None for cell in self.cells), np.bool_, len(self.cells))


def one_column(frame: pd.DataFrame, name: Hashable, argument: str) -> pd.Series[Any]:
    """A column of a frame, by a name that only one has.

    Args:
        frame: The frame.
        name: The name.
        argument: Where it was given, for the message.

    Raises:
        ColumnError: There is none, or there are several; or its cells cannot be told apart in a
            moment.
    """
    if not isinstance(name, Hashable):
        raise ColumnError(
            f"{argument} takes the name of a column, not a {type(name).__name__}. Put it into the "
            "frame first: df.assign(label=...)."
        )
    places = _places_of(name, frame.columns)
    if not places:
        raise ColumnError(
            f"{argument}: the frame has no column {name!r}.{did_you_mean(name, frame.columns)}"
        )
    if len(places) > 1:
        raise ColumnError(
            f"{argument}: {len(places)} columns are called {name!r}, so it is not known which is "
            "meant. Rename one of them."
        )
    found = frame.iloc[:, places[0]]
    if _goes_by_hash(found.dtype) and _takes_long(cells_of(found)):
        raise ColumnError(
            f"{argument}: very many numbers in {name!r} have one hash, so that to tell them apart "
            f'takes hours. As texts it takes a moment: df[{name!r}].astype("string").'
        )
    return found


def _takes_long(cells: list[object]) -> bool:
    """Whether neither Python nor pandas tells them apart in a moment."""
    cells_as_objects: Any = pd.Index(cells, dtype=object, tupleize_cols=False)
    return has_one_hash(cells) or has_one_place(cells_as_objects)


def _goes_by_hash(dtype: Any) -> bool:
    """Whether cells are told apart by hashes of Python's that are the same in each process."""
    if isinstance(dtype, pd.ArrowDtype):
        return bool(pa.types.is_decimal(dtype.pyarrow_dtype))
    return isinstance(dtype, pd.IntervalDtype) or pd.api.types.is_object_dtype(dtype)


def _places_of(name: Hashable, columns: pd.Index[Any]) -> list[int]:
    """Where a name is. Texts are looked up, for all columns of a wide frame may be looked for."""
    if isinstance(name, str) and columns.inferred_type == "string" and columns.is_unique:
        found: Any = columns.get_loc(name) if name in columns else None
        return [] if found is None else [int(found)]
    return [place for place, each in enumerate(columns) if bool(each == name)]


def column(frame: pd.DataFrame, name: Hashable, argument: str) -> Column:
    """A column of a frame as plain values.

    Args:
        frame: The frame.
        name: Its name.
        argument: Where it was given, for messages.

    Raises:
        ColumnError: There is no such column, or there are several.
    """
    series = one_column(frame, name, argument)
    dtype = series.dtype
    categories = None
    if isinstance(dtype, pd.CategoricalDtype):
        categories = tuple(_plain(each) for each in dtype.categories.tolist())
    cells = cells_of(series)
    change = _changes(cells)
    cells = [None if cell is None else _plain(cell) for cell in cells] if change else cells
    return Column(name, cells, _kinds(cells), categories)


def _changes(cells: Iterable[object]) -> bool:
    return not {type(cell) for cell in cells} <= {str, bool, int, list, type(None)}


def _plain(value: object) -> object:
    """A member of an Enum as its value, a number of numpy's as Python's, 3.0 as 3."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, _LISTS):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, (float, Decimal)) and _is_whole(value) else value


def _is_whole(number: float | Decimal) -> bool:
    if isinstance(number, float):
        return number.is_integer()
    # `//` and `%` have an error for more digits than the precision of decimal arithmetic.
    return (
        number.is_finite() and number.adjusted() < _DIGITS and number == number.to_integral_value()
    )


def _kinds(cells: Iterable[object]) -> frozenset[str]:
    return frozenset(_kind(each) for each in {type(cell) for cell in cells} - {type(None)})


def _kind(of: type) -> str:
    return next((kind for kind, types in _KINDS if issubclass(of, types)), f"{of.__name__} objects")


def measure_of(answers: Column, gold: Column) -> Measure:
    """How the two are compared.

    Raises:
        ConfigurationError: There is no gold, or the two are not of one kind.
    """
    if not gold.kinds:
        raise ConfigurationError(
            f"gold: {gold.name!r} has no value in any row, so there is nothing to compare with. "
            "Fill it in for some rows, drawn at random; 100 of them say how many answers are right "
            "to within 10 %."
        )
    able = answers.kinds if answers.categories is None else _kinds(answers.categories)
    able = able or gold.kinds  # not one answer
    if answers.categories is None and (len(able) > 1 or not able <= {kind for kind, _ in _KINDS}):
        raise ConfigurationError(
            f"{answers.name!r} has {_listed(able)}. What can be scored are labels (a choice, text, "
            "true and false), numbers, and lists; of a record, score its fields one by one. "
            '.astype("string") makes labels of anything else.'
        )
    if not gold.kinds <= able:
        found, asked = _listed(gold.kinds - able), _listed(able)
        way = _WAYS.get((found, asked), "")
        raise ConfigurationError(
            f"gold: {gold.name!r} has {found}, and the answers in {answers.name!r} are {asked}, so "
            f"none could be right. Make the gold {asked}"
            + (f": df[{gold.name!r}]{way}" if way else "")
            + "."
        )
    if answers.categories is not None:
        return "labels"
    return _MEASURES.get(next(iter(able)), "labels")


def check_labels(answers: Column, gold: Column) -> None:
    """See to it that every label of the gold is one that could have been answered.

    Raises:
        ConfigurationError: The type of the answers does not have one; the message names it.
    """
    if answers.categories is None:
        return
    able = set(answers.categories)
    strange = Counter(cell for cell in gold.cells if cell is not None and cell not in able)
    if strange:
        named = ", ".join(
            f"{_cut(label)} ({rows:,} {'row' if rows == 1 else 'rows'})"
            for label, rows in strange.most_common(5)
        )
        more = f" and {len(strange) - 5:,} more" if len(strange) > 5 else ""
        raise ConfigurationError(
            f"gold: {gold.name!r} has {named}{more}, which no answer in {answers.name!r} could be."
            f"{did_you_mean(strange.most_common(1)[0][0], answers.categories)} Mend the gold, leave "
            "it empty in those rows, or add the label to schema=. Where it was a possible answer, "
            f'df[{answers.name!r}].astype("string") counts those rows as wrong.'
        )


def _cut(label: object) -> str:
    text = repr(label)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _listed(kinds: Iterable[str]) -> str:
    return " and ".join(sorted(kinds))


def ordered(labels: Iterable[Any]) -> list[object]:
    """Labels of one kind as people list them: texts by the alphabet, false before true."""
    return sorted(labels)
