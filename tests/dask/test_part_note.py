"""Parts that are there are answers to what is asked now, also where no name tells what that is."""

import datetime as dt
from typing import Annotated, Literal

import pandas as pd
import pyarrow.parquet as pq
import pydantic
import pytest

import lionproc as lp
from lionproc.engine.json_bounds import read_json
from lionproc.model.as_json import to_json
from lionproc.testing import Server

pytestmark = pytest.mark.usefixtures("dd")
FACTS = b"lionproc"


class Note(pydantic.BaseModel):
    mood: Literal["good", "bad"]
    topics: list[str]
    stars: int | None
    day: dt.date = pydantic.Field(alias="when")


class Blank(pydantic.BaseModel):
    name: str | None
    age: int | None


class Marked(pydantic.BaseModel):
    word: str

    @pydantic.field_validator("word")
    @classmethod
    def _marked(cls, word):
        assert "!" not in word, "it is marked already"
        return f"{word}!"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, Server() as made:
        patch.setenv("LIONPROC_HOME", str(tmp_path_factory.mktemp("home")))
        yield made


@pytest.fixture
def sent(shared):
    """How many requests came since it was asked last."""
    shared.configure(answer=None)
    seen = shared.counters.total

    def since():
        nonlocal seen
        before, seen = seen, shared.counters.total
        return seen - before

    return since


@pytest.fixture
def how(shared, tmp_path):
    model = lp.Model("openai", "m", base_url=shared.base_url, api_key=shared.key)
    return {"model": model, "progress": False, "save": tmp_path / "out", "journal": False}


def rows(dd, *texts, partitions=2):
    frame = pd.DataFrame({"text": texts or list("abcdef")})
    return dd.from_pandas(frame, npartitions=partitions)


def computed(frame):
    return frame.compute(scheduler="sync")


def stages(word, at=2, schema=str):
    """Three stages, one of which asks with a function."""

    def prompt(row):
        return f"{word} of {row}"

    made = [
        {"name": "x", "prompt": "First {text}", "schema": schema},
        {"name": "y", "prompt": "Then {x}"},
        {"name": "z", "prompt": "Last {y}"},
    ]
    made[at]["prompt"] = prompt
    return made


def without_note(folder):
    """Make its parts those of a version that noted nothing of the questions."""
    for part in folder.glob("part-*"):
        table = pq.read_table(part)
        facts = read_json(table.schema.metadata[FACTS])
        del facts["asked"]
        metadata = {**table.schema.metadata, FACTS: to_json(facts)}
        pq.write_table(table.replace_schema_metadata(metadata), part)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_part_is_read_where_the_functions_of_stages_ask_the_same_and_else_asked_again(
    dd, how, sent, at
):
    ddf = rows(dd)
    answers = []
    for word, fewest in (("red", 18), ("red", 0), ("blue", 6), ("blue", 0)):
        out = computed(ddf.llm.pipeline(stages(word, at), **how))
        answers.append(out["xyz"[at]].tolist())
        assert (sent() >= fewest) if fewest else (sent() == 0)
    red, again, blue, last = answers
    assert red == again
    assert blue == last
    assert all("red of" in text for text in red)
    assert all("blue of" in text for text in blue)
    assert len(list(how["save"].glob("part-*"))) == 2


def test_of_a_function_in_a_later_stage_that_changes_only_that_stage_is_bought(dd, how, sent):
    how |= {"journal": None}
    for word, bought in (("one", 18), ("two", 6), ("one", 0)):
        computed(rows(dd).llm.pipeline(stages(f"later {word}"), **how))
        assert sent() == bought


def test_what_a_function_looks_up_may_change_between_two_computations_of_one_frame(dd, how, sent):
    looked_up = {"word": "red"}

    def prompt(row):
        return f"{looked_up['word']} of {row['x']}"

    asked = [{"name": "x", "prompt": "First {text}"}, {"name": "y", "prompt": prompt}]
    out = rows(dd).llm.pipeline(asked, **how)
    for word, bought in (("red", 12), ("red", 0), ("blue", 12), ("blue", 0)):
        looked_up["word"] = word
        assert computed(out)["y"][0].startswith(f"echo: {word} of")
        assert sent() == bought


