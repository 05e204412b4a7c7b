"""Objects in an answer that have none of the fields that were asked for, where none is required.

A schema takes `{"review": {"mood": "good"}}` for an object with all of its fields left out, and a
type fills in their defaults, which nobody has said. So does it with each of the objects in a list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from lionproc.model.references import References, parts_of

__all__ = ["NothingSaid", "count_of_empty", "names_left_out", "optional_names"]

_MORE_NAMES = frozenset(
    ("additionalProperties", "patternProperties", "anyOf", "oneOf", "allOf", "if", "$ref")
)  # that an object may have besides its properties
_MOST_STEPS = 32  # from one reference to the next
_NULL = {"type": "null"}


def optional_names(schema: Mapping[str, Any]) -> frozenset[str]:
    """The names that an object may have, where it need have none of them."""
    more = any(schema.get(keyword) for keyword in _MORE_NAMES)
    return (
        frozenset() if more or schema.get("required") else frozenset(schema.get("properties", ()))
    )


def names_left_out(schema: Mapping[str, Any]) -> frozenset[str]:
    """All of these names in the objects within a schema; none where there is no such object."""
    within = (part for part in parts_of(schema, with_shared=True) if part is not schema)
    return frozenset().union(*map(optional_names, within))


def count_of_empty(value: object) -> int:
    """How many objects in a value have nothing that was said; what a default brought is not looked at.

    Args:
        value: What was read, by pydantic or as plain JSON.
    """
    waiting, count = [value], 0
    while waiting:
        held = waiting.pop()
        if isinstance(held, BaseModel):
            said = held.model_fields_set
            count += not said and bool(type(held).model_fields)
            waiting += [getattr(held, name, None) for name in said]
        elif isinstance(held, Mapping):
            count += not held
            waiting += held.values()
        elif isinstance(held, (list, tuple, set, frozenset)):
            waiting += held
    return count


class NothingSaid:
    """Looks for such objects in values of a JSON Schema.

    Args:
        schema: The whole schema.

    Attributes:
        is_possible: Whether there may be any within a value.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._references = References(schema)
        self.is_possible = bool(names_left_out(schema))

    def first(self, value: object) -> tuple[tuple[str | int, ...], frozenset[str]] | None:
        """The way to the first one within a valid value, and the names that were asked for."""
        waiting: list[tuple[Any, Any, tuple[str | int, ...]]] = [(self._schema, value, ())]
        while waiting:
            node, held, path = waiting.pop()
            node = self._plain(node)
            if node is None:
                continue
            if isinstance(held, dict):
                names = optional_names(node)
                if names and held and names.isdisjoint(held):
                    return path, names
                parts, others = node.get("properties", {}), node.get("additionalProperties")
                waiting += [
                    (parts.get(name, others), inner, (*path, name)) for name, inner in held.items()
                ]
            elif isinstance(held, list) and "prefixItems" not in node:
                items = node.get("items")
                waiting += [(items, inner, (*path, place)) for place, inner in enumerate(held)]
        return None

    def _plain(self, node: object) -> Mapping[str, Any] | None:
        """The part that says what a value is; None where it may be several things."""
        for _ in range(_MOST_STEPS):
            if not isinstance(node, Mapping):
                return None
            if "$ref" in node:
                node = self._references.target(str(node["$ref"]))
                continue
            kinds = [kind for kind in node.get("anyOf", ()) if kind != _NULL]
            if len(kinds) != 1:
                return node
            node = kinds[0]
        return None
