"""`df.llm.process` end to end, over real sockets: every argument does what it says."""

import asyncio
import enum
import io
import json
import sqlite3
import sys
import threading
import warnings
from collections import Counter, defaultdict
from contextlib import redirect_stderr
from typing import Literal

import httpx2
import numpy as np
import openai
import pandas as pd
import pytest
from pydantic import BaseModel, field_validator

import lionproc as lp
from lionproc.engine import journal_writer
from lionproc.engine.journal import Journal
from lionproc.errors import (
    AccessError,
    BudgetWarning,
    ColumnError,
    ConfigurationError,
    Kind,
    LionprocWarning,
    ModelError,
    RowsFailedError,
    RowsFailedWarning,
    RunError,
    ServiceDownError,
    StoppedWarning,
)
from lionproc.frame import answer_columns, in_parts, read_once
from lionproc.frame.job import Job
from lionproc.frame.read_once import ReadOnce
from lionproc.frame.row_run import RowRun
from lionproc.model.call import ModelCall
from lionproc.testing import Fault, Server

QUIET = {"progress": False}
IMPATIENT = lp.Retry(base_s=0.01, cap_s=0.05)


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Author(BaseModel):
    name: str
    age: int


class Review(BaseModel):
    positive: bool
    stars: int
    words: list[str]
    author: Author


@pytest.fixture(autouse=True)
def as_at_the_start_afterwards(no_slow_start):
    yield
    lp.configure(**dict.fromkeys(("model", "limits", "budget", "retry", "journal", "chunk_size")))


@pytest.fixture
def server():
    with Server(retry="retry-after-ms") as made:
        yield made


@pytest.fixture
def model(server):
    return model_at(server)


def model_at(server, **more):
    return lp.Model("openai", "test-model", base_url=server.base_url, api_key=server.key, **more)


class Mooded(BaseModel):
    mood: str
    why: str


def texts(count, start=0):
    return pd.DataFrame({"text": [f"text {n}" for n in range(start, start + count)]})


def said(body):
    return body["messages"][-1]["content"]


def fails(*words, fault="400"):
    """A fault for every request whose last message ends with one of these words."""
    return lambda body, n: fault if str(said(body)).endswith(words) else None


# The frame that comes back


def test_the_answers_are_a_new_column_at_the_end_and_the_input_is_untouched(server, model):
    frame = pd.DataFrame({"text": ["a", "b", "c"], "n": [1, 2, 3]}, index=[7, 7, 3])
    before = frame.copy(deep=True)

    out = frame.llm.process("Say {text}", into="reply", model=model, **QUIET)

    assert list(out.columns) == ["text", "n", "reply"]
    assert out["reply"].tolist() == ["echo: Say a", "echo: Say b", "echo: Say c"]
    assert out["reply"].dtype == "string"
    assert out.index.tolist() == [7, 7, 3]
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(out[["text", "n"]], before)


@pytest.mark.parametrize(
    "index",
    [
        pd.Index(["x"] * 40),
        pd.MultiIndex.from_product([["a", "b"], range(20)]),
        pd.date_range("2024-01-01", periods=40, tz="Europe/Berlin")[::-1],
        pd.Index([None, np.nan] * 20, dtype=object),
    ],
    ids=["duplicates", "levels", "times", "missing"],
)
def test_rows_are_known_by_their_place_whatever_the_index(model, index):
    frame = texts(40).set_index(index)

    out = frame.llm.process("Say {text}", into="reply", model=model, **QUIET)

    assert out.index.equals(index)
    assert out["reply"].tolist() == [f"echo: Say text {n}" for n in range(40)]


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("schema", [str, Literal["a", "b"], Review], ids=["str", "label", "model"])
def test_frames_of_no_rows_and_one_row_have_all_columns_and_dtypes(server, model, rows, schema):
    many = texts(3).llm.process("Rate {text}", into="out", schema=schema, model=model, **QUIET)
    sent = server.counters.total

    out = texts(rows, 50).llm.process(
        "Rate {text}", into="out", schema=schema, model=model, **QUIET
    )

    assert len(out) == rows
    assert out.dtypes.to_dict().items() >= many.dtypes.drop("text").to_dict().items()
    assert list(out.columns) == list(many.columns)
    assert server.counters.total == sent + rows


@pytest.mark.parametrize(
    ("schema", "dtype"),
    [
        (str, "string"),
        (int, "Int64"),
        (float, "Float64"),
        (bool, "boolean"),
        (Literal["positive", "negative"], "category"),
        (Mood, "category"),
        (list[int], None),
        ({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, None),
    ],
    ids=["str", "int", "float", "bool", "literal", "enum", "list", "json_schema"],
)
def test_answers_have_their_type_and_are_the_same_in_the_saved_file(model, schema, dtype):
    frame = texts(12)
    frame.loc[5, "text"] = None

    out = frame.llm.process(
        "Rate {text}", into="out", schema=schema, model=model, save="out.parquet", **QUIET
    )

    made = out.columns[-1]
    assert out[made].isna().tolist() == [n == 5 for n in range(12)]
    if dtype:
        assert str(out["out"].dtype) == dtype
    pd.testing.assert_frame_equal(lp.read_parquet("out.parquet"), out)


def test_a_model_of_fields_fills_a_column_for_each(server, model):
    bare = texts(4).llm.process("Rate {text}", schema=Review, model=model, **QUIET)
    named = texts(4).llm.process("Rate {text}", into="r", schema=Review, model=model, **QUIET)
    none = texts(4).llm.process("Rate {text}", into=None, schema=Review, model=model, **QUIET)

    assert list(bare.columns) == ["text", "positive", "stars", "words", "author"]
    assert list(named.columns) == ["text", "r_positive", "r_stars", "r_words", "r_author"]
    pd.testing.assert_frame_equal(none, bare)
    assert [str(bare[name].dtype) for name in ("positive", "stars")] == ["boolean", "Int64"]
    assert isinstance(bare["words"].iloc[0], list)
    assert set(bare["author"].iloc[0]) == {"name", "age"}
    assert server.counters.total == 4  # one answer, whatever its columns are called


# Prompts


def test_columns_asks_the_same_of_each_and_names_the_outputs(server, model):
    frame = pd.DataFrame({"title": ["t0", "t1"], "my body": ["b0", "b1"]})

    out = frame.llm.process(
        "French: {value}", into="{column}_fr", columns=["title", "my body"], model=model, **QUIET
    )

    assert list(out.columns) == ["title", "my body", "title_fr", "my body_fr"]
    assert out["title_fr"].tolist() == ["echo: French: t0", "echo: French: t1"]
    assert out["my body_fr"].tolist() == ["echo: French: b0", "echo: French: b1"]


def test_column_names_with_spaces_and_braces_in_the_text_work(server, model):
    frame = pd.DataFrame({"the text": ["x"], 3: [4]})

    out = frame.llm.process("{{json}} {the text} {3}", into="a", model=model, **QUIET)

    assert out["a"].tolist() == ["echo: {json} x 4"]


def test_a_function_may_return_text_messages_with_images_or_none_to_skip(server, model):
    image = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]

    def ask(row):
        if row["kind"] == "skip":
            return None
        if row["kind"] == "text":
            return f"Say {row['kind']}"
        return [{"role": "system", "content": "Look."}, {"role": "user", "content": image}]

    frame = pd.DataFrame({"kind": ["text", "skip", "image"]})
    out = frame.llm.process(ask, into="a", model=model, **QUIET)

    assert out["a"].tolist()[0] == "echo: Say text"
    assert out["a"].isna().tolist() == [False, True, False]
    assert [r.body["messages"][-1]["content"] for r in server.requests] == ["Say text", image]
    assert lp.last_job().stats.skipped == 1


