"""`lp.Fallback`: another model for what the first cannot answer, never for what it answers badly."""

import asyncio
import json
from typing import Literal

import pandas as pd
import pytest

import lionproc as lp
from lionproc.engine.failure_policy import FailurePolicy
from lionproc.engine.request import Event, Reply
from lionproc.engine.retry import Fail, Retry, Wait
from lionproc.errors import CallError, FirstRowsFailedError, Kind, ModelError
from lionproc.model.steps import CANNOT
from lionproc.testing import Fault, Server

QUIET = {"progress": False, "panel": False}
QUICK = lp.Retry(max_attempts=2, base_s=0.0)
pytestmark = pytest.mark.usefixtures("no_slow_start")


@pytest.fixture
def first(monkeypatch, tmp_path):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    with Server(answer="one") as server:
        yield server


@pytest.fixture
def second():
    with Server(answer="two") as server:
        yield server


def at(server, name="a", **more):
    return lp.Model("openai", name, base_url=server.base_url, api_key=server.key, **more)


def ask(model, texts, **more):
    frame = pd.DataFrame({"text": texts})
    arguments = {"into": "a", "model": model, "details": True, "retry": QUICK, **QUIET, **more}
    return frame.llm.process("Say {text}", **arguments)


def names(count):
    return [f"t{n}" for n in range(count)]


def only(rows, fault):
    """A fault for some rows alone."""
    return lambda body, _: fault if body["messages"][-1]["content"][4:] in rows else None


def other(status, code, message):
    body = {"error": {"message": message, "code": code, "type": code}}
    return Fault("other", status=status, body=json.dumps(body))


def test_what_was_voted_on_while_the_first_was_down_is_found_when_the_run_is_looked_at(
    first, second
):
    first.configure(faults={"401": 1.0})
    second.configure(faults=[None, None, None, None, "400"])
    one_by_one = {"concurrency": 1, "adapt": False}
    ask(lp.Fallback([at(first), at(second)]), names(4), votes=3, limits=one_by_one)
    seen = lp.run(lp.runs()["run"].iloc[-1]).frame(pd.DataFrame({"text": names(5)}))
    assert seen["a"].tolist()[:4] == ["two"] * 4
    assert seen["a"].isna().tolist() == [False] * 4 + [True]


def test_where_the_first_is_down_rows_go_straight_to_the_next_and_a_rerun_sends_nothing(
    first, second
):
    first.configure(faults={"503": 1.0})
    model = lp.Fallback([at(first, "a"), at(second, "b")])
    out = ask(model, names(120), limits={"concurrency": 4, "adapt": False})
    assert out["a"].tolist() == ["two"] * 120
    assert set(out["a_model"]) == {"b"}
    assert first.counters.total <= 16  # not a ladder of retries for each row
    assert second.counters.total == 120
    used = out.llm.report().members.set_index("member")
    assert used["answered"].to_dict() == {"openai/a": 0, "openai/b": 120}
    assert used["requests"].sum() == first.counters.total + 120
    assert used.loc["openai/a", "errors"] == {"overloaded": 120}
    first.configure(faults=None)
    again = ask(model, names(120))
    assert set(again["a_status"]) == {"cached"}
    assert first.counters.total + second.counters.total == used["requests"].sum()
    kept = lp.run(lp.runs()["run"].iloc[0]).frame(pd.DataFrame({"text": names(120)}))
    assert kept["a"].tolist() == ["two"] * 120


@pytest.mark.parametrize(
    "fault",
    [
        "content_filter",
        "refusal",
        "context_length",
        "401",
        "404",
        "reset",
        "502_html",
        "redirect",
        Fault("other", status=204),
        other(429, "insufficient_quota", "You exceeded your current quota."),
        other(400, "content_filter", "The prompt triggered the content policy."),
    ],
    ids=str,
)
def test_what_the_first_cannot_answer_the_next_one_does(first, second, fault):
    first.configure(faults=only({"t1"}, fault))
    out = ask(lp.Fallback([at(first), at(second, "b")]), ["t1"])
    assert out["a"].tolist() == ["two"]
    assert out["a_model"].tolist() == ["b"]


