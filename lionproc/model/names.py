"""Fields that a reply may call by several names, of which pydantic takes one in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from lionproc.model.core_parts import Part, parts_within

__all__ = ["Names", "has_several_names", "is_read_by_name", "is_read_by_path"]

_HOLDERS: Final = frozenset(
    ("model", "dataclass", "nullable", "default", "definitions", "function-after")
)
_OF_FIELDS: Final = frozenset(("model-fields", "dataclass-args", "typed-dict"))
_BY_NAME: Final = ("validate_by_name", "populate_by_name")
_Place: TypeAlias = tuple[Any, Mapping[str, Any], Any]  # a part, its config, what stands for it
_NONE: Final[Mapping[str, Any]] = {}


class Names:
    """The names that a type knows its fields by.

    Looked at is what surely stands for a field: not what a validator may have changed before, and
    not what a union decides about.

    Args:
        schema: The type's core schema.

    Attributes:
        are_several: Whether a field of it may have more than one name.
    """

    def __init__(self, schema: object) -> None:
        self._schema = schema
        self._shared = {part["ref"]: part for part in parts_within(schema) if "ref" in part}
        self.are_several = any(map(has_several_names, parts_within(schema)))
        # By where a part is: the schema is kept, so nothing else comes to be there.
        self._known: dict[int, list[tuple[Part, list[str]]]] = {}

    def meet(self, said: object) -> bool:
        """Whether an object of a reply has a field under two of its names.

        Args:
            said: All that a reply holds, of plain JSON types.
        """
        waiting: list[_Place] = [(self._schema, _NONE, said)]
        while waiting:
            part, config, held = waiting.pop()
            if not isinstance(part, dict) or not isinstance(held, (dict, list)):
                continue
            config = part.get("config") or config
            if part.get("type") not in _OF_FIELDS or not isinstance(held, dict):
                waiting += self._within(part, config, held)
                continue
            if id(part) not in self._known:
                self._known[id(part)] = _fields(part, config)
            for field, names in self._known[id(part)]:
                given = [name for name in names if name in held]
                if len(given) > 1:
                    return True
                waiting += [(field["schema"], _NONE, held[name]) for name in given]
        return False

    def _within(
        self, part: Part, config: Mapping[str, Any], held: dict[str, Any] | list[Any]
    ) -> list[_Place]:
        """What is in a part that has no fields, each beside what stands for it."""
        kind = part.get("type")
        if kind == "definition-ref":
            return [(self._shared.get(part["schema_ref"]), _NONE, held)]
        if kind in _HOLDERS:
            return [(part["schema"], config, held)]
        if kind == "list" and isinstance(held, list):
            return [(part.get("items_schema"), _NONE, each) for each in held]
        if kind == "dict" and isinstance(held, dict):
            return [(part.get("values_schema"), _NONE, each) for each in held.values()]
        return []


def has_several_names(part: Part) -> bool:
    """Whether a field that is this part, or is in it, may have more than one name."""
    return is_read_by_name(part) or isinstance(part.get("validation_alias"), list)


def is_read_by_name(part: Part) -> bool:
    """Whether the fields of this part are read by their names in Python, whatever else they have."""
    return any((part.get("config") or _NONE).get(word) for word in _BY_NAME)


def is_read_by_path(part: Part) -> bool:
    """Whether this part is a field that is read out of another one alone (`AliasPath`).

    It is asked for by its name in Python, as pydantic's JSON Schema knows no paths.
    """
    alias = part.get("validation_alias")
    return isinstance(alias, list) and not any(
        isinstance(path, list) and len(path) == 1 for path in alias
    )


def _fields(part: Part, config: Mapping[str, Any]) -> list[tuple[Part, list[str]]]:
    """The fields of a part, each with the names that are its own alone."""
    held = part["fields"]
    fields = held.items() if isinstance(held, dict) else [(each["name"], each) for each in held]
    known = [(field, list(dict.fromkeys(_names(name, field, config)))) for name, field in fields]
    counts = Counter(name for _, names in known for name in names)
    return [
        (field, [name for name in names if len(names) == 1 or counts[name] == 1])
        for field, names in known
    ]


def _names(name: str, field: Part, config: Mapping[str, Any]) -> Iterator[str]:
    alias = field.get("validation_alias")
    if alias is None or any(config.get(word) for word in _BY_NAME):
        yield name
    if isinstance(alias, str):
        yield alias
    for path in alias if isinstance(alias, list) else ():
        if isinstance(path, list) and len(path) == 1:  # others lead into another field
            yield path[0]
