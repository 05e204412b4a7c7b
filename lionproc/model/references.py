"""The parts of a JSON Schema, and where its references lead: just as its validator follows them.

What is counted and shown of a schema must be what is validated. So a reference is read as the
validator reads it (RFC 6901, percent-decoded), and what could lead to two places is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from lionproc.errors import SchemaError

__all__ = [
    "FOLLOWED",
    "References",
    "children_of",
    "circular",
    "for_the_same",
    "parts_of",
    "patterns_in",
]

FOLLOWED = ("$ref", "$dynamicRef", "$recursiveRef")
_NAMED = frozenset(
    (
        *("properties", "patternProperties", "dependentSchemas", "dependencies"),
        *("$defs", "definitions"),
    )
)
_SHARED = frozenset(("$defs", "definitions"))  # parts count where they are referred to
_DATA = frozenset(("enum", "const", "default", "examples", "required"))
_SAME = ("anyOf", "oneOf", "allOf")
_SAME_ONE = ("not", "if", "then", "else")
_SAME_NAMED = ("dependentSchemas", "dependencies")
_ANCHORS = ("$anchor", "$dynamicAnchor")
_PLACES = ("$id", "id")  # before 2019 an anchor was written "$id": "#name", in draft 4 as "id"


def parts_of(node: Mapping[str, object], *, with_shared: bool) -> Iterator[Mapping[str, Any]]:
    """The schemas inside a schema, itself first; what is data and no schema is left out."""
    yield node
    for child in children_of(node, with_shared=with_shared):
        yield from parts_of(child, with_shared=with_shared)


def children_of(node: Mapping[str, Any], *, with_shared: bool) -> Iterator[Mapping[str, Any]]:
    """The schemas that stand in a schema itself, and not deeper."""
    for keyword, value in node.items():
        if keyword in _DATA or (keyword in _SHARED and not with_shared):
            continue
        if isinstance(value, Mapping):
            inner = list(value.values()) if keyword in _NAMED else [value]
        else:
            inner = value if isinstance(value, list) else []
        for child in inner:
            if isinstance(child, Mapping):
                yield child


def for_the_same(part: Mapping[str, Any]) -> Iterator[Any]:
    """The schemas inside one that the same value is held against, references aside."""
    for keyword in _SAME:
        inner = part.get(keyword)
        yield from inner if isinstance(inner, list) else ()
    yield from (part[keyword] for keyword in _SAME_ONE if keyword in part)
    for keyword in _SAME_NAMED:
        named = part.get(keyword)
        yield from named.values() if isinstance(named, Mapping) else ()


def patterns_in(part: Mapping[str, Any]) -> Iterator[str]:
    """The regular expressions that a part of a schema has itself, for texts and for names."""
    named = part.get("patternProperties")
    for pattern in (part.get("pattern"), *(named if isinstance(named, Mapping) else ())):
        if isinstance(pattern, str):
            yield pattern


def circular(schema: Mapping[str, object]) -> AbstractSet[str]:
    """The references of a schema that lead into a circle: on from them there is no end."""
    lead = References(schema)
    leads: dict[str, set[str]] = {}
    waiting = _references(schema)
    while waiting:
        reference = waiting.pop()
        if reference not in leads:
            leads[reference] = _references(lead.target(reference))
            waiting |= leads[reference]
    while True:  # take away what leads nowhere, until nothing or a circle is left
        ends = {reference for reference, to in leads.items() if not to & leads.keys()}
        if not ends:
            return leads.keys()
        for reference in ends:
            del leads[reference]


def _references(schema: object) -> set[str]:
    if not isinstance(schema, Mapping):
        return set()
    parts = parts_of(schema, with_shared=False)
    named = [part.get(keyword) for part in parts for keyword in FOLLOWED]
    return {reference for reference in named if isinstance(reference, str)}


class References:
    """Where the references of one schema lead.

    Args:
        root: The whole schema.
    """

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._targets: dict[str, Any] = {}

    def target(self, reference: str) -> Any:
        """The part that a reference names.

        Raises:
            SchemaError: It is outside the schema, nowhere, or in two places.
        """
        if reference not in self._targets:
            self._targets[reference] = self._found(reference)
        return self._targets[reference]

    def _found(self, reference: str) -> Any:
        if not reference.startswith("#"):
            raise SchemaError(
                f"The JSON Schema points to {reference[:100]!r}, outside itself. "
                "Nothing is fetched: put that schema under '$defs' and refer to it from there."
            )
        name = reference[1:]
        if name and not name.startswith("/"):
            if name not in self._anchors:
                raise _missing(reference)
            return self._anchors[name]
        node: Any = self._root
        for step in unquote(name).split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            try:
                node = node[int(key)] if isinstance(node, list) else node[key]
            except (LookupError, TypeError, ValueError):
                raise _missing(reference) from None
        return node

    @cached_property
    def _anchors(self) -> dict[str, Mapping[str, object]]:
        """Looked for once: a schema may have as many anchors as references."""
        found: dict[str, Mapping[str, Any]] = {}
        for part in parts_of(self._root, with_shared=True):
            for name in set(_anchors_of(part)):
                if name in found:
                    raise SchemaError(
                        f"The JSON Schema has two parts called {name[:100]!r}, so it is not clear "
                        "which one a reference means. Rename one."
                    )
                found[name] = part
        return found


def _anchors_of(part: Mapping[str, object]) -> Iterator[str]:
    for keyword in _ANCHORS:
        name = part.get(keyword)
        if isinstance(name, str):
            yield name
    for keyword in _PLACES:
        name = part.get(keyword)
        if isinstance(name, str) and name.startswith("#"):
            yield name[1:]


def _missing(reference: str) -> SchemaError:
    return SchemaError(f"The JSON Schema refers to {reference[:100]!r}, which is not in it.")
