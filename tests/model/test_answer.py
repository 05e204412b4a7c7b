import dataclasses
import datetime as dt
import enum
import json
import pickle
import socket
import sys
from collections import Counter, OrderedDict, deque
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    Field,
    NaiveDatetime,
    RootModel,
    WrapValidator,
    create_model,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict

from lionproc.errors import CallError, Kind, SchemaError
from lionproc.model import coerce, keys
from lionproc.model.answer import Answer


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Known(enum.Enum):
    YES = "yes"
    NOT = None


class Sure(enum.Enum):
    YES = True
    NO = False
    UNCLEAR = "unclear"


class Stars(enum.IntEnum):
    ONE = 1
    TWO = 2


class Item(BaseModel):
    sku: str
    quantity: int = 1


class Review(BaseModel):
    """A review, read closely."""

    title: str = Field(description="in three words", min_length=2)
    label: Literal["good", "bad"]
    stars: Stars = Field(description="as given")
    when: dt.date | None = None
    items: list[Item] = []


class Node(BaseModel):
    name: str
    children: list["Node"] = []


@dataclasses.dataclass
class Point:
    x: float
    y: float


REVIEW = Answer.of(Review)


def refusal(answer, text):
    with pytest.raises(CallError) as caught:
        answer.read(text)
    assert caught.value.kind is Kind.WRONG_SHAPE
    return caught.value.message


def outcome(answer, text):
    try:
        return answer.read(text)
    except CallError as error:
        return error.kind


def wire(answer):
    return answer.response_format()["json_schema"]


# ---------------------------------------------------------------- plain text


def test_plain_text_is_the_answer_without_its_outer_whitespace():
    answer = Answer.of()
    assert answer.plain
    assert answer.response_format() is None
    assert answer.instruction == ""
    assert answer.fields is None
    assert answer.read("  two\nlines \n") == "two\nlines"
    assert answer.read('{"answer": 1}') == '{"answer": 1}'


class Anything(BaseModel):
    held: Any


@pytest.mark.parametrize("schema", [str, int, Review, {"type": "object"}])
@pytest.mark.parametrize("text", ["", "  \n\t "])
def test_a_reply_without_text_is_empty_and_never_a_value(schema, text):
    with pytest.raises(CallError) as caught:
        Answer.of(schema).read(text)
    assert caught.value.kind is Kind.EMPTY


def test_a_member_that_is_none_is_a_gap_in_its_column():
    answered = Answer.of(Known).answered('{"answer": null}')
    assert (answered.value, answered.cell) == (Known.NOT, None)


def test_a_fence_around_nothing_is_empty():
    with pytest.raises(CallError) as caught:
        Answer.of(int).read("```json\n\n```")
    assert caught.value.kind is Kind.EMPTY


def test_half_a_surrogate_pair_is_refused_because_no_column_can_hold_it():
    assert "surrogate" in refusal(Answer.of(str), "a\ud83d")
    assert refusal(Answer.of(list[str]), r'["\ud83d"]')
    assert "surrogate" in refusal(Answer.of({"type": "string"}), r'"\ud83d"')


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        (int, '{"answer": 7}', 7),
        (int, "7", 7),
        (int, "-3.0", -3),
        (int, '{"answer": 3.0}', 3),
        (float, '{"answer": 3}', 3.0),
        (float, "1e3", 1000.0),
        (bool, '{"answer": false}', False),
        (bool, "True", True),
        (Literal["good", "bad"], '{"answer": "bad"}', "bad"),
        (Literal["good", "bad"], "bad", "bad"),
        (Literal["good", "bad"], '"bad"', "bad"),
        (Literal["good", "bad"], '{"answer": " Bad "}', "bad"),
        (Literal["good", "bad"], "GOOD", "good"),
        (Literal["a", "A"], "A", "A"),
        (Literal["1", "2"], "1", "1"),
        (Literal[1, 2], "2", 2),
        (Literal["yes", 1], "1", 1),
        (Mood, '{"answer": "good"}', Mood.GOOD),
        (Mood, "Bad", Mood.BAD),
        (Stars, "2", Stars.TWO),
        (list[str], '{"answer": ["a", "b"]}', ["a", "b"]),
        (list[str], "[]", []),
        (list[Mood], '["GOOD"]', [Mood.GOOD]),
        (int | None, '{"answer": null}', None),
        (int | None, "null", None),
        (int | None, "4", 4),
        (Annotated[str, Field(max_length=3)], '{"answer": "abc"}', "abc"),
        (dt.date, "2024-02-29", dt.date(2024, 2, 29)),
        (dt.datetime, '"2024-02-29T10:00:00Z"', dt.datetime(2024, 2, 29, 10, tzinfo=dt.UTC)),
        (Decimal, '{"answer": "1.10"}', Decimal("1.10")),
        (Decimal, "1.1", Decimal("1.1")),
        (dict[str, int], '{"answer": {"a": 1}}', {"a": 1}),
        (Point, '{"x": 1, "y": 2.5}', Point(1.0, 2.5)),
        (Review | None, '{"answer": null}', None),
        (RootModel[list[int]], "[1]", RootModel[list[int]]([1])),
        ({"enum": ["x", "y"]}, "Y", "y"),
        ({"type": "array", "items": {"type": "integer"}}, "[1, 2]", [1, 2]),
        ({"type": "object"}, '{"any": ["thing"]}', {"any": ["thing"]}),
    ],
)
def test_a_reply_becomes_the_value(schema, text, value):
    read = Answer.of(schema).read(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (int, "true"),
        (int, '{"answer": true}'),
        (int, '{"answer": "7"}'),
        (int, "3.5"),
        (int, "seven"),
        (int, "9223372036854775808"),
        (int, "1" + "0" * 5000),
        (int, "1e30"),
        (float, "NaN"),
        (float, '{"answer": Infinity}'),
        (float, '{"answer": "NaN"}'),
        (float, "1e999"),
        (float, "true"),
        (bool, "1"),
        (bool, '{"answer": "true"}'),
        (bool, "yes"),
        (Literal["good", "bad"], "good."),
        (Literal["good", "bad"], "The answer is good"),
        (Literal["a", "A"], '{"answer": "a "}'),
        (Literal[1, 2], "true"),
        (Literal[0, 1], '{"answer": false}'),
        (Stars, '{"answer": true}'),
        (list[Literal[1, 2]], "[1, true]"),
        (list[int], "[1, true]"),
        (list[int], "[1, 2"),
        (list[str], "[" * 100_000),
        (str | None, "some prose"),
        (dt.date, "12"),
        (dt.date, '{"answer": "20240229"}'),
        (dt.datetime, '{"answer": "1700000000"}'),
        (dt.datetime, '{"answer": "1.7e9"}'),
        (dt.datetime, "0001-01-01T00:00:00+10:00"),
        (NaiveDatetime, "2024-01-01T00:00:00Z"),
        (AwareDatetime, "2024-01-01T00:00:00"),
        (Decimal, "0.0000000001"),
        (Decimal, "1" + "0" * 30),
        (Decimal, "NaN"),
        (dict[str, int], '{"a": 1}'),
        (dict[str, float], '{"answer": {"a": NaN}}'),
        (list[Any], "[1e999]"),
        (tuple[Anything, int], '[{"held": 1e999}, 1]'),
        (tuple[Anything, int], '[{"held": {"a": [-1e999]}}, 1]'),
        (Point, '{"x": 1}'),
        ({"type": "integer"}, "1.5"),
        ({"type": "integer"}, "true"),
        ({"type": "number"}, "NaN"),
        ({"type": "string", "format": "date"}, '"2024-02-30"'),
        ({"type": "object", "required": ["a"]}, "{}"),
        ({"type": "object"}, "[]"),
        ({"type": "object"}, '{"a": 1'),
    ],
)
def test_nothing_wrong_looks_right(schema, text):
    assert refusal(Answer.of(schema), text)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (Literal["good", "bad"], '{"answer": "good", "answer": "bad"}'),
        (Literal["good", "bad"], r'{"answer": "good", "\u0061nswer": "bad"}'),
        ({"type": "object", "properties": {"größe": {}}}, '{"größe": 1, "größe": 2}'),
        (create_model("M", größe=(int, ...)), '{"größe": 1, "größe": 2}'),
        (list[Item], '{"answer": [{"sku": "a", "sku": "b"}]}'),
        (dict[str, int], '{"answer": {"a": 1, "a": 2}}'),
        ({"type": "object"}, '{"a": 1, "a": 2}'),
    ],
)
def test_a_key_given_twice_is_refused_rather_than_one_of_them_chosen(schema, text):
    assert "twice" in refusal(Answer.of(schema), text)


