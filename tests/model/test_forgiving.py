"""What has one reading is forgiven where a validator of the user's would hide that it was wrong."""

import datetime as dt
import re
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    NaiveDatetime,
    OnErrorOmit,
    TypeAdapter,
    ValidationError,
    WrapValidator,
    create_model,
    field_validator,
    model_validator,
)

from lionproc.errors import CallError
from lionproc.model.answer import Answer

MIDNIGHT = dt.datetime.fromisoformat("2024-01-02")


class Level(Enum):
    LOW = "low"
    HIGH = "high"


class Pair(NamedTuple):
    a: int
    b: int


def nothing(value: Any, handler: Callable[[Any], Any]) -> Any:
    try:
        return handler(value)
    except ValidationError:
        return None


def cleaned(value: Any, handler: Callable[[Any], Any]) -> Any:
    try:
        return handler(value)
    except ValidationError:
        return nothing(re.sub(r"[^0-9.]", "", str(value)), handler)


def read(kind: Any, said: str) -> Any:
    model = create_model("Reply", value=(kind, ...))
    return Answer.of(model).read(f'{{"value": {said}}}').value


@pytest.mark.parametrize(
    ("kind", "said", "meant"),
    [
        (int, "4.0", 4),
        (int, '"3"', 3),
        (int, '" 3 "', 3),
        (float, '"3.5"', 3.5),
        (bool, '"true"', True),
        (bool, '"no"', False),
        (bool, "1", True),
        (Literal["low", "high"], '"High "', "high"),
        (Literal[1, 2], "2.0", 2),
        (Level, '"HIGH"', Level.HIGH),
        (NaiveDatetime, '"2024-01-02"', MIDNIGHT),
        (dt.date, '"2024-01-02T00:00:00"', dt.date(2024, 1, 2)),
    ],
)
def test_no_fallback_is_taken_for_what_has_one_reading(kind, said, meant):
    assert read(Annotated[kind | None, WrapValidator(nothing)], said) == meant


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (int, "true"),
        (int, "3.5"),
        (float, '"nan"'),
        (float, '"1e999"'),
        (float, "true"),
        (Literal["low", "high"], '"medium"'),
        (Literal["low", "LOW"], '"Low"'),
        (Literal[1, 2], "true"),
        (dt.datetime, '"2019"'),
        (dt.datetime, "2019"),
        (dt.timedelta, "60"),
    ],
)
def test_what_has_none_or_two_is_left_to_the_fallback(kind, said):
    assert read(Annotated[kind | None, WrapValidator(nothing)], said) is None


@pytest.mark.parametrize("said", ['"$1,200.50"', '"1200.50"', "1200.5"])
def test_a_text_that_a_validator_has_cleaned_is_the_number_that_it_spells(said):
    assert read(Annotated[float | None, WrapValidator(cleaned)], said) == 1200.5


def test_a_whole_model_is_not_replaced_for_one_number():
    class Review(BaseModel):
        stars: int
        level: Literal["low", "high"]

        @model_validator(mode="wrap")
        @classmethod
        def checked(cls, value: Any, handler: Callable[[Any], Any]) -> Any:
            try:
                return handler(value)
            except ValidationError:
                return cls(stars=0, level="low")

    assert Answer.of(Review).read('{"stars": 4.0, "level": "High"}').stars == 4


def test_items_are_left_out_only_where_they_cannot_be_read():
    class Book(BaseModel):
        years: list[OnErrorOmit[int]]

    said = '{"years": [2019, 2020.0, "2021", "soon"]}'
    assert Answer.of(Book).read(said).years == [2019, 2020, 2021]


