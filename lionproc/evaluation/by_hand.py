"""What a person may write into a cell as gold, and what is read of it."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from lionproc.engine.json_bounds import read_json
from lionproc.engine.unfolding import room_of
from lionproc.errors import ConfigurationError
from lionproc.frame.spreadsheet import harmless

__all__ = [
    "Allowed",
    "allowed_in",
    "check_weight",
    "day_of",
    "digits_of",
    "number_of",
    "room_of_list",
]

_BOOLEANS = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}
# What Excel writes for them in other languages.
_BOOLEANS |= {"wahr": True, "falsch": False, "vrai": True, "faux": False, "verdadero": True}
_BOOLEANS |= {
    "falso": False,
    "vero": True,
    "waar": True,
    "onwaar": False,
    "ja": True,
    "nein": False,
}
_LONGEST = 32_767  # characters of the words; a cell of Excel has no more
_MOST_ROWS = 1e12  # that one row stands for
_DAY = re.compile(r"(\d{1,4})[./-](\d{1,2})[./-](\d{1,4})(?:[ T].*)?")
_SEPARATORS = re.compile(r"[,;\n]")
_ITEM = 64  # bytes of a short text or a number, and of its place in the list
TEXT, WHOLE, NUMBER = "any text", "a whole number", "a number"
LIST, DAY, BOOLEAN = 'a list, as ["a", "b"]', "a day, as 2026-12-31", "true | false"


def number_of(text: str, *, comma: bool) -> float:
    """A number as people and spreadsheets write it: 1234.5, 1,234.5, 1.234,5.

    Args:
        text: The text.
        comma: Whether the comma is the sign before the decimals, where that is not clear.

    Raises:
        ValueError: It is none.
    """
    number = float(digits_of(text, comma=comma))
    if not np.isfinite(number):
        raise ValueError(text)
    return number


def check_weight(weight: float, written: object, row: str) -> None:
    """See to it that a weight may be a number of rows: one of 1e308 would be all that counts.

    Args:
        weight: The number.
        written: As it was given.
        row: Whose it is.

    Raises:
        ConfigurationError: It may not.
    """
    if not 1 / _MOST_ROWS <= weight <= _MOST_ROWS:
        raise ConfigurationError(
            f"{row} has the weight {repr(written)[:40]}, and it is how many rows this one stands "
            "for. Take the number that to_review wrote, or delete the column: then all rows count alike."
        )


def digits_of(text: str, *, comma: bool) -> str:
    """A number as Python writes it, with all of its digits.

    Args:
        text: As people and spreadsheets write it; what is no number becomes something else.
        comma: As for `number_of`.
    """
    made = text.strip().replace("\u00a0", "").replace("\u202f", "").replace(" ", "")
    point, last_comma = made.rfind("."), made.rfind(",")
    if last_comma >= 0 and point >= 0:
        comma = last_comma > point
    elif last_comma >= 0 and made.count(",") == 1 and not re.fullmatch(r"-?\d{1,3},\d{3}", made):
        comma = True
    elif point >= 0 and made.count(".") == 1:
        comma = False
    return made.replace(".", "").replace(",", ".") if comma else made.replace(",", "")


def day_of(text: str, *, month_first: bool = False) -> dt.date:
    """A day as people and spreadsheets write it: 2026-12-31, 31/12/2026, 31.12.26, 12/31/2026.

    Args:
        text: The text; a time behind it is no matter.
        month_first: Whether 01/02/2026 is the second of January.

    Raises:
        ValueError: It is none.
    """
    found = _DAY.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    first, second, third = map(int, found.groups())
    if len(found[1]) == 4:
        return dt.date(first, second, third)
    year = third + 2000 if third < 100 else third
    if second > 12 or (month_first and first <= 12):
        first, second = second, first
    return dt.date(year, second, first)


@dataclass(frozen=True)
class Allowed:
    """What gold may be.

    Attributes:
        words: The same for the person who writes it, and for whoever reads the file; of labels that
            are too many for a cell any text.
        labels: The labels, by their texts, where it is one of some.
    """

    words: str
    labels: Mapping[str, object] | None = None

    @classmethod
    def of_words(cls, words: str) -> Allowed:
        """What `words` meant.

        Raises:
            ValueError: They mean nothing.
        """
        if words in {TEXT, WHOLE, NUMBER, LIST, DAY, BOOLEAN}:
            return cls(words)
        if len(words) > _LONGEST:
            raise ValueError("longer than any that to_review writes")
        labels = _json_list(words) if words.startswith("[") else words.split(" | ")
        return cls(words, {str(label): str(label) for label in labels})

    def read(self, text: str, *, comma: bool, month_first: bool) -> object:
        """A value of what a person wrote.

        Raises:
            ValueError: It is nothing that is allowed.
        """
        if self.labels is None or text not in self.labels:
            text = _as_meant(text)
        if self.labels is not None:
            return self._label(text)
        return _READERS[self.words](text, comma, month_first)

    def _label(self, text: str) -> object:
        """A label as it was written, or the only one that is like it but for case and spaces."""
        assert self.labels is not None  # noqa: S101  (for the type checker)
        if text in self.labels:
            return self.labels[text]
        like = self._alike.get(_folded(text), ())
        if len(like) != 1:
            raise ValueError(text)
        return self.labels[like[0]]

    @cached_property
    def _alike(self) -> Mapping[str, Sequence[str]]:
        """The labels by what they have in common: a stranger's file may have as many as rows."""
        made: dict[str, list[str]] = {}
        for name in self.labels or ():
            made.setdefault(_folded(name), []).append(name)
        return made


