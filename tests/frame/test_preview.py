"""A few rows for real, and what the rest will cost by what they showed."""

from __future__ import annotations

import warnings
from typing import Literal

import pandas as pd
import pytest

import lionproc as lp
from lionproc.testing import Server

Mood = Literal["positive", "negative"]
RULES = "Judge as a careful reader would. " * 250  # about 2,000 tokens
LINES = [f"{'fine ' * (3 + 7 * n % 40)}({n})" for n in range(160)]
REVIEWS = pd.DataFrame({"review": LINES}, index=[f"r{n}" for n in range(160)])
SHORT = pd.DataFrame({"text": ["one", "two", "two", None, "five is the longest"]})


def model_at(server, name="gpt-4o-mini", **more):
    return lp.Model("openai", name, base_url=server.base_url, api_key=server.key, **more)


@pytest.fixture
def journal(tmp_path):
    return str(tmp_path / "j.sqlite")


@pytest.mark.parametrize(
    ("system", "prompt", "more"),
    [
        (RULES, "Review: {review}", {}),
        (None, "Review: {review}\n" + RULES, {}),
        (RULES, "Review: {review}", {"service_tier": "flex"}),
        (None, "Review: {review}", {"schema": str, "answers": "vary"}),
    ],
    ids=["cached", "behind the placeholder", "flex", "texts"],
)
def test_after_a_preview_of_20_random_rows_the_estimate_is_within_a_tenth_of_the_bill(
    journal, system, prompt, more
):
    name = "gpt-5-mini" if "service_tier" in more else "gpt-4o-mini"

    def vary(body):
        return "It is good. " * (4 + len(body["messages"][-1]["content"]) % 5)

    with Server(prices="openai", answer=vary if "answers" in more else None) as server:
        tier = {k: v for k, v in more.items() if k == "service_tier"}
        asked = {
            "into": "mood",
            "schema": more.get("schema", Mood),
            "system": system,
            "journal": journal,
            "model": model_at(server, name, **tier),
        }
        tried = REVIEWS.llm.preview(prompt, n=20, sample="random", **asked)
        before = server.bill
        assert tried.rows["usd"].sum() == pytest.approx(float(before.usd))
        foreseen = tried.estimate
        REVIEWS.llm.process(prompt, progress=False, **asked)
        bill = server.bill
    assert (foreseen.requests, foreseen.answered, foreseen.basis) == (140, 20, "seen")
    rest = float(bill.usd - before.usd)
    assert foreseen.usd == pytest.approx(rest, rel=0.1)
    assert foreseen.input_tokens == pytest.approx(bill.input_tokens - before.input_tokens, rel=0.1)
    assert foreseen.output_tokens == pytest.approx(
        bill.output_tokens - before.output_tokens, rel=0.1
    )
    cached = bill.cached_tokens - before.cached_tokens
    assert foreseen.cached_tokens == pytest.approx(cached, rel=0.1)
    assert foreseen.minutes > 0
    assert foreseen.limited_by == "concurrency"
    assert bool(foreseen.hints) == ("behind" in prompt or prompt.endswith(RULES))
    if tier:
        assert foreseen.usd_standard == pytest.approx(2 * foreseen.usd, rel=0.05)
        assert "at the tier flex; $" in repr(foreseen)


