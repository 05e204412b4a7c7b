import enum
import re
from typing import Annotated, Literal

import jsonschema_rs
import pytest
from pydantic import BaseModel, Field

from lionproc.errors import SchemaError
from lionproc.seeded_random import SeededRandom, unit
from lionproc.testing import instance


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Node(BaseModel):
    name: str
    children: list["Node"]
    parent: "Node | None"


class Review(BaseModel):
    mood: Mood
    label: Literal["a", "b", 3]
    score: Annotated[int, Field(ge=1, le=5)]
    share: Annotated[float, Field(gt=0, lt=1)]
    words: Annotated[list[str], Field(min_length=1, max_length=3)]
    pair: tuple[int, str]
    note: str | None
    counts: dict[str, int]
    sure: bool = True


SCHEMAS = {
    "pydantic": Review.model_json_schema(),
    "recursive": Node.model_json_schema(),
    "constant": {"const": {"a": [1]}},
    "exclusive": {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    "multiples": {"type": "integer", "minimum": -10, "maximum": 20, "multipleOf": 7},
    "steps": {"type": "number", "minimum": 0, "maximum": 1, "multipleOf": 0.25},
    "one number": {"type": "number", "minimum": 2.5, "maximum": 2.5},
    "below zero": {"type": "integer", "maximum": -5},
    "several types": {"type": ["integer", "null", "string"]},
    "lengths": {"type": "string", "minLength": 30, "maxLength": 31},
    "short": {"type": "string", "maxLength": 1},
    "unique": {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
    "tuple": {"type": "array", "prefixItems": [{"type": "integer"}], "items": False, "minItems": 1},
    "all of": {
        "allOf": [
            {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"properties": {"b": {"type": "null"}}, "required": ["b"]},
        ]
    },
    "one of": {"oneOf": [{"type": "integer"}, {"type": "boolean"}]},
    "no properties": {"type": "object", "additionalProperties": {"type": "integer"}},
    "some properties": {"type": "object", "minProperties": 3},
    "anything": {},
    "true": True,
    "escaped": {"$defs": {"a/b": {"type": "boolean"}}, "$ref": "#/$defs/a~1b"},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_instance_is_valid(name):
    schema = SCHEMAS[name]
    for seed in range(200):
        jsonschema_rs.validate(schema, instance(schema, seed), validate_formats=True)


@pytest.mark.parametrize(
    "form", ["date", "date-time", "time", "email", "uri", "uuid", "ipv4", "ipv6"]
)
def test_formats_are_kept(form):
    schema = {"type": "string", "format": form}
    for seed in range(200):
        jsonschema_rs.validate(schema, instance(schema, seed), validate_formats=True)


def test_pydantic_reads_the_instances():
    for seed in range(50):
        Review.model_validate(instance(Review.model_json_schema(), seed))
        Node.model_validate(instance(Node.model_json_schema(), seed))


def test_equal_seeds_give_equal_instances_and_others_differ():
    schema = Review.model_json_schema()
    assert instance(schema, 5) == instance(schema, 5)
    assert len({repr(instance(schema, seed)) for seed in range(50)}) > 40


def test_enums_are_spread_evenly():
    seen = [instance({"enum": ["a", "b", "c", "d"]}, seed) for seed in range(4000)]
    assert all(900 <= seen.count(word) <= 1100 for word in "abcd")


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"$ref": "#"}, "finite"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "finite"),
        ({"type": "array", "items": {"enum": [1]}, "minItems": 2, "uniqueItems": True}, "too few"),
        ({"$ref": "https://example.com/x"}, "outside itself"),
        ({"$ref": "#/$defs/none"}, re.escape("'#/$defs/none'")),
    ],
)
def test_a_schema_that_has_no_instance_is_an_error(schema, says):
    with pytest.raises(SchemaError, match=says):
        instance(schema, 1)


def test_draws_are_even_and_independent_of_each_other():
    numbers = [unit(7, n) for n in range(10_000)]
    assert all(0 <= number < 1 for number in numbers)
    for tenth in range(10):
        assert 850 <= sum(tenth <= number * 10 < tenth + 1 for number in numbers) <= 1150
    assert sum(a < 0.5 for n, a in enumerate(numbers) if unit(7, n, stream=1) < 0.5) < 2700
    assert {SeededRandom(1).below(1), SeededRandom(2).below(1)} == {0}


def test_long_values_that_have_to_differ_are_not_held_against_each_other_without_end():
    alike = [[*range(2000), number] for number in range(50)]
    schema = {"type": "array", "items": {"enum": alike}, "uniqueItems": True, "minItems": 900}
    with pytest.raises(OverflowError, match="more than is made up"):
        instance(schema, 0)
    assert len(instance({**schema, "minItems": 3}, 0)) >= 3


def test_names_that_are_wanted_by_many_parts_are_not_put_together_without_end():
    wanted = {"required": [f"n{number}" for number in range(20_000)]}
    many = {"allOf": [{"$ref": "#/$defs/w"}] * 300, "$defs": {"w": wanted}}
    with pytest.raises(OverflowError, match="more than is made up"):
        instance(many, 1)


def test_names_that_are_wanted_twice_are_there_once():
    twice = {"allOf": [{"required": ["a", "b"]}, {"required": ["b", "a", "c"]}]}
    assert list(instance(twice, 1)) == ["a", "b", "c"]
