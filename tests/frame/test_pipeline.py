import json
import re
from typing import Literal

import pandas as pd
import pytest
from pydantic import BaseModel

import lionproc as lp
from lionproc.errors import (
    ColumnError,
    ConfigurationError,
    PromptError,
    RowsFailedError,
    RowsFailedWarning,
    RunError,
)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(server):
    return lp.Model("openai", model="m", base_url=server.base_url, api_key=server.key)


@pytest.fixture
def run(model):
    def run(frame, stages, **more):
        return frame.llm.pipeline(stages, **{"model": model, "progress": False, **more})

    return run


class Facts(BaseModel):
    length: int
    loud: bool


MOOD = Literal["good", "bad"]


def test_the_columns_of_every_stage_join_the_frame_in_order_with_real_dtypes(server, run):
    df = pd.DataFrame({"review": ["fine", "bad", "so-so"]}, index=[7, 7, 8])
    out = run(
        df,
        [
            {"name": "topic", "prompt": "Topic of {review}?"},
            {"name": "mood", "prompt": "Mood of {review} about {topic}?", "schema": MOOD},
            {"name": "facts", "prompt": "Facts of {review}, {mood}", "schema": Facts},
        ],
    )
    assert list(out) == ["review", "topic", "mood", "facts_length", "facts_loud"]
    assert list(out.index) == [7, 7, 8]
    assert out["topic"].tolist() == [f"echo: Topic of {text}?" for text in df["review"]]
    assert isinstance(out["mood"].dtype, pd.CategoricalDtype)
    assert str(out["facts_length"].dtype) == "Int64"
    assert str(out["facts_loud"].dtype) == "boolean"
    assert list(df) == ["review"]
    assert server.counters.total == 9


def test_running_again_costs_nothing(server, run):
    df = pd.DataFrame({"review": ["fine", "bad"]})
    stages = [{"name": "a", "prompt": "A {review}"}, {"name": "b", "prompt": "B {a}"}]
    first = run(df, stages)
    again = run(df, stages)
    pd.testing.assert_frame_equal(first, again)
    assert server.counters.total == 4


def test_a_stage_without_a_template_sees_the_row_and_the_answers_so_far(server, run):
    run(pd.DataFrame({"n": [1]}), [{"name": "a", "prompt": "A"}, {"name": "b", "type": "mixed"}])
    (told,) = [r for r in server.requests if "Data:" in r.raw_body.decode()]
    content = json.loads(told.raw_body)["messages"][-1]["content"]
    assert json.loads(content.partition("Data:\n")[2]) == {"n": 1, "a": "echo: A"}


def test_a_row_with_a_missing_cell_is_skipped_and_a_failed_one_stops_there(server, run):
    def answer(body):
        text = " ".join(message["content"] for message in body["messages"])
        return "" if "bad" in text else "said"

    server.configure(answer=answer)
    df = pd.DataFrame({"review": ["fine", None, "bad"]})
    stages = [{"name": "a", "prompt": "A {review}"}, {"name": "b", "prompt": "B {a}"}]
    with pytest.warns(RowsFailedWarning, match="1 of 3 rows.*1 empty at 'a'"):
        out = run(df, stages, details=True)
    assert out["b"].isna().tolist() == [False, True, True]
    why = out["pipeline_error"].tolist()
    assert pd.isna(why[0])
    assert why[1] == "a: missing: 'review' is missing"
    assert why[2].startswith("a: empty:")
    with pytest.raises(RowsFailedError, match="journaled"):
        run(df, stages, errors="raise")


