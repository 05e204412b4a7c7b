"""Whether what is written of a value as JSON has all of it, by the type alone.

Then no two values of the type are written alike, so what is read from JSON, and is written as that
very JSON again, is the value that was written. An allow-list: of code, of a union (which of its types
it was is not written) and of whatever else is not listed here, nobody knows.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter

from lionproc.model.core_parts import Part, parts_within

__all__ = ["is_written_whole"]

# Of each kind of plain values the types that a default may have: pydantic does not look at it.
_PLAIN: Final[Mapping[str, tuple[type, ...]]] = {
    "none": (),
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "literal": (str, int, bool),
    "decimal": (Decimal,),
    "uuid": (uuid.UUID,),
    "date": (dt.date,),
    "datetime": (dt.datetime,),
    "time": (dt.time,),
    "timedelta": (dt.timedelta,),
}
_MANY: Final[Mapping[str, type]] = {
    kind.__name__: kind for kind in (list, dict, tuple, set, frozenset)
}
_FIELDS: Final = frozenset(("model-fields", "dataclass-args", "typed-dict"))
_FIELD: Final = frozenset(("model-field", "dataclass-field", "typed-dict-field"))
_HOLDERS: Final = frozenset(("enum", "nullable", "default", "definitions"))
_CLASSES: Final = frozenset(("model", "dataclass", "definition-ref"))
_KNOWN: Final = _FIELDS | _FIELD | _HOLDERS | _CLASSES | _PLAIN.keys() | _MANY.keys()
# What leaves a part out, is not written, makes something of it or adds to it.
_CHANGES: Final = ("serialization", "post_init", "custom_init", "computed_fields", "init_only")
_LEAVES_OUT: Final = ("serialization_exclude", "serialization_exclude_if")
_CHOSEN: Final = (str, int, bool, type(None))


def is_written_whole(schema: object) -> bool:
    """Whether nothing of a value of a type is lost where it is written as `as_json.plain` does.

    Args:
        schema: A type that pydantic knows.

    Returns:
        False where that is not so, and where it is not known.
    """
    kind: Any = schema
    parts = [part for part in parts_within(TypeAdapter(kind).core_schema) if "type" in part]
    shared = {part["ref"]: part for part in parts if "ref" in part}
    return all(_is_whole(part, shared) for part in parts)


def _is_whole(part: Part, shared: Mapping[str, Part]) -> bool:
    kind = part["type"]
    if kind not in _KNOWN or any(part.get(word) for word in (*_CHANGES, *_LEAVES_OUT)):
        return False
    config = part.get("config") or {}
    allows = (part.get("extra_behavior"), config.get("extra_fields_behavior"))
    if "allow" in allows or any("ser" in word for word in config):  # of how it is written
        return False
    if kind == "model":
        return part["cls"].model_dump is BaseModel.model_dump
    if kind == "literal":
        return all(type(each) in _CHOSEN for each in part["expected"])
    if kind == "default":
        return _is_own_default(part, shared)
    return kind not in _FIELDS or _have_own_names(part)


def _have_own_names(part: Part) -> bool:
    """Whether each field is written, under a name that no other one has."""
    fields = part["fields"]
    named = fields.items() if isinstance(fields, dict) else ((f["name"], f) for f in fields)
    names = [(name, field.get("serialization_alias") or name) for name, field in named]
    is_hidden = any(name.startswith("_") for name, _ in names)  # orjson leaves it out
    return not is_hidden and len({written for _, written in names}) == len(names)


def _is_own_default(part: Part, shared: Mapping[str, Part]) -> bool:
    """Whether what stands in for a field that is not there is a value of the field's type."""
    inner = part["schema"]
    while inner["type"] in {"nullable", "definition-ref"}:
        inner = inner["schema"] if inner["type"] == "nullable" else shared[inner["schema_ref"]]
    kind = inner["type"]
    if "default_factory" in part:
        return kind in _MANY and part["default_factory"] is _MANY[kind]
    value: Any = part.get("default")
    if value is None:
        return True
    if kind == "enum":
        return isinstance(value, inner["cls"])
    if kind in _MANY:
        return type(value) is _MANY[kind] and not value
    return type(value) in _PLAIN.get(kind, ())