def test_a_key_that_is_also_a_value_is_no_duplicate():
    model = create_model("M", label=(str, ...), other=(str, ...))
    assert Answer.of(model).read('{"label": "label", "other": "label"}').other == "label"


@pytest.mark.parametrize("fence", ["```json\n{}\n```", "```\n{}\n```", "  ```JSON\n{}\n  ```\n"])
def test_a_code_fence_around_the_whole_reply_is_taken_off(fence):
    assert Answer.of(int).read(fence.replace("{}", '{"answer": 5}')) == 5


@pytest.mark.parametrize(
    "text",
    [
        'Sure!\n{"answer": 5}',
        '{"answer": 5}\nI hope this helps.',
        '```json\n{"answer": 5}\n```\nI hope this helps.',
        'Sure!\n```json\n{"answer": 5}\n```',
    ],
)
def test_prose_around_the_json_is_not_accepted(text):
    assert refusal(Answer.of(int), text)


def test_a_model_is_read_with_its_nested_parts():
    text = json.dumps(
        {
            "title": "Fine thing",
            "label": "Good",
            "stars": 2.0,
            "when": "2024-05-01",
            "items": [{"sku": "a", "quantity": 3.0}],
        }
    )
    review = Answer.of(Review).read(text)
    assert review.label == "good"
    assert review.stars is Stars.TWO
    assert review.when == dt.date(2024, 5, 1)
    assert review.items == [Item(sku="a", quantity=3)]


def test_a_reason_names_the_place_and_what_was_expected_but_not_the_reply():
    text = json.dumps(
        {"title": 5, "label": "SECRET", "stars": 1, "items": [{"SECRET": 1, "quantity": "SECRET"}]}
    )
    reason = refusal(Answer.of(Review), text)
    assert "title: Input should be a valid string" in reason
    assert "label: Input should be 'good' or 'bad'" in reason
    assert "items.0.sku: Field required" in reason
    assert "and 1 more" in reason
    assert "SECRET" not in reason


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"enum": ["x"]}}},
        {"type": "object", "properties": {"a": {"pattern": "^x$"}}},
        {"type": "object", "properties": {"a": {}}, "additionalProperties": False},
        {"type": "object", "propertyNames": {"maxLength": 2}},
    ],
)
def test_a_reason_from_a_json_schema_hides_the_reply_too(schema):
    reason = refusal(Answer.of(schema), '{"a": "SECRET", "SECRET2": {"x": "SECRET"}, "b": 1}')
    assert reason
    assert "SECRET" not in reason


@pytest.mark.parametrize("value", ['"x"', "1e999"])
def test_keys_that_the_reply_made_up_are_not_quoted(value):
    reason = refusal(Answer.of(dict[str, float]), f'{{"answer": {{"SECRET": {value}}}}}')
    assert "(a key): " in reason
    assert "SECRET" not in reason


def test_tagged_unions_do_not_quote_the_tag_they_got():
    cat = create_model("Cat", kind=(Literal["cat"], ...))
    dog = create_model("Dog", kind=(Literal["dog"], ...))
    answer = Answer.of(list[Annotated[cat | dog, Field(discriminator="kind")]])
    reason = refusal(answer, '[{"kind": "SECRET"}]')
    assert "SECRET" not in reason
    assert "'cat'" in reason


