"""Keys of a reply that a type reads as one and the same, so that a value would be lost.

JSON has texts as keys. Where a type has numbers, times or trimmed texts there, "1" and "01" are one
key, and of their values the last one would be left, in silence. So it is with two names of a field.
Where an object of a reply may lose something so, the type reads the reply once more and says which.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextvars import ContextVar
from enum import Enum
from functools import cached_property, partial
from typing import Any, Final

import orjson
from pydantic_core import SchemaError, SchemaValidator, core_schema

from lionproc.errors import pass_on_interrupt
from lionproc.model.core_parts import Part, parts_within, takes_more
from lionproc.model.guarded import Told
from lionproc.model.held import all_in
from lionproc.model.names import several_names
from lionproc.model.one_reading import guarded_python
from lionproc.model.python_patterns import safe_schema, validator_from

__all__ = ["Keys"]

_NAN: Final = object()  # stands for each, as none is equal to any other
_OF_USER: Final = frozenset(("function-after", "function-wrap", "function-plain", "call"))
_CHANGES: Final = ("strip_whitespace", "to_lower", "to_upper")  # a text becomes another


class Keys:
    """What a type makes of keys, and of the names of fields.

    Args:
        schema: The type's core schema.

    Attributes:
        may_meet: Whether two texts may be one key of it, or one field.
    """

    def __init__(self, schema: object) -> None:
        self._schema = schema
        parts = list(parts_within(schema))
        configs = [held for part in parts if _changes(held := part.get("config"), "str_")]
        kinds = {
            repr(part["keys_schema"]): part["keys_schema"] for part in parts if _has_keys(part)
        }
        self._readers = [
            _reader(keys, schema, config)
            for keys in kinds.values()
            for config in (None, *{repr(each): each for each in configs}.values())
            if not _is_as_written(keys, config)  # of any model, for the map may be in each of them
        ]
        self._fields: defaultdict[str, list[int]] = defaultdict(list)  # by each of their names
        for number, names in enumerate(set(several_names(parts))):
            for name in names:
                self._fields[name].append(number)
        self._makes_others = any(map(_makes_others, parts))
        self.may_meet = bool(self._readers or self._fields)

    def lose(self, said: object, text: str) -> bool:
        """Whether keys of an object met in one, and what one of them said is gone.

        Args:
            said: All that a reply holds, of plain JSON types.
            text: The reply, which the type has read.
        """
        if not any(map(self._may_lose, _objects(said))):
            return False
        lost: list[object] = []
        token = _LOST.set(lost)
        try:
            value = self._watching.validate_json(text, strict=True)
        except BaseException as error:  # noqa: BLE001 - a user's validator may raise anything
            pass_on_interrupt(error)
            return True
        finally:
            _LOST.reset(token)
        return bool(lost) and (self._makes_others or _are_in(lost, value))

    def _may_lose(self, names: dict[str, Any]) -> bool:
        """Whether an object would lose something if it became a map, or a model, of the type."""
        if self._fields:
            named = [field for name in names for field in self._fields.get(name, ())]
            if len(set(named)) < len(named):
                return True
        reads = (keys for reader in self._readers if (keys := _read(reader, names)) is not None)
        return any(len(keys) < len(names) for keys in reads)

    @cached_property
    def _watching(self) -> Any:
        return validator_from(guarded_python(self._schema, self._watch))

    def _watch(self, part: Part, config: Mapping[str, object]) -> Told | None:
        if "keys_schema" in part:
            held = config if _changes(config, "str_") else None
            return None if _is_as_written(part["keys_schema"], held) else _note_keys
        names = list(several_names([part]))
        return partial(_note_names, names) if names else None


_LOST: Final[ContextVar[list[object]]] = ContextVar("lost")


def _has_keys(part: Part) -> bool:
    return isinstance(part.get("keys_schema"), dict)


def _makes_others(part: Part) -> bool:
    """Whether code of the user's may have made another object of what was read by this part."""
    return part.get("type") in _OF_USER or bool(part.get("post_init") or part.get("custom_init"))


def _note_keys(said: object, made: object) -> None:
    if isinstance(said, dict) and isinstance(made, Mapping) and len(made) < len(said):
        _LOST.get().append(made)


def _note_names(fields: Iterable[AbstractSet[str]], said: object, made: object) -> None:
    if isinstance(said, dict) and any(sum(name in said for name in each) > 1 for each in fields):
        _LOST.get().append(made)


def _are_in(lost: Iterable[object], value: object) -> bool:
    """Whether one of these is in what was read at last: choices may have been tried in vain."""
    numbers: dict[object, int] = {}

    def code(keys: Iterable[object]) -> tuple[int, ...]:
        # Each key by itself: sets of several can be chosen so that all have one hash.
        alike = (key if key == key else _NAN for key in keys)  # noqa: PLR0124  (it is not, of nan)
        return tuple(sorted({numbers.setdefault(key, len(numbers)) for key in alike}))

    objects = {id(each) for each in lost}  # held by the list, so nothing else comes to be there
    maps = {code(each) for each in lost if isinstance(each, Mapping)}  # may have become others
    return any(
        id(each) in objects or (isinstance(each, Mapping) and bool(maps) and code(each) in maps)
        for each in all_in(value)
    )


def _changes(held: object, prefix: str = "") -> bool:
    return isinstance(held, dict) and any(held.get(f"{prefix}{word}") for word in _CHANGES)


def _is_as_written(keys: Part | None, config: object) -> bool:
    """Whether a key of this kind is the text itself, or one of some texts."""
    if keys is None or keys.get("type") in {"any", "literal"}:
        return True
    if keys.get("type") == "enum":
        members = [each.value if isinstance(each, Enum) else each for each in keys["members"]]
        return not takes_more(keys["cls"]) and all(isinstance(member, str) for member in members)
    return keys.get("type") == "str" and config is None and not _changes(keys)


def _reader(keys: Part, schema: object, config: Any) -> SchemaValidator | None:
    """What reads an object with such keys, whatever its values are; None where nothing can."""
    made: Any = core_schema.dict_schema(keys, core_schema.any_schema())
    names_others = any(part.get("type") == "definition-ref" for part in parts_within(keys))
    if names_others and isinstance(schema, dict) and schema.get("type") == "definitions":
        made = core_schema.definitions_schema(made, schema["definitions"])
    try:
        return SchemaValidator(safe_schema(made), config)
    except SchemaError:
        return None


def _read(reader: SchemaValidator | None, names: dict[str, Any]) -> list[object] | None:
    """The keys of an object once they are read; None where they are none of this kind."""
    if reader is None or not names:
        return None
    try:
        return list(reader.validate_json(orjson.dumps(dict.fromkeys(names)), strict=True))
    except BaseException as error:  # noqa: BLE001 - a user's validator may raise anything
        pass_on_interrupt(error)
        return None


def _objects(value: object) -> Iterator[dict[str, Any]]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield each
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
