"""What should be looked at before answers are trusted: found where it is, and nowhere else."""

import re
from typing import Annotated, Literal

import pandas as pd
import pyarrow as pa
import pydantic
import pytest

import lionproc as lp
from lionproc.errors import ColumnError, ConfigurationError
from lionproc.frame.look import bounds_of, looked_at
from lionproc.model.answer import Answer
from lionproc.testing import Server

Mood = Literal["good", "bad", "odd"]


def texts(rows=60):
    return [f"The reader liked number {n} and would buy it again." for n in range(rows)]


def said_of(values, **more):
    return [each.says for each in looked_at(pd.Series(values, **more), *())]


def model_at(server, name="gpt-4o-mini", **more):
    return lp.Model("openai", name, base_url=server.base_url, api_key=server.key, **more)


REFUSALS = (
    "I'm sorry, but I can't assist with that request.",
    "I\u2019m sorry, I cannot help with this.",
    "I cannot provide a summary of this text.",
    "I am unable to determine the sentiment.",
    "As an AI language model, I do not have opinions.",
    "As an AI, I cannot feel.",
    "**I can't comply** with that.",
    "I must decline to answer.",
    "Es tut mir leid, aber ich kann dabei nicht helfen.",
    "Je suis désolé, mais je ne peux pas répondre.",
    "Lo siento, no puedo ayudar con eso.",
)
NO_REFUSALS = (
    "I'm sorry to hear that the zip broke.",
    '"I cannot help you," the guard said.',
    "The shop wrote: I cannot provide a refund.",
    "Great keyboard. Written as an AI, it says on the box.",
    "As an AI engineer, she likes the keyboard.",
    "As an airline CEO, he travels a lot.",
    "The buyer cannot provide a receipt.",
    "Sorry for the late review: it is great.",
    "I cannot tell you how much I love it.",
    "This contract is not legal advice.",
    "We can't wait to use it again.",
)


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_found_among_answers(text):
    assert said_of([*texts(), text], dtype="string") == ["1 answer reads like a refusal"]


@pytest.mark.parametrize("text", NO_REFUSALS)
def test_what_only_sounds_like_one_is_no_refusal(text):
    assert said_of([*texts(), text], dtype="string") == []


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (["Please provide the review text you would like me to read."], "1 answer asks for a text"),
        (["It seems that you haven't provided the review."] * 2, "2 answers ask for a text"),
        (["Sure! Here is the summary."] * 4, "4 answers begin as chat"),
        (["N/A", "unknown", "None."], "3 answers say nothing"),
        (["word " * 300], "1 answer is more than 10 times as long as is usual"),
    ],
)
def test_texts_that_are_no_answers_are_named(odd, said):
    found = said_of([*texts(), *odd], dtype="string")
    assert len(found) == 1
    assert said in found[0]


def test_labels_are_looked_at_by_how_often_they_are_used():
    kind = pd.CategoricalDtype(["good", "bad", "odd"])
    assert said_of(["good"] * 40 + ["bad"] * 20 + ["odd"], dtype=kind) == []
    assert said_of(["good"] * 59 + ["bad"], dtype=kind) == [
        "98 % of the answers are the same label",
        "1 of 3 labels is never used",
    ]
    assert said_of(["good"] * 5, dtype=kind) == []  # too few to say anything
    assert said_of([True] * 40, dtype="boolean") == ["100 % of the answers are the same label"]
    assert said_of(["yes"] * 99 + ["no"], dtype="string") == [
        "99 % of the answers are the same text"
    ]
    assert said_of([None] * 40, dtype=kind) == []


def test_numbers_are_looked_at_against_the_bounds_of_the_schema():
    numbers = pd.Series([1, 5] * 30 + [3] * 5, dtype="Int64")
    (found,) = looked_at(numbers, (1, 5))
    assert (found.says, found.rows) == ("92 % of the numbers are at the bounds of the schema", 60)
    assert not list(looked_at(numbers))
    assert not list(looked_at(pd.Series([0, 1] * 30, dtype="Int64"), (0, 1)))
    assert [f.says for f in looked_at(pd.Series([5.0] * 60), (1, 5))] == [
        "100 % of the answers are the same number"
    ]


def test_the_bounds_of_a_schema_are_found_beside_one_that_takes_everything():
    ways = [True, {"type": "number", "minimum": 1, "maximum": 5}]
    assert bounds_of(Answer.of({"anyOf": ways})) == {"answer": (1, 5)}


def test_lists_that_are_nearly_all_empty_are_named():
    lists = pd.Series(
        [[] for _ in range(40)],
        dtype=pd.ArrowDtype(pa.list_(pa.string())),
    )
    assert [found.says for found in looked_at(lists)] == ["100 % of the lists are empty"]


def test_one_text_for_many_different_rows_is_named_and_for_equal_ones_is_not():
    same = "A fine product that does what it should."
    rows = [f"review {n}" for n in range(60)]
    frame = pd.DataFrame(
        {"text": rows, "summary": pd.array([same] * 6 + texts(54), dtype="string")}
    )
    (found,) = frame.llm.check("summary").to_dict("records")
    assert found["finding"] == "one text is the answer to 6 different rows"
    assert (found["rows"], found["example"]) == (6, f"row 0: {same}")
    frame.loc[:5, "text"] = "the same review"
    assert len(frame.llm.check("summary")) == 0