def test_the_users_own_validators_apply_and_their_reasons_are_passed_on():
    class Even(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def even(cls, n):
            if n % 2:
                raise ValueError("n must be even")
            return n

    answer = Answer.of(Even)
    assert answer.read('{"n": 4}').n == 4
    assert "n must be even" in refusal(answer, '{"n": 3}')


def test_any_other_exception_in_a_validator_is_a_wrong_shape_and_not_a_crash():
    def broken(_):
        raise KeyError("SECRET")

    reason = refusal(Answer.of(Annotated[int, BeforeValidator(broken)]), "3")
    assert "KeyError" in reason
    assert "SECRET" not in reason


def test_a_validator_that_returns_another_type_is_noticed_while_reading():
    answer = Answer.of(create_model("M", words=(Annotated[str, BeforeValidator(str)], ...)))
    assert answer.read('{"words": 5}').words == "5"

    class Split(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def split(cls, n):
            return [n]

    assert "n: expected a whole number" in refusal(Answer.of(Split), '{"n": 3}')


def test_aliases_are_the_names_in_the_json_and_field_names_those_of_the_columns():
    class Aliased(BaseModel):
        model_config = ConfigDict(populate_by_name=False)
        mood: Literal["good", "bad"] = Field(alias="the-mood")

    answer = Answer.of(Aliased)
    assert answer.read('{"the-mood": "GOOD"}').mood == "good"
    assert [field.name for field in answer.fields] == ["mood"]
    assert list(wire(answer)["schema"]["properties"]) == ["the-mood"]


def test_the_key_of_a_field_is_the_name_that_is_asked_for():
    class ByName(BaseModel):
        model_config = ConfigDict(validate_by_name=True, validate_by_alias=False)
        mood: str = Field("", validation_alias="the-mood")

    answer = Answer.of(ByName)
    assert [field.key for field in answer.fields] == list(wire(answer)["schema"]["properties"])
    assert answer.read(answer.written({"mood": "good"})).mood == "good"


def test_models_that_only_their_names_in_the_json_tell_apart_are_asked_for():
    class One(BaseModel):
        mood: str

    class Other(BaseModel):
        mood: str = Field(alias="feeling")

    answer = Answer.of(One | Other)
    assert answer.fields is None
    assert answer.read('{"answer": {"feeling": "good"}}') == Other(feeling="good")


class Mild(BaseModel):
    mood: Literal["good", "bad", "mixed"] = Field(
        "mixed", validation_alias=AliasChoices("mood", "Mood")
    )
    stars: int | None = None


class Free(BaseModel):
    model_config = ConfigDict(extra="allow")
    stars: int | None = None


@dataclasses.dataclass
class Plain:
    stars: int = 3


class Loose(TypedDict, total=False):
    stars: int


LOOSE = {"type": "object", "properties": {"stars": {"type": "integer"}}}


@pytest.mark.parametrize("schema", [Mild, Plain, Loose, LOOSE])
@pytest.mark.parametrize("text", ['{"answer":{"stars":1}}', '{"error":"I cannot."}', '{"STARS":1}'])
def test_an_answer_with_other_fields_than_were_asked_for_is_not_all_defaults(schema, text):
    with pytest.raises(CallError, match=r"none of the fields.*stars") as caught:
        Answer.of(schema).read(text)
    assert caught.value.kind is Kind.WRONG_SHAPE


class Around(BaseModel):
    mild: Mild = Mild(stars=2)
    free: Free = Free()
    milds: list[Mild] = []
    stars: int = 0


LOOSE_ONES = {"type": "object", "properties": {"x": {"$ref": "#/$defs/o"}}, "$defs": {"o": LOOSE}}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (list[Mild], '{"answer": [{"stars": 1}, {"STARS": 1}]}'),
        (Mild | None, '{"answer": {"STARS": 1}}'),
        (dict[str, Loose], '{"answer": {"a": {"STARS": 1}}}'),
        (list[Plain], '{"answer": [{"stars": 1}, {"STARS": 1}]}'),
        (Around, '{"mild": {"STARS": 1}}'),
        (Around, '{"free": {}, "milds": [{"STARS": 1}]}'),
        ({"type": "array", "items": LOOSE}, '{"answer": [{"stars": 1}, {"STARS": 1}]}'),
        (LOOSE_ONES, '{"x": {"STARS": 1}}'),
    ],
    ids=str,
)
def test_an_object_within_that_has_other_fields_than_were_asked_for_is_not_all_defaults(
    schema, text
):
    with pytest.raises(CallError, match=r"none of the fields.*stars") as caught:
        Answer.of(schema).read(text)
    assert caught.value.kind is Kind.WRONG_SHAPE


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (list[Mild], '{"answer": [{}, {"stars": 1, "STARS": 1}, {"Mood": "good"}]}'),
        (Mild | None, '{"answer": null}'),
        (list[Plain], '{"answer": [{}, {"stars": 1, "STARS": 1}]}'),
        (tuple[Plain, Mild], '{"answer": [{}, {"Mood": "good"}]}'),
        (dict[str, Loose], '{"answer": {"a": {}, "b": {"stars": 1}}}'),
        (Around, '{"stars": 3}'),
        (Around, '{"mild": {}, "free": {"why": "so"}, "milds": []}'),
        ({"type": "array", "items": LOOSE}, '{"answer": [{}, {"stars": 1, "why": "so"}]}'),
        (LOOSE_ONES, '{"x": {}}'),
    ],
    ids=str,
)
def test_within_an_object_too_all_fields_that_may_be_left_out_may_be(schema, text):
    Answer.of(schema).read(text)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        *((each, "{ }") for each in (Mild, Plain, Loose, LOOSE)),
        *((each, '{"stars":1,"why":"so"}') for each in (Mild, Plain, Loose, LOOSE)),
        (Mild, '{"Mood":"good"}'),
        (Free, '{"why":"so"}'),
        ({**LOOSE, "additionalProperties": {"type": "string"}}, '{"why":"so"}'),
    ],
)
def test_fields_that_may_be_left_out_may_all_be_and_others_may_be_added(schema, text):
    Answer.of(schema).read(text)


def test_an_unexpected_extra_key_beside_the_answer_does_no_harm():
    assert Answer.of(int).read('{"answer": 3, "why": "because"}') == 3


@given(st.text())
def test_whatever_the_text_it_is_a_member_or_a_typed_error(text):
    answer = Answer.of(Literal["good", "bad"])
    assert outcome(answer, text) in {"good", "bad", Kind.WRONG_SHAPE, Kind.EMPTY}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={"title": JSON, "label": JSON, "stars": JSON, "when": JSON, "items": JSON},
    )
)
def test_whatever_the_json_a_model_is_read_or_a_typed_error(value):
    read = outcome(REVIEW, json.dumps(value))
    assert read is Kind.WRONG_SHAPE or isinstance(read, Review)


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_64_bit_integer_is_read_exactly(n):
    assert Answer.of(int).read(json.dumps({"answer": n})) == n
    assert Answer.of({"type": "integer"}).read(str(n)) == n


# ---------------------------------------------------------------- asking


def test_bare_answers_are_asked_for_inside_an_object_named_after_the_column():
    answer = Answer.of(Literal["good", "bad"], name="the mood (1-5)")
    assert answer.name == "the_mood_1-5"
    assert answer.response_format() == {
        "type": "json_schema",
        "json_schema": {
            "name": "the_mood_1-5",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {"the_mood_1-5": {"type": "string", "enum": ["good", "bad"]}},
                "required": ["the_mood_1-5"],
                "additionalProperties": False,
            },
        },
    }
    assert answer.read('{"the_mood_1-5": "bad"}') == "bad"
    assert refusal(answer, '{"answer": "bad"}') == "the_mood_1-5: Field required"


