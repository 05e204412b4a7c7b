"""A type whose faults are short reads what it reads otherwise."""

from __future__ import annotations

import datetime as dt
from enum import Enum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, HttpUrl, TypeAdapter, ValidationError
from pydantic_core import SchemaValidator

from lionproc.model.brief import brief

Mood = Enum("Mood", {"good": "good", "day": dt.date(2024, 1, 2), "two": 2})


class Cat(BaseModel):
    kind: Literal["cat", "tiger"]
    friends: list[Cat | Dog] = []


class Dog(BaseModel):
    kind: Literal["dog"] = Field(alias="art")
    mood: Mood | int | None = None


Cat.model_rebuild()
TYPES = [
    Literal["a", 1, True] | None,
    Literal[1, 2, 3] | float,
    float | Literal[1],
    Mood | str,
    dict[Literal["a", "b"], Mood],
    list[Cat | Dog | HttpUrl],
    Annotated[str, Field(pattern="a" * 300 + "|b+")] | int,
    tuple[Literal["a"], ...] | set[Literal["a", "b"]],
]
SAID = [
    *("1", "1.0", "true", "null", '"a"', '"b"', "3.5", '"good"', '"2024-01-02"', "2", '"x"', "[]"),
    *('["a"]', '["a", "b"]', '{"a": "good"}', '{"a": 2, "b": "x"}', '{"c": "good"}', '"bbb"'),
    '[{"kind": "cat", "friends": [{"kind": "tiger"}, {"art": "dog", "mood": 2}]}]',
    '[{"kind": "cow"}, {"art": "dog", "mood": "bad"}, "http://a.b/", "a"]',
]


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_it_reads_the_same_and_finds_as_many_faults(kind):
    schema = TypeAdapter(kind).core_schema
    full, short = SchemaValidator(schema), SchemaValidator(brief(schema), _use_prebuilt=False)
    for said in SAID:
        read, faults = [], []
        for validator in (full, short):
            try:
                value = validator.validate_json(said, strict=True)
                read.append((type(value), value))
            except ValidationError as error:
                faults.append(error.error_count())
        assert (len(read), len(faults)) in ((2, 0), (0, 2)), said
        assert len({*map(repr, read)}) <= 1, said
        assert len({*faults}) <= 1, said


def told(kind, said):
    with pytest.raises(ValidationError) as caught:
        SchemaValidator(brief(TypeAdapter(kind).core_schema), _use_prebuilt=False).validate_json(
            said
        )
    return [fault["msg"] for fault in caught.value.errors()]


def test_of_many_choices_the_first_are_named_and_of_a_few_all():
    many = Literal[tuple(f"label {n} {'long' * 20}" for n in range(900))]
    (why,) = told(many, '"x"')
    assert why.startswith("Input should be one of 900 choices: 'label 0 longlong")
    assert len(why) < 300
    assert told(Literal["a", 1], '"x"') == ["Input should be 'a' or 1"]
    assert told(Mood, '"x"') == ["Input should be 'good' or 2024-01-02 or 2"]


def test_of_many_tags_the_first_are_named():
    class Kind(BaseModel):
        kind: Literal[tuple(f"kind {n}" for n in range(100))]

    class Else(BaseModel):
        kind: Literal["else"]

    why = told(Annotated[Kind | Else, Field(discriminator="kind")], '{"kind": "a secret"}')
    assert why == [
        "the tag should be one of 101 choices: 'kind 0', 'kind 1', 'kind 2', 'kind 3', 'kind 4', ..."
    ]
