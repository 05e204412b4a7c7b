"""What a journal remembers of its runs, and what is done with that a day later."""

import contextlib
import datetime as dt
import json
import sqlite3
import tracemalloc
import zlib
from enum import StrEnum
from typing import Annotated, Literal, NewType
from zlib import crc32

import openai
import pandas as pd
import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

import lionproc as lp
from lionproc.engine import run_log
from lionproc.engine.journal import Journal
from lionproc.engine.journal_file import JournalFile
from lionproc.errors import BudgetWarning, ConfigurationError, RowsFailedWarning
from lionproc.frame import run_note
from lionproc.model.schema_type import shape_kept
from lionproc.testing import Server

MOOD = Literal["pos", "neg"]


class Review(BaseModel):
    """An answer with fields of several types."""

    mood: MOOD
    stars: int | None = Field(default=None, description="1 to 5")
    tags: list[str]
    day: dt.date


class Grade(StrEnum):
    GOOD = "good"
    BAD = "bad"


class Stay(BaseModel):
    """Whose times no schema of its own would read as they are."""

    start: dt.time
    stars: int = Field(ge=1, le=5)
    seen: set[str]
    notes: list[str] = Field(default_factory=list)


class Strict(BaseModel):
    """That takes no other fields."""

    model_config = ConfigDict(extra="forbid")
    count: int = 3
    stays: list[Stay]


pytestmark = pytest.mark.usefixtures("quiet_home")


@pytest.fixture
def df():
    return pd.DataFrame({"text": [f"text {n}" for n in range(8)]}, index=list("abcdefgh"))


def said(body):
    return str(body["messages"][-1]["content"])


def test_each_run_is_remembered_with_what_it_was_asked_and_what_it_did(df, model):
    df.llm.process("Say {text}", into="a", model=model, name="first try")
    df.llm.process("Say {text}", into="a", model=model)
    first, again = lp.runs().to_dict("records")
    assert (first["name"], first["state"], first["prompt"]) == ("first try", "done", "Say {text}")
    assert (first["rows"], first["answered"], first["cached"]) == (8, 8, 0)
    assert (again["answered"], again["cached"], again["input_tokens"]) == (8, 8, 0)
    assert first["input_tokens"] > 0
    assert first["run"] != again["run"]
    assert lp.runs()["started"].dtype == "datetime64[us, UTC]"
    assert lp.runs()["started"].notna().all()


def test_what_a_run_is_called_moves_nothing_in_a_notebook_and_is_no_formula(df, model):
    name = "\x1b]0;a\x07\u202eb \\(c\\) <i>"
    df.llm.process("Say {text}", into="a", model=model, name=name)
    table = lp.runs()
    shown = table._repr_html_()
    assert "]0;a b \\(c\\) &lt;i&gt;" in shown
    assert "mathjax_ignore" in shown or "tex2jax_ignore" in shown
    assert table["name"].tolist() == [name]
    assert type(table.head()) is pd.DataFrame


def test_labels_and_messages_of_a_run_are_no_formula_in_a_notebook(df, server, model):
    said = r"\(\href{javascript:alert(1)}{open}\)"
    server.configure(faults=["400"])
    one = pd.DataFrame({"text": ["a", "b"]}, index=[said, f"\x1b[2J{said}"])
    with pytest.warns(lp.errors.RowsFailedWarning):
        out = one.llm.process("Say {text}", into="a", model=model, name="one")
    report = out.llm.report()
    for table in (lp.run("one").errors(), report.slowest, report.most_expensive, report.members):
        shown = table._repr_html_()
        assert "mathjax_ignore" in shown
        assert "tex2jax_ignore" in shown
        assert "\x1b" not in shown
        assert type(table.head()) is pd.DataFrame
    assert lp.run("one").errors()["index"].tolist() in ([said], [f"\x1b[2J{said}"])


