"""Keys of a reply that a type reads as one and the same, so that a value would be lost.

JSON has texts as keys. Where a type has numbers, times or trimmed texts there, "1" and "01" are one
key, and of their values the last one would be left, in silence. So it is with two names of a field.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

import orjson
from pydantic_core import SchemaError, SchemaValidator, core_schema

from lionproc.errors import pass_on_interrupt
from lionproc.model.core_parts import Part, parts_within, takes_more
from lionproc.model.names import Names
from lionproc.model.python_patterns import safe_schema

__all__ = ["Keys"]

_Code: TypeAlias = tuple[int, ...]
_NAN: Final = object()  # stands for each, as none is equal to any other
_CHANGES: Final = ("strip_whitespace", "to_lower", "to_upper")  # a text becomes another


class Keys:
    """What a type makes of keys.

    Args:
        schema: The type's core schema.

    Attributes:
        may_meet: Whether two texts may be one key of it.
    """

    def __init__(self, schema: object) -> None:
        parts = list(parts_within(schema))
        config = next(
            (held for part in parts if _changes(held := part.get("config"), "str_")), None
        )
        self._readers = [
            _reader(part["keys_schema"], schema, config)
            for part in parts
            if "keys_schema" in part and not _is_as_written(part["keys_schema"], config)
        ]
        self._names = Names(schema)
        self.may_meet = bool(self._readers) or self._names.are_several

    def lose(self, said: object, value: object) -> bool:
        """Whether keys of an object met in one, and what one of them said is gone.

        Args:
            said: All that a reply holds, of plain JSON types.
            value: What the type made of it.
        """
        if self._names.are_several and self._names.meet(said):
            return True
        # Each key by itself: sets of several can be chosen so that all have one hash.
        numbers: dict[object, int] = {}

        def code(keys: Iterable[object]) -> _Code:
            alike = (key if key == key else _NAN for key in keys)  # noqa: PLR0124  (it is not, of nan)
            return tuple(sorted({numbers.setdefault(key, len(numbers)) for key in alike}))

        met: set[_Code] = set()
        whole: defaultdict[_Code, list[dict[str, Any]]] = defaultdict(list)
        for names in _objects(said):
            reads = (keys for reader in self._readers if (keys := _read(reader, names)) is not None)
            for keys in {code(each) for each in reads}:
                if len(keys) < len(names):
                    met.add(keys)
                else:
                    whole[keys].append(names)
        if not met:
            return False
        made = Counter(map(code, _maps(value)))
        return any(made[keys] > _count(keys, map(code, whole[keys]), made) for keys in met)


def _count(keys: _Code, whole: Iterable[_Code], made: Mapping[_Code, int]) -> int:
    """How many objects became maps with these keys and lost nothing: not those that kept their texts."""
    said = Counter(whole)
    return sum(
        count if names == keys else max(count - made[names], 0) for names, count in said.items()
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
    if isinstance(schema, dict) and schema.get("type") == "definitions":
        made = core_schema.definitions_schema(made, schema["definitions"])
    try:
        return SchemaValidator(safe_schema(made), config)
    except SchemaError:
        return None


def _read(reader: SchemaValidator | None, names: dict[str, Any]) -> Iterable[object] | None:
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


def _maps(value: object) -> Iterator[Mapping[Any, object]]:
    """The maps in a value, wherever in its models, dataclasses and lists they are."""
    waiting, seen = [value], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, Mapping):
            yield each
            waiting += each.values()
        elif isinstance(each, (list, tuple, set, frozenset, deque)):
            waiting += each
        elif is_dataclass(each) and not isinstance(each, type):  # which may have slots
            waiting += [getattr(each, field.name, None) for field in fields(each)]
        elif hasattr(each, "__dict__") and not isinstance(each, (type, Enum)):
            waiting += vars(each).values()
