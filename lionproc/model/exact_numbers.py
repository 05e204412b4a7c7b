"""Numbers in a reply as they are written, where a float would hold another one.

Readers of JSON make a float of every number with a point or an exponent. It has 15 to 17 digits, so
that of 12345678901234567.25 is 12345678901234568, which a column of decimals would then show as if
the model had said it. Such a number is given as text, which pydantic reads digit by digit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import orjson

from lionproc.engine.json_bounds import read_json
from lionproc.model.plain_values import LEAST, MOST
from lionproc.model.shape import (
    Choice,
    DecimalNumber,
    Integer,
    Json,
    List,
    Map,
    Record,
    Shape,
    inside,
    walk,
)

__all__ = [
    "LONGEST_FLOAT",
    "dumped",
    "has_exact_numbers",
    "loaded",
    "may_be_inexact",
    "most_long_numbers",
    "with_exact_numbers",
    "written_in",
]

# 15 digits and a point always fit; an exponent may be too large or too small.
_PERHAPS_INEXACT = re.compile(r"[0-9.]{16,}|[0-9][eE]")
# The same for a text in which all of these digits look alike, told in a tenth of the time.
_ALIKE = bytes.maketrans(b"123456789.E", b"0000000000e")
_MANY_DIGITS, _EXPONENT = b"0" * 16, b"0e"
_VERY_MANY_DIGITS = b"0" * 32  # which no float of usual size is written with
LONGEST_FLOAT = 309  # digits before the point, where it is written without an exponent
_MOST = 100_000  # numbers of that kind: no answer has more values, see `effort.py`
_KEPT = 15  # digits that a float has surely (DBL_DIG)
_SURELY_EXACT = 16  # characters of a number without an exponent
_LONGEST = 1000  # characters of a number that is looked at; no column holds a longer one
_ALL_DIGITS = Context(prec=_LONGEST)
_MOST_DIGITS = 20  # of a whole number: 64 bits have no more


class _Rounded(float):
    """A float that is another number than the one that was written."""

    written: str


def has_exact_numbers(shape: Shape) -> bool:
    """Whether there are numbers in a shape that are kept to the last digit."""
    return any(
        isinstance(part, DecimalNumber | Integer | Json)
        or (isinstance(part, Choice) and not all(isinstance(each, str) for each in part.members))
        for part in walk(shape)
    )


def with_exact_numbers(text: str, shape: Shape) -> str:
    """JSON text whose decimals and whole numbers lose nothing when they are read.

    Args:
        text: What may be JSON, without a key that occurs twice.
        shape: The shape of what it holds.

    Returns:
        The text itself where a float holds all of its numbers, or where it is no JSON.
    """
    if not may_be_inexact(text):
        return text
    try:
        value, is_rounded = _loaded(text)
        return dumped(_exact(shape, value)) if is_rounded else text
    except (ValueError, TypeError, RecursionError):  # no JSON, or none that can be checked
        return text


def loaded(text: str) -> Any:
    """What JSON text holds; `dumped` writes its numbers with all their digits.

    Raises:
        ValueError: It is no JSON, or has more numbers than an answer has.
    """
    return _loaded(text)[0]


def dumped(value: Any) -> str:
    """The JSON text of what `loaded` made.

    Raises:
        TypeError: It holds half a character.
    """
    return orjson.dumps(_with_digits(value)).decode()


def _loaded(text: str) -> tuple[Any, bool]:
    """What JSON text holds, and whether a number in it is rounded."""
    is_rounded = False

    def read(written: str) -> float:
        nonlocal is_rounded
        number = float(written)
        if _is(number, written):
            return number
        is_rounded = True
        rounded = _Rounded(number)
        rounded.written = written
        return rounded

    return read_json(text, parse_float=_not_endless(read)), is_rounded


def _with_digits(value: Any) -> Any:
    """The same with the digits of each number that no float, or no 64 bits, hold."""
    if isinstance(value, _Rounded):
        return orjson.Fragment(value.written.encode())
    if type(value) is int and not LEAST <= value <= MOST:
        return orjson.Fragment(str(value).encode())
    if isinstance(value, list):
        return [_with_digits(each) for each in value]
    if isinstance(value, dict):
        return {key: _with_digits(each) for key, each in value.items()}
    return value


def written_in(text: str) -> Mapping[float, str | None]:
    """How the numbers are written in JSON text that no float holds.

    Args:
        text: As for `with_exact_numbers`.

    Returns:
        By the float that each is read as; None for one as which another number is read, too.
    """
    if not may_be_inexact(text):
        return {}
    found: dict[float, str | None] = {}

    def read(written: str) -> float:
        number = float(written)
        before = found.setdefault(number, written)
        if before is not None and before != written and not _are_equal(before, written):
            found[number] = None
        return number

    try:
        read_json(text, parse_float=_not_endless(read))
    except (ValueError, RecursionError):
        return {}
    return {
        number: written
        for number, written in found.items()
        if written is None or not _is(number, written)
    }


def _not_endless(read: Callable[[str], float]) -> Callable[[str], float]:
    """The same reader, for no more numbers than an answer has."""
    left = _MOST

    def reads(written: str) -> float:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError("These are more numbers than an answer has.")
        return read(written)

    return reads


def may_be_inexact(text: str) -> bool:
    """Whether a number may be in a text that no float holds. Errs on the safe side."""
    alike = text.encode().translate(_ALIKE)
    if _MANY_DIGITS not in alike and _EXPONENT not in alike:
        return False  # as nearly always
    return _PERHAPS_INEXACT.search(text) is not None


def most_long_numbers(text: str) -> int:
    """How many numbers of very many digits may be in a text, written out or with an exponent: no more than this.

    Where numbers are compared exactly, as JSON Schema's checker does, each of these takes a hundred times
    as long as another one: 20 to 70 us.
    """
    alike = text.encode().translate(_ALIKE)
    return alike.count(_VERY_MANY_DIGITS) + alike.count(_EXPONENT)


def _is(number: float, written: str) -> bool:
    """Whether every reader makes the number that is written of a float.

    So it is up to 15 digits, of which a float keeps each, and as a whole number below 2**53.
    """
    if len(written) <= _SURELY_EXACT and "e" not in written.lower():
        return True
    if len(written) > _LONGEST or not -(2.0**53) < number < 2.0**53:
        return False
    try:
        exact = Decimal(written)
    except InvalidOperation:  # an exponent that nothing holds
        return False
    return len(exact.normalize(_ALL_DIGITS).as_tuple().digits) <= _KEPT and exact == Decimal(
        repr(number)
    )


def _are_equal(written: str, other: str) -> bool:
    if max(len(written), len(other)) > _LONGEST:
        return False
    try:
        return Decimal(written) == Decimal(other)
    except InvalidOperation:  # an exponent that nothing holds
        return False


def _exact(shape: Shape | None, value: Any) -> Any:
    match shape:
        case DecimalNumber() if isinstance(value, _Rounded):
            return value.written
        case Integer() | Choice() if isinstance(value, _Rounded):
            return _whole(value)
        case List() if isinstance(value, list):
            return [_exact(shape.item, each) for each in value]
        case Record() | Map() if isinstance(value, dict):
            return {key: _exact(inside(shape, key), each) for key, each in value.items()}
        case Json() | None:
            return _with_whole(value)
        case _:
            return value


def _with_whole(value: Any) -> Any:
    """The same with each whole number that no float holds as that number."""
    if isinstance(value, _Rounded):
        whole = _whole(value)
        return whole if isinstance(whole, int) else value
    if isinstance(value, list):
        return [_with_whole(each) for each in value]
    if isinstance(value, dict):
        return {key: _with_whole(each) for key, each in value.items()}
    return value


def _whole(value: _Rounded) -> float | int | str:
    """The whole number that was written; what is none is left as text, which is none either."""
    if len(value.written) > _LONGEST:
        return value.written
    try:
        written = Decimal(value.written)
        if written.adjusted() < _MOST_DIGITS and written == written.to_integral_value():
            return int(written)
    except InvalidOperation:
        pass
    return value.written
