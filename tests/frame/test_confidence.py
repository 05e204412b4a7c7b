"""`confidence=True`: how sure the model is, beside each answer, and what happens where it does not say."""

import json
import math
import threading
import warnings
from enum import Enum
from typing import Literal

import pandas as pd
import pytest
from pydantic import BaseModel

import lionproc as lp
from lionproc.engine.journal import Journal
from lionproc.errors import (
    ConfidenceWarning,
    ConfigurationError,
    ModelError,
    NoLogprobsError,
    ParameterWarning,
    RowsFailedWarning,
)
from lionproc.model.answer import Answer
from lionproc.model.body import parsed
from lionproc.model.confidence import Confidences, confidence_of
from lionproc.model.spelling import Spelling
from lionproc.testing import Fault, Server

pytestmark = pytest.mark.usefixtures("home")

MOOD = Literal["positive", "possible", "negative"]
DF = pd.DataFrame({"review": ["Great.", "Bad.", None, "Great."]}, index=[5, 5, 6, 7])
SURE = {"Great.": 0.97, "Bad.": 0.625}
ASKED = "Mood of {review}"


def text_of(body):
    return body["messages"][-1]["content"].removeprefix("Mood of ")


def mood(body):
    return {"answer": "positive" if text_of(body) == "Great." else "negative"}


def sure(body):
    return SURE[text_of(body)]


@pytest.fixture(scope="module")
def server():
    with Server(answer=mood, confidence=sure) as made:
        yield made


@pytest.fixture
def model(server):
    server.configure(answer=mood, confidence=sure, faults=None)
    return lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)


def test_how_labels_are_written_is_made_once_a_run_and_no_reply_waits_for_it(model, monkeypatch):
    made = []
    make = Spelling.__init__

    def counted(*given):
        made.append(threading.current_thread())
        make(*given)

    monkeypatch.setattr(Spelling, "__init__", counted)
    ask(model)
    assert made == [threading.current_thread()]  # in JSON; bare and in any case where it comes so


def ask(model, **more):
    given = {"into": "mood", "schema": MOOD, "confidence": True, "model": model, **more}
    return DF.llm.process(ASKED, **given)


def test_a_column_says_how_sure_the_model_is_and_is_na_where_there_is_no_answer(model):
    out = ask(model)
    assert list(out.columns) == ["review", "mood", "mood_confidence"]
    assert out["mood_confidence"].dtype == "Float64"
    assert out["mood_confidence"].tolist()[:2] == pytest.approx([0.97, 0.625])
    assert out["mood_confidence"].isna().tolist() == [False, False, True, False]
    assert out["mood_confidence"].iloc[3] == out["mood_confidence"].iloc[0]  # an equal row
    assert out["mood"].tolist()[:2] == ["positive", "negative"]


def test_log_probabilities_are_asked_for_are_in_the_key_and_come_back_from_the_journal(
    model, server
):
    before = server.counters.total
    first = ask(model)
    assert server.counters.total == before + 2
    sent = server.requests[-1].body
    assert (sent["logprobs"], sent["top_logprobs"]) == (True, 20)
    again = ask(model)
    assert server.counters.total == before + 2
    pd.testing.assert_frame_equal(first, again)
    ask(model, confidence=False)
    assert server.counters.total == before + 4  # another question: it has no log-probabilities
    fewer = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key, top_logprobs=5)
    ask(fewer)
    assert server.requests[-1].body["top_logprobs"] == 5


def test_it_is_in_saved_files_and_in_a_run_that_the_journal_remembers(model, tmp_path):
    out = ask(model, save=str(tmp_path / "out.parquet"), details=True)
    assert out.columns.get_loc("mood_confidence") == 2
    kept = pd.read_parquet(tmp_path / "out.parquet", dtype_backend="numpy_nullable")
    assert kept["mood_confidence"].tolist()[:2] == pytest.approx([0.97, 0.625])
    run = lp.run(out.llm.facts()["run"])
    again = run.frame(DF.iloc[::-1])
    assert again["mood_confidence"].tolist()[0] == pytest.approx(0.97)
    other = lp.run(ask(model, confidence=False).llm.facts()["run"])
    assert other.diff(run).settings["logprobs"] == (None, True)


