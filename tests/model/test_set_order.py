"""Sets within answers have one order, in whatever process they are written."""

import json
import os
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pydantic
import pydantic.dataclasses
import pytest

from lionproc.model.as_json import to_json
from lionproc.model.set_order import in_order, place_of
from lionproc.testing import Server

LETTERS = "abcdefgh"
ORDERED = list(LETTERS)


def sorted_by_length(tags: set[str]) -> list[str]:
    return sorted(tags, key=lambda tag: (len(tag), tag))


class Tags(pydantic.BaseModel):
    tags: set[str]


class Named(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    tags: frozenset[str] = pydantic.Field(alias="Tags of it")

    @pydantic.computed_field
    @property
    def longest(self) -> str:
        return "a"


class Told(pydantic.BaseModel):
    tags: set[str]
    inner: list[set[str]] = []
    more: Annotated[set[str] | None, pydantic.PlainSerializer(sorted_by_length)] = None

    @pydantic.field_serializer("tags")
    def _count(self, tags: set[str]) -> list[int]:
        return [2, len(tags), *range(3, 3 + len(tags) - 2)]


class Made(pydantic.BaseModel):
    text: str

    @pydantic.computed_field(alias="of it")
    @property
    def letters(self) -> set[str]:
        return set(self.text)

    @pydantic.field_serializer("text")
    def _letters(self, text: str) -> frozenset[str]:
        return frozenset(text)


class ForJson(pydantic.BaseModel):
    tags: set[str]
    more: set[str]

    @pydantic.field_serializer("tags", when_used="json")
    def _tags(self, tags: set[str]) -> list[str]:
        return sorted_by_length(tags)

    @pydantic.field_serializer("more")
    def _more(self, tags: set[str], info: pydantic.FieldSerializationInfo) -> Any:
        return sorted_by_length(tags) if info.mode == "json" else tags


class Whole(pydantic.BaseModel):
    tags: set[str]

    @pydantic.model_serializer
    def _whole(self) -> dict[str, Any]:
        return {"tags": sorted_by_length(self.tags)}


class Root(pydantic.RootModel[set[str]]):
    @pydantic.model_serializer
    def _root(self) -> list[str]:
        return sorted_by_length(self.root)


class Tree(pydantic.BaseModel):
    """One that refers to itself."""

    tags: set[str]
    parts: list["Tree"] = []


@pydantic.dataclasses.dataclass
class Data:
    tags: set[str] = pydantic.Field(serialization_alias="t")


@dataclass
class Plain:
    tags: set[str]


TAGS = set(LETTERS)
WRITTEN = [
    (Tags(tags=TAGS), {"tags": ORDERED}),
    (Named(**{"Tags of it": TAGS, "more": TAGS}), {"Tags of it": ORDERED, "more": ORDERED, "longest": "a"}),
    (
        Told(tags=TAGS, inner=[TAGS], more={"aa", "b"}),
        {"tags": [2, 8, 3, 4, 5, 6, 7, 8], "inner": [ORDERED], "more": ["b", "aa"]},
    ),
    (ForJson(tags={"aa", "b"}, more={"aa", "b"}), {"tags": ["b", "aa"], "more": ["b", "aa"]}),
    (Made(text=LETTERS), {"text": ORDERED, "of it": ORDERED}),
    (Whole(tags={"aa", "b"}), {"tags": ["b", "aa"]}),
    (Root({"aa", "b"}), ["b", "aa"]),
    (
        Tree(tags=TAGS, parts=[Tree(tags=TAGS)]),
        {"tags": ORDERED, "parts": [{"tags": ORDERED, "parts": []}]},
    ),
    (Data(tags=TAGS), {"t": ORDERED}),
    (Plain(tags=TAGS), {"tags": ORDERED}),
    (pydantic.RootModel[set[str]](TAGS), ORDERED),
    ((TAGS, 1), [ORDERED, 1]),
    (deque([TAGS]), [ORDERED]),
    ({1: TAGS, "b": [Tags(tags=TAGS)]}, {"1": ORDERED, "b": [{"tags": ORDERED}]}),
    ({frozenset("ba"), frozenset("c")}, [["a", "b"], ["c"]]),
    ([["b", "a"]], [["b", "a"]]),
    (({1, 9}, {9, 1}), [[1, 9], [1, 9]]),
    (({33, 2, 100, 9, 10}, 1), [list({33, 2, 100, 9, 10}), 1]),
    (({float("nan")}, {2.5, 1}), [[None], [1, 2.5]]),
]  # fmt: skip


@pytest.mark.parametrize(("value", "written"), WRITTEN, ids=lambda value: type(value).__name__)
def test_a_set_is_sorted_wherever_it_is_and_nothing_else_is(value, written):
    dumped = pydantic.TypeAdapter(Any).dump_python(value, mode="json", by_alias=True)
    assert in_order(value, dumped) == written


def test_a_member_that_leads_back_to_itself_is_sorted_by_what_it_prints():
    @dataclass(eq=False)
    class Node:
        parent: object = None

    node = Node()
    node.parent = Node(node)
    assert place_of(node) == repr(node)


def test_sets_in_many_sets_are_sorted_by_texts_no_longer_than_they_are():
    deep = frozenset({"a", "b"})
    for _ in range(200):
        deep = frozenset({deep, "c"})
    assert len(place_of(deep)) < 2_000


def said(code: str) -> set[str]:
    """What several processes say, each of which has sets of texts in an order of its own."""
    return {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3", "4")
    }


SCHEMA = """
import dataclasses, hashlib, json
from typing import Annotated
import pydantic
from lionproc.model.answer import Answer
from lionproc.service.recorded_type import recorded

class Inner(pydantic.BaseModel):
    tags: set[str] = set("abcdefgh")

@pydantic.dataclasses.dataclass
class Data:
    tags: Annotated[set[str], pydantic.Field(examples=[set("abcdefgh")])]

class Outer(pydantic.BaseModel):
    allowed: dict[str, set[str]] = {"en": set("abcdefgh")}
    inner: Inner = Inner()
    many: list[set[str]] = [set("abcdefgh")]
    topics: set[str] = pydantic.Field(examples=[set("abcdefgh")], alias="Topics")
    data: Data
    scores: dict[str, float]

print(json.dumps([Answer.of(Outer).json_schema, recorded(Outer)]))
"""


def test_the_schema_of_a_type_is_the_same_in_every_process():
    (schema,) = said(SCHEMA)
    assert schema.count(json.dumps(ORDERED)) == 12


@pytest.mark.parametrize(("value", "written"), [
    ("set('abcdefgh')", ORDERED),
    ("{frozenset('abcd'), frozenset('efgh')}", [list("abcd"), list("efgh")]),
])  # fmt: skip
def test_a_set_is_the_same_in_every_process(value, written):
    code = f"from lionproc.model.as_json import to_json; print(to_json({value}).decode())"
    assert said(code) == {json.dumps(written, separators=(",", ":")) + "\n"}
    assert to_json({"b": 1, "a": 2}) == b'{"b":1,"a":2}'


FROZEN = """
import dataclasses, pydantic
from lionproc.model.as_json import to_json

class Model(pydantic.BaseModel):
    model_config = {"frozen": True}
    tags: frozenset[str]

@dataclasses.dataclass(frozen=True, slots=True)
class Data:
    tags: frozenset[str]

words = [frozenset("abcd"), frozenset("efgh"), frozenset("ijkl")]
print(to_json([set(map(kind, words)) for kind in (lambda tags: Model(tags=tags), Data, lambda tags: (tags, 1))]))
"""


def test_members_of_a_set_that_have_sets_in_them_have_one_order_in_every_process():
    assert len(said(FROZEN)) == 1


NOTEBOOK = """
import warnings
from typing import Literal, Optional
import pandas as pd, pydantic
import lionproc as lp

class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    tags: set[str]

class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    tags: set[str]

class Pet(pydantic.BaseModel):
    pet: Cat | Dog
    tags: set[str]
    inner: list[Cat]
    sets: Optional[frozenset[frozenset[str]]]

warnings.simplefilter("ignore")
model = lp.Model("openai", "m", base_url=url, api_key=key)
shown = "{one} {one_pet} {one_tags} {one_inner} {one_sets}"
stages = [{"name": "one", "schema": Pet, "prompt": "What is {it}"}, {"name": "two", "prompt": shown}]
out = pd.DataFrame({"it": ["x"]}).llm.pipeline(stages, model=model)
print({name: str(out[name][0]) for name in out})
"""


def test_a_later_stage_is_shown_sets_in_one_order_and_is_not_bought_again_in_another_process(
    tmp_path,
):
    cat = {"kind": "cat", "tags": ORDERED}
    pet = {
        "pet": cat,
        "tags": ORDERED,
        "inner": [cat],
        "sets": [list("gh"), list("ab"), list("fe")],
    }

    def answer(body):
        return pet if "What is" in str(body["messages"]) else "fine"

    told = set()
    with Server(answer=answer) as server:
        for seed in ("1", "2", "3"):
            code = f"url, key = {server.base_url!r}, {server.key!r}\n{NOTEBOOK}"
            where = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])}
            done = subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, **where, "LIONPROC_HOME": str(tmp_path)},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=True,
            )
            told.add(done.stdout)
        assert server.counters.total == 2
    (shown,) = told
    assert "'two': 'fine'" in shown
