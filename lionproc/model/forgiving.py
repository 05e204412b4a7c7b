"""What has one reading only and is forgiven, though a strict reading takes it for wrong.

Where a type is plain, `answer_parser` mends the text of a reply and reads it again: 3.0 for an
integer, a choice that differs in case. It cannot where validators of the user's stand in front of
what is read. One of them may have something else in place of what cannot be read, so that nobody
hears that it was wrong; another has made a text of its own, which is not where the reply has one.
There each value is read strictly first, and then as pydantic reads it by itself, where that leaves
no doubt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final, TypeAlias

from pydantic_core import ValidationError

from lionproc.model.core_parts import Part
from lionproc.model.guarded import MORE_CHANGED, MOST_CHANGED, Ask, Counted, Reader

__all__ = ["folded", "forgiving", "held", "texts_meant"]

_Lax: TypeAlias = Callable[[Any, Ask], object]
_MOST_EXACT: Final = 2**53  # beyond it, a float is not the number that was written


class _NoReadingError(ValueError):
    """A value has no reading, or more than one."""


def folded(text: str) -> str:
    """A text without case and outer whitespace."""
    return text.strip().casefold()


def texts_meant(members: Iterable[object]) -> dict[str, str | None]:
    """The member that each text means, once it is `folded`; None where it could be two.

    A text is looked up and not held against each member: there may be thousands, and it may have
    millions of characters.

    Args:
        members: Of a choice, of any types.
    """
    made: dict[str, str | None] = {}
    for member in members:
        if isinstance(member, str):
            name = folded(member)
            made[name] = None if name in made else member
    return made


def held(member: object) -> object:
    """What a reply has for a member of a choice."""
    return member.value if isinstance(member, Enum) else member


def forgiving(part: Part, strictly: Reader | None) -> Reader | None:
    """What reads a part strictly, and then what has one reading only.

    Args:
        part: Of a core schema.
        strictly: What reads it in place of pydantic; None where pydantic does it.

    Returns:
        None where nothing is forgiven, and pydantic reads it.
    """
    lax = _lax(part)
    if lax is None:
        return strictly
    first = strictly or _READ.get(part["type"], _as_it_is)
    exactly = _exact_kind(part)

    def reads(value: object, ask: Ask) -> object:
        if type(value) is exactly:
            return value
        try:
            return first(value, ask)
        except ValidationError as wrong:
            try:
                return Counted(lax(value, ask), MOST_CHANGED)
            except ValueError:  # of pydantic, too
                raise wrong from None

    return reads


def _as_it_is(value: object, ask: Ask) -> object:
    return ask(value)


def _float(value: object, ask: Ask) -> object:
    made = ask(value)
    return Counted(made, MORE_CHANGED) if isinstance(value, int) else made


def _exact_kind(part: Part) -> type | None:
    """Of which type all values are read as they are; None where that depends on the value."""
    if part.keys() <= {"type", "metadata", "ref", "strict"}:
        return _EXACT.get(part["type"])
    return None


def _lax(part: Part) -> _Lax | None:
    kind = part["type"]
    if kind in ("literal", "enum"):
        return _choice([held(m) for m in part["expected" if kind == "literal" else "members"]])
    return _LAX.get(kind)


def _integer(value: object, ask: Ask) -> object:
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MOST_EXACT:
        return ask(int(value))
    return _text(value, ask)


def _number(value: object, ask: Ask) -> object:
    made = _text(value, ask)
    if not math.isfinite(made):  # type: ignore[arg-type]
        raise _NoReadingError
    return made


def _text(value: object, ask: Ask) -> object:
    if not isinstance(value, str):
        raise _NoReadingError
    return ask(value, strict=False)


def _flag(value: object, ask: Ask) -> object:
    return ask(value, strict=False)


def _choice(members: Iterable[object]) -> _Lax:
    meant: Mapping[str, str | None] = texts_meant(members)
    numbers = {each for each in members if isinstance(each, int) and not isinstance(each, bool)}

    def choice(value: object, ask: Ask) -> object:
        if isinstance(value, float) and value.is_integer() and int(value) in numbers:
            return ask(int(value))
        member = meant.get(folded(value)) if isinstance(value, str) else None
        if member is None:
            raise _NoReadingError
        return ask(member)

    return choice


_EXACT: Final[Mapping[str, type]] = {"int": int, "float": float, "bool": bool}
_READ: Final[Mapping[str, Reader]] = {"float": _float}
_LAX: Final[Mapping[str, _Lax]] = {
    "int": _integer,
    "float": _number,
    "bool": _flag,
    **dict.fromkeys(("date", "datetime", "time", "timedelta"), _text),
}