def test_the_system_prompt_is_a_text_or_a_function_of_the_row(server, model):
    texts(1).llm.process("Say {text}", into="a", system="Be brief.", model=model, **QUIET)
    texts(1).llm.process(
        "Say {text}", into="a", system=lambda row: f"On {row['text']}.", model=model, **QUIET
    )

    firsts = [r.body["messages"][0] for r in server.requests]
    assert firsts == [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": "On text 0."},
    ]


def test_a_row_with_a_missing_cell_is_not_sent_unless_told(server, model):
    frame = pd.DataFrame({"text": ["a", None, np.nan, pd.NA, pd.NaT, ""], "n": 1}).astype(object)

    skipped = frame.llm.process("Say {text}", into="a", model=model, **QUIET)
    assert skipped["a"].isna().tolist() == [False, True, True, True, True, False]
    assert server.counters.total == 2
    assert skipped.llm.errors().empty

    sent = frame.llm.process("Say {text}", into="a", model=model, on_missing="send", **QUIET)
    assert sent["a"].notna().all()
    assert server.counters.total == 2  # an empty text was asked already


def test_a_function_that_fails_for_one_row_fails_that_row_alone(server, model):
    def ask(row):
        return f"Say {10 // row['n']}"

    out_frame = pd.DataFrame({"n": [1, 2, 0, 5]})
    with pytest.warns(RowsFailedWarning, match=r"1 of 4 rows .* \(1 prompt\)"):
        out = out_frame.llm.process(ask, into="a", model=model, **QUIET)

    assert out["a"].isna().tolist() == [False, False, True, False]
    assert out.llm.errors()["message"].tolist() == ["the prompt function raised ZeroDivisionError"]
    assert server.counters.total == 3


def messages_in_themselves():
    message = {"role": "user"}
    message["content"] = [message]
    return [message]


class PanicException(BaseException):
    pass


class UnspeakableError(KeyError):
    args = property(lambda error: 1 / 0)


def raising(error):
    def way():
        raise error

    return way


def test_a_function_may_fill_the_same_messages_anew_for_each_row(server, model, tmp_path):
    part = {"type": "text", "text": ""}
    messages = [{"role": "user", "content": [part]}]

    def ask(row):
        part["text"] = row["text"]
        return messages

    server.configure(answer=lambda body: body["messages"][0]["content"][0]["text"])
    texts = [f"text {n}" for n in range(30)]
    out = pd.DataFrame({"text": texts}).llm.process(ask, into="a", model=model, **QUIET)
    assert out["a"].tolist() == texts
    learned = out.llm.to_jsonl(tmp_path / "learn.jsonl", format="openai").read_text().splitlines()
    turns = [json.loads(line)["messages"] for line in learned]
    assert [asked["content"][0]["text"] for asked, _ in turns] == texts


@pytest.mark.parametrize(
    "way",
    [
        sys.exit,
        messages_in_themselves,
        *map(
            raising,
            [PanicException(), asyncio.CancelledError(), GeneratorExit(), UnspeakableError()],
        ),
    ],
    ids=["exit", "endless", "panic", "cancelled", "closed", "unspeakable"],
)
def test_whatever_a_function_does_with_one_row_the_run_goes_on(server, model, way):
    frame = pd.DataFrame({"n": [1, 2, 0, 5]})
    with pytest.warns(RowsFailedWarning, match=r"1 of 4 rows .* \(1 prompt\)"):
        out = frame.llm.process(
            lambda row: f"{row['n']}" if row["n"] else way(), "a", model=model, **QUIET
        )
    assert out["a"].isna().tolist() == [False, False, True, False]


def test_a_function_that_raises_ctrl_c_itself_fails_its_row_and_the_engine_goes_on(server, model):
    class Checked(BaseModel):
        x: str

        @field_validator("x")
        @classmethod
        def checks(cls, x):
            if x == "echo: 3":
                raise KeyboardInterrupt
            return x

    def asks(row):
        if row["n"] == 1:  # in the middle of the run, on a thread that Ctrl-C never comes to
            raise KeyboardInterrupt
        return f"{row['n']}"

    server.configure(answer=lambda body: {"x": f"echo: {body['messages'][-1]['content']}"})
    with pytest.warns(RowsFailedWarning, match="2 of 5 rows"):
        out = pd.DataFrame({"n": range(5)}).llm.process(
            asks, schema=Checked, model=model, retry=lp.Retry(max_corrections=0), **QUIET
        )
    assert out["x"].isna().tolist() == [False, True, False, True, False]
    assert out.llm.errors()["kind"].tolist() == ["prompt", "wrong_shape"]


# Paid once


