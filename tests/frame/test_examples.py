"""`examples=`: rows with their answers, shown to the model before each question."""

import dataclasses
import enum
import json
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, Field

import lionproc as lp
from lionproc.errors import ColumnError, ConfigurationError, PromptError

pytestmark = pytest.mark.usefixtures("home")
MOOD = Literal["positive", "negative"]
DF = pd.DataFrame({"review": ["Fine.", "Broke."], "stars": [5, 1]})
ASKED = "Mood of {review}"
GOLD = pd.DataFrame(
    {"review": ["Lovely.", "Awful."], "stars": [4, 2], "mood": ["positive", "negative"]},
    index=["a", "b"],
)
TURNS = [
    {"role": "user", "content": "Mood of Lovely."},
    {"role": "assistant", "content": '{"answer":"positive"}'},
    {"role": "user", "content": "Mood of Awful."},
    {"role": "assistant", "content": '{"answer":"negative"}'},
]


@pytest.fixture
def server(shared):
    shared.configure(faults=None, answer=None)
    return shared


def ask(model, frame=DF, prompt=ASKED, **more):
    given = {"into": "mood", "schema": MOOD, "model": model, "examples": GOLD, **more}
    return frame.llm.process(prompt, **given)


def sent(server, n=1):
    return [each.body["messages"] for each in list(server.requests)[-n:]]


def test_they_are_turns_behind_the_system_prompt_and_before_the_row(server, model):
    ask(model, system="Be brief.")
    for messages in sent(server, 2):
        assert messages[0] == {"role": "system", "content": "Be brief."}
        assert messages[1:-1] == TURNS
        assert messages[-1]["role"] == "user"
    assert {messages[-1]["content"] for messages in sent(server, 2)} == {
        "Mood of Fine.",
        "Mood of Broke.",
    }


@pytest.mark.parametrize(
    "given",
    [
        GOLD,
        GOLD.astype({"mood": "category"}),
        GOLD.rename(columns={"stars": "other"}),
        [({"review": "Lovely."}, "positive"), ({"review": "Awful."}, "negative")],
        [("Lovely.", "Positive "), ("Awful.", "negative")],  # as the reader takes them
        [[row, said] for (_, row), said in zip(GOLD.iterrows(), GOLD["mood"], strict=True)],
    ],
    ids=["frame", "category", "other columns", "dicts", "texts", "rows"],
)
def test_a_frame_and_pairs_say_the_same(server, model, given):
    ask(model, examples=given)
    assert sent(server)[0][:-1] == TURNS


class Sort(enum.Enum):
    A = "a"
    B = "b"


class Found(BaseModel):
    sort: Sort
    stars: int = Field(alias="n")
    words: list[str]


@dataclasses.dataclass
class Point:
    x: float


@pytest.mark.parametrize(
    ("schema", "said", "text"),
    [
        (str, " Fine.", "Fine."),
        (int, np.int64(3), '{"answer":3}'),
        (int, 3.0, '{"answer":3}'),
        (float, 3, '{"answer":3.0}'),
        (bool, np.True_, '{"answer":true}'),
        (Sort, Sort.B, '{"answer":"b"}'),
        (Sort, "b", '{"answer":"b"}'),
        (list[str], ("x", "é"), '{"answer":["x","é"]}'),
        (Literal["a"] | None, None, '{"answer":null}'),
        (Found, Found(sort="a", n=2, words=["x"]), '{"sort":"a","n":2,"words":["x"]}'),
        (Found, {"sort": "a", "stars": 2, "words": []}, '{"sort":"a","n":2,"words":[]}'),
        (Point, Point(1.5), '{"x":1.5}'),
        (
            {"type": "object", "properties": {"k": {"type": "integer"}}, "required": ["k"]},
            {"k": 1},
            '{"k":1}',
        ),
    ],
    ids=lambda value: getattr(value, "__name__", str(value))[:20],
)
def test_an_answer_is_written_as_the_model_is_asked_to_write_it(server, model, schema, said, text):
    ask(model, DF[:1], schema=schema, into="x", examples=[("row", said)])
    body = list(server.requests)[-1].body
    assert body["messages"][1]["content"] == text


