"""Sets within answers have one order, in whatever process they are written."""

import json
import os
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
import pydantic.dataclasses
import pytest

from lionproc.model.set_order import in_order
from lionproc.testing import Server

LETTERS = "abcdefgh"
ORDERED = list(LETTERS)


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

    @pydantic.field_serializer("tags")
    def _count(self, tags: set[str]) -> list[int]:
        return [len(tags), 0, 1]


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
    (Told(tags=TAGS), {"tags": [8, 0, 1]}),
    (Data(tags=TAGS), {"t": ORDERED}),
    (Plain(tags=TAGS), {"tags": ORDERED}),
    (pydantic.RootModel[set[str]](TAGS), ORDERED),
    ((TAGS, 1), [ORDERED, 1]),
    (deque([TAGS]), [ORDERED]),
    ({1: TAGS, "b": [Tags(tags=TAGS)]}, {"1": ORDERED, "b": [{"tags": ORDERED}]}),
    ({frozenset("ba"), frozenset("c")}, [["a", "b"], ["c"]]),
    ([["b", "a"]], [["b", "a"]]),
]  # fmt: skip


@pytest.mark.parametrize(("value", "written"), WRITTEN, ids=lambda value: type(value).__name__)
def test_a_set_is_sorted_wherever_it_is_and_nothing_else_is(value, written):
    dumped = pydantic.TypeAdapter(Any).dump_python(value, mode="json", by_alias=True)
    assert in_order(value, dumped) == written


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
print(out.astype("str").to_json())
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
    assert json.loads(shown)["two"] == {"0": "fine"}
