"""From the JSON Schema of an answer back to a Python type that makes the same schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lionproc.errors import SchemaError
from lionproc.model.answer import Answer
from lionproc.model.made_type import NOT_MADE, made_like, made_of
from lionproc.model.vetting import vet

__all__ = ["shape_kept", "type_of_schema"]

_SAYS_NOTHING: Final = frozenset(("title", "description", "default"))


def shape_kept(answer: Answer) -> dict[str, object]:
    """The shape of answers, in JSON's types; what `type_of_schema` makes a type of.

    Args:
        answer: It.

    Returns:
        Its `label`, its `schema`, whether it is `bare`, whether it was the user's `own` schema, and
        `read_alike`: which type made of it reads all replies as the answer's own does ("model",
        "dataclass"; empty for none).
    """
    return {
        "label": answer.label,
        "schema": answer.json_schema,
        "bare": answer.is_wrapped,
        "own": answer.is_json_schema,
        "read_alike": _made_like(answer),
    }


def _made_like(answer: Answer) -> str:
    if answer.plain or answer.is_json_schema:
        return "model"
    schema = answer.json_schema or {}
    return made_like(answer.source, _inner(schema) if answer.is_wrapped else schema)


def type_of_schema(
    schema: Mapping[str, Any] | None, *, bare: bool, own: bool, alike: str | None = None
) -> object:
    """The type of the answers that were asked for with a JSON Schema, as `Answer.of` takes it.

    Args:
        schema: What `Answer.json_schema` was.
        bare: Whether the answer is one value, which the schema has as its one property.
        own: Whether the user gave the schema.
        alike: Which type made of it is known to read all replies as the one that was asked for;
            None where nobody has looked, as in older journals.

    Returns:
        A type that reads the same replies into columns of the same types. Where it is not known
        and none makes this schema, it is the schema itself, and columns of dates are texts.

    Raises:
        SchemaError: This is no schema that answers are asked for with, or nothing else reads them.
    """
    if schema is None:
        return str
    vet(schema)
    inner: Mapping[str, Any] = dict(schema)
    if bare:
        if own and not schema.get("properties"):
            return inner  # of an object without fields older journals say that it is bare
        inner = _inner(schema)
    if own:
        return inner
    if alike:
        return made_of(inner, alike)
    try:
        found = made_of(inner)
        if _bones(Answer.of(found).json_schema) == _bones(schema) or _is_simple(inner):
            return found
    except SchemaError:
        pass
    if bare and not Answer.of(inner).is_wrapped:  # it would read other replies
        raise SchemaError(NOT_MADE)
    return inner


def _inner(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a bare value, out of the one that has it as its one property."""
    properties = schema.get("properties", {})
    values = list(properties.values()) if isinstance(properties, Mapping) else []
    if len(values) != 1 or not isinstance(values[0], Mapping):
        raise SchemaError("The schema of a bare value has one property.")
    shared = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    return {**shared, **values[0]}


def _is_simple(inner: Mapping[str, object]) -> bool:
    return set(inner) <= {"type", "enum"}


def _bones(node: object) -> object:
    """A schema without what does not say which values it takes."""
    if isinstance(node, Mapping):
        if "properties" in node:
            properties = {name: _bones(inner) for name, inner in node["properties"].items()}
            rest = {key: _bones(value) for key, value in node.items() if key != "properties"}
            return {**_without_words(rest), "properties": properties}
        return _without_words({key: _bones(value) for key, value in node.items()})
    if isinstance(node, list):
        return [_bones(each) for each in node]
    return node


def _without_words(node: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in node.items() if key not in _SAYS_NOTHING}