def test_half_a_character_in_what_was_asked_hides_no_run(df, model):
    df.llm.process("\U0001f600 {text}", into="a", model=model)
    df.llm.process("\U0001f600 \ud83d {text}", into="a", model=model, system="b\udcff")
    whole, half = lp.runs()["run"]
    assert lp.runs()["prompt"].tolist() == ["\U0001f600 {text}", "\U0001f600 \ufffd {text}"]
    assert lp.run(half).frame(df)["a"].notna().all()
    assert "+\U0001f600 \ufffd {text}" in lp.run(whole).diff(lp.run(half)).prompt


@pytest.mark.parametrize(("rows", "length"), [(200, 20_000), (1, 4_000_000)])
def test_rows_that_failed_with_whole_texts_as_labels_hide_no_run(server, model, rows, length):
    server.configure(faults=lambda *_: "400")
    labels = [f"{n} {'é' * length}" for n in range(rows)]
    long = pd.DataFrame({"text": [f"text {n}" for n in range(rows)]}, index=labels)
    retry = lp.Retry(first_failures=None)
    with pytest.warns(RowsFailedWarning):
        long.llm.process("Say {text}", into="a", model=model, name="long", retry=retry)
    errors = lp.run("long").errors()
    assert errors["index"].tolist() == [f"{label[:199]}…" for label in labels]
    assert errors["position"].tolist() == [*range(rows)]
    assert lp.runs()["name"].tolist() == ["long"]


def test_a_prompt_with_very_many_brackets_hides_no_run(df, model):
    df.llm.process("Say {text}" + "[" * 400_000, into="a", model=model, name="odd")
    assert lp.runs()["name"].tolist() == ["odd"]
    assert lp.run("odd").frame(df)["a"].notna().all()


