"""The types of answers, as far as checking them and giving them a column needs it.

A shape is read from a JSON Schema: from the user's own, or from the one pydantic writes for a
type. None never appears in a shape, because every column can hold a missing value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, TypeAlias

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from lionproc.errors import SchemaError
from lionproc.model.ordered_schema import OrderedSchema
from lionproc.model.references import References, circular
from lionproc.schema_sample import CLOCK, NAIVE_INSTANT

__all__ = [
    "AskedSchema",
    "Boolean",
    "Choice",
    "Date",
    "DecimalNumber",
    "Duration",
    "Instant",
    "Integer",
    "Json",
    "List",
    "Map",
    "Real",
    "Record",
    "Scalar",
    "Shape",
    "ShapeSchema",
    "Text",
    "Time",
    "inside",
    "shape_of",
    "walk",
]

Scalar: TypeAlias = str | int | float | bool

MOST_SHAPES = 20_000  # looked at in a schema; those without a circle have fewer, see `vetting`


@dataclass(frozen=True, slots=True)
class Text:
    """Any text."""


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number that fits 64 bits."""


@dataclass(frozen=True, slots=True)
class Real:
    """A finite number."""


@dataclass(frozen=True, slots=True)
class Boolean:
    """True or false."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of `members`, in the order they were declared."""

    members: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Date:
    """A date."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A date and time: in UTC, or without any zone where the type says so (NaiveDatetime)."""

    zoned: bool = True


@dataclass(frozen=True, slots=True)
class Time:
    """A time of day."""


@dataclass(frozen=True, slots=True)
class Duration:
    """A duration."""


@dataclass(frozen=True, slots=True)
class DecimalNumber:
    """A decimal number, kept exactly."""


@dataclass(frozen=True, slots=True)
class List:
    """A list of `item`."""

    item: Shape


@dataclass(frozen=True, slots=True)
class Record:
    """Named fields: a model, a dataclass, a TypedDict or a JSON object with properties."""

    fields: tuple[tuple[str, Shape], ...]
    by_name: Mapping[str, Shape] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Have the fields at hand by their names: they are looked for at every fault."""
        object.__setattr__(self, "by_name", dict(self.fields))


@dataclass(frozen=True, slots=True)
class Map:
    """Keys the model makes up, with values of one shape: `dict[str, value]`."""

    value: Shape


@dataclass(frozen=True, slots=True)
class Json:
    """Anything else that is JSON. Kept as JSON text, because no column type holds it."""


Shape: TypeAlias = (
    Text
    | Integer
    | Real
    | Boolean
    | Choice
    | Date
    | Instant
    | Time
    | Duration
    | DecimalNumber
    | List
    | Record
    | Map
    | Json
)


def inside(shape: Shape | None, step: str | int) -> Shape | None:
    """The shape of what is under a key or a place; None where it is not known."""
    match shape:
        case Record(by_name=by_name):
            return by_name.get(str(step))
        case List(item=item) if isinstance(step, int):
            return item
        case Map(value=value):
            return value
        case _:
            return None


_ELSEWHERE = ("$ref", "anyOf", "oneOf", "allOf")  # where more of what a part says may stand
_FORMATS: Mapping[str, Shape] = {
    "date": Date(),
    "date-time": Instant(),
    "x-naive-date-time": Instant(zoned=False),
    "time": Time(),
    "duration": Duration(),
    "x-decimal": DecimalNumber(),
}


class ShapeSchema(GenerateJsonSchema):
    """pydantic's JSON Schema with the two types marked that plain JSON Schema cannot tell apart."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:  # noqa: ARG002 - pydantic's signature
        """A Decimal is otherwise "a number or a string"."""
        return {"type": "string", "format": "x-decimal"}

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        """A NaiveDatetime otherwise looks like any other datetime."""
        naive = schema.get("tz_constraint") == "naive"
        return {"type": "string", "format": "x-naive-date-time" if naive else "date-time"}


class AskedSchema(OrderedSchema):
    """pydantic's JSON Schema as a model is asked for it.

    The formats of JSON Schema for times want an offset, which these types refuse: a server that
    holds the model to the format would make every answer wrong.
    """

    def time_schema(self, schema: core_schema.TimeSchema) -> JsonSchemaValue:  # noqa: ARG002 - pydantic's signature
        """A time of day, without an offset."""
        return {"type": "string", "pattern": CLOCK}

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        """A date and time, without an offset where the type has none."""
        if schema.get("tz_constraint") == "naive":
            return {"type": "string", "pattern": NAIVE_INSTANT}
        return {"type": "string", "format": "date-time"}


def shape_of(schema: Mapping[str, Any], *, formats: bool) -> Shape:
    """Read a JSON Schema as a shape.

    Args:
        schema: The whole schema, with its `$defs`, looked through by `vetting.vet`.
        formats: Whether "format" makes a Python value (pydantic) or stays text (a user's
            own JSON Schema, whose values are taken as they are).

    Returns:
        The shape; what has no counterpart (unions of different kinds, tuples, a model
        inside itself) is `Json`.

    Raises:
        SchemaError: A choice that cannot be a category, or a reference to nothing.
    """
    try:
        return _Walk(schema, formats=formats).shape(schema, ())
    except _ManyWaysError:
        return _Walk(schema, formats=formats, once=circular(schema)).shape(schema, ())


class _ManyWaysError(Exception):
    """Parts that contain each other do so in very many ways."""


