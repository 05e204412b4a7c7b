"""Values that pydantic takes for another one, wherever in a type they may stand.

Of plain fields and lists the shape says what is read there, and `answer_parser` looks. In a union, a
tuple, a key or a model inside itself pydantic alone knows. It takes "2019" for a moment in 1970, so
that of `datetime | str` this would be the answer; true for the choice 1, and 1 for the choice true;
and for a decimal number the float that is next to it. Texts in which one of these may be are read
by a second validator, which takes none of them.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextvars import ContextVar
from enum import Enum
from functools import cached_property
from typing import Any, Final, cast

from pydantic_core import PydanticCustomError, SchemaValidator, core_schema

from lionproc.model.core_parts import Part, parts_within
from lionproc.model.exact_numbers import may_be_inexact, written_in
from lionproc.model.guarded import Reader, Recast, Watch, guarded
from lionproc.model.names import has_several_names
from lionproc.model.python_patterns import safe_schema, validator_from

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
        self.makes_python = not kinds.isdisjoint(_BEFORE)
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
    made_by = getattr(part.get("function", {}).get("function"), "__module__", None) or ""
    if made_by.partition(".")[0] == "pydantic":
        return False
    within = part.get("schema")
    return within is None or any(each.get("type") in _OBJECTS for each in parts_within(within))


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
        yield from map(_held, node["expected" if node["type"] == "literal" else "members"])


def _held(member: object) -> object:
    return member.value if isinstance(member, Enum) else member


def _reader(node: Part, keys: bool) -> Reader | None:
    """What reads a part in place of pydantic; None where pydantic does it well."""
    kinds = kinds_of_number(_chosen(node))
    if bool in kinds:
        return _key if keys else _choice
    if kinds:
        return None if keys else _choice
    kind = node.get("type")
    return _READERS.get(kind) if isinstance(kind, str) else None


def _reader_of_python(node: Part, keys: bool) -> Reader | None:
    """Likewise, where a validator of the user's may have made Python of what is JSON.

    Strict as we are, pydantic takes no text for a date then, nor a list for a set.
    """
    kind = node.get("type")
    strict = _STRICT_KEYS if keys else _STRICT
    return _reader(node, keys) or (_as_json if kind in strict else None)


def guarded_python(schema: object, watch: Watch | None = None) -> object:
    """A core schema that reads so what validators of the user's may have made of JSON.

    Args:
        schema: It.
        watch: Says what is told of its parts.
    """
    return guarded(safe_schema(schema), _reader_of_python, watch, _RECASTS)


def _from(kind: type, made_of: Callable[[Any], object]) -> Recast:
    """Reads a list or a dict as another container, whatever is in it."""

    def recast(part: Part) -> Part:
        def read(value: object, handler: Callable[[object], object]) -> object:
            return handler(made_of(value) if type(value) is kind else value)

        return dict(core_schema.no_info_wrap_validator_function(read, _any(part)))

    return recast


def _from_list(kind: type) -> Recast:
    """Reads a list as a set: item by item, for 1 is true once it is in one."""

    def recast(part: Part) -> Part:
        bounds = {name: part[name] for name in ("min_length", "max_length") if name in part}
        whole = SchemaValidator(_any({"type": part["type"], **bounds}))
        items: Any = part.get("items_schema", core_schema.any_schema())

        def read(value: object, handler: Callable[[object], Any]) -> object:
            if isinstance(value, (list, set, frozenset)):
                value = kind(handler(list(cast("Any", value))))
            return whole.validate_python(value, strict=True)

        return dict(
            core_schema.no_info_wrap_validator_function(read, core_schema.list_schema(items))
        )

    return recast


def _text(part: Part) -> Part:
    """In a union a text counts as much as what is read of one, as it does in JSON."""
    return dict(core_schema.chain_schema([_any(part), core_schema.any_schema()]))


def _any(part: Any) -> Any:
    return part


def _time(value: Any, read: Callable[[object], object]) -> object:
    if isinstance(value, str) and DIGITS.fullmatch(value.strip()):
        raise PydanticCustomError("time_as_number", NOT_AS_NUMBER)
    return read(value)


def _decimal(value: Any, read: Callable[[object], object]) -> object:
    if isinstance(value, float):
        written = _written.get().get(value, value)
        if written is None:
            raise PydanticCustomError("decimal_digits", "should be a text, for all of its digits")
        return read(written)
    return read(value)


def _choice(value: Any, read: Callable[[object], object]) -> object:
    member = read(value)
    held = _held(member)
    if held == value and isinstance(held, bool) is not isinstance(value, bool):
        raise PydanticCustomError("choice_as_number", _EQUAL)
    return member


def _key(value: Any, read: Callable[[object], object]) -> object:
    member = read(value)
    if isinstance(_held(member), bool) and value not in {"true", "false"}:
        raise PydanticCustomError("choice_as_number", _EQUAL)
    return member


def _as_json(value: object, read: Callable[[object], object]) -> object:
    return read(value)


_RECASTS: Final[Mapping[str, Recast]] = {
    "tuple": _from(list, tuple),
    "deque": _from(list, deque),
    "ordered-dict": _from(dict, OrderedDict),
    "counter": _from(dict, Counter),
    "set": _from_list(set),
    "frozenset": _from_list(frozenset),
    "str": _text,
}
_READERS: Final = {**dict.fromkeys(_TEMPORAL, _time), "decimal": _decimal}