def test_a_frame_that_a_run_made_gives_its_answers_as_examples(server, model):
    server.configure(answer={"sort": "b", "n": 2, "words": ["x", "y"]})
    out = ask(model, schema=Found, into="f", examples=None)
    ask(model, DF[:1], schema=Found, into="f", examples=out)
    answers = [m["content"] for m in sent(server)[0] if m["role"] == "assistant"]
    assert answers == ['{"sort":"b","n":2,"words":["x","y"]}'] * 2


def test_they_are_in_the_key_the_facts_and_the_differences(server, model):
    before = server.counters.total
    runs = [
        lp.run(ask(model, examples=given).llm.facts()["run"])
        for given in (None, GOLD, GOLD[:1], GOLD.iloc[::-1], GOLD)
    ]
    assert server.counters.total == before + 8  # all but the last ask anew
    none, two, one, turned, again = runs
    assert none.diff(two).settings["examples"][0] == "none"
    assert none.diff(two).settings["examples"][1].startswith("2 (")
    assert two.diff(one).settings["examples"][1].startswith("1 (")
    assert "examples" in two.diff(turned).settings
    assert "examples" not in two.diff(again).settings
    out = ask(model, save="out.parquet")
    assert lp.read_facts("out.parquet")["examples"] == out.llm.facts()["examples"]
    pd.testing.assert_series_equal(two.frame(DF)["mood"], out["mood"])


def test_a_run_asked_again_in_other_words_words_its_examples_too(server, model):
    server.configure(faults=lambda body, n: "refusal" if "Broke" in str(body["messages"]) else None)
    job = DF.llm.start(ASKED, into="mood", schema=MOOD, model=model, examples=GOLD)
    job.wait(30)
    server.configure(faults=None)
    job.retry_failed(prompt="Feeling? {review}").result()
    said = [message["content"] for message in sent(server)[0]]
    assert said[::2] == ["Feeling? Lovely.", "Feeling? Awful.", "Feeling? Broke."]


def test_a_function_as_prompt_words_the_examples_as_it_words_rows(server, model):
    ask(model, prompt=lambda row: f"Mood of {row['review']}")
    assert sent(server)[0][:-1] == TURNS

    def messages(row):
        parts = [{"type": "text", "text": row["review"]}]
        return [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]

    ask(model, DF[:1], prompt=messages)
    said = sent(server)[0]
    assert [message["role"] for message in said] == [
        *("developer", "user", "assistant", "user", "assistant", "user"),
    ]
    assert said[1]["content"] == [{"type": "text", "text": "Lovely."}]


def test_a_series_and_each_of_several_columns_have_their_own(server, model):
    DF["review"].llm.process(
        "Mood of {value}", schema=MOOD, model=model, examples=[("Lovely.", "positive")]
    )
    assert sent(server)[0][:-1] == TURNS[:2]
    frames = [pd.DataFrame({n: ["Lovely."], "mood": ["positive"]}) for n in ("value", "review")]
    for gold in [*frames, [({"value": "Lovely."}, "positive")]]:
        DF["review"].llm.process(
            "Mood of {value}", into="mood", schema=MOOD, model=model, examples=gold, resume=False
        )
        assert sent(server)[0][:-1] == TURNS[:2]
    both = pd.DataFrame({"t": ["one"], "b": ["two"]})
    gold = pd.DataFrame({"t": ["eins"], "b": ["zwei"], "t_fr": ["un"], "b_fr": ["deux"]})
    both.llm.process(
        "French: {value}", columns=["t", "b"], into="{column}_fr", model=model, examples=gold
    )
    told = {messages[-1]["content"]: messages[0]["content"] for messages in sent(server, 2)}
    assert told == {"French: one": "French: eins", "French: two": "French: zwei"}