@pytest.mark.parametrize("name", ["schema", "model_config", "_x", "class", "ünï", "", 5, "a" * 99])
def test_any_column_name_can_name_the_answer(name):
    answer = Answer.of(int, name=name)
    assert set(answer.name) <= set(map(chr, range(128)))
    assert 1 <= len(answer.name) <= 64
    assert answer.read(json.dumps({answer.name: 3})) == 3


def objects(node):
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield node
        for inner in node.values():
            yield from objects(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from objects(inner)


class Bill(BaseModel):
    """Numbers that are kept to the last digit, and one that is a float."""

    total: Decimal | None = None
    count: int | None = None
    rate: float | None = None
    parts: dict[str, list[Decimal]] = {}


class Account(BaseModel):
    """A sum, and others of its kind within."""

    of: Literal["mine", "yours"] = "mine"
    total: Decimal | Literal["open"] = "open"
    parts: list["Account"] = []


class Noted(BaseModel):
    """A sum beside a text."""

    sum: Decimal
    note: str = Field("", exclude=True, repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Noted) and self.sum == other.sum

    __hash__ = None


LONG = "12345678901234567.25"  # of a float 12345678901234568


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        (Decimal, LONG, Decimal(LONG)),
        (Decimal, f'{{"answer": {LONG}}}', Decimal(LONG)),
        (int, "9007199254740993.0", 2**53 + 1),
        ({"type": "integer"}, '{"answer": 9007199254740993.0}', 2**53 + 1),
        (int, "1e18", 10**18),
        (Literal[9007199254740992, 9007199254740993], "9007199254740993.0", 2**53 + 1),
        (Bill, f'{{"total": {LONG}, "rate": {LONG}}}', Bill(total=Decimal(LONG), rate=float(LONG))),
        (Bill, f'{{"parts": {{"a": [1, {LONG}]}}}}', Bill(parts={"a": [1, Decimal(LONG)]})),
        (Bill, '{"count": 9007199254740993.00}', Bill(count=2**53 + 1)),
        (Decimal | Literal["unknown"], LONG, Decimal(LONG)),
        (tuple[Decimal, float], f"[{LONG}, {LONG}]", (Decimal(LONG), float(LONG))),
        (tuple[Decimal, Decimal], f"[{LONG}, {10**30}]", (Decimal(LONG), Decimal(10**30))),
        (Account, f'{{"parts": [{{"total": {LONG}}}]}}', Account(parts=[Account(total=LONG)])),
        (Account, f'{{"of": "mine ", "total": {LONG}}}', Account(of="mine", total=LONG)),
        (Noted, f'{{"note": "{"1e" * 100_001}", "sum": {LONG}}}', Noted(sum=LONG)),
    ],
)
def test_a_number_that_a_float_would_round_is_read_to_its_last_digit(schema, text, value):
    assert Answer.of(schema).read(text) == value


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (Decimal, "1e-400"),
        (Decimal, '{"answer": 0.100000000000000005}'),
        (Decimal, "1e" + "9" * 30),
        (Decimal, "0." + "0" * 2000 + "1"),
        (int, "-1e-400"),
        (int, "9007199254740992.5"),
        (int, '{"answer": 3.00000000000000000001}'),
        (Literal[2, 3], '{"answer": 3.00000000000000000001}'),
        ({"enum": [2, 3]}, '{"answer": 3.00000000000000000001}'),
        (Bill, f'{{"total": {LONG}, "total": {LONG}}}'),
        (tuple[Decimal, Decimal], f"[{LONG}, 12345678901234567.5]"),  # one float for both
    ],
)
def test_a_number_that_would_have_to_be_rounded_is_a_wrong_shape(schema, text):
    with pytest.raises(CallError) as caught:
        Answer.of(schema).read(text)
    assert caught.value.kind is Kind.WRONG_SHAPE


class Reply(BaseModel):
    """What was said when, and what was said to that."""

    kind: Literal["reply"] = "reply"
    at: dt.datetime
    replies: list["Reply"] = []


class Remark(BaseModel):
    """What was said at no time."""

    kind: Literal["remark"]


Said = Annotated[Reply | Remark, Field(discriminator="kind")]
Minutes = Annotated[dt.timedelta, BeforeValidator(lambda said: dt.timedelta(minutes=int(said)))]
NOON = "2019-01-01T12:00:00Z"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (dt.datetime | dt.date, "2019"),
        (dt.datetime | Literal["unknown"], "2019"),
        (dt.datetime | int, " 2019"),
        (dt.date | Literal["unknown"], "86400"),
        (tuple[dt.datetime, dt.datetime], ["2019", "2020"]),
        (dict[dt.datetime, int], {"2019": 3}),
        (list[Said], [{"kind": "reply", "at": "2019"}]),
        (Reply, {"at": NOON, "replies": [{"at": "2019"}]}),
        (Literal[1, 2] | list[int], True),
        (tuple[Stars, int], [True, 1]),
        (Literal[True, False, "unclear"], 1),
        (list[Sure], [True, 0.0]),
        (int | Literal[True, "unknown"], 1.0),
        (tuple[Sure, int], [1, 1]),
        (dict[Sure, int], {"1": 1}),
        ({"enum": [True, "unclear"]}, 1),
    ],
    ids=str,
)
def test_nothing_is_taken_for_something_else_wherever_in_a_type_it_stands(schema, value):
    text = json.dumps(value if schema is Reply else {"answer": value})
    with pytest.raises(CallError) as caught:
        Answer.of(schema).read(text)
    assert caught.value.kind is Kind.WRONG_SHAPE


@pytest.mark.parametrize(
    ("schema", "value", "is_read_as"),
    [
        (dt.datetime | str, "2019", "2019"),
        (dt.datetime | int, 2019, 2019),
        (
            tuple[dt.datetime, str],
            [NOON, "2019"],
            (dt.datetime(2019, 1, 1, 12, tzinfo=dt.UTC), "2019"),
        ),
        (tuple[Stars, bool], [1, True], (Stars.ONE, True)),
        (tuple[Sure, int], [True, 1], (Sure.YES, 1)),
        (int | Literal[True, "unknown"], 1, 1),
        (Minutes | Literal["unknown"], "90", dt.timedelta(minutes=90)),
        (dict[dt.date, str], {"2019-01-01": "12"}, {dt.date(2019, 1, 1): "12"}),
    ],
)
def test_what_has_one_reading_is_read_beside_what_looks_like_another(schema, value, is_read_as):
    assert Answer.of(schema).read(json.dumps({"answer": value})) == is_read_as


