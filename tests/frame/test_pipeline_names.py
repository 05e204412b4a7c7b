"""What a name in the prompts of `df.llm.pipeline` means, and what is refused because it is not clear."""

import json

import pandas as pd
import pytest
from pydantic import BaseModel, Field, RootModel

import lionproc as lp
from lionproc.errors import ColumnError, PromptError, RowsFailedWarning


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(server):
    model = lp.Model("openai", model="m", base_url=server.base_url, api_key=server.key)

    def run(frame, *stages, **more):
        return frame.llm.pipeline(list(stages), **{"model": model, "progress": False, **more})

    return run


class Guess(BaseModel):
    category: str
    sure: bool


AI = {"name": "ai", "prompt": "Guess {text}", "schema": Guess}


def asked(server):
    return [request.body["messages"][-1]["content"] for request in server.requests]


@pytest.fixture
def guesses(server):
    server.configure(
        answer=lambda body: (
            {"category": "MODEL", "sure": True}
            if "Guess" in body["messages"][-1]["content"]
            else "fine"
        )
    )


def test_a_field_of_an_answer_never_hides_the_frames_own_column(server, run, guesses):
    df = pd.DataFrame({"text": ["t"], "category": ["OWN"]})
    run(df, AI, {"name": "check", "prompt": "Is {category} right, and {ai_category}, {sure}?"})
    assert asked(server)[-1] == "Is OWN right, and MODEL, true?"


def test_the_whole_row_keeps_the_frames_own_column_too(server, run, guesses):
    df = pd.DataFrame({"text": ["t"], "category": ["OWN"]})
    run(df, AI, {"name": "check"})
    data = json.loads(asked(server)[-1].partition("Data:\n")[2])
    assert data == {"text": "t", "category": "OWN", "ai": {"category": "MODEL", "sure": True}}


def test_keys_of_an_answer_without_known_fields_hide_no_column(server, run):
    server.configure(answer=lambda body: {"text": "INJECTED", "mood": "good"})
    df = pd.DataFrame({"text": ["OWN"]})
    run(
        df,
        {"name": "free", "prompt": "F {text}", "schema": {"type": "object"}},
        {"name": "b", "prompt": "B {text} {mood}"},
    )
    assert asked(server)[-1] == "B OWN good"


class Named(BaseModel):
    mood: str = Field(alias="Mood")
    why: str = Field(serialization_alias="reasonGiven")
    score: int = Field(exclude=True)


@pytest.mark.parametrize("schema", [Named, Named | None, RootModel[Named]], ids=str)
def test_a_field_is_shown_whatever_it_is_called_where_the_answer_is_written(server, run, schema):
    said = {"Mood": "good", "why": "it shines", "score": 5}
    server.configure(
        answer=lambda body: (
            "fine" if "Check" in str(body) else {"answer": said} if schema == Named | None else said
        )
    )
    guess = {**AI, "schema": schema}
    check = {"name": "check", "prompt": "Check {mood}, {why}, {ai_score}"}
    made = run(pd.DataFrame({"text": ["t"]}), guess, check, {"name": "c", "prompt": "Check {ai}"})
    assert asked(server)[1:] == [
        "Check good, it shines, 5",
        'Check {"Mood":"good","reasonGiven":"it shines"}',
    ]
    assert made[["ai_mood", "ai_why", "ai_score"]].iloc[0].tolist() == ["good", "it shines", 5]


class Crossed(BaseModel):
    mood: str = Field(alias="why")
    why: str = Field(alias="mood")


def test_a_field_is_not_the_one_that_is_written_under_its_name(server, run):
    said = {"why": "good", "mood": "it shines"}
    server.configure(answer=lambda body: "fine" if "Check" in str(body) else said)
    check = {"name": "check", "prompt": "Check {mood}, {why}"}
    run(pd.DataFrame({"text": ["t"]}), {**AI, "schema": Crossed}, check)
    assert asked(server)[1:] == ["Check good, it shines"]


