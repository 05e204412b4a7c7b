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
        *("_whole", "trimmed", "_missing_", "frozenset", "size")
    }


def tagged(**options):
    class Tagged(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(title="Tagged", **options)
        tag: str

    return Tagged


class Begins(pydantic.BaseModel):
    word: str
    _seen: int = 0

    def model_post_init(self, _context):
        self.word = self.word.upper()


class Made(pydantic.BaseModel):
    word: str

    def __init__(self, **fields):
        super().__init__(**fields)


@pydantic.dataclasses.dataclass
class Filled:
    word: str

    def __post_init__(self):
        self.word = self.word.upper()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (Annotated[str, pydantic.StringConstraints(to_upper=True)], ("to_upper", True)),
        (tagged(str_to_lower=True), ("str_to_lower", True)),
        (list[tagged(str_strip_whitespace=True, defer_build=True)], ("str_strip_whitespace", True)),
        (Begins, "model_post_init"),
        (Made, "__init__"),
        (Filled, "__post_init__"),
    ],
)
def test_what_changes_an_answer_as_it_is_read_is_found_though_no_schema_has_it(source, found):
    assert [getattr(each, "co_name", each) for each in reading_code(source)] == [found]


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
        tagged(),
        tagged(extra="forbid", defer_build=True),
        "of no type",
        {"type": "string"},
    ],
)
def test_what_a_schema_tells_whole_needs_no_code(source):
    assert reading_code(source) == []