def test_a_preview_shows_what_went_out_and_came_back_and_its_rows_are_never_paid_again(journal):
    with Server(prices="openai", latency_s=0.001) as server:
        asked = {"into": "a", "schema": Mood, "model": model_at(server), "journal": journal}
        tried = SHORT.llm.preview("Say {text}", system="Be brief.", n=4, **asked)
        assert server.counters.total == 2
        rows = tried.rows
        columns = ["prompt", "reply", "answer", "tokens", "usd", "seconds", "error"]
        assert list(rows.columns) == columns
        assert list(rows.index) == [0, 1, 2, 3]
        assert rows["prompt"][0] == "system: Be brief.\nuser: Say one"
        assert tried._repr_html_().count("Be brief.") == 1  # what all rows have is shown once
        assert rows["reply"][0] == f'{{"answer":"{tried.frame["a"][0]}"}}'
        assert list(rows["answer"][:3]) == list(tried.frame["a"][:3])
        assert rows["tokens"].sum() == server.bill.input_tokens + server.bill.output_tokens
        assert rows["usd"].sum() == pytest.approx(float(server.bill.usd))
        assert (rows["seconds"][:2] > 0).all()
        assert rows["prompt"].isna().tolist() == [False, False, False, True]
        said = repr(tried)
        assert "shares the request of an equal row" in said
        assert "skipped: a cell is missing" in said
        assert "1 reply" not in tried.estimate.source
        SHORT.llm.process("Say {text}", system="Be brief.", progress=False, **asked)
        assert server.counters.total == 3
        again = SHORT.llm.preview("Say {text}", system="Be brief.", n=4, **asked)
        assert server.counters.total == 3
        assert again.rows["reply"].tolist()[:3] == rows["reply"].tolist()[:3]
        assert again.estimate.requests == 0
        assert SHORT.llm.preview("Say {text}", system="Be brief.", **asked).estimate.source == (
            "3 replies to this prompt"  # those of earlier runs count too
        )
        assert "nothing to pay" in repr(again.estimate)


def test_a_preview_saves_nothing_and_a_series_is_estimated_as_its_frame_is(tmp_path, journal):
    with Server() as server:
        asked = {"model": model_at(server), "journal": journal}
        foreseen = SHORT["text"].llm.estimate("Say {value}", **asked)
        assert server.counters.total == 0
        assert (foreseen.rows, foreseen.requests, foreseen.skipped) == (5, 3, 1)
        one = SHORT["text"].llm.preview("Say {value}", n=1, save=tmp_path / "no.parquet", **asked)
        assert len(one.frame) == 1
    assert not (tmp_path / "no.parquet").exists()


def test_rows_are_drawn_from_anywhere_or_are_the_longest(journal):
    with Server() as server:
        asked = {"into": "a", "model": model_at(server), "journal": journal}
        drawn = [
            REVIEWS.llm.preview("{review}", n=5, sample="random", seed=s, **asked)
            for s in (1, 1, 2)
        ]
        labels = [list(each.frame.index) for each in drawn]
        assert labels[0] == labels[1] != labels[2]
        assert labels[0] != list(REVIEWS.index[:5])
        (longest,) = SHORT.llm.preview("{text}", n=1, sample="longest", **asked).frame["text"]
        assert longest == "five is the longest"
        both = SHORT.assign(more=SHORT["text"]).llm.preview(
            "{value}", into="{column}_x", columns=["text", "more"], n=2,
            model=model_at(server), journal=journal,
        )  # fmt: skip
        assert both.rows["into"].tolist() == ["text_x", "more_x"] * 2
        series = SHORT["text"].llm.preview(
            "Say {value}", n=2, model=model_at(server), journal=False
        )
        assert isinstance(series.frame, pd.Series)
        assert series.frame.name == "text"
        assert series.frame.tolist() == ["echo: Say one", "echo: Say two"]
        assert series.rows["reply"].tolist() == ["echo: Say one", "echo: Say two"]
        assert series.estimate.requests == 3  # without a journal nothing is kept
        assert series.estimate.basis == "seen"


@pytest.mark.parametrize(
    "wrong", [{"n": 0}, {"n": True}, {"sample": "tail"}, {"seed": "x"}], ids=str
)
def test_what_cannot_be_tried_is_refused_before_anything_is_sent(wrong):
    (name,) = wrong
    model = lp.Model("openai", "m", base_url="http://127.0.0.1:9/v1", api_key="k")
    with pytest.raises(lp.errors.ConfigurationError, match=name):
        SHORT.llm.preview("Say {text}", into="a", model=model, **wrong)
    with pytest.raises(lp.errors.ConfigurationError, match=name):
        SHORT["text"].llm.preview("Say {value}", model=model, **wrong)