def test_a_row_that_a_filter_refuses_goes_on_alone_and_its_equals_with_it(first, second):
    first.configure(faults=only({"t1"}, "content_filter"))
    model = lp.Fallback([at(first), at(second, "b")])
    out = ask(model, ["t0", "t1", "t1", "t2", "t1"])
    assert out["a"].tolist() == ["one", "two", "two", "one", "two"]
    assert (first.counters.total, second.counters.total) == (3, 1)
    assert out["a_attempts"].tolist() == [1, 2, 2, 1, 2]  # of all models that were asked
    assert out["a_tokens"][1] > out["a_tokens"][0]
    assert out["a_usd"][:2].isna().all()


@pytest.mark.parametrize("fault", ["403", "404"])
def test_a_row_that_is_refused_before_anything_was_answered_takes_no_other_with_it(
    first, second, fault
):
    first.configure(faults=only({"t0"}, fault))
    few = {"limits": {"concurrency": 4}}  # so that as few have left, however busy the machine is
    out = ask(lp.Fallback([at(first), at(second, "b")]), names(30), **few)
    assert out["a"].tolist() == ["two", *["one"] * 29]
    first.configure(faults={fault: 1.0})
    before = first.counters.total
    refused = ask(lp.Fallback([at(first, "c"), at(second, "b")]), names(30), journal=False, **few)
    assert refused["a"].tolist() == ["two"] * 30
    assert first.counters.total - before < 10


def test_a_row_that_every_model_refuses_before_it_answered_anything_fails_alone(first, second):
    for server in (first, second):
        server.configure(faults=only({"t0"}, "403"))
    with pytest.warns(lp.errors.RowsFailedWarning, match="1 of 30"):
        out = ask(lp.Fallback([at(first), at(second, "b")]), names(30))
    assert out["a"].isna().tolist() == [True, *[False] * 29]


@pytest.mark.parametrize("fault", ["wrong_shape", "empty", "400", "length"])
def test_what_the_first_answers_badly_is_never_hidden(first, second, fault):
    first.configure(faults={fault: 1.0})
    with pytest.warns(lp.errors.RowsFailedWarning):
        out = ask(lp.Fallback([at(first), at(second)]), ["t0"], schema=Literal["one", "two"])
    assert out["a"].isna().all()
    assert second.counters.total == 0


def test_a_question_that_the_first_never_answers_well_stops_the_run_as_ever(first, second):
    with pytest.raises(FirstRowsFailedError):
        ask(lp.Fallback([at(first), at(second)]), names(40), schema=Literal["x", "y"])
    assert second.counters.total == 0


def test_keys_are_those_of_the_member_so_plain_runs_and_fallbacks_share_answers(first, second):
    ask(at(first), ["t0"])
    ask(at(second, "b"), ["t1"])
    model = lp.Fallback([at(first), at(second, "b")])
    out = ask(model, ["t0", "t1"])
    assert out["a"].tolist() == ["one", "two"]
    assert set(out["a_status"]) == {"cached"}
    ask(model, ["t2"])
    assert ask(at(first), ["t2"])["a_status"].tolist() == ["cached"]


def test_members_of_one_name_are_told_apart(first, second):
    first.configure(faults=only({"t0"}, "content_filter"))
    out = ask(lp.Fallback([at(first), at(second)]), ["t0", "t1"])
    hosts = [server.base_url.split("/")[2] for server in (second, first)]
    assert out["a_model"].tolist() == [f"openai/a at {host}" for host in hosts]


def test_a_reply_that_names_another_member_is_told_by_the_name_of_the_one_that_gave_it(
    first, second
):
    model = lp.Fallback([at(first, "big-mini"), at(second, "big")])
    for says, named in [
        ("big", "openai/big-mini"),
        ("big-2026-01-01", "openai/big-mini"),
        ("big-mini-2026-01-01", "big-mini-2026-01-01"),
        ("other", "other"),
    ]:
        first.configure(faults={Fault("other_model", text=says): 1.0})
        assert ask(model, [f"by {says}"])["a_model"].tolist() == [named]
        assert ask(model, [f"by {says}"])["a_model"].tolist() == [named]
    assert second.counters.total == 0


