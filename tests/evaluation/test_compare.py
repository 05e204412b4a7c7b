"""Prompts and models on the same rows: one budget, none harms another, and nothing paid twice."""

import io
import json
import re
from enum import Enum
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pandas as pd
import pydantic
import pytest

import lionproc as lp
from lionproc.errors import (
    BudgetWarning,
    ColumnError,
    ConfigurationError,
    MissingDependencyError,
    RunError,
)
from lionproc.evaluation.sheet import Sheet
from lionproc.frame.job import Job
from lionproc.testing import Server

LABELS = ("bad", "fair", "good")
Mood = Literal["bad", "fair", "good"]
SHORT, STRICT = "Mood? {text}", "Think, then say the mood.\n{text}"
PROMPTS = {"short": SHORT, "strict": STRICT}


class Note(pydantic.BaseModel):
    """An answer with a field."""

    mood: Literal["good", "fair", "bad"]


def said_of(body):
    """The label that is in the text, wrong more often without thinking, and of the small model."""
    text, model = body["messages"][-1]["content"], body["model"]
    number = int(re.search(r"#(\d+)", text)[1])
    wrong = (number * 7 + len(model)) % 10 < (1 if "Think" in text else 4)
    label = next(label for label in LABELS if label in text)
    return LABELS[(LABELS.index(label) + wrong) % 3]


def frame_of(rows=200):
    labels = [LABELS[0] if n % 10 < 7 else LABELS[1 + n % 2] for n in range(rows)]
    texts = [f"{label} #{n}" for n, label in enumerate(labels)]
    return pd.DataFrame({"text": texts, "label": labels}, index=[n % 9 for n in range(rows)])


FRAME = frame_of()


def model_at(server, name="gpt-4o-mini", **more):
    more = {"base_url": server.base_url, "api_key": server.key, **more}
    return lp.Model("openai", name, **more)


@pytest.fixture(scope="module")
def server():
    with Server(answer=said_of, prices="openai", record=2000) as server:
        yield server


@pytest.fixture
def common(tmp_path):
    return {"into": "mood", "schema": Mood, "journal": str(tmp_path / "j"), "progress": False}


@pytest.fixture(scope="module")
def compared(server, tmp_path_factory):
    """Two prompts and two models on 60 rows with gold."""
    return FRAME.llm.compare(
        PROMPTS,
        models=[model_at(server), model_at(server, "gpt-4o")],
        n=60,
        gold="label",
        into="mood",
        schema=Mood,
        journal=str(tmp_path_factory.mktemp("compared") / "j"),
        progress=False,
    )


def test_each_variant_has_the_numbers_of_scikit_learn_and_statsmodels(compared):
    from sklearn.metrics import accuracy_score
    from statsmodels.stats.contingency_tables import mcnemar
    from statsmodels.stats.proportion import proportion_confint

    table, frame = compared.table, compared.frame
    assert list(table.index) == [
        "short with gpt-4o-mini", "short with gpt-4o", "strict with gpt-4o-mini", "strict with gpt-4o"
    ]  # fmt: skip
    assert list(table["prompt"]) == ["short", "short", "strict", "strict"]
    assert set(table["model"]) == {"openai/gpt-4o-mini", "openai/gpt-4o"}
    for name, row in table.iterrows():
        right = (frame["label"] == frame[name].astype(str)).sum()
        assert row["accuracy"] == accuracy_score(frame["label"], frame[name].astype(str))
        theirs = proportion_confint(right, 60, method="wilson")
        assert (row["low"], row["high"]) == pytest.approx(theirs)
        assert (row["n"], row["answered"], row["errors"]) == (60, 60, 0)
    for _, row in compared.tests.iterrows():
        a, b = ((frame[row[each]].astype(str) == frame["label"]) for each in "ab")
        counts = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
        assert row["p"] == pytest.approx(mcnemar(counts, exact=True).pvalue)
        assert row["difference"] == pytest.approx(b.mean() - a.mean())
    assert compared.best in {"strict with gpt-4o-mini", "strict with gpt-4o"}
    assert compared.test(1, 3).words == compared.test("short with gpt-4o-mini", 3).words
    assert compared.test(1, 3).is_sure