def test_a_stage_has_its_own_with_the_columns_that_its_prompt_shows(server, model):
    gold = pd.DataFrame({"review": ["Lovely."], "topic": ["love"], "mood": ["positive"]})
    server.configure(
        answer=lambda body: "topic" if "About" in str(body) else {"answer": "negative"}
    )
    stages = [
        {"name": "topic", "prompt": "About? {review}", "examples": gold},
        {
            "name": "mood",
            "prompt": "{topic}: {review}",
            "schema": MOOD,
            "examples": gold,
            "confidence": True,
        },
    ]
    out = DF.llm.pipeline(stages, model=model)
    assert list(out.columns[2:]) == ["topic", "mood", "mood_confidence"]
    first = next(m for m in sent(server, 4) if len(m) == 3 and "About" in m[0]["content"])
    assert [message["content"] for message in first[:2]] == ["About? Lovely.", "love"]
    second = next(m for m in sent(server, 4) if "About" not in m[0]["content"])
    assert [message["content"] for message in second[:2]] == [
        "love: Lovely.",
        '{"answer":"positive"}',
    ]
    assert out.llm.facts()["examples"].startswith("topic: 1 (")
    score = out.assign(gold="negative").llm.score("mood", gold="gold")
    assert score.examples is None  # what earlier stages said is not asked again
    run = lp.run(out.llm.facts()["run"])
    again = run.frame(DF)
    assert again["mood"].tolist() == ["negative"] * 2
    assert again["mood_confidence"].notna().all()
    bad = gold.assign(mood="none", topic="x").set_index(pd.Index(["b"]))
    with pytest.raises(ConfigurationError, match=r"Stage 'mood': examples: .*'b'"):
        DF.llm.pipeline([stages[0], {**stages[1], "examples": bad}], model=model)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ([], "no rows"),
        (GOLD[:0], "no rows"),
        ("positive", "frame with the columns"),
        (GOLD.iterrows(), "frame with the columns"),
        (["positive"], "example 0 .*pair"),
        ([("Lovely.",)], "example 0 .*pair"),
        ([(7, "positive", "x")], "example 0 .*pair"),
        (GOLD.drop(columns="mood"), "no one column 'mood'.*rename"),
        (GOLD.drop(columns="review"), "'review'"),
        ([({"reviw": "Lovely."}, "positive")], "review"),
        ([({"review": "x"}, "positive"), ({"text": "x"}, "positive")], "example"),
        (GOLD.assign(mood=["positive", None]), "row 'b' has no answer in 'mood'"),
        (GOLD.assign(mood=["positive", "mixed"]), "row 'b' .*none of the type"),
        ([({"review": "x"}, None)], "example 0 has no answer"),
        ([({"review": "x"}, 3)], "example 0 .*none of the type"),
        (GOLD.assign(review=["x", None]), "row 'b' has no value"),
        (GOLD.assign(review="long " * 900_000), "tokens"),
    ],
    ids=lambda value: str(value)[:24].replace("\n", " "),
)
def test_what_cannot_be_an_example_is_refused_by_its_name_before_anything_is_sent(
    server, given, match
):
    model = lp.Model("openai/gpt-4o-mini", api_key="sk-none")
    before = server.counters.total
    with pytest.raises(ConfigurationError, match=match):
        ask(model, examples=given)
    assert server.counters.total == before


def test_a_function_that_fails_for_an_example_says_for_which(model):
    with pytest.raises(PromptError, match=r"row 'a'.*KeyError: 'price'"):
        ask(model, DF.assign(price=1), prompt=lambda row: f"{row['price']}")
    with pytest.raises(PromptError, match=r"row 'a'.*end with one of the user"):
        ask(model, prompt=lambda row: [{"role": "assistant", "content": "x"}])
    with pytest.raises(ColumnError, match="no one column 'sentiment'"):
        ask(model, into="sentiment")
    with pytest.raises(ConfigurationError, match="local reads 1,024"):
        ask(lp.Model("local"), examples=[("many words " * 900, "positive")])