def test_a_second_run_sends_nothing_and_gives_the_same(server, model):
    first = texts(120).llm.process("Say {text}", into="a", model=model, **QUIET)
    second = texts(120).llm.process("Say {text}", into="a", model=model, **QUIET)

    pd.testing.assert_frame_equal(first, second)
    assert server.counters.total == 120
    assert second.llm.report().stats.cached == 120
    assert second.llm.report().stats.sent == 0


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "Tell {text}"},
        {"system": "Be brief."},
        {"schema": int},
        {"temperature": 0.5},
        {"max_tokens": 50},
        {"seed": 1},
        {"name": "another-model"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_shapes_the_answer_makes_it_another_question(server, change):
    def run(prompt="Say {text}", *, name="test-model", system=None, schema=str, **params):
        with_params = lp.Model(
            "openai", name, base_url=server.base_url, api_key=server.key, **params
        )
        return texts(5).llm.process(
            prompt, into="a", system=system, schema=schema, model=with_params, **QUIET
        )

    run()
    run(**change)
    assert server.counters.total == 10
    run()
    run(**change)
    assert server.counters.total == 10


def test_another_server_is_another_question_and_knobs_are_not(server, model):
    texts(5).llm.process("Say {text}", into="a", model=model, **QUIET)
    texts(5).llm.process(
        "Say {text}",
        into="b",
        model=model_at(server, timeout=3),
        limits={"concurrency": 2, "requests_per_minute": 6000},
        retry=lp.Retry(max_attempts=2),
        chunk_size=2,
        details=True,
        errors="raise",
        deduplicate=True,
        **QUIET,
    )
    assert server.counters.total == 5

    with Server() as other:
        texts(5).llm.process("Say {text}", into="a", model=model_at(other), **QUIET)
        assert other.counters.total == 5


def test_a_hundred_equal_rows_make_one_request(server, model):
    frame = pd.DataFrame({"text": ["the same"] * 100})

    out = frame.llm.process("Say {text}", into="a", model=model, **QUIET)

    assert server.counters.total == 1
    assert out["a"].tolist() == ["echo: Say the same"] * 100


@pytest.mark.parametrize("kept", [None, False], ids=["journal", "memory"])
def test_equal_rows_far_apart_make_one_request(server, model, kept):
    frame = pd.DataFrame({"text": [f"text {n % 300}" for n in range(1500)]})

    out = frame.llm.process(
        "Say {text}",
        into="a",
        model=model,
        journal=kept,
        limits={"concurrency": 4, "adapt": False},
        **QUIET,
    )

    assert server.counters.total == 300
    assert out["a"].tolist() == [f"echo: Say text {n % 300}" for n in range(1500)]


def test_a_failing_prompt_is_not_asked_for_every_row_that_has_it(server, model):
    server.configure(faults=fails("bad"))
    frame = pd.DataFrame({"text": ["bad" if n % 3 == 0 else f"text {n % 50}" for n in range(900)]})

    with pytest.warns(RowsFailedWarning, match="300 of 900"):
        out = frame.llm.process("Say {text}", into="a", model=model, **QUIET)

    asked = [said(r.body) for r in server.requests]
    assert asked.count("Say bad") == 1
    assert len(asked) == len(set(asked))
    assert len(out.llm.errors()) == 300
    assert out["a"].notna().sum() == 600


@pytest.mark.parametrize("votes", [1, 3])
@pytest.mark.parametrize("made", ["of one model", "of several"])
def test_a_kept_reply_is_read_once_for_all_rows_that_ask_the_same(
    server, model, monkeypatch, made, votes
):
    server.configure(answer='{"mood": "good", "why": "long"}')
    last = lp.Model("openai/last", base_url=server.base_url, api_key=server.key)
    asked = model if made == "of one model" else lp.Fallback([model, last])
    df = pd.DataFrame({"text": ["same", "other"] * 400})

    how = {"into": "a", "schema": Mooded, "model": asked, "votes": votes, "details": True}

    def ask():
        return df.llm.process("Say {text}", **how, progress=False)

    first = ask()
    read, parse = [], ModelCall.parse
    monkeypatch.setattr(ModelCall, "parse", lambda call, raw: read.append(raw) or parse(call, raw))
    again = ask()
    assert (len(read), server.counters.total) == (2 * votes, 2 * votes)
    read.clear()
    assert df.llm.estimate("Say {text}", **how).requests == 0
    assert len(read) == 2 * 2 * votes  # for the answer, and for what it took
    columns = ["a_mood", "a_why", "a_model"]
    assert again[columns].equals(first[columns])
    assert set(again["a_status"]) == {"cached"}


@pytest.mark.parametrize("made", ["of one model", "of several"])
def test_kept_replies_are_found_for_more_equal_rows_than_are_remembered(
    server, model, monkeypatch, made
):
    monkeypatch.setattr(read_once, "MOST", 3)
    last = lp.Model("openai/last", base_url=server.base_url, api_key=server.key)
    asked = model if made == "of one model" else lp.Fallback([model, last])
    frame = pd.DataFrame({"text": [f"text {n * n % 50}" for n in range(700)]})
    once = {"into": "a", "model": asked, **QUIET}

    first = frame.llm.process("Say {text}", **once)
    sent = server.counters.total
    assert sent == frame["text"].nunique()
    assert frame.llm.process("Say {text}", **once).equals(first)
    assert server.counters.total == sent


@pytest.mark.parametrize("votes", [1, 3])
def test_long_kept_replies_are_looked_up_a_few_at_a_time(server, model, monkeypatch, votes):
    """As where a gateway pads some of them, after many that were short."""
    texts = [f"text {n}" for n in range(400)]
    server.configure(answer=lambda body: "a" * (30_000 if said(body) > "Say text 3" else 1))
    how = {"into": "a", "model": model, "votes": votes, "details": True}
    df = pd.DataFrame({"text": texts})
    first = df.llm.process("Say {text}", **how, progress=False)
    sent, held, find = server.counters.total, [], Journal.find

    def found(*args, **kwargs):
        kept = find(*args, **kwargs)
        held.append(sum(len(entry.reply) for entry in kept.values()))
        return kept

    monkeypatch.setattr(in_parts, "MOST_AT_ONCE", 200_000)
    monkeypatch.setattr(Journal, "find", found)
    again = df.llm.process("Say {text}", **how, progress=False)
    assert again["a"].equals(first["a"])
    assert df.llm.estimate("Say {text}", **how).requests == 0
    assert server.counters.total == sent
    assert 100_000 < max(held) <= 200_000


@pytest.mark.parametrize("votes", [1, 3])
def test_what_is_known_of_kept_replies_is_not_shared_by_threads(server, model, monkeypatch, votes):
    by, answer = defaultdict(set), ReadOnce.answer
    looking = threading.local()

    def recall(run, leg, replay, fresh, _recall=RowRun._recall):
        looking.leg = leg.number
        return _recall(run, leg, replay, fresh)

    def answered(once, *args):
        by[id(once)].add(looking.leg)
        return answer(once, *args)

    monkeypatch.setattr(RowRun, "_recall", recall)
    monkeypatch.setattr(ReadOnce, "answer", answered)
    last = lp.Model("openai/last", base_url=server.base_url, api_key=server.key)
    asked = lp.Fallback([model, last])
    bad = fails("bad", fault="content_filter")
    server.configure(faults=lambda body, n: None if body["model"] == "last" else bad(body, n))
    df = pd.DataFrame({"text": ["bad", "good"]})

    df.llm.process("Say {text}", into="a", model=asked, votes=votes, **QUIET)

    assert set().union(*by.values()) == {0, 1}
    assert all(len(legs) == 1 for legs in by.values())


def test_rows_are_asked_one_by_one_without_deduplicate_and_each_is_kept(server, model):
    frame = pd.DataFrame({"text": ["the same"] * 20})
    once = {"into": "a", "model": model, "deduplicate": False, **QUIET}

    frame.llm.process("Say {text}", **once)
    assert server.counters.total == 20
    frame.llm.process("Say {text}", **once)
    assert server.counters.total == 20


def test_resume_false_asks_again_and_equal_rows_still_once(server, model):
    frame = pd.DataFrame({"text": ["a", "b"] * 300})
    frame.llm.process("Say {text}", into="a", model=model, **QUIET)
    server.configure(answer="new")

    out = frame.llm.process("Say {text}", into="a", model=model, resume=False, **QUIET)

    assert server.counters.total == 4
    assert set(out["a"]) == {"new"}
    again = frame.llm.process("Say {text}", into="a", model=model, **QUIET)
    assert set(again["a"]) == {"new"}
    assert server.counters.total == 4


def test_the_journal_goes_where_it_is_told_or_nowhere(server, model, tmp_path, home):
    texts(3).llm.process("Say {text}", into="a", model=model, journal=False, **QUIET)
    assert not home.exists()

    texts(3).llm.process("Say {text}", into="a", model=model, journal=tmp_path / "j.db", **QUIET)
    assert not home.exists()
    assert server.counters.total == 6
    with sqlite3.connect(tmp_path / "j.db") as connection:
        assert connection.execute("SELECT count(*) FROM record").fetchone() == (3,)
    connection.close()

    texts(3).llm.process("Say {text}", into="a", model=model, **QUIET)
    assert (home / "journal.sqlite").exists()
    assert server.counters.total == 9


# Failing rows


def test_one_bad_row_in_300_gives_299_answers_and_one_record_and_the_next_call_is_clean(
    server, model
):
    server.configure(faults=fails(" 170"))
    frame = texts(300).set_index(pd.Index([f"row {n}" for n in range(300)]))

    with pytest.warns(
        RowsFailedWarning, match=r"1 of 300 rows have no answer and are NA"
    ) as caught:
        out = frame.llm.process("Say {text}", into="a", model=model, **QUIET)

    assert caught[0].filename == __file__  # at the user's own line
    assert len(caught) == 1
    assert out["a"].notna().sum() == 299
    assert out["a"].isna().to_numpy().nonzero()[0].tolist() == [170]
    (record,) = out.llm.errors().to_dict("records")
    assert record == {
        "position": 170,
        "index": "row 170",
        "into": "a",
        "kind": "bad_request",
        "message": record["message"],
        "hint": record["hint"],
        "reply": record["reply"],
        "attempts": 1,
        "raw": None,
    }
    assert "400" in record["message"]
    assert pd.isna(record["reply"])
    assert server.counters.total == 300

    server.configure(faults=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clean = frame.llm.process("Say {text}", into="a", model=model, **QUIET)
    assert clean["a"].notna().all()
    assert server.counters.total == 301  # the failure alone is tried again


def test_errors_raise_raises_when_the_rest_is_kept(server, model):
    server.configure(faults=fails(" 3"))

    with pytest.raises(RowsFailedError, match=r"1 of 10 rows failed \(1 bad_request\)"):
        texts(10).llm.process("Say {text}", into="a", model=model, errors="raise", **QUIET)

    assert lp.last_job().frame()["a"].notna().sum() == 9
    assert lp.last_job().errors()["position"].tolist() == [3]
    server.configure(faults=None)
    texts(10).llm.process("Say {text}", into="a", model=model, errors="raise", **QUIET)
    assert server.counters.total == 11


def test_a_wrong_shape_is_asked_again_with_the_reason_at_most_twice(server, model):
    server.configure(answer="no number")

    with pytest.warns(RowsFailedWarning, match="1 wrong_shape"):
        out = texts(1).llm.process(
            "Count {text}", into="n", schema=int, model=model, details=True, **QUIET
        )

    assert server.counters.total == 3
    assert [len(r.body["messages"]) for r in server.requests] == [1, 3, 5]
    assert server.requests[1].body["messages"][1]["content"] == "no number"
    assert out["n_attempts"].tolist() == [3]
    assert out["n_tokens"].iloc[0] == lp.last_job().stats.tokens
    assert out.llm.errors()["attempts"].tolist() == [3]


def test_a_shape_that_is_right_at_the_second_time_is_an_answer_and_kept(server, model):
    server.configure(
        answer=lambda body: '{"answer": 7}' if len(body["messages"]) > 1 else "seven, I think"
    )
    args = {"into": "n", "schema": int, "model": model, **QUIET}

    out = texts(3).llm.process("Count {text}", **args)
    assert out["n"].tolist() == [7, 7, 7]
    assert server.counters.total == 6

    again = texts(3).llm.process("Count {text}", **args)
    assert again["n"].tolist() == [7, 7, 7]
    assert server.counters.total == 6


@pytest.mark.parametrize(
    "fault", ["500", "503", "408", "409", "reset", "close", "half", "502_html"]
)
def test_what_passes_is_tried_again_and_no_row_is_lost(server, model, fault):
    server.configure(faults={fault: 0.3})

    out = texts(60).llm.process("Say {text}", into="a", model=model, retry=IMPATIENT, **QUIET)

    assert out["a"].tolist() == [f"echo: Say text {n}" for n in range(60)]
    stats = out.llm.report().stats
    assert stats.sent == server.counters.total > 60
    assert stats.retried == stats.sent - 60
    assert server.duplicates() == 0


def test_a_429_makes_everybody_wait_as_long_as_the_server_says(server, model):
    server.configure(faults=[None] * 5 + [Fault("429", retry_after_s=0.6)])
    limits = {"concurrency": 1}

    out = texts(12).llm.process("Say {text}", into="a", model=model, limits=limits, **QUIET)

    assert out["a"].notna().all()
    assert out.llm.report().stats.throttled == 1
    arrived = [r.arrived_s for r in server.requests]
    assert arrived[6] - arrived[5] >= 0.6


@pytest.mark.parametrize(
    ("status", "word"), [("401", "key"), ("403", ""), ("404", "asked for 'test-model'")]
)
def test_a_refused_key_or_model_stops_the_run_at_once(server, model, status, word):
    server.configure(faults={status: 1.0})

    with pytest.raises(AccessError, match=status) as caught:
        texts(5000).llm.process("Say {text}", into="a", model=model, **QUIET)

    assert word in str(caught.value)
    assert server.counters.total <= 32  # what was in flight
    assert server.key not in str(caught.value)
    job = lp.last_job()
    assert job.stats.state == "failed"
    assert job.frame()["a"].isna().all()

    server.configure(faults=None)
    out = texts(40).llm.process("Say {text}", into="a", model=model, **QUIET)
    assert out["a"].notna().all()


AFFORD = "requires fewer max_tokens: you can only afford 41000."


@pytest.mark.parametrize(
    ("status", "said", "row"),
    [
        (401, {"error": {"message": "Upstream provider: invalid credentials", "code": 401}}, 7),
        (402, {"error": {"message": AFFORD, "code": 402}}, 7),
        (402, {"error": {"message": AFFORD, "code": 402}}, 0),
        (200, {"error": {"message": "Upstream provider: invalid credentials", "code": 401}}, 0),
    ],
)
@pytest.mark.parametrize("concurrency", [1, 4])
def test_one_row_that_is_refused_as_a_key_would_be_ends_no_run_and_no_other_after_it(  # noqa: PLR0917
    server, model, status, said, row, concurrency
):
    fault = Fault("other", status=status, body=json.dumps(said))
    refused = f"Say text {row}"
    server.configure(
        faults=lambda body, _: fault if body["messages"][-1]["content"] == refused else None
    )
    limits = {"concurrency": concurrency}
    for rows in (20, 20, 40):
        with pytest.warns(RowsFailedWarning):
            out = texts(rows).llm.process(
                "Say {text}", into="a", model=model, limits=limits, **QUIET
            )
        assert out.index[out["a"].isna()].tolist() == [row]


def test_some_rows_that_are_refused_so_keep_no_others_from_being_had(server, model):
    fault = Fault("other", status=402, body=json.dumps({"error": {"message": AFFORD, "code": 402}}))
    server.configure(faults=fails(*(f" {n}" for n in range(3)), fault=fault))
    limits = {"concurrency": 1}
    for _ in range(3):
        with pytest.warns(RowsFailedWarning):
            out = texts(9).llm.process("Say {text}", into="a", model=model, limits=limits, **QUIET)
        assert out.index[out["a"].isna()].tolist() == [0, 1, 2]


def test_a_server_that_is_down_stops_the_run_and_what_was_answered_stays(server, model):
    server.configure(faults=[None] * 40 + ["500"] * 3000)
    retry = lp.Retry(base_s=0.001, cap_s=0.01, budget=12)

    with pytest.raises(ServiceDownError, match="run the same cell again"):
        texts(500).llm.process("Say {text}", into="a", model=model, retry=retry, **QUIET)

    assert lp.last_job().frame()["a"].notna().sum() == 40
    assert server.counters.total < 150
    server.configure(faults=None)
    out = texts(500).llm.process("Say {text}", into="a", model=model, **QUIET)
    assert out["a"].notna().all()
    assert server.counters.by_status[200] == 500


@pytest.mark.parametrize("votes", [1, 5])
def test_rows_that_fail_at_each_run_leave_the_others_their_frame(server, model, votes):
    retry = lp.Retry(base_s=0.001, cap_s=0.01, budget=8)
    server.configure(faults=lambda body, number: "500" if "bad" in said(body) else None)
    frame = pd.DataFrame({"text": [*(f"good {row}" for row in range(30)), "bad 1", "bad 2"]})
    asked = {"into": "a", "model": model, "retry": retry, "votes": votes, **QUIET}
    for _ in range(3):
        with pytest.warns(RowsFailedWarning, match="2 of 32"):
            out = frame.llm.process("Say {text}", **asked)
        assert out["a"].notna().sum() == 30
        assert out.llm.errors()["kind"].tolist() == ["server_error"] * 2


def test_thousands_of_rows_with_mixed_faults_all_come_back_in_order(server, monkeypatch):
    asked = defaultdict(list)  # what the client made of each attempt
    send = ModelCall.send

    async def noted(call):
        reply = await send(call)
        asked[said(json.loads(call.body))].append(reply.error and reply.error.kind)
        return reply

    monkeypatch.setattr(ModelCall, "send", noted)
    server.configure(
        latency_s=(0.0, 0.004),
        retry="retry-after-ms",
        faults={
            Fault("429", retry_after_s=0.02): 0.01,
            "429_no_header": 0.001,
            "500": 0.02,
            "reset": 0.01,
            "half": 0.008,
            "hang": 0.001,
        },
    )
    patient = model_at(server, timeout=0.5)
    lp.configure(limits=None)

    out = texts(3708).llm.process(
        "Say {text}", into="a", model=patient, retry=IMPATIENT, save="parts/", **QUIET
    )

    assert out["a"].tolist() == [f"echo: Say text {n}" for n in range(3708)]
    # What was read is never asked again; what came late, when the client had given up, may be.
    assert all(kinds.pop() is None and None not in kinds for kinds in asked.values())
    good = Counter(said(r.body) for r in server.requests if (r.status, r.fault) == (200, None))
    twice = {text for text, count in good.items() if count > 1}
    assert all(Kind.TIMEOUT in asked[text] for text in twice)
    pd.testing.assert_frame_equal(lp.read_parquet("parts/"), out)
    sent = server.counters.total
    texts(3708).llm.process("Say {text}", into="a", model=patient, save="parts/", **QUIET)
    assert server.counters.total == sent


# Names


def test_a_clash_of_names_is_refused_before_anything_is_sent_unless_told(server, model):
    frame = pd.DataFrame({"a": ["x", "y"], "n": [1, 2]})

    with pytest.raises(ColumnError, match=r"'a' already.*overwrite=True"):
        frame.llm.process("Say {n}", into="a", model=model, **QUIET)
    assert server.counters.total == 0

    out = frame.llm.process("Say {n}", into="a", model=model, overwrite=True, **QUIET)
    assert list(out.columns) == ["a", "n"]
    assert out["a"].tolist() == ["echo: Say 1", "echo: Say 2"]
    assert frame["a"].tolist() == ["x", "y"]


def test_details_tell_of_every_row(server, model):
    server.configure(faults=fails(" 1"))
    frame = pd.concat([texts(3), pd.DataFrame({"text": [None]})], ignore_index=True)
    texts(1).llm.process("Say {text}", into="a", model=model, **QUIET)

    with pytest.warns(RowsFailedWarning):
        out = frame.llm.process("Say {text}", into="a", model=model, details=True, **QUIET)

    assert out["a_status"].tolist() == ["cached", "failed", "answered", "skipped"]
    assert out["a_error"].isna().tolist() == [True, False, True, True]
    assert out["a_error"][1].startswith("bad_request: HTTP 400")
    assert out["a_attempts"].tolist() == [1, 1, 1, 0]
    assert (out["a_tokens"] > 0).tolist() == [True, False, True, False]
    assert (out["a_seconds"] > 0).tolist() == [True, True, True, False]
    assert [str(out[f"a_{name}"].dtype) for name in ("status", "attempts", "seconds")] == [
        "string",
        "Int64",
        "Float64",
    ]


# Budgets


@pytest.mark.parametrize("bound", [0, 1, 57])
def test_a_budget_of_requests_is_exact(server, model, bound):
    server.configure(faults={"500": 0.2}, latency_s=0.002)

    with pytest.warns(BudgetWarning, match=f"{bound} requests"):
        out = texts(200).llm.process(
            "Say {text}",
            into="a",
            model=model,
            budget=lp.Budget(requests=bound),
            retry=IMPATIENT,
            **QUIET,
        )

    assert server.counters.total == bound
    assert out["a"].notna().sum() == server.counters.by_status.get(200, 0)


def test_a_budget_of_requests_is_exact_when_shapes_are_asked_again(server, model):
    server.configure(answer="no number", latency_s=(0.0, 0.01))

    with pytest.warns(LionprocWarning):
        texts(200).llm.process(
            "Count {text}",
            into="n",
            schema=int,
            model=model,
            budget=lp.Budget(requests=100),
            retry=lp.Retry(first_failures=None),
            limits={"requests_per_minute": 60_000, "burst_seconds": 0.001},
            **QUIET,
        )

    assert server.counters.total == 100


def test_a_budget_of_tokens_is_passed_by_no_more_than_what_is_in_flight(server, model, monkeypatch):
    # A slow disk: what has come back and is not yet written must not be counted twice.
    monkeypatch.setattr(journal_writer, "GATHER_S", 0.2)
    server.configure(latency_s=0.002, answer="four tokens fit in")

    with pytest.warns(BudgetWarning, match="500 tokens"):
        texts(400).llm.process(
            "Say {text}", into="a", model=model, budget=lp.Budget(tokens=500), **QUIET
        )

    used = server.counters.prompt_tokens + server.counters.completion_tokens
    assert 485 <= used <= 500 + 32 * 8


@pytest.mark.parametrize("bound", [{"tokens": 1000}, {"usd": 0.0006}])
def test_a_budget_holds_before_the_first_reply_has_come(server, bound):
    server.configure(latency_s=0.1, answer="four tokens fit in " * 42)
    priced = lp.Model("openai", "gpt-4o-mini", base_url=server.base_url, api_key=server.key)

    with pytest.warns(BudgetWarning, match=r"1,000 tokens|\$0\.0006"):
        out = texts(200).llm.process(
            "Say {text}", into="a", model=priced, budget=lp.Budget(**bound), **QUIET
        )

    counters = server.counters
    assert counters.peak_in_flight < 32 == lp.last_job().limits.concurrency
    assert counters.prompt_tokens + counters.completion_tokens < 1300  # 200 tokens a row
    assert out["a"].notna().sum() == counters.total > 3


def test_a_run_that_waits_for_its_budget_says_so_and_can_be_stopped(server, model):
    server.configure(faults={"hang": 1.0})
    job = texts(50).llm.start(
        "Say {text}", into="a", model=model, budget=lp.Budget(tokens=600), **QUIET
    )

    server.wait_for(lambda counters: counters.total == 2)
    while "budget" not in job.stats.note:
        job.wait(0.005)
    job.stop(0.01)
    assert job.wait(30)
    assert (job.stats.state, job.stats.sent) == ("stopped", 2)


def test_answers_shorter_than_expected_do_not_end_a_run_before_its_budget(server, model):
    server.configure(latency_s=0.01, answer="short")

    out = texts(200).llm.process(
        "Say {text}", into="a", model=model, budget=lp.Budget(tokens=1400), **QUIET
    )

    assert out["a"].notna().all()  # 6 tokens a row, where 258 were to be expected
    assert server.counters.peak_in_flight > 10


@pytest.mark.parametrize("bound", [{"tokens": 700}, {"usd": 0.07}])
def test_a_budget_holds_where_the_first_replies_show_that_far_less_is_taken(server, bound):
    server.configure(latency_s=0.1, answer="ten tokens, all of them, " * 2, count_tokens=ten)
    price = lp.Price(input=100, output=100)
    priced = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key, price=price)
    bounds = {"budget": lp.Budget(**bound), "limits": lp.Limits(concurrency=200)}

    with pytest.warns(BudgetWarning, match=r"700 tokens|\$0\.07"):
        texts(500).llm.process("Say {text}", into="a", model=priced, **bounds, **QUIET)

    assert server.counters.total == 35  # of 20 tokens, where 260 were to be expected


@pytest.mark.parametrize("bound", [{"tokens": 10_000}, {"usd": 1.0}])
def test_a_budget_holds_where_answers_are_far_longer_than_was_guessed(server, bound):
    server.configure(latency_s=0.1, answer="word " * 1600)
    price = lp.Price(input=100, output=100)
    priced = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key, price=price)

    with pytest.warns(BudgetWarning, match=r"10,000 tokens|\$1\.00"):
        texts(200).llm.process(
            "Say {text}", into="a", model=priced, budget=lp.Budget(**bound), **QUIET
        )

    assert server.counters.total < 9  # of 2,000 tokens, where 258 were to be expected


