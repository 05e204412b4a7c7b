"""A Python type made of the JSON Schema that pydantic has made of one."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, make_dataclass
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, TypeAdapter, create_model
from pydantic import Field as PydanticField

from lionproc.errors import SchemaError
from lionproc.model.answer import Answer
from lionproc.model.any_field_name import AnyFieldName
from lionproc.model.pattern_work import cost_of
from lionproc.model.same_reading import read_alike
from lionproc.model.vetting import check_length, vet
from lionproc.schema_sample import CLOCK

__all__ = ["NOT_MADE", "made_like", "made_of"]

_Schema: TypeAlias = "Mapping[str, Any]"
_Fields: TypeAlias = "dict[str, tuple[Any, Mapping[str, Any]]]"
"""Of each field its type, and how it is made where a reply has none; nothing where it must."""
_Make: TypeAlias = "Callable[[str, _Fields, str], type]"
_PLAIN: Final[Mapping[str, type]] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": type(None),
}
_FORMATS: Final[Mapping[str, type]] = {
    "date": dt.date,
    "date-time": dt.datetime,
    "time": dt.time,
    "duration": dt.timedelta,
    "uuid": uuid.UUID,
}
_BOUNDS: Final[Mapping[str, str]] = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
    "minProperties": "min_length",
    "maxProperties": "max_length",
    "pattern": "pattern",
}
_EMPTY: Final[Mapping[str, type]] = {"array": list, "object": dict}
_DEEPEST: Final = 50
_MOST_MEMBERS: Final = 5000
_MOST_KINDS: Final = 50
_MOST_COMPILED: Final = 20_000  # what all patterns may cost together: about a second
NOT_MADE: Final = (
    "The type of the answers, a record or null, cannot be made again from what the journal keeps. "
    "Run the same call again: what the journal has is not sent."
)


def made_like(source: Any, schema: _Schema) -> str:
    """Which type made of the JSON Schema of a type reads and writes all answers as it does.

    Args:
        source: The type.
        schema: Its schema.

    Returns:
        "model" or "dataclass", for what the records in it are; empty where none does.
    """
    for records in _RECORDS:
        with contextlib.suppress(Exception):  # whatever it is, there is no such type
            kinds = (source, _made(schema, records))
            cores: list[Any] = [TypeAdapter(each).core_schema for each in kinds]
            if read_alike(*cores):
                return records
    return ""


def made_of(schema: _Schema, records: str = "model") -> object:
    """A type that makes a JSON Schema.

    Args:
        schema: It, as pydantic makes it.
        records: What the records in it are: "model" or "dataclass".

    Raises:
        SchemaError: It is no such schema, or no type can be made of it.
    """
    vet(schema)  # whoever keeps it may have edited it: types are made of all that it unfolds to
    check_length(schema)
    try:
        made = _made(schema, records)
        Answer.of(made)
    except Exception as error:  # a bound that pydantic's core does not take, a name, ...
        raise SchemaError(NOT_MADE) from error
    return made


def _made(schema: _Schema, records: str) -> Any:
    made = _Types(schema.get("$defs", {}), _RECORDS[records]).of(schema, _DEEPEST)
    if made is str:
        return Annotated[str, "asked for as JSON, as each type is that has a schema"]
    return made


class _Open(BaseModel, metaclass=AnyFieldName):
    """Whose fields may have any name."""


class _Closed(_Open):
    model_config = ConfigDict(extra="forbid")


class _Keeping(_Open):
    model_config = ConfigDict(extra="allow")


def _model(called: str, fields: _Fields, extra: str) -> type:
    if any(name.startswith("model_") and hasattr(BaseModel, name) for name in fields):
        raise LookupError("pydantic has a use for the name")
    base = {"forbid": _Closed, "allow": _Keeping}.get(extra, _Open)
    given: dict[str, Any] = {
        name: (kind, PydanticField(**how) if how else ...) for name, (kind, how) in fields.items()
    }
    return create_model(called, __base__=base, **given)


def _dataclass(called: str, fields: _Fields, extra: str) -> type:
    if extra == "allow":
        raise LookupError("a dataclass does not keep more than its fields")
    given = [(name, kind, field(**how)) for name, (kind, how) in fields.items()]
    made = make_dataclass(called, given, kw_only=True)
    # Said in any case: else it has that of who holds it.
    setattr(made, "__pydantic_config__", {"extra": extra})  # noqa: B010  (a class has no such name)
    return made


_RECORDS: Final[Mapping[str, _Make]] = {"model": _model, "dataclass": _dataclass}


class _Types:
    """The types of the parts of a schema; what is shared is made once.

    Args:
        shared: The parts that references lead to, by name.
        make: Makes a class of the fields of a record.
    """

    def __init__(self, shared: _Schema, make: _Make) -> None:
        self._shared = shared
        self._make = make
        self._made: dict[str, Any] = {}
        self._cost: dict[str, int] = {}
        self._left = _MOST_COMPILED

    def of(self, schema: _Schema, deepest: int, name: str = "Answer") -> Any:
        """The type that a part describes; LookupError where there is none."""
        if not deepest:
            raise LookupError("it is nested too deep")
        if "$ref" in schema:
            return self._referred(str(schema["$ref"]).rpartition("/")[2], deepest - 1)
        if "enum" in schema or "const" in schema:
            return _literal(tuple(schema.get("enum", (schema.get("const"),))))
        if "anyOf" in schema:
            return self._one_of(schema["anyOf"], deepest)
        if schema["type"] == "string" and ("format" in schema or schema.get("pattern") == CLOCK):
            return _FORMATS[schema.get("format", "time")]
        return self._bounded(schema, deepest, name)

    def _bounded(self, schema: _Schema, deepest: int, name: str) -> Any:
        kind = schema["type"]
        bounds = {word: schema[name] for name, word in _BOUNDS.items() if name in schema}
        if isinstance(pattern := bounds.get("pattern"), str):
            self._take(cost_of(pattern))
        if kind == "array" and "prefixItems" in schema:
            items: Any = tuple(self.of(part, deepest - 1) for part in schema["prefixItems"])
            return tuple[items]
        if kind == "array":
            inner: Any = self.of(schema["items"], deepest - 1)
            if not schema.get("uniqueItems"):
                return _bound(list[inner], bounds)
            if isinstance(inner, type) and inner.__hash__ is None:
                raise LookupError("records that are made here are in no set")
            return _bound(set[inner], bounds)
        if kind == "object" and "properties" in schema:
            return self._record(schema, deepest, name)
        if kind == "object":
            inner = self.of(schema["additionalProperties"], deepest - 1)
            return _bound(dict[str, inner], bounds)
        return _bound(_PLAIN[kind], bounds)

    def _one_of(self, parts: Sequence[_Schema], deepest: int) -> Any:
        if [part.get("type") for part in parts] == ["number", "string"]:
            return Decimal  # which is asked for so
        if len(parts) > _MOST_KINDS:  # each is held against all others
            raise LookupError("it is one of very many kinds")
        made = self.of(parts[0], deepest - 1)
        for part in parts[1:]:
            made |= self.of(part, deepest - 1)
        return made

    def _referred(self, name: str, deepest: int) -> Any:
        if name in self._made:
            self._take(self._cost[name])
        else:
            before = self._left
            self._made[name] = self.of(self._shared[name], deepest, name)
            self._cost[name] = before - self._left
        return self._made[name]

    def _take(self, cost: int) -> None:
        """Let a pattern be compiled, which pydantic does several times wherever it stands."""
        self._left -= cost
        if self._left < 0:
            raise LookupError("its patterns are too large")

    def _record(self, schema: _Schema, deepest: int, called: str) -> type:
        required = set(schema.get("required", ()))
        fields = {
            name: (self.of(inner, deepest - 1), {} if name in required else _default(inner))
            for name, inner in schema["properties"].items()
        }
        if any(name.startswith("_") or not name.isidentifier() for name in fields):
            raise LookupError("this is the name of no field")
        extra = {"False": "forbid", "True": "allow"}.get(str(schema.get("additionalProperties")))
        return self._make(called, fields, extra or "ignore")


def _default(inner: _Schema) -> _Schema:
    empty = _EMPTY.get(inner.get("type", ""))
    if empty is not None and "default" not in inner:
        return {"default_factory": empty}  # which no schema has
    return {"default": inner.get("default")}


def _bound(kind: Any, bounds: _Schema) -> Any:
    return Annotated[kind, PydanticField(**bounds)] if bounds else kind


def _literal(members: tuple[Any, ...]) -> Any:
    if not 0 < len(members) <= _MOST_MEMBERS:
        raise LookupError("there are none to choose from, or so many that their type takes long")
    return Literal[members]
