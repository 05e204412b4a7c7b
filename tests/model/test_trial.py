"""What can be known of an answer type before anything is sent: whether any answer can be right."""

import datetime as dt
import json
import re
import typing
import uuid
from decimal import Decimal
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    DirectoryPath,
    Field,
    FilePath,
    FutureDate,
    HttpUrl,
    ImportString,
    Json,
    NaiveDatetime,
    NewPath,
    PostgresDsn,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    model_validator,
)
from typing_extensions import TypeAliasType

import lionproc as lp
from lionproc.errors import CallError, Kind, SchemaError
from lionproc.model.answer import Answer
from lionproc.schema_sample import instance
from lionproc.testing import Server


class Impossible(BaseModel):
    stars: int = Field(ge=10, le=5)


class ByPath(BaseModel):
    stars: int = Field(validation_alias=AliasPath("review", "stars"))


class Deep(BaseModel):
    reviews: list[Impossible] = Field(min_length=1)


class Endless(BaseModel):
    inner: "Endless"


def bounded(low, high, **more):
    stars = {"type": "integer", "minimum": low, "maximum": high}
    return {"type": "object", "properties": {"stars": stars}, **more}


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (Impossible, "stars"),
        (Deep, "reviews"),
        (Annotated[str, Field(min_length=5, max_length=2)], "at least 5 characters"),
        (Annotated[int, Field(gt=5, lt=6)], "less than 6"),
        (Annotated[list[int], Field(min_length=3, max_length=1)], "at most 1"),
        (Endless, "for ever"),
        (bounded(10, 5, required=["stars"]), "stars"),
        ({"type": "integer", "enum": ["a", "b"]}, "integer"),
    ],
)
def test_a_type_that_no_answer_can_pass_is_refused_with_what_stands_in_the_way(schema, says):
    with pytest.raises(SchemaError, match="No answer can be right") as caught:
        Answer.of(schema)
    assert says in str(caught.value)


def test_it_is_refused_before_anything_is_sent():
    df = pd.DataFrame({"text": ["one"]})
    with Server() as server:
        model = lp.Model("openai/m", base_url=server.base_url, api_key=server.key)
        with pytest.raises(SchemaError, match="No answer can be right"):
            df.llm.process("Rate {text}", into="a", schema=Impossible, model=model, progress=False)
        assert server.counters.total == 0


class Ordered(BaseModel):
    low: int
    high: int

    @model_validator(mode="after")
    def _in_order(self):
        if self.low >= self.high:
            raise ValueError("low comes first")
        return self


class Renamed(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=str.upper)
    stars: int = Field(ge=1, le=5)


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []


class Either(BaseModel):
    stars: int = Field(validation_alias=AliasChoices("stars", "rating"))


@pytest.mark.parametrize(
    "schema",
    [
        Ordered,
        Renamed,
        Tree,
        Either,
        dict[int, str],
        dict[dt.date, int],
        tuple[int, str],
        uuid.UUID,
        HttpUrl,
        PostgresDsn,
        FutureDate,
        AwareDatetime,
        NaiveDatetime,
        dt.datetime,
        dt.time,
        dt.timedelta,
        bytes,
        Annotated[str, Field(pattern="^[0-9]{13}$")],
        Annotated[str, Field(min_length=90, max_length=91)],
        Annotated[set[Literal["a", "b", "c"]], Field(min_length=3)],
        Annotated[int, AfterValidator(lambda value: value if value == 77_777 else 1 / 0)],
        Annotated[float, Field(gt=0, lt=1e-9)],
        Annotated[float, Field(gt=1e20)],  # 1e20 + 100 is 1e20
        Annotated[float, Field(lt=-1e300)],
        Annotated[Decimal, Field(max_digits=3, decimal_places=2)],
        bounded(10, 5),  # an answer without stars passes
        {"type": "object", "propertyNames": {"pattern": "^[0-9]$"}, "minProperties": 1},
        {"type": "array", "contains": {"const": 5}, "minItems": 2},
        {"type": "string", "format": "regex"},
        {"type": "integer", "allOf": [{"minimum": 1}, {"minimum": 5}], "maximum": 5},
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        {"type": "object", "properties": {"a": {"not": {"type": "string"}}}, "required": ["a"]},
    ],
    ids=lambda schema: str(schema).partition(" at 0x")[0],
)
def test_what_some_answer_may_pass_is_never_refused(schema):
    assert Answer.of(schema).read is not None


# --- no zone is made up --------------------------------------------------------------------------


