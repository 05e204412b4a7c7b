"""A few bytes of what a journal remembers of a run ask for no more than somebody may have asked."""

import contextlib
import json
import sqlite3
from zlib import crc32

import pandas as pd
import pytest

import lionproc as lp
from lionproc.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("quiet_home")
LONG = "some words " * 1000


@pytest.fixture
def df():
    return pd.DataFrame({"text": [f"{n} {LONG}" for n in range(8)]})


def noted(tmp_path, change):
    """What the run noted, changed by somebody."""
    with contextlib.closing(sqlite3.connect(tmp_path / "home" / "journal.sqlite")) as other, other:
        note = json.loads(other.execute("SELECT facts FROM run WHERE id = 1").fetchone()[0])
        change(note)
        kept = json.dumps(note).encode()
        other.execute("UPDATE run SET facts = ?, checksum = ? WHERE id = 1", (kept, crc32(kept)))


def members(count):
    def change(note):
        (way,) = note["ways"]
        note["ways"] = [{"members": [way] * count, "steps": {"in_turn": [None] * count}}]

    return change


def long_prompt_to_many(note):
    members(900)(note)
    note["asked"]["prompt"] += "x" * 100_000


def examples_to_many(note):
    members(900)(note)
    note["asked"]["examples"] = [[{"role": "user", "content": "x" * 50}] * 2000]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda note: note["asked"].update(prompt="{text}" * 2000), "showed 'text' 2,000 times"),
        (members(1001), "1,001 ways to models"),
        (long_prompt_to_many, "characters of each row"),
        (examples_to_many, "characters of each row"),
        (
            lambda note: note["asked"].update(
                prompt="Say {value}", into=["{column}_a"], by_column=True, columns=["text"] * 10_001
            ),
            "characters of 10,001 columns",
        ),
    ],
    ids=["cells", "models", "prompt", "examples", "columns"],
)
def test_what_nobody_asks_of_rows_is_told_and_not_made(df, model, tmp_path, change, words):
    df.llm.process("Say {text}", into="a", model=model, name="odd")
    assert lp.run("odd").frame(df)["a"].notna().all()
    noted(tmp_path, change)
    with pytest.raises(ConfigurationError, match=f"{words}.* Run the same call again"):
        lp.run("odd").frame(df)
    with pytest.raises(ConfigurationError, match=words):
        lp.run("odd").diff(lp.run("odd"), df)


def more_stages(note):
    first, second = note["asked"]["stages"]
    note["asked"]["stages"] = [{**first, "name": f"s{n}"} for n in range(1000)] + [second]
    for name in ("ways", "shapes"):
        note[name] = note[name][:1] * 1001
    note["asked"]["examples"] = []


def of_second(**fields):
    return lambda note: note["asked"]["stages"][1].update(fields)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (more_stages, "1,001 stages"),
        (of_second(prompt="{text}" * 2000), "showed 'text' 2,000 times"),
        (of_second(prompt="{one}" * 60), "showed 'one' 60 times"),
        (of_second(prompt="{data}" * 60), "showed .* 60 times"),
        (
            of_second(prompt="{options}" * 40, options={"a": "x" * 2_000_000}),
            "characters of each row",
        ),
    ],
    ids=["stages", "cells", "answers", "data", "options"],
)
def test_what_nobody_asks_in_stages_is_told_and_not_made(df, model, tmp_path, change, words):
    stages = [
        {"name": "one", "prompt": "Say {text}"},
        {"name": "two", "prompt": "Is it {one}?"},
    ]
    df.llm.pipeline(stages, model=model, name="odd")
    assert lp.run("odd").frame(df)["two"].notna().all()
    noted(tmp_path, change)
    with pytest.raises(ConfigurationError, match=f"{words}.* Run the same call again"):
        lp.run("odd").frame(df)


def test_answers_of_more_columns_than_anybody_has_are_told_and_not_made(df, model, tmp_path):
    wide = pd.DataFrame({f"c{n}": ["a"] for n in range(101)})
    wide.llm.process("Say {value}", columns=["c0"], into="{column}_a", model=model, name="odd")

    def change(note):
        fields = {f"f{n}": {"type": "string"} for n in range(100)}
        schema = {"type": "object", "properties": fields, "required": list(fields)}
        note["shapes"][0].update(schema=schema, bare=False)
        note["asked"].update(columns=list(wide), into=["{column}"])
        note["asked"]["examples"] = []

    noted(tmp_path, change)
    with pytest.raises(ConfigurationError, match="made 10,100 columns"):
        lp.run("odd").frame(wide)


def test_fifty_stages_a_long_prompt_and_long_cells_are_asked_again(model):
    long = pd.DataFrame({"text": ["x" * 2**20], "short": ["a"]})
    stages = [
        {"name": "plain", "prompt": "y" * 2**20 + "{short}"},
        {"name": "cells", "prompt": "{text} {text} {text}"},
        *({"name": f"s{n}", "prompt": f"{n} {{short}}" * 100} for n in range(48)),
    ]
    out = long.llm.pipeline(stages, model=model, name="long")
    pd.testing.assert_frame_equal(lp.run("long").frame(long), out)