class Sort(Enum):
    A = "a"
    B = "b"


class Review(BaseModel):
    reason: str
    sort: Sort
    urgent: bool


def test_a_model_has_a_column_for_each_choice_and_a_series_a_frame(model, server):
    server.configure(
        answer={"reason": "so", "sort": "b", "urgent": False}, confidence=lambda body: 0.75
    )
    out = ask(model, schema=Review, into=None)
    server.configure(answer={"answer": True})
    assert list(out.columns[1:]) == [
        *("reason", "sort", "urgent"),
        *("sort_confidence", "urgent_confidence"),
    ]
    assert out["urgent_confidence"].iloc[0] == pytest.approx(0.75)
    one = DF["review"].llm.process(
        "Mood of {value}", schema=bool, confidence=True, model=model, into="ok"
    )
    assert list(one.columns) == ["ok", "ok_confidence"]


def test_a_server_without_log_probabilities_is_refused_at_its_second_row_and_no_row_is_paid_twice(
    server,
):
    server.configure(answer="positive", confidence=None, faults=None)
    frame = pd.DataFrame({"review": [f"No. {n}" for n in range(500)]})
    before = server.counters.total
    fresh = lp.Model("openai", "m0", base_url=server.base_url, api_key=server.key)
    for _ in range(3):
        with pytest.raises(NoLogprobsError, match=r"'m0' have no log-probabilities.*votes=5"):
            frame.llm.process(
                ASKED, into="mood", schema=MOOD, confidence=True, model=fresh,
                limits=lp.Limits(concurrency=1),
            )  # fmt: skip
    paid = server.counters.total - before
    assert paid < 100  # few more leave while a reply goes to the disk
    assert len({text_of(request.body) for request in server.requests[-paid:]}) == paid


def test_where_the_first_row_alone_has_none_the_run_goes_on_one_by_one_too(server):
    server.configure(
        answer=mood, confidence=lambda body: None if text_of(body) == "Great." else 0.9, faults=None
    )
    fresh = lp.Model("openai", "shy at first", base_url=server.base_url, api_key=server.key)
    with pytest.warns(ConfidenceWarning, match="2 of 3 answers have no confidence"):
        out = ask(fresh, limits=lp.Limits(concurrency=1))
    assert out["mood"].notna().tolist() == [True, True, False, True]
    assert out["mood_confidence"].notna().tolist() == [False, True, False, False]


@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize("made_as", ["a fallback", "a cascade", "a fallback in a cascade"])
def test_rows_that_go_on_to_a_model_without_log_probabilities_end_no_run(server, refuses, made_as):
    refusal = {"error": {"message": "logprobs are not supported", "param": "logprobs"}}
    fault = Fault("other", status=400, body=json.dumps(refusal))
    texts = [f"No. {n}" for n in range(9)]
    handed_on = {"No. 2", "No. 3", "No. 4"}
    server.configure(
        answer="positive",
        confidence=lambda body: None if body["model"] == "mute" else 0.99,
        faults=lambda body, number: (
            (fault if refuses and "logprobs" in body else None)
            if body["model"] != "clear"
            else "content_filter"
            if text_of(body) in handed_on
            else None
        ),
    )
    clear, mute, large = (
        lp.Model("openai", name, base_url=server.base_url, api_key=server.key)
        for name in ("clear", "mute", "large")
    )
    within = lp.Fallback([clear, mute])
    model = {
        "a fallback": within,
        "a cascade": lp.Cascade([clear, mute], below=0.9),
        "a fallback in a cascade": lp.Cascade([within, large], below=0.9),
    }[made_as]
    last = made_as == "a fallback in a cascade"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = pd.DataFrame({"review": texts}).llm.process(
            ASKED, into="mood", schema=MOOD, confidence=not last, model=model, details=True,
            limits=lp.Limits(concurrency=1), progress=False,
        )  # fmt: skip
    by = ["large" if last else "mute" if not refuses else None] * 3
    assert [None if pd.isna(each) else each for each in out["mood_model"]] == [
        "clear", "clear", *by, *["clear"] * 4,
    ]  # fmt: skip


