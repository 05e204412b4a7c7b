"""Of which types nothing is lost where a value is written as JSON."""

import dataclasses
import datetime as dt
import inspect
import uuid
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired

import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    PlainSerializer,
    PrivateAttr,
    RootModel,
    computed_field,
    model_serializer,
)
from typing_extensions import TypedDict

from lionproc.model.written_whole import is_written_whole


class Mood(Enum):
    GOOD = "good"


class Part(BaseModel):
    day: dt.date | None = None
    mood: Mood = Mood.GOOD
    before: Mood | None = Mood.GOOD


class Review(BaseModel):
    """Of all that is written whole."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, str_strip_whitespace=True, populate_by_name=True
    )

    stars: int = Field(alias="n", ge=1)
    parts: list[Part]
    counts: dict[str, int] = {}
    tags: set[str] = Field(default_factory=set)
    pair: tuple[int, ...] = ()
    choice: Literal["a", 1] = "a"
    score: float = 0
    price: Decimal
    spent: dt.timedelta
    key: uuid.UUID | None = None
    reason: str | None = Field(None, serialization_alias="why")
    word: str = Field("", validation_alias=AliasChoices("w", "word"))
    inner: "Review | None" = None


@dataclasses.dataclass
class Point:
    x: float
    names: list[str] = dataclasses.field(default_factory=list)


class Loose(TypedDict):
    a: int
    b: NotRequired[str]


class Reviews(RootModel[list[Part]]):
    pass


@pytest.mark.parametrize(
    "schema",
    [Review, Part, Point, Loose, Reviews, Mood, bool, list[Review], Review | None, AwareDatetime,
     dict[dt.date, int], Annotated[str, Field(pattern="a+")], Literal["a", "b"]],
    ids=str,
)  # fmt: skip
def test_what_is_written_whole(schema):
    assert is_written_whole(schema)


def of(kind, default=..., /, **field):
    class Made(BaseModel):
        x: kind = Field(default, **field)

    return Made


class Counted(BaseModel):
    x: int

    @computed_field
    @property
    def y(self) -> int:
        return self.x


class WrittenByItself(BaseModel):
    x: int

    @model_serializer
    def nothing(self):
        return {}


class Private(BaseModel):
    x: int
    _y: int = PrivateAttr(0)


class Dumped(BaseModel):
    x: int

    def model_dump(self, **how):
        return {}


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    x: int


class Rounded(BaseModel):
    model_config = ConfigDict(ser_json_timedelta="float")

    x: dt.timedelta


class Twice(BaseModel):
    x: int = Field(0, serialization_alias="z")
    y: int = Field(0, serialization_alias="z")


@dataclasses.dataclass
class Initial:
    x: int
    y: dataclasses.InitVar[int] = 0


@dataclasses.dataclass
class Afterwards:
    x: int

    def __post_init__(self):
        self.y = self.x


@dataclasses.dataclass
class Hidden:
    x: int
    _y: int = 0


LOSES = {
    "left out": of(str, "", exclude=True),
    "a serializer": of(Annotated[str, PlainSerializer(lambda said: "")]),
    "a serializer of the model": WrittenByItself,
    "a validator, which may make anything": of(Annotated[str, AfterValidator(str.strip)]),
    "more than its fields": Open,
    "a property": Counted,
    "a private attribute": Private,
    "a method that writes": Dumped,
    "rounded": Rounded,
    "two under one name": Twice,
    "given, and no field": Initial,
    "made afterwards": Afterwards,
    "a field that orjson leaves out": Hidden,
    "which of two types": int | str,
    "which of two models": Part | Open,
    "one of two inside": list[int | str | None],
    "anything": dict[str, Any],
    "a URL": HttpUrl,
    "a default that is no member": of(Mood, "good"),
    "a default that is no date": of(dt.date, "2024-01-02"),
    "a default that somebody makes": of(str, default_factory=lambda: "made"),
    "a default of parts": of(list[dt.date], ["2024-01-02"]),
    "a choice that is written as another": of(Literal["good", Mood.GOOD]),
}


if "exclude_if" in inspect.signature(Field).parameters:  # newer than the oldest pydantic of ours
    LOSES["left out at times"] = of(str, "", exclude_if=lambda said: True)


@pytest.mark.parametrize("schema", LOSES.values(), ids=list(LOSES))
def test_what_may_lose_something(schema):
    assert not is_written_whole(schema)
    assert not is_written_whole(list[schema])
