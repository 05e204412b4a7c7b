"""A folder of parts holds the answers of one run, also where another one of its name stops half way."""

import functools
import signal
import subprocess
import sys
import threading
from typing import Annotated, Literal

import pandas as pd
import pydantic
import pytest

import lionproc as lp
from lionproc.errors import BudgetWarning, LionprocWarning, RowsFailedWarning

ROWS = 8


@pytest.fixture
def df():
    kind = ["p", "q", "q", "q", "p", "q", "q", "p"]  # the first, the middle and the last one are p
    return pd.DataFrame({"text": [f"text {n}" for n in range(ROWS)], "kind": kind})


@pytest.fixture
def how(model, tmp_path):
    one = lp.Limits(concurrency=1)
    return {
        "model": model,
        "save": tmp_path / "out",
        "chunk_size": 1,
        "limits": one,
        "progress": False,
    }


def trimmed(text):
    return text.strip()


class Wanted(pydantic.BaseModel):
    text: str


class Shorter(Wanted):
    @pydantic.field_validator("text")
    @classmethod
    def _short(cls, text):
        assert "3" not in text
        return text


class Ask:
    def __init__(self, word):
        self.word = word

    def __call__(self, row):
        return self.of(row)

    def __len__(self):
        return 0

    def of(self, row):
        return f"{self.word if row['kind'] == 'q' else 'same'} {row['text']}"


def asking(word):
    return lambda row: f"{word if row['kind'] == 'q' else 'same'} {row['text']}"


def of_word(row, word):
    return Ask(word).of(row)


def same(one, other):
    """Whether the cells are equal; None and NaN are both missing."""
    pd.testing.assert_frame_equal(one.convert_dtypes(), other.convert_dtypes())


def staged(**second):
    return [{"name": "s", "prompt": "Say {text}"}, {"name": "o", "prompt": "Then {s}", **second}]


def wanting(schema):
    return [{"name": "o", "prompt": "Say {text}", "input_schema": schema}]


def pair(model, key="not-asked"):
    return [model, lp.Model("openai", "large", base_url=model.base_url, api_key=key)]


def cascade(df, how, below, **more):
    model = how.pop("model")
    made = lp.Cascade(pair(model), below=below)
    how = {**how, "model": made, **more}
    return df.llm.process("Is {text}", into="o", schema=Literal["good", "bad"], **how)


WAYS = {
    "the function that is its prompt": lambda df, how, new: df.llm.process(
        asking("blue" if new else "red"), into="o", **how
    ),
    "a function with arguments": lambda df, how, new: df.llm.process(
        functools.partial(of_word, word="blue" if new else "red"), into="o", **how
    ),
    "a method of an object": lambda df, how, new: df.llm.process(
        Ask("blue" if new else "red").of, into="o", **how
    ),
    "the function that is its system prompt": lambda df, how, new: df.llm.process(
        "Say {text}", into="o", system=asking("blue" if new else "red"), **how
    ),
    "the function of a later stage": lambda df, how, new: df.llm.pipeline(
        staged(prompt=asking("blue" if new else "red")), **how
    ),
    "the object of a later stage": lambda df, how, new: df.llm.pipeline(
        staged(prompt=Ask("blue" if new else "red")), **how
    ),
    "the examples of a later stage": lambda df, how, new: df.llm.pipeline(
        staged(examples=[({"s": "one"}, "blue" if new else "red")]), **how
    ),
    "what a stage takes": lambda df, how, new: df.llm.pipeline(
        wanting(Shorter if new else Wanted), **how
    ),
    "the votes": lambda df, how, new: df.llm.process(
        "Say {text}", into="o", votes=5 if new else 3, **how
    ),
    "the code that reads the answers": lambda df, how, new: df.llm.process(
        "Say {text}",
        into="o",
        schema=Annotated[str, pydantic.AfterValidator(str.upper if new else trimmed)],
        **how,
    ),
    "equal rows one by one": lambda df, how, new: df.llm.process(
        "Say {text}", into="o", deduplicate=not new, **how
    ),
    "missing cells": lambda df, how, new: df.assign(
        text=df["text"].where(df["kind"].eq("p") | ~df["text"].str.contains("[2-5]"))
    ).llm.process("Say {text}", into="o", on_missing="send" if new else "skip", **how),
    "words that no row shows of the first, the middle and the last": lambda df, how, new: df.assign(
        text=df["text"].mask(df["kind"].eq("p"))
    ).llm.process("Say again {text}" if new else "Say {text}", into="o", **how),
    "the threshold of a cascade": lambda df, how, new: cascade(df, how, 0.9 if new else 0.5),
    "the votes of a fallback that is a cascade now": lambda df, how, new: df.llm.process(
        "Is {text}",
        into="o",
        schema=Literal["good", "bad"],
        votes=2,
        **{
            **how,
            "model": lp.Cascade(pair(how["model"]), below=1.0)
            if new
            else lp.Fallback(pair(how["model"])),
        },
    ),
}