def test_dollars_and_tokens_of_a_variant_are_those_of_the_bill(common):
    with Server(answer=said_of, prices="openai") as server:
        made = FRAME.llm.compare(SHORT, models=model_at(server), n=40, **common)
        bill = server.bill
    (row,) = made.table.to_dict("records")
    assert row["usd_per_1000"] == pytest.approx(float(bill.usd) / 40 * 1000)
    assert (row["input_tokens"], row["output_tokens"]) == (bill.input_tokens, bill.output_tokens)
    assert row["seconds"] > 0


def test_the_sample_has_each_label_as_often_as_the_frame(compared):
    drawn, whole = (each["label"].value_counts() for each in (compared.frame, FRAME))
    for label in LABELS:
        assert abs(drawn[label] - 60 * whole[label] / 200) <= 1
    assert "60 of 200 rows, drawn at random (seed 0), spread over the values of 'label'" in repr(
        compared
    )
    places = [FRAME["text"].tolist().index(text) for text in compared.frame["text"]]
    assert places == sorted(places)  # in their order, with their labels
    assert list(compared.frame.index) == [n % 9 for n in places]


def test_running_it_again_and_the_whole_frame_afterwards_pay_for_nothing_twice(server, common):
    model = model_at(server)
    first = FRAME.llm.compare(PROMPTS, model=model, n=50, gold="label", **common)
    sent = server.counters.total
    again = FRAME.llm.compare(PROMPTS, model=model, n=50, gold="label", **common)
    assert server.counters.total == sent
    pd.testing.assert_frame_equal(again.table, first.table)  # dollars and seconds too
    FRAME.llm.compare({"strict": STRICT}, model=model, n=None, **common)
    assert server.counters.total == sent + 150
    out = FRAME.llm.process(STRICT, model=model, **common)
    assert server.counters.total == sent + 150
    used = first.use("strict", into="said")
    assert server.counters.total == sent + 150
    assert list(used["said"]) == list(out["mood"])
    names = lp.runs(common["journal"])["name"].dropna().tolist()
    assert names.count("compare: short") == names.count("compare: strict") - 1 == 2


def test_all_variants_stream_at_the_same_time(common):
    with Server(answer=said_of, latency_s=0.05, record=400) as server:
        FRAME.llm.compare(
            PROMPTS, model=model_at(server), limits={"concurrency": 4}, n=24, **common
        )
        asked = ["Think" in str(request.body) for request in server.requests]
    assert len(asked) == 48
    assert 3 < sum(asked[:24]) < 21  # one after the other, it would be 0 or 24


def test_who_answers_little_and_right_is_not_listed_before_who_answers_all(common):
    def said(body):
        asked = next(each["content"] for each in body["messages"] if each["role"] == "user")
        number = int(asked.split()[-1])
        if "lazy" in asked and number % 4:
            return "no idea"
        return {"answer": "bad" if number % 10 == 1 else "good"}

    frame = pd.DataFrame({"number": range(40), "label": "good"})
    prompts = {"lazy": "A lazy one: {number}", "good": "A good one: {number}"}
    with Server(answer=said) as server:
        made = frame.llm.compare(prompts, model=model_at(server), gold="label", n=40, **common)
    assert made.table.loc["lazy", ["answered", "accuracy"]].tolist() == [10, 1.0]
    assert (made.best, made.ranked) == ("good", ["good", "lazy"])
    shown = repr(made).partition("variant  ")[2]
    assert shown.index("good ") < shown.index("lazy ")
    assert "counts a missing one as wrong" in shown


