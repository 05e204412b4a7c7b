"""A run that gets nowhere stops; one that has had an answer goes on."""

import json
import socket
from typing import Literal

import pandas as pd
import pytest

import lionproc as lp
from lionproc.engine import loop as engine_loop
from lionproc.errors import (
    AccessError,
    FirstRowsFailedError,
    Kind,
    RowsFailedWarning,
    RunError,
    ServiceDownError,
)
from lionproc.model import connection
from lionproc.model.answer import Answer
from lionproc.model.call import RequestBuilder
from lionproc.testing import Fault, Server

QUIET = {"progress": False, "panel": False}
MOOD = Literal["good", "bad"]
PROSE = "Well, I would say that it is rather good on the whole."


pytestmark = pytest.mark.usefixtures("no_slow_start")


@pytest.fixture
def server():
    with Server(answer=PROSE) as made:
        yield made


def model_at(server, **more):
    return lp.Model("openai", "test-model", base_url=server.base_url, api_key=server.key, **more)


def texts(count):
    return pd.DataFrame({"text": [f"text {n}" for n in range(count)]})


def number(body):
    return int(body["messages"][0]["content"].rsplit(" ", 1)[1])


def ask(server, frame, **more):
    arguments = {"schema": MOOD, "model": model_at(server), **QUIET, **more}
    return frame.llm.process("Say {text}", into="a", **arguments)


def other(body, status=400, **more):
    return Fault("other", status=status, body=json.dumps(body), **more)


# What stops


@pytest.mark.parametrize("errors", ["coerce", "raise"])
def test_a_question_whose_answers_never_fit_is_given_up_early_and_shows_a_reply(server, errors):
    with pytest.raises(FirstRowsFailedError, match="first_failures=None") as caught:
        ask(server, texts(1000), errors=errors, limits={"concurrency": 8, "adapt": False})
    assert PROSE in str(caught.value)
    assert "prompt" in str(caught.value)
    assert server.counters.total < 150
    job = lp.last_job()
    assert job.stats.state == "failed"
    assert len(job.frame()) == 1000


