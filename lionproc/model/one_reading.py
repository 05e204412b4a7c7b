"""Values that pydantic takes for another one, wherever in a type they may stand.

Of plain fields and lists the shape says what is read there, and `answer_parser` looks. In a union, a
tuple, a key or a model inside itself pydantic alone knows. It takes "2019" for a moment in 1970, so
that of `datetime | str` this would be the answer; true for the choice 1, and 1 for the choice true;
and for a decimal number the float that is next to it. Texts in which one of these may be are read
by a second validator, which takes none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextvars import ContextVar
from functools import cached_property
from typing import Any, Final

from pydantic_core import PydanticCustomError

from lionproc.model.core_parts import Part, parts_within
from lionproc.model.exact_numbers import may_be_inexact, written_in
from lionproc.model.forgiving import forgiving, held
from lionproc.model.guarded import Ask, Reader, Recast, Watch, guarded
from lionproc.model.names import has_several_names
from lionproc.model.python_patterns import safe_schema, validator_from
from lionproc.model.recasts import recast

__all__ = [
    "DIGITS",
    "NOT_AS_NUMBER",
    "OneReading",
    "guarded_python",
    "has_dataclasses",
    "kinds_of_number",
    "makes_values",
    "may_be_flags",
    "may_be_numbers",
    "may_be_times",
]

_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
DIGITS: Final = re.compile(_NUMBER)
_DIGIT: Final = re.compile(r"[0-9]")
_QUOTED_DIGITS: Final = re.compile(rf'"\s*{_NUMBER}\s*"')
NOT_AS_NUMBER: Final = "should be written as in ISO 8601, not as a number"
_EQUAL: Final = "should be one of the choices; true is not 1 here, and false is not 0"
_TEMPORAL: Final = frozenset(("date", "datetime", "time", "timedelta"))
_BEFORE: Final = frozenset(("function-before", "function-wrap"))
_OBJECTS: Final = frozenset(
    ("model", "dataclass", "typed-dict", "model-fields", "dataclass-args", "any", "definition-ref")
)
# What is read otherwise of a value of Python.
_STRICT: Final = frozenset(("bytes", "complex", "fraction"))
_STRICT_KEYS: Final = _STRICT | {"bool", "int", "float", "uuid", "enum"}
_written: ContextVar[Mapping[float, str | None]] = ContextVar("written", default={})  # noqa: B039  (never changed)


def may_be_times(text: str) -> bool:
    """Whether JSON text may hold a text of digits, of which pydantic makes a time."""
    return "\\u" in text or _QUOTED_DIGITS.search(text) is not None  # digits may be escaped


def kinds_of_number(choices: Iterable[object]) -> frozenset[type]:
    """Which of bool, int and float are among choices; one of bool is one of int, as in Python."""
    return frozenset(
        kind for choice in choices for kind in (bool, int, float) if isinstance(choice, kind)
    )


def may_be_flags(kinds: AbstractSet[type], text: str) -> bool:
    """Whether JSON text may hold true where 1 is to be chosen: to Python, they are equal.

    Args:
        kinds: The kinds of numbers that are to be chosen from; see `kinds_of_number`.
        text: The text.
    """
    return bool(kinds) and ("true" in text or "false" in text)


def may_be_numbers(kinds: AbstractSet[type], text: str) -> bool:
    """Whether JSON text may hold 1 where true is to be chosen; see `may_be_flags`."""
    return bool in kinds and _DIGIT.search(text) is not None


class OneReading:
    """The validator of a type that takes no value for another one.

    Args:
        schema: The type's core schema.

    Attributes:
        has_decimals: Whether there are decimal numbers in the type.
        makes_python: Whether a validator of it sees what is read before pydantic has read it.
    """

    def __init__(self, schema: object) -> None:
        self._schema = schema
        kinds = set(_kinds(schema))
        self.has_decimals = "decimal" in kinds
        self.makes_python = not kinds.isdisjoint(_BEFORE) or has_own_validators(schema)
        self._has_times = not kinds.isdisjoint(_TEMPORAL)
        self._kinds = kinds_of_number(
            each for node in parts_within(schema) for each in _chosen(node)
        )

    def is_wanted(self, text: str) -> bool:
        """Whether a text may hold what has two readings. Errs on the safe side."""
        return (
            may_be_numbers(self._kinds, text)
            or (self._has_times and may_be_times(text))
            or (self.has_decimals and may_be_inexact(text))
            or may_be_flags(self._kinds, text)
        )

    def validate_json(self, text: str) -> Any:
        """The value, or pydantic's ValidationError."""
        return self._read(self._of_json, text)

    def validate_python(self, text: str) -> Any:
        """The same, where validators of the user's may make Python of it before it is read.

        To pydantic's strict mode no text is a date then, and a validator that has something else in
        place of what cannot be read would have it for each that is right.
        """
        return self._read(self._of_python, text)

    def _read(self, validator: Any, text: str) -> Any:
        token = _written.set(written_in(text) if self.has_decimals else {})
        try:
            return validator.validate_json(text, strict=True)
        finally:
            _written.reset(token)

    @cached_property
    def _of_json(self) -> Any:
        return validator_from(guarded(safe_schema(self._schema), _reader))

    @cached_property
    def _of_python(self) -> Any:
        return validator_from(guarded_python(self._schema))


def has_own_validators(schema: object) -> bool:
    """Whether a type may have something else in place of what cannot be read, or in front of it.

    That are validators of the user's that come before, and `pydantic.OnErrorOmit`; not the
    functions that pydantic itself has in some types.
    """
    return any(
        (part.get("type") in _BEFORE and not _is_pydantics(part))
        or part.get("on_error", "raise") != "raise"
        for part in parts_within(schema)
    )


