"""`Model(executor=...)`: the executor that a model was given is the one its work runs in."""

import asyncio
import threading

import pandas as pd
import pytest

import lionproc as lp
from lionproc.errors import RunError
from lionproc.model import opening
from lionproc.testing import Server

QUIET = {"progress": False}


pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def server():
    with Server(retry="retry-after-ms") as made:
        yield made


@pytest.fixture
def executor():
    made = lp.RateLimitedAPIExecutor(queue_capacity=5, concurrency_limit=2)
    made.limits.adapt = False
    return made


@pytest.fixture
def model(server, executor):
    return lp.Model("openai", "m", base_url=server.base_url, api_key=server.key, executor=executor)


def texts(count):
    return pd.DataFrame({"text": [f"text {n}" for n in range(count)]})


def until(condition):
    soon = threading.Event()  # never set
    while not condition():
        soon.wait(0.005)


def test_its_counts_and_lists_show_a_run_while_it_goes_and_when_it_has_ended(
    server, executor, model
):
    server.hold()
    job = texts(12).llm.start("Say {text}", into="a", model=model, **QUIET)
    server.wait_for(lambda counters: counters.in_flight == 2)

    counts = executor.status_counts()
    assert (counts["processing"], counts["completed"]) == (2, 0)
    assert 1 <= len(executor.pending_events) <= executor.queue_capacity + 2
    assert executor.in_flight == 2
    assert executor.counters.sent == 2

    server.configure(faults=lambda body, _: "400" if "text 7" in str(body) else None)
    server.release()
    job.wait(20)
    assert job.limits is executor.limits
    counts = executor.status_counts()
    assert counts == {
        "pending": 0, "processing": 0, "completed": 11, "failed": 1, "cancelled": 0,
    }  # fmt: skip
    assert len(executor.completed_events) == 11
    assert [event.error.kind for event in executor.failed_events] == ["bad_request"]
    assert executor.counters.sent == 12
    assert executor.counters.prompt_tokens == job.stats.prompt_tokens
    assert executor.queued == executor.in_flight == 0


def test_a_pause_of_the_executor_holds_the_run_and_both_have_to_go_on(server, executor, model):
    executor.pause()
    job = texts(3).llm.start("Say {text}", into="a", model=model, **QUIET)
    until(lambda: "paused" in job.stats.note)
    job.pause()
    executor.resume()
    assert not job.wait(0.05)
    assert server.counters.total == 0
    job.resume()
    assert job.result(20)["a"].notna().all()


async def test_a_stop_of_the_executor_ends_the_run_with_what_it_has_and_start_lets_it_go_on(
    server, executor, model
):
    server.hold()
    job = texts(6).llm.start("Say {text}", into="a", model=model, **QUIET)
    await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 2)
    stopping = asyncio.create_task(executor.stop(10))
    await asyncio.to_thread(until, lambda: job._routes.fatal)
    server.release()
    await stopping

    with pytest.raises(RunError, match=r"executor of this model was stopped.*start\(\)"):
        await asyncio.to_thread(job.result, 20)
    assert job.frame()["a"].notna().sum() == 2
    again = texts(6).llm.start("Say {text}", into="a", model=model, **QUIET)
    with pytest.raises(RunError, match="stopped"):
        await asyncio.to_thread(again.result, 20)
    assert server.counters.total == 2

    await executor.start()
    out = await texts(6).llm.aprocess("Say {text}", into="a", model=model, **QUIET)
    assert out["a"].notna().all()
    assert server.counters.total == 6


async def test_the_end_of_its_block_waits_for_the_runs_inside(server, executor, model):
    async with executor:
        job = texts(8).llm.start("Say {text}", into="a", model=model, **QUIET)
    assert job.stats.state == "done"
    assert (await job)["a"].notna().all()
    assert executor.counters.sent == 8


def test_an_error_that_stops_the_run_stops_nobody_else_in_the_executor(server, executor, model):
    bad = lp.Model("openai", "m", base_url=server.base_url, api_key="other", executor=executor)
    with pytest.raises(RunError):
        texts(2).llm.process("Say {text}", into="a", model=bad, **QUIET)
    assert executor.fatal is None
    assert texts(2).llm.process("Say {text}", into="a", model=model, **QUIET)["a"].notna().all()


def test_the_limiter_of_a_model_is_its_executors_and_no_client_is_made_to_find_it(
    server, executor, model, monkeypatch
):
    other = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
    limiter = other.limiter
    made = []
    monkeypatch.setattr(opening, "opened", made.append)
    assert model.limiter is executor.limiter
    assert other.limiter is limiter
    assert not made


def test_the_limiter_of_a_model_follows_the_key_in_the_environment(monkeypatch):
    model = lp.Model("openai/m")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one")
    one = model.limiter
    monkeypatch.setenv("OPENAI_API_KEY", "sk-two")
    assert model.limiter is not one
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one")
    assert model.limiter is one
