"""Sets are written in the same order in every process, so that nothing is bought anew."""

import os
import subprocess
import sys

CHILD = """
from dataclasses import dataclass
from pydantic import BaseModel, Field, RootModel, field_serializer
from lionproc.frame.cell import cell_text
from lionproc.model.as_json import to_json

LETTERS = frozenset("abcdefgh")
SETS = {LETTERS, frozenset("ijklmnop")}

class Inner(BaseModel):
    tags: set[str] = Field(set(LETTERS), alias="Tags")
    deep: set[frozenset[str]] = SETS
    by_name: dict[str, list[frozenset[str]]] = {"a": [LETTERS]}
    own: set[str] = set(LETTERS)

    @field_serializer("own")
    def said(self, value):
        return sorted(value, reverse=True)

class Root(RootModel[set[str]]):
    pass

@dataclass
class Noted:
    tags: set[str]
    inner: Inner

class Outer(BaseModel, extra="allow"):
    inner: Inner = Inner()
    root: Root = Root(set(LETTERS))
    noted: Noted = Noted(set(LETTERS), Inner())

for thing in (Outer(more=set(LETTERS)), [Root(set(LETTERS))], Noted(set(LETTERS), Inner()), SETS, {"a": (1, SETS)}):
    print(to_json(thing).decode())
print(cell_text([SETS]))
"""


def test_sets_are_written_in_the_same_order_in_every_process():
    first, second = (
        subprocess.run(
            [sys.executable, "-c", CHILD],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    )
    assert first == second
    assert '"Tags":["a","b","c","d","e","f","g","h"]' in first
    assert '"own":["h","g","f","e","d","c","b","a"]' in first
