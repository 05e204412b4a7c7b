"""From the JSON Schema of an answer back to a Python type that makes the same schema."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, create_model

from lionproc.errors import SchemaError
from lionproc.model.answer import Answer
from lionproc.model.vetting import vet

__all__ = ["type_of_schema"]

_PLAIN: Final[Mapping[str, type]] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
}
_FORMATS: Final[Mapping[str, type]] = {
    "date": dt.date,
    "date-time": dt.datetime,
    "time": dt.time,
    "duration": dt.timedelta,
    "uuid": uuid.UUID,
}
_DEEPEST: Final = 50
_MOST_MEMBERS: Final = 5000
_SAYS_NOTHING: Final = frozenset(("title", "description", "default"))


def type_of_schema(schema: Mapping[str, Any] | None, *, bare: bool, own: bool) -> object:
    """The type of the answers that were asked for with a JSON Schema, as `Answer.of` takes it.

    Args:
        schema: What `Answer.json_schema` was.
        bare: Whether the answer is one value, which the schema has as its one property.
        own: Whether the user gave the schema.

    Returns:
        A type that reads the same replies into columns of the same types. Where none makes this
        schema, it is the schema itself, and columns of dates are texts.

    Raises:
        SchemaError: This is no schema that answers are asked for with, or nothing else reads them.
    """
    if schema is None:
        return str
    vet(schema)  # whoever keeps it may have edited it: types are made of all that it unfolds to
    inner: dict[str, Any] = dict(schema)
    if bare:
        properties = schema.get("properties", {})
        if own and not properties:
            return inner  # of an object without fields older journals say that it is bare
        if not isinstance(properties, Mapping) or len(properties) != 1:
            raise SchemaError("The schema of a bare value has one property.")
        shared = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
        inner = {**shared, **dict(*properties.values())}
    if not own:
        try:
            found: object = _Types(inner.get("$defs", {})).of(inner, _DEEPEST)
            if _bones(Answer.of(found).json_schema) == _bones(schema) or _is_simple(inner):
                return found
        except (LookupError, TypeError, ValueError):  # SchemaError is a ValueError
            pass
        if bare and not Answer.of(inner).is_wrapped:  # it would read other replies
            raise SchemaError(
                "The type of the answers, a record or null, cannot be made again from what the journal "
                "keeps. Run the same call again: what the journal has is not sent."
            )
    return inner


def _is_simple(inner: Mapping[str, object]) -> bool:
    return set(inner) <= {"type", "enum"}


class _Types:
    """The types of the parts of a schema; what is shared is made once.

    Args:
        shared: The parts that references lead to, by name.
    """

    def __init__(self, shared: Mapping[str, Any]) -> None:
        self._shared = shared
        self._made: dict[str, Any] = {}

    def of(self, schema: Mapping[str, Any], deepest: int, name: str = "Answer") -> Any:
        """The type that a part describes; LookupError where there is none."""
        if not deepest:
            raise LookupError("it is nested too deep")
        if "$ref" in schema:
            return self._referred(str(schema["$ref"]).rpartition("/")[2], deepest - 1)
        if "enum" in schema:
            return _literal(tuple(schema["enum"]))
        if "const" in schema:
            return Literal[schema["const"]]
        if "anyOf" in schema:
            kinds = [part for part in schema["anyOf"] if part != {"type": "null"}]
            if len(kinds) != 1 or len(schema["anyOf"]) > len(kinds) + 1:
                raise LookupError("it is one of several")
            return self.of(kinds[0], deepest - 1) | None
        kind = schema["type"]
        if kind == "string" and "format" in schema:
            return _FORMATS[schema["format"]]
        if kind == "array":
            return list[self.of(schema["items"], deepest - 1)]  # type: ignore[misc]
        if kind == "object":
            return self._record(schema, deepest, name)
        return _PLAIN[kind]

    def _referred(self, name: str, deepest: int) -> Any:
        if name not in self._made:
            self._made[name] = self.of(self._shared[name], deepest, name)
        return self._made[name]

    def _record(self, schema: Mapping[str, Any], deepest: int, called: str) -> Any:
        if "properties" not in schema:
            return dict[str, self.of(schema["additionalProperties"], deepest - 1)]  # type: ignore[misc]
        required = set(schema.get("required", ()))
        fields: dict[str, Any] = {}
        for name, inner in schema["properties"].items():
            own = name.startswith("model_") and hasattr(BaseModel, name)  # pydantic's
            if own or not name.isidentifier() or name.startswith("_"):
                raise LookupError(f"{name!r} is the name of no field")
            kind = self.of(inner, deepest - 1)
            fields[name] = (kind, ...) if name in required else (kind, inner.get("default"))
        return create_model(called, **fields)


def _literal(members: tuple[Any, ...]) -> Any:
    if not 0 < len(members) <= _MOST_MEMBERS:
        raise LookupError("there are none to choose from, or so many that their type takes long")
    return Literal[members]


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