def ten(text):
    """The tokens of any text."""
    return 10


BROTLI = Fault("headers", headers=(("content-encoding", "br"),))
ACCEPTED = Fault("other", status=202, body='{"choices":[')


@pytest.mark.parametrize(("fault", "limit"), [("hang", 10), ("close", 10), ("half", 10)])
def test_what_may_have_been_billed_without_an_answer_counts_in_a_budget(server, fault, limit):
    server.configure(faults={fault: 1.0})
    slow = model_at(server, timeout=0.05)

    with pytest.warns(BudgetWarning, match="1,500 tokens"):
        texts(200).llm.process(
            "Say {text}", into="a", model=slow, budget=lp.Budget(tokens=1500), retry=IMPATIENT,
            **QUIET,
        )  # fmt: skip

    assert 5 <= lp.last_job().stats.sent < limit  # 258 tokens each


@pytest.mark.parametrize("own_client", [False, True])
@pytest.mark.parametrize("fault", [Fault("huge", size_bytes=17 * 2**20), BROTLI, ACCEPTED])
def test_a_success_that_cannot_be_read_counts_in_a_budget(server, fault, own_client):
    server.configure(faults={fault: 1.0})
    model = model_at(server)
    if own_client:
        http = httpx2.AsyncClient()
        its = openai.AsyncOpenAI(base_url=server.base_url, api_key=server.key, http_client=http)
        model = lp.Model("openai", "test-model", client=its)

    with pytest.warns(BudgetWarning, match="600 tokens"):
        texts(200).llm.process(
            "Say {text}", into="a", model=model, budget=lp.Budget(tokens=600), retry=IMPATIENT,
            **QUIET,
        )  # fmt: skip

    assert lp.last_job().stats.sent <= 4  # 258 tokens each