def test_single_replies_without_them_are_na_and_it_is_said_once(server, model):
    server.configure(confidence=lambda body: None if text_of(body) == "Bad." else 0.9)
    one_by_one = lp.Limits(concurrency=1)
    with pytest.warns(ConfidenceWarning, match="1 of 3 answers has no confidence") as told:
        out = ask(model, limits=one_by_one)
    assert len(told) == 1
    assert out["mood"].notna().tolist() == [True, True, False, True]
    assert out["mood_confidence"].isna().tolist() == [False, True, True, False]
    with pytest.warns(ConfidenceWarning):
        again = ask(model)  # what is kept is read the same way
    pd.testing.assert_frame_equal(out, again)


def test_a_reply_that_is_no_answer_is_not_searched_for_its_tokens(server, model, monkeypatch):
    searched = []
    read = Confidences.read
    monkeypatch.setattr(
        Confidences,
        "read",
        lambda each, data, said: searched.append(said) or read(each, data, said),
    )
    server.configure(answer=lambda body: "aX" + "a" * 9 if text_of(body) == "Bad." else mood(body))
    with pytest.warns(RowsFailedWarning):
        out = ask(model, retry=lp.Retry(max_corrections=0))
    assert out["mood_confidence"].notna().tolist() == [True, False, False, True]
    assert searched
    assert not any("aX" in said for said in searched)


@pytest.mark.parametrize(
    "body",
    [
        {"message": "Unsupported parameter: 'logprobs' is not supported with this model."},
        {"message": "You are not allowed to request logprobs from this model"},
        {
            "message": "Unrecognized request argument supplied: top_logprobs",
            "param": "top_logprobs",
        },
        {
            "message": "Logprobs is not enabled for models/gemini-2.5-pro",
            "status": "INVALID_ARGUMENT",
        },
    ],
    ids=lambda body: body["message"][:30],
)
@pytest.mark.parametrize("status", [400, 403])
def test_a_model_that_refuses_them_is_not_asked_without(server, model, body, status):
    fault = Fault("other", status=status, body=json.dumps({"error": body}))
    server.configure(faults=lambda asked, n: fault if "logprobs" in asked else None)
    name = f"refusing-{status}-{body['message'][:9]}"
    fresh = lp.Model("openai", name, base_url=server.base_url, api_key=server.key)
    before = server.counters.total
    for _ in range(2):
        with pytest.raises(NoLogprobsError, match=r"ogprobs.*votes=5"):
            ask(fresh, limits=lp.Limits(concurrency=1))
    assert server.counters.total <= before + 2
    out = ask(fresh, confidence=False)
    assert out["mood"].notna().sum() == 3


@pytest.mark.parametrize("evil", ["Great.", "Bad."])
def test_a_row_that_a_guardrail_blocks_ends_no_run_by_showing_what_was_asked_for(server, evil):
    def blocks(asked, number):
        if text_of(asked) != evil:
            return None
        shown = {name: asked[name] for name in sorted(asked) if name != "messages"}
        said = {"message": "Blocked by guardrail.", "request": shown}
        return Fault("other", status=403, body=json.dumps({"error": said}))

    server.configure(answer=mood, confidence=sure, faults=blocks)
    fresh = lp.Model("openai", f"not {evil}", base_url=server.base_url, api_key=server.key)
    for _ in range(2):
        with pytest.warns(RowsFailedWarning):
            out = ask(fresh, limits=lp.Limits(concurrency=1))
        assert out["mood"].notna().tolist() == DF["review"].isin({*SURE} - {evil}).tolist()


