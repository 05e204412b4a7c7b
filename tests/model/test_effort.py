"""Answers that are work without end: they fail their row, in a moment and in little memory."""

from __future__ import annotations

import datetime as dt
import json
import random
import re
import sys
import tracemalloc
import uuid
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import IPv4Network, IPv6Address
from pathlib import Path
from typing import Annotated, Literal

import pydantic
import pytest

from lionproc.errors import CallError, Kind, SchemaError
from lionproc.model.answer import Answer
from lionproc.model.chat_completion import classify, text_of
from lionproc.model.effort import MOST_VALUES, Weighed
from lionproc.model.excerpt import excerpt_of
from lionproc.model.long_numbers import are_long_fractions
from lionproc.model.pattern_work import looks_around
from lionproc.model.usage import guess
from lionproc.model.validate import Check


class Add(pydantic.BaseModel):
    op: Literal["add"]
    left: Add | Multiply | int
    right: Add | Multiply | int


class Multiply(pydantic.BaseModel):
    op: Literal["multiply"]
    left: Add | Multiply | int
    right: Add | Multiply | int


class Tagged(pydantic.BaseModel):
    kind: Literal["more"]
    inner: Annotated[Tagged | End, pydantic.Field(discriminator="kind")]


class End(pydantic.BaseModel):
    kind: Literal["end"]


class Chain(pydantic.BaseModel):
    inner: Chain | None
    many: list[Chain] = []


Add.model_rebuild()
Tagged.model_rebuild()
CHOICE = {
    "anyOf": [
        {"type": "integer"},
        {"type": "object", "properties": {"op": {"type": "string"}, "left": {"$ref": "#/$defs/e"}}},
        {"type": "object", "properties": {"left": {"$ref": "#/$defs/e"}}, "required": ["left"]},
    ]
}
BY_HAND = {
    "type": "object",
    "properties": {"left": {"$ref": "#/$defs/e"}},
    "required": ["left"],
    "$defs": {"e": CHOICE},
}


def nested(levels, inner, leaf):
    text = leaf
    for _ in range(levels):
        text = inner % text
    return text


SUM = '{"op": "add", "left": %s, "right": 1}'


@pytest.mark.parametrize("leaf", ["1", '"x"'])
@pytest.mark.parametrize("levels", [16, 60, 120])
@pytest.mark.parametrize(
    ("schema", "inner"), [(Add, SUM), (BY_HAND, '{"left": %s}')], ids=["types", "schema"]
)
def test_an_answer_whose_every_level_doubles_the_work_is_a_wrong_shape(schema, inner, levels, leaf):
    with pytest.raises(CallError, match="nested too deeply for a type") as failed:
        Answer.of(schema).read(nested(levels, inner, leaf))
    assert failed.value.kind is Kind.WRONG_SHAPE
    assert "discriminator" in failed.value.hint


def test_what_is_nested_as_people_mean_it_is_read():
    assert Answer.of(Add).read(nested(8, SUM, "1")).left.left.right == 1
    assert Answer.of(BY_HAND).read(nested(8, '{"left": %s}', "1"))
    with pytest.raises(CallError, match="left") as failed:
        Answer.of(Add).read(nested(3, SUM, '"x"'))
    assert "nested" not in failed.value.message


def test_where_one_kind_is_tried_at_each_level_depth_costs_nothing():
    deep = nested(100, '{"kind": "more", "inner": %s}', '{"kind": "end"}')
    assert Answer.of(Tagged).read(deep).inner.kind == "more"
    wide = nested(50, '{"inner": null, "many": [%s]}', '{"inner": null}')
    assert Answer.of(Chain).read(wide).many[0].many


@pytest.mark.parametrize(
    "schema",
    [
        list[int],
        {"type": "array", "items": {"type": "integer"}},
        list[Literal["b"]],
        list[list[int]],
    ],
    ids=str,
)
@pytest.mark.parametrize("value", ['"a"', "1.0", "{}"])
def test_an_answer_of_more_values_than_any_model_writes_is_a_wrong_shape(schema, value):
    text = "[" + ",".join([value] * (MOST_VALUES + 1)) + "]"
    for said in (text, f'{{"answer": {text}}}'):
        with pytest.raises(CallError, match="more than 100,000 values"):
            Answer.of(schema).read(said)


ONE_HASH = 2**61 - 1  # all multiples of it have the hash 0


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (set[int], [n * ONE_HASH for n in range(1, 20_000)]),
        (set[Decimal], [f"{n * ONE_HASH}" for n in range(1, 20_000)]),
        (set[Decimal], [f"{n * ONE_HASH}e-9" for n in range(1, 20_000)]),
        (dict[int, int], {f"{n * ONE_HASH}": n for n in range(1, 20_000)}),
        ({"type": "array", "uniqueItems": True}, [10**30 + n for n in range(20_000)]),
        ({"type": "array", "items": {"multipleOf": 0.001}}, [10**4000 + n for n in range(1500)]),
    ],
    ids=["set", "decimals", "exponents", "keys", "unique", "multiples"],
)
def test_very_many_numbers_of_one_hash_or_of_very_many_digits_are_a_wrong_shape(schema, value):
    with pytest.raises(CallError, match="numbers of very many digits") as failed:
        Answer.of(schema).read(json.dumps({"answer": value}))
    assert failed.value.kind is Kind.WRONG_SHAPE