def test_what_was_given_up_in_flight_counts_when_the_run_goes_on(server, model):
    server.hold()
    job = texts(20).llm.start(
        "Say {text}", into="a", model=model, budget=lp.Budget(tokens=600), **QUIET
    )
    server.wait_for(lambda seen: seen.in_flight == 2)  # 258 tokens each
    job.stop(grace_s=0)
    job.wait(30)
    again = job.retry_failed()
    server.wait_for(lambda seen: seen.total == 3)
    again.stop(grace_s=0)
    again.wait(30)
    with pytest.raises(ConfigurationError, match="600 tokens is used up"):
        job.retry_failed()
    server.release()


UNCOUNTED = {
    "absent": False,
    "null": None,
    "empty": {},
    "zeros": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    "half": {"prompt_tokens": 4},
}
COUNTED = {
    "floats": {"prompt_tokens": 10.0, "completion_tokens": 5.0},
    "total": {"total_tokens": 15},
    "thoughts_in_the_total": {
        "prompt_tokens": 4,
        "completion_tokens": 2,
        "total_tokens": 15,
    },
}


@pytest.mark.parametrize("usage", [*UNCOUNTED, *COUNTED])
def test_a_budget_holds_however_odd_the_usage_is(server, model, usage):
    server.configure(answer="four tokens fit in", usage=(UNCOUNTED | COUNTED)[usage])

    with pytest.warns(BudgetWarning, match="150 tokens") as caught:
        texts(200).llm.process(
            "Say {text}",
            into="a",
            model=model,
            budget=lp.Budget(tokens=150),
            limits={"concurrency": 1, "adapt": False},
            **QUIET,
        )

    stats = lp.last_job().stats
    assert server.counters.total == stats.sent < 30
    assert 150 <= stats.tokens < 200
    assert stats.guessed == (0 if usage in COUNTED and usage != "total" else stats.sent)
    assert ("did not count" in str(caught[0].message)) is bool(stats.guessed)