@pytest.mark.parametrize(
    "schema", [int, bool, Literal["a", "b"], list[int], Note, Blank, dt.date, dict[str, int]]
)
@pytest.mark.parametrize("texts", [list("abcdef"), ["a", None, "c", "d"]])
def test_the_questions_of_a_later_stage_are_made_of_the_answers_in_a_part(
    dd, how, sent, schema, texts
):
    for word, buys in (("red", True), ("red", False), ("blue", True)):
        computed(rows(dd, *texts).llm.pipeline(stages(word, schema=schema), **how))
        assert bool(sent()) is buys


def test_an_answer_with_nothing_in_it_is_one_that_a_later_stage_was_shown(dd, how, sent, shared):
    def answer(body):
        return '{"name": null, "age": null}' if "response_format" in body else "fine"

    shared.configure(answer=answer)
    for buys in (True, False):
        computed(rows(dd).llm.pipeline(stages("red", schema=Blank), **how))
        assert bool(sent()) is buys


def test_a_type_that_makes_another_answer_of_an_answer_has_its_parts_asked_of_the_journal(
    dd, how, sent
):
    how |= {"journal": None}
    for word, buys in (("marked", True), ("marked", False), ("remarked", True)):
        out = computed(rows(dd).llm.pipeline(stages(word, schema=Marked), **how))
        assert bool(sent()) is buys
        assert f"echo: {word} of" in out["z"][0]


def test_a_partition_that_dask_does_again_is_read_though_its_type_makes_other_answers(
    dd, how, sent
):
    out = rows(dd).llm.pipeline(stages("done", schema=Marked), **how)
    for buys in (True, False):
        computed(out)
        assert bool(sent()) is buys


def test_a_part_that_says_nothing_of_its_questions_is_asked_of_the_journal_and_says_it_then(
    dd, how, sent
):
    kept = {**how, "journal": None}
    out = computed(rows(dd).llm.pipeline(stages("unsaid"), **kept))
    without_note(how["save"])
    sent()
    again = computed(rows(dd).llm.pipeline(stages("unsaid"), **kept))
    assert again.to_dict("list") == out.to_dict("list")
    computed(rows(dd).llm.pipeline(stages("unsaid"), **how))  # has no journal
    assert sent() == 0


def test_a_part_that_says_nothing_of_its_questions_loses_no_answers_to_a_run_that_is_stopped(
    dd, how
):
    def run(word, **more):
        made = rows(dd, partitions=1).llm.pipeline(stages(word), **{**how, **more})
        return computed(made)

    run("red")
    (part,) = how["save"].glob("part-*")
    without_note(how["save"])
    said_nothing = part.read_bytes()
    assert run("red", budget=lp.Budget(requests=7))["z"].notna().sum() < 6
    assert part.read_bytes() == said_nothing
    run("red")
    run("blue", budget=lp.Budget(requests=7))  # these are known to be other questions
    assert lp.read_parquet(part)["z"].notna().sum() < 6


def test_parts_of_stages_without_functions_are_read_whatever_they_say(dd, how, sent):
    asked = [{"name": "x", "prompt": "First {text}"}, {"name": "y", "prompt": "Then {x}"}]
    for bought in (12, 0):
        computed(rows(dd).llm.pipeline(asked, **how))
        assert sent() == bought
    for part in how["save"].glob("part-*"):
        assert "asked" not in read_json(pq.read_schema(part).metadata[FACTS])


def test_a_cascade_with_another_threshold_has_its_parts_asked_again(dd, how, sent, shared):
    shared.configure(answer='{"answer":"good"}', confidence=0.7)
    small, large = (
        lp.Model("openai", name, base_url=shared.base_url, api_key=shared.key)
        for name in ("small", "large")
    )

    def run(below):
        how["model"] = lp.Cascade([small, large], below=below)
        computed(rows(dd).llm.process("Is {text}", "ok", Literal["good", "bad"], **how))
        return sent()

    how |= {"journal": None}
    assert [run(0.5), run(0.5), run(0.9), run(0.9)] == [6, 0, 6, 0]
    how |= {"journal": False}
    assert run(0.9) == 0


