"""Rows as JSON Lines, and answered rows as conversations that a model is trained on."""

import datetime as dt
import gzip
import json
import pickle
from typing import Any, Literal

import pandas as pd
import pydantic
import pytest

import lionproc as lp
from lionproc.errors import ColumnError, ConfigurationError, RowsFailedWarning, SaveError
from lionproc.frame.export import write_parquet
from lionproc.frame.json_lines import to_jsonl

QUIET = {"progress": False}


class Review(pydantic.BaseModel):
    mood: Literal["good", "bad"]
    tags: list[str]
    at: dt.datetime | None
    scores: dict[str, float]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def frame(count=3):
    return pd.DataFrame({"text": [f"text {n}" for n in range(count)]})


# ---- rows


def test_rows_come_back_with_lists_and_objects_and_texts_that_look_like_numbers(tmp_path, model):
    made = frame().assign(zip=["007", "NA", None], day=pd.to_datetime(["2026-01-02"] * 3, utc=True))
    made = made.set_index(pd.Index([7, 7, 8], name="id"))
    out = made.llm.process("Say {text}", into="r", schema=Review, model=model, **QUIET)

    path = out.llm.to_jsonl(tmp_path / "rows.jsonl")

    read = pd.read_json(path, lines=True, dtype=False)
    assert read["zip"].tolist()[:2] == ["007", "NA"]
    assert read["zip"].isna().tolist() == [False, False, True]
    assert read["id"].tolist() == [7, 7, 8]
    assert read["r_tags"].tolist() == [list(tags) for tags in out["r_tags"]]
    assert lines(path)[0]["day"] == "2026-01-02T00:00:00+00:00"
    assert lines(path)[0]["r_scores"] == dict(out["r_scores"].iloc[0])
    assert list(lines(path)[0]) == ["id", *out.columns]


def test_missing_cells_are_null_and_numbers_stay_what_they_are(tmp_path):
    made = pd.DataFrame(
        {
            "n": pd.array([2**62, None], dtype="Int64"),
            "x": [0.1, float("nan")],
            "c": pd.Categorical([None, "b"]),
            "t": pd.to_datetime([None, "2026-01-01"]),
            "o": [{"a": [1]}, None],
        }
    )
    assert lines(made.llm.to_jsonl(tmp_path / "a.jsonl")) == [
        {"n": 2**62, "x": 0.1, "c": None, "t": None, "o": {"a": [1]}},
        {"n": None, "x": None, "c": "b", "t": "2026-01-01T00:00:00", "o": None},
    ]


def test_a_packed_file_is_packed_and_other_endings_of_packed_files_are_refused(tmp_path):
    path = frame().llm.to_jsonl(tmp_path / "a.jsonl.gz")
    assert json.loads(gzip.decompress(path.read_bytes()).splitlines()[2]) == {"text": "text 2"}
    with pytest.raises(ConfigurationError, match=r"\.jsonl\.gz"):
        frame().llm.to_jsonl(tmp_path / "a.jsonl.zst")
    with pytest.raises(ConfigurationError, match="'records' or 'openai'"):
        frame().llm.to_jsonl(tmp_path / "a.jsonl", format="alpaca")


def test_what_cannot_be_written_leaves_the_old_file_and_names_the_column(tmp_path):
    path = frame().llm.to_jsonl(tmp_path / "a.jsonl")
    before = path.read_bytes()
    odd = pd.DataFrame({"fine": range(2000), "odd": [*[1] * 1999, object()]})
    with pytest.raises(ColumnError, match="'odd'"):
        odd.llm.to_jsonl(path)
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(ColumnError, match="called 'a'"):
        twice.llm.to_jsonl(path)
    with pytest.raises(SaveError):
        frame().llm.to_jsonl(tmp_path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir() if each.name != "home"] == ["a.jsonl"]


# ---- conversations


def elsewhere(out):
    return pickle.loads(pickle.dumps(out))  # noqa: S301 - our own


def saved(out):
    lp.last_job().save("saved.parquet")
    return lp.read_parquet("saved.parquet")


def test_a_conversation_is_what_was_asked_and_the_answer_as_the_model_is_asked_for_it(
    server, model, tmp_path
):
    server.configure(answer={"mood": "good", "tags": ["x"], "at": "2026-01-02T03:04:05Z", "scores": {"a": 1}})  # fmt: skip
    out = frame().llm.process(
        "Say {text}", into="r", schema=Review, system="Be brief.", model=model, **QUIET
    )

    made = lines(out.llm.to_jsonl(tmp_path / "train.jsonl", format="openai"))

    sent = server.requests[0].body
    asked = sent["messages"]
    assert [turn["role"] for turn in made[0]["messages"]] == ["system", "user", "assistant"]
    assert asked in [turns["messages"][:-1] for turns in made]
    said = json.loads(made[0]["messages"][-1]["content"])
    assert said == {"mood": "good", "tags": ["x"], "at": "2026-01-02T03:04:05Z", "scores": {"a": 1}}
    assert list(said) == list(sent["response_format"]["json_schema"]["schema"]["properties"])


