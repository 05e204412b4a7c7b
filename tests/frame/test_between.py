"""Where two or three features meet: each works alone, and together they keep the same promises."""

import itertools
from typing import Literal

import pandas as pd
import pytest

import lionproc as lp
from lionproc.errors import ConfidenceWarning, FirstRowsFailedError, RowsFailedWarning

pytestmark = pytest.mark.usefixtures("home")
AB = Literal["a", "b", "c"]


@pytest.fixture
def server(shared):
    shared.configure(faults=None, answer=None, confidence=0.9)
    return shared


def member(server, name):
    return lp.Model("openai", name, base_url=server.base_url, api_key=server.key)


def test_votes_that_the_small_model_refused_and_the_large_one_cast_are_not_asked_for_again(server):
    def refused(body, n):
        del n
        return "content_filter" if body["model"] == "small" and "bad" in str(body) else None

    server.configure(answer=lambda body: {"answer": body["model"][0]}, faults=refused)
    frame = pd.DataFrame({"text": ["good", "bad", "bad"]})
    cascade = lp.Cascade([member(server, "small"), member(server, "large")], below=0.8)
    for model in (cascade, lp.Fallback([cascade, member(server, "large")])):
        ask = {"into": "x", "schema": Literal["s", "l"], "votes": 3, "model": model}
        out = frame.llm.process("{text}", **ask)
        assert out["x"].tolist() == ["s", "l", "l"]
        sent = server.counters.total
        again = frame.llm.process("{text}", **ask)
        assert server.counters.total == sent
        pd.testing.assert_frame_equal(out, again)
        seen = lp.run(out.llm.report().facts["run"]).frame(frame)
        assert seen["x"].tolist() == ["s", "l", "l"]


def test_first_rows_that_the_small_model_may_not_answer_go_on_and_those_it_answers_badly_stop(
    server,
):
    fault = "content_filter"
    server.configure(
        answer=lambda body: {"answer": body["model"][0]},
        faults=lambda body, n: fault if body["model"] == "small" else None,
    )
    frame = pd.DataFrame({"text": [f"row {n}" for n in range(40)]})
    model = lp.Cascade([member(server, "small"), member(server, "large")], below=0.8)
    ask = {"into": "x", "schema": Literal["s", "l"], "votes": 3, "model": model}
    ask["limits"] = lp.Limits(concurrency=4)
    assert frame.llm.process("Of {text}", **ask)["x"].tolist() == ["l"] * 40
    fault = "wrong_shape"
    with pytest.raises(FirstRowsFailedError):
        frame.llm.process("And {text}", **ask)


@pytest.mark.parametrize("details", [True, False])
def test_a_pipeline_that_saves_is_run_again_with_its_details_or_without(server, tmp_path, details):
    frame = pd.DataFrame({"text": ["a", "b"]})
    stages = [{"name": "x", "prompt": "{text}"}, {"name": "y", "prompt": "{x}"}]
    model, save = member(server, "m"), tmp_path / "out.parquet"
    frame.llm.pipeline(stages, model=model, save=save, details=True)
    sent = server.counters.total
    out = frame.llm.pipeline(stages, model=model, save=save, details=details)
    assert server.counters.total == sent
    assert list(lp.read_parquet(save).columns) == list(out.columns)


def test_a_cascade_that_its_budget_stopped_in_its_sample_goes_on_with_all_of_the_sample(server):
    def sure(body):
        return 0.5 + int(body["messages"][-1]["content"]) % 50 / 100

    server.configure(answer={"answer": "a"}, confidence=sure)
    models = [member(server, "small"), member(server, "large")]
    frame = pd.DataFrame({"text": [str(n) for n in range(1000, 1090)]})
    first = frame.llm.start(
        "{text}",
        into="x",
        schema=AB,
        model=lp.Cascade(models, target=0.9, sample=40),
        budget=lp.Budget(requests=60),
        limits=lp.Limits(concurrency=4),
    )
    first.wait()
    assert first.frame()["x"].notna().sum() < 40
    first.budget.requests = 1000
    out = first.retry_failed().result()
    assert out["x"].tolist() == ["a"] * 90
    assert "40 rows" in out.llm.report().facts["promise"]
    other = first.retry_failed(model=lp.Cascade(models[::-1], target=0.9, sample=30)).result()
    assert other["x"].notna().all()  # its sample is of the rows that are still to be asked


def test_what_a_run_that_asks_anew_has_paid_is_not_asked_again_when_its_failures_are(server):
    on = [True]

    def refused(body, n):
        del n
        return "400" if on[0] and body["model"] == "large" and "bad" in str(body) else None

    server.configure(answer={"answer": "a"}, confidence=0.6, faults=refused)
    cascade = lp.Cascade([member(server, "small"), member(server, "large")], below=0.8)
    frame = pd.DataFrame({"text": ["resumed good", "resumed bad"]})
    job = frame.llm.start("{text}", into="x", schema=AB, model=cascade, resume=False, details=True)
    with pytest.warns(lp.errors.RowsFailedWarning):
        job.result()
    sent, on[0] = server.counters.total, False
    out = job.retry_failed().result()
    assert out["x"].tolist() == ["a", "a"]
    assert server.counters.total == sent + 1


