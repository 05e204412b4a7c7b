"""Answers of many fields are looked at as a whole, and nothing in them passes that one by one would not."""

from __future__ import annotations

import json
from typing import Any

import pydantic
import pytest

from lionproc.errors import CallError
from lionproc.model import exact_numbers
from lionproc.model.answer import Answer
from lionproc.model.validate import has_each_key_once, parse

VALUES = {"name": "a: b", "count": 7, "share": 0.5, "sure": True}


class Plain(pydantic.BaseModel):
    name: str
    count: int
    share: float
    sure: bool


class Spoiled(pydantic.BaseModel):
    name: str = ""
    count: int = 0
    share: float = 0.0
    sure: bool = True
    spoil: bool = True

    @pydantic.model_validator(mode="after")
    def _spoil(self) -> Spoiled:
        if self.spoil:
            object.__setattr__(
                self, self.name, {"name": "\ud800", "share": float("nan")}[self.name]
            )
        return self


class Shown(Plain):
    name: str

    def __getattribute__(self, name: str) -> Any:
        return "shown" if name == "name" else super().__getattribute__(name)


@pytest.mark.parametrize("schema", [Plain, Plain.model_json_schema()])
def test_a_record_of_plain_values_becomes_a_cell_of_them(schema: Any) -> None:
    answered = Answer.of(schema).answered(json.dumps(VALUES))
    assert answered.cell == VALUES
    assert answered.cell is not vars(answered.value) if schema is Plain else True


def test_a_cell_holds_what_an_object_shows_and_not_what_it_has() -> None:
    assert Answer.of(Shown).answered(json.dumps(VALUES)).cell == {**VALUES, "name": "shown"}


def test_a_text_that_is_not_ascii_and_a_missing_value_are_cells_too() -> None:
    class Open(Plain):
        share: float | None

    given = {**VALUES, "name": "Köln", "share": None}
    assert Answer.of(Open).answered(json.dumps(given)).cell == given


@pytest.mark.parametrize(
    ("place", "value"), [("count", 2**63), ("count", -(2**63) - 1), ("count", 1.5), ("sure", 1)]
)
def test_one_value_that_no_column_holds_is_found_among_the_others(place: str, value: Any) -> None:
    with pytest.raises(CallError, match=place):
        Answer.of(Plain).read(json.dumps({**VALUES, place: value}))


@pytest.mark.parametrize("place", ["name", "share"])
def test_what_a_validator_makes_of_one_field_is_found_among_the_others(place: str) -> None:
    with pytest.raises(CallError, match=place):
        Answer.of(Spoiled).read(json.dumps({"name": place}))


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a": "x:y", "a": "z"}',
        '{"a" : 1, "b":"\\u003a", "a":"x"}',
        '{"a": "\\u003a", "a": 1}',
        '{"a": {"b": 1, "b": 2}}',
        '{"a": [{"b": 1, "b": 2}], "c": ":"}',
        '{"a:b": 1, "a:b": 2}',
        '{"a": [":"], "a": ["x"]}',
        '[{"a": 1, "a": 2}]',
        '{"a": NaN}',
        '{"a": ' + "[" * 200 + "]" * 200 + "}",
        "{",
    ],
)
def test_json_with_two_readings_never_passes_at_a_glance(text: str) -> None:
    assert not has_each_key_once(text)


@pytest.mark.parametrize(
    "text",
    [json.dumps(VALUES), '{"when": "10:30", "a:b" : "c"}', '{"a": ["x", "y"], "b": []}', "{}"],
)
def test_what_passes_at_a_glance_is_json_with_one_reading(text: str) -> None:
    assert has_each_key_once(text)
    assert parse(text) == json.loads(text)


def test_an_ordinary_answer_is_not_searched_for_numbers_that_no_float_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The search takes ten times as long as pydantic takes for the whole answer.
    monkeypatch.setattr(exact_numbers, "_PERHAPS_INEXACT", None)
    text = json.dumps({**VALUES, "name": "call me: 555 010 999 e", "share": 0.1234567890123})
    assert Answer.of(Plain).read(text).count == 7


@pytest.mark.parametrize(
    "number", ["12345678901234567.25", "0.1234567890123456", "7e0", "7.5E-1", "3" * 16, "1" * 400]
)
def test_what_a_float_may_round_is_never_passed_over(number: str) -> None:
    text = f'{{"name": "é", "count": {number}}}'
    assert exact_numbers._PERHAPS_INEXACT.search(text)
    assert exact_numbers.may_be_inexact(text)