def test_rows_without_an_answer_are_left_out_and_counted(server, model, tmp_path):
    server.configure(faults=lambda body, n: "400" if "text 1" in str(body) else None)
    made = frame(4)
    made.loc[3, "text"] = None
    with pytest.warns(RowsFailedWarning, match="1 of 4"):
        out = made.llm.process("Say {text}", into="a", model=model, **QUIET)
    with pytest.warns(RowsFailedWarning, match="2 of 4 rows have no answer, and are not in 't"):
        path = out.llm.to_jsonl(tmp_path / "t.jsonl", format="openai")
    assert [each["messages"][0]["content"] for each in lines(path)] == ["Say text 0", "Say text 2"]


def test_rows_that_were_selected_sorted_and_corrected_are_what_is_trained_on(
    server, model, tmp_path
):
    server.configure(answer={"answer": "good"})
    out = frame().llm.process(
        "Say {text}", into="m", schema=Literal["good", "bad"], model=model, **QUIET
    )
    out.loc[2, "m"] = "bad"
    chosen = out.sort_values("text", ascending=False).head(2)
    made = lines(chosen.llm.to_jsonl(tmp_path / "t.jsonl", format="openai"))
    assert [[turn["content"] for turn in each["messages"]] for each in made] == [
        ["Say text 2", '{"answer":"bad"}'],
        ["Say text 1", '{"answer":"good"}'],
    ]
    odd = out.assign(m="very good")
    with pytest.raises(ColumnError, match=r"Row 0.*'m' is no answer.*good"):
        odd.llm.to_jsonl(tmp_path / "t.jsonl", format="openai")


def test_several_columns_make_a_conversation_for_each(model, tmp_path):
    made = pd.DataFrame({"a": ["one"], "b": ["two"]})
    out = made.llm.process(
        "Say {value}", columns=["a", "b"], into="{column}_fr", model=model, **QUIET
    )
    made = lines(out.llm.to_jsonl(tmp_path / "t.jsonl", format="openai"))
    assert [each["messages"][0]["content"] for each in made] == ["Say one", "Say two"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda out, model: out.drop(columns="text"), "no column 'text' any more, which the prompt shows"),
        (lambda out, model: out.drop(columns="a"), "no column 'a' any more, with the answers"),
        (lambda out, model: pd.DataFrame(out.to_dict()), "not returned by"),
        (lambda out, model: saved(out), r"lp\.run\('\S+'\).*\.frame\(df\) makes knows"),
        (lambda out, model: elsewhere(out), r"\.frame\(df\) makes knows"),
        (lambda out, model: out.llm.process("{text}", into="text", model=model, overwrite=True, **QUIET), "taken its place"),
    ],
    ids=["no cells", "no answers", "no run", "a file", "another process", "replaced"],
)  # fmt: skip
def test_where_it_is_not_known_what_was_asked_it_is_said(model, tmp_path, change, words):
    out: Any = frame().llm.process("Say {text}", into="a", model=model, **QUIET)
    changed = change(out, model)
    with pytest.raises(ConfigurationError, match=words):
        changed.llm.to_jsonl(tmp_path / "t.jsonl", format="openai")
    assert not (tmp_path / "t.jsonl").exists()


def test_the_answers_of_a_run_that_is_remembered_are_conversations_too(server, model, tmp_path):
    """As in another session, with the rows in another order."""
    server.configure(answer={"mood": "bad", "tags": [], "at": None, "scores": {}})
    out = frame().llm.process(
        "Say {text}", into="r", schema=Review, system="Be brief.", model=model, name="y", **QUIET
    )
    now = lines(out.llm.to_jsonl(tmp_path / "now.jsonl", format="openai"))
    again = lp.run("y").frame(frame().iloc[::-1])
    assert lines(again.llm.to_jsonl(tmp_path / "then.jsonl", format="openai")) == now[::-1]


def test_stages_are_no_conversation(model, tmp_path):
    out = frame().llm.pipeline([{"name": "a", "prompt": "Say {text}"}], model=model, **QUIET)
    with pytest.raises(ConfigurationError, match="several ways"):
        out.llm.to_jsonl(tmp_path / "t.jsonl", format="openai")


def test_a_job_that_runs_saves_what_it_has_and_nothing_under_the_name_of_another_format(
    server, model, tmp_path
):
    server.configure(faults=None)
    server.hold()
    job = frame().llm.start("Say {text}", into="a", model=model, **QUIET)
    server.wait_for(lambda c: c.in_flight == 3)
    job.save(tmp_path / "now.parquet")
    for path in ("now.csv", "folder/"):
        with pytest.raises(ConfigurationError, match=r"now\.parquet|out\.parquet"):
            job.save(path)
    server.release()
    job.result(10)
    now = lp.read_parquet(tmp_path / "now.parquet")
    assert now["text"].tolist() == ["text 0", "text 1", "text 2"]
    assert now["a"].isna().all()


class Compared(str):
    """A text that counts how often it is compared with another."""

    __slots__ = ()
    times = 0

    def __eq__(self, other):
        Compared.times += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


class Named:
    """A label whose text is such a one."""

    def __init__(self, name):
        self.name = Compared(name)

    def __str__(self):
        return self.name


@pytest.mark.parametrize("write", [to_jsonl, lambda frame, path: write_parquet(frame, path, {})])
def test_each_name_of_a_column_is_not_held_against_every_other(tmp_path, write):
    wide = pd.DataFrame([range(500)], columns=[Named(f"c{n}") for n in range(500)])
    Compared.times = 0
    write(wide, tmp_path / "wide")
    assert Compared.times < 20 * 500  # of 250,000
    assert (tmp_path / "wide").exists()