@pytest.mark.parametrize("schema", [set[Decimal | int], tuple[set[Decimal], str] | str])
def test_numbers_that_are_read_digit_by_digit_are_of_one_hash_however_they_are_written(schema):
    numbers = ",".join(f"{n * ONE_HASH}.0" for n in range(1, 20_000))
    with pytest.raises(CallError, match="numbers of very many digits"):
        Answer.of(schema).read(f'{{"answer": [{numbers}]}}')


class Edge(pydantic.BaseModel, frozen=True):
    a: int
    b: int


class Group(pydantic.BaseModel):
    pairs: set[Edge]


class Way(pydantic.BaseModel, frozen=True):
    before: tuple[Edge, ...]
    n: int


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (list[Group], [{"pairs": [{"a": n, "b": 1} for n in range(1000)]}] * 20),
        (set[Edge], [{"a": n, "b": 1} for n in range(2700)]),
        (set[Way], [{"before": [{"a": 1, "b": 1}] * 15, "n": n} for n in range(1000)]),
        (
            {"type": "array", "items": {"type": "array", "uniqueItems": True}},
            [[[n, 1] for n in range(1000)]] * 20,
        ),
    ],
    ids=["many sets", "a short text", "long ones", "a JSON Schema"],
)
def test_objects_that_have_to_differ_are_counted_in_all_sets_with_what_is_in_them(schema, value):
    read = Answer.of(schema).read
    wrapped = json.dumps(value if isinstance(schema, dict) else {"answer": value})
    with pytest.raises(CallError, match="that have to differ"):
        read(wrapped)
    few = value[:2] if schema != set[Way] else value[:200]
    assert read(json.dumps(few if isinstance(schema, dict) else {"answer": few}))


class Id(pydantic.RootModel[uuid.UUID], frozen=True):
    """Written as a text."""


class Place(pydantic.BaseModel):
    address: IPv6Address
    others: list[Place] = []


class Places(pydantic.BaseModel):
    first: set[IPv6Address]
    second: list[Place]


ADDRESSES = [str(IPv6Address(n * ONE_HASH)) for n in range(1, 1500)]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (set[uuid.UUID], [str(uuid.UUID(int=n * ONE_HASH)) for n in range(1, 1500)]),
        (dict[uuid.UUID, int], {str(uuid.UUID(int=n * ONE_HASH)): n for n in range(1, 1500)}),
        (set[Id | None], [str(uuid.UUID(int=n * ONE_HASH)) for n in range(1, 1500)]),
        (set[complex], [f"{-1000003 * n}+{n}j" for n in range(1500)]),
        (set[Decimal], [f"_{n * ONE_HASH}" for n in range(1, 1500)]),
        (list[frozenset[IPv6Address | None]], [ADDRESSES]),
        (Places, {"first": ADDRESSES, "second": []}),
    ],
    ids=["uuids", "keys", "root models", "complex", "decimals", "addresses", "by reference"],
)
def test_very_many_texts_that_a_type_reads_as_things_of_one_hash_are_a_wrong_shape(schema, value):
    read = Answer.of(schema).read
    with pytest.raises(CallError, match="very many values of one hash") as failed:
        read(json.dumps(value if schema is Places else {"answer": value}))
    assert failed.value.kind is Kind.WRONG_SHAPE


def test_half_a_character_in_a_set_is_a_wrong_shape():
    text = json.dumps({"answer": [f"\ud800{n}" for n in range(500)]})
    with pytest.raises(CallError) as failed:
        Answer.of(set[uuid.UUID]).read(text)
    assert failed.value.kind is Kind.WRONG_SHAPE


def test_many_texts_of_different_hashes_are_read_into_a_set():
    ids = {uuid.UUID(int=n) for n in range(5000)}
    assert Answer.of(set[uuid.UUID]).read(json.dumps({"answer": list(map(str, ids))})) == ids
    lower = Annotated[str, pydantic.AfterValidator(str.lower)]
    words = Answer.of(set[lower]).read(json.dumps({"answer": [f"Word {n}" for n in range(5000)]}))
    assert len(words) == 5000


def test_many_long_texts_that_begin_as_numbers_do_are_texts():
    texts = [f"- {number}. point: {'more ' * 250}" for number in range(1200)]
    assert Answer.of(list[str]).read(json.dumps({"answer": texts})) == texts
    assert len(Answer.of(set[str]).read(json.dumps({"answer": texts}))) == 1200


def test_many_long_numbers_as_people_have_them_are_read():
    ids = {f"{10**19 + n}" for n in range(5000)}
    assert Answer.of(set[str]).read(json.dumps({"answer": sorted(ids)})) == ids
    amounts = [f"{n}.00" for n in range(5000)]
    assert len(Answer.of(list[Decimal]).read(json.dumps({"answer": amounts}))) == 5000
    assert len(Answer.of(set[int]).read(json.dumps({"answer": list(range(50_000))}))) == 50_000