def test_a_budget_in_dollars_needs_a_known_price(server, model):
    with pytest.raises(ConfigurationError, match=r"price of .* is not known.*tokens="):
        texts(3).llm.process("Say {text}", into="a", model=model, budget=lp.Budget(usd=1), **QUIET)
    assert server.counters.total == 0

    priced = lp.Model("openai", "gpt-4o-mini", base_url=server.base_url, api_key=server.key)
    with pytest.warns(BudgetWarning, match=r"budget of \$0\.00\d*[1-9]"):
        out = texts(3000).llm.process(
            "Say {text}", into="a", model=priced, budget=lp.Budget(usd=0.0001), **QUIET
        )
    assert 0 < out["a"].notna().sum() < 1000
    assert 0.00009 < out.llm.report().stats.usd < 0.0002


def test_after_a_budget_a_second_run_goes_on_from_there(server, model):
    with pytest.warns(BudgetWarning):
        texts(90).llm.process(
            "Say {text}", into="a", model=model, budget=lp.Budget(requests=40), **QUIET
        )
    out = texts(90).llm.process(
        "Say {text}", into="a", model=model, budget=lp.Budget(requests=50), **QUIET
    )
    assert out["a"].notna().all()
    assert server.counters.total == 90


# Limits


def test_the_limits_of_a_run_are_live_and_shared_by_runs_of_the_same_model(server, model):
    lp.configure(limits=None)
    limits = lp.Limits(requests_per_minute=6000, concurrency=3)
    server.configure(latency_s=0.01)

    job = texts(60).llm.start("Say {text}", into="a", model=model, limits=limits, **QUIET)
    assert job.limits is limits
    job.result(20)
    assert server.counters.peak_in_flight <= 3

    other = texts(5).llm.start("Tell {text}", into="a", model=model_at(server), **QUIET)
    assert other.limits is limits
    other.result(20)