def test_a_guardrail_that_answers_for_the_model_ends_no_run_at_its_first_row(server):
    blocked = "I cannot help with that."  # as a reply of a proxy, which has no log-probabilities
    canned = json.dumps({"choices": [{"message": {"content": blocked}, "finish_reason": "stop"}]})
    said = Fault("other", status=200, body=canned)
    evil = DF["review"].iloc[0]
    blocks = lambda asked, number: said if evil in json.dumps(asked) else None  # noqa: E731
    server.configure(answer=mood, confidence=sure, faults=blocks)
    fresh = lp.Model("openai", "behind a guardrail", base_url=server.base_url, api_key=server.key)
    for _ in range(2):  # and not either where the reply is kept
        with pytest.warns(RowsFailedWarning):
            out = ask(fresh, limits=lp.Limits(concurrency=1))
        assert out["mood"].notna().tolist() == DF["review"].isin({*SURE} - {evil}).tolist()
        assert out["mood_confidence"].notna().tolist() == out["mood"].notna().tolist()


@pytest.mark.parametrize(
    ("said", "most"),
    [
        ("Invalid value for 'top_logprobs': must be less than or equal to 5.", 5),
        ("Requested sample logprobs of 20, which is greater than max allowed: 8", 8),
        ("top_logprobs must be between 0 and 5", 5),
    ],
    ids=str,
)
def test_a_model_that_tells_fewer_tokens_is_asked_for_as_many_as_it_tells(server, said, most):
    fault = Fault("other", status=400, body=json.dumps({"error": {"message": said}}))
    server.configure(
        answer=mood,
        confidence=sure,
        faults=lambda body, n: fault if body.get("top_logprobs", 0) > most else None,
    )
    name = f"few-{len(said)}"
    few = lp.Model("openai", name, base_url=server.base_url, api_key=server.key)
    with pytest.warns(ParameterWarning, match=f"top_logprobs of {most} at the most"):
        out = ask(few)
    assert out["mood_confidence"].tolist()[:2] == pytest.approx([0.97, 0.625])
    assert server.requests[-1].body["top_logprobs"] == most


def test_a_reply_that_comes_as_a_stream_has_its_log_probabilities_in_pieces():
    whole = {"choices": [{"index": 0, "finish_reason": "stop"}]}
    tokens = [
        {"token": '{"answer":"', "logprob": 0.0, "top_logprobs": []},
        {
            "token": "positive",
            "logprob": math.log(0.75),
            "top_logprobs": [
                {"token": "positive", "logprob": math.log(0.75)},
                {"token": "negative", "logprob": math.log(0.25)},
            ],
        },
        {"token": '"}', "logprob": 0.0, "top_logprobs": []},
    ]
    chunks = [
        {"choices": [{"index": 0, "delta": {"content": t["token"]}, "logprobs": {"content": [t]}}]}
        for t in tokens
    ]
    body = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in [*chunks, whole])
    answer = Answer.of(Literal["positive", "negative"])
    assert confidence_of(parsed(body), answer) == pytest.approx(0.75)


def test_what_a_model_was_asked_without_is_known_to_a_run_that_needs_it(server, model):
    refusal = {"error": {"message": "Unsupported parameter: logprobs", "param": "logprobs"}}
    fault = Fault("other", status=400, body=json.dumps(refusal))
    server.configure(faults=lambda asked, n: fault if "logprobs" in asked else None)
    plain = {"base_url": server.base_url, "api_key": server.key}
    with pytest.warns(ParameterWarning):  # who asks for them alone gets an answer without
        ask(lp.Model("openai", "known", **plain, logprobs=True), confidence=False)
    before = server.counters.total
    with pytest.raises(NoLogprobsError, match="votes=5"):
        ask(lp.Model("openai", "known", **plain))
    assert server.counters.total == before


@pytest.mark.parametrize("provider", ["anthropic/claude", "groq/llama"])
def test_a_provider_that_has_none_is_refused_before_anything_is_sent(provider):
    model = lp.Model(provider, api_key="sk-none")
    for verb in (DF.llm.process, DF.llm.estimate, DF.llm.start):
        with pytest.raises(ModelError, match=r"no log-probabilities.*votes=5"):
            verb("{review}", into="mood", schema=MOOD, confidence=True, model=model)