class Pair(pydantic.BaseModel, frozen=True):
    a: int
    b: int


@pytest.mark.parametrize(
    ("schema", "value"),
    [(set[tuple[int, int]], [[n, 1] for n in range(1001)]), (set[Pair], [{"a": 1, "b": 2}] * 1001)],
    ids=["tuples", "models"],
)
def test_very_many_lists_or_objects_that_have_to_differ_are_a_wrong_shape(schema, value):
    read = Answer.of(schema).read
    with pytest.raises(CallError, match="that have to differ"):
        read(json.dumps({"answer": value}, indent=9))
    assert read(json.dumps({"answer": value[:1000]}))


def test_very_many_long_whole_numbers_that_have_to_differ_are_a_wrong_shape():
    """A thousand have one hash: twenty seconds for what is there twice, in each of the trials."""
    read = Answer.of({"type": "array", "uniqueItems": True}).read
    with pytest.raises(CallError, match="numbers of 16 digits that have to differ"):
        read(json.dumps([2**62 + n for n in range(10_001)]))
    assert len(read(json.dumps([2**62 + n for n in range(2000)]))) == 2000
    assert len(read(json.dumps(list(range(50_000))))) == 50_000


HALVES = [n + 0.5 for n in range(3000)]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"enum": list(range(3000))}, 2999.0),
        ({"enum": HALVES}, 2999.5),
        ({"enum": [[n] for n in range(3000)]}, [2999]),
        (Enum("Half", {f"h{n}": half for n, half in enumerate(HALVES)}), 2999.5),
    ],
    ids=["whole numbers", "fractions", "lists", "an Enum"],
)
def test_values_that_are_held_against_each_of_many_choices_are_a_wrong_shape(schema, value):
    listed = list[schema] if isinstance(schema, type) else {"type": "array", "items": schema}
    read = Answer.of(listed).read
    with pytest.raises(CallError, match="too many values for so many choices"):
        read(
            json.dumps(
                {"answer": [value] * 10_000} if isinstance(schema, type) else [value] * 10_000
            )
        )
    few = [value] * 100
    assert len(read(json.dumps({"answer": few} if isinstance(schema, type) else few))) == 100


class Part(pydantic.BaseModel):
    a: str = ""
    b: str | None = None


class Line(pydantic.BaseModel):
    parts: tuple[Part, ...] = ()
    one: Part = pydantic.Field(default_factory=Part)
    two: Part = pydantic.Field(default_factory=Part)
    three: Part | None = None
    long: str = "a default of two hundred letters, as many words have.. " * 40


class Wanted(pydantic.BaseModel):
    a: str
    b: str
    c: str


OPEN = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(1000)}}


@pytest.mark.parametrize(
    ("items", "good"),
    [
        (Line, [{"one": {"a": "is said"}}] * 500),
        (Wanted, [{"a": "is", "b": "said", "c": "here"}] * 5000),
        (OPEN, [{"p1": "is said"}] * 25),
    ],
    ids=["defaults", "wanted", "a JSON Schema"],
)
def test_objects_that_leave_out_nearly_all_of_their_fields_by_the_thousand_are_a_wrong_shape(
    items, good
):
    """All of their fields are made, or told as faults: 0.3 MB of `{}` took more than a gigabyte."""
    lines = items if isinstance(items, dict) else None
    schema = list[items] if lines is None else {"properties": {"answer": {"items": lines}}}
    read = Answer.of(schema if lines is None else {"type": "object", **schema}).read
    with pytest.raises(CallError, match="leave out most of their fields"):
        read(json.dumps({"answer": [{}] * 90_000}))
    assert read(json.dumps({"answer": good}))


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string", "format": "regex"}, "(" * 200_000),
        ({"type": "array", "items": {"type": "string", "format": "email"}}, ["ñ" * 200_000]),
    ],
    ids=["regex", "email"],
)
def test_a_long_text_where_a_form_is_asked_for_is_a_wrong_shape(schema, text):
    with pytest.raises(CallError, match="where a certain form is asked for"):
        Answer.of(schema).read(json.dumps({"answer": text}))


@pytest.mark.parametrize("number", ["9e4299", " 9E-4299 ", "9e+0_4_299"])
def test_fractions_of_very_many_digits_are_a_wrong_shape_before_they_are_made(number):
    class Ratios(pydantic.BaseModel):
        ratios: list[Fraction]

    with pytest.raises(CallError, match="very many digits"):
        Answer.of(Ratios).read(json.dumps({"ratios": [number] * 1000}))
    assert not are_long_fractions({"ratios": ["1e-30", "2/3", "0.1"] * 400})


def test_beside_a_form_a_text_may_be_long():
    class Letter(pydantic.BaseModel):
        day: dt.date
        text: str

    said = json.dumps({"day": "2026-11-27", "text": "x" * 200_000})
    assert len(Answer.of(Letter).read(said).text) == 200_000


