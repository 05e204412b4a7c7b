"""A type's core schema in which some parts are read by functions, from JSON as all others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from pydantic_core import SchemaValidator, core_schema

from lionproc.model.core_parts import Part, changed, outside

__all__ = ["Choose", "Reader", "Recast", "Told", "Watch", "guarded"]

Reader: TypeAlias = Callable[[Any, Callable[[object], object]], object]
"""Reads a value of plain JSON types in place of pydantic, which it may ask with the other argument."""
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
_MOST: Final = core_schema.callable_schema()
_SOME: Final = core_schema.any_schema()
_LESS: Final[Mapping[str, Any]] = {
    "enum": _MOST,
    **dict.fromkeys(("date", "datetime", "decimal", "time", "timedelta"), _SOME),
}
_NO_CONFIG: Final[Mapping[str, Any]] = {}


def guarded(
    schema: Any,
    choose: Choose,
    watch: Watch | None = None,
    recasts: Mapping[str, Recast] = MappingProxyType({}),
) -> Any:
    """The same core schema, which reads some of its parts otherwise.

    Args:
        schema: A core schema, or any part of one.
        choose: Says what reads a part.
        watch: Says what is told of it.
        recasts: What parts become, by their types; not keys of maps.
    """
    return _Guard(choose, watch, recasts).whole(schema)


def _exact(said: object) -> object:
    """Takes a value as it is."""
    return said


class _Guard:
    def __init__(self, choose: Choose, watch: Watch | None, recasts: Mapping[str, Recast]) -> None:
        self._choose = choose
        self._watch = watch
        self._recasts = recasts
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
        recast = None if keys else self._recasts.get(node.get("type", ""))
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

        def as_json(said: object) -> object:  # of a value of Python it would be no strict reading
            if keys and isinstance(said, str):  # it stands for what it spells
                text: Any = said  # nothing that pydantic's own types name
                return inner().validate_strings(text, strict=True)
            return inner().validate_json(json.dumps(said, allow_nan=False), strict=True)

        less = _MOST if keys and node["type"] != "literal" else _LESS.get(node["type"])

        def reads(value: object, weigh: Callable[[object], object] = _exact) -> object:
            if isinstance(value, _OF_JSON) and not isinstance(value, Enum):
                made = read(value, as_json)
                weigh(_exact)
                return made
            return inner().validate_python(value, strict=True)  # a validator before it has made it

        if less is None:
            return outside(node, core_schema.no_info_plain_validator_function(reads))
        return outside(node, core_schema.no_info_wrap_validator_function(reads, less))


def _watched(told: Told, part: Part) -> Part:
    def read(value: object, handler: Callable[[object], object]) -> object:
        made = handler(value)
        told(value, made)
        return made

    inner: Any = {name: held for name, held in part.items() if name != "ref"}
    return dict(core_schema.no_info_wrap_validator_function(read, inner))