def test_rows_that_are_examples_are_not_scored_whatever_their_labels_and_order(server, model):
    frame = pd.DataFrame(
        {
            "review": ["Lovely.", "Awful.", "Fine.", "Broke.", "Lovely.", None],
            "label": ["positive", "negative", "positive", "positive", "positive", "negative"],
        },
        index=[9, 9, 3, 4, 5, 6],
    )
    server.configure(answer=lambda body: {"answer": "positive"})
    shown = frame.rename(columns={"label": "mood"}).head(2)
    out = ask(model, frame, examples=shown)
    score = out.llm.score("mood", gold="label")
    assert (score.n, score.examples, score.missing) == (2, 3, 1)
    assert score.accuracy == 1.0
    assert "3 examples left out" in repr(score)
    assert score.as_dict()["examples"] == 3
    mixed = out.sample(frac=1, random_state=1).reset_index(drop=True)
    assert mixed.llm.score("mood", gold="label").examples == 3
    with pytest.raises(ConfigurationError, match="is one of examples="):
        out.iloc[:2].llm.score("mood", gold="label")
    plain = ask(model, frame, examples=None)
    assert plain.llm.score("mood", gold="label").examples == 0


def test_a_frame_from_a_file_says_that_its_examples_are_not_known(server, model):
    server.configure(answer=lambda body: {"answer": "positive"})
    ask(model, DF.assign(label="positive"), save="out.parquet")
    score = lp.read_parquet("out.parquet").llm.score("mood", gold="label")
    assert score.examples is None
    assert "not known in this session" in repr(score)


def test_an_estimate_knows_that_they_are_read_and_cached(server, model):
    long = [(f"text {n} " * 100, "positive") for n in range(30)]
    known = lp.Model("openai/gpt-4o-mini", api_key="sk-none")
    asked = DF.llm.estimate(ASKED, schema=MOOD, into="mood", model=known, examples=long)
    alone = DF.llm.estimate(ASKED, schema=MOOD, into="mood", model=known)
    assert asked.input_tokens > 10 * alone.input_tokens
    assert asked.cached_tokens > 0.8 * asked.input_tokens


def test_services_say_that_their_records_have_no_place_for_it(model):
    import asyncio

    pipeline = lp.Pipeline("p", "p", model=model)
    added = asyncio.run(
        pipeline.add_stage({"name": "Mood", "type": "text", "options": {}, "votes": 3})
    )
    assert added["status"] == "error"
    assert "df.llm.pipeline" in added["error"]


def test_training_data_shows_what_was_asked_with_its_examples(server, model):
    ask(model).llm.to_jsonl("train.jsonl", format="openai")
    first = json.loads(Path("train.jsonl").read_text().splitlines()[0])["messages"]
    assert first[: len(TURNS)] == TURNS


def test_variants_that_are_compared_are_shown_them_and_are_not_judged_by_them(server, model):
    server.configure(answer=lambda body: {"answer": "positive"})
    rows = [*(f"row {n}" for n in range(6)), "Lovely.", "Awful."]
    frame = pd.DataFrame({"review": rows, "label": ["positive", "negative"] * 4})
    compared = frame.llm.compare(
        {"short": "Mood of {review}", "long": "What mood? {review}"},
        into="mood",
        schema=MOOD,
        gold="label",
        model=model,
        examples=GOLD,
        confidence=True,
        progress=False,
    )
    assert compared.table["n"].tolist() == [6, 6]
    assert compared.frame["review"].tolist() == rows[:6]
    assert compared.frame["short_confidence"].notna().all()
    assert all(len(messages) == 5 for messages in sent(server, 12))
