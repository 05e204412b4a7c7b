"""Two values are one where they are made of the same parts."""

import dataclasses
import datetime as dt
from collections import deque
from decimal import Decimal
from enum import Enum, StrEnum

import pytest
from pydantic import BaseModel, ConfigDict, PrivateAttr

from lionproc.model.same_value import same_value


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class Word(StrEnum):
    GOOD = "good"


class Review(BaseModel):
    mood: str
    score: float = 0.0
    parts: list["Review"] = []

    def __eq__(self, other):
        return True  # whatever is in it

    def __hash__(self):
        return 1


class Other(BaseModel):
    mood: str
    score: float = 0.0
    parts: list["Review"] = []


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    _note: str = PrivateAttr("")


@dataclasses.dataclass
class Point:
    x: float
    note: str = dataclasses.field(default="", compare=False)


class Money:
    def __init__(self, cents):
        self.cents = cents


NAN = float("nan")
NOON = dt.datetime(2024, 1, 2, 12, tzinfo=dt.timezone(dt.timedelta(hours=1)))


def noted(note, **extra):
    made = Open(**extra)
    made._note = note
    return made


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Review(mood="a", score=NAN), Review(mood="a", score=float("nan"))),
        (Review(mood="a", parts=[Review(mood="b")]), Review(mood="a", parts=[Review(mood="b")])),
        (Point(NAN), Point(float("nan"))),
        ({"b", "a"}, {"a", "b"}),
        ({"a": [1, {2, 3}], "b": (Mood.GOOD, None)}, {"b": (Mood.GOOD, None), "a": [1, {3, 2}]}),
        (Decimal("NaN"), Decimal("NaN")),
        (Review(mood="a", score=0), Review.model_construct(mood="a", score=0, parts=[])),
        (deque([1, 2]), deque([1, 2])),
        (Money(5), Money(5)),
        (noted("n", a=1), noted("n", a=1)),
        (NOON, dt.datetime.fromisoformat("2024-01-02T12:00:00+01:00")),
        (dt.time(12, tzinfo=dt.UTC), dt.time(12, tzinfo=dt.UTC)),
    ],
)
def test_values_of_the_same_parts_are_one(one, other):
    assert same_value(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (True, 1),
        (0.0, False),
        ({1}, {True}),
        ({1: "a"}, {True: "a"}),
        ([1], (1,)),
        ({"a"}, frozenset("a")),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        ({"a": 1}, {"b": 1}),
        (Mood.GOOD, Mood.BAD),
        (Word.GOOD, "good"),
        (Review(mood="a"), Review(mood="b")),
        (Review(mood="a"), Other(mood="a")),
        (Review(mood="a", parts=[Review(mood="b")]), Review(mood="a")),
        (Point(1.0, "a"), Point(1.0, "b")),
        (Decimal(1), 1.0),
        (Decimal("1.10"), Decimal("1.1")),
        (0.0, -0.0),
        (complex(0.0, 0), complex(-0.0, 0)),
        (NOON, NOON.astimezone(dt.UTC)),
        (NAN, None),
        (NAN, 1.0),
        (Money(5), Money(6)),
        (noted("n", a=1), noted("n", a=2)),
        (noted("n", a=1), noted("m", a=1)),
        (noted("n", a=1), noted("n")),
    ],
)
def test_values_of_other_parts_or_types_are_two_whatever_they_say(one, other):
    assert not same_value(one, other)
    assert not same_value([other], [one])


def test_a_value_that_is_in_itself_is_compared():
    def circle(mood):
        made = Review(mood=mood)
        made.parts.append(made)
        return made

    assert same_value(circle("a"), circle("a"))
    assert not same_value(circle("a"), circle("b"))
