"""The parts of pydantic's core schema of a type, wherever in it they are.

Names that somebody chose stand there beside pydantic's own: a model may have a field `metadata`, and
the tag of a choice may be "default". What is under those is a part like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, Final, TypeAlias

__all__ = ["Part", "changed", "outside", "parts_within", "takes_more"]

Part: TypeAlias = "dict[str, Any]"
"""What core schema calls a schema: its `type`, and what this one has."""

# What is no part, though it may look like one.
_BESIDE: Final = frozenset(("metadata", "default", "expected", "config", "serialization", "cls"))
_NAMED: Final = frozenset(("fields", "choices"))  # parts by names, where it is a dict


def parts_within(schema: object) -> Iterator[Part]:
    """The schema itself and all parts within it, each before its own.

    Args:
        schema: A core schema, or a list of them.
    """
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (list, tuple)):
            waiting += reversed(node)
        elif isinstance(node, dict):
            yield node
            for key, held in reversed(node.items()):
                if key in _NAMED and isinstance(held, dict):
                    waiting += reversed(held.values())
                elif key not in _BESIDE:
                    waiting.append(held)


def takes_more(kind: type[Enum]) -> bool:
    """Whether an enum has code of its own for values that are none of its members."""
    return any("_missing_" in vars(base) for base in kind.__mro__ if base.__module__ != "enum")


def changed(node: Any, change: Callable[[Any], Any]) -> Any:
    """A part, or a list of them, with each of its own parts as `change` makes it.

    Args:
        node: Part of a core schema; anything else is no part and stays.
        change: Of a part, or a list of them, what stands in its place.

    Returns:
        `node` itself where all of them stay as they are.
    """
    if isinstance(node, (list, tuple)):
        listed = [change(part) for part in node]
        return node if all(map(_is, listed, node)) else type(node)(listed)
    if not isinstance(node, dict):
        return node
    made = {}
    for key, held in node.items():
        if key in _NAMED and isinstance(held, dict):
            named = {name: change(part) for name, part in held.items()}
            made[key] = held if all(map(_is, named.values(), held.values())) else named
        else:
            made[key] = held if key in _BESIDE else change(held)
    return node if all(map(_is, made.values(), node.values())) else made


def outside(node: Mapping[str, Any], made: Mapping[str, Any]) -> Part:
    """What stands in the place of a part that others may refer to.

    Args:
        node: The part.
        made: Another one, which may have `node` without its name within.
    """
    return {**made, "ref": node["ref"]} if "ref" in node else dict(made)


def _is(one: object, other: object) -> bool:
    return one is other
