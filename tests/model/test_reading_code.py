"""What reads replies besides the JSON Schema of a type."""

import enum
from typing import Annotated, Literal

import pydantic
import pytest

from lionproc.model.reading_code import reading_code


class Mood(enum.Enum):
    GOOD = "good"

    @classmethod
    def _missing_(cls, value):
        return cls.GOOD


def trimmed(text):
    return text.strip()


class Inner(pydantic.BaseModel):
    word: Annotated[str, pydantic.AfterValidator(trimmed)]
    tree: "list[Inner]" = []

    @pydantic.computed_field
    def size(self) -> int:
        return len(self.word)


class Outer(pydantic.BaseModel):
    inner: Inner | None
    mood: Mood
    tags: frozenset[str]

    @pydantic.model_validator(mode="after")
    def _whole(self):
        return self


def test_validators_enums_and_sets_are_found_wherever_they_are():
    found = reading_code(list[Outer])
    assert {getattr(each, "co_name", each) for each in found} == {
        *("_whole", "trimmed", "_missing_", "frozenset")
    }


@pytest.mark.parametrize(
    "source",
    [
        None,
        str,
        int,
        Literal["a", "b"],
        list[str],
        dict[str, int],
        pydantic.HttpUrl,
        {"type": "string"},
    ],
)
def test_what_a_schema_tells_whole_needs_no_code(source):
    assert reading_code(source) == []
