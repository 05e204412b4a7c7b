"""Checks a JSON Schema that nobody vouches for, before it is compiled.

Schemas come from users, and also from records that others may have edited. Nothing is ever
fetched for one, and what it unfolds to is bounded: a schema of twenty lines can stand for a
million parts, each of which is checked for every reply.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lionproc.errors import SchemaError

__all__ = ["MOST_LEVELS", "MOST_PARTS", "MOST_REFERENCES", "parts_of", "target", "vet"]

MOST_PARTS = 5000  # of a schema with its references followed; OpenAI takes 5,000 properties
MOST_LEVELS = 200  # objects and lists in the text of a schema, one in the other
MOST_REFERENCES = 100  # one leading to the next
_DRAFTS = frozenset(
    (
        *(f"json-schema.org/draft-{number}/schema" for number in ("04", "06", "07")),
        *(f"json-schema.org/draft/{year}/schema" for year in ("2019-09", "2020-12")),
    )
)
_NAMED = frozenset(
    (
        *("properties", "patternProperties", "dependentSchemas", "dependencies"),
        *("$defs", "definitions"),
    )
)
_SHARED = frozenset(("$defs", "definitions"))  # parts count where they are referred to
_DATA = frozenset(("enum", "const", "default", "examples", "required"))
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def vet(schema: Mapping[str, Any]) -> None:
    """Refuse a schema that wants something fetched, or that unfolds beyond reason.

    Args:
        schema: A JSON Schema.

    Raises:
        SchemaError: It names a draft that is not known, refers outside itself or to nothing, or
            is too deep or too large with its references followed.
    """
    _check_levels(schema)
    for part in parts_of(schema, with_shared=True):
        draft = part.get("$schema")
        if draft is not None and not _is_known(draft):
            raise SchemaError(
                f"The JSON Schema says it is written in {str(draft)[:100]!r}, which is no draft "
                "that is known here, and nothing is fetched: leave '$schema' out."
            )
    _Size(schema).of(schema, ())


def _is_known(draft: Any) -> bool:
    if not isinstance(draft, str):
        return False
    address = draft.removeprefix("https://").removeprefix("http://").removesuffix("#")
    return address != draft and address in _DRAFTS


def _check_levels(schema: Any) -> None:
    """A loop and no recursion, because it may be very deep, or contain itself."""
    layer = [schema]
    for _ in range(MOST_LEVELS):
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if isinstance(outer, Mapping) else outer)
            if isinstance(inner, Mapping | list | tuple)
        ]
        if not layer:
            return
        if len(layer) > 100 * MOST_PARTS:
            break
    raise SchemaError(
        f"The JSON Schema is nested deeper than {MOST_LEVELS} levels or contains itself. Put "
        "parts under '$defs' and refer to them with '$ref'."
    )


def parts_of(node: Mapping[str, Any], *, with_shared: bool) -> Iterator[Mapping[str, Any]]:
    """The schemas inside a schema, itself first; what is data and no schema is left out."""
    yield node
    for child in _children(node, with_shared=with_shared):
        yield from parts_of(child, with_shared=with_shared)


def _children(node: Mapping[str, Any], *, with_shared: bool) -> Iterator[Mapping[str, Any]]:
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


class _Size:
    """How many parts a schema has once its references are followed, each as often as it is."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[str, int] = {}

    def of(self, node: Mapping[str, Any], inside: tuple[str, ...]) -> int:
        size = 0
        for part in parts_of(node, with_shared=False):
            size += 1
            for keyword in _REFERENCES:
                reference = part.get(keyword)
                if isinstance(reference, str):
                    size += self._referred(reference, inside)
        if size > MOST_PARTS:
            raise SchemaError(
                f"The JSON Schema has more than {MOST_PARTS:,} parts once its references are "
                "followed, each of which is checked for every answer. Ask for less at once."
            )
        return size

    def _referred(self, reference: str, inside: tuple[str, ...]) -> int:
        if reference in inside:
            return 1
        if len(inside) >= MOST_REFERENCES:
            raise SchemaError(
                f"In the JSON Schema more than {MOST_REFERENCES} references lead from one to the "
                "next."
            )
        known = self._known.get(reference)
        if known is None:
            found = target(self._root, reference)
            known = self.of(found, (*inside, reference)) if isinstance(found, Mapping) else 1
            self._known[reference] = known
        return known


def target(root: Mapping[str, Any], reference: str) -> Any:
    """The part of a schema that a reference names.

    Raises:
        SchemaError: It is outside the schema, or nowhere.
    """
    if not reference.startswith("#"):
        raise SchemaError(
            f"The JSON Schema points to {reference[:100]!r}, outside itself. "
            "Nothing is fetched: put that schema under '$defs' and refer to it from there."
        )
    name = reference[1:]
    if name and not name.startswith("/"):
        for part in parts_of(root, with_shared=True):
            if name in {part.get("$anchor"), part.get("$dynamicAnchor")}:
                return part
    node: Any = root
    for step in filter(None, name.split("/")):
        key = step.replace("~1", "/").replace("~0", "~")
        try:
            node = node[int(key)] if isinstance(node, list) else node[key]
        except (LookupError, TypeError, ValueError):
            raise SchemaError(
                f"The JSON Schema refers to {reference[:100]!r}, which is not in it."
            ) from None
    return node