def test_a_long_list_of_what_may_be_many_things_is_a_wrong_shape_before_all_are_tried():
    kinds = [{"type": "object", "properties": {"q": {"type": "integer"}}} for _ in range(40)]
    schema = {"type": "array", "items": {"anyOf": [{"anyOf": kinds}, {"type": "null"}]}}
    with pytest.raises(CallError, match="too long for a type whose kinds"):
        Answer.of(schema).read(json.dumps([{"q": "x"}] * 6000))
    assert len(Answer.of(list[int | None]).read(json.dumps([None] * 50_000))) == 50_000


def test_commas_in_a_text_are_no_values():
    said = "," * (2 * MOST_VALUES)
    assert Answer.of(list[str]).read(json.dumps([said])) == [said]


def test_of_a_long_answer_that_breaks_a_schema_one_fault_is_looked_for():
    read = Answer.of({"type": "array", "items": {"type": "integer"}}).read
    with pytest.raises(CallError, match=r"^0: [^;]*$"):
        read('["a"' + ',"a"' * 50_000 + "]")
    with pytest.raises(CallError, match="and 97 more"):
        read('["a"' + ',"a"' * 1000 + "]")


AROUND = r"(?=.*[A-Z])(?=.*\d).+"  # from each letter on it looks ahead to the end


def in_each(inner):
    return {"type": "array", "items": inner}


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ({"type": "string", "pattern": AROUND}, "a" * 48_000),
        ({"type": "object", "patternProperties": {AROUND: {}}}, {"a" * 48_000: 1}),
        ({"type": "object", "propertyNames": {"pattern": AROUND}}, {"a" * 48_000: 1}),
    ],
    ids=["text", "property", "name"],
)
def test_a_long_text_where_a_pattern_looks_around_is_a_wrong_shape(inner, said):
    read = Answer.of(in_each(inner)).read
    with pytest.raises(CallError, match="too long, or too many, for the patterns"):
        read(json.dumps([said] * 20))
    shorter = "A1" + "a" * 2000
    many = [{shorter: 1} if isinstance(said, dict) else shorter] * 50
    assert read(json.dumps(many)) == many


def test_numbers_that_have_to_be_multiples_are_fewer_than_others():
    read = Answer.of(in_each({"type": "number", "multipleOf": 0.01})).read
    prices = [round(n / 100, 2) for n in range(20_000)]
    assert read(json.dumps(prices)) == prices
    with pytest.raises(CallError, match="tried one by one"):
        read("[" + ",".join(["1.7976931348623157e308"] * 30_000) + "]")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (IPv4Network, "10.0.0.0/8"),
        (IPv6Address, "::1"),
        (pydantic.IPvAnyInterface, "::1/64"),
        (Fraction, "1/3"),
        (Path, "a/b"),
    ],
    ids=str,
)
def test_of_what_python_reads_for_a_type_there_is_less_than_of_texts(kind, text):
    for asked, said in (
        (list[kind], lambda count: [text] * count),
        (list[kind | None], lambda count: [text] * count),
        (dict[kind, int], lambda count: {f"{n:0>5}{text}": n for n in range(count)}),
    ):
        read = Answer.of(asked).read
        assert _refusal_of(read, said(5000)) is None
        assert "very many" in _refusal_of(read, said(70_000))


@pytest.mark.parametrize("kind", [uuid.UUID, Fraction, Decimal, pydantic.ByteSize], ids=str)
def test_what_is_made_of_texts_and_is_a_key_or_in_a_set_is_less_than_of_texts_alone(kind):
    def said(count):
        return [str(uuid.UUID(int=n) if kind is uuid.UUID else n) for n in range(count)]

    for asked, of_it in ((set[kind], list), (dict[kind, int], dict.fromkeys)):
        read = Answer.of(asked).read
        assert _refusal_of(read, of_it(said(5000))) is None
        assert "very many" in _refusal_of(read, of_it(said(61_000)))


def test_a_long_path_counts_for_more_than_a_short_one():
    read = Answer.of(list[Path]).read
    assert len(read(json.dumps({"answer": ["a/" * 1000] * 100}))) == 100
    assert "very many" in _refusal_of(read, ["a/" * 1000] * 1300)


def test_in_a_json_schema_addresses_are_as_many_as_texts():
    many = ["10.0.0.1"] * 70_000
    read = Answer.of({"type": "array", "items": {"type": "string", "format": "ipv4"}}).read
    assert read(json.dumps({"answer": many})) == many


def _refusal_of(read, value):
    """Why an answer is too much; None where it is read, or is wrong for another reason."""
    try:
        read(json.dumps({"answer": value}))
    except CallError as error:
        return error.message if "very many" in error.message else None


