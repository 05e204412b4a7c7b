"""Objects in an answer that have none of the fields that were asked for, where none is required.

A schema takes `{"review": {"mood": "good"}}` for an object with all of its fields left out, and a
type fills in their defaults, which nobody has said. So does it with each of the objects in a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from pydantic import BaseModel

from lionproc.model.references import References, parts_of

__all__ = ["NothingSaid", "count_of_empty", "names_left_out", "optional_names"]

_MORE_NAMES = frozenset(
    ("additionalProperties", "patternProperties", "anyOf", "oneOf", "allOf", "if", "$ref")
)  # that an object may have besides its properties
Path: TypeAlias = tuple[str | int, ...]
_MOST_STEPS = 32  # from one reference to the next
_SINGLE = frozenset((str, int, float, bool, type(None), Decimal))  # nothing is in these
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
            said, kept = held.model_fields_set, held.__dict__
            if not said and type(held).model_fields:
                count += 1
            inner: Iterable[object] = [kept[name] for name in said if name in kept]
        elif isinstance(held, Mapping):
            count += not held
            inner = held.values()
        elif isinstance(held, (list, tuple, set, frozenset)):
            inner = held
        else:
            continue
        waiting += [each for each in inner if type(each) not in _SINGLE]
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
        # By where a part is: the schema is kept, so nothing else comes to be there.
        self._known: dict[int, tuple[Mapping[str, Any] | None, frozenset[str]]] = {}
        self.is_possible = bool(names_left_out(schema))

    def first(self, value: object) -> tuple[Path, frozenset[str]] | None:
        """The way to the first one within a valid value, and the names that were asked for."""
        waiting: list[tuple[Any, Any, Path]] = [(self._schema, value, ())]
        while waiting:
            given, held, path = waiting.pop()
            node, names = self._known.get(id(given)) or self._look_at(given)
            if node is None:
                continue
            if isinstance(held, dict):
                if names and held and names.isdisjoint(held):
                    return path, names
                parts, others = node.get("properties", {}), node.get("additionalProperties")
                waiting += [
                    (parts.get(name, others), inner, (*path, name))
                    for name, inner in held.items()
                    if type(inner) not in _SINGLE
                ]
            elif isinstance(held, list) and "prefixItems" not in node:
                items = node.get("items")
                waiting += [
                    (items, inner, (*path, place))
                    for place, inner in enumerate(held)
                    if type(inner) not in _SINGLE
                ]
        return None

    def _look_at(self, given: object) -> tuple[Mapping[str, Any] | None, frozenset[str]]:
        """What a part of the schema says a value is, and the names that all may be left out."""
        node = self._plain(given)
        names: frozenset[str] = frozenset() if node is None else optional_names(node)
        self._known[id(given)] = node, names
        return node, names

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