def test_a_preview_without_any_answer_says_why_as_the_run_does(journal):
    with Server(prices="openai", answer="It depends.") as server:
        asked = {"into": "a", "schema": Mood, "model": model_at(server), "journal": journal}
        with pytest.warns(lp.errors.RowsFailedWarning, match="wrong_shape|wrong shape"):
            tried = REVIEWS.llm.preview("Say {review}", n=3, **asked)
        assert tried.rows["reply"].tolist() == ["It depends."] * 3
        assert tried.rows["error"].str.contains("'positive'").all()
        assert tried.rows["usd"].sum() == pytest.approx(float(server.bill.usd))
        assert "no answer to any of 3 rows (wrong shape)" in repr(tried)
        assert tried.rows["error"].str.count("widen schema").eq(1).all()
        assert tried.estimate.usd > float(server.bill.usd)  # those that fail are paid for as well
        with pytest.raises(lp.errors.FirstRowsFailedError):
            REVIEWS.llm.preview("Say: {review}", n=20, **asked)


def test_a_notebook_shows_a_preview_escaped_and_long_texts_folded(journal):
    evil = pd.DataFrame({"t": ["<script>alert(1)</script> " + "long " * 200]}, index=["<b>x</b>"])
    with Server(answer="<img src=x onerror=alert(2)>") as server:
        page = evil.llm.preview(
            "{t}", into="a", model=model_at(server), journal=journal
        )._repr_html_()
    assert "<script" not in page
    assert "<img" not in page
    assert "<b>x" not in page
    assert "&lt;script&gt;" in page
    assert "<details>" in page
    assert page.count("$") == page.count("<span>$</span>") > 0  # two would be mathematics


def test_money_that_is_not_known_is_unknown_and_not_zero(journal):
    with Server() as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        asked = {"into": "a", "model": model_at(server, "my-own-model"), "journal": journal}
        foreseen = SHORT.llm.estimate("Say {text}", **asked)
        assert foreseen.usd is None
        assert foreseen.minutes is None
        assert "unknown" in repr(foreseen)
        assert foreseen.as_dict()["usd_range"] is None
        tried = SHORT.llm.preview("Say {text}", n=1, **asked)
        assert tried.rows["usd"].isna().all()
        assert "cost unknown" in repr(tried)
        model = model_at(server, "my-own-model", price=lp.Price(input=1, output=10))
        own = SHORT.llm.estimate("Say {text}", **{**asked, "model": model})
        assert own.usd > 0


def test_a_guess_is_made_from_the_type_of_the_answer_and_what_the_model_has_written(journal):
    with Server(prices="openai", answer="A text of some words.") as server:
        asked = {"into": "a", "model": model_at(server), "journal": journal}
        label = REVIEWS.llm.estimate("Is {review} good?", schema=Mood, **asked)
        assert label.output_tokens <= 10 * len(REVIEWS)
        assert label.output_range[0] < label.output_tokens <= label.output_range[1]
        assert (label.basis, label.cached_tokens) == ("guess", 0)
        text = REVIEWS.llm.estimate("Is {review} good?", **asked)
        assert text.output_tokens > 10 * label.output_tokens
        briefed = {**asked, "schema": Mood, "system": RULES}  # the provider will cache the brief
        brief = REVIEWS.llm.estimate("{review}", **briefed)
        assert brief.cached_tokens > 0.8 * brief.input_tokens
        assert 1.5 * brief.usd < brief.usd_range[1]  # or it will not
        thinks = {**asked, "model": model_at(server, "gpt-5-mini"), "schema": Mood}
        assert REVIEWS.llm.estimate("{review}", **thinks).usd_range[1] > 10 * label.usd_range[1]
        bounded = model_at(server, max_tokens=9)
        few = REVIEWS.llm.estimate("Is {review} good?", **{**asked, "model": bounded})
        assert few.output_range[1] == 9 * len(REVIEWS)
        REVIEWS.head(4).llm.process("Describe {review}", progress=False, **asked)
        text = REVIEWS.llm.estimate("Is {review} good?", **asked)
        assert text.source == "4 replies of this model to other prompts"
        assert text.output_tokens == pytest.approx(server.bill.output_tokens / 4 * 160, abs=1)
        assert text.basis == "seen"
        assert text.minutes is not None