def test_errors_and_report_are_there_as_after_process_stage_by_stage(server, run):
    def answer(body):
        text = body["messages"][-1]["content"].partition("\n\n")[0]
        return "" if text in {"A bad", "B echo: A poor"} else f"echo: {text}"

    server.configure(answer=answer, faults=lambda body, n: "500" if n == 0 else None)
    df = pd.DataFrame({"review": ["fine", None, "bad", "poor"]}, index=["w", "x", "y", "z"])
    stages = [{"name": "a", "prompt": "A {review}"}, {"name": "b", "prompt": "B {a}"}]
    with pytest.warns(RowsFailedWarning, match=r"llm\.errors"):
        out = run(df, stages)

    errors = out.llm.errors()
    assert " ".join(errors) == "position index stage kind message hint reply attempts raw"
    assert errors["position"].tolist() == [2, 3]
    assert errors["index"].tolist() == ["y", "z"]
    assert errors["stage"].tolist() == ["a", "b"]
    assert errors["kind"].tolist() == ["empty", "empty"]
    assert (errors["attempts"] >= 1).all()
    assert errors["message"].str.len().gt(5).all()

    report = out.llm.report()
    stats, facts = report.stats, report.facts
    assert (stats.rows, stats.answered, stats.skipped, stats.failed) == (4, 1, 1, 2)
    assert (stats.sent, stats.retried) == (server.counters.total, server.counters.total - 5)
    assert dict(stats.errors) == {"empty": 2}
    assert (facts["model"], facts["columns"]) == ("openai/m", ["a", "b"])
    first, second = facts["stages"]
    assert (first["answered"], first["skipped"], first["failed"]) == (2, 1, 1)
    assert (second["stage"], second["answered"], second["failed"]) == ("b", 1, 1)
    assert first["prompt_tokens"] + second["prompt_tokens"] == stats.prompt_tokens > 0
    assert "1 of 4 answered" in repr(report)
    assert "b: 1 answered, 1 failed" in repr(report)
    assert "<table" in report._repr_html_()
    assert server.key not in repr(report) + str(facts)

    server.configure(answer=lambda body: "said", faults=None)
    again = run(df, stages).llm.report()
    assert [stage["cached"] for stage in again.facts["stages"]] == [2, 1]
    assert again.stats.sent == 3


def test_a_run_without_errors_says_so_and_a_copy_knows_it_too(run):
    out = run(pd.DataFrame({"n": [1]}), [{"name": "a", "prompt": "A {n}"}])
    assert repr(out.llm.errors()) == "No errors: 1 of 1 rows answered."
    assert out.copy().llm.report().stats.answered == 1


def test_a_refused_key_stops_the_run_and_what_was_answered_is_kept(server, run):
    server.configure(faults=lambda body, n: "401" if n >= 5 else None)
    df = pd.DataFrame({"n": range(100)})
    with pytest.raises(RunError, match="401"):
        run(df, [{"name": "a", "prompt": "A {n}", "concurrency": 2}])
    assert server.counters.total < 20
    server.configure(faults=None)
    out = run(df, [{"name": "a", "prompt": "A {n}"}])
    assert out["a"].notna().all()
    assert server.duplicates() == 0


def test_a_stages_rate_limit_is_kept(server, run, departures):
    run(pd.DataFrame({"n": range(15)}), [{"name": "a", "prompt": "A {n}", "rate_limit": 600}])
    assert departures.worst_window(0.95) <= 10


@pytest.mark.parametrize(
    ("stages", "error"),
    [
        ([], ConfigurationError),
        ({"name": "a"}, ConfigurationError),
        ([{"name": "a"}, {"name": "a"}], ConfigurationError),
        ([{"name": "review"}], ColumnError),
        ([{"name": "a", "typo": 1}], ConfigurationError),
        ([{"name": "a", "prompt": "A"}, {"name": "b", "prompt": "{reviev}"}], PromptError),
        ([{"name": "a", "prompt": "{b}"}, {"name": "b", "prompt": "B"}], PromptError),
        ([{"name": "a", "schema": Facts}, {"name": "b", "prompt": "{loudness}"}], PromptError),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(server, run, stages, error):
    with pytest.raises(error):
        run(pd.DataFrame({"review": ["fine"]}), stages)
    assert server.counters.total == 0


def test_a_template_shows_columns_answers_and_fields_of_answers(server, run):
    stages = [
        {"name": "facts", "prompt": "F {review}", "schema": Facts},
        {"name": "b", "prompt": "{review} {facts} {length} {data} {options}"},
        {"name": "open", "prompt": "O", "schema": {"type": "object"}},
        {"name": "c", "prompt": "C {b}"},
    ]
    run(pd.DataFrame({"review": ["fine"]}), stages)
    assert server.counters.total == 4


def test_an_empty_frame_gets_its_columns(run):
    out = run(pd.DataFrame({"review": []}), [{"name": "facts", "schema": Facts}])
    assert list(out) == ["review", "facts_length", "facts_loud"]
    assert re.match("Int64", str(out["facts_length"].dtype))