@pytest.mark.parametrize("kind", [pydantic.AnyHttpUrl, pydantic.HttpUrl, pydantic.PostgresDsn])
@pytest.mark.parametrize(
    "address",
    [
        "{scheme}://{name}/",
        "{scheme}:{name}",
        "{scheme}:\\\\{name}",
        "{scheme}:{name}?://a.example",
        "{scheme}://{name}.com/a",
    ],
)
def test_addresses_whose_hosts_have_very_long_names_of_their_own_letters_are_few(kind, address):
    read = Answer.of(list[kind]).read
    scheme = "postgres" if kind is pydantic.PostgresDsn else "http"
    name = "".join(chr(0x4E00 + n) for n in random.Random(1).choices(range(5000), k=600))
    urls = [address.format(scheme=scheme, name=name)] * 5000
    with pytest.raises(CallError, match="too long, or too many"):
        read(json.dumps({"answer": urls}))


def test_web_addresses_as_people_have_them_may_be_many():
    wiki = "http://de.wikipedia.org/wiki/Größe?" + "ж" * 300
    urls = [f"{host}{n}" for n in range(2000) for host in (wiki, "http://bücher.example/")]
    read = Answer.of(list[pydantic.HttpUrl]).read(json.dumps({"answer": urls}))
    assert len(read) == 4000


SLUG = r"^([a-z0-9]+-?)+(?<!-)$"  # words joined by hyphens: a repetition that is repeated


@pytest.mark.parametrize(
    "schema",
    [
        in_each({"anyOf": [{"type": "string", "pattern": SLUG}, {"type": "string"}]}),
        list[Annotated[str, pydantic.Field(pattern=re.compile(SLUG))]],
    ],
    ids=["schema", "type"],
)
def test_short_texts_that_are_much_work_for_a_pattern_that_looks_around_are_few(schema):
    read = Answer.of(schema).read
    slugs = [f"machine-learning-{n}" for n in range(1000)]
    assert read(json.dumps(slugs)) == slugs
    with pytest.raises(CallError, match="too long, or too many, for the patterns"):
        read(json.dumps(["a" * 40 + f"!{n}" for n in range(20_000)]))


WAYS = r"^(?:(a|aa)+(?<!b)c|a+!)$"  # of the first kind there are 200,000 for 25 letters


@pytest.mark.parametrize(
    "schema",
    [{"type": "string", "pattern": WAYS}, Annotated[str, pydantic.Field(pattern=re.compile(WAYS))]],
    ids=["schema", "type"],
)
def test_a_pattern_that_looks_around_is_given_up_after_very_many_ways(schema):
    read = Answer.of(schema).read
    assert read('{"answer":"aaaaa!"}') == "aaaaa!"
    with pytest.raises(CallError, match=r"too much work|should match pattern"):
        read(json.dumps({"answer": "a" * 25 + "!"}))


@pytest.mark.parametrize(
    "pattern",
    [
        r"[ab]*+zb",
        r"[ab]++zb",
        r"(?:[ab]?)++zb",
        r"[ab]{3,}+zb",
        "(?x) [ab]* \n+ zb",
        "(?x)[ab]* # all\n+zb",
    ],
)
def test_a_long_text_where_a_repetition_keeps_what_it_took_is_a_wrong_shape(pattern):
    read = Answer.of({"type": "string", "pattern": pattern}).read
    text = "".join(random.Random(1).choices("ab", k=100_000))
    with pytest.raises(CallError, match="too long, or too many, for the patterns"):
        read(json.dumps({"answer": text + "zc"}))
    assert read(json.dumps({"answer": "a!" + text[:100] + "zb"})).endswith("zb")


@pytest.mark.parametrize("pattern", [r"a\*+", "[*?+]+", "[]*+]+", r"a{2}\+", "(a*)+b", r"\w+ +\w"])
def test_a_repetition_of_a_sign_is_none_that_keeps_what_it_took(pattern):
    assert not looks_around(pattern)


@pytest.mark.parametrize("kind", [list, dict])
def test_of_texts_of_spaces_for_an_e_mail_address_there_are_few(kind):
    """The pattern that pydantic has for `Name <address>` goes from each of them to the end."""
    address = Annotated[str, pydantic.WithJsonSchema({"type": "string", "format": "email"})]
    read = Answer.of(list[address] if kind is list else dict[address, int]).read

    def said(texts):
        return list(texts) if kind is list else dict.fromkeys(texts, 1)

    addresses = said(f"somebody.{n}@mail.example" for n in range(20_000))
    assert read(json.dumps({"answer": addresses})) == addresses
    with pytest.raises(CallError, match="too long, or too many, for the patterns"):
        read(json.dumps({"answer": said(" " * 2000 + f"{n}" for n in range(60))}))


COUNTED = "[ab]*a[ab]{400}z"  # an engine is at 400 places at once, in ways that are all different
COUNTED_TEXTS = {
    "schema": in_each({"type": "string", "pattern": COUNTED}),
    "type": list[Annotated[str, pydantic.Field(pattern=COUNTED)]],
    "names": dict[Annotated[str, pydantic.Field(pattern=COUNTED)], int],
}