def test_votes_on_models_made_of_models_are_foreseen_as_they_are_sent_and_paid(server):
    server.configure(answer={"answer": "a"})
    price = lp.Price(input=1000.0, output=0.0)
    single, large = (
        lp.Model("openai", n, base_url=server.base_url, api_key=server.key, price=price)
        for n in ("foreseen-small", "foreseen-large")  # of which no test has taught us token counts
    )
    frame = pd.DataFrame({"text": [f"foreseen {n}" for n in range(25)]})
    ask = {"into": "x", "schema": AB, "votes": 3}
    alone = frame.llm.estimate("{text}", model=single, **ask)
    models = (lp.Fallback([single, large]), lp.Cascade([single, large], below=0.8))
    either, both = (frame.llm.estimate("{text}", model=model, **ask) for model in models)
    assert (alone.requests, either.requests, both.requests) == (75, 75, 150)
    assert (either.usd, both.usd) == (pytest.approx(alone.usd), pytest.approx(2 * alone.usd))
    frame.head(22).llm.process("{text}", model=models[1], **ask)
    known = frame.llm.estimate("{text}", model=models[1], **ask)
    assert (known.answered, known.requests) == (22, 9)  # their votes agree, so few will go on
    frame.llm.process("{text}", model=models[1], **ask)
    again = frame.llm.estimate("{text}", model=models[1], **ask)
    assert (again.answered, again.requests, again.usd) == (25, 0, 0.0)


@pytest.mark.parametrize(
    ("made_of", "requests"),
    [
        (lambda a, b, c: lp.Fallback([lp.Cascade([a, b], below=0.8), c]), (4, 2)),
        (lambda a, b, c: lp.Cascade([a, lp.Cascade([b, c], below=0.8)], below=0.8), (6, 4)),
        (lambda a, b, c: lp.Cascade([lp.Cascade([a, b], below=0.8), c], below=0.8), (6, 4)),
    ],
)
def test_every_level_of_a_cascade_is_foreseen_wherever_it_stands(server, made_of, requests):
    """The votes of all models differ, so that all of them are asked; the second one fails at first."""
    turns, faults = itertools.cycle("ab"), {"second": "400"}
    server.configure(
        answer=lambda body: {"answer": next(turns)},
        faults=lambda body, n: faults.get(body["model"]),
    )
    model = made_of(*(member(server, name) for name in ("first", "second", "third")))
    frame = pd.DataFrame({"text": ["one"]})
    ask = {
        "into": "x",
        "schema": AB,
        "votes": 2,
        "model": model,
        "limits": lp.Limits(concurrency=1),
    }
    assert frame.llm.estimate("{text}", **ask).requests == requests[0]
    with pytest.warns(RowsFailedWarning):
        frame.llm.process("{text}", **ask)
    faults.clear()
    assert frame.llm.estimate("{text}", **ask).requests == requests[1]
    sent = server.counters.total
    with pytest.warns(ConfidenceWarning):
        frame.llm.process("{text}", **ask)
    assert server.counters.total == sent + requests[1]


@pytest.mark.parametrize("votes", [1, 2])
@pytest.mark.parametrize("requests", [4, 9])
def test_the_dollars_of_rows_add_up_over_a_stop_equal_rows_and_a_rerun(server, votes, requests):
    server.configure(answer={"answer": "a"}, confidence=0.6)
    price = lp.Price(input=1000.0, output=0.0)
    models = [
        lp.Model("openai", n, base_url=server.base_url, api_key=server.key, price=price)
        for n in ("small", "large")
    ]
    frame = pd.DataFrame({"text": [f"{votes} {requests} dollars {n // 2}" for n in range(8)]})
    ask = {"into": "x", "schema": AB, "details": True, "votes": votes}
    ask["model"] = lp.Cascade(models, below=1.0 if votes == 1 else 0.4)
    job = frame.llm.start(
        "{text}", budget=lp.Budget(requests=requests), limits=lp.Limits(concurrency=1), **ask
    )
    job.wait()
    assert job.frame()["x_usd"].sum() == pytest.approx(job.report().usd)
    job.budget.requests = None
    again = job.retry_failed()
    out = again.result()
    paid = job.report().usd + again.report().usd
    assert out["x_usd"].sum() == pytest.approx(paid)
    rerun = frame.llm.process("{text}", **ask)
    assert rerun["x_usd"].sum() == pytest.approx(paid)