@pytest.mark.parametrize("schema", [Review, list[Review], Review | None, Node, Point, Decimal])
def test_a_strict_schema_closes_every_object_and_requires_every_property(schema):
    asked = wire(Answer.of(schema))
    assert asked["strict"] is True
    assert asked["schema"]["type"] == "object"
    found = list(objects(asked["schema"]))
    assert found
    for node in found:
        assert node["additionalProperties"] is False
        assert node["required"] == list(node["properties"])
    text = json.dumps(asked)
    assert '"default"' not in text
    assert "minLength" not in text


def test_descriptions_reach_the_model_also_beside_a_reference():
    asked = wire(Answer.of(Review))["schema"]
    assert asked["description"] == "A review, read closely."
    assert asked["properties"]["title"]["description"] == "in three words"
    stars = asked["properties"]["stars"]
    assert stars["description"] == "as given"
    assert "$ref" not in stars
    assert stars["anyOf"] == [{"$ref": "#/$defs/Stars"}]


def test_a_field_called_title_survives_the_removal_of_titles():
    assert "title" in wire(Answer.of(Review))["schema"]["properties"]


@pytest.mark.parametrize(
    "schema",
    [
        dict[str, int],
        tuple[int, str],
        list[Any],
        list[dict[str, Any]],
        create_model("Loose", __config__=ConfigDict(extra="allow"), a=(int, ...)),
        {"type": "object"},
        {"type": "object", "properties": {"a": {"type": "string"}}},
    ],
)
def test_what_strict_mode_cannot_say_is_asked_for_without_it(schema):
    asked = wire(Answer.of(schema))
    assert asked["strict"] is False
    assert asked["schema"]


def test_a_json_schema_goes_out_as_it_is_and_strict_only_if_it_is():
    own = {
        "title": "Thing",
        "type": "object",
        "properties": {"b": {"type": "string"}, "a": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }
    asked = wire(Answer.of(own))
    assert asked["strict"] is True
    assert {**asked["schema"], "title": "Thing"} == own
    loose = {**own, "required": ["a"]}
    assert wire(Answer.of(loose)) == {"name": "Thing", "schema": loose, "strict": False}


def test_the_users_schema_is_copied_so_that_changing_it_later_changes_nothing():
    own = {"type": "object", "properties": {"a": {"type": "integer"}}}
    answer = Answer.of(own)
    own["properties"]["a"]["type"] = "string"
    assert answer.read('{"a": 3}') == {"a": 3}
    assert wire(answer)["schema"]["properties"]["a"]["type"] == "integer"


def test_definitions_of_a_wrapped_json_schema_stay_reachable():
    answer = Answer.of(
        {"type": "array", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "integer"}}}
    )
    assert answer.read('{"answer": [1]}') == [1]
    assert answer.read("[1]") == [1]
    assert refusal(answer, '{"answer": ["x"]}')


@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef", "$recursiveRef"])
def test_a_reference_that_would_lead_elsewhere_in_the_object_around_is_refused(keyword):
    inside = {"anyOf": [{"type": "array", "items": {keyword: "#"}}, {"type": "integer"}]}
    with pytest.raises(SchemaError, match=r"Put the part under '\$defs'"):
        Answer.of(inside)
    with pytest.raises(SchemaError, match=r"Put the part under '\$defs'"):
        Answer.of({"type": "array", "items": {keyword: "#/not"}, "not": {"const": 1}})


def test_the_format_is_made_once_and_strictness_can_be_left_out():
    answer = Answer.of(Review)
    assert answer.response_format() is answer.response_format()
    assert answer.response_format(strict=False)["json_schema"]["strict"] is False
    assert json.dumps(answer.response_format())


def test_the_instruction_carries_the_schema_for_providers_without_structured_output():
    answer = Answer.of(Literal["good", "bad"], name="mood")
    assert '"enum":["good","bad"]' in answer.instruction
    assert "JSON" in answer.instruction


@pytest.mark.parametrize(
    ("schema", "label"),
    [
        (str, "str"),
        (Literal["positive", "negative"], "'positive' | 'negative'"),
        (Review, "Review"),
        (list[str], "list[str]"),
        (int | None, "int | None"),
        (dict[str, list[int]], "dict[str, list[int]]"),
        ({"type": "integer", "title": "Age"}, "Age"),
    ],
)
def test_labels_are_short_and_human(schema, label):
    assert Answer.of(schema).label == label
    assert label in repr(Answer.of(schema))


def test_fields_carry_name_and_annotation():
    assert [(f.name, f.annotation) for f in Answer.of(Item).fields] == [
        ("sku", str),
        ("quantity", int),
    ]
    assert [f.name for f in Answer.of(Point).fields] == ["x", "y"]
    assert [f.name for f in Answer.of(Review | None).fields][:2] == ["title", "label"]
    assert Answer.of(list[Item]).fields is None
    own = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert [(f.name, f.annotation) for f in Answer.of(own).fields] == [("a", {"type": "integer"})]


def test_an_answer_can_be_sent_to_another_process():
    answer = pickle.loads(pickle.dumps(Answer.of(Review, name="x")))  # noqa: S301 - made here
    assert answer.label == "Review"
    assert pickle.loads(pickle.dumps(Answer.of(int, name="x"))).read('{"x": 1}') == 1  # noqa: S301


# ---------------------------------------------------------------- refusing


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (None, "None is no answer"),
        (Any, "'Any'"),
        (object, "'object'"),
        (list, "write list[str]"),
        (dict, "write dict[str, int]"),
        (["good", "bad"], "Literal['good', 'bad']"),
        ("str", "give the type itself"),
        (Mood.GOOD, "give the class itself, Mood"),
        (Item(sku="a"), "give the class itself, Item"),
        (enum.Enum("Empty", []), "has no members"),
        (Literal[None], "has no members"),  # noqa: PYI061
        (Literal[1, True], "equal"),
        (enum.Enum("Unsure", {"NO": 0.0, "MAYBE": float("nan")}), "no number of JSON"),
        (create_model("Nothing"), "has no fields"),
        (socket.socket, "socket cannot be asked for"),
        (lambda row: row, "is no type"),
        (7, "7 cannot be asked for"),
        ({}, "JSON Schema"),
        ({"name": "str"}, "does not say what the answer is"),
        ({"type": "strin"}, "no valid JSON Schema, at 'type'"),
        ({"type": "object", "properties": []}, "'properties'"),
        ({"type": "string", "default": {1, 2}}, "no JSON"),
        ({"type": "string", "default": {(1, 2): 3}}, "no JSON"),
        pytest.param({"type": "integer", "enum": [10**5000]}, "no JSON", id="huge number"),
        ({"type": "integer", "maximum": 10**30}, "exceeds 64-bit"),
        (Literal[10**30, 1], "exceeds 64-bit"),
        ({"$ref": "#/$defs/nowhere"}, "which is not in it"),
        ({"type": "array", "items": {"$ref": "#"}}, "inside one"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_the_way_on(schema, says):
    with pytest.raises(SchemaError) as caught:
        Answer.of(schema)
    assert says in str(caught.value)


def test_a_type_whose_package_is_missing_is_refused_with_the_name_of_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "email_validator", None)
    with pytest.raises(SchemaError, match=r"is missing \(email-validator is not installed"):
        Answer.of(list[EmailStr])


