"""What an answer looks like, how it is asked for, and how a reply becomes one."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Mapping
from functools import cached_property
from operator import attrgetter
from typing import Any

import orjson
from pydantic import Field as PydanticField
from pydantic import TypeAdapter, create_model

from lionproc.errors import SchemaError
from lionproc.model import schema as wire
from lionproc.model.annotation import (
    ASK_FOR,
    field_types,
    label_of,
    refuse,
    shapes_of_type,
    type_adapter,
)
from lionproc.model.answer_parser import Form, Read, read_either, read_text
from lionproc.model.answer_writer import Write, write_json, write_text
from lionproc.model.as_json import to_json
from lionproc.model.canonical import canonical
from lionproc.model.effort import Weighed, schema_check
from lionproc.model.familiar import remembering
from lionproc.model.references import FOLLOWED
from lionproc.model.refused_parts import refuse_parts
from lionproc.model.shape import AskedSchema, Json, Map, Record, Shape, Text, shape_of, walk
from lionproc.model.trial import try_out
from lionproc.model.validate import TypeCheck
from lionproc.model.vetting import check_keywords, check_length, too_deep, vet

__all__ = ["Answer", "Field"]

MOST_QUOTED = 300  # characters of what is wrong with a schema
_SAYING = frozenset(
    ("type", "properties", "items", "enum", "const", "anyOf", "oneOf", "allOf", "$ref")
)  # the keywords of JSON Schema that say what a value is; the others only narrow it


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One top-level field of an answer, which becomes one column.

    Attributes:
        name: As it is called in Python, or in the user's JSON Schema.
        annotation: The field's type; for a JSON Schema, its part of the schema.
        shape: What the column has to hold.
        key: As it is called in the JSON of a reply.
    """

    name: str
    annotation: Any
    shape: Shape
    key: str