def test_nothing_found_says_so_and_an_unknown_column_is_an_error():
    frame = pd.DataFrame({"text": texts(), "said": pd.array(texts(), dtype="string")})
    checked = frame.llm.check("said")
    assert repr(checked) == "lionproc: nothing found in said, 60 rows"
    assert "nothing found" in checked._repr_html_()
    with pytest.raises(ColumnError, match="Did you mean 'said'"):
        frame.llm.check("sad")
    with pytest.raises(ConfigurationError, match="into= says which column"):
        frame.llm.check()
    assert [*checked.columns] == ["column", "finding", "rows", "example", "what_to_do"]


class Facts(pydantic.BaseModel):
    mood: Mood
    stars: int = pydantic.Field(ge=1, le=5)
    note: str


@pytest.fixture(scope="module")
def run():
    """Eighty records of a run of which some smell."""

    def answer(body):
        number = int(re.search(r"#(\d+)", str(body))[1])
        note = (
            "I'm sorry, but I can't help with <that>." if number < 3 else f"It is number {number}."
        )
        stars = 5 if number % 5 else 1
        return Facts(mood="good", stars=stars, note=note).model_dump_json()

    frame = pd.DataFrame({"text": [f"#{n}" for n in range(80)]}, index=range(100, 180))
    with Server(answer=answer, prices="openai", faults={"wrong_shape": 0.0}) as server:
        yield frame.llm.process(
            "{text}", "f", Facts, model=model_at(server), journal=False, progress=False
        )


def test_all_columns_of_a_record_are_looked_at_with_the_bounds_of_their_fields(run):
    for checked in (run.llm.check("f"), run.llm.check()):
        assert list(zip(checked["column"], checked["finding"], strict=True)) == [
            ("f_mood", "100 % of the answers are the same label"),
            ("f_mood", "2 of 3 labels are never used"),
            ("f_stars", "100 % of the numbers are at the bounds of the schema"),
            ("f_note", "3 answers read like refusals"),
        ]
    assert checked["example"].tolist()[-1] == "row 100: I'm sorry, but I can't help with <that>."
    assert "<that>" not in checked._repr_html_()
    assert list(run.llm.check("f_stars")["column"]) == ["f_stars"]


def test_the_card_of_a_run_has_one_line_of_it_and_no_cell(run):
    report = run.llm.report()
    line = "100 % of the answers are the same label; 2 of 3 labels are never used; 2 more"
    assert f"{line} (out.llm.check() has examples)" in repr(report)
    assert line in report._repr_html_()
    assert "check" not in dict(report.pairs(labels=False))  # a page that is handed on


def test_a_run_without_anything_has_no_such_line():
    frame = pd.DataFrame({"text": texts()})
    with Server() as server:
        out = frame.llm.process(
            "{text}", "a", model=model_at(server), journal=False, progress=False
        )
    assert "check" not in dict(out.llm.report().pairs())


def test_what_the_run_itself_tells_is_among_it(tmp_path):
    frame = pd.DataFrame({"text": [f"#{n}" for n in range(40)]})

    thoughts = {"prompt_tokens": 10, "completion_tokens": 500, "total_tokens": 510,
                "completion_tokens_details": {"reasoning_tokens": 450}}  # fmt: skip
    common = {"into": "s", "schema": Annotated[int, pydantic.Field(ge=0, le=100)]}
    with Server(usage=thoughts, seed=2, answer='{"answer": 7}') as server:
        price = lp.Price(input=1.0, output=10.0)
        model = model_at(server, "mine", price=price)
        asked = {**common, "model": model, "journal": str(tmp_path / "j"), "progress": False}
        foreseen = frame.llm.estimate("{text}", **asked)
        out = frame.llm.process("{text}", **asked)
    told = out.llm.check()
    assert (
        "90 % of the tokens that were paid for as output are thoughts" in told["finding"].tolist()
    )
    (dear,) = [each for each in told["finding"] if "were foreseen" in each]
    assert dear.startswith("it has cost $0.200, and ")
    assert foreseen.usd_range[1] < 0.1


def test_failed_rows_and_answers_that_were_asked_again_are_named():
    frame = pd.DataFrame({"text": [f"#{n}" for n in range(40)]})
    seen = set()

    def answer(body):
        number = int(re.search(r"#(\d+)", str(body))[1])
        if number < 4:
            return "no label at all"
        if number < 10 and number not in seen:
            seen.add(number)
            return '{"answer": "wrong"}'
        return f'{{"answer": "{("good", "bad", "odd")[number % 3]}"}}'

    with Server(answer=answer) as server, pytest.warns(lp.errors.RowsFailedWarning):
        out = frame.llm.process(
            "{text}", "m", Mood, model=model_at(server), details=True, journal=False, progress=False
        )
    found = " ".join(out.llm.check("m")["finding"])
    assert found.count("asked again") == 1
    assert "answers had the wrong shape and were asked again or repaired" in found
    assert "4 rows of 40 have no answer: they failed" in found
    away = pd.DataFrame({"m": out["m"], "m_note": out["m_note"]})
    away.attrs = {}
    found = " ".join(away.llm.check("m")["finding"])
    assert "4 rows of 40 have no answer" in found
    assert "were asked again or repaired" in found