@pytest.mark.parametrize("kind", COUNTED_TEXTS)
def test_texts_are_as_long_as_a_pattern_with_counted_repetitions_is_checked_in_a_moment(kind):
    """Each character may be at any of the places that the pattern has once it is written out."""

    def read(*texts):
        said = dict.fromkeys(texts, 1) if kind == "names" else list(texts)
        return Answer.of(COUNTED_TEXTS[kind]).read(json.dumps({"answer": said}))

    letters = random.Random(1)
    read(*("".join(letters.choices("ab", k=600)) + "a" * 401 + f"z{n}" for n in range(50)))
    with pytest.raises(CallError, match="too long, or too many, for the patterns"):
        read("".join(letters.choices("ab", k=1_000_000)))
    with pytest.raises(CallError, match="too long, or too many, for the patterns"):
        read(*("".join(letters.choices("ab", k=10_000)) for n in range(100)))


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[a-z ]+$",
        r"^.{1,500000}$",
        r"^(?:[a-z]{1,9} ?)+$",
        r"^[^\]{}(]{3,}$",
        r"^(?P<a>[a-z ]{2}){9,}",
    ],
)
def test_a_text_for_an_ordinary_pattern_may_be_as_long_as_an_answer_is(pattern):
    text = "ab " * 100_000
    assert Answer.of({"type": "string", "pattern": pattern}).read(json.dumps(text)) == text


def test_names_that_are_held_against_the_part_they_stand_in_are_weighed_to_an_end():
    names = {"propertyNames": {"$ref": "#/$defs/n"}, "pattern": "^(?=a)"}
    answer = Answer.of({"type": "object", "$ref": "#/$defs/n", "$defs": {"n": names}})
    said = {"a" * 3000: 1}
    assert answer.read(json.dumps(said)) == said
    with pytest.raises(CallError):
        answer.read(json.dumps({"b" * 3000: 1}))


def test_beside_a_pattern_that_looks_around_and_under_one_that_does_not_texts_may_be_long():
    schema = {
        "type": "object",
        "properties": {
            "code": {"type": "string", "pattern": AROUND},
            "simple": {"type": "string", "pattern": "^(a+)+$"},
            "free": {"type": "string"},
        },
    }
    said = {"code": "A1", "simple": "a" * 50_000, "free": "b" * 50_000}
    assert Answer.of(schema).read(json.dumps(said)) == said


def test_faults_that_are_told_with_the_whole_object_are_not_looked_for_in_a_large_one():
    read = Answer.of({"type": "object", "propertyNames": {"pattern": "^z"}}).read
    with pytest.raises(CallError, match="and 97 more"):
        read(json.dumps({f"k{n}": n for n in range(200)}))
    with pytest.raises(CallError, match=r"^[^;]*$"):
        read(json.dumps({f"k{n}": n for n in range(1500)}))


def test_faults_are_not_told_where_all_of_them_with_all_choices_would_fill_the_memory():
    names = tuple(f"category {n} {'of many ' * 80}" for n in range(200))
    answer = Answer.of(list[Literal[names]])  # pydantic tells each fault with all 200 names
    with pytest.raises(CallError, match="the value is not one of"):
        answer.read(json.dumps({"answer": ["none"] * 1000}))
    with pytest.raises(CallError, match="Input should be 'category 0"):
        answer.read(json.dumps({"answer": ["none"]}))
    right = [names[-1]] * 1000
    assert answer.read(json.dumps({"answer": right})) == right


def never(value):
    raise ValueError("no")


LABELS = tuple(f"label number {n:04d}" for n in range(900))
Other = Annotated[str, pydantic.AfterValidator(never)]


class Card(pydantic.BaseModel):
    label: Literal[LABELS] | Other


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (list[Literal[LABELS] | pydantic.HttpUrl], ["a:b"] * 10_000),
        (list[list[Literal[LABELS]] | list[Other]], [["x"]] * 10_000),
        (dict[str, Literal[LABELS] | Other], {f"k{n}": "x" for n in range(10_000)}),
        (list[Card], [{"label": "x"}] * 10_000),
        (list[Enum("Labels", {label: label for label in LABELS}) | Other], ["x"] * 10_000),
        (list[Annotated[str, pydantic.Field(pattern="a" * 12_000 + "|x")] | Other], ["b"] * 10_000),
    ],
    ids=["url", "lists", "map", "models", "enum", "pattern"],
)
def test_what_fits_the_schema_and_not_the_type_is_told_in_little_memory(kind, said):
    answer = Answer.of(kind)
    text = json.dumps({"answer": said})
    tracemalloc.start()
    try:
        with pytest.raises(CallError, match=r"one of 900 choices: .*, \.\.\.|matches 'aaa"):
            answer.read(text)
        assert tracemalloc.get_traced_memory()[1] < 80_000_000
    finally:
        tracemalloc.stop()


LISTS = {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "integer"}}}


@pytest.mark.parametrize("schema", [dict[str, list[int]], LISTS], ids=["type", "schema"])
def test_a_long_name_is_not_told_with_each_of_thousands_of_values(schema):
    def read(said):
        return Answer.of(schema).read(json.dumps(said if schema is LISTS else {"answer": said}))

    for said in ("x", 1):
        with pytest.raises(CallError, match="its names are too long for so many values"):
            read({"k" * 100_000: [said] * 1000})
    assert len(read({"k" * 100_000: [1] * 100})) == 1
    assert len(read({f"k{n}": [1] for n in range(20_000)})) == 20_000


