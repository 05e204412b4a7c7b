"""Whether two values are one: by what they are made of, and not by what they say of themselves.

Python takes True for 1, a member of an enum for its text and noon in Berlin for eleven in London, a
class may compare what it likes, and NaN is unequal to itself.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import deque
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

__all__ = ["same_value"]

_NUMBERS = frozenset((int, float))
_SHOWN = (float, complex, Decimal)  # of which 0.0 equals -0.0, 1.10 equals 1.1, and NaN nothing


def same_value(one: object, other: object) -> bool:
    """Whether two values are of one type and have the same parts, however deep.

    Args:
        one: Of any answer type.
        other: Another one.

    Raises:
        BaseException: Whatever code of a person's class does that is asked whether two are equal.

    Example:
        >>> same_value([{"a": float("nan")}], [{"a": float("nan")}]), same_value({True}, {1})
        (True, False)
    """
    pairs: list[tuple[Any, Any]] = [(one, other)]
    seen: dict[tuple[int, int], object] = {}  # kept, so that nothing else comes to be there
    while pairs:
        pair = one, other = pairs.pop()
        at = (id(one), id(other))
        if one is other or at in seen:
            continue
        if type(one) is not type(other):
            # A default that is no float stands as it is where a float is read.
            if {type(one), type(other)} != _NUMBERS or one != other:
                return False
            continue
        seen[at] = pair
        parts, others = _parts(one), _parts(other)
        if parts is None or others is None:
            if not (repr(one) == repr(other) if isinstance(one, _SHOWN) else one == other):
                return False
        elif parts.keys() != others.keys():
            return False
        else:
            pairs += ((part, others[place]) for place, part in parts.items())
    return True


def _parts(value: Any) -> Mapping[Any, object] | None:
    """What a value is made of, by the places; None for one without parts."""
    if isinstance(value, BaseModel):
        said = value.__dict__  # has properties, too, that somebody has looked at
        own: dict[Any, object] = {
            name: said[name] for name in type(value).model_fields if name in said
        }
        more = {"extra": value.__pydantic_extra__, "private": value.__pydantic_private__}
        return own | {(name,): each for name, each in more.items()}
    if isinstance(value, (dt.datetime, dt.time)) and value.tzinfo is not None:
        return {"there": value.replace(tzinfo=None), "offset": value.utcoffset()}
    if isinstance(value, Mapping):
        return {(type(key), key): each for key, each in value.items()}
    if isinstance(value, (list, tuple, deque)):
        return dict(enumerate(value))
    if isinstance(value, AbstractSet):
        return {(type(each), each): None for each in value}
    held: dict[str, object] = getattr(value, "__dict__", {})
    if dataclasses.is_dataclass(value):
        names = [each.name for each in dataclasses.fields(value) if hasattr(value, each.name)]
        return held | {name: getattr(value, name) for name in names}
    compares = getattr(type(value), "__eq__") is not object.__eq__  # noqa: B009  (for mypy)
    return None if compares or not held else held