def test_one_that_cannot_go_on_harms_no_other_and_is_shown_with_its_error(server, common):
    refused = model_at(server, "mine", api_key="sk-wrong")  # nobody knows its price
    made = FRAME.llm.compare(
        SHORT, models={"good": model_at(server), "refused": refused}, n=30, gold="label", **common
    )
    assert made.table["answered"].tolist() == [30, 0]
    assert made.table["errors"].tolist() == [0, 30]
    assert "HTTP 401" in made.table.loc["refused", "error"]
    assert made.table.loc["refused", ["accuracy", "usd_per_1000", "seconds"]].isna().all()
    assert made.frame["refused"].isna().all()
    assert made.best == "good"
    assert made.stats.usd is not None  # it has cost nothing
    assert len(made.tests) == 0  # there is no pair, and none to correct for
    assert made.test("good", "refused").rows == 0
    for shown in (repr(made), made._repr_html_()):
        assert "HTTP 401" in shown
        assert "sk-wrong" not in shown
    with pytest.raises(RunError, match="401"):
        FRAME.llm.compare({"a": SHORT, "b": STRICT}, model=refused, n=30, **common)


def test_a_model_that_is_not_there_is_shown_with_its_error(common):
    with Server(
        answer=said_of, faults=lambda body, _: (body["model"] == "nope" and "404") or None
    ) as server:
        made = FRAME.llm.compare(
            SHORT, models=[model_at(server), model_at(server, "nope")], n=10, **common
        )
    assert made.table["answered"].tolist() == [10, 0]
    assert "404" in made.table.loc["openai/nope", "error"]
    assert made.table["agreement"].isna().all()


def test_one_budget_is_that_of_all_variants(common):
    limits = {"concurrency": 4}
    with Server(answer=said_of, latency_s=0.05) as server:
        with pytest.warns(BudgetWarning, match="89 of 120 answers are missing"):
            made = FRAME.llm.compare(
                PROMPTS,
                model=model_at(server),
                n=60,
                budget=lp.Budget(requests=31),
                limits=limits,
                **common,
            )
        assert server.counters.total == 31
    assert made.table["answered"].sum() == 31
    assert "The budget of 31 requests is reached" in repr(made)
    assert made.table["answered"].gt(0).all()  # neither starves


def test_a_budget_in_dollars_counts_what_all_of_them_spend(server, common):
    before = server.bill.usd
    limit = 0.0001
    with pytest.warns(BudgetWarning):
        FRAME.llm.compare(
            PROMPTS, models=[model_at(server), model_at(server, "gpt-4o")], n=None,
            budget=lp.Budget(usd=limit), limits={"concurrency": 4}, **common,
        )  # fmt: skip
    assert float(server.bill.usd - before) < 1.3 * limit
    unknown = lp.Model("openai", "mine", base_url=server.base_url, api_key=server.key)
    with pytest.raises(ConfigurationError, match=r"price of .* is not known"):
        FRAME.llm.compare(
            SHORT, models=[model_at(server), unknown], budget=lp.Budget(usd=1), **common
        )


def test_without_gold_agreement_takes_the_place_of_accuracy(server, common):
    made = FRAME.llm.compare([SHORT, STRICT], model=model_at(server), n=50, **common)
    assert made.variants == ["prompt 1", "prompt 2"]
    same = (made.frame["prompt 1"] == made.frame["prompt 2"]).mean()
    assert made.table["agreement"].tolist() == [same, same]
    assert made.agreement.to_numpy().tolist() == [[1.0, same], [same, 1.0]]
    assert (made.best, len(made.tests)) == (None, 0)
    with pytest.raises(ConfigurationError, match="Without gold= nobody knows"):
        made.test(1, 2)


def test_rows_that_are_not_answered_alike_are_listed_the_most_split_first(compared):
    rows = compared.disagreements
    assert list(rows.columns) == ["label", *compared.variants, "text"]
    answers = rows[compared.variants].astype(str)
    assert all(len(set(row)) > 1 for row in answers.to_numpy())
    largest = answers.apply(lambda row: row.value_counts().max(), axis=1).tolist()
    assert largest == sorted(largest)
    alike = compared.frame[~compared.frame["text"].isin(rows["text"])]
    alike = alike[compared.variants].astype(str).to_numpy()
    assert all(len(set(row)) == 1 for row in alike)


