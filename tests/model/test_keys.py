"""Keys and names that meet, and types whose validators come before the reading."""

from __future__ import annotations

import datetime as dt
import json
import tracemalloc
from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    ValidationError,
    field_validator,
    model_validator,
)
from typing_extensions import TypeAliasType

from lionproc.errors import CallError
from lionproc.model.answer import Answer


class Before(BaseModel):
    """Its fields stand behind a validator, which makes Python of what was JSON."""

    @model_validator(mode="before")
    @classmethod
    def given_on(cls, said):
        return said


class Lowered(BaseModel):
    model_config = ConfigDict(str_to_lower=True)
    scores: dict[str, str]


class Stripped(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)
    inner: Lowered


class Positive(BaseModel):
    scores: Annotated[dict[float, str], AfterValidator(lambda d: {k: d[k] for k in d if k >= 0})]


class Named(Before):
    model_config = ConfigDict(populate_by_name=True)
    mood: str = Field(alias="lang")


class Copied(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    mood: str = Field(alias="lang")

    @model_validator(mode="after")
    def copied(self):
        return self.model_copy(update={"mood": self.mood.upper()})


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Stripped, {"inner": {"scores": {"Food": "good", "food": "bad"}}}),
        (Positive, {"scores": {"1": "good", "01": "bad", "-1": "x"}}),
        (Named, {"lang": "aa", "mood": "bb"}),
        (Copied, {"lang": "aa", "mood": "bb"}),
        (list[Named], [{"lang": "aa", "mood": "bb"}]),
    ],
    ids=["two configs", "another dict", "a validator before", "a copy", "within a list"],
)
def test_what_meets_is_refused_whatever_validators_make_of_it(kind, said):
    answer = Answer.of(kind)
    reply = {"answer": said} if answer.is_wrapped else said
    with pytest.raises(CallError, match="mean the same"):
        answer.read(json.dumps(reply))


class Stars(IntEnum):
    ONE = 1
    TWO = 2


class Tag(Enum):
    X = "x"
    DAY = dt.date(2024, 1, 2)


Star = TypeAliasType("Star", Stars)
Whole = TypeAliasType("Whole", int)


class Both(BaseModel):
    votes: dict[Star, str]
    codes: dict[Whole, str]
    best: Star
    most: Whole
    why: str


class BothBehind(Both, Before):
    day: dt.date


MOMENTS = {"2024-01-02T03:04:05+00:00": "a", "2024-01-02T03:04:05Z": "b"}


class Log(BaseModel):
    events: dict[dt.datetime | str, str]
    spans: dict[str | dt.timedelta, str] = {}
    sums: dict[Decimal | str, str] = {}
    room: str = ""
    size: float = 0.0


def test_keys_that_may_be_texts_are_the_texts_whatever_else_the_reply_says():
    said = {"events": MOMENTS, "spans": {"PT1H": "x", "PT60M": "y"}, "sums": {"1.0": "x", "1": "y"}}
    for beside in ({}, {"room": "12"}, {"size": 0.30000000000000004}, {"room": "it is true"}):
        read = Answer.of(Log).read(json.dumps(said | beside))
        assert {"events": read.events, "spans": read.spans, "sums": read.sums} == said


@pytest.mark.parametrize("why", ["good", "it is untrue", "2019"])
def test_a_kind_that_has_a_name_is_read_as_a_key_too(why):
    said = {"votes": {"1": "x"}, "codes": {"07": "y"}, "best": 1, "most": 2, "why": why}
    for kind, more in ((Both, {}), (BothBehind, {"day": "2024-01-02"})):
        read = Answer.of(kind).read(json.dumps(said | more))
        assert (read.votes, read.codes, read.best) == ({Stars.ONE: "x"}, {7: "y"}, Stars.ONE)


def test_no_value_is_lost_that_the_kind_which_is_taken_has():
    read = Answer.of(dict[int, str] | dict[str, str]).read('{"answer": {"1": "a", "01": "b"}}')
    assert read == {"1": "a", "01": "b"}


KINDS = [
    (set[dt.date], ["2024-01-02", "2024-01-02"]),
    (frozenset[int], [1, 2, 1]),
    (set[int], [1, True]),
    (tuple[Decimal, ...], [1.5, "2.50"]),
    (tuple[dt.time | str, ...], ["03:04:05", "x"]),
    (tuple[str | dt.time, ...], ["03:04:05", "x"]),
    (deque[dt.date], ["2024-01-02"]),
    (Sequence[set[int]], [[1], [2]]),
    (OrderedDict[str, dt.date], {"a": "2024-01-02"}),
    (Counter[str], {"a": 1}),
    (Annotated[set[int], Field(min_length=2)], [1, 1]),
    (tuple[int, str], [1]),
    (dict[Stars, set[Tag]], {"1": ["x"]}),
    (tuple[dict[int | str, str], int], [{"007": "x", "7": "y"}, 1]),
]