@dataclasses.dataclass(frozen=True)
class Answer:
    """What is asked of the model for every row. Made with `Answer.of`.

    Attributes:
        label: A short name for people: "'positive' | 'negative'", "Review", "list[str]".
        name: What the schema is called on the wire, and the property a bare value is under.
        shape: What the columns have to hold.
        fields: One per column for models and objects; None where the answer is one column.
        answered: From the text of a reply to the value and the cell of its column. Raises
            `CallError` of kind empty or wrong_shape, with a message fit to be sent back to the
            model so that it corrects itself: the place and what was expected, not the text of
            the reply.
        written: From a cell to the text of a reply that has this answer, in the form that is
            asked for; what trains a model. Raises `CallError` of kind wrong_shape for a cell that
            is no answer.
        is_wrapped: Whether it is a bare value, asked for inside an object with one property.

    Example:
        >>> from typing import Literal
        >>> mood = Answer.of(Literal["positive", "negative"], name="mood")
        >>> mood.read('{"mood": "positive"}')
        'positive'
        >>> mood.label
        "'positive' | 'negative'"
    """

    label: str
    name: str
    shape: Shape
    fields: tuple[Field, ...] | None
    answered: Read = dataclasses.field(repr=False)
    written: Write = dataclasses.field(repr=False)
    _schema: Mapping[str, Any] | None = dataclasses.field(repr=False)
    _own: bool = dataclasses.field(repr=False)
    is_wrapped: bool = dataclasses.field(default=False, repr=False, kw_only=True)
    _source: tuple[Any, object | None] = dataclasses.field(
        default=(str, None), repr=False, init=False
    )

    @classmethod
    def of(cls, schema: Any = str, *, name: object | None = None) -> Answer:
        """Understand an answer type.

        Bare values (int, Literal, list, ...) are asked for inside an object with one property:
        small models answer far better so, and OpenAI's strict mode takes nothing else.

        Args:
            schema: str, int, float, bool, Literal, Enum, list[...], Optional, a pydantic
                model, a dataclass, a TypedDict, any other type pydantic reads from JSON, or a
                JSON Schema as a dict.
            name: What a bare value is called on the wire, the name of its column for example.
                Characters outside [A-Za-z0-9_-] are replaced. "answer" if not given.

        Returns:
            The answer.

        Raises:
            SchemaError: This cannot be asked for; the message says why, and what can.
        """
        try:
            answer = cls._understood(schema, name)
        except RecursionError:
            raise too_deep() from None
        try:
            orjson.dumps(answer.json_schema)
        except TypeError as error:
            raise SchemaError(
                f"{answer.label[:60]} cannot be asked for: no request can carry its schema ({error}). "
                f"{ASK_FOR}"
            ) from None
        object.__setattr__(answer, "_source", (schema, name))
        return answer

    @classmethod
    def _understood(cls, schema: object, name: object | None) -> Answer:
        if schema is str:
            called = wire.property_name(name)
            return cls("str", called, Text(), None, read_text, write_text, None, _own=False)
        if isinstance(schema, Mapping):
            return _of_json_schema(cls, dict(schema), name)
        refuse(schema)
        return _of_type(cls, schema, name)

    def read(self, text: str) -> Any:
        """The value in the text of a reply.

        Raises:
            CallError: See `answered`.
        """
        return self.answered(text).value

    def read_json(self, value: object) -> Any:
        """The value that has been kept as JSON, as `as_json.plain` makes it.

        Args:
            value: What was kept, without the object that a bare value is asked for in.

        Raises:
            CallError: See `answered`.
        """
        return self.read(to_json({self.name: value} if self.is_wrapped else value).decode())

    def __reduce__(self) -> tuple[object, ...]:
        return _again, self._source  # the reader is made of closures; make it anew

    @property
    def plain(self) -> bool:
        """Whether the text of the reply is the answer, and no structure is asked for."""
        return self._schema is None

    @property
    def is_json_schema(self) -> bool:
        """Whether it was given as a JSON Schema, and not as a type."""
        return self._own

    @property
    def source(self) -> Any:
        """What it was made of: a type, or a JSON Schema."""
        return self._source[0]

    @property
    def json_schema(self) -> Mapping[str, Any] | None:
        """The JSON Schema a reply has to match, None for plain text."""
        return self._schema

    @cached_property
    def _strict_schema(self) -> dict[str, Any] | None:
        if self._schema is None:
            return None
        if self._own:  # a user's own schema goes out as it is, or not as strict
            return dict(self._schema) if wire.is_strict(self._schema) else None
        return wire.strict(self._schema)

    @cached_property
    def _formats(self) -> dict[bool, dict[str, Any]]:
        made = {}
        for wanted in (True, False):
            strict = self._strict_schema if wanted else None
            made[wanted] = {
                "type": "json_schema",
                "json_schema": {
                    "name": self.name,
                    "schema": strict or dict(self._schema or {}),
                    "strict": strict is not None,
                },
            }
        return made

    def response_format(self, strict: bool = True) -> dict[str, Any] | None:
        """The `response_format` of a chat request.

        Args:
            strict: Ask for strict adherence. Where the schema cannot be expressed in OpenAI's
                strict subset (free-form objects, `dict[str, ...]`, tuples) the result says
                `"strict": False` all the same.

        Returns:
            One shared dict, not to be changed; None for plain text.
        """
        return None if self.plain else self._formats[strict]

    @cached_property
    def instruction(self) -> str:
        """What to add to the system prompt where a provider has no structured output."""
        if self.plain:
            return ""
        text = json.dumps(canonical(self._schema), ensure_ascii=False, separators=(",", ":"))
        return (
            "Answer with one JSON object and nothing else: no explanation, no code fence. "
            f"It must match this JSON Schema:\n{text}"
        )


def _again(schema: object, name: object | None) -> Answer:
    return Answer.of(schema, name=name)


def _of_type(cls: type[Answer], schema: Any, name: object | None) -> Answer:
    label = label_of(schema)
    adapter = type_adapter(schema, label)
    refuse_parts(adapter.core_schema, label)
    shape, on_wire = shapes_of_type(adapter, label)
    if isinstance(shape, Record) and not isinstance(on_wire, Record):
        shape = on_wire  # of models that only their names in the JSON tell apart
    whole = wire.compact(adapter.json_schema(schema_generator=AskedSchema))
    fields = None
    if isinstance(shape, Record):
        hints = field_types(schema)
        keys = [key for key, _ in on_wire.fields] if isinstance(on_wire, Record) else []
        fields = tuple(
            Field(n, hints.get(n, Any), inner, key)
            for (n, inner), key in zip(shape.fields, keys, strict=True)
        )
    is_open = any(isinstance(part, Json | Map) for part in walk(shape))
    typed = TypeCheck(adapter, schema, whole, is_open=is_open)
    check = Weighed(typed, whole, tagged=True)
    try_out(whole, check, label)
    is_object = isinstance(shape, Record) and "anyOf" not in whole  # no Optional[Model]
    own_name = getattr(schema, "__name__", None) if is_object else None
    called = wire.property_name(own_name or name)
    if is_object:
        read = read_either(Form(check, on_wire), None, shape)
        write = write_json(shape, on_wire, read, None)
        return cls(label, called, shape, fields, read, write, whole, _own=False)
    wrapper = TypeAdapter(create_model("Answer", value=(schema, PydanticField(alias=called))))
    asked = wire.compact(wrapper.json_schema(schema_generator=AskedSchema))
    wrapped = Weighed(TypeCheck(wrapper, None, asked, is_open=is_open), asked, tagged=True)
    form = Form(wrapped, Record(((called, on_wire),)), unwrap=attrgetter("value"))
    read = remembering(read_either(form, Form(check, on_wire), shape), shape, schema)
    write = write_json(shape, on_wire, read, called)
    return cls(label, called, shape, fields, read, write, asked, _own=False, is_wrapped=True)