def test_where_none_can_answer_the_last_one_says_why(first, second):
    first.configure(faults={"content_filter": 1.0})
    second.configure(faults={"context_length": 1.0})
    with pytest.warns(lp.errors.RowsFailedWarning):
        out = ask(lp.Fallback([at(first), at(second, "b")]), ["t0"])
    assert out["a_error"][0].startswith("context_length")
    first.configure(faults=None)
    assert lp.last_job().retry_failed().result()["a"].tolist() == ["one"]


def test_it_is_taken_wherever_a_model_is(first, second, tmp_path):
    first.configure(faults={"401": 1.0})
    model = lp.Fallback([at(first), lp.Fallback([at(first, "c"), at(second, "b")])])
    lp.configure(model=model)
    try:
        frame = pd.DataFrame({"text": ["t0", "t1"]})
        stages = [{"name": "x", "prompt": "Say {text}"}, {"name": "y", "prompt": "Not {x}"}]
        out = frame.llm.pipeline(stages, **QUIET)
        assert out[["x", "y"]].to_numpy().tolist() == [["two"] * 2] * 2
        assert frame["text"].llm.process("Say {value}", **QUIET).tolist() == ["two", "two"]
        assert frame.llm.estimate("Say {text}", into="a").rows == 2
        assert frame.llm.preview("Say {text}", into="a", n=1).rows["reply"].tolist() == ["two"]
    finally:
        lp.configure(model=None)

    async def serve():
        branch = lp.Branch("b", model="openai/none").add_model(model)
        said = await branch.chat("Hello")
        async with lp.ProcessingService("s", tmp_path / "s", None, None, model=model) as service:
            done = await service.process_data({"text": "t"})
            (record,) = service.list_requests()
        return said, done["result"], record["attempts"]

    said, result, attempts = asyncio.run(serve())
    assert (said, result) == ("two", "two")
    assert attempts >= 2


def test_each_member_is_priced_and_a_budget_counts_them_all(first, second):
    first.configure(faults=only({"t0"}, "content_filter"))
    cheap, dear = lp.Price(input=1000.0, output=0.0), lp.Price(input=9000.0, output=0.0)
    out = ask(
        lp.Fallback([at(first, price=cheap), at(second, "b", price=dear)]),
        ["t0", "t1"],
        budget=lp.Budget(usd=100),
    )
    read = out["a_input_tokens"]
    assert out["a_usd"][1] == pytest.approx(read[1] * 0.001)
    assert out["a_usd"][0] == pytest.approx(read[0] / 2 * 0.010)  # refused by one, answered by one
    members = out.llm.report().members
    assert members["usd"].sum() == pytest.approx(out["a_usd"].sum())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("openai/a", "list of models"),
        (["openai/a"], "two models or more"),
        (["openai/a", 7], "not int"),
    ],
)
def test_what_is_no_list_of_models_is_refused(given, said, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    with pytest.raises(ModelError, match=said):
        lp.Fallback(given)


def test_while_one_is_left_out_only_a_probe_is_sent_there_and_one_answer_brings_it_back():
    async def play():
        policy = FailurePolicy(Retry(), 16, elsewhere=CANNOT)
        down = CallError(Kind.CONNECTION, "Refused.")

        def failed(now, *, probe=False):
            return policy.failed(Event(None), down, now, probe=probe)

        verdicts = [failed(0.0) for _ in range(5)]
        assert [type(each) for each in verdicts] == [Wait] * 4 + [Fail]
        assert policy.refused(Event(None), 0.5).kind is Kind.CONNECTION
        probe = Event(None)
        assert policy.refused(probe, 1.1) is None  # a second later it is asked
        assert policy.refused(Event(None), 1.1) is not None  # by one alone
        assert policy.came_back(probe, Reply(down))
        assert isinstance(failed(1.2, probe=True), Fail)
        assert policy.refused(Event(None), 2.9) is not None  # the next one waits twice as long
        second = Event(None)
        assert policy.refused(second, 3.3) is None
        policy.came_back(second, Reply())
        policy.paid()
        assert not policy.is_open
        key = CallError(Kind.ACCESS, "No.")
        assert isinstance(policy.failed(Event(None), key, 5.0, probe=False), Fail)
        assert policy.refused(Event(None), 34.9) is not None  # a key takes longer to change

    asyncio.run(play())