def refusal(schema, text):
    with pytest.raises(CallError) as caught:
        Answer.of(schema).read(text)
    assert caught.value.kind is Kind.WRONG_SHAPE
    return caught.value.message


class Meeting(BaseModel):
    when: dt.datetime


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (dt.datetime, "2024-05-01T10:00:00"),
        (dt.datetime, '{"answer": "2024-05-01T10:00:00"}'),
        (list[dt.datetime], '["2024-05-01T10:00:00Z", "2024-05-01T10:00:00"]'),
        (dict[str, dt.datetime], '{"answer": {"a": "2024-05-01T10:00:00"}}'),
        (Meeting, '{"when": "2024-05-01T10:00:00"}'),
    ],
    ids=str,
)
def test_a_time_without_a_zone_is_no_time_in_utc(schema, text):
    message = refusal(schema, text)
    assert "offset" in message
    assert "NaiveDatetime" in message


def test_times_are_kept_as_they_were_said():
    said = Answer.of(dt.datetime).read("2024-05-01T10:00:00+02:00")
    assert said.isoformat() == "2024-05-01T10:00:00+02:00"
    naive = Answer.of(NaiveDatetime).read("2024-05-01T10:00:00")
    assert naive.tzinfo is None
    assert "offset" in refusal(dt.time, "10:00:00+02:00")


class Times(BaseModel):
    clock: dt.time
    naive: NaiveDatetime
    instant: dt.datetime


@pytest.mark.parametrize("schema", [dt.time, NaiveDatetime, dt.datetime, Times], ids=str)
def test_what_a_server_is_asked_for_is_what_is_taken(schema):
    answer = Answer.of(schema)
    sent = answer.response_format()["json_schema"]
    assert sent["strict"]
    assert '"time"' not in json.dumps(sent)
    for seed in range(20):
        answer.read(json.dumps(instance(sent["schema"], seed)))


# --- a value is what it shows --------------------------------------------------------------------


class Account(BaseModel):
    name: str
    password: SecretStr


class Bank(BaseModel):
    accounts: list[Account] | None = None


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        (SecretStr, "SecretStr"),
        (SecretBytes, "SecretBytes"),
        (Secret[int], "Secret"),
        (list[SecretStr], "SecretStr"),
        (SecretStr | None, "SecretStr"),
        (Annotated[SecretStr, Field(min_length=3)], "SecretStr"),
        (dict[str, SecretStr], "SecretStr"),
        (Account, "SecretStr"),
        (Bank, "SecretStr"),
        (dict[str, Bank], "SecretStr"),
    ],
    ids=str,
)
def test_a_type_that_hides_its_value_is_refused(schema, name):
    with pytest.raises(SchemaError, match=rf"{name}\b.*\*\*\*.*Ask for str"):
        Answer.of(schema)


class Wanderer(BaseModel):
    mood: str
    stars: int | None = Field(None, validation_alias=AliasPath("review", "stars"))


class ByTwoPaths(BaseModel):
    stars: int = Field(0, validation_alias=AliasChoices(AliasPath("a", 0), AliasPath("b", 0)))


class ByPathOfOne(BaseModel):
    stars: int = Field(0, validation_alias=AliasPath("review"))


@pytest.mark.parametrize(
    "schema", [ByPath, Wanderer, list[Wanderer], ByTwoPaths, ByPathOfOne], ids=str
)
def test_a_field_that_is_not_read_where_it_is_asked_for_is_refused(schema):
    with pytest.raises(SchemaError, match=r"AliasPath.*would be lost"):
        Answer.of(schema)


def test_a_field_that_is_read_by_a_path_and_where_it_is_asked_for_is_fine():
    class ByEither(BaseModel):
        stars: int = Field(0, validation_alias=AliasChoices("stars", AliasPath("review", "stars")))

    class ByName(BaseModel):
        model_config = ConfigDict(populate_by_name=True)
        stars: int = Field(0, validation_alias=AliasPath("review", "stars"))

    for schema in (ByEither, ByName):
        assert Answer.of(schema).read('{"stars": 5}').stars == 5


@pytest.mark.parametrize("kind", [Path, PurePath, PurePosixPath, PureWindowsPath])
def test_a_path_is_kept_as_its_text_whatever_machine_it_is_of(kind):
    said = Answer.of(list[kind]).answered('{"answer":["a/b"]}')
    assert (said.value, said.cell) == ([kind("a/b")], [str(kind("a/b"))])


