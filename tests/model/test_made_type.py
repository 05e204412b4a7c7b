"""A type that is made of the JSON Schema of another one stands for it where it does the same."""

import dataclasses
import datetime as dt
import uuid
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NaiveDatetime,
    PlainSerializer,
    RootModel,
    TypeAdapter,
    WithJsonSchema,
    field_serializer,
    field_validator,
)
from typing_extensions import TypedDict

from lionproc.errors import SchemaError
from lionproc.model.answer import Answer
from lionproc.model.made_type import made_of
from lionproc.model.schema_type import shape_kept, type_of_schema


class Grade(StrEnum):
    GOOD = "good"
    BAD = "bad"


class Stars(IntEnum):
    ONE = 1
    TWO = 2


class Mood(Enum):
    GOOD = "good"

    @classmethod
    def _missing_(cls, value):
        return cls.GOOD


class Point(BaseModel):
    model_config = ConfigDict(frozen=True)
    x: int
    at: dt.time | None = None


class Named(BaseModel):
    name: str = Field(alias="Name")


class Checked(BaseModel):
    x: int

    @field_validator("x")
    @classmethod
    def small(cls, x):
        return min(x, 9)


class Written(BaseModel):
    x: int

    @field_serializer("x")
    def in_cents(self, x):
        return 100 * x


class Dumped(BaseModel):
    x: int

    def model_dump(self, **how):
        return {"x": str(self.x)}


class Read(BaseModel):
    x: int

    def __getattribute__(self, name):
        return 55 if name == "x" else super().__getattribute__(name)


class Equal(BaseModel):
    x: int

    def __eq__(self, other):
        return True

    __hash__ = None


@dataclasses.dataclass
class ReadOfData:
    x: int

    def __getattribute__(self, name):
        return 55 if name == "x" else super().__getattribute__(name)


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    x: int


class Closed(BaseModel):
    """It has bounds, and parts of its own."""

    model_config = ConfigDict(extra="forbid")
    points: list[Point] = Field(default_factory=list)
    share: float = Field(gt=0, lt=1, description="of all")
    days: tuple[dt.date, dt.timedelta]
    by: dict[str, Point | None] = {}


class Ahead(BaseModel):
    model_config = ConfigDict(regex_engine="python-re")
    word: str = Field(pattern="^(?!no)[a-z]+$")


class Tree(BaseModel):
    leaves: "list[Tree]"


@dataclasses.dataclass
class Pair:
    left: int
    right: str = "r"


@dataclasses.dataclass
class Late:
    left: int
    right: int = dataclasses.field(init=False, default=5)


@dataclasses.dataclass
class Used:
    left: int
    right: dataclasses.InitVar[int]


class Typed(TypedDict):
    left: int


@pytest.mark.parametrize(
    "kind",
    [int, Literal["a", "b"], Literal["a", True], dt.datetime, dt.timedelta, uuid.UUID, Grade, Stars,
     Grade | None, list[Stars], set[str], tuple[int, Grade], int | str, Point, Open, Closed, Pair,
     Typed, list[Pair | None], Annotated[str, Field(max_length=3)],
     dict[str, Closed]],
)  # fmt: skip
def test_a_type_of_which_the_schema_says_all_is_made_again(kind):
    shape = shape_kept(Answer.of(kind))
    assert shape["read_alike"] in {"model", "dataclass"}
    made = type_of_schema(shape["schema"], bare=shape["bare"], own=False, alike=shape["read_alike"])
    assert Answer.of(made).shape == Answer.of(kind).shape


@pytest.mark.parametrize(
    "kind",
    [Mood, list[Mood], set[Point], set[Grade], Stars | float, Named, Checked, Written, Dumped, Tree, Late,
     Read, Equal, ReadOfData, list[Read],
     Used, dict[int, str], NaiveDatetime, list[Dumped], RootModel[str], Annotated[int, AfterValidator(abs)],
     Annotated[int, PlainSerializer(str)], list[Checked], dict[str, Written | None], bytes,
     Point | Pair, Ahead, list[Ahead],
     Annotated[int, WithJsonSchema({"type": "integer", "minimum": 1e308})]],
)  # fmt: skip
def test_a_type_that_does_more_than_its_schema_says_is_not_made_again(kind):
    assert shape_kept(Answer.of(kind))["read_alike"] == ""


def test_what_is_made_again_reads_and_writes_as_the_type_did():
    said = (
        '{"share": 0.5, "days": ["2026-11-29", "P1DT2H"], "by": {"a": {"x": 1, "at": "10:06"}}, '
        '"points": [{"x": 2}]}'
    )
    adapter = TypeAdapter(Closed)
    made = TypeAdapter(made_of(adapter.json_schema()))
    assert (
        made.validate_json(said).model_dump_json()
        == Closed.model_validate_json(said).model_dump_json()
    )
    for wrong in (said.replace("0.5", "1.5"), said.replace('"points"', '"more"')):
        for each in (adapter, made):
            with pytest.raises(ValueError, match=r"Closed|Answer"):
                each.validate_json(wrong)


def test_no_type_is_made_of_very_many_kinds_that_would_each_be_held_against_all():
    parts = [{"const": f"label {n}"} for n in range(2000)]
    with pytest.raises(SchemaError, match="cannot be made again"):
        made_of({"anyOf": parts})


def test_no_type_is_made_of_patterns_that_pydantic_would_compile_for_long():
    def asked(count, part, **more):
        names = [f"p{n}" for n in range(count)]
        return {
            "type": "object",
            "properties": dict.fromkeys(names, part),
            "required": names,
            **more,
        }

    def text(places):
        return {"type": "string", "pattern": rf"^\w{{{places}}}$"}

    assert made_of(asked(20, text(20)))
    shared = {"W": text(100)}
    for many in (asked(20, text(100)), asked(20, {"$ref": "#/$defs/W"}, **{"$defs": shared})):
        with pytest.raises(SchemaError, match="cannot be made again"):
            made_of(many)


@pytest.mark.parametrize(
    "schema",
    [{"type": "integer", "minimum": 1e308}, {"type": "integer", "multipleOf": 2**200},
     {"type": "string", "pattern": "(?=a)b"}, {"type": "string", "maxLength": "x"},
     {"type": "array", "items": {"type": "string"}, "minItems": -1}],
)  # fmt: skip
def test_a_bound_that_no_type_takes_is_no_fault_of_ours(schema):
    record = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    for part in (schema, record):
        with pytest.raises(SchemaError):
            made_of(part)
    with pytest.raises(SchemaError):
        type_of_schema({"properties": {"answer": 5}}, bare=True, own=False)
