"""Which JSON Schemas are plain: of keywords of which all is known that they may take.

A plain one is compiled and checked in this process, as most are. What is known of it is measured: how
deep it goes, and that the work of each part with a value grows with the length of the value at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lionproc.model.references import References

__all__ = ["is_plain"]

MOST_PARTS: Final = 1000
_NAMED: Final = frozenset(("properties", "patternProperties", "$defs", "definitions"))
_PARTS: Final = frozenset(
    (
        *("items", "prefixItems", "contains", "additionalProperties"),
        *("anyOf", "oneOf", "allOf", "not", "if", "then", "else"),
    )
)
_BOUNDS: Final = frozenset(
    (
        *("type", "required", "enum", "const", "format", "pattern", "uniqueItems"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"),
        *("minItems", "maxItems", "minContains", "maxContains"),
        *("minProperties", "maxProperties", "dependentRequired"),
    )
)
# What nobody follows, and so may be anything: "x-..." as well.
_SAID: Final = frozenset(
    (
        *("title", "description", "default", "examples", "example", "$schema", "$id", "id"),
        *("$comment", "deprecated", "readOnly", "writeOnly", "nullable", "discriminator"),
    )
)


def is_plain(schema: Mapping[str, Any]) -> bool:
    """Whether a schema has such keywords alone, in few parts, and refers to such parts alone.

    Args:
        schema: The schema, vetted.
    """
    waiting: list[Any] = [schema]
    referred: list[str] = []
    seen: set[int] = set()
    left = MOST_PARTS  # each as often as it stands there
    while waiting:
        part = waiting.pop()
        if not isinstance(part, Mapping):  # true and false are schemas
            continue
        seen.add(id(part))
        left -= 1
        if left < 0:
            return False
        for keyword, value in part.items():
            if keyword in _NAMED and isinstance(value, Mapping):
                waiting += value.values()
            elif keyword in _PARTS:
                waiting += value if isinstance(value, list) else [value]
            elif keyword == "$ref" and isinstance(value, str):
                referred.append(value)
            elif not (keyword in _BOUNDS or keyword in _SAID or keyword.startswith("x-")):
                return False
    references = References(schema)
    return all(id(references.target(each)) in seen for each in {*referred})