@pytest.mark.parametrize("returned", [None, {"not": "self"}], ids=["nothing", "something else"])
def test_a_validator_that_forgets_to_return_the_model_is_told_before_anything_is_paid(returned):
    class Forgets(BaseModel):
        x: int

        @model_validator(mode="after")
        def _check(self):
            return returned

    with pytest.raises(SchemaError, match=f"returned {type(returned).__name__} and not self"):
        Answer.of(Forgets)


BASE = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
OWN = {"b": {"type": "string"}}


@pytest.mark.parametrize(
    "extended",
    [
        {"allOf": [{"$ref": "#/$defs/base"}], "properties": OWN},
        {"$ref": "#/$defs/base", "properties": OWN},
        {"$ref": "#/$defs/base", "allOf": [{"properties": OWN}]},
        {"type": "object", "properties": OWN, "anyOf": [BASE, {"type": "null"}]},
        {"$ref": "#/$defs/base", "properties": {"a": {"const": 1}, **OWN}},
    ],
    ids=["all of a part", "a part itself", "both", "any of", "narrower"],
)
def test_an_object_that_adds_to_another_has_the_fields_of_both(extended):
    read = Answer.of({**extended, "$defs": {"base": BASE}})
    assert sorted(field.name for field in read.fields) == ["a", "b"]
    assert read.answered('{"a": 1, "b": "x"}').cell == {"a": 1, "b": "x"}
    listed = {"type": "array", "items": extended}
    several = {"type": "object", "properties": {"all": listed}, "$defs": {"base": BASE}}
    cell = {"all": [{"a": 1, "b": "x"}]}
    assert Answer.of(several).answered(json.dumps(cell)).cell == cell


def test_a_reference_to_a_server_is_refused_and_never_fetched():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        for schema in (
            {"$ref": url},
            {"type": "object", "patternProperties": {"a": {"$ref": url}}},
        ):
            with pytest.raises(SchemaError):
                Answer.of(schema)
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_model_inside_itself_can_be_asked_for():
    node = Answer.of(Node).read('{"name": "a", "children": [{"name": "b"}]}')
    assert node.children == [Node(name="b")]


def test_nan_in_the_reply_is_called_what_it_is():
    assert "NaN is not JSON" in refusal(Answer.of({"type": "number"}), "NaN")


class Trimmed(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True, str_to_lower=True)
    seen: dict[str, int]


class Tone(enum.Enum):
    GOOD = "good"
    BAD = "bad"

    @classmethod
    def _missing_(cls, value):
        return cls(value.lower()) if value != value.lower() else None


@dataclasses.dataclass(slots=True)
class Slotted:
    stars: dict[int, str]


class Coded(BaseModel):
    codes: dict[str, int]
    stars: dict[int, str]


class Pair(NamedTuple):
    mild: Mild


class Scored(BaseModel):
    scores: dict[int, str]


class Tagged(BaseModel):
    said: Annotated["MildKind | OtherKind", Field(discriminator="kind")]


class MildKind(BaseModel):
    kind: Literal["mild"]
    mood: str = Field("", validation_alias=AliasChoices("mood", "Mood"))


class OtherKind(BaseModel):
    kind: Literal["other"]


class Turned(BaseModel):
    """What its validator gives on is Python, of which the strict mode takes no text for a date."""

    days: dict[int, dt.date]

    @model_validator(mode="before")
    @classmethod
    def turn(cls, said):
        return said


