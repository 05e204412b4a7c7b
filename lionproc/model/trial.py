"""Before anything is sent, an answer type is tried on answers that are made up.

`Field(ge=10, le=5)` asks for what nobody can answer, and each row would pay three times to find
that out. A type is refused only where that is certain: no made-up answer passes, and what is
wrong with them is a bound or a missing name that the schema itself contradicts. A pattern or a
validator of the user's own may want what cannot be made up, so it is believed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from lionproc.errors import CallError, SchemaError
from lionproc.model.validate import Check, WrongError
from lionproc.schema_sample import instance

__all__ = ["try_out"]

TRIES = 16
# What is followed when an answer is made up, and so may be held against the schema.
_FOLLOWED = frozenset(
    (
        *("type", "properties", "required", "additionalProperties", "items", "prefixItems"),
        *("enum", "const", "anyOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        *("minLength", "maxLength", "minItems", "maxItems", "$ref", "$defs", "definitions"),
        *("title", "description", "default", "examples", "deprecated", "$schema", "$comment"),
        *("discriminator", "format"),
    )
)
# pydantic's words for a bound that was missed or a name that was expected.
_CERTAIN = frozenset(
    (
        *("greater_than", "greater_than_equal", "less_than", "less_than_equal"),
        *("too_short", "too_long", "string_too_short", "string_too_long", "missing"),
        "not_self",  # ours, for a validator that returns something else
        # and those of JSON Schema
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"),
        *("minItems", "maxItems", "required", "type", "enum", "const"),
    )
)


def try_out(schema: Mapping[str, Any], check: Check, label: str) -> None:
    """Refuse a schema that no answer can pass.

    Args:
        schema: As the model is asked for it.
        check: What its answers are held against.
        label: What to call the type in a message.

    Raises:
        SchemaError: Nothing passes; the message says what stands in the way.
    """
    reason = ""
    for seed in range(2 * TRIES):
        try:
            made = instance(schema, seed // 2, smallest=bool(seed % 2))
        except SchemaError as error:
            reason = str(error)
            continue
        except (LookupError, TypeError, ValueError, ArithmeticError, RecursionError):
            return  # a part that cannot be made up
        try:
            check(json.dumps(made))
        except WrongError as wrong:
            if not wrong.words or not wrong.words <= _CERTAIN:
                return
            path, message = wrong.faults[0]
            where = ".".join(map(str, path))
            reason = f"{where}: {message}" if where else message
        except (CallError, TypeError, ValueError):
            return
        else:
            return
    if not _FOLLOWED.issuperset(_keywords(schema)):
        return
    raise SchemaError(
        f"No answer can be right for {label}: of {2 * TRIES} made-up ones that match its schema "
        f"none passes its own checks ({reason}). Look for bounds that exclude each other and for "
        "names (validation_alias) that the schema does not show."
    )


def _keywords(node: object) -> Iterator[str]:
    """Every keyword of a schema; names of properties are none."""
    if not isinstance(node, Mapping):
        return
    for keyword, value in node.items():
        yield keyword
        if keyword in {"properties", "$defs", "definitions"} and isinstance(value, Mapping):
            inner = list(value.values())
        elif keyword in {"enum", "const", "default", "examples"}:
            continue
        else:
            inner = value if isinstance(value, list) else [value]
        for part in inner:
            yield from _keywords(part)
