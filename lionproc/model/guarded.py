"""A type's core schema in which some parts are read by functions, from JSON as all others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from pydantic_core import SchemaValidator, ValidationError, core_schema

from lionproc.model.core_parts import Part, changed, outside

__all__ = [
    "MORE_CHANGED",
    "MOST_CHANGED",
    "Ask",
    "Choose",
    "Counted",
    "Reader",
    "Recast",
    "Told",
    "Watch",
    "guarded",
]


class Ask(Protocol):
    """Asks pydantic how it reads a value of plain JSON types."""

    def __call__(self, said: object, *, strict: bool = True) -> object:
        """What it makes of it, or its ValidationError.

        Args:
            said: The value.
            strict: Whether it is read strictly.
        """


class Counted(NamedTuple):
    """What a reader made of a value, where it counts for less in a union than its kind usually does.

    Attributes:
        value: It.
        weight: `MORE_CHANGED` where it was read as another kind of number, `MOST_CHANGED` where a
            strict reading takes it for wrong.
    """

    value: object
    weight: object


Reader: TypeAlias = Callable[[Any, Ask], object]
"""Reads a value of plain JSON types in place of pydantic, which it may ask."""
Recast: TypeAlias = Callable[[Part], Part]
"""Makes what stands in the place of a part, of which all that is within is made already."""
Choose: TypeAlias = Callable[[Part, bool], "Reader | None"]
"""What reads a part in place of pydantic; None where pydantic does it. True stands for keys of a map."""
Told: TypeAlias = Callable[[object, object], None]
"""Is told of an object, and of what was made of it."""
Watch: TypeAlias = Callable[[Part, Mapping[str, Any]], "Told | None"]
"""Who is told of what a part, with this config, makes of objects; None where nobody is."""

_OF_JSON: Final = (str, int, float, list, dict, type(None))  # true and false are numbers, too
# Of the kinds of a union pydantic takes the one that reads a value with the least change, and what a
# function makes counts as no change at all. So it has to be asked about a part that counts as much
# as the one it stands for: what is called (changed most), or anything (changed less).
MORE_CHANGED: Final = "more"
MOST_CHANGED: Final = callable


_WEIGHTS: Final = core_schema.tagged_union_schema(
    {MORE_CHANGED: core_schema.any_schema(), "most": core_schema.callable_schema()},
    lambda weight: "most" if weight is MOST_CHANGED else MORE_CHANGED,
)
_MADE_OF_TEXTS: Final = (
    *("bytes", "complex", "date", "datetime", "decimal", "fraction", "time", "timedelta"),
)
_WEIGHT: Final[Mapping[str, object]] = {
    "enum": MOST_CHANGED,
    **dict.fromkeys(_MADE_OF_TEXTS, MORE_CHANGED),
}
_NO_CONFIG: Final[Mapping[str, Any]] = {}


def _never(_part: Part) -> None:
    """All parts stay."""


def guarded(
    schema: Any,
    choose: Choose,
    watch: Watch | None = None,
    recast: Callable[[Part], Recast | None] = _never,
) -> Any:
    """The same core schema, which reads some of its parts otherwise.

    Args:
        schema: A core schema, or any part of one.
        choose: Says what reads a part.
        watch: Says what is told of it.
        recast: Says what makes what stands in the place of a part.
    """
    return _Guard(choose, watch, recast).whole(schema)


class _Guard:
    def __init__(
        self, choose: Choose, watch: Watch | None, recast: Callable[[Part], Recast | None]
    ) -> None:
        self._choose = choose
        self._watch = watch
        self._recast = recast
        self._shared: list[Any] = []
        self._named: dict[str, Part] = {}

    def whole(self, schema: Any) -> Any:
        if isinstance(schema, dict) and schema.get("type") == "definitions":
            self._named = {part["ref"]: part for part in schema["definitions"]}
        made = self._part(schema, _NO_CONFIG)
        if isinstance(made, dict) and made.get("type") == "definitions":
            self._shared += made["definitions"]
        return made

    def _part(self, node: Any, config: Mapping[str, Any], *, keys: bool = False) -> Any:
        if not isinstance(node, dict):
            return changed(node, lambda part: self._part(part, config, keys=keys))
        if keys and node.get("type") == "definition-ref":  # what is shared is read as a value
            node = self._named[node["schema_ref"]]
            node = {name: held for name, held in node.items() if name != "ref"}
        config = node.get("config") or config
        read = self._choose(node, keys)
        made = self._read_by(read, node, config, keys) if read else self._within(node, config, keys)
        recast = self._recast(node)
        if recast is not None:
            made = outside(node, recast({name: made[name] for name in made.keys() - {"ref"}}))
        told = None if self._watch is None or keys else self._watch(node, config)
        return made if told is None else outside(made, _watched(told, made))

    def _within(self, node: Part, config: Mapping[str, Any], keys: bool) -> Any:
        if "keys_schema" not in node:
            return changed(node, lambda part: self._part(part, config, keys=keys))
        rest = {name: held for name, held in node.items() if name != "keys_schema"}
        named = self._part(node["keys_schema"], config, keys=True)
        return {**self._within(rest, config, keys), "keys_schema": named}

    def _read_by(self, read: Reader, node: Part, config: Mapping[str, Any], keys: bool) -> Any:
        @cache
        def inner() -> SchemaValidator:  # its parts may be this one again, so it is made late
            part = self._within({name: node[name] for name in node.keys() - {"ref"}}, config, keys)
            if self._shared:
                part = core_schema.definitions_schema(part, self._shared)
            held: Any = dict(config) or None
            return SchemaValidator(part, held, _use_prebuilt=False)

        def as_json(said: object, *, strict: bool = True) -> object:
            # of a value of Python it would be no strict reading
            if keys and isinstance(said, str):  # it stands for what it spells
                text: Any = said  # nothing that pydantic's own types name
                return inner().validate_strings(text, strict=True)
            return inner().validate_json(json.dumps(said, allow_nan=False), strict=strict)

        usual = MOST_CHANGED if keys and node["type"] != "literal" else _WEIGHT.get(node["type"])

        def reads(value: object, weigh: Callable[[object], object]) -> object:
            if isinstance(value, _OF_JSON) and not isinstance(value, Enum):
                made = read(value, as_json)
            else:
                made = _of_python(value, inner())
            if not isinstance(made, Counted):
                made = Counted(made, usual)
            if made.weight is not None:
                weigh(made.weight)
            return made.value

        return outside(node, core_schema.no_info_wrap_validator_function(reads, _WEIGHTS))


def _of_python(value: object, validator: SchemaValidator) -> object:
    """What pydantic makes of what a validator of the user's has made."""
    try:
        return validator.validate_python(value, strict=True)
    except ValidationError as wrong:
        try:
            return Counted(validator.validate_python(value, strict=False), MOST_CHANGED)
        except ValidationError:
            raise wrong from None


def _watched(told: Told, part: Part) -> Part:
    def read(value: object, handler: Callable[[object], object]) -> object:
        made = handler(value)
        told(value, made)
        return made

    inner: Any = {name: held for name, held in part.items() if name != "ref"}
    return dict(core_schema.no_info_wrap_validator_function(read, inner))