class Named(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    mood: str = Field(alias="Mood")
    inner: list["Named"] = []


@dataclasses.dataclass
class Either:
    mood: Annotated[str, Field(validation_alias=AliasChoices("mood", "feeling"))]


class Swapped(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    a: str = Field(alias="b")
    b: str = Field(alias="a")


# pydantic 2.10 takes no number as a key of these from JSON, and so no answer
KEYS_OF_OTHER_MAPS = [
    (Counter[int], '{"1": 1, "2": 2}', '{"1": 1, "01": 2}'),
    (OrderedDict[int, str], '{"1": "x", "2": "y"}', '{"1": "x", "01": "y"}'),
][: 0 if pydantic.VERSION.startswith("2.10.") else None]


OBJECTS = [Trimmed, Coded, Mild, Named, Scored, Turned]


@pytest.mark.parametrize(
    ("schema", "apart", "alike"),
    [
        (list[Either], '[{"feeling": "x"}]', '[{"mood": "x", "feeling": "y"}]'),
        (list[Swapped], '[{"a": "x", "b": "y"}]', None),
        (Mild, '{"Mood": "good"}', '{"Mood": "good", "mood": "bad"}'),
        (Named, '{"mood": "x", "inner": [{"Mood": "y"}]}', '{"mood": "x", "Mood": "x"}'),
        (Named, '{"mood": "x"}', '{"mood": "x", "inner": [{"Mood": "y", "mood": "z"}]}'),
        (dict[str, Named | None], '{"mood": {"mood": "x"}, "Mood": null}', None),
        (dict[int, str], '{"1": "x", "2": "y"}', '{"1": "x", "01": "y"}'),
        (dict[float, int], '{"1": 1, "1.5": 2}', '{"1": 1, "1.0": 2}'),
        (dict[float, int], '{"1": 1, "nan": 2}', '{"1": 1, "1.0": 2, "nan": 3}'),
        (dict[bool, int], '{"true": 1, "false": 2}', '{"true": 1, "1": 2}'),
        (dict[Decimal, int], '{"1.0": 1, "1.01": 2}', '{"1.0": 1, "1.00": 2}'),
        (dict[dt.timedelta, int], '{"PT60S": 1, "PT2M": 2}', '{"PT60S": 1, "PT1M": 2}'),
        (dict[Mood, int], '{"good": 1, "bad": 2}', None),
        (dict[str, int], '{"a": 1, " A": 2}', None),
        (dict[Tone, int], '{"good": 1, "bad": 2}', '{"good": 1, "Good": 2}'),
        *KEYS_OF_OTHER_MAPS,
        (
            Scored,
            '{"scores": {"1": "x"}}',
            '{"scores": {"1": "x", "01": "y"}, "beside": {"1": "z"}}',
        ),
        (tuple[Mild, int], '[{"Mood": "good"}, 1]', '[{"Mood": "good", "mood": "bad"}, 1]'),
        (deque[Mild], '[{"Mood": "good"}]', '[{"Mood": "good", "mood": "bad"}]'),
        (Pair, '[{"mood": "good"}]', '[{"Mood": "good", "mood": "bad"}]'),
        (
            list[Tagged],
            '[{"said": {"kind": "mild", "mood": "x"}}]',
            '[{"said": {"kind": "mild", "Mood": "x", "mood": "y"}}]',
        ),
        (
            Turned,
            '{"days": {"1": "2024-02-29"}}',
            '{"days": {"1": "2024-02-29", "01": "2024-02-28"}}',
        ),
        (list[Slotted], '[{"stars": {"1": "x"}}]', '[{"stars": {"1": "x", "01": "y"}}]'),
        (list[dict[str, dict[int, str]]], '[{"a": {"1": "x"}}]', '[{"a": {"1": "x", "01": "y"}}]'),
        (Trimmed, '{"seen": {"a": 1, "b": 2}}', '{"seen": {"a": 1, " A": 2}}'),
        (
            Coded,
            '{"codes": {"7": 1, "007": 2}, "stars": {"1": "x"}}',
            '{"codes": {"7": 1, "007": 2}, "stars": {"7": "x", "007": "y"}}',
        ),
        (
            Coded,
            '{"codes": {"7": 1}, "stars": {"7": "x"}}',
            '{"codes": {"7": 1}, "stars": {"7": "x", "007": "y"}}',
        ),
    ],
)
def test_keys_that_a_type_reads_as_one_lose_no_value_in_silence(schema, apart, alike):
    answer = Answer.of(schema, name="a")
    wrapped = "{}" if schema in OBJECTS else '{{"a": {}}}'
    assert answer.answered(wrapped.format(apart)).value
    if alike is not None:
        with pytest.raises(CallError, match="mean the same") as caught:
            answer.answered(wrapped.format(alike))
        assert caught.value.kind is Kind.WRONG_SHAPE


def none_if_unknown(said):
    return None if said == "n/a" else said


def taken_on(said, handler):
    return handler(said)


BEFORE, AROUND = BeforeValidator(none_if_unknown), WrapValidator(taken_on)


class Strict(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)
    due: Annotated[dt.date | None, BEFORE]
    total: Annotated[Decimal, AROUND]
    tags: Annotated[set[str], AROUND] = frozenset()
    after: list["Strict"] = []


class Unified(BaseModel):
    due: dt.date
    unit: str = "kg"

    @model_validator(mode="before")
    @classmethod
    def in_small_letters(cls, said):
        return {name.lower(): held for name, held in said.items()}


class Bare(BaseModel):
    due: dt.date

    turn = model_validator(mode="before")(classmethod(lambda cls, said: said))


class Made(BaseModel):
    due: dt.date
    paid: dt.date

    @model_validator(mode="before")
    @classmethod
    def one_of_them(cls, said):
        return {**said, "due": dt.date.fromisoformat(said["due"])}


LAST, FIRST = dt.date(2024, 2, 29), dt.date(2024, 1, 1)


@pytest.mark.parametrize(
    ("schema", "reply", "value"),
    [
        (Annotated[dt.date, BEFORE], '"2024-02-29"', LAST),
        (Annotated[dt.datetime, AROUND], '"2024-02-29T10:00:00Z"', None),
        (Annotated[Decimal, BEFORE], "900719925474099.2", Decimal("900719925474099.2")),
        (Annotated[set[dt.date], BEFORE], '["2024-02-29"]', {LAST}),
        (Annotated[tuple[dt.date, Stars], AROUND], '["2024-02-29", 1]', (LAST, Stars.ONE)),
        (Annotated[dict[int, dt.date], BEFORE], '{"1": "2024-02-29"}', {1: LAST}),
        (Annotated[dict[dt.date, int], AROUND], '{"2024-02-29": 1}', {LAST: 1}),
        (Annotated[deque[dt.date], BEFORE], '["2024-02-29"]', deque([LAST])),
        (list[Annotated[dt.date | None, BEFORE]], '["n/a", "2024-02-29"]', [None, LAST]),
        (Bare | Unified, '{"due": "2024-02-29", "unit": "g"}', Unified(due=LAST, unit="g")),
        (Unified, '{"DUE": "2024-02-29"}', Unified(due=LAST)),
        (
            Made,
            '{"due": "2024-02-29", "paid": "2024-01-01"}',
            Made.model_construct(due=LAST, paid=FIRST),
        ),
        (
            Strict,
            (
                '{"due": "2024-02-29", "total": "1.10", "after": '
                '[{"due": "n/a", "total": 2, "tags": [" a "]}]}'
            ),
            Strict.model_construct(
                due=LAST,
                total=Decimal("1.10"),
                after=[Strict.model_construct(due=None, total=Decimal(2), tags={"a"})],
            ),
        ),
    ],
)
def test_what_stands_behind_a_validator_that_comes_before_is_read_as_json(schema, reply, value):
    """The validator makes Python of it, and strict as we are, pydantic took no text for a date."""
    answer = Answer.of(schema)
    read = answer.read(f'{{"answer": {reply}}}' if answer.is_wrapped else reply)
    assert read == (
        value if value is not None else pydantic.TypeAdapter(schema).validate_json(reply)
    )


@pytest.mark.parametrize(
    ("schema", "reply"),
    [
        (Annotated[dt.date, BEFORE], '"2019"'),
        (Annotated[dt.date, BEFORE], "86400"),
        (Annotated[dt.datetime, AROUND], '"1709200800"'),
        (Annotated[set[int], BEFORE], "[true]"),
        (Annotated[Stars, BEFORE], "true"),
        (Annotated[tuple[int, int], AROUND], "[1, 2.5]"),
    ],
)
def test_behind_such_a_validator_nothing_is_taken_for_something_else(schema, reply):
    with pytest.raises(CallError) as caught:
        Answer.of(schema).read(f'{{"answer": {reply}}}')
    assert caught.value.kind is Kind.WRONG_SHAPE


@pytest.mark.parametrize(
    ("schema", "reply", "value"),
    [
        (dict[Stars, str], '{"1": "it is true"}', {Stars(1): "it is true"}),
        (dict[Stars, bool], '{"1": false}', {Stars(1): False}),
        (dict[Stars, dt.date], '{"1": "2024-02-29"}', {Stars(1): dt.date(2024, 2, 29)}),
        (dict[Stars, str | dt.date], '{"1": "2019"}', {Stars(1): "2019"}),
        (dict[dt.date | Stars, str], '{"1": "2019"}', {Stars(1): "2019"}),
        (dict[Sure, int], '{"true": 3, "unclear": 1}', {Sure.YES: 3, Sure.UNCLEAR: 1}),
    ],
)
def test_keys_that_are_chosen_from_numbers_are_texts_as_all_keys(schema, reply, value):
    """Whatever else the reply says: read as values, they were refused beside the word `true`."""
    assert Answer.of(schema).read(f'{{"answer": {reply}}}') == value


def test_of_many_small_maps_no_sets_of_keys_are_told_apart_by_their_hash(monkeypatch):
    """It has no secret: 24,000 maps of two chosen numbers each took 24 s, each compared with each."""

    class Sets(frozenset):
        def __hash__(self):
            raise AssertionError("a set of keys is told apart by its hash")

    monkeypatch.setattr(keys, "frozenset", Sets, raising=False)
    answer = Answer.of(list[dict[int, int]])
    assert answer.read('{"answer": [{"1": 2, "3": 4}, {"1": 2}]}') == [{1: 2, 3: 4}, {1: 2}]
    with pytest.raises(CallError, match="mean the same"):
        answer.read('{"answer": [{"1": 2, "3": 4}, {"1": 2, "01": 3}]}')


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        (Decimal, "900719925474099.2", Decimal("900719925474099.2")),
        (Decimal, "145372520207773.12", Decimal("145372520207773.12")),
        (Decimal, "1.5e3", Decimal(1500)),
        (int, "238394286697358140.0", 238394286697358140),
        (int, "2.97340706433e+18", 2973407064330000000),
        ({"type": "integer"}, "2.97340706433e+18", 2973407064330000000),
        (list[int], '{"answer": [9007199254740993.0, 1e15]}', [9007199254740993, 10**15]),
    ],
)
def test_a_number_that_a_float_shows_alike_is_read_to_its_last_digit(schema, text, value):
    read = Answer.of(schema).read(text)
    assert str(read) == str(value)