class _Walk:
    """Reads parts of a schema as shapes.

    Args:
        root: The whole schema.
        formats: As for `shape_of`.
        once: References of which one inside another is not opened. Where nine kinds of things each
            contain all nine, there are a million ways from one to the next, and no column for them.
    """

    def __init__(
        self, root: Mapping[str, Any], *, formats: bool, once: AbstractSet[str] = frozenset()
    ) -> None:
        self._references = References(root)
        self._formats = formats
        self._once = once
        self._left = MOST_SHAPES

    def shape(self, node: Any, inside: tuple[str, ...]) -> Shape:
        """The shape of one part; `inside` are the references that led to it."""
        self._left -= 1
        if self._left < 0 and not self._once:
            raise _ManyWaysError
        if not isinstance(node, Mapping):
            return Json()
        if "$ref" not in node and ("enum" in node or "const" in node):
            return _choice(node["enum"] if "enum" in node else [node["const"]])
        said = [self._said(keyword, node, inside) for keyword in _ELSEWHERE if keyword in node]
        if said:
            own = [self._object(node, inside)] if node.get("properties") else []
            return reduce(_both, said + own)
        if isinstance(node.get("type"), list):
            kinds = [{**node, "type": kind} for kind in node["type"] if kind != "null"]
            return self._one_of(kinds, inside)
        return self._typed(node, inside)

    def _said(self, keyword: str, node: Mapping[str, Any], inside: tuple[str, ...]) -> Shape:
        """What a keyword says that leads to other parts."""
        if keyword == "$ref":
            ref = str(node["$ref"])
            if ref in inside or (ref in self._once and not self._once.isdisjoint(inside)):
                return Json()
            return self.shape(self._references.target(ref), (*inside, ref))
        branches = [b for b in node[keyword] if b != {"type": "null"}]
        if keyword == "allOf" and len(branches) > 1:
            return Json()
        return self._one_of(branches, inside)

    def _one_of(self, branches: Sequence[object], inside: tuple[str, ...]) -> Shape:
        shapes = list(dict.fromkeys(self.shape(branch, inside) for branch in branches))
        choices = [shape for shape in shapes if isinstance(shape, Choice)]
        if len(shapes) == 1 or not shapes:
            return shapes[0] if shapes else Json()
        if len(choices) == len(shapes):  # at once, for there may be thousands of thousands
            return _choice([member for choice in choices for member in choice.members])
        return Json() if choices else reduce(_either, shapes)

    def _typed(self, node: Mapping[str, Any], inside: tuple[str, ...]) -> Shape:
        match node.get("type"):
            case "string":
                return _FORMATS.get(node.get("format", ""), Text()) if self._formats else Text()
            case "integer":
                return Integer()
            case "number":
                return Real()
            case "boolean":
                return Boolean()
            case "array":
                return self._array(node, inside)
            case "object":
                return self._object(node, inside)
            case _:
                return self._object(node, inside) if "properties" in node else Json()

    def _array(self, node: Mapping[str, Any], inside: tuple[str, ...]) -> Shape:
        if "prefixItems" in node or not isinstance(node.get("items"), Mapping):
            return Json()
        return List(self.shape(node["items"], inside))

    def _object(self, node: Mapping[str, Any], inside: tuple[str, ...]) -> Shape:
        extra = node.get("additionalProperties")
        if node.get("properties"):
            return Record(tuple((k, self.shape(v, inside)) for k, v in node["properties"].items()))
        if isinstance(extra, Mapping) and extra and "patternProperties" not in node:
            return Map(self.shape(extra, inside))
        return Json()


def _either(a: Shape, b: Shape) -> Shape:
    """One shape for "a or b"."""
    if a == b:
        return a
    if {type(a), type(b)} == {Integer, Real}:
        return Real()
    return Json()


def _both(a: Shape, b: Shape) -> Shape:
    """One shape for what is "a and b": all fields of both, for the rest `a`, which holds it too."""
    if isinstance(a, Record) and isinstance(b, Record):
        fields = dict(a.fields)
        for name, shape in b.fields:
            known = fields.get(name, shape)
            fields[name] = shape if isinstance(known, Json) else _both(known, shape)
        return Record(tuple(fields.items()))
    if isinstance(a, List) and isinstance(b, List):
        return List(_both(a.item, b.item))
    return Json() if isinstance(a, Map) and isinstance(b, Record) else a


def _choice(members: Sequence[Any]) -> Shape:
    known = [m for m in members if m is not None]
    if not known or not all(isinstance(m, str | int | float) for m in known):
        return Json()
    seen: set[Any] = set()
    for member in known:
        if member in seen:  # True == 1 here, as it is in a category
            raise SchemaError(
                f"Two of the choices are equal: {member!r} is there twice "
                "(True is 1 and False is 0 to Python). Give every choice its own value."
            )
        if isinstance(member, float) and not math.isfinite(member):
            raise SchemaError(
                f"The choice {member!r} is no number of JSON, so no model can answer it. Give it a "
                "word, such as 'unknown'."
            )
        seen.add(member)
    return Choice(tuple(known))


def walk(shape: Shape) -> Iterator[Shape]:
    """The shape and everything inside it."""
    yield shape
    match shape:
        case List(item=inner) | Map(value=inner):
            yield from walk(inner)
        case Record(fields=fields):
            for _, field in fields:
                yield from walk(field)
        case _:
            pass
