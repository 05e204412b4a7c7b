"""Fields that a reply may call by several names, of which pydantic takes one in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from lionproc.model.core_parts import Part

__all__ = ["has_several_names", "is_read_by_name", "is_read_by_path", "several_names"]

_AROUND: Final = frozenset(("model", "dataclass"))
_OF_FIELDS: Final = frozenset(("model-fields", "dataclass-args", "typed-dict"))
_BY_NAME: Final = ("validate_by_name", "populate_by_name")
_NONE: Final[Mapping[str, Any]] = {}


def several_names(parts: Iterable[Part]) -> Iterator[frozenset[str]]:
    """The names of each field that has more than one of its own.

    Args:
        parts: Of a core schema.

    Yields:
        Names that stand for one field, of each model, dataclass or dict with fields among the parts.
    """
    for part in parts:
        config = part.get("config") or _NONE
        held = part.get("schema") if part.get("type") in _AROUND else part
        while isinstance(held, dict) and str(held.get("type")).startswith("function-"):
            held = held.get("schema")  # a validator of the model stands between it and its fields
        if isinstance(held, dict) and held.get("type") in _OF_FIELDS:
            yield from (frozenset(names) for names in _fields(held, config) if len(names) > 1)


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


def _fields(part: Part, config: Mapping[str, Any]) -> list[list[str]]:
    """The names of each field of a part, without those that others have too."""
    held = part["fields"]
    fields = held.items() if isinstance(held, dict) else [(each["name"], each) for each in held]
    known = [list(dict.fromkeys(_names(name, field, config))) for name, field in fields]
    counts = Counter(name for names in known for name in names)
    return [[name for name in names if len(names) == 1 or counts[name] == 1] for names in known]


def _names(name: str, field: Part, config: Mapping[str, Any]) -> Iterator[str]:
    alias = field.get("validation_alias")
    if alias is None or any(config.get(word) for word in _BY_NAME):
        yield name
    if isinstance(alias, str):
        yield alias
    for path in alias if isinstance(alias, list) else ():
        if isinstance(path, list) and len(path) == 1:  # others lead into another field
            yield path[0]