@pytest.mark.parametrize(("kind", "said"), KINDS, ids=lambda each: str(each)[:40])
def test_what_stands_behind_a_validator_is_read_as_without_it(kind, said):
    class Plain(BaseModel):
        held: kind
        day: dt.date

    class Behind(Plain, Before):
        pass

    def read(schema):
        try:
            return Answer.of(schema).read(json.dumps({"held": said, "day": "2024-01-02"})).held
        except CallError as error:
            return str(error)

    assert repr(read(Behind)) == repr(read(Plain))


class Parsed(BaseModel):
    days: set[dt.date]
    sums: tuple[Decimal, ...]
    tags: frozenset[Tag]

    @field_validator("days", mode="before")
    @classmethod
    def of_text(cls, said):
        return [dt.date.fromisoformat(each) for each in said.split(",")]

    @field_validator("sums", mode="before")
    @classmethod
    def of_numbers(cls, said):
        return [Decimal(str(each)) for each in said]

    @field_validator("tags", mode="before")
    @classmethod
    def of_words(cls, said):
        return {Tag(each) for each in said}


def test_a_validator_may_make_python_of_the_items_of_a_set_or_a_tuple():
    said = {"days": "2024-01-02,2024-01-03", "sums": [1.5, 2], "tags": ["x"]}
    read = Answer.of(Parsed).read(json.dumps(said))
    assert read.days == {dt.date(2024, 1, 2), dt.date(2024, 1, 3)}
    assert (read.sums, read.tags) == ((Decimal("1.5"), Decimal(2)), {Tag.X})


def or_nothing(cls, said, handler):
    try:
        return handler(said)
    except ValidationError:
        return None


class Note(BaseModel):
    text: str


class Deadline(Note):
    due: dt.datetime


class Lenient(BaseModel):
    due: dt.date | None
    total: Decimal | None

    either = field_validator("due", "total", mode="wrap")(classmethod(or_nothing))


def test_what_a_validator_has_in_place_of_what_cannot_be_read_is_not_taken_for_a_right_answer():
    said = {"due": "2026-12-01", "total": "1.50"}
    read = Answer.of(Lenient).read(json.dumps(said))
    assert (read.due, read.total) == (dt.date(2026, 12, 1), Decimal("1.50"))
    read = Answer.of(Lenient).read(json.dumps(said | {"due": "soon", "total": "much"}))
    assert (read.due, read.total) == (None, None)


class Mail(Before):
    what: Note | Deadline
    room: str


@pytest.mark.parametrize("room", ["hall", "12"])
def test_the_kind_of_a_union_behind_a_validator_is_that_of_json(room):
    what = {"text": "pay", "due": "2026-12-01T10:00:00Z"}
    read = Answer.of(Mail).read(json.dumps({"what": what, "room": room}))
    assert type(read.what) is Deadline


class German(BaseModel):
    day: dt.date
    year: dt.date

    @field_validator("day", mode="before")
    @classmethod
    def of_text(cls, said):
        day, month, year = map(int, said.split("."))
        return dt.date(year, month, day)

    @field_validator("year", mode="before")
    @classmethod
    def of_year(cls, said):
        return dt.date(int(said), 1, 1)


def test_a_validator_reads_dates_as_they_are_written_where_it_is_used():
    read = Answer.of(German).read('{"day": "01.02.2026", "year": "2019"}')
    assert (read.day, read.year) == (dt.date(2026, 2, 1), dt.date(2019, 1, 1))


def test_a_date_with_two_points_is_no_number():
    with pytest.raises(CallError) as caught:
        Answer.of(dt.date).read('{"answer": "01.02.2026"}')
    assert "as a number" not in str(caught.value)


class Person(BaseModel):
    name: str | None = None
    age: int | None = None


class Page(BaseModel):
    person: Person
    more: HttpUrl | Sequence[str] | None = None
    title: str = ""

    @field_validator("title", mode="before")
    @classmethod
    def stripped(cls, said):
        return said.strip()


def test_an_object_that_says_nothing_is_refused_beside_a_validator_that_makes_none():
    answer = Answer.of(Page)
    assert answer.read('{"person": {"name": "Bo"}, "title": " x "}').title == "x"
    for more in ("", ', "more": "https://a.example/"', ', "more": ["x"], "title": " y"'):
        with pytest.raises(CallError, match="has none of the fields"):
            answer.read(f'{{"person": {{"Name": "Bo"}}{more}}}')


class Nested(Before):
    kids: tuple[Nested, ...] = ()
    name: str


def test_a_long_text_many_levels_deep_is_not_written_again_at_each():
    said = {"name": 1, "more": "\x7f" * 200_000}
    for _ in range(40):
        said = {"name": "a", "kids": [said]}
    text, answer = json.dumps(said), Answer.of(Nested)
    tracemalloc.start()
    try:
        with pytest.raises(CallError, match="should be a valid string"):
            answer.read(text)
        assert tracemalloc.get_traced_memory()[1] < 20 * len(text)
    finally:
        tracemalloc.stop()