def test_with_many_in_flight_no_more_than_the_first_are_corrected(server):
    server.configure(latency_s=0.5)  # so that all have left before the first is back
    with pytest.raises(FirstRowsFailedError):
        ask(server, texts(300), limits={"concurrency": 300, "adapt": False})
    assert server.counters.total <= 300 + 2 * 2 * 16


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (other([{"error": {"code": 400, "message": "Unknown name seed."}}]), "Unknown name seed."),
        (Fault("422"), "cannot be processed"),
        (Fault("length"), "max_tokens"),
        (Fault("refusal"), "declined"),
        (Fault("content_filter"), "filter"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_a_failure_that_all_rows_have_in_common_stops_the_run_and_is_named(server, fault, words):
    server.configure(faults={fault: 1.0})
    with pytest.raises(FirstRowsFailedError) as caught:
        ask(server, texts(500), schema=str)
    assert words in str(caught.value)
    assert server.counters.total < 200


def test_two_kinds_of_failures_stop_it_too_when_one_has_become_many(server):
    server.configure(faults=lambda body, n: "length" if number(body) % 3 else "400")
    with pytest.raises(FirstRowsFailedError):
        ask(server, texts(500), schema=str)
    assert server.counters.total < 200


# What goes on


def test_failures_that_come_back_before_the_first_answer_prove_nothing(server):
    """Refusals take no time and answers do, so the first things back may all be refusals."""
    server.configure(
        answer="good",
        latency_s=0.3,
        faults=lambda body, n: Fault("400", latency_s=0.0) if number(body) % 2 else None,
    )
    with pytest.warns(RowsFailedWarning):
        out = ask(server, texts(100), schema=str)
    assert out["a"].notna().sum() == 50


def test_one_answer_is_enough_to_go_on(server):
    server.configure(answer="good", faults=[None, *["400"] * 99])
    with pytest.warns(RowsFailedWarning, match="99 of 100"):
        ask(server, texts(100), schema=str, limits={"concurrency": 1, "adapt": False})


def test_a_run_of_fewer_rows_ends_with_its_frame(server):
    with pytest.warns(RowsFailedWarning, match="10 of 10"):
        out = ask(server, texts(10))
    assert out["a"].isna().all()


def test_equal_rows_are_one_failure(server):
    frame = pd.DataFrame({"text": ["text 0"] * 200})
    with pytest.warns(RowsFailedWarning, match="200 of 200"):
        ask(server, frame)
    assert server.counters.total == 3


def test_a_run_goes_on_whatever_comes_if_told(server):
    server.configure(faults={"400": 1.0})
    with pytest.warns(RowsFailedWarning, match="100 of 100"):
        ask(server, texts(100), schema=str, retry=lp.Retry(first_failures=None))
    assert server.counters.total == 100


def test_answers_of_an_earlier_run_count(server):
    """Rows that fail again, every time, must not keep a run from its frame."""
    server.configure(
        answer="good", faults=lambda body, n: "400" if number(body) % 60 > 20 else None
    )
    for total in (60, 99):
        with pytest.warns(RowsFailedWarning, match="39 of 60"):
            out = ask(server, texts(60), schema=str)
        assert out["a"].notna().sum() == 21
        assert server.counters.total == total


def test_answers_of_an_earlier_job_count_when_its_failures_are_tried_again(server):
    server.configure(
        answer="good", faults=lambda body, n: "400" if number(body) % 60 > 20 else None
    )
    with pytest.warns(RowsFailedWarning, match="39 of 60"):
        ask(server, texts(60), schema=str, journal=False)
    with pytest.warns(RowsFailedWarning, match="39 of 60"):
        lp.last_job().retry_failed().result()


def test_a_shape_that_is_right_at_the_second_time_is_no_failure(server):
    server.configure(answer=lambda body: "good" if len(body["messages"]) > 1 else PROSE)
    out = ask(server, texts(200), limits={"concurrency": 64, "adapt": False})
    assert (out["a"] == "good").all()
    assert server.counters.total == 400


async def test_who_serves_many_callers_is_not_stopped_by_the_failures_of_some(server):
    server.configure(answer="good", faults=["400"] * 40)
    executor = lp.RateLimitedAPIExecutor(concurrency_limit=1)
    way = model_at(server).connect()
    recipe = RequestBuilder(way, {}, Answer.of(str))
    async with executor:
        for n in range(60):
            call = recipe.ask([{"role": "user", "content": f"Say {n}"}])
            assert (await executor.append(call)).first is call
        await executor.forward()
        assert len(executor.completed_events) == 20
        assert {e.error.kind for e in executor.failed_events} == {Kind.BAD_REQUEST}
    engine_loop.submit(way.wire.close()).result(10)


def test_what_one_slow_request_holds_up_is_not_paid_for_by_the_others(server):
    server.configure(
        faults=lambda body, n: Fault("400", latency_s=1.0 if number(body) == 0 else 0.0)
    )
    with pytest.raises(FirstRowsFailedError, match="400"):
        ask(server, texts(2000), limits={"concurrency": 8, "adapt": False})
    assert server.counters.total <= 1 + 16 + 8


def test_a_pipeline_over_a_frame_is_a_run(server):
    stages = [{"name": "mood", "prompt": "Say {text}", "schema": MOOD, "rate_limit": 60_000}]
    with pytest.raises(RunError, match="first_failures=None"):
        texts(300).llm.pipeline(stages, model=model_at(server), progress=False)
    assert server.counters.total < 200


# Refusals that are one row's own


def no_more(status):
    return lambda body, n: str(status) if number(body) == 30 else None


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_of_one_row_is_its_own_now_and_at_every_run_after_it(server, status):
    server.configure(answer="good", faults=no_more(status))
    for _ in range(3):
        with pytest.warns(RowsFailedWarning, match="1 of 40"):
            ask(server, texts(40), schema=str, limits={"concurrency": 1, "adapt": False})
        assert lp.last_job().errors()["kind"].tolist() == [Kind.FORBIDDEN]
        connection._states.clear()  # as in a new process: only the journal knows


def test_a_row_whose_connection_always_breaks_fails_alone_at_every_run_after_it(server):
    server.configure(answer="good", faults=no_more("reset"))
    retry = lp.Retry(max_attempts=2, base_s=0.001)
    for _ in range(2):
        with pytest.warns(RowsFailedWarning, match="1 of 40"):
            ask(server, texts(40), schema=str, retry=retry, limits={"concurrency": 1})
        assert lp.last_job().errors()["kind"].tolist() == [Kind.CONNECTION]


def test_a_key_that_is_refused_half_way_ends_the_run(server):
    server.configure(answer="good", faults=[None] * 40 + ["403"] * 5000)
    with pytest.raises(AccessError, match="403"):
        ask(server, texts(5000), schema=str, retry=lp.Retry(budget=20))
    assert server.counters.total < 200
    assert lp.last_job().frame()["a"].notna().sum() == 40
    connection._states.clear()
    with pytest.raises(FirstRowsFailedError, match="403"):
        ask(server, texts(5000), schema=str)
    assert server.counters.total < 300


PAGE = Fault("other", status=403, body="<!DOCTYPE html><title>Blocked</title>")


@pytest.mark.parametrize("refused", [PAGE, "403", "404"], ids=["firewall", "key", "model"])
@pytest.mark.parametrize("row", [0, 3])
def test_a_row_that_is_refused_before_anything_was_answered_fails_alone(server, refused, row):
    server.configure(answer="good", faults=lambda body, _: refused if number(body) == row else None)
    with pytest.warns(RowsFailedWarning, match="1 of 20"):
        out = ask(server, texts(20), limits={"concurrency": 4})
    assert out["a"].notna().sum() == 19
    assert server.counters.total == 20


def test_votes_on_one_row_that_is_refused_are_no_second_row(server):
    server.configure(answer="good", faults=lambda body, _: "403" if number(body) == 0 else None)
    with pytest.warns(RowsFailedWarning, match="1 of 20"):
        out = ask(server, texts(20), votes=3)
    assert out["a"].notna().sum() == 19


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_refusal_of_the_key_or_the_model_is_believed_when_a_second_row_has_it(
    server, concurrency
):
    server.configure(faults={"404": 1.0})
    with pytest.raises(AccessError, match="404"):
        ask(server, texts(200), limits={"concurrency": concurrency})
    assert server.counters.total <= max(2, concurrency)
    with pytest.raises(AccessError, match="404"):
        ask(server, texts(1))


def test_an_account_that_runs_empty_half_way_ends_the_run_at_once(server):
    empty = other({"error": {"message": "Insufficient credits."}}, 403)
    server.configure(answer="good", faults=[None] * 40 + [empty] * 5000)
    with pytest.raises(AccessError, match="no credit"):
        ask(server, texts(5000), schema=str)
    assert server.counters.total <= 40 + 32


# Nothing there


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.parametrize("rows", [1, 5])
def test_a_run_whose_every_connection_fails_raises_and_names_host_and_way_on(rows):
    port = closed_port()
    model = lp.Model("openai", "m", base_url=f"http://127.0.0.1:{port}/v1", api_key="k")
    with pytest.raises(ServiceDownError, match=f"127.0.0.1:{port}") as caught:
        texts(rows).llm.process(
            "Say {text}", model=model, retry=lp.Retry(base_s=0.001, max_attempts=2), **QUIET
        )
    assert "base_url=" in str(caught.value)
    assert lp.last_job().stats.state == "failed"


def test_a_proxy_that_is_not_there_is_named_without_its_password(monkeypatch):
    port = closed_port()
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", f"http://me:pass-word@127.0.0.1:{port}")
    model = lp.Model("openai", "m", base_url="http://127.0.0.1:9/v1", api_key="k")
    with pytest.raises(ServiceDownError, match=f"proxy 127.0.0.1:{port}") as caught:
        texts(2).llm.process(
            "Say {text}", model=model, retry=lp.Retry(base_s=0.001, max_attempts=2), **QUIET
        )
    assert "pass-word" not in str(caught.value)


def test_a_run_that_loses_the_network_keeps_its_frame(server):
    server.configure(answer="good", faults=[None, *["reset"] * 9])
    with pytest.warns(RowsFailedWarning, match="9 of 10"):
        ask(
            server,
            texts(10),
            schema=str,
            retry=lp.Retry(max_attempts=1),
            limits={"concurrency": 1, "adapt": False},
        )


# Hints


def test_absurd_limits_in_headers_are_ignored_and_named(server, caplog):
    said = (
        ("x-ratelimit-limit-tokens", "1"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "59s"),
        ("x-ratelimit-limit-requests", "5e-324"),
    )
    server.configure(answer="good", faults={Fault("headers", headers=said): 1.0})
    out = ask(server, texts(40), schema=str, limits=lp.Limits())
    assert out["a"].notna().all()
    told = [r.getMessage() for r in caplog.records if "ignored" in r.getMessage()]
    assert len(told) == 1
    assert "x-ratelimit-limit-requests: 5e-324" in told[0]


def test_the_limit_of_a_day_in_a_header_is_not_planned_with(server):
    said = (
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-reset-requests", "8.64s"),
    )
    server.configure(answer="good", faults={Fault("headers", headers=said): 1.0})
    ask(server, texts(20), schema=str, limits=lp.Limits())
    limits = lp.Limits()
    foreseen = texts(5000).llm.estimate("Is {text}", model=model_at(server), limits=limits)
    assert foreseen.limited_by == "concurrency"
