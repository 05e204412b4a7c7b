import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from lionproc.model.schema import OPEN_ITEMS, shallow

LEAF = st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2)
JSON = st.recursive(
    LEAF,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=12,
)
OPEN = [
    {"type": "object"},
    {"type": "array"},
    {"type": "object", "additionalProperties": True},
    {"type": "object", "properties": {"a": {"type": "object"}, "b": {"type": "string"}}},
    {"type": "object", "properties": {"a": {}, "b": True}, "required": ["a"]},
    {"type": "array", "items": {"type": "array"}, "maxItems": 2},
    {"anyOf": [{"type": "array"}, {"type": "string"}]},
    {"$defs": {"a": {"type": "object"}}, "properties": {"a": {"$ref": "#/$defs/a"}}},
    TypeAdapter(dict[str, Any]).json_schema(),
]


def nested(levels):
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("schema", OPEN, ids=json.dumps)
@given(value=JSON)
def test_every_answer_to_the_shallow_schema_is_one_to_the_schema(schema, value):
    if jsonschema_rs.is_valid(shallow(schema, 2), value):
        assert jsonschema_rs.is_valid(schema, value)


def test_an_open_place_holds_that_many_levels_and_no_more():
    made = shallow({"type": "object", "properties": {"a": {"type": "object"}}}, 2)
    assert jsonschema_rs.is_valid(made, {"a": nested(2)})
    assert not jsonschema_rs.is_valid(made, {"a": nested(3)})
    assert not jsonschema_rs.is_valid(made, {"a": {"b": [[1]]}})


def test_an_open_list_ends_and_one_with_a_length_of_its_own_keeps_it():
    assert not jsonschema_rs.is_valid(shallow({"type": "array"}, 1), [1] * (OPEN_ITEMS + 1))
    assert shallow({"type": "array", "maxItems": 99}, 1)["maxItems"] == 99


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"mood": {"enum": [{"a": {}}, True]}}},
        {"type": "array", "items": {"type": "string", "default": {}}},
        {"type": "object", "properties": {"type": {"type": "string"}}, "required": ["type"]},
    ],
    ids=json.dumps,
)
def test_what_a_schema_says_itself_stays_as_it_is(schema):
    before = json.dumps(schema)
    assert shallow(schema, 2) == schema
    assert json.dumps(schema) == before