@pytest.mark.parametrize("kind", [ZoneInfo, list[ZoneInfo], ZoneInfo | None], ids=str)
def test_a_time_zone_is_refused_for_no_column_holds_one(kind):
    with pytest.raises(SchemaError, match="which no column holds"):
        Answer.of(kind)


@pytest.mark.parametrize("kind", [FilePath, DirectoryPath, NewPath])
def test_a_type_that_looks_for_what_is_answered_among_files_is_refused(kind):
    with pytest.raises(SchemaError, match="looked for among your files"):
        Answer.of(list[kind])
    assert Answer.of(list[Path]).read('{"answer":["a/b"]}') == [Path("a/b")]


@pytest.mark.parametrize("schema", [ImportString, list[ImportString[int]]], ids=["bare", "inside"])
def test_a_type_that_imports_what_is_answered_is_refused(schema):
    with pytest.raises(SchemaError, match="would be imported, and so run"):
        Answer.of(schema)


def test_a_choice_of_very_many_numbers_of_one_hash_is_refused():
    same = [(2**61 - 1) * number for number in range(1, 1101)]
    for schema in ({"enum": same}, {"type": "object", "properties": {"n": {"enum": same}}}):
        with pytest.raises(SchemaError, match="numbers of one hash"):
            Answer.of(schema)
    assert Answer.of({"enum": list(range(2000))})


@pytest.mark.parametrize(
    "schema", [re.Pattern, list[re.Pattern[str]], dict[str, typing.Pattern | None]]
)
def test_a_type_that_compiles_what_is_answered_is_refused(schema):
    with pytest.raises(SchemaError, match=r"re\.Pattern.*Ask for str"):
        Answer.of(schema)


class Written(BaseModel):
    metadata: Json[list[int]]


@pytest.mark.parametrize("schema", [Json, list[Json[int]], Json[list[str]] | None, Written])
def test_a_type_that_hides_what_it_checks_in_a_text_is_refused(schema):
    with pytest.raises(SchemaError, match=r"pydantic\.Json.*list\[int\] instead of"):
        Answer.of(schema)


class Lazy(BaseModel):
    marks: typing.Iterable[int]


@pytest.mark.parametrize(
    "schema",
    [
        typing.Iterable[int],
        list[str | typing.Iterable[int]],
        Lazy,
        typing.Generator[int, None, None],
    ],
)
def test_a_type_whose_items_are_checked_when_somebody_goes_through_them_is_refused(schema):
    with pytest.raises(SchemaError, match=r"Iterable or a Generator.*Ask for list\[\.\.\.\]"):
        Answer.of(schema)
    assert Answer.of(typing.Sequence[int]).read('{"answer": [1, 2]}') == [1, 2]


@pytest.mark.parametrize(
    ("part", "what"),
    [
        (SecretStr, "SecretStr"),
        (ImportString, "would be imported"),
        (re.Pattern[str], "re.Pattern"),
        (Json[list[int]], "pydantic.Json"),
    ],
    ids=["secret", "imported", "compiled", "JSON"],
)
def test_what_is_refused_has_no_other_name_and_no_place_where_it_is_not_seen(part, what):
    class Tuple(typing.NamedTuple):
        function: part

    named = typing.NewType("named", part)
    for schema in (named, list[TypeAliasType("Alias", part)], RootModel[part], Tuple):
        with pytest.raises(SchemaError, match=what):
            Answer.of(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 10**9},
        {"type": "object", "minProperties": 10**9},
        {"type": "array", "minItems": 900, "items": {"type": "array", "minItems": 900}},
        {"type": "object", "properties": {f"p{n}": {"$ref": "#"} for n in range(40)}},
    ],
    ids=["a text", "an object", "lists of lists", "an object of itself"],
)
def test_a_schema_that_asks_for_more_than_can_be_made_up_is_believed_in_a_moment(schema):
    assert Answer.of(schema).json_schema


def test_a_list_as_long_as_an_embedding_is_possible():
    vector = {"type": "array", "items": {"type": "number"}, "minItems": 1536, "maxItems": 1536}
    assert Answer.of(vector).read(json.dumps([0.5] * 1536)) == [0.5] * 1536


def test_a_schema_of_very_many_choices_is_understood_at_once():
    choices = [str(n) for n in range(50_000)]
    assert Answer.of({"enum": choices}).read("49999") == "49999"
    with pytest.raises(SchemaError, match="there twice"):
        Answer.of({"enum": [*choices, "7"]})