def _folded(text: str) -> str:
    made = " ".join(text.split()).casefold()
    whole = made.removesuffix(".0")
    return whole if whole.removeprefix("-").isdecimal() else made  # 3.0 of Excel


def _whole(text: str, comma: bool, _: bool) -> int:
    near = number_of(text, comma=comma)
    if not -(2**63) <= near <= 2**63:
        raise ValueError(text)
    try:
        number = Decimal(digits_of(text, comma=comma))  # a float has 15 digits, and ids have 19
    except ArithmeticError:  # so near to zero that it has no such number
        raise ValueError(text) from None
    if number != int(number) or not -(2**63) <= number < 2**63:  # what a column can hold
        raise ValueError(text)
    return int(number)


def _number(text: str, comma: bool, _: bool) -> float | Decimal:
    """A number, with all of its digits where a float has less."""
    near = number_of(text, comma=comma)
    try:
        number = Decimal(digits_of(text, comma=comma))
    except ArithmeticError:  # so near to zero that it has no such number
        return near
    return near if number == Decimal(repr(near)) else number


def _boolean(text: str, *_: object) -> bool:
    try:
        return _BOOLEANS[text.strip().removesuffix(".0").casefold()]
    except KeyError:
        raise ValueError(text) from None


def _list(text: str, *_: object) -> list[object]:
    if not text.strip().startswith("["):  # a, b; c
        return [part.strip() for part in _SEPARATORS.split(text) if part.strip()]
    return _json_list(text)


def room_of_list(text: str) -> int:
    """Bytes of memory, at the most, that the list in a cell takes once it is read.

    Args:
        text: The cell.
    """
    items = 1 + sum(map(text.count, ",;\n"))
    return items * _ITEM + room_of(text.encode("utf-8", "surrogatepass"))


def _json_list(text: str) -> list[object]:
    try:
        return list(read_json(text))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _as_meant(text: str) -> str:
    """Without the apostrophe that our files put before what would be a formula."""
    bare = text.removeprefix("'")
    return bare if bare != text and harmless(bare) == text else text


_READERS: Mapping[str, Callable[[str, bool, bool], object]] = {
    TEXT: lambda text, *_: text,
    WHOLE: _whole,
    NUMBER: _number,
    LIST: _list,
    DAY: lambda text, _, month_first: day_of(text, month_first=month_first),
    BOOLEAN: _boolean,
}


def allowed_in(answers: pd.Series[Any]) -> Allowed:
    """What gold for a column of answers may be, by the type of the column."""
    dtype = answers.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _one_of(dtype.categories.tolist())
    if pd.api.types.is_bool_dtype(dtype):
        return Allowed(BOOLEAN)
    if pd.api.types.is_integer_dtype(dtype):
        return Allowed(WHOLE)
    if pd.api.types.is_numeric_dtype(dtype):
        return Allowed(NUMBER)
    if isinstance(dtype, pd.ArrowDtype):
        arrow = dtype.pyarrow_dtype
        if pa.types.is_list(arrow):
            return Allowed(LIST)
        if pa.types.is_date(arrow):
            return Allowed(DAY)
    found = {type(cell) for cell in answers.tolist() if isinstance(cell, (list, tuple))}
    return Allowed(LIST if found else TEXT)


def _one_of(labels: Sequence[object]) -> Allowed:
    texts = [str(label) for label in labels]
    words = " | ".join(texts)
    plain = words.split(" | ") == texts and not words.startswith("[") and words not in _READERS
    if not plain or harmless(words) != words:  # JSON begins like no formula: nothing changes it
        words = json.dumps(texts, ensure_ascii=False)
    if len(words) > _LONGEST:  # each row of a review would have them, gigabytes in all
        words = TEXT
    return Allowed(words, dict(zip(texts, labels, strict=True)))
