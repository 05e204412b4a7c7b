"""Numbers in a reply as they are written, where a float would hold another one.

Readers of JSON make a float of every number with a point or an exponent. It has 15 to 17 digits, so
that of 12345678901234567.25 is 12345678901234568, which a column of decimals would then show as if
the model had said it. Such a number is given as text, which pydantic reads digit by digit.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any

from lionproc.model.shape import DecimalNumber, Integer, List, Map, Record, Shape, inside, walk

__all__ = ["has_exact_numbers", "with_exact_numbers"]

# 15 digits and a point always fit; an exponent may be too large or too small.
_PERHAPS_INEXACT = re.compile(r"[0-9.]{16,}|[0-9][eE]")
# The same for a text in which all of these digits look alike, told in a tenth of the time.
_ALIKE = bytes.maketrans(b"123456789.E", b"0000000000e")
_MANY_DIGITS, _EXPONENT = b"0" * 16, b"0e"
_MOST = 100_000  # numbers of that kind: no answer has more values, see `effort.py`
_SURELY_EXACT = 16  # characters of a number without an exponent
_LONGEST = 1000  # characters of a number that is looked at; no column holds a longer one
_MOST_DIGITS = 20  # of a whole number: 64 bits have no more


class _Rounded(float):
    """A float that is another number than the one that was written."""

    written: str


def has_exact_numbers(shape: Shape) -> bool:
    """Whether there are numbers in a shape that are kept to the last digit."""
    return any(isinstance(part, DecimalNumber | Integer) for part in walk(shape))


def with_exact_numbers(text: str, shape: Shape) -> str:
    """JSON text whose decimals and whole numbers lose nothing when they are read.

    Args:
        text: What may be JSON, without a key that occurs twice.
        shape: The shape of what it holds.

    Returns:
        The text itself where a float holds all of its numbers, or where it is no JSON.
    """
    if not _may_be_inexact(text):
        return text
    rounded: list[_Rounded] = []

    def read(written: str) -> float:
        number = float(written)
        if (len(written) <= _SURELY_EXACT and "e" not in written.lower()) or _is(number, written):
            return number
        rounded.append(_Rounded(number))
        rounded[-1].written = written
        return rounded[-1]

    try:
        value = json.loads(text, parse_float=read)
    except (ValueError, RecursionError):
        return text
    return json.dumps(_exact(shape, value)) if rounded else text


def _may_be_inexact(text: str) -> bool:
    """Whether a number may be in a text that no float holds, and no more than can be looked at."""
    alike = text.encode().translate(_ALIKE)
    if _MANY_DIGITS not in alike and _EXPONENT not in alike:
        return False  # as nearly always
    return 0 < sum(1 for _ in islice(_PERHAPS_INEXACT.finditer(text), _MOST + 1)) <= _MOST


def _is(number: float, written: str) -> bool:
    if len(written) > _LONGEST:
        return False
    try:
        return Decimal(written) == Decimal(repr(number))
    except InvalidOperation:  # an exponent that nothing holds
        return False


def _exact(shape: Shape | None, value: Any) -> Any:
    match shape:
        case DecimalNumber() if isinstance(value, _Rounded):
            return value.written
        case Integer() if isinstance(value, _Rounded):
            return _whole(value)
        case List() if isinstance(value, list):
            return [_exact(shape.item, each) for each in value]
        case Record() | Map() if isinstance(value, dict):
            return {key: _exact(inside(shape, key), each) for key, each in value.items()}
        case _:
            return value


def _whole(value: _Rounded) -> float | int | str:
    """The whole number that was written; what is none is left as text, which is none either."""
    try:
        written = Decimal(value.written[:_LONGEST])
        if written.adjusted() < _MOST_DIGITS and written == written.to_integral_value():
            return int(written)
    except InvalidOperation:
        pass
    return value.written
