"""Services whose model is a `Fallback` of which the further one cannot answer."""

import asyncio
import json

import pytest

import lionproc as lp
from lionproc.testing import Server
from tests.frame.test_fallback import at, only


@pytest.fixture
def first():
    with Server(answer="one") as server:
        yield server


@pytest.fixture
def second():
    with Server(answer="two", faults={"401": 1.0}) as server:
        yield server


@pytest.fixture
def model(first, second):
    return lp.Fallback([at(first), at(second, "b")])


def items(count):
    return [f"t{number}" for number in range(count)]


async def test_a_service_whose_first_model_answers_is_not_stopped_by_the_next(first, second, model):
    first.configure(faults=only({"t0", "t5"}, "content_filter"))
    async with lp.ProcessingService("s", "s", None, None, model=model, prompt="Say {data}") as made:
        came = await asyncio.gather(*(made.process_data(item) for item in items(30)))
        assert [n for n, each in enumerate(came) if each["status"] != "success"] == [0, 5]
        assert "401" in came[0]["error"]
        assert made.stopped == ""
        assert made.health().state != "stopped"
        assert (await made.process_data("t40"))["status"] == "success"
    assert second.counters.total <= 2


async def test_a_service_that_no_model_answered_is_not_stopped_once_the_first_is_back(first, model):
    first.configure(faults={"503": 1.0})
    quick = lp.Retry(max_attempts=2, base_s=0.0)
    made = lp.ProcessingService("s", "s", None, None, model=model, prompt="{data}", retry=quick)
    async with made, asyncio.timeout(60):
        await asyncio.gather(*(made.process_data(item) for item in items(20)))
        assert "401" in made.stopped
        first.configure(faults=None)
        while (await made.process_data("t40"))["status"] != "success":
            pass
        assert made.stopped == ""
        made.session.sessions[1].sender.dispatcher.fatal = lp.errors.AccessError("No.")
        assert made.stopped == ""


async def test_a_batch_with_items_that_neither_model_answers_has_all_others(first, model):
    first.configure(faults=only({"t0", "t5"}, "content_filter"))
    made = lp.BatchProcessor("b", "b", 4, None, max_tokens=None, model=model, prompt="Say {data}")
    batch = await made.process_batch(items(40))
    assert (batch["status"], batch["failed"]) == ("success", 2)
    assert made.get_batch(batch["batch_id"])["status"] == "completed"
    await made.close()


async def test_a_pipeline_with_items_that_neither_model_answers_has_all_others(first, model):
    first.configure(
        answer=json.dumps({"word": "one"}),
        faults=lambda body, _: "content_filter" if '"t5' in str(body["messages"]) else None,
    )
    made = lp.Pipeline("p", "p", model=model)
    schema = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
    for name in ("Say", "Think"):
        stage = {"name": name, "type": "text", "options": {}, "schema": schema}
        assert (await made.add_stage({**stage, "rate_limit": 60_000}))["status"] == "success"
    told = await made.process_data([{"item": item} for item in items(40)])
    assert told["status"] == "success"
    assert told["results"]["failed"] == 1
    await made.close()


async def test_a_batch_ends_early_where_no_model_answers(first, second, model):
    first.configure(faults={"401": 1.0})
    made = lp.BatchProcessor("b", "b", 4, None, max_tokens=None, model=model, prompt="Say {data}")
    batch = await made.process_batch(items(100))
    assert batch["status"] == "error"
    assert "401" in batch["error"]
    assert first.counters.total + second.counters.total < 60
    first.configure(faults=None)
    second.configure(faults=None)
    (again,) = await made.resume()
    assert (again["status"], again["failed"]) == ("success", 0)
    await made.close()


async def test_after_resume_a_further_model_that_refused_the_key_is_asked_at_once(
    first, second, model
):
    first.configure(faults=only({"t0", "t5"}, "content_filter"))
    async with lp.ProcessingService("s", "s", None, None, model=model, prompt="Say {data}") as made:
        came = await asyncio.gather(*(made.process_data(item) for item in items(10)))
        assert [n for n, each in enumerate(came) if each["status"] != "success"] == [0, 5]
        second.configure(faults=None)  # the account was paid
        assert [each["result"] for each in await made.retry_failed()] == ["two", "two"]