def test_what_is_no_choice_and_what_is_no_argument_are_refused(model):
    for more, match in [
        ({"schema": str}, "Literal.*votes=5"),
        ({"schema": list[Literal["a", "b"]]}, "Literal.*votes=5"),
        ({"confidence": "yes"}, "True or False"),
        ({"votes": 3}, "both say how sure"),
    ]:
        with pytest.raises(ConfigurationError, match=match):
            ask(model, **more)
    taken = DF.assign(mood_confidence=1)
    with pytest.raises(ConfigurationError, match="mood_confidence"):
        taken.llm.process(ASKED, into="mood", schema=MOOD, confidence=True, model=model)


def test_an_answer_that_was_asked_again_has_the_confidence_of_the_last_reply(server, model):
    def answer(body):
        return {"answer": "negative"} if len(body["messages"]) > 1 else {"answer": "awful"}

    server.configure(answer=answer, confidence=lambda body: 0.8)
    out = ask(model)
    assert out["mood_confidence"].iloc[0] == pytest.approx(0.8)


def test_rows_that_failed_are_asked_again_and_the_others_keep_what_they_have(server, model):
    server.configure(faults=lambda body, n: "refusal" if text_of(body) == "Bad." else None)
    with pytest.warns(RowsFailedWarning):
        ask(model)
    server.configure(faults=None)
    out = lp.last_job().retry_failed().result()
    assert out["mood_confidence"].tolist()[:2] == pytest.approx([0.97, 0.625])


@pytest.mark.local_model
def test_with_the_embedded_model_it_is_the_probability_computed_by_hand(home):
    pytest.importorskip("xllamacpp")
    labels = ["positive", "negative"]
    rows = pd.DataFrame({"review": ["Great pan, love it.", "Awful. It broke after a day."]})
    out = rows.llm.process(
        "Answer with positive or negative.\nReview: {review}",
        into="mood",
        schema=Literal["positive", "negative"],
        confidence=True,
        model=lp.Model("local", temperature=0),
    )
    with Journal.open(None) as journal:
        kept = [json.loads(entry.reply) for entry in reversed(list(journal.latest(2)))]
    by_text = {}
    for data in kept:
        tokens = data["choices"][0]["logprobs"]["content"]
        by_text[data["choices"][0]["message"]["content"]] = tokens
    for label, confidence in zip(out["mood"], out["mood_confidence"], strict=True):
        (tokens,) = [found for text, found in by_text.items() if label in text]
        assert confidence == pytest.approx(by_hand(tokens, label, labels), abs=1e-9)


def by_hand(tokens, label, labels):
    """The probability of a label from the tokens that stand behind the last colon and quote."""
    said, known = "", 1.0
    text = "".join(token["token"] for token in tokens)
    begins = text.rindex(f'"{label}"') + 1
    place = 0
    for token in tokens:
        start, place = place, place + len(token["token"])
        if start < begins:
            continue
        left = [each for each in labels if each.startswith(said)]
        if len(left) < 2:
            break
        listed = {each["token"]: math.exp(each["logprob"]) for each in token["top_logprobs"]}
        listed.setdefault(token["token"], math.exp(token["logprob"]))

        def leads(piece, to, so_far=said):
            return piece and (
                (so_far + piece).startswith(f'{to}"') or f'{to}"'.startswith(so_far + piece)
            )

        right = sum(p for piece, p in listed.items() if leads(piece, label))
        wrong = sum(
            p for piece, p in listed.items() if any(leads(piece, o) for o in left if o != label)
        )
        if not wrong:  # none of the other's tokens is listed: at the most what the least likely has
            least = min(math.exp(each["logprob"]) for each in token["top_logprobs"])
            wrong = min(least, 1 - sum(listed.values()))
        known *= right / (right + wrong)
        said += token["token"]
    return known