def test_what_prompts_say_differently_is_shown_line_by_line(compared):
    told = compared.diff("short", "strict")
    assert "-Mood? {text}" in told
    assert "+Think, then say the mood." in told
    assert repr(told) == told
    assert "<script" not in told._repr_html_()
    same = compared.diff("short with gpt-4o", "short with gpt-4o-mini")
    assert same.splitlines() == [
        "- model: openai/gpt-4o", "+ model: openai/gpt-4o-mini", "The prompt is the same."
    ]  # fmt: skip
    with pytest.raises(ConfigurationError, match="Did you mean 'short with gpt-4o'"):
        compared.diff("short with gpt4o", "strict")


def test_nothing_that_is_shown_of_a_comparison_commands_a_terminal_or_turns_text_around(
    server, common
):
    odd = "\x1b[2J\u202e"
    frame = FRAME.iloc[:20].assign(label=lambda rows: rows["label"] + odd)
    prompts = {f"a{odd}": SHORT, f"b{odd}": f"{SHORT} {odd}\n  Quickly."}
    made = frame.llm.compare(
        prompts, model=model_at(server), n=None, gold="label", **{**common, "schema": str}
    )
    told = made.diff(1, 2)
    assert "+  Quickly." in told
    for shown in (repr(made), made._repr_html_(), told, told._repr_html_(), made.test(1, 2).words):
        assert not {"\x1b", "\u202e"} & set(shown)


def test_all_rows_are_asked_of_one_variant_that_is_named_and_not_of_the_first_like_it(compared):
    with pytest.raises(ConfigurationError, match=r"'short' is in 2 variants.*'short with gpt-4o'"):
        compared.use("short")


def test_a_variant_that_answers_few_rows_with_numbers_is_not_the_best_for_it():
    frame = pd.DataFrame({"text": [f"#{n}" for n in range(60)], "stars": [*range(60)]})

    def stars(body):
        number = int(re.search(r"#(\d+)", str(body))[1])
        if "Think" in str(body):
            return str(number) if number < 17 else "no idea"
        return str(number + 1)

    with Server(answer=stars) as server:
        made = frame.llm.compare(
            PROMPTS, into="s", schema=int, gold="stars", n=None, model=model_at(server),
            journal=False, progress=False,
        )  # fmt: skip
    assert made.table.loc["strict", ["answered", "mae"]].tolist() == [17, 0]
    assert made.ranked == ["short", "strict"]
    assert made.best == "short"
    assert made.table.index.tolist() == made.variants  # as they are numbered, for .test and .use


def test_numbers_are_compared_by_their_errors(tmp_path):
    frame = pd.DataFrame(
        {"text": [f"#{n}" for n in range(40)], "stars": [n % 5 + 1 for n in range(40)]}
    )

    def stars(body):
        number = int(re.search(r"#(\d+)", str(body))[1])
        return str(number % 5 + 1 + ("Think" not in str(body)) * (number % 3))

    with Server(answer=stars) as server:
        made = frame.llm.compare(
            PROMPTS, into="s", schema=int, gold="stars", n=None, model=model_at(server),
            journal=str(tmp_path / "j"), progress=False,
        )  # fmt: skip
    assert made.table["mae"].tolist() == [pytest.approx(np.mean([n % 3 for n in range(40)])), 0]
    assert made.best == "strict"
    pair = made.test("short", "strict")
    assert (pair.only_a, pair.only_b) == (0, 26)
    assert "strict is better than short: the former is nearer in 26 rows" in pair.words
    far = (made.disagreements["short"] - made.disagreements["strict"]).tolist()
    assert far == sorted(far, reverse=True)
    assert "strict is off by 0 on average" in repr(made)
    assert made.plot() is not None


