"""An answer in a column is written as the reply that it came from, and nothing else is."""

import datetime as dt
import json
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import pydantic
import pytest

from lionproc.errors import CallError
from lionproc.model.answer import Answer


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class Inner(pydantic.BaseModel):
    sku: str = pydantic.Field(alias="stock-keeping unit")
    rank: Literal["first", 2]


class Whole(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(validate_by_name=True)
    text: str = pydantic.Field(alias="the text")
    day: dt.date
    at: dt.datetime
    span: dt.timedelta
    price: Decimal
    inner: list[Inner]
    scores: dict[str, float]
    free: Any
    none: int | None


WHOLE = {
    "the text": "ünï",
    "day": "2026-01-02",
    "at": "2026-01-02T03:04:05Z",
    "span": "P1DT2H",
    "price": "12.5",
    "inner": [{"stock-keeping unit": "a", "rank": 2}],
    "scores": {"x": 0.5},
    "free": {"any": ["thing"]},
    "none": None,
}
OBJECT = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
TYPES = {
    "text": (str, "just so"),
    "number": (int, '{"answer":7}'),
    "flag": (bool, '{"answer":false}'),
    "choice": (Literal["b", 1], '{"answer":1}'),
    "enum": (Mood, '{"answer":"good"}'),
    "decimal": (Decimal, '{"answer":"12345678901234567890123456789.123456789"}'),
    "list": (list[str], '{"answer":["x","y"]}'),
    "optional model": (Inner | None, None),
    "model": (Whole, json.dumps(WHOLE, ensure_ascii=False, separators=(",", ":"))),
    "object without a property": (OBJECT, '{"a":1}'),
    "array of a schema": ({"type": "array", "items": {"type": "integer"}}, '{"answer":[1,2]}'),
}


@pytest.mark.parametrize("kind", TYPES)
def test_what_was_read_is_written_as_it_is_asked_for(kind):
    schema, said = TYPES[kind]
    answer = Answer.of(schema)
    if said is None:
        said = json.dumps({answer.name: {"stock-keeping unit": "a", "rank": "first"}})
    read = answer.answered(said)
    text = answer.written(read.cell)
    assert answer.answered(text) == read
    if not answer.plain:
        asked = answer.response_format()["json_schema"]["schema"]
        assert set(json.loads(text)) <= set(asked["properties"])
        assert json.loads(text) == json.loads(said)
        assert ": " not in text


def test_what_stands_as_text_in_arrow_is_a_number_again():
    answer = Answer.of(list[Literal["b", 1]])
    assert json.loads(answer.written(["1", "b"])) == {"answer": [1, "b"]}


@pytest.mark.parametrize(
    ("schema", "cell"), [(Mood, "odd"), (int, "seven"), (list[int], ["x"]), (OBJECT, {"b": "x"})]
)
def test_a_cell_that_is_no_answer_is_not_written(schema, cell):
    with pytest.raises((CallError, LookupError)):
        Answer.of(schema).written(cell)
