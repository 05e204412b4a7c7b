"""The JSON Schema that goes over the wire: pydantic's, made as small and as strict as it can be.

OpenAI's strict mode is a subset of JSON Schema: every object is closed and every property
required, and some keywords are refused (developers.openai.com, "Structured outputs, supported
schemas"). What the subset lacks is left out on the wire and still checked when the reply is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = [
    "compact",
    "is_strict",
    "property_name",
    "schema_name",
    "shallow",
    "strict",
    "with_an_end",
]

OPEN_ITEMS = 16
_IMPOSSIBLE = ("allOf", "not", "if", "then", "else", "patternProperties", "prefixItems")
_LEFT_OUT = frozenset(
    (
        *("default", "title", "examples", "discriminator", "minLength", "maxLength"),
        *("uniqueItems", "contains", "minContains", "maxContains", "minProperties"),
        *("maxProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties"),
        *("dependentRequired", "contentEncoding", "contentMediaType", "deprecated"),
        *("readOnly", "writeOnly"),
    )
)
_FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
)
_NAMED = frozenset(("properties", "$defs", "definitions", "patternProperties", "dependentSchemas"))
_PARTS = frozenset(("anyOf", "oneOf", "allOf", "prefixItems"))
_INSIDE = frozenset(("items", "additionalProperties", "not", "if", "then", "else"))
_SAYS_WHAT_IS_IN_IT = frozenset(
    ("properties", "additionalProperties", "patternProperties", "$ref", *_PARTS)
)
_DATA = frozenset(("enum", "const", "default", "examples", "required"))


def schema_name(text: object) -> str:
    """A name that providers accept for a schema or a property: at most 64 of [A-Za-z0-9_-].

    Example:
        >>> schema_name("the mood (1-5)")
        'the_mood_1-5'
    """
    return re.sub(r"[^A-Za-z0-9_-]+", "_", str(text)).strip("_")[:64] or "answer"


def property_name(text: object | None) -> str:
    """The property a bare answer is asked for under: the column's name, or "answer"."""
    return "answer" if text is None else schema_name(text)


def compact(schema: Mapping[str, object]) -> dict[str, Any]:
    """A copy without the titles that pydantic adds: they are tokens in every request."""
    made: dict[str, Any] = _copy(schema, frozenset(("title",)))
    return made


def strict(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema in OpenAI's strict subset.

    Args:
        schema: A JSON Schema whose top level is an object, or a reference to one.

    Returns:
        A copy with every object closed, every property required and the rest left out, or
        None where that would change what can be said: free-form objects, made-up keys, tuples.
    """
    root: dict[str, Any] = _copy(schema, _LEFT_OUT)
    if "$ref" in root:  # a model that contains itself: strict mode wants an object at the top
        target = root.get("$defs", {}).get(str(root.pop("$ref")).rpartition("/")[2], {})
        root = {**_copy(target, frozenset()), **root}
    if root.get("type") != "object":
        return None
    for node in _nodes(root):
        if not _tighten(node):
            return None
    return root


def is_strict(schema: Mapping[str, object]) -> bool:
    """Whether a user's own schema is in the strict subset as it stands."""
    return strict(schema) == compact(schema)


def _tighten(node: dict[str, Any]) -> bool:
    """Close one node in place; False where strict mode cannot express it."""
    if any(keyword in node for keyword in _IMPOSSIBLE):
        return False
    if "oneOf" in node:
        node["anyOf"] = node.pop("oneOf")
    if "$ref" in node and len(node) > 1 and "$defs" not in node:
        # strict mode takes no neighbours of $ref; a description is worth keeping
        node["anyOf"] = [{"$ref": node.pop("$ref")}]
    if node.get("format", "date") not in _FORMATS:
        del node["format"]
    if "(?" in node.get("pattern", ""):  # lookarounds are refused
        del node["pattern"]
    kind = node.get("type")
    if kind == "array" and not node.get("items"):
        return False
    if kind == "object":
        if not node.get("properties") or node.get("additionalProperties") not in (None, False):
            return False
        node["additionalProperties"] = False
        if set(node.get("required", ())) != set(node["properties"]):
            node["required"] = list(node["properties"])
    return kind is not None or any(k in node for k in ("anyOf", "$ref", "enum", "const"))


def shallow(schema: Mapping[str, object], levels: int) -> dict[str, Any]:
    """The schema with an end to what it leaves open.

    `{"type": "object"}` allows objects in objects without end, and a very small model nests them
    until its context is full. What the schema says itself stays as it is, and every answer to
    the result is one to the schema.

    Args:
        schema: A JSON Schema.
        levels: How many lists and objects, one in the other, an open place may hold. Its lists
            have at most `OPEN_ITEMS` items, for such a model also counts without end.

    Example:
        >>> shallow({"type": "array"}, 1)["items"]
        {'type': ['string', 'number', 'boolean', 'null']}
    """
    made: dict[str, Any] = _shallow(schema, levels)
    return made


def with_an_end(format_: Mapping[str, Any] | None, levels: int | None) -> dict[str, Any] | None:
    """A `response_format` whose schema is `shallow`.

    Args:
        format_: As an answer type asks for it; None for none.
        levels: As for `shallow`; None leaves it as it is.
    """
    if format_ is None or levels is None:
        return None if format_ is None else dict(format_)
    inner = format_["json_schema"]
    return {**format_, "json_schema": {**inner, "schema": shallow(inner["schema"], levels)}}


def _shallow(node: object, levels: int) -> Any:
    if node is True or node == {}:
        return _anything(levels)
    if not isinstance(node, Mapping):
        return node
    made: dict[str, Any] = {}
    for key, value in node.items():
        if key in _NAMED and isinstance(value, Mapping):
            made[key] = {name: _shallow(inner, levels) for name, inner in value.items()}
        elif key in _PARTS and isinstance(value, list):
            made[key] = [_shallow(inner, levels) for inner in value]
        else:
            made[key] = _shallow(value, levels) if key in _INSIDE else value
    if made.get("type") == "array" and not made.keys() & {"items", "prefixItems"}:
        made = {"maxItems": OPEN_ITEMS, **made, "items": _anything(levels - 1)}
    if made.get("type") == "object" and not made.keys() & _SAYS_WHAT_IS_IN_IT:
        made["additionalProperties"] = _anything(levels - 1)
    return made


def _anything(levels: int) -> dict[str, Any]:
    scalar = {"type": ["string", "number", "boolean", "null"]}
    if levels < 1:
        return scalar
    inner = _anything(levels - 1)
    many = {"type": "array", "items": inner, "maxItems": OPEN_ITEMS}
    return {"anyOf": [scalar, many, {"type": "object", "additionalProperties": inner}]}


def _copy(node: object, without: frozenset[str]) -> Any:
    if isinstance(node, list):
        return [_copy(item, without) for item in node]
    if not isinstance(node, Mapping):
        return node
    made: dict[str, Any] = {}
    for key, value in node.items():
        if key in without:
            continue
        if key in _DATA:
            made[key] = value
        elif key in _NAMED and isinstance(value, Mapping):  # its keys are names, not keywords
            made[key] = {name: _copy(inner, without) for name, inner in value.items()}
        else:
            made[key] = _copy(value, without)
    return made


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every schema inside a schema, itself first."""
    yield node
    for key, value in list(node.items()):
        if key in _DATA:
            continue
        if key in _NAMED:
            inner = list(value.values())
        else:
            inner = value if isinstance(value, list) else [value]
        for child in inner:
            if isinstance(child, dict):
                yield from _nodes(child)