def test_whole_numbers_as_long_as_ids_are_compared_with_all_of_their_digits(tmp_path):
    first = 1734567890123456789
    frame = pd.DataFrame({"text": [f"#{n}" for n in range(8)], "id": [first + n for n in range(8)]})

    def said(body):
        number = int(re.search(r"#(\d+)", str(body))[1])
        off = -(10**18) + 1 if number == 7 else number % 3
        return str(first + number + off - ("Think" in str(body)) * (number % 3 > 0))

    with Server(answer=said) as server:
        made = frame.llm.compare(
            PROMPTS, into="s", schema=int, gold="id", n=None, model=model_at(server),
            journal=str(tmp_path / "j"), progress=False,
        )  # fmt: skip
    pair = made.test("short", "strict")  # both are wrong in row 7, the former less by one
    assert (pair.only_a, pair.only_b) == (1, 4)
    assert sorted(made.disagreements.index) == [1, 2, 4, 5, 7]


def test_lists_and_records_are_compared_as_wholes(tmp_path):
    class Facts(pydantic.BaseModel):
        mood: Mood
        stars: int

    frame = frame_of(12).assign(tags=[["a", "b"]] * 12)

    def lists(body):
        return json.dumps({"answer": ["b", "a"] if "Think" in str(body) else ["a"]})

    asked = {"journal": False, "progress": False, "n": None}
    with Server(answer=lists) as server:
        made = frame.llm.compare(
            PROMPTS, into="t", schema=list[str], gold="tags", model=model_at(server), **asked
        )
    assert made.table["accuracy"].tolist() == [0, 1]
    assert made.table["recall"].tolist() == [0.5, 1]
    with Server(seed=3) as server:
        both = frame.llm.compare(PROMPTS, into="f", schema=Facts, model=model_at(server), **asked)
        with pytest.raises(ConfigurationError, match=r"several fields.*score\('short_mood'"):
            frame.llm.compare(
                PROMPTS, into="f", schema=Facts, model=model_at(server), gold="label", **asked
            )
    columns = ["short_mood", "short_stars", "strict_mood", "strict_stars"]
    assert list(both.frame.columns)[-4:] == columns
    pairs = zip(*(both.frame[name].astype(str) for name in columns), strict=True)
    same = np.mean([(a, b) == (c, d) for a, b, c, d in pairs])
    assert both.agreement.loc["short", "strict"] == pytest.approx(same)


def test_what_cannot_work_is_said_before_anything_is_paid(server, common):
    sent = server.counters.total
    asked = {**common, "model": model_at(server)}
    schema = Literal["good", "bad"]
    for prompts, more, error, said in (
        ({"label": SHORT}, {}, ColumnError, "name of a variant and of a column"),
        ({"a": SHORT, "b": SHORT}, {}, ConfigurationError, "'a' and 'b' are the same"),
        (
            {"a": SHORT, "a with b": STRICT},
            {"model": None, "models": ["openai/b", "openai/b with b"]},
            ColumnError,
            "'a with b with b' is the name of a variant and of",
        ),
        ({"gold": SHORT}, {"schema": Note}, ColumnError, "'gold_mood' is the name of a column of"),
        (
            {"a": SHORT, "a_mood": STRICT},
            {"schema": Note},
            ColumnError,
            "'a_mood' is the name of a",
        ),
        ({"a": {"promt": SHORT}}, {}, ConfigurationError, "Did you mean 'prompt'"),
        ({"a": "Mood? {txt}"}, {}, ConfigurationError, "txt"),
        ({"a": "{text} {label}"}, {"gold": "label"}, ConfigurationError, "which is the gold"),
        (SHORT, {"gold": "label", "schema": schema}, ConfigurationError, "'fair' .* no answer in"),
        (SHORT, {"gold": "label", "schema": int}, ConfigurationError, "none could be right"),
        (SHORT, {"gold": "lable"}, ColumnError, "Did you mean 'label'"),
        (SHORT, {"models": ["openai/a"]}, ConfigurationError, "model= and models="),
        (SHORT, {"columns": ["text"]}, ConfigurationError, "has no argument 'columns'"),
        (SHORT, {"save": "x.parquet"}, ConfigurationError, "has no argument 'save'"),
        (SHORT, {"sample": "tail"}, ConfigurationError, "sample is 'random' or 'head'"),
        (SHORT, {"n": 0}, ConfigurationError, "n is a whole number from 1 on"),
        ([], {}, ConfigurationError, "nothing to compare"),
    ):
        with pytest.raises(error, match=said):
            FRAME.assign(gold_mood="good").llm.compare(prompts, **{**asked, **more})
    with pytest.raises(ConfigurationError, match="no row to compare on"):
        FRAME.iloc[:0].llm.compare(SHORT, **asked)
    assert server.counters.total == sent