def test_a_limit_of_requests_is_kept_from_the_first_second_on(server, model):
    limits = lp.Limits(requests_per_minute=1200)  # 20 a second

    texts(45).llm.process("Say {text}", into="a", model=model, limits=limits, **QUIET)

    assert server.worst_window(0.9) <= 40  # a burst of one second, and what a second refills
    arrived = [r.arrived_s for r in server.requests]
    assert arrived[-1] - arrived[0] >= 1.0


# Saving


def test_a_frame_that_came_back_is_handed_on_with_the_facts_of_its_run(server, model):
    out = texts(3).llm.process("Say {text}", into="a", schema=list[str], model=model, **QUIET)
    texts(1).llm.preview("Look {text}", model=model)
    assert lp.last_job().stats.rows == 3  # a look at one row hides no run
    out.head(2).llm.to_parquet("deep/two.parquet")
    assert lp.read_facts("deep/two.parquet") == out.llm.facts()
    pd.testing.assert_frame_equal(lp.read_parquet("deep/two.parquet"), out.head(2))
    for path, says in (("out.csv", "ends in"), ("parts/", "is a folder")):
        with pytest.raises(ConfigurationError, match=says):
            out.llm.to_parquet(path)
    with pytest.raises(ConfigurationError, match="not returned by"):
        texts(1).llm.to_parquet("raw.parquet")


def test_a_file_has_the_answers_and_the_facts_and_no_key(server, model):
    texts(5).llm.process(
        "Say {text}", into="a", system="Short.", model=model, save="deep/out.parquet", **QUIET
    )

    facts = lp.read_facts("deep/out.parquet")
    assert facts["model"] == "test-model"
    assert facts["prompt"] == "Say {text}"
    assert facts["system"] == "Short."
    assert facts["rows"] == facts["answered"] == facts["requests"] == 5
    assert server.key not in str(facts)


def test_parts_are_written_as_soon_as_their_chunk_is_whole(server, model, tmp_path):
    folder = tmp_path / "parts"
    held = threading.Event()

    def slow(body):
        if said(body).endswith(" 77"):
            held.wait(10)
        return "ok"

    server.configure(latency_s=lambda body: 5.0 if said(body).endswith(" 77") else 0.0)
    job = texts(100).llm.start(
        "Say {text}", into="a", model=model, chunk_size=25, save=f"{folder}/", **QUIET
    )
    try:
        done = wait_until(lambda: len(list(folder.glob("part-*.parquet"))) == 3)
        assert done
        assert not job.done
        names = sorted(part.name[:10] for part in folder.glob("part-*.parquet"))
        assert names == ["part-00000", "part-00001", "part-00002"]
    finally:
        job.stop(0)
        job.wait(5)
    part = pd.read_parquet(next(folder.glob("part-00001-*")))
    assert part["text"].tolist() == [f"text {n}" for n in range(25, 50)]
    server.configure(latency_s=0.0)
    out = texts(100).llm.process(
        "Say {text}", into="a", model=model, chunk_size=25, save=f"{folder}/", **QUIET
    )
    pd.testing.assert_frame_equal(lp.read_parquet(folder), out)


def wait_until(condition, timeout_s=30.0):
    tick = threading.Event()
    for _ in range(int(timeout_s / 0.01)):
        if condition():
            return True
        tick.wait(0.01)
    return False


# Where it runs


async def test_it_is_awaited_in_a_running_loop_and_works_synchronously_there_too(server, model):
    beats = 0

    async def heart():
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    server.configure(latency_s=0.2)
    beating = asyncio.create_task(heart())
    awaited = await texts(10).llm.aprocess("Say {text}", into="a", model=model, **QUIET)
    assert beats >= 5  # the loop stays free
    blocked = texts(10).llm.process("Say {text}", into="a", model=model, **QUIET)
    beating.cancel()

    pd.testing.assert_frame_equal(awaited, blocked)


async def test_cancelling_the_await_stops_the_run(server, model):
    server.hold()
    task = asyncio.create_task(
        texts(500).llm.aprocess("Say {text}", into="a", model=model, **QUIET)
    )
    await asyncio.to_thread(server.wait_for, lambda c: c.in_flight == 32)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.release()
    job = lp.last_job()
    assert await asyncio.to_thread(job.wait, 5)
    assert server.counters.total == 32
    assert job.stats.state == "stopped"


def test_runs_in_several_threads_at_once_keep_to_their_own_rows(server, model):
    server.configure(latency_s=(0.0, 0.01))
    outs = {}

    def work(name):
        outs[name] = texts(80, 80 * name).llm.process(
            "Say {text}", into="a", model=model, limits={"concurrency": 8, "adapt": False}, **QUIET
        )

    workers = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)

    for name, out in outs.items():
        expected = [f"echo: Say text {n}" for n in range(80 * name, 80 * name + 80)]
        assert out["a"].tolist() == expected
        assert out.llm.report().stats.sent == 80
    assert len(outs) == 4
    assert server.counters.peak_in_flight <= 8  # one limiter for all