@pytest.mark.parametrize(
    ("kind", "before", "said", "meant"),
    [
        (list[int], lambda v: v.split(","), '"1, 2"', [1, 2]),
        (list[str], lambda v: map(str.strip, v.split(",")), '"a, b"', ["a", "b"]),
        (list[str], lambda v: {*v.split(",")}, '"a"', ["a"]),
        (list[int], lambda v: (int(each) for each in v), '["1"]', [1]),
        (tuple[int, ...], lambda v: v.split(","), '"1,2"', (1, 2)),
        (deque[int], lambda v: v.split(","), '"1,2"', deque([1, 2])),
        (set[int], iter, "[1, 1]", {1}),
        (list[Literal["x", "y"]], lambda v: v.split(","), '"X,y"', ["x", "y"]),
        (float, lambda v: v.replace("$", ""), '"$1.5"', 1.5),
        (dt.date, lambda v: MIDNIGHT, '"second of January"', dt.date(2024, 1, 2)),
        (NaiveDatetime, lambda v: dt.date(2024, 1, 2), '"today"', MIDNIGHT),
    ],
)
def test_what_a_validator_has_made_is_read_as_pydantic_reads_it(kind, before, said, meant):
    kind = Annotated[kind, BeforeValidator(before)]
    assert read(kind, said) == meant == TypeAdapter(kind).validate_json(said.replace("X", "x"))


@pytest.mark.parametrize("said", ['"x,z"', '"xy"'])
def test_items_that_a_validator_made_of_a_text_are_told_by_where_they_are(said):
    class Reply(BaseModel):
        tags: list[Literal["x", "y"]]

        @field_validator("tags", mode="before")
        @classmethod
        def split(cls, value: str) -> list[str]:
            return value.split(",")

    with pytest.raises(CallError, match=r"^tags\.\d: Input should be 'x' or 'y'"):
        Answer.of(Reply).read(f'{{"tags": {said}}}')


@pytest.mark.parametrize(
    ("kind", "said", "meant"),
    [
        (int | str, '"5"', "5"),
        (str | int, '"5"', "5"),
        (Literal["low"] | bytes, '"Low"', b"Low"),
        (Annotated[int | str, Field(union_mode="left_to_right")], '"5"', "5"),
        (bool | Literal[1, 2], "1", 1),
        (dt.datetime | Level, '"low"', Level.LOW),
    ],
)
def test_in_a_union_what_a_kind_has_as_it_is_comes_before_what_is_forgiven(kind, said, meant):
    value = read(Annotated[kind, BeforeValidator(lambda v: v)], said)
    assert value == meant
    assert type(value) is type(meant)


@pytest.mark.parametrize(
    ("kind", "said", "meant"),
    [
        (set[int] | list[int], "[1, 1]", [1, 1]),
        (list[int] | set[int], "[1, 1]", [1, 1]),
        (frozenset[int] | list[float], "[1, 1]", frozenset({1})),
        (tuple[int, int] | list[int], "[1, 2]", [1, 2]),
        (deque[int] | list[int], "[1, 2]", [1, 2]),
        (Pair | set[int], "[1, 2]", Pair(1, 2)),
        (str | bytes, '"abc"', "abc"),
        (bytes | str, '"abc"', b"abc"),
        (dict[str, float] | dict[str, int], '{"a": 1}', {"a": 1.0}),
    ],
)
def test_which_container_of_a_union_is_read_does_not_depend_on_a_validator(kind, said, meant):
    for each in (kind, Annotated[kind, BeforeValidator(lambda v: v)]):
        value = read(each, said)
        assert value == meant
        assert type(value) is type(meant)


@pytest.mark.parametrize(
    ("kind", "before", "said", "meant"),
    [
        (Decimal, lambda v: v / 100, "123456789.1234567", Decimal("1234567.891234567")),
        (Decimal, lambda v: round(v, 2), "107.94999999999999", Decimal("107.95")),
        (Decimal, lambda v: v, "12345678.123456789", Decimal("12345678.123456789")),
        (int, round, "3.9999999999999996", 4),
        (Literal[1, 2, 3, 4], round, "3.9999999999999996", 4),
        (int, lambda v: v, "9007199254740993", 9007199254740993),
    ],
)
def test_a_validator_is_shown_a_number_of_many_digits_as_the_number_that_it_is(
    kind, before, said, meant
):
    assert read(Annotated[kind, BeforeValidator(before)], said) == meant