def test_a_field_of_no_answer_is_missing(server, run):
    server.configure(answer={"answer": None})
    ai = {**AI, "schema": Named | None}
    made = run(pd.DataFrame({"text": ["t"]}), ai, {"name": "check", "prompt": "Check {score}"})
    assert made["check"].isna().all()
    assert len(asked(server)) == 1


def test_a_field_that_two_answers_have_is_named_by_its_column(server, run, guesses):
    again = {**AI, "name": "again"}
    df = pd.DataFrame({"text": ["t"]})
    with pytest.raises(PromptError, match=r"a field of 'ai' and 'again'\. Say \{ai_sure\} or"):
        run(df, AI, again, {"name": "check", "prompt": "{sure}"})
    assert server.counters.total == 0
    run(df, AI, again, {"name": "check", "prompt": "{ai_sure} {again_sure} {ai}"})
    assert asked(server)[-1] == 'true true {"category":"MODEL","sure":true}'


@pytest.mark.parametrize("columns", [["text", "text"], [0, "0"], ["text", "text", "other"]])
@pytest.mark.parametrize("prompt", ["shown", "{data}", None, "function"])
def test_columns_that_cannot_be_told_apart_are_refused_where_a_stage_sees_them(
    server, run, columns, prompt
):
    df = pd.DataFrame([["x"] * len(columns)], columns=columns)
    prompts = {"shown": f"Say {{{columns[0]}}}", "function": str}
    stage = {"name": "a", "prompt": prompts.get(prompt, prompt)}
    with pytest.raises(PromptError, match=f"More than one column is called '{columns[0]}'"):
        run(df, stage if prompt else {"name": "a"})
    assert server.counters.total == 0


def test_columns_that_no_stage_sees_may_be_called_alike(server, run):
    df = pd.DataFrame([["x", "y", "z"]], columns=["n", "n", "text"])
    out = run(df, {"name": "a", "prompt": "Say {text}"})
    assert list(out.columns) == ["n", "n", "text", "a"]
    assert asked(server) == ["Say z"]


def test_a_stage_called_as_a_column_that_later_stages_see_is_refused(server, run):
    df = pd.DataFrame({"text": ["t"], "ai": ["own"]})
    with pytest.raises(ColumnError, match="a column 'ai', and a stage is called so"):
        run(df, AI, {"name": "b", "prompt": "{ai}"})
    with pytest.raises(ColumnError, match="a column '0', and a stage"):
        run(
            pd.DataFrame({0: ["x"]}), {"name": "0", "prompt": "A {0}"}, {"name": "b", "prompt": "B"}
        )
    assert server.counters.total == 0


def test_a_column_that_a_stage_replaces_is_seen_replaced_afterwards(server, run, guesses):
    df = pd.DataFrame({"text": ["t"], "ai_category": ["old"]})
    out = run(df, AI, {"name": "b", "prompt": "B {ai_category}"}, {"name": "c"}, overwrite=True)
    assert asked(server)[1] == "B MODEL"
    assert "old" not in asked(server)[2]
    assert out["ai_category"].tolist() == ["MODEL"]


def test_labels_of_levels_are_named_as_in_a_template(server, run):
    df = pd.DataFrame([["x"]], columns=pd.MultiIndex.from_tuples([("a", "b")]))
    run(df, {"name": "s", "prompt": "Say {a, b}"})
    assert asked(server) == ["Say x"]


def test_a_cell_without_a_text_stops_its_row_alone_and_only_where_it_is_shown(server, run):
    df = pd.DataFrame({"text": ["fine", "odd"], "raw": [b"x", b"\xff"]})
    assert run(df, {"name": "a", "prompt": "A {text}"})["a"].notna().all()
    with pytest.warns(RowsFailedWarning, match="1 of 2 rows"):
        out = run(df, {"name": "a", "prompt": "B {raw}"}, details=True)
    assert out["a"].isna().tolist() == [False, True]
    assert "not UTF-8" in out["pipeline_error"].iloc[1]
    with pytest.warns(RowsFailedWarning, match="1 of 2 rows"):
        run(df, {"name": "a"})