def test_a_model_can_send_through_an_executor_and_share_its_limits(server):
    executor = lp.RateLimitedAPIExecutor(limit_requests=60_000, concurrency_limit=2)
    executor.limits.adapt = False
    model = model_at(server, executor=executor)
    server.configure(latency_s=0.05, faults={"500": 0.2})

    out = texts(40).llm.process("Say {text}", into="a", model=model, retry=IMPATIENT, **QUIET)

    assert out["a"].notna().all()
    assert server.counters.peak_in_flight == 2
    assert lp.last_job().limits is executor.limits
    assert executor.limits.concurrency == 2


# A series


def test_a_series_comes_back_as_a_series(server, model):
    series = pd.Series(["a", None, "c"], index=[5, 5, 6], name="review")

    out = series.llm.process("Five words: {value}", model=model, **QUIET)

    assert isinstance(out, pd.Series)
    assert out.name == "review"
    assert out.index.tolist() == [5, 5, 6]
    assert out.isna().tolist() == [False, True, False]
    assert out.iloc[0] == "echo: Five words: a"
    assert series.llm.process("Five words: {value}", into="s", model=model, **QUIET).name == "s"
    assert server.counters.total == 2
    assert out.llm.report().stats.answered == 2


def test_a_series_of_models_comes_back_as_a_frame_and_a_function_gets_the_cell(server, model):
    series = pd.Series(["a", "b"], name="review")

    out = series.llm.process(lambda cell: f"Rate {cell}", schema=Review, model=model, **QUIET)

    assert list(out.columns) == ["positive", "stars", "words", "author"]
    assert [said(r.body) for r in server.requests] == ["Rate a", "Rate b"]


async def test_a_series_can_be_awaited(model):
    out = await pd.Series(["a"]).llm.aprocess("Say {value}", model=model, **QUIET)
    assert out.tolist() == ["echo: Say a"]


def test_a_series_can_be_started_and_the_frame_of_the_job_has_the_column(server, model):
    series = pd.Series(["a", None, "c"], index=[5, 5, 6], name="review")

    job = series.llm.start("Say {value}", into="said", model=model, **QUIET)
    out = job.result(20)

    assert isinstance(job, lp.Job)
    assert list(out.columns) == ["value", "said"]
    assert out.index.tolist() == [5, 5, 6]
    assert out["said"].tolist() == ["echo: Say a", pd.NA, "echo: Say c"]
    assert series.llm.process("Say {value}", model=model, **QUIET).tolist() == out["said"].tolist()
    assert server.counters.total == 2


# Around it


def test_the_session_has_defaults_and_an_argument_goes_before_them(server, model):
    with pytest.raises(ModelError, match=r"model=.*lp\.configure.*LIONPROC_MODEL"):
        texts(1).llm.process("Say {text}", into="a", **QUIET)

    lp.configure(model=model, chunk_size=10, progress=False)
    texts(3).llm.process("Say {text}", into="a")
    assert server.counters.total == 3
    with Server() as other:
        texts(3).llm.process("Say {text}", into="a", model=model_at(other))
        assert other.counters.total == 3
    lp.configure(progress=None)


def test_the_bar_counts_rows_and_is_silent_when_told(model):
    loud, quiet = io.StringIO(), io.StringIO()
    with redirect_stderr(loud):
        texts(30).llm.process("Say {text}", into="a", model=model, progress=True)
    with redirect_stderr(quiet):
        texts(30).llm.process("Say {text}", into="a", model=model, progress=False)
    assert "30/30" in loud.getvalue()
    assert "tokens" in loud.getvalue()
    assert quiet.getvalue() == ""


def test_a_frame_that_no_run_made_says_where_to_look(model):
    out = texts(2).llm.process("Say {text}", into="a", model=model, **QUIET)
    assert out.llm.errors().empty
    with pytest.raises(ConfigurationError, match=r"lp\.last_job\(\)"):
        texts(2).llm.errors()


def test_an_argument_that_does_not_exist_is_named_with_the_near_one(server, model):
    with pytest.raises(TypeError):
        texts(1).llm.process("Say {text}", into="a", model=model, chunksize=3)
    with pytest.raises(TypeError, match=r"'chunksize'.*'chunk_size'"):
        texts(1).llm.start("Say {text}", into="a", model=model, chunksize=3)
    assert server.counters.total == 0


def test_a_fault_of_our_own_ends_the_run_with_a_word_instead_of_hanging_it(model, monkeypatch):
    def boom(job, event):
        raise ZeroDivisionError("for a test")

    monkeypatch.setattr(Job, "_took", boom)
    job = texts(50).llm.start("Say {text}", into="y", model=model, progress=False)
    with pytest.raises(RunError, match="fault inside lionproc: ZeroDivisionError"):
        job.result(20)


def test_who_only_waits_for_a_frame_is_told_that_somebody_stopped_the_run(server, model):
    def stop(counters):
        if counters.total >= 5:
            lp.last_job().stop()
        return counters.total >= 5

    server.configure(latency_s=0.05)
    watcher = threading.Thread(target=server.wait_for, args=(stop,))
    watcher.start()
    with pytest.warns(
        StoppedWarning, match=r"stopped, so \d+ of 400 rows .* asks only for the rest"
    ):
        out = texts(400).llm.process("Say {text}", into="y", model=model, limits={"concurrency": 4})
    watcher.join()
    assert 5 <= out["y"].notna().sum() < 400


def test_long_replies_are_a_block_of_their_own_long_before_there_are_thousands(
    server, model, monkeypatch
):
    sizes = []
    made = answer_columns.arrow_columns
    monkeypatch.setattr(answer_columns, "BLOCK_LENGTH", 25)
    monkeypatch.setattr(
        answer_columns, "arrow_columns", lambda *a: sizes.append(len(a[1])) or made(*a)
    )
    server.configure(  # 18 characters
        answer=lambda body: '{"answer": ["%s"]}' % (body["messages"][-1]["content"][-1] * 2)
    )
    frame = pd.DataFrame({"t": list("abcdefg")})
    for votes in (1, 3):
        out = frame.llm.process(
            "{t}", into="x", schema=list[str], model=model, votes=votes, journal=False, **QUIET
        )
        assert [list(cell) for cell in out["x"]] == [[letter * 2] for letter in frame["t"]]
    assert max(sizes) == 2


class CountsItsCopies:
    copies = 0

    def __deepcopy__(self, _):
        CountsItsCopies.copies += 1
        return self


def test_what_a_frame_has_in_attrs_is_copied_as_often_for_many_rows_as_for_few(model):
    counts = []
    for rows in (5, 300):
        frame = texts(rows)
        frame.attrs["large"] = CountsItsCopies()
        CountsItsCopies.copies = 0
        job = frame.llm.start("{text}", into="x", model=model, journal=False, **QUIET)
        out = job.result()
        counts.append(CountsItsCopies.copies)
        assert out.attrs["large"] is frame.attrs["large"]
        assert job.frame().attrs is not job.frame().attrs
    assert counts[0] == counts[1] < 4
