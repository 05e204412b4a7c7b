"""An answer becomes a cell: plain values that a column of the answer's shape can hold exactly.

Models, enums and sets turn into dicts, their values and lists. What would not fit its column
(an integer beyond 64 bits, a NaN, a decimal with too many places, the surprise of a validator
that returns another type) is a `MisfitError`, found while the reply is read and not when a whole
frame is put together.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import Enum
from math import isfinite
from operator import attrgetter
from pathlib import PurePath
from typing import Any, TypeAlias

from pydantic import BaseModel, RootModel, Secret, SecretBytes, SecretStr
from pydantic_core import PydanticSerializationError, to_jsonable_python

from lionproc.model.held import all_in
from lionproc.model.plain_values import LEAST, MOST, all_fit, shows_what_it_has
from lionproc.model.set_order import in_order
from lionproc.model.shape import (
    Boolean,
    Choice,
    Date,
    DecimalNumber,
    Duration,
    Instant,
    Integer,
    List,
    Map,
    Real,
    Record,
    Shape,
    Text,
    Time,
)

__all__ = ["DECIMAL_DIGITS", "DECIMAL_PLACES", "Cell", "MisfitError", "cell_maker"]

Cell: TypeAlias = Callable[[Any], Any]

DECIMAL_DIGITS = 38  # what Arrow's decimal128 holds
DECIMAL_PLACES = 9  # as in SQL's widest money types; leaves 29 digits before the point
_SECRETS = (SecretStr, SecretBytes, Secret)
_PLACE = Decimal(1).scaleb(-DECIMAL_PLACES)
# All digits count: other arithmetic, `normalize` too, would round to 28 of them.
_EXACT = Context(prec=DECIMAL_DIGITS, traps=[Inexact, InvalidOperation])
_MICROSECOND = dt.timedelta(microseconds=1)


class MisfitError(ValueError):
    """A value that its column cannot hold.

    Args:
        wanted: What was expected there; never the value itself.
        path: Where, from the outside in.
    """

    def __init__(self, wanted: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(wanted)
        self.wanted = wanted
        self.path = path


def cell_maker(shape: Shape) -> Cell:
    """A function that turns one answer of `shape` into what its column holds.

    Args:
        shape: The shape of the answer, or of one field.

    Returns:
        A function from the value (a model, an enum member, a plain value, None) to str, int,
        float, bool, date, datetime, time, timedelta, Decimal, list, dict, list of pairs, or
        None. It raises `MisfitError` for a value that does not fit.
    """
    make = _maker(shape)

    def cell(value: Any) -> Any:
        try:
            return make(value)
        except MisfitError as misfit:
            return _opened(make, value, misfit)

    return cell


def _maker(shape: Shape) -> Cell:
    match shape:
        case Choice(members=members):
            return _choice(members)
        case Instant(zoned=zoned):
            return _utc if zoned else _naive
        case List(item=item):
            return _many(_maker(item))
        case Record(fields=fields):
            return _record({name: _maker(inner) for name, inner in fields})
        case Map(value=value):
            return _pairs(_maker(value))
        case _:
            return _SIMPLE.get(type(shape), _json)


def _text(value: Any) -> str | None:
    if value is None or (type(value) is str and value.isascii()):
        return value
    if isinstance(value, Enum):
        value = value.value
    if not isinstance(value, str):
        value = _jsonable(value)  # a UUID, a URL, a path
        if not isinstance(value, str):
            raise MisfitError("a text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise MisfitError("a text of whole characters (half a surrogate pair found)") from None
    return str(value)


def _integer(value: Any) -> int | None:
    if value is None or (type(value) is int and LEAST <= value <= MOST):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise MisfitError("a whole number")
    if not LEAST <= value <= MOST:
        raise MisfitError("a whole number that fits 64 bits")
    return int(value)


def _real(value: object) -> float | None:
    if value is None or (type(value) is float and isfinite(value)):
        return value
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise MisfitError("a number")
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if not isfinite(number):
        raise MisfitError("a finite number")
    return number


def _flag(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise MisfitError("true or false")


def _day(value: object) -> dt.date | None:
    if value is None or (isinstance(value, dt.date) and not isinstance(value, dt.datetime)):
        return value
    raise MisfitError("a date")


def _utc(value: object) -> dt.datetime | None:
    if value is None:
        return None
    if not isinstance(value, dt.datetime):
        raise MisfitError("a date and time")
    if value.tzinfo is None:
        # No zone is made up: 10:00 in Tokyo is not 10:00 UTC.
        raise MisfitError(
            "a date and time with its offset, such as Z or +02:00 (a type for times "
            "without one is pydantic.NaiveDatetime)"
        )
    try:
        return value.astimezone(dt.UTC)
    except OverflowError:
        raise MisfitError("a date and time that exists in UTC") from None


def _naive(value: object) -> dt.datetime | None:
    if value is None or (isinstance(value, dt.datetime) and value.tzinfo is None):
        return value
    raise MisfitError("a date and time without an offset")


def _clock(value: object) -> dt.time | None:
    if value is None or (isinstance(value, dt.time) and value.tzinfo is None):
        return value
    raise MisfitError("a time of day without an offset")


def _span(value: object) -> dt.timedelta | None:
    if value is None:
        return None
    # The least of 64 bits stands for a gap.
    if not isinstance(value, dt.timedelta) or not (LEAST < value // _MICROSECOND <= MOST):
        raise MisfitError("a duration of less than 292,000 years")
    return value


def _amount(value: object) -> Decimal | None:
    if value is None:
        return None
    if not isinstance(value, Decimal) or not value.is_finite():
        raise MisfitError("a decimal number")
    try:
        return value.quantize(_PLACE, context=_EXACT)
    except ArithmeticError:
        raise MisfitError(
            f"a decimal number with at most {DECIMAL_DIGITS - DECIMAL_PLACES} digits before "
            f"and {DECIMAL_PLACES} after the point"
        ) from None


def _json(value: object) -> str | None:
    if value is None:
        return None
    try:
        text = json.dumps(
            _jsonable(value), allow_nan=False, ensure_ascii=False, separators=(",", ":")
        )
    except (TypeError, ValueError):
        raise MisfitError("a value that JSON can hold") from None
    if "null" in text and any(type(each) is float and not isfinite(each) for each in all_in(value)):
        raise MisfitError("a value that JSON can hold")  # within a model pydantic makes null of it
    return _text(text)


def _jsonable(value: object) -> object:
    if isinstance(value, _SECRETS):
        raise MisfitError("a value that may be shown")  # it would be kept as asterisks
    try:
        written = to_jsonable_python(value, inf_nan_mode="constants", fallback=_path)
        return in_order(value, written)
    except (PydanticSerializationError, ValueError, RecursionError):
        raise MisfitError("a value that JSON can hold") from None


def _path(value: object) -> str:
    """A path that is none of this machine, which is written as one that is."""
    if isinstance(value, PurePath):
        return str(value)
    raise MisfitError("a value that JSON can hold")


_SIMPLE: Mapping[type, Cell] = {
    Text: _text,
    Integer: _integer,
    Real: _real,
    Boolean: _flag,
    Date: _day,
    Time: _clock,
    Duration: _span,
    DecimalNumber: _amount,
}


# Where a value is of this very type and in bounds, it is its own cell.
_KINDS: Mapping[Cell, type] = {_text: str, _integer: int, _real: float, _flag: bool}


def _choice(members: tuple[Any, ...]) -> Cell:
    known = {member: member for member in members}

    def choose(value: object) -> object:
        if value is None:
            return None
        if isinstance(value, Enum):
            value = value.value
            if value is None:  # a member that is None is a gap, as None itself
                return None
        try:
            member = known[value]
        except (KeyError, TypeError):
            member = known.get(str(_jsonable(value)))  # an Enum of dates, say
            if member is None:
                raise MisfitError("one of the choices") from None
        else:
            if isinstance(value, bool) is not isinstance(member, bool):
                raise MisfitError("one of the choices")
        return member

    return choose


def _many(item: Cell) -> Cell:
    def each(values: Any) -> list[Any] | None:
        if values is None:
            return None
        if isinstance(values, str | Mapping | BaseModel) or not hasattr(values, "__iter__"):
            raise MisfitError("a list")
        made: list[Any] = []
        for value in values:
            try:
                made.append(item(value))
            except MisfitError as misfit:
                made.append(_opened(item, value, misfit, (str(len(made)),)))
        if isinstance(values, set | frozenset):
            made.sort(key=repr)  # text hashes differ from run to run, a saved column must not
        return made

    return each


def _record(makers: Mapping[str, Cell]) -> Cell:
    names = tuple(makers)
    items = tuple(makers.items())
    # One call for all the attributes: it takes a third of the time of as many calls.
    taken: Callable[[Any], Any] = attrgetter(*names, "__class__") if names else lambda _: ()
    if any("." in name for name in names):  # there it would look further in
        taken = lambda value: [getattr(value, name) for name in names]  # noqa: E731

    fit_already = all_fit([_KINDS.get(make) for make in makers.values()])
    known: dict[type, bool] = {}  # whether what such an object has is what it shows

    def fields(value: Any) -> dict[str, Any] | None:
        if value is None:
            return None
        kind = type(value)
        shows = known.get(kind)
        if shows is None:
            shows = known[kind] = shows_what_it_has(kind, names)
        if shows:
            held: dict[str, Any] = value.__dict__
            if tuple(held) == names and fit_already(tuple(held.values())):
                return held.copy()
        try:
            inner = list(map(value.get, names)) if isinstance(value, Mapping) else taken(value)
        except AttributeError:
            lacking = next((name for name in names if not hasattr(value, name)), "")
            raise MisfitError("an object with the declared fields", (lacking,)) from None
        if fit_already(tuple(inner[: len(names)])):
            return dict(zip(names, inner, strict=False))
        named = zip(items, inner, strict=False)
        return {name: _made(make, each, name) for (name, make), each in named}

    return fields


def _pairs(item: Cell) -> Cell:
    def pairs(value: object) -> list[tuple[str, object]] | None:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise MisfitError("an object")
        named = [
            (key if isinstance(key, str) else str(_jsonable(key)), inner)
            for key, inner in value.items()
        ]
        return [(name, _made(item, inner, "(a key)")) for name, inner in named]

    return pairs


def _made(make: Cell, value: object, name: object) -> object:
    try:
        return make(value)
    except MisfitError as misfit:
        return _opened(make, value, misfit, (str(name),))


def _opened(make: Cell, value: object, misfit: MisfitError, path: tuple[str, ...] = ()) -> object:
    """What RootModels wrap, one within another, tried after the wrapping did not fit.

    Nothing else is tried again: what stands in ten levels would be read a thousand times.

    Raises:
        MisfitError: That does not fit either; it says where.
    """
    while isinstance(value, RootModel):
        value = value.root
        try:
            return make(value)
        except MisfitError as inner:
            misfit = inner
    raise MisfitError(misfit.wanted, (*path, *misfit.path)) from None
