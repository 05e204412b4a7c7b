"""Parts of a type that are read by functions count in a union as much as those of pydantic."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from enum import Enum, IntEnum
from itertools import product
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import SchemaValidator

from lionproc.model.answer import Answer
from lionproc.model.guarded import guarded

READ = ("literal", "enum", "decimal", "date", "datetime", "time", "timedelta")
Mixed = Enum("Mixed", {"ONE": 1, "T": "t"})
Other = Enum("Other", {"ONE": 1, "HALF": "2.5"})


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Short(BaseModel):
    level: Level
    note: str


class Long(BaseModel):
    level: int
    note: str
    unit: str = "kg"


READ_BY_US = (
    *(Decimal, Mixed, Literal[1, "t", True], dt.date, dt.datetime, dt.timedelta, dt.time),
    *(list[Decimal], dict[str, Mixed], Short),
)
KINDS = (*(int, float, str, bool, Any, Other, Literal[1], list[Any], list[int], Long), *READ_BY_US)
SAID = (
    *(1, 2.5, "2.5", "t", True, None, [1], [1, 2.5], {"a": 1}, {"level": 1, "note": "true"}),
    *("2024-01-02", "2024-01-02T00:00:00Z", "PT1H", "03:04:05"),
)


def ours(part, keys):
    return (lambda said, read: read(said)) if part.get("type") in READ else None


@pytest.mark.parametrize("mode", ["smart", "left_to_right"])
@pytest.mark.parametrize("kind", READ_BY_US, ids=str)
def test_the_kind_of_a_union_is_the_one_that_pydantic_takes(kind, mode):
    def read(schema, said):
        try:
            value = SchemaValidator(schema, _use_prebuilt=False).validate_json(said, strict=True)
        except ValidationError as error:
            return error.error_count()
        return type(value), value

    others = [other for other in KINDS if other is not kind]
    for other, said in product(others, map(json.dumps, SAID)):
        for union in (kind | other, other | kind):
            schema = TypeAdapter(Annotated[union, Field(union_mode=mode)]).core_schema
            assert read(guarded(schema, ours), said) == read(schema, said), (union, said)


@pytest.mark.parametrize(
    ("kind", "said", "beside"),
    [
        (Short | Long, {"level": 1, "note": "ok"}, {"level": 1, "note": "it is true"}),
        (int | Decimal, 2, 0.1),
        (Decimal | float, 2.5, 0.30000000000000004),
        (Level | float, 1, 2019.5),
        (dt.date | Level | float | str, 1, "2019"),
        (Level | bool | int, 1, True),
    ],
    ids=str,
)
def test_which_kind_is_read_does_not_depend_on_what_else_is_in_the_reply(kind, said, beside):
    alone = TypeAdapter(kind).validate_json(json.dumps(said), strict=True)
    for before, after in ([], []), ([], [beside]), ([beside], []):
        reply = json.dumps({"answer": [*before, said, *after]})
        one = Answer.of(list[kind]).read(reply)[len(before)]
        assert (type(one), one) == (type(alone), alone), reply
