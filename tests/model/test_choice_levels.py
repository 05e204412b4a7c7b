"""How deep choices stand in one another decides how often a text is gone over."""

import json

import pytest

from lionproc.errors import CallError
from lionproc.model.answer import Answer
from lionproc.model.choice_levels import levels_of_choices, levels_of_unevaluated
from lionproc.model.references import References

TEXT = {"type": "string"}


def levels(schema):
    return levels_of_choices(schema, References(schema))


def within(levels, inner=TEXT, word="anyOf"):
    for _ in range(levels):
        inner = {word: [inner, {"type": "integer"}]}
    return inner


@pytest.mark.parametrize("word", ["anyOf", "oneOf"])
def test_choices_count_where_they_stand_in_one_another(word):
    assert levels(TEXT) == 0
    assert levels(within(7, word=word)) == 7
    beside = {"type": "object", "properties": {f"f{n}": within(1, word=word) for n in range(50)}}
    assert levels(beside) == 1


def test_they_count_through_properties_items_and_references_and_a_circle_has_an_end():
    inner = {"type": "array", "items": {"type": "object", "properties": {"a": within(2)}}}
    assert levels(within(3, inner)) == 5
    named = {"$ref": "#/$defs/one", "$defs": {"one": within(1, {"$ref": "#/$defs/two"}),
                                              "two": within(2)}}  # fmt: skip
    assert levels(named) == 3
    tree = {"type": "array", "items": {"anyOf": [TEXT, {"$ref": "#"}]}}
    assert levels(tree) == 1
    assert levels({"properties": {"anyOf": TEXT, "oneOf": within(1)}}) == 1  # names of fields


def test_what_is_left_over_counts_at_each_level_that_it_is_spoken_of():
    assert levels_of_unevaluated(within(3), References({})) == 0
    part = TEXT
    for _ in range(4):
        part = {"properties": {"a": part}, "unevaluatedProperties": False}
    assert levels_of_unevaluated(part, References(part)) == 4


def test_texts_within_many_choices_are_gone_over_as_often_and_have_less_time():
    pattern = {"type": "string", "pattern": r"^(?:(?!.*\bfoo\b).)*$"}
    said = json.dumps({"p": ["é a" * 500 + "\nx"] * 3}, ensure_ascii=False)

    def reasons(count):
        items = {"type": "array", "items": within(count, pattern)}
        schema = {"type": "object", "properties": {"p": items}, "required": ["p"]}
        with pytest.raises(CallError) as caught:
            Answer.of(schema).read(said)
        return caught.value.message

    assert "too long, or too many" not in reasons(0)  # it is held against it, and is none
    assert "too long, or too many" in reasons(90)
