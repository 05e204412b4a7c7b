"""Sets in an order of their own: Python's is another one in every process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import BaseModel, RootModel

__all__ = ["in_order", "stable_repr"]


def stable_repr(value: object) -> str:
    """What `repr` shows of an element of a set, the same in every process.

    Args:
        value: The element.
    """
    if isinstance(value, frozenset):
        return f"frozenset({sorted(map(stable_repr, value))})"
    if type(value) is tuple:
        return f"({', '.join(map(stable_repr, value))})"
    return repr(value)


def in_order(value: Any, written: Any) -> Any:
    """What pydantic has written of a value, with its sets in the same order in every process.

    Fields that a class writes in its own way stay as it has written them.

    Args:
        value: A pydantic model, or what is in one.
        written: What can be written as JSON.
    """
    if isinstance(written, list):
        if isinstance(value, RootModel):
            return in_order(value.root, written)
        is_set = isinstance(value, (set, frozenset))
        if not (is_set or isinstance(value, (list, tuple))) or len(value) != len(written):
            return written
        parts = [in_order(*pair) for pair in zip(value, written, strict=True)]
        return sorted(parts, key=orjson.dumps) if is_set else parts
    if isinstance(written, dict):
        parts_of = _parts(value)
        return {name: in_order(parts_of.get(name), each) for name, each in written.items()}
    return written


def _parts(value: Any) -> dict[Any, Any]:
    """What is written under each name; nothing for what a class writes in its own way."""
    if isinstance(value, RootModel):
        return _parts(value.root)
    if isinstance(value, BaseModel):
        own = type(value).__pydantic_decorators__
        if own.model_serializers:
            return {}
        named = {
            name: field.serialization_alias or field.alias or name
            for name, field in type(value).model_fields.items()
        }
        for each in own.field_serializers.values():
            for name in each.info.fields:
                named.pop(name, None)
        of_fields = {alias: getattr(value, name, None) for name, alias in named.items()}
        return {**(value.model_extra or {}), **of_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {str(name): each for name, each in value.items()} if isinstance(value, Mapping) else {}
