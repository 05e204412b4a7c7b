"""Checks a JSON Schema that nobody vouches for, before it is compiled.

Schemas come from users, and also from records that others may have edited. Nothing is ever
fetched for one, and what it unfolds to is bounded: a schema of twenty lines can stand for a
million parts, each of which is checked for every reply.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from lionproc.errors import SchemaError
from lionproc.model.one_hash import has_one_hash
from lionproc.model.references import (
    FOLLOWED,
    References,
    children_of,
    for_the_same,
    parts_of,
    patterns_in,
)

__all__ = [
    "LARGEST_SCHEMA",
    "MOST_LEVELS",
    "MOST_PARTS",
    "MOST_REFERENCES",
    "check_keywords",
    "check_length",
    "too_deep",
    "vet",
]

# Characters of JSON, which each request would have with it: those of a quarter of a million tokens.
# OpenAI takes 120,000 of names and values.
LARGEST_SCHEMA = 1_000_000

LABELS = 200  # of an enumeration that count as a part
LONG_DATA = 5000  # characters of names and values of a part that count as another
# To know what other parts have left, a validator holds the value against them again: measured,
# three times the work, and that at each of such parts that are one in the other.
CHECKED_AGAIN = 4
MOST_PARTS = 5000  # of a schema with its references followed; OpenAI takes 5,000 properties
MOST_WRITTEN = 4 * MOST_PARTS  # that stand in it
MOST_LEVELS = 200  # objects and lists in the text of a schema, one in the other
MOST_REFERENCES = 100  # one leading to the next
# Characters, which may take three seconds to be compiled: of each pattern the square counts.
LONGEST_PATTERN = 70_000
LONGEST_TOLD = 10_000  # characters of a schema of which all is told that is wrong with it
_DATA = ("enum", "const", "default", "examples", "required", "dependentRequired")
_UNEVALUATED = frozenset(("unevaluatedItems", "unevaluatedProperties"))
_DRAFTS = frozenset(
    (
        *(f"json-schema.org/draft-{number}/schema" for number in ("04", "06", "07")),
        *(f"json-schema.org/draft/{year}/schema" for year in ("2019-09", "2020-12")),
    )
)
_RECURSIVE = "$recursiveRef"


def vet(schema: Mapping[str, Any]) -> None:
    """Refuse a schema that wants something fetched, or that unfolds beyond reason.

    Args:
        schema: A JSON Schema.

    Raises:
        SchemaError: It names a draft that is not known, refers outside itself, to nothing or to
            what could be two parts, is too deep or too large with its references followed, or has
            parts that hold one value against themselves without end.
    """
    _check_levels(schema)
    try:
        _check_parts(schema)
    except RecursionError:
        raise too_deep() from None


def too_deep() -> SchemaError:
    """The error for a schema of which no end is seen, though it may have one."""
    return SchemaError(
        "The JSON Schema is nested too deeply with its references followed. Ask for less at once."
    )


def _check_parts(schema: Mapping[str, Any]) -> None:
    parts = list(parts_of(schema, with_shared=True))
    if len(parts) > MOST_WRITTEN:
        raise SchemaError(
            f"The JSON Schema has more than {MOST_WRITTEN:,} parts, with those that nothing refers to. "
            "Leave out what is not asked for."
        )
    _check_targets(schema, parts)
    if sum(len(each) ** 2 for part in parts for each in patterns_in(part)) > LONGEST_PATTERN**2:
        raise SchemaError(
            "The patterns of the JSON Schema are so long that to compile them may take very long, as one "
            f"of {LONGEST_PATTERN:,} characters does. List words in an enum, or give shorter ones."
        )
    for part in parts:
        choices = part.get("enum")
        if isinstance(choices, list) and has_one_hash(choices):
            raise SchemaError(
                "An enum of the JSON Schema has very many numbers of one hash, so that to tell them "
                "apart takes hours. Ask for a number."
            )
        draft = part.get("$schema")
        if draft is not None and not _is_known(draft):
            raise SchemaError(
                f"The JSON Schema says it is written in {str(draft)[:100]!r}, which is no draft "
                "that is known here, and nothing is fetched: leave '$schema' out."
            )
    old = any("draft-04" in str(part.get("$schema")) for part in parts)
    for part in parts[1:]:
        for keyword in ("$id", "id") if old else ("$id",):
            if _is_a_place(part.get(keyword)) and _refers(part):
                raise SchemaError(
                    f"A part of the JSON Schema has an address of its own, {keyword} "
                    f"{part[keyword][:100]!r}, where its references would be looked up: leave it "
                    "out, and put shared parts under '$defs' at the top."
                )
    _Size(schema).of(schema, ())
    _check_ends(schema)


def check_length(schema: Mapping[str, Any]) -> None:
    """Refuse a schema that is longer than any model could be asked with.

    Args:
        schema: A schema, vetted.

    Raises:
        SchemaError: It is.
        TypeError: It is no JSON.
        ValueError: It is none: it holds a NaN.
    """
    length = len(json.dumps(schema, allow_nan=False, ensure_ascii=False))
    if length > LARGEST_SCHEMA:
        raise SchemaError(
            f"The JSON Schema has {length:,} characters, and would be sent with each request: at "
            f"most {LARGEST_SCHEMA:,} are taken. Ask for less at once, or name the choices in words."
        )


def _check_targets(schema: Mapping[str, Any], parts: Iterable[Mapping[str, Any]]) -> None:
    """Refuse references to what is no part, but data: nothing there would be seen and bounded."""
    references = References(schema)
    known = set(map(id, parts))
    for part in parts:
        if part.get(_RECURSIVE, "#") != "#":  # its validator takes any for "#"
            raise SchemaError(
                f"The JSON Schema has {_RECURSIVE!r}: {str(part[_RECURSIVE])[:100]!r}, and that can be "
                "'#' alone, the whole of it. Put the part under '$defs' and refer to it with '$ref'."
            )
        for reference in map(part.get, FOLLOWED):
            if isinstance(reference, str):
                target = references.target(reference)
                if not isinstance(target, bool) and id(target) not in known:
                    raise SchemaError(
                        f"The JSON Schema refers to {reference[:100]!r}, where no schema stands, but "
                        "data or a list. Put that part under '$defs' and refer to it there."
                    )


def check_keywords(schema: dict[str, Any]) -> None:
    """Refuse what is no JSON Schema: keywords with values that they cannot have.

    A fault is told with all that was tried, and with the way to each: of a long schema gigabytes. So
    of one the keyword alone is looked for.

    Args:
        schema: A schema, vetted.

    Raises:
        jsonschema_rs.ValidationError: A short one is none.
        SchemaError: A long one is none.
    """
    import jsonschema_rs

    if jsonschema_rs.meta.is_valid(schema):
        return
    if len(json.dumps(schema)) <= LONGEST_TOLD:
        jsonschema_rs.meta.validate(schema)
    draft = {"$schema": schema["$schema"]} if "$schema" in schema else {}
    for part in parts_of(schema, with_shared=True):
        for keyword, value in part.items():
            own: dict[str, Any] = {**draft, keyword: value}
            has_parts = any(inner is not own for inner in parts_of(own, with_shared=True))
            if not has_parts and not jsonschema_rs.meta.is_valid(own):
                raise SchemaError(
                    f"This is no valid JSON Schema: {keyword[:100]!r} cannot be "
                    f"{json.dumps(value)[:100]}."
                )
    raise SchemaError("This is no valid JSON Schema.")


def _check_ends(schema: Mapping[str, Any]) -> None:
    """Refuse parts that hold a value against themselves again: twelve of them take for ever.

    Into a property or an item a circle may lead: there the value ends it.
    """
    references = References(schema)

    def ahead(part: Mapping[str, Any], inner: Iterable[object]) -> list[Mapping[str, Any]]:
        named = [part[keyword] for keyword in FOLLOWED if isinstance(part.get(keyword), str)]
        found = [*inner, *map(references.target, named)]
        return [each for each in found if isinstance(each, Mapping)]

    waiting, seen, done = [schema], {id(schema)}, set[int]()
    while waiting:  # each part that is used
        for start in parts_of(waiting.pop(), with_shared=False):
            way = [(start, iter(ahead(start, for_the_same(start))))]
            inside = {id(start)}
            while way:
                part, rest = way[-1]
                following = next((each for each in rest if id(each) not in done), None)
                if following is None:
                    inside.discard(id(part))
                    done.add(id(part))
                    way.pop()
                elif id(following) in inside:
                    raise SchemaError(
                        "In the JSON Schema a part refers to itself for the same value, which has "
                        "no end. It may do so for a property or an item."
                    )
                else:
                    inside.add(id(following))
                    way.append((following, iter(ahead(following, for_the_same(following)))))
            new = [each for each in ahead(start, ()) if id(each) not in seen]
            waiting += new
            seen.update(map(id, new))


def _is_a_place(name: object) -> bool:
    """Whether a part with this name is a root of its own: `#` in it does not mean the whole."""
    return isinstance(name, str) and not name.startswith("#")


def _refers(part: Mapping[str, object]) -> bool:
    inside = parts_of(part, with_shared=True)
    return any(not part.keys().isdisjoint(FOLLOWED) for part in inside)


def _is_known(draft: object) -> bool:
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


class _Size:
    """How many parts a schema has once its references are followed, each as often as it is."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._references = References(root)
        self._known: dict[str, int] = {}

    def of(self, node: Mapping[str, Any], inside: tuple[str, ...]) -> int:
        labels = node.get("enum")
        data = [node[keyword] for keyword in _DATA if keyword in node]
        size = 1 + max(
            len(labels) // LABELS if isinstance(labels, list) else 0,
            len(json.dumps(data, default=str)) // LONG_DATA if data else 0,
        )
        times = 1 if _UNEVALUATED.isdisjoint(node) else CHECKED_AGAIN
        again = {id(part) for part in (*for_the_same(node), node.get("contains"))}
        for part in children_of(node, with_shared=False):
            size += self.of(part, inside) * (times if id(part) in again else 1)
        for keyword in FOLLOWED:
            reference = node.get(keyword)
            if isinstance(reference, str):
                size += self._referred(reference, inside) * times
        if size > MOST_PARTS:
            raise SchemaError(
                f"The JSON Schema has more than {MOST_PARTS:,} parts once its references are "
                "followed, each of which is checked for every answer; long lists of names and values "
                "count as several, and parts that 'unevaluated' keywords look at again count "
                f"{CHECKED_AGAIN} times. Ask for less at once."
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
            found = self._references.target(reference)
            known = self.of(found, (*inside, reference)) if isinstance(found, Mapping) else 1
            self._known[reference] = known
        return known