def test_faults_are_not_told_with_thousands_of_choices_each():
    labels = {"type": "array", "items": {"enum": [f"label {n}" for n in range(5000)]}}
    or_none = {"anyOf": [labels, {"type": "null"}]}
    for inner, few, many in (
        (labels, "^a.0: the value is not one of .*; a.1: ", "^a.0: the value is not one of [^;]*$"),
        (or_none, "^a: the value is not valid under any", "may be too much; give less"),
    ):
        answer = Answer.of({"type": "object", "properties": {"a": inner}})
        for count, says in ((20, few), (2000, many)):
            with pytest.raises(CallError, match=says):
                answer.read(json.dumps({"a": ["none"] * count}))
        right = {"a": ["label 4999"] * 2000}
        assert answer.read(json.dumps(right)) == right


def test_names_that_are_held_against_hundreds_of_patterns_are_weighed_in_little_memory():
    patterns = {f"^x{n}": {"type": "string"} for n in range(300)}
    answer = Answer.of({"type": "object", "patternProperties": patterns})
    text = json.dumps({f"k{n}": 1 for n in range(5000)})
    tracemalloc.start()
    try:
        with pytest.raises(CallError, match="too long for a type"):
            answer.read(text)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


def test_what_is_weighed_is_given_to_the_check_as_it_is():
    seen: list[str] = []

    def check(text, raw):
        seen.append(text)
        return 1

    taken: Check = check
    weighed = Weighed(taken, BY_HAND, tagged=False)
    for text in ('{"left": 1}', "[" * 20, "no JSON"):
        assert weighed(text) == 1
    assert seen == ['{"left": 1}', "[" * 20, "no JSON"]


# --- the rest of a reply -------------------------------------------------------------------------

DEEP = b"[" * 1000 + b"]" * 1000
ENVELOPES = {
    "a field nobody knows": b'{"choices":[{"finish_reason":"stop","message":{"content":"a","x":%s}}]}',
    "the ending": b'{"choices":[{"finish_reason":%s,"message":{"content":"a"}}]}',
    "the error": b'{"error":{"code":%s,"message":null}}',
    "what a server refused": (
        b'{"error":{"code":"json_validate_failed","failed_generation":"x","message":%s}}'
    ),
    "an event": b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":%s}]}\n\n',
}


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("body", ENVELOPES.values(), ids=ENVELOPES)
def test_a_reply_that_is_nested_too_deeply_anywhere_is_a_failure_of_its_row(body, status):
    reply = classify(status, {}, body % DEEP)
    assert reply.error is not None
    assert len(str(reply.error)) < 300
    assert reply.data is None


def test_a_reply_that_is_nested_as_deep_as_is_read_can_be_counted_and_shown():
    body = ENVELOPES["a field nobody knows"] % (b"[" * 120 + b"]" * 120)
    data = classify(200, {}, body).data
    assert text_of(data) == "a"
    assert guess(data, 1).output
    assert excerpt_of({"choices": [{"message": {"x": data}}]})
    assert sys.getrecursionlimit() > 240


def test_a_part_of_an_answer_whose_name_is_no_text_cannot_be_read():
    parts = [{"type": ["text"], "text": "no"}, {"type": "text", "text": "yes"}]
    reply = {"choices": [{"finish_reason": "stop", "message": {"content": parts}}]}
    with pytest.raises(CallError) as caught:
        text_of(reply)
    assert caught.value.kind is Kind.UNREADABLE


@pytest.mark.parametrize("word", ["error", "network_error"])
def test_the_word_with_which_an_answer_ends_is_shown_as_far_as_a_word_goes(word):
    said = word + " " * 64 + "\x1b[2J" * 500_000
    body = json.dumps({"choices": [{"finish_reason": said, "message": {"content": "a"}}]})
    error = classify(200, {}, body.encode()).error
    assert word in error.message
    assert len(error.message) < 200
    assert "\x1b" not in error.message


class Engine(pydantic.BaseModel):
    """Whose patterns pydantic leaves to Python."""

    model_config = pydantic.ConfigDict(regex_engine="python-re")
    code: str = pydantic.Field(default="a", pattern=r"^(a+)+$")
    ahead: str = pydantic.Field(default="1a", pattern=r"^(?=\d)([0-9a]+)+$")
    word: str = pydantic.Field(default="e", pattern=r"^(\w+\s?)+\Z")
    keys: dict[Annotated[str, pydantic.Field(pattern=r"^(k+)+$")], int] = {}
    metadata: str = pydantic.Field(default="a", pattern=r"^(a+)+$")  # as pydantic calls its own


class Compiled(pydantic.BaseModel):
    kids: list[Compiled] = []
    code: Annotated[
        str,
        pydantic.StringConstraints(
            strip_whitespace=True, pattern=re.compile(r"(a+)+ $ # x", re.VERBOSE | re.IGNORECASE)
        ),
    ]