@pytest.mark.parametrize("staged", [False, True])
def test_rows_that_are_to_be_asked_one_by_one_have_parts_of_their_own(dd, how, sent, staged):
    def run(*texts, deduplicate):
        ddf, options = rows(dd, *texts, partitions=1), {**how, "deduplicate": deduplicate}
        if staged:
            computed(ddf.llm.pipeline([{"name": "x", "prompt": "One {text}"}], **options))
        else:
            computed(ddf.llm.process("One {text}", "x", **options))
        return sent()

    equal = ("a", "a", "b")
    assert run(*equal, deduplicate=True) == 2
    assert [run(*equal, deduplicate=False) for _ in range(2)] == [3, 0]


@pytest.mark.parametrize("sure", [{"votes": 3}, {"confidence": True}])
def test_parts_with_votes_in_an_earlier_stage_are_read_in_the_order_of_a_run(
    dd, shared, how, sent, sure
):
    shared.configure(answer='"good"')
    mood = {"name": "x", "prompt": "Mood of {text}", "schema": Literal["good", "bad"], **sure}
    made = [mood, {"name": "y", "prompt": "Then {x}"}]
    ddf = rows(dd)
    first = computed(ddf.llm.pipeline(made, **how))
    assert sent() > 0
    again = computed(ddf.llm.pipeline(made, **how))
    pd.testing.assert_frame_equal(again, first, check_dtype=False)
    assert sent() == 0


def word(reads):
    """A type whose validator is this function, made anew as when a cell is run again."""

    class Word(pydantic.BaseModel):
        word: Annotated[str, pydantic.AfterValidator(reads)]

    return Word


def test_a_part_is_asked_for_again_where_another_code_reads_the_replies(dd, shared, how, sent):
    shared.configure(answer='{"word": "yes"}')
    how |= {"journal": None}  # where the replies are, so that they are not bought again
    ddf = rows(dd)
    loud, asking = (lambda said: f"{said}!", lambda said: f"{said}?")
    said = [
        computed(ddf.llm.process("Of {text}", "a", schema=word(reads), **how))["a_word"].iloc[0]
        for reads in (loud, loud, asking)
    ]
    assert (said, sent()) == (["yes!", "yes!", "yes?"], 6)


def test_a_part_of_lists_is_none_of_sets(dd, shared, how, sent):
    shared.configure(answer='["b", "a", "b"]')
    how |= {"journal": None}
    ddf = rows(dd)
    said = [
        list(computed(ddf.llm.process("Of {text}", "a", schema=schema, **how))["a"].iloc[0])
        for schema in (list[str], set[str])
    ]
    assert (said, sent()) == ([["b", "a", "b"], ["a", "b"]], 6)


@pytest.mark.parametrize("label", [5, ("a", 1), "5"], ids=repr)
def test_parts_with_answers_under_any_label_are_read(dd, how, sent, label):
    ddf = rows(dd)
    first = computed(ddf.llm.process("Of {text}", label, **how))
    again = computed(ddf.llm.process("Of {text}", label, **how))
    assert again[label].tolist() == first[label].tolist()
    assert sent() == 6


def test_a_validator_that_remembers_what_it_has_read_buys_nothing_again(dd, shared, how, sent):
    shared.configure(answer='{"word": "yes"}')
    seen = []

    class Word(pydantic.BaseModel):
        word: str

        @pydantic.field_validator("word")
        @classmethod
        def _noted(cls, word):
            seen.append(word)
            return word

    lazy = rows(dd).llm.process("Of {text}", "a", schema=Word, **how)
    for _ in range(3):
        assert computed(lazy)["a_word"].tolist() == ["yes"] * 6
    again = rows(dd).llm.process("Of {text}", "a", schema=Word, **how)
    assert computed(again)["a_word"].tolist() == ["yes"] * 6
    assert (sent(), len(seen) > 0) == (6, True)