def test_a_prompt_may_have_its_own_system_prompt_and_rows_without_a_cell_are_not_drawn(
    server, common
):
    frame = pd.concat([FRAME.iloc[:20], pd.DataFrame({"text": [None] * 20, "label": ["bad"] * 20})])
    made = frame.llm.compare(
        {"plain": SHORT, "told": {"prompt": SHORT, "system": "Be brief."}},
        model=model_at(server), n=None, gold="label", details=True, **common,
    )  # fmt: skip
    assert len(made.frame) == 20
    assert "20 rows: all with gold" in repr(made)
    assert {"plain_status", "told_usd"} <= set(made.frame.columns)
    told = [r.body["messages"][0]["content"] for r in server.requests if "Be brief." in str(r.body)]
    assert set(told) == {"Be brief."}
    assert "+system: Be brief." in made.diff("plain", "told")


def test_examples_confidence_and_votes_are_a_prompts_own_and_examples_are_not_drawn(server, common):
    frame = FRAME.iloc[:40].assign(mood=lambda rows: rows["label"].array)
    prompts = {
        "plain": SHORT,
        "shown": {"prompt": SHORT, "examples": frame.iloc[:3][["text", "mood"]]},
        "voted": {"prompt": SHORT, "votes": 3},
    }
    made = frame.llm.compare(prompts, model=model_at(server), n=None, gold="label", **common)
    assert list(made.frame["text"]) == list(frame["text"][3:])
    assert list(made.frame.columns)[3:] == ["plain", "shown", "voted", "voted_confidence"]
    usd = made.table["usd_per_1000"]
    assert usd["voted"] == pytest.approx(3 * usd["plain"])
    assert usd["shown"] > usd["plain"]
    assert "+examples: 3 rows" in made.diff("plain", "shown")
    sent = server.counters.total
    made.use("shown", overwrite=True)
    assert server.counters.total == sent + 3  # those that are examples


def test_a_model_that_is_made_of_models_is_compared_like_any_other(server, common):
    pool = lp.Pool([model_at(server), model_at(server, scope="other")])
    fallback = lp.Fallback([model_at(server, "gpt-4o", api_key="sk-wrong"), model_at(server)])
    made = FRAME.llm.compare(SHORT, models=[model_at(server), pool, fallback], n=20, **common)
    assert made.variants == [
        "openai/gpt-4o-mini",
        "Pool(gpt-4o-mini, gpt-4o-mini)",
        "Fallback(gpt-4o, gpt-4o-mini)",
    ]
    assert made.table["answered"].tolist() == [20, 20, 20]
    assert (made.agreement == 1).all(axis=None)


def test_there_is_one_bar_for_all_of_them(server, common, monkeypatch):
    told = io.StringIO()
    monkeypatch.setattr("sys.stderr", told)
    FRAME.llm.compare(PROMPTS, model=model_at(server), n=20, **{**common, "progress": True})
    assert "40/40" in told.getvalue()
    assert "20/20" not in told.getvalue()