CODES = list[Annotated[str, pydantic.Field(pattern=re.compile("^(a+)+$"))]]


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        (Engine, '{"code":"%s"}', "code"),
        (Engine, '{"metadata":"%s"}', "metadata"),
        (Engine, '{"word":"Jos\u00e9 %s"}', "word"),
        (Engine, '{"ahead":"1%s"}', "ahead"),
        (Compiled, '{"code":"a","kids":[{"code":" A%s ","kids":[]}]}', "kids.0.code"),
        (CODES, '["%s"]', "0"),
    ],
)
def test_a_pattern_that_is_left_to_python_holds_nothing_up(schema, right, wrong):
    """`re` takes hours for sixty characters, and holds the interpreter's lock."""
    answer = Answer.of(schema)
    answer.read(right % ("a" * 60))
    with pytest.raises(CallError, match=f"^{wrong}: String should match pattern"):
        answer.read(right % ("a" * 60 + "!"))


@pytest.mark.parametrize("pattern", [r"^a++ab$", r"^[a-z]*+z$", "(?x)^[a-z]*+ # all\n z$"])
def test_a_repetition_that_keeps_what_it_took_does_so_where_python_would(pattern):
    kept = Answer.of(Annotated[str, pydantic.Field(pattern=re.compile(pattern))])
    for text in ("aaab", "abz", "z", "ab"):
        if re.search(pattern, text):
            assert kept.read(json.dumps({"answer": text})) == text
        else:
            with pytest.raises(CallError):
                kept.read(json.dumps({"answer": text}))


def test_letters_of_all_languages_match_beside_a_comment_with_signs():
    words = Annotated[str, pydantic.Field(pattern=re.compile("(?x)^\\w+ $  # as in C++"))]
    assert Answer.of(words).read(json.dumps({"answer": "größe"})) == "größe"


def test_keys_with_a_pattern_hold_nothing_up_and_one_for_python_alone_is_refused():
    with pytest.raises(CallError, match="should match pattern"):
        Answer.of(Engine).read('{"keys":{"%s!":1}}' % ("k" * 60))
    assert Answer.of(Engine).read('{"keys":{"kk":1}}').keys == {"kk": 1}
    odd = Annotated[str, pydantic.Field(pattern=re.compile(r"(a)?(?(1)b|c)+"))]
    with pytest.raises(SchemaError, match=r"run by Python's re.*another way"):
        Answer.of(list[odd])


@pytest.mark.parametrize(
    ("schema", "item"),
    [
        (list[int], "1"),
        (list[int], '"0"'),
        (list[Literal["yes", "no", True]], "true"),
        (list[dt.date], '"12"'),
        (list[str], r'"\",\\"'),
        ({"type": "array", "items": {"enum": ["a", True]}}, "true"),
    ],
    ids=str,
)
def test_very_many_values_are_refused_before_any_is_looked_at(monkeypatch, schema, item):
    answer = Answer.of(schema)

    def read(*_):
        raise AssertionError("they are read")

    for name in ("answer_parser.parse", "answer_parser.has_each_key_once", "effort.parse"):
        monkeypatch.setattr(f"lionproc.model.{name}", read)
    for broken in ("", ",", ',{"a":1,"a":2}', ',"\\ud800"', ",NaN"):
        with pytest.raises(CallError, match="more than 100,000 values"):
            answer.read(f'{{"answer":[{",".join([item] * 150_000)}{broken}]}}')


@pytest.mark.parametrize(
    "prose", ["Well, " * 150_000, 'She said "hi", ' * 150_000 + '{"answer":"a"}']
)
def test_prose_of_very_many_commas_is_no_json_and_not_very_many_values(prose):
    with pytest.raises(CallError, match="not valid JSON"):
        Answer.of(list[str]).read(prose)


def test_true_is_not_held_against_each_of_many_choices():
    answer = Answer.of(list[Literal[(*(f"c{n}" for n in range(300)), True)]])
    calls = 0

    def count(*_):
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        answer.read(json.dumps([True] * 1000))
    finally:
        sys.setprofile(None)
    assert calls < 100_000


@pytest.mark.parametrize("number", ["9e999", "-1e400", f"{10**400}.5"])
@pytest.mark.parametrize("items", [{"type": "number"}, {"type": ["number", "string"]}, {}])
def test_numbers_beyond_all_floats_are_refused_before_they_are_compared_with_each_other(
    number, items
):
    unique = {"type": "array", "items": items, "uniqueItems": True}
    many = f"[1, {', '.join([number] * 50_000)}]"
    for schema, text in (
        (unique, many),
        ({"type": "object", "properties": {"a": {"type": "object", "properties": {"b": unique}}}},
         f'{{"a": {{"b": {many}}}}}'),
    ):  # fmt: skip
        with pytest.raises(CallError, match="larger than any float"):
            Answer.of(schema).read(text)
    assert Answer.of(unique).read("[1e308, -1e308, 1e-400]")