def makes_values(schema: object) -> bool:
    """Whether a function of the user's may make objects in a type of what a reply does not say.

    One in front of a text or a number makes none, and pydantic's own (of `HttpUrl`, of `Sequence`)
    do not.
    """
    return any(_makes_objects(part) for part in parts_within(schema))


def _makes_objects(part: Part) -> bool:
    kind = part.get("type")
    if not isinstance(kind, str) or kind == "function-after" or not kind.startswith("function-"):
        return False
    if _is_pydantics(part):
        return False
    within = part.get("schema")
    return within is None or any(each.get("type") in _OBJECTS for each in parts_within(within))


def _is_pydantics(part: Part) -> bool:
    """Whether the function of a part is pydantic's own."""
    made_by = getattr(part.get("function", {}).get("function"), "__module__", None) or ""
    return made_by.partition(".")[0] == "pydantic"


def has_dataclasses(schema: object) -> bool:
    """Whether there are dataclasses in a type whose fields have one name each.

    They do not tell which of their fields were said, as models do.
    """
    kinds = set(_kinds(schema))
    return "dataclass" in kinds and "field of several names" not in kinds


def _kinds(schema: object) -> Iterator[str]:
    """The kinds of the parts of a type."""
    for node in parts_within(schema):
        kind = node.get("type")
        if isinstance(kind, str):
            yield kind
        if has_several_names(node):
            yield "field of several names"


def _chosen(node: Part) -> Iterator[object]:
    """What this part lets choose from."""
    if node.get("type") in ("literal", "enum"):
        yield from map(held, node["expected" if node["type"] == "literal" else "members"])


def _reader(node: Part, keys: bool) -> Reader | None:
    """What reads a part in place of pydantic; None where pydantic does it well."""
    kinds = kinds_of_number(_chosen(node))
    if bool in kinds:
        return _key if keys else _choice
    if kinds:
        return None if keys else _choice
    kind = node.get("type")
    return _READERS.get(kind) if isinstance(kind, str) else None


def guarded_python(schema: object, watch: Watch | None = None) -> object:
    """A core schema that reads so what validators of the user's may have made of JSON.

    Args:
        schema: It.
        watch: Says what is told of its parts.
    """
    safe = safe_schema(schema)
    of_python = _OfPython(safe, forgives=has_own_validators(schema))
    return guarded(safe, of_python.reader, watch, of_python.recast)


class _OfPython:
    """How parts are read, where a validator of the user's may have made Python of what is JSON.

    Strict as we are, pydantic takes no text for a date then, nor a list for a set.

    Args:
        schema: A core schema.
        forgives: Whether what has one reading is forgiven in it.
    """

    def __init__(self, schema: object, *, forgives: bool) -> None:
        self._forgives = forgives
        self._kinds: set[int] = set()  # of unions, by their ids
        self._strict: set[int] = set()
        named = _named(schema)
        for union in parts_within(schema):
            if union.get("type") == "union":
                kinds = list(_kinds_of(union, named))
                self._kinds.update(map(id, kinds))
                # What is forgiven might win over a kind that has it as it is.
                if union.get("mode") == "left_to_right" or any(k["type"] == "enum" for k in kinds):
                    self._strict.update(map(id, kinds))

    def reader(self, part: Part, keys: bool) -> Reader | None:
        """As `guarded.Choose`."""
        read = _reader(part, keys)
        if read is None and part.get("type") in (_STRICT_KEYS if keys else _STRICT):
            read = _as_json
        if keys or not self._forgives or id(part) in self._strict:
            return read
        return forgiving(part, read)

    def recast(self, part: Part) -> Recast | None:
        """As for `guarded`."""
        return recast(part, alone=id(part) not in self._kinds)


def _named(schema: object) -> Mapping[str, Part]:
    """The parts of a type that have names, by them."""
    parts = schema["definitions"] if isinstance(schema, dict) and "definitions" in schema else ()
    return {part["ref"]: part for part in parts}


def _kinds_of(union: Part, named: Mapping[str, Part]) -> Iterator[Part]:
    """The kinds of a union: each as it stands there, and what it refers to."""
    for choice in union["choices"]:
        kind = choice[0] if isinstance(choice, tuple) else choice
        yield kind
        if kind.get("type") == "definition-ref":
            yield named[kind["schema_ref"]]


def _time(value: Any, read: Ask) -> object:
    if isinstance(value, str) and DIGITS.fullmatch(value.strip()):
        raise PydanticCustomError("time_as_number", NOT_AS_NUMBER)
    return read(value)


def _decimal(value: Any, read: Ask) -> object:
    if isinstance(value, float):
        written = _written.get().get(value, value)
        if written is None:
            raise PydanticCustomError("decimal_digits", "should be a text, for all of its digits")
        return read(written)
    return read(value)


def _choice(value: Any, read: Ask) -> object:
    member = read(value)
    said = held(member)
    if said == value and isinstance(said, bool) is not isinstance(value, bool):
        raise PydanticCustomError("choice_as_number", _EQUAL)
    return member


def _key(value: Any, read: Ask) -> object:
    member = read(value)
    if isinstance(held(member), bool) and value not in {"true", "false"}:
        raise PydanticCustomError("choice_as_number", _EQUAL)
    return member


def _as_json(value: object, read: Ask) -> object:
    return read(value)


_READERS: Final = {**dict.fromkeys(_TEMPORAL, _time), "decimal": _decimal}