def test_a_run_that_cannot_be_remembered_as_it_is_too_long_says_so(
    df, model, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(run_log, "_LARGEST", 20_000)
    out = df.llm.process("Say {text}" + "." * 20_000, into="a", model=model, name="long")
    assert out["a"].notna().all()
    assert "lp.runs() does not show how it went" in caplog.text
    df.llm.process("Say {text}", into="a", model=model, name="short")
    assert lp.runs()["name"].tolist() == ["short"]
    assert not list((tmp_path / "home").glob(".owners/*"))


def test_where_there_is_no_journal_there_are_no_runs_and_none_is_made(tmp_path):
    assert list(lp.runs().columns)[:4] == ["run", "name", "started", "state"]
    assert not len(lp.runs())
    assert not list(tmp_path.rglob("*.sqlite"))
    with pytest.raises(ConfigurationError, match="no journal"):
        lp.run("x")


def test_a_run_without_a_journal_leaves_nothing(df, model):
    df.llm.process("Say {text}", into="a", model=model, journal=False)
    assert not len(lp.runs())


def test_yesterdays_answers_meet_todays_frame_in_another_order(df, server, model):
    out = df.llm.process("Say {text}", into="a", schema=MOOD, model=model, name="first")
    sent = server.counters.total
    today = pd.concat([df.sample(frac=1, random_state=1), pd.DataFrame({"text": ["new"]})])
    back = lp.run("first").frame(today)
    assert server.counters.total == sent
    assert back["a"].dtype == out["a"].dtype
    assert back["a"].iloc[:-1].to_dict() == out["a"].to_dict()
    assert pd.isna(back["a"].iloc[-1])
    assert back["text"].equals(today["text"])


def test_a_later_run_changes_nothing_of_an_earlier_one(df, server, model):
    server.configure(answer=lambda body: "then")
    df.llm.process("Say {text}", into="a", model=model, name="then")
    server.configure(answer=lambda body: "now")
    df.llm.process("Say {text}", into="a", model=model, name="now", resume=False)
    assert set(lp.run("then").frame(df)["a"]) == {"then"}
    assert set(lp.run("now").frame(df)["a"]) == {"now"}


def test_fields_come_back_in_the_types_they_had(df, server, model):
    server.configure(answer=lambda body: '{"mood":"pos","tags":["x"],"day":"2026-11-26"}')
    out = df.llm.process("Say {text}", schema=Review, model=model, name="fields")
    back = lp.run("fields").frame(df)
    assert list(back.dtypes) == list(out.dtypes)
    pd.testing.assert_frame_equal(back, out)


@pytest.mark.parametrize(
    "schema",
    [str, int, bool, list[str], MOOD | None, dict[str, int], Review | None,
     {"type": "object"}, {"type": "object", "additionalProperties": {"type": "integer"}},
     {"type": ["object", "null"]}, dt.time, set[str], int | str, tuple[int, str], Grade,
     NewType("Name", str), Annotated[int, Field(ge=1, le=5)], Stay, Strict, dict[str, Stay]],
)  # fmt: skip
def test_answers_of_every_kind_come_back_as_they_were(df, model, schema):
    out = df.llm.process("Say {text}", into="a", schema=schema, model=model, name="kind")
    pd.testing.assert_frame_equal(lp.run("kind").frame(df), out)


class Year(BaseModel):
    year: int

    @field_validator("year")
    @classmethod
    def after_christ(cls, year):
        if year < 0:
            raise ValueError("no year of ours")
        return year


@pytest.mark.parametrize("schema", [Year, Annotated[int, AfterValidator(abs)], dict[int, str]])
def test_answers_that_only_their_type_can_read_are_not_shown_without_it(df, server, model, schema):
    """A validator refused the first reply, and what is kept of the type would take it."""
    again = {"year": 1871, "answer": {"1": "a"} if schema == dict[int, str] else 1871}
    first = {"year": -753, "answer": {"1": "a", "01": "b"} if schema == dict[int, str] else -753}
    server.configure(answer=lambda body: json.dumps(first if len(body["messages"]) < 3 else again))
    out = df.llm.process("Say {text}", into="a", schema=schema, model=model, name="typed")
    sent = server.counters.total
    with pytest.raises(ConfigurationError, match=r"of which a journal keeps the JSON.*Give it"):
        lp.run("typed").frame(df)
    pd.testing.assert_frame_equal(lp.run("typed").frame(df, schema=schema), out)
    assert server.counters.total == sent
    stage = {"name": "mood", "prompt": "Mood of {text}?", "schema": schema}
    df.llm.pipeline([stage], model=model, name="stages")
    with pytest.raises(ConfigurationError, match=r"of which a journal.*Run df\.llm\.pipeline"):
        lp.run("stages").frame(df)


def test_a_shape_given_as_json_schema_and_columns_each_come_back(df, model):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    out = df.llm.process("Say {text}", into="o", schema=schema, model=model, name="own")
    pd.testing.assert_frame_equal(lp.run("own").frame(df), out)
    out = df.llm.process("In French: {value}", columns=["text"], model=model, name="each")
    pd.testing.assert_frame_equal(lp.run("each").frame(df), out)
    whole = df["text"].llm.process("Shorter: {value}", model=model, name="series")
    assert lp.run("series").frame(df["text"]).iloc[:, -1].tolist() == whole.tolist()
    with pytest.raises(ConfigurationError, match="over a series"):
        lp.run("series").frame(df)


@pytest.mark.parametrize(
    "more", [{}, {"properties": {}}, {"additionalProperties": {"type": "integer"}}]
)
def test_an_object_without_properties_comes_back_from_an_older_journal(
    df, model, monkeypatch, more
):
    """They say of it that it is bare, as it is one column."""
    kept = ("label", "schema", "own")
    monkeypatch.setattr(
        run_note,
        "shape_kept",
        lambda answer: {name: shape_kept(answer)[name] for name in kept} | {"bare": True},
    )
    schema = {"type": "object", **more}
    out = df.llm.process("Say {text}", into="a", schema=schema, model=model, name="older")
    pd.testing.assert_frame_equal(lp.run("older").frame(df), out)


class Comment(BaseModel):
    replies: "list[Comment]"


def test_answers_that_nothing_kept_can_read_are_told_and_not_missing(df, model):
    df.llm.process("Say {text}", into="a", schema=Comment | None, model=model, name="odd")
    with pytest.raises(ConfigurationError, match="a journal keeps the JSON Schema alone"):
        lp.run("odd").frame(df)


def test_a_prompt_that_was_a_function_is_given_again(df, model):
    def ask(row):
        return f"Say {row['text']}"

    out = df.llm.process(ask, into="a", model=model, name="function")
    with pytest.raises(ConfigurationError, match=r"was a function.*frame"):
        lp.run("function").frame(df)
    pd.testing.assert_frame_equal(lp.run("function").frame(df, prompt=ask), out)


def test_a_pipeline_comes_back_with_all_its_stages(df, server, model):
    server.configure(answer=None)
    stages = [
        {"name": "mood", "prompt": "Mood of {text}?", "schema": MOOD},
        {"name": "why", "prompt": "Why is it {mood}? {text}", "schema": {"type": "array",
         "items": {"type": "string"}}},
        {"name": "sum", "options": {"do": "sum up"}, "type": "text"},
    ]  # fmt: skip
    out = df.llm.pipeline(stages, model=model, name="three")
    assert lp.runs()["answered"].tolist() == [8]
    sent = server.counters.total
    back = lp.run("three").frame(df.iloc[::-1])
    assert server.counters.total == sent
    pd.testing.assert_frame_equal(back.iloc[::-1], out)
    df.llm.pipeline([{"name": "f", "prompt": str}], model=model, name="function")
    with pytest.raises(ConfigurationError, match="prompt of stage 'f'"):
        lp.run("function").frame(df)


def test_a_frame_that_lacks_a_column_of_the_prompt_is_refused_by_name(df, model):
    df.llm.process("Say {text}", into="a", model=model, name="first")
    with pytest.raises(ConfigurationError, match="text"):
        lp.run("first").frame(df.rename(columns={"text": "other"}))


def test_an_answer_that_was_corrected_is_the_answer(df, server, model):
    server.configure(faults=lambda body, n: "wrong_shape" if len(body["messages"]) == 1 else None)
    out = df.llm.process("Say {text}", into="a", schema=MOOD, model=model, name="mended")
    assert lp.run("mended").stats.sent == 16
    pd.testing.assert_frame_equal(lp.run("mended").frame(df), out)


def test_the_rows_that_failed_and_the_report_are_there_tomorrow(df, server, model):
    server.configure(faults=lambda body, n: "400" if said(body).endswith("3") else None)
    with pytest.warns(RowsFailedWarning):
        df.llm.process("Say {text}", into="a", model=model, name="one failed")
    past = lp.run("one failed")
    (row,) = past.errors().to_dict("records")
    assert (row["position"], row["index"], row["kind"]) == (3, "d", "bad_request")
    assert "7 of 8 answered" in repr(past.report())
    assert f"lp.run('{past.id}').errors() lists" in repr(past.report())
    assert lp.runs()["failed"].tolist() == [1]


KILLED = """
import pandas as pd
import lionproc as lp

df = pd.DataFrame({"text": [f"text {n}" for n in range(8)]})
df.llm.process("Say {text}", into="a", model=lp.Model("openai", "m", base_url=base_url,
    api_key=key), name="night", progress=False, limits={"concurrency": 2, "adapt": False})
"""


def test_a_run_that_was_killed_shows_as_killed_with_what_it_had(df, tmp_path, zygotes):
    with Server(faults=lambda body, n: "hang" if n >= 5 else None) as server:
        child = zygotes[0].start(KILLED, tmp_path, base_url=server.base_url, key=server.key)
        journal = tmp_path / "journal.sqlite"
        code = zygotes[0].home / "journal.sqlite"
        # With both slots in what hangs, all that was answered has come and is kept. At the sixth
        # request the fifth may still be on its way.
        server.wait_for(lambda seen: seen.total >= 7)
        (going,) = lp.runs(code).tail(1).to_dict("records")
        assert going["state"] == "running"
        child.kill()
    night = lp.runs(code).tail(1).to_dict("records")[0]
    assert (night["name"], night["state"], night["answered"]) == ("night", "killed", 5)
    assert night["input_tokens"] > 0
    with Journal.open(code) as kept:
        last = max(record.at for record, _ in kept.contents)
    assert night["seconds"] >= last - night["started"].timestamp() - 1e-5  # to its last answer
    assert lp.run("night", code).frame(df)["a"].notna().sum() == 5
    assert not journal.exists()


def test_what_was_asked_again_in_other_words_is_a_run_beside_the_first(df, server, model):
    server.configure(faults=lambda body, n: "400" if said(body) == "Say text 3" else None)
    with pytest.warns(RowsFailedWarning):
        df.llm.process("Say {text}", into="a", model=model, name="first")
    out = lp.last_job().retry_failed(prompt="Please say {text}").result()
    assert lp.runs()["name"].tolist() == ["first", "first, again"]
    assert lp.run("first").frame(df)["a"].isna().tolist() == [False] * 3 + [True] + [False] * 4
    second = lp.run("first, again").frame(df)["a"]
    assert second.dropna().to_dict() == {"d": out.loc["d", "a"]}


def test_what_changed_between_two_runs(df, server, model):
    server.configure(answer=lambda body: "neg" if "strictly" in said(body) else "pos")
    hot = lp.Model("openai", "test-model", base_url=server.base_url, api_key=server.key,
                   temperature=0.5)  # fmt: skip
    prompt = "Judge the mood.\n{text}"
    df.llm.process(prompt, into="a", schema=MOOD, model=model, name="one")
    df.llm.process("Judge strictly.\n{text}", into="a", schema=MOOD, model=hot, name="two")
    changed = lp.run("one").diff(lp.run("two"))
    assert changed.prompt.splitlines() == ["-Judge the mood.", "+Judge strictly.", " {text}"]
    assert changed.settings == {"temperature": (None, 0.5)}
    assert (changed.changed, changed.compared) == (8, 8)
    assert "8 of 8 differ" in repr(changed)
    assert "\n   {text}\n" in repr(changed)  # a line that stayed stands below those that did not
    same = lp.run("one").diff(lp.run("one"))
    assert (same.prompt, same.settings, same.changed) == ("", {}, 0)
    assert "asked the same" in repr(same)


def test_what_changed_behind_the_first_model_and_stage(df, server, model):
    each = {"base_url": server.base_url, "api_key": server.key}

    def ask(name, *, below=0.5, second="large", about="Tone", sees=None):
        several = [lp.Model(f"openai/{which}", **each) for which in ("small", second)]
        stages = [
            {"name": "mood", "prompt": "Mood of {text}", "schema": MOOD,
             "model": lp.Cascade(several, below=below)},
            {"name": "tone", "prompt": sees or f"{about} of {{text}}", "model": model},
        ]  # fmt: skip
        df.llm.pipeline(stages, name=name)
        return lp.run(name)

    first = ask("first")
    assert "asked the same" in repr(first.diff(ask("again")))
    steps = first.diff(ask("threshold", below=0.9)).settings
    assert list(steps) == ["steps"]
    larger = first.diff(ask("larger", second="larger")).settings
    assert larger["larger: model"] == (None, "larger")
    prompt = first.diff(ask("other prompt", about="Style")).settings
    assert prompt == {"tone: prompt": ("Tone of {text}", "Style of {text}")}
    one = ask("one function", sees=lambda row: f"Tone of {row['text']}")
    other = one.diff(ask("another function", sees=lambda row: f"Style of {row['text']}"))
    assert "what functions made is not remembered: prompt of stage 'tone'" in repr(other)


def test_runs_that_were_answered_in_two_places_did_not_ask_the_same(df, server):
    for tenant in ("a", "b"):
        at = {"base_url": server.base_url, "api_key": server.key}
        client = openai.AsyncOpenAI(**at, default_headers={"X-Tenant": tenant})
        df.llm.process(
            "Say {text}", into="a", model=lp.Model("openai/m", client=client), name=tenant
        )
    changed = lp.run("a").diff(lp.run("b"))
    assert list(changed.settings) == ["endpoint"]
    then, now = changed.settings["endpoint"]
    assert then != now
    assert then.split()[0] == now.split()[0] == server.base_url


@pytest.mark.parametrize("schema", [int, Literal[2**53, 2**53 + 1]])
def test_answers_as_long_as_ids_that_differ_in_their_last_digit_have_changed(
    df, server, model, schema
):
    server.configure(answer=lambda body: str(2**53 + said(body).endswith(("1", "2", "3"))))
    df.llm.process("Which? {text}", into="a", schema=schema, model=model, name="one")
    server.configure(answer=str(2**53))
    df.llm.process("Which one? {text}", into="a", schema=schema, model=model, name="two")
    one, two = lp.run("one"), lp.run("two")
    assert (one.diff(two).changed, one.diff(two, df).changed) == (3, 3)


def test_answers_of_runs_over_other_orders_are_compared_on_a_frame(df, server, model):
    server.configure(answer="the same")
    df.llm.process("Say {text}", into="a", model=model, name="one")
    df.head(4).iloc[::-1].llm.process("Shout {text}", into="a", model=model, name="two")
    one, two = lp.run("one"), lp.run("two")
    assert one.diff(two).compared is None
    assert "diff(other, df)" in repr(one.diff(two))
    onto = one.diff(two, df)
    assert (onto.compared, onto.changed) == (8, 4)


def test_a_run_is_found_by_its_name_and_by_the_beginning_of_its_id(df, model):
    df.llm.process("Say {text}", into="a", model=model, name="twice")
    df.llm.process("Say {text} again", into="a", model=model, name="twice")
    assert lp.run("twice").prompt == "Say {text} again"
    ids = lp.runs()["run"].tolist()
    assert lp.run(ids[0]).prompt == "Say {text}"
    with pytest.raises(ConfigurationError, match="2 runs begin with"):
        lp.run(ids[0][:4])
    with pytest.raises(ConfigurationError, match="'twice'"):
        lp.run("twise")


def test_a_file_names_the_run_that_made_it_and_so_does_its_frame(df, model):
    out = df.llm.process("Say {text}", into="a", model=model, save="out.parquet")
    run = lp.read_facts("out.parquet")["run"]
    assert lp.run(run).prompt == "Say {text}"
    assert out.llm.facts()["run"] == run
    back = lp.read_parquet("out.parquet")
    assert back.llm.facts() == lp.read_facts("out.parquet")
    with pytest.raises(ConfigurationError, match=rf"lp\.run\('{run}'\)"):
        back.llm.errors()


def test_a_record_of_a_run_that_somebody_damaged_is_left_out(df, model, tmp_path):
    df.llm.process("Say {text}", into="a", model=model)
    df.llm.process("Say {text}!", into="a", model=model)
    with contextlib.closing(sqlite3.connect(tmp_path / "home" / "journal.sqlite")) as other, other:
        other.execute("UPDATE run SET facts = x'7b7d' WHERE id = 1")
    assert lp.runs()["prompt"].tolist() == ["Say {text}!"]


ODD = [None, -1, 1e300, float("nan"), 10**30, "<script>", [], {}, [1], {"a": [{}]}]


def written(path, change, run=1):
    """What a run noted, changed by somebody."""
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        note = json.loads(other.execute("SELECT facts FROM run WHERE id = ?", (run,)).fetchone()[0])
        kept = json.dumps(change(note)).encode()
        other.execute(
            "UPDATE run SET facts = ?, checksum = ? WHERE id = ?", (kept, crc32(kept), run)
        )


def test_the_journal_is_read_once_for_all_runs_that_were_killed(df, model, tmp_path, monkeypatch):
    for number in range(1, 5):
        df.head(number).llm.process(f"{number} {{text}}", into="a", model=model, name=f"{number}")
        if number != 3:
            written(
                tmp_path / "home" / "journal.sqlite",
                lambda note: note | {"state": "killed", "stats": {"rows": 8, "state": "running"}},
                number,
            )
    alone = [lp.run(f"{number}").stats for number in range(1, 5)]
    read, real = [], JournalFile.read
    monkeypatch.setattr(
        JournalFile,
        "read",
        lambda self, query, *rest: read.append(query) or real(self, query, *rest),
    )
    table = lp.runs()
    assert sum("FROM record" in query for query in read) == 3  # sizes, records, and the end of them
    assert table["state"].tolist() == ["killed", "killed", "done", "killed"]
    assert table["answered"].tolist() == [stats.answered for stats in alone] == [1, 2, 3, 4]
    assert table["input_tokens"].tolist() == [stats.prompt_tokens for stats in alone]


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_a_run_whose_note_somebody_else_wrote_hides_no_other(df, model, tmp_path, odd):
    df.llm.process("Say {text}", into="a", model=model, name="odd")
    df.llm.process("Say {text}!", into="a", model=model, name="good")
    good = lp.run("good")

    def change(note):
        inner = ("stats", "facts", "asked", "report")
        note |= {name: dict.fromkeys(note[name], odd) for name in inner}
        note |= {"ways": [dict.fromkeys(note["ways"][0], odd)], "shapes": [odd], "errors": [odd]}
        return note | {"columns": odd, "until": odd, "since": odd}

    written(tmp_path / "home" / "journal.sqlite", change)
    assert lp.runs()["answered"].tolist()[1] == 8
    past = lp.run("odd")
    report = past.report()
    assert json.dumps(report.as_dict(), allow_nan=False)
    page = report.to_html(tmp_path / "report.html", prompt=True, cells=True)
    assert "<script>" not in page.read_text() + report._repr_html_()
    assert past.errors().empty or past.errors()["message"].isna().all()
    assert past.diff(good).compared is None
    with pytest.raises(ConfigurationError, match=r"does not say what|was over a series"):
        past.frame(df)


@pytest.mark.parametrize(
    "odd",
    [
        lambda note: note["asked"].update(votes=10**18),
        lambda note: note["asked"].update(votes=2.5),
        lambda note: note["asked"].update(examples=["x"]),
        lambda note: note.update(state="\x1b[2J", lease=None),
        lambda note: note.update(state="running", ways=[0.5]),
    ],
    ids=[
        "votes without end",
        "half a vote",
        "examples",
        "state",
        "way of a killed run",
    ],
)
def test_a_note_with_one_odd_value_is_shown_or_told_as_unknown(df, model, tmp_path, odd):
    df.llm.process("Say {text}", into="a", model=model, name="odd")

    def change(note):
        odd(note)
        return note

    written(tmp_path / "home" / "journal.sqlite", change)
    assert lp.runs()["name"].tolist() == ["odd"]
    past = lp.run("odd")
    report = past.report()
    assert "\x1b" not in repr(past) + repr(report) + report._repr_html_()
    with contextlib.suppress(ConfigurationError):
        assert past.frame(df)["a"].notna().all()


@pytest.mark.parametrize("where", ["rows", "stages"])
def test_votes_of_which_a_journal_has_no_records_are_not_looked_for(df, model, tmp_path, where):
    if where == "rows":
        df.llm.process("Say {text}", into="a", model=model, name="odd", votes=60)
    else:
        stages = [{"name": "one", "prompt": "Say {text}", "votes": 60}]
        df.llm.pipeline(stages, model=model, name="odd")
    assert lp.run("odd").frame(df).iloc[:, -1].notna().all()

    def change(note):
        asked = note["asked"] if where == "rows" else note["asked"]["stages"][0]
        assert asked["votes"] == 60
        asked["votes"] = 2_000
        return note

    written(tmp_path / "home" / "journal.sqlite", change)
    with pytest.raises(ConfigurationError, match="does not say what"):
        lp.run("odd").frame(df)


def nested(times, key):
    steps = None
    for _ in range(times):
        steps = {key: [steps, None], "below": 0.5}
    return steps


@pytest.mark.parametrize(
    "steps",
    [
        nested(300, "in_turn"),
        nested(300, "cascade"),
        nested(2, "in_turn"),  # to three models, and there are two
        {"in_turn": []},
        {"cascade": [None, None]},
        None,
    ],
    ids=["deep", "deep cascade", "three", "none", "no threshold", "one"],
)
def test_steps_that_somebody_else_noted_lead_nowhere(df, server, model, tmp_path, steps):
    other = lp.Model("openai", "other", base_url=server.base_url, api_key=server.key)
    both = lp.Fallback([model, other])
    df.llm.process("Say {text}", into="a", model=both, name="odd")
    assert lp.run("odd").frame(df)["a"].notna().any()
    written(
        tmp_path / "home" / "journal.sqlite",
        lambda note: note | {"ways": [{**note["ways"][0], "steps": steps}]},
    )
    with pytest.raises(ConfigurationError, match="does not say what"):
        lp.run("odd").frame(df)


def test_a_few_bytes_in_a_run_fill_no_memory(df, model, tmp_path):
    df.llm.process("Say {text}", into="a", schema=Review, model=model, name="first")
    path = tmp_path / "home" / "journal.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        bomb = zlib.compress(bytes(2**26), 9)
        other.execute("UPDATE run_answers SET digests = ?", (bomb,))
    kept = lp.run("first")
    tracemalloc.start()
    assert kept.answer_digests() is None
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    doubled = {
        f"d{n}": {
            "type": "object",
            "properties": {side: {"$ref": f"#/$defs/d{n - 1}"} for side in "xy"},
            "required": ["x", "y"],
        }
        for n in range(1, 40)
    }
    schema = {"$defs": {"d0": {"type": "string"}, **doubled}, "$ref": "#/$defs/d39"}
    written(path, lambda note: note | {"shapes": [{**note["shapes"][0], "schema": schema}]})
    with pytest.raises(ConfigurationError, match="5,000 parts"):
        lp.run("first").frame(df)


def test_a_run_that_was_stopped_says_so(df, server, model):
    with pytest.warns(BudgetWarning):
        df.llm.process("Say {text}", into="a", model=model, budget=lp.Budget(requests=3))
    assert lp.runs()["state"].tolist() == ["stopped"]
    assert lp.runs()["answered"].tolist() == [3]


def test_runs_by_the_thousand_share_the_files_that_show_that_they_go_on(tmp_path):
    with Journal.open(tmp_path / "j.sqlite") as journal:
        runs = [journal.runs.begin({"state": "running"}) for _ in range(40)]
        assert len(list((tmp_path / ".owners").iterdir())) == 32
        for run in runs[:36]:
            journal.runs.end(run, {"state": "done"}, None)
        states = [each.state for each in journal.runs.all()]
        assert states == ["done"] * 36 + ["running"] * 4
        for run in runs[36:]:
            journal.runs.end(run, {"state": "done"}, None)
        assert not (tmp_path / ".owners").exists()


def test_a_note_that_unfolds_to_far_more_than_it_is_is_left_out(df, model, tmp_path):
    df.llm.process("Say {text}", into="a", model=model, name="odd")
    df.llm.process("Say {text}!", into="a", model=model, name="good")
    path = tmp_path / "home" / "journal.sqlite"
    written(path, lambda note: note | {"more": [{}] * 600_000})
    assert lp.runs()["name"].tolist() == ["good"]
    assert lp.run("good").frame(df)["a"].notna().all()


def test_ways_of_a_model_that_somebody_noted_by_the_thousand_are_not_made(df, model, tmp_path):
    df.llm.process("Say {text}", into="a", model=model, name="odd")
    fields = {f"f{n}": n for n in range(1000)}
    written(
        tmp_path / "home" / "journal.sqlite",
        lambda note: (
            note | {"ways": [{**note["ways"][0], "fields": fields, "others": [{}] * 1000}]}
        ),
    )
    with pytest.raises(ConfigurationError, match="1,001 ways to models"):
        lp.run("odd").frame(df)


def test_very_many_lines_that_changed_are_told_without_comparing_each_with_each(df, model):
    then = [f"{n * 7919 % 1009}" for n in range(3000)]
    now = [f"{n * 7907 % 1009}" for n in range(3000)]
    for lines in (then, now):
        prompt = "\n".join(["Say", *lines, "of {text}"])
        df.llm.process(prompt, into="a", model=model, name=lines[1])
    told = lp.run(then[1]).diff(lp.run(now[1])).prompt.splitlines()
    lost, new = [f"-{line}" for line in then[1:]], [f"+{line}" for line in now[1:]]
    assert told == [" 0", *lost, *new, " of {text}"]