def test_the_limit_that_decides_is_named_and_to_look_makes_no_journal(tmp_path, monkeypatch):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    model = lp.Model("openai/m", api_key="k")
    seen = REVIEWS.llm.estimate("{review}", model=model, limits={"tokens_per_minute": 1000})
    assert seen.limited_by == "tokens_per_minute"
    assert seen.minutes == pytest.approx((seen.input_tokens + seen.output_tokens) / 1000, rel=0.01)
    limits = {"requests_per_minute": 1, "tokens_per_minute": 10**6}
    assert REVIEWS.llm.estimate("{review}", model=model, limits=limits).limited_by == (
        "requests_per_minute"
    )
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("prompt", "system", "says"),
    [
        ("{review}\n" + RULES, None, "behind the first placeholder"),
        ("{review} or " + RULES + " and {review}?", None, "behind the first placeholder"),
        (lambda row: row["review"] + RULES, None, "behind the first placeholder"),
        (
            "Judge.\n" + RULES + "{review}",
            lambda row: f"You read {row['review']}.",
            "system prompt",
        ),
        (RULES + "{review}", None, None),
        ("{review}", RULES, None),
        ("{review}\nIs it good?", None, None),
    ],
)
def test_a_fixed_text_that_cannot_be_cached_is_named_with_what_moving_it_would_save(
    prompt, system, says
):
    model = lp.Model("openai/gpt-4o-mini", api_key="k")
    foreseen = REVIEWS.llm.estimate(
        prompt, into="a", schema=Mood, system=system, model=model, journal=False
    )
    if says is None:
        assert foreseen.hints == ()
        return
    (hint,) = foreseen.hints
    assert says in hint
    assert "saves up to $" in hint
    assert hint in repr(foreseen).replace("  to save  ", "")


def test_prices_of_ones_own_are_foreseen_at_the_tier_that_is_asked_for(journal):
    with Server() as server:

        def foreseen(**tiers):
            model = lp.Model("openai/own", base_url=server.base_url, api_key=server.key,
                             service_tier="flex", price=lp.Price(1, 2, **tiers))  # fmt: skip
            return pd.DataFrame({"text": ["a", "b"]}).llm.estimate(
                "{text}", into="a", model=model, journal=journal
            )

        half, whole = foreseen(tiers={"flex": 0.5}), foreseen()
    assert half.usd_standard == pytest.approx(2 * half.usd)
    assert whole.usd == whole.usd_standard == half.usd_standard


class Mute:
    """A label of a stranger's class."""

    def __str__(self):
        raise RuntimeError


def test_a_label_that_has_no_text_costs_nobody_what_was_tried(journal):
    frame = pd.DataFrame({"text": ["one"]}, index=pd.Index([Mute()], dtype=object))
    with Server(answer="yes") as server:
        asked = {"into": "a", "model": model_at(server), "journal": journal}
        tried = frame.llm.preview("{text}", **asked)
        out = frame.llm.process("{text}!", **asked)
    assert tried.rows["answer"].tolist() == ["yes"]
    assert "row (Mute, whose text raises RuntimeError)" in str(tried)
    assert out["a"].tolist() == ["yes"]
    assert lp.runs(journal)["state"].tolist()[-1] == "done"