def _of_json_schema(cls: type[Answer], schema: dict[str, Any], name: object | None) -> Answer:
    import jsonschema_rs

    if not _SAYING & schema.keys():
        if schema and all(isinstance(value, type) for value in schema.values()):
            raise SchemaError(
                "A dict of types is no schema. For several fields, ask for a pydantic model: class "
                f"Answer(pydantic.BaseModel), with a line such as '{next(iter(schema))}: "
                f"{next(iter(schema.values())).__name__}' for each."
            )
        raise SchemaError(
            "A dict as schema has to be a JSON Schema, and this one does not say what the answer "
            f"is (no 'type', 'properties', 'enum', ...). {ASK_FOR}"
        )
    try:
        vet(schema)
        schema = copy.deepcopy(schema)
        check_length(schema)
        check_keywords(schema)
        shape = shape_of(schema, formats=False)
        check = schema_check(schema)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        where = "/".join(map(str, getattr(error, "instance_path", ())))[:MOST_QUOTED]
        why = str(getattr(error, "message", error))[:MOST_QUOTED]
        raise SchemaError(
            f"This is no valid JSON Schema{f', at {where!r}' if where else ''}: {why}. {ASK_FOR}"
        ) from None
    except (TypeError, ValueError) as error:
        if isinstance(error, SchemaError):
            raise
        raise SchemaError(
            f"A dict as schema has to be a JSON Schema, and this is no JSON: {error}. {ASK_FOR}"
        ) from None
    label = str(schema.get("title") or "JSON Schema")
    try_out(
        schema, check, f"the JSON Schema {label!r}" if "title" in schema else "this JSON Schema"
    )
    if schema.get("type") == "object" or isinstance(shape, Record):
        called = wire.property_name(schema.get("title") or name)
        fields = None
        if isinstance(shape, Record):
            parts = schema.get("properties", {})
            fields = tuple(Field(n, parts.get(n, {}), inner, n) for n, inner in shape.fields)
        read = read_either(Form(check, shape), None, shape)
        write = write_json(shape, shape, read, None)
        return cls(label, called, shape, fields, read, write, schema, _own=True)
    called = wire.property_name(name)
    asked = _wrapped(schema, called)
    wrapped = schema_check(asked)
    form = Form(wrapped, Record(((called, shape),)), unwrap=lambda value: value[called])
    read = remembering(read_either(form, Form(check, shape), shape), shape)
    write = write_json(shape, shape, read, called)
    return cls(label, called, shape, None, read, write, asked, _own=True, is_wrapped=True)


def _wrapped(schema: Mapping[str, Any], called: str) -> dict[str, object]:
    """An object schema with `schema` as its one property, and the shared parts at the top."""
    inner = dict(schema)
    shared: dict[str, Any] = {
        keyword: inner.pop(keyword)
        for keyword in ("$schema", "$id", "id", "$defs", "definitions")
        if keyword in inner
    }
    for ref in _references(schema):
        if not ref.startswith(("#/$defs/", "#/definitions/")):
            raise SchemaError(
                f"The JSON Schema refers to {ref!r}, and a schema that is no object is asked for "
                "inside one. Put the part under '$defs' and refer to it there."
            )
    return {
        **shared,
        "type": "object",
        "properties": {called: inner},
        "required": [called],
        "additionalProperties": False,
    }


def _references(node: object) -> list[str]:
    if isinstance(node, Mapping):
        refs = [node.get("$ref"), *filter(_is_a_way, map(node.get, FOLLOWED))]
        own = [ref for ref in refs if isinstance(ref, str)]
        return own + [ref for inner in node.values() for ref in _references(inner)]
    if isinstance(node, list):
        return [ref for inner in node for ref in _references(inner)]
    return []


def _is_a_way(ref: object) -> bool:
    """Whether it says a way from the top, and does not name a part, which is that one anywhere."""
    return isinstance(ref, str) and (ref == "#" or not ref.startswith("#") or ref[1] == "/")
