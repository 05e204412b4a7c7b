"""Data as JSON, and as JSON gives it back: what rows of a frame, models and answers may hold.

`df.to_dict("records")` has times, missing values of several kinds, bytes, numpy's and pandas' own
scalars, and keys that are numbers. Each is written as `df.llm.process` shows it in a prompt.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import os
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from functools import lru_cache, singledispatch
from typing import Any, TypeAlias

import numpy as np
import orjson
from pydantic import BaseModel, RootModel, TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError

from lionproc.model.set_order import in_order, place_of

__all__ = ["DEEPEST", "WRITABLE", "exact", "plain", "plain_field", "to_json", "written_name"]

WRITABLE = "Give texts, numbers, times, lists and dicts."

_DAY, _NO_TIME, _SPAN = dt.timedelta(days=1), dt.timedelta(0), TypeAdapter(dt.timedelta)
_SHORT_FLOATS = (np.float16, np.float32)
_WHOLE = range(-(2**63), 2**64)  # integers that JSON readers keep as they are
DEEPEST = 200
_SHOWN = 100  # characters of a key in the way to a value
_Way: TypeAlias = "tuple[_Way, str | int] | None"  # to a value: that to what it is in, and its key
"""Lists and objects in one another that can be written, whatever is in them; orjson writes 254 of what
it knows by itself."""


def plain(value: Any, *, given: bool = False) -> Any:
    """A value as JSON would give it back: models become dicts, enums their values.

    Args:
        value: Anything that `to_json` takes.
        given: It is what a user gives: half a character in it is an error and not replaced.

    Raises:
        TypeError: It cannot be JSON; the message says which part, by keys and places alone.

    Example:
        >>> plain({"day": dt.date(2024, 1, 2), 7: float("nan"), "raw": b"text"})
        {'day': '2024-01-02', '7': None, 'raw': 'text'}
    """
    return orjson.loads(_written(value, _whole if given else _sound))


def plain_field(value: object, name: str) -> object:
    """A field of an answer, as `plain` has it there.

    Args:
        value: A model, a dataclass or a dict; None for no answer.
        name: The field's name in Python, whatever it is written under. One that is left out where
            the answer is written (`exclude=True`) is written by itself.

    Raises:
        TypeError: It cannot be JSON.
    """
    while isinstance(value, RootModel):
        value = value.root
    written, key = plain(value), written_name(type(value), name)
    if isinstance(written, Mapping) and key in written:
        return written[key]
    if value is None or isinstance(value, Mapping):
        return plain((value or {}).get(name))
    return plain(getattr(value, name))


def written_name(kind: object, name: str) -> str:
    """What a field of a type is called where `plain` writes it.

    Args:
        kind: The type, or a JSON Schema.
        name: The field's name in Python.
    """
    if not isinstance(kind, type) or not issubclass(kind, BaseModel):
        return name
    field = kind.model_fields.get(name)
    return name if field is None else field.serialization_alias or name


def exact(value: object) -> object:
    """A value as `plain` has it, but with whole numbers of any size as numbers.

    Args:
        value: As for `plain`.

    Raises:
        TypeError: It cannot be JSON.

    Example:
        >>> exact(10**20), plain(10**20)
        (100000000000000000000, '100000000000000000000')
    """
    try:
        return orjson.loads(orjson.dumps(value, default=_part))
    except TypeError:
        made = json.dumps(_tree(value, None, _sound, whole=int))
        return json.loads(made, parse_constant=lambda _: None)


def to_json(value: Any) -> bytes:
    """JSON for a value: pydantic models, enums, times, bytes, numpy and pandas included.

    Missing values (None, NaN, NaT, NA) are null. Bytes are read as UTF-8. Integers that most
    readers of JSON would round are written as text.

    Args:
        value: Any of these, and dicts and lists of them.

    Raises:
        TypeError: It cannot be JSON; the message says which part, by keys and places alone.
    """
    return _written(value, _sound)


def _written(value: Any, text: Callable[[str], str]) -> bytes:
    try:
        return orjson.dumps(value, default=_part)
    except TypeError:
        # Odd keys, half characters, large integers, or what cannot be: with its place
        return orjson.dumps(_tree(value, None, text))


def _readable(number: int) -> int | str:
    return number if number in _WHOLE else _digits(number)


def _digits(number: int) -> str:
    return str(Decimal(number))  # all of them: Python by itself prints no more than some thousand


def _tree(
    value: object,
    at: _Way,
    text: Callable[[str], str],
    whole: Callable[[int], int | str] = _readable,
    depth: int = 0,
) -> object:
    """A value of plain dicts, lists, texts, numbers and None."""
    if depth > DEEPEST:
        raise TypeError(f"more than {DEEPEST} levels, one in the other, are not JSON")
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return whole(int(value))
    if isinstance(value, Mapping):
        return _dict(value, at, text, whole, depth)
    if isinstance(value, (list, tuple)):
        return [_tree(part, (at, n), text, whole, depth + 1) for n, part in enumerate(value)]
    try:
        part = text(str.__str__(value)) if isinstance(value, str) else _part(value)
    except (TypeError, ValueError) as error:  # Python's own, of the digits of a fraction
        raise TypeError(f"{error} (at {_told(at)})" if at else str(error)) from None
    return part if isinstance(value, str) else _tree(part, at, text, whole, depth + 1)


def _dict(
    value: Mapping[object, object],
    at: _Way,
    text: Callable[[str], str],
    whole: Callable[[int], int | str],
    depth: int,
) -> dict[str, object]:
    made: dict[str, Any] = {}
    for key, inner in value.items():
        try:
            name = text(_key(key))
        except ValueError as error:  # of the digits in a tuple
            raise TypeError(f"{error} (in a key{_told(at, ' at ')})") from None
        if name in made:
            raise TypeError(f"two keys{_told(at, ' at ')} are {name!r} as text; rename one")
        made[name] = _tree(inner, (at, name), text, whole, depth + 1)
    return made


def _told(at: _Way, before: str = "") -> str:
    """A way, with this before it; nothing of none."""
    steps: list[str] = []
    while at is not None:
        at, step = at
        steps.append(f"[{(step[:_SHOWN] if isinstance(step, str) else step)!r}]")
    return before + "".join(reversed(steps)) if steps else ""


@singledispatch
def _part(value: Any) -> object:
    """What a value that JSON does not know is written as.

    Raises:
        TypeError: It has no form in JSON.
    """
    kind = type(value)
    if kind.__module__.partition(".")[0] == "pandas":  # the service layer works without it
        if kind.__name__ == "NAType":
            return None
        if kind.__name__ in {"Period", "Interval"}:
            return str(value)
        if kind.__name__ != "Series" and hasattr(value, "tolist"):  # an array; a Series is no cell
            return value.tolist()
    made = value.item() if isinstance(value, np.generic) else value
    if made is not value and not isinstance(made, (np.generic, complex)):
        return made
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if not isinstance(made, (complex, Iterator)):
        # Whatever else pydantic reads from JSON it can write: addresses, patterns, fractions.
        with contextlib.suppress(PydanticSerializationError, PydanticUserError):
            adapter = _adapter(kind)  # type: ignore[arg-type]  # mypy takes no type for hashable
            written = adapter.dump_python(value, mode="json")
            if written is not value:
                return in_order(value, written)
    raise TypeError(f"not JSON serializable: {kind.__name__}")


@lru_cache(64)
def _adapter(kind: type) -> TypeAdapter[object]:
    return TypeAdapter(kind)


@_part.register(dt.date)  # datetime and Timestamp are dates too, and so is what pandas has for none
@_part.register(dt.time)
def _time(value: dt.date | dt.time) -> object:
    return value.isoformat() if value == value else None  # noqa: PLR0124


@_part.register(bytes)
@_part.register(bytearray)
@_part.register(memoryview)
def _bytes(value: bytes | bytearray | memoryview) -> object:
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        raise TypeError("bytes that are not UTF-8 are not JSON; decode them first") from None


@_part.register(set)
@_part.register(frozenset)
def _set(value: set[object] | frozenset[object]) -> object:
    return sorted(value, key=place_of)


@_part.register(np.datetime64)
@_part.register(np.timedelta64)
def _numpy_time(value: np.datetime64 | np.timedelta64) -> object:
    return None if np.isnat(value) else str(value)  # orjson makes a day in 1677 of NaT


@_part.register(np.floating)
def _numpy_number(value: object) -> object:
    return float(str(value))  # 1.1 of 32 bits is 1.1, and not 1.100000023841858


@_part.register(np.ndarray)
def _array(value: Any) -> Any:
    if value.dtype in _SHORT_FLOATS:
        value = value.astype(str).astype(float)
    return [_part(each) for each in value] if value.dtype.kind in "mM" else value.tolist()


@_part.register(BaseModel)
def _model(value: BaseModel) -> object:
    return in_order(value, value.model_dump(mode="json", by_alias=True))


_part.register(Mapping, dict)
_part.register(tuple, list)
for _kind in (Decimal, os.PathLike):
    _part.register(_kind, str)


@_part.register(dt.timedelta)
def _span(value: dt.timedelta) -> str:
    """As Python writes it, but for what is below zero: of "-1 day, 23:00:00" pydantic makes 47 hours."""
    if value >= _NO_TIME or not value % _DAY:
        return str(value)
    return str(_SPAN.dump_python(value, mode="json"))


def _key(key: object) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, bool):
        return orjson.dumps(key).decode()
    if isinstance(key, int):
        return _digits(key)
    return str(key if isinstance(key, (float, tuple)) else _part(key))


def _sound(text: str) -> str:
    """The text, with U+FFFD for half characters, which no request can carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _whole(text: str) -> str:
    """The text itself.

    Raises:
        TypeError: There is half a character in it.
    """
    if _sound(text) != text:
        raise TypeError("a text with half a character (a lone surrogate) is not JSON")
    return text