Day = RootModel[dt.date]
Due = RootModel[Day]
MayBeDue = RootModel[Due | None]
LEAP = dt.date(2024, 2, 29)


@pytest.mark.parametrize(
    ("schema", "reply", "cell"),
    [
        (Due, '"2024-02-29"', LEAP),
        (list[Due], '["2024-02-29"]', [LEAP]),
        (dict[str, MayBeDue], '{"answer": {"a": "2024-02-29"}}', [("a", LEAP)]),
        (create_model("Task", due=(MayBeDue, ...)), '{"due": "2024-02-29"}', {"due": LEAP}),
    ],
)
def test_a_date_is_read_through_every_model_that_wraps_it(schema, reply, cell):
    assert Answer.of(schema).answered(reply).cell == cell


@pytest.mark.parametrize("kind", ["lists", "objects", "models", "wrapped"])
def test_what_does_not_fit_its_column_is_read_once_however_deep_it_stands(kind, monkeypatch):
    """Twice at each level were a thousand times in ten: a reply of 160 KB took a minute."""
    schema, text, looked_at = int, str(2**70), []
    for level in range(12):
        if kind == "lists" or (kind == "wrapped" and level % 2):
            schema, text = list[schema], f"[1, {text}]" if not level else f"[{text}]"
        elif kind == "objects":
            schema, text = dict[str, schema], f'{{"a": {text}}}'
        elif kind == "wrapped":
            schema = RootModel[schema]
        else:
            schema, text = create_model(f"M{level}", a=(schema, ...)), f'{{"a": {text}}}'
    answer = Answer.of(schema)
    monkeypatch.setattr(coerce.MisfitError, "__init__", counted(coerce.MisfitError, looked_at))
    with pytest.raises(CallError, match="a whole number that fits 64 bits"):
        answer.read(text if kind == "models" else f'{{"answer": {text}}}')
    assert 1 <= looked_at.count("a whole number that fits 64 bits") <= 2 * 12 + 1


def counted(error, looked_at):
    begin = error.__init__

    def begun(self, wanted, path=()):
        looked_at.append(wanted)
        begin(self, wanted, path)

    return begun


@pytest.mark.parametrize(
    "schema",
    [
        {"type": ["integer", "string"]},
        {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        {"patternProperties": {"^v": {"type": "integer"}}, "type": "object"},
        {"type": "object", "properties": {"v": {"type": ["integer", "boolean"]}}},
        {"type": "object"},
    ],
    ids=["two kinds", "a choice", "names by a pattern", "in an object", "anything"],
)
@pytest.mark.parametrize("written", ["9007199254740993.0", "9007199254740993e0"])
def test_a_whole_number_where_other_kinds_may_be_is_read_to_its_last_digit(schema, written):
    is_object = schema.get("type") == "object"
    text = f'{{"v": {written}}}' if is_object else written
    said = str(Answer.of(schema).read(text))
    assert "9007199254740993" in said
    assert "9007199254740992" not in said


def test_of_any_numbers_those_that_are_whole_and_too_long_are_read_to_their_last_digit():
    text = '{"v": [1.5e3, 12345678901234567.25, 1e300, 9007199254740993.0, {"w": 0.1}]}'
    said = Answer.of({"type": "object"}).read(text)
    assert json.loads(str(said).replace("'", '"')) == {
        "v": [1500.0, 12345678901234568.0, 1e300, 9007199254740993, {"w": 0.1}]
    }


@pytest.mark.parametrize("schema", [int, {"type": "integer"}, Literal[0, 5]])
@pytest.mark.parametrize("text", [f"5.{'0' * 1000}e3", f"0.{'0' * 1000}5e1003"])
def test_a_number_that_is_too_long_to_be_read_is_none_and_no_part_of_it_either(schema, text):
    assert refusal(Answer.of(schema), text)