@pytest.mark.parametrize("what", WAYS)
def test_a_run_that_differs_and_is_stopped_leaves_no_parts_of_the_one_before(what, df, how, server):
    ask = WAYS[what]
    server.configure(confidence=0.7)
    was = ask(df, {**how}, new=False)
    parts = set(how["save"].iterdir())
    assert len(parts) == ROWS
    stopped = {**how, "journal": False, "budget": lp.Budget(requests=1)}
    with pytest.warns(BudgetWarning):
        ask(df, {**stopped}, new=False)  # the same again: its parts are as they were
    same(lp.read_parquet(how["save"]), was)
    assert set(how["save"].iterdir()) == parts
    with pytest.warns(BudgetWarning):
        ask(df, {**stopped}, new=True)
    old = sorted(how["save"].glob("_part-*.old"))
    assert {part.name for part in old} == {f"_{part.name}.old" for part in parts}
    same(pd.concat(map(lp.read_parquet, old)), was)


def test_a_folder_has_the_answers_of_one_function_though_the_second_run_was_stopped(
    df, how, server
):
    def run(word, **more):
        return df.llm.pipeline(staged(prompt=asking(word)), **{**how, **more})

    run("red")
    with pytest.warns(BudgetWarning):
        run("blue", budget=lp.Budget(requests=3))
    with pytest.warns(LionprocWarning, match="lacks rows of its run"):
        kept = lp.read_parquet(how["save"])
    assert 0 < len(kept) < ROWS
    assert not kept["o"].str.contains("red").any()
    before = server.counters.total
    out = run("blue")
    assert server.counters.total - before == 2  # of the five that are q, three were bought
    pd.testing.assert_frame_equal(lp.read_parquet(how["save"]), out)
    run("red")
    assert server.counters.total - before == 2


PROGRAM = """
import sys, pandas as pd, lionproc as lp

class Ask:
    words = set("redgreenblue")
    def __call__(self, row):
        return f"{sorted(self.words)} then {row['s']}"

def ask(row):
    return f"{sorted(Ask.words)} {row['text']}"

url, key, save, requests = sys.argv[1:]
df = pd.DataFrame({"text": [f"text {n}" for n in range(8)]})
stages = [{"name": "s", "prompt": ask}, {"name": "o", "prompt": Ask()}]
how = {"budget": lp.Budget(requests=1), "journal": False} if requests == "one" else {}
model = lp.Model("openai", "m", base_url=url, api_key=key)
one = lp.Limits(concurrency=1)
df.llm.pipeline(stages, model=model, save=save, chunk_size=1, limits=one, progress=False, **how)
"""


def until(condition):
    soon = threading.Event()  # never set
    while not condition():
        soon.wait(0.005)


def test_a_run_that_was_killed_finds_its_parts_in_another_process(tmp_path, server):
    folder = tmp_path / "out"

    def run(requests):
        told = [PROGRAM, server.base_url, server.key, f"{folder}/", requests]
        return subprocess.Popen([sys.executable, "-W", "ignore", "-c", *told])

    came = []

    def answer(body):
        came.append(body)
        if len(came) == 2 * ROWS:
            until(lambda: any(folder.glob("part-*")))
            child.kill()
        return body["messages"][-1]["content"][-6:]

    server.configure(answer=answer)
    child = run("all")
    assert child.wait() == -signal.SIGKILL
    parts = set(folder.glob("part-*"))
    assert parts
    assert run("one").wait() == 0
    assert parts <= set(folder.iterdir())
    assert not list(folder.glob("*.old"))  # none of them was another run's
    assert run("all").wait() == 0
    assert lp.read_parquet(folder)["o"].tolist() == [f"text {n}" for n in range(ROWS)]
    assert len(came) <= 16 + 1 + 1  # that of "one", and what was under way at the kill


def test_a_part_that_says_nothing_of_a_function_is_written_anew_and_nothing_is_bought_again(
    df, how, server, monkeypatch
):
    monkeypatch.setattr("lionproc.frame.part_note.note_of", lambda *_: "")
    df.llm.process(asking("red"), into="o", **how)
    monkeypatch.undo()
    bought = server.counters.total
    out = df.llm.process(asking("red"), into="o", **how)
    assert server.counters.total == bought
    pd.testing.assert_frame_equal(lp.read_parquet(how["save"]), out)


def test_rows_that_are_asked_again_are_in_parts_of_the_run_that_asked_first(df, how, server):
    server.configure(faults=lambda body, n: "content_filter" if "text 3" in str(body) else None)
    job = df.llm.start(asking("red"), into="o", **how)
    with pytest.warns(RowsFailedWarning):
        job.result()
    server.configure(faults={})
    out = job.retry_failed(model=pair(how["model"], server.key)[1]).result()
    assert out["o"].notna().all()
    once = {**how, "journal": False, "budget": lp.Budget(requests=1)}
    with pytest.warns(BudgetWarning):
        df.llm.process(asking("red"), into="o", **once)
    assert not list(how["save"].glob("_part-*.old"))
    pd.testing.assert_frame_equal(lp.read_parquet(how["save"]), out)


def test_one_file_is_of_one_run_whatever_a_function_asks(df, how, tmp_path):
    file = tmp_path / "out.parquet"
    how |= {"save": file}
    out = df.llm.process(asking("red"), into="o", **how)
    with pytest.warns(BudgetWarning):
        df.llm.process(asking("blue"), into="o", budget=lp.Budget(requests=2), **how)
    pd.testing.assert_frame_equal(lp.read_parquet(file), out)