def test_interrupting_it_stops_all_of_them_and_keeps_what_there_is(common, monkeypatch):
    with Server(answer=said_of, latency_s=30) as server:
        wait, waited = Job.wait, []

        def interrupted(job, timeout=None):
            waited.append(job)
            if len(waited) == 1:
                server.wait_for(lambda counters: counters.total >= 2)
                raise KeyboardInterrupt
            return wait(job, timeout)

        monkeypatch.setattr(Job, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt, match="pays nothing twice"):
            FRAME.llm.compare(PROMPTS, model=model_at(server), n=50, **common)
        assert all(job.done for job in waited)


def test_interrupted_before_all_of_them_began_every_one_has_ended(common, monkeypatch):
    with Server(answer=said_of, latency_s=30) as server:
        begin, begun = Job.begin, []

        def interrupted(job):
            begun.append(job)
            if len(begun) == 2:
                raise KeyboardInterrupt
            begin(job)

        monkeypatch.setattr(Job, "begin", interrupted)
        with pytest.raises(KeyboardInterrupt, match="pays nothing twice"):
            FRAME.llm.compare(PROMPTS, model=model_at(server), n=50, **common)
        assert {(job.done, job.stats.state) for job in begun} == {(True, "stopped")}


def test_the_card_has_everything_and_escapes_what_others_wrote(compared, server, tmp_path):
    html = compared._repr_html_()
    for text in (
        "Better, or luck?",
        "Where they differ",
        "What the prompts say differently",
    ):
        assert text in html
    frame = pd.DataFrame(
        {"text": ["bad <script>alert(1)</script> #1", "good #4"], "label": ["good", "bad"]}
    )
    made = frame.llm.compare(
        {"<b>a": SHORT, "b": STRICT + "<i>"}, into="m", schema=Mood, gold="label",
        model=model_at(server), journal=False, progress=False, n=None,
    )  # fmt: skip
    shown = made._repr_html_()
    assert "<script" not in shown
    assert "<b>a" not in shown
    assert "<i>" not in shown
    json.dumps(compared.as_dict())
    assert compared.plot() is not None
    assert lp.Comparison is type(compared)


def test_pictures_need_matplotlib_and_say_so(compared, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"comparison\.plot\(\)"):
        compared.plot()


class Kind(Enum):
    BAD = "bad"
    FAIR = "fair"
    GOOD = "good"


def test_an_enum_is_compared_by_its_values(server):
    made = FRAME.llm.compare(
        PROMPTS, into="m", schema=Kind, gold="label", n=20, model=model_at(server),
        journal=False, progress=False,
    )  # fmt: skip
    assert made.table["accuracy"].notna().all()


def test_fields_whose_values_have_one_hash_together_are_numbered_one_by_one():
    """Whole numbers can be chosen so that all pairs of them have one hash, for Python's has no secret."""
    size, a, b, c = 2**64, 11400714785074694791, 14029467366897019727, 2870177450012600261

    def turned(number):
        return ((number << 31) | (number >> 33)) % size

    pairs = []
    for first in range(1, 5000):
        lane = turned((c + first * b) % size) * a % size
        second = -lane * pow(b, -1, size) % size
        second -= size if second >= 2**63 else 0
        if abs(second) < 2**61 - 1 and second != -1:
            pairs.append((first, second))
    assert len({hash(pair) for pair in pairs}) == 1
    compared = 0

    class Number(int):
        """Counts how often it is compared."""

        __hash__ = int.__hash__

        def __eq__(self, other):
            nonlocal compared
            compared += 1
            return int(self) == int(other)

    columns = [SimpleNamespace(cells=[*map(Number, cells)]) for cells in zip(*pairs, strict=True)]
    again = [SimpleNamespace(cells=[*map(Number, cells)]) for cells in zip(*pairs, strict=True)]
    sheet = SimpleNamespace(_columns={"a": columns, "b": again}, names="ab", frame=pairs)
    codes = Sheet._coded(sheet)
    assert codes.tolist() == [[*range(len(pairs))]] * 2
    assert compared < 10 * len(pairs)
