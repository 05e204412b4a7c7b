import asyncio
import contextlib
import json
import logging
import sqlite3
import stat
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel, field_validator

import lionproc as lp
from lionproc.engine import journal_file
from lionproc.errors import SchemaError
from lionproc.testing import RollingWindow

SCHEMA = {
    "type": "object",
    "properties": {"mood": {"type": "string", "enum": ["good", "bad"]}},
    "required": ["mood"],
}


@pytest.fixture
async def service(model):
    made = lp.ProcessingService("Reviews", "requests", 60_000, None, model=model)
    yield made
    await made.close()


def on_disk(request_id, folder="requests"):
    return json.loads(Path(folder, f"{request_id}.json").read_text())


def leave_half_done(request_id, folder="requests"):
    """Make a record what a crash would have left."""
    path = Path(folder, f"{request_id}.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": "processing"}))


async def test_a_request_comes_back_with_the_chapters_keys(service):
    told = await service.process_data({"text": "fine"}, schema=SCHEMA)
    assert set(told) == {"status", "request_id", "result"}
    assert told["status"] == "success"
    assert told["result"]["mood"] in {"good", "bad"}
    record = service.get_request(told["request_id"])
    assert record["status"] == "completed"
    assert record["result"] == told["result"]
    assert record["data"] == {"text": "fine"}
    assert record["schema"] == SCHEMA
    assert record["attempts"] == 1
    assert record["usage"]["prompt_tokens"] > 0
    for name in ("timestamp", "started", "completed"):
        assert datetime.fromisoformat(record[name]) <= datetime.now(UTC)
    assert record == on_disk(told["request_id"])


async def test_unknown_requests_are_told_as_the_chapter_does(service):
    assert service.get_request("req_0") == {"error": "Unknown request: req_0"}
    assert "Unknown request" in service.get_request("../../etc/passwd")["error"]


async def test_a_request_is_on_disk_from_the_moment_it_is_received(server, service):
    server.hold()
    request_id = await service.submit({"text": "wait"})
    assert on_disk(request_id)["status"] in {"received", "processing"}
    await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 1)
    assert on_disk(request_id)["status"] == "processing"
    assert service.get_request(request_id)["status"] == "processing"
    server.release()
    assert (await service.wait(request_id))["status"] == "success"
    assert on_disk(request_id)["status"] == "completed"
    assert stat.S_IMODE((service.save_dir / f"{request_id}.json").stat().st_mode) == 0o600


async def test_an_answer_of_the_wrong_shape_is_asked_again_and_never_returned(server, service):
    answers = iter(['{"mood": "purple"}', '{"mood": "good"}'])
    server.configure(answer=lambda body: next(answers))
    told = await service.process_data({"text": "fine"}, SCHEMA)
    assert told["result"] == {"mood": "good"}
    assert service.get_request(told["request_id"])["attempts"] == 2
    server.configure(answer='{"mood": "purple"}')
    told = await service.process_data({"text": "another"}, SCHEMA)
    assert (told["status"], told["kind"]) == ("error", "wrong_shape")
    assert on_disk(told["request_id"])["status"] == "failed"


class Review(BaseModel):
    mood: Literal["good", "bad"]


async def test_types_give_typed_results_and_records_that_can_be_resumed(service):
    told = await service.process_data({"text": "fine"}, Review)
    assert isinstance(told["result"], Review)
    record = on_disk(told["request_id"])
    assert record["result"] == told["result"].model_dump()
    assert record["schema"]["properties"]["mood"]["enum"] == ["good", "bad"]


async def test_the_order_of_choices_is_asked_for_and_recorded_as_it_is_given(server, service):
    server.configure(answer='{"answer": "a"}')
    orders = (Literal["a", "b"], Literal["b", "a"])  # one type for Python
    ids = [(await service.process_data({"n": 1}, order))["request_id"] for order in orders]
    assert [on_disk(each)["schema"]["enum"] for each in ids] == [["a", "b"], ["b", "a"]]
    asked = [request.raw_body for request in server.requests]
    assert [b'["a","b"]' in each for each in asked] == [True, False]


async def test_where_the_type_is_given_again_a_later_run_gives_instances(server, model):
    server.configure(faults=["content_filter", "content_filter"])
    async with lp.ProcessingService("A", "requests", 60_000, model=model) as first:
        failed = [await first.process_data({"n": n}, Review) for n in range(2)]
        plain = await first.process_data({"n": 2}, SCHEMA)
        done = await first.process_data({"n": 3}, Review)
    leave_half_done(plain["request_id"])
    async with lp.ProcessingService("A", "requests", 60_000, model=model) as later:
        assert isinstance(later.get_request(done["request_id"])["result"], dict)
        assert isinstance(later.get_request(done["request_id"], Review)["result"], Review)
        assert (await later.wait(done["request_id"], Review))["result"] == done["result"]
        (resumed,) = await later.resume(Review)  # made with another type, so it is left alone
        assert resumed["result"] == plain["result"]
        again = await later.retry_failed(Review)
        assert [told["request_id"] for told in again] == [told["request_id"] for told in failed]
        assert [type(told["result"]) for told in again] == [Review, Review]
        assert later.get_request(failed[0]["request_id"], Literal["x"])["result"] == {
            "mood": again[0]["result"].mood
        }
        with pytest.raises(SchemaError):
            await later.resume(object())


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (Review | None, {"mood": "good"}),
        (dict[date, int], {"2024-01-02": 1}),
        (dict[str, Any], {"answer": {"mood": "good"}}),
        (list[Review], [{"mood": "good"}]),
    ],
    ids=str,
)
async def test_a_result_that_is_read_again_is_what_was_returned_whatever_its_type(
    server, service, schema, said
):
    server.configure(answer={"answer": said})
    told = await service.process_data("fine", schema)
    again = service.get_request(told["request_id"], schema)["result"]
    assert (again, type(again)) == (told["result"], type(told["result"]))


class Share(BaseModel):
    percent: float
    seen: set[str] = set()

    @field_validator("percent")
    @classmethod
    def of_one(cls, percent):
        return percent / 100


async def test_a_validator_that_changed_a_value_changes_it_once_and_not_at_each_reading(
    server, service
):
    server.configure(answer={"percent": 50, "seen": ["b", "a", "c"]})
    told = await service.process_data("half", Share)
    assert told["result"] == Share(percent=50, seen={"a", "b", "c"})
    again = service.get_request(told["request_id"], Share)["result"]
    assert again["percent"] == told["result"].percent == 0.5
    server.configure(answer={"percent": 0, "seen": ["b", "a", "c"]})
    none = await service.process_data("nothing", Share)
    assert service.get_request(none["request_id"], Share)["result"] == none["result"]


async def test_resuming_asks_nothing_about_what_is_finished(server, model):
    first = lp.ProcessingService("A", "requests", 60_000, None, model=model, journal="first.sqlite")
    for number in range(6):
        await first.process_data({"n": number}, Review)
    await first.close()
    asked = server.counters.total
    last = first.list_requests()[-1]["id"]
    leave_half_done(last)
    # Another journal, so that nothing but the records can tell what is finished.
    async with lp.ProcessingService(
        "A", "requests", 60_000, None, model=model, journal="second.sqlite"
    ) as second:
        (resumed,) = await second.resume(Review)
        assert resumed["request_id"] == last
        assert isinstance(resumed["result"], Review)
        assert await second.resume() == []
    assert server.counters.total == asked + 1


@pytest.mark.parametrize("way", ["resume", "again"])
async def test_a_service_whose_journal_was_locked_for_a_while_buys_nothing_twice(
    server, service, monkeypatch, way
):
    async def ask_all():
        return await asyncio.gather(*[service.process_data({"n": n}) for n in range(300)])

    monkeypatch.setattr(journal_file, "BUSY_S", 0.0)
    await service.process_data({"n": "first"})
    with contextlib.closing(sqlite3.connect("requests/journal.sqlite")) as viewer:
        viewer.execute("BEGIN IMMEDIATE")
        told = await ask_all()
    assert any("another process keeps it locked" in one.get("error", "") for one in told)
    assert 1 < server.counters.total < 301

    again = await (service.resume() if way == "resume" else ask_all())
    assert {one["status"] for one in again} == {"success"}
    assert server.counters.total == 301  # each of them once


async def test_failures_come_back_as_dicts_and_are_kept_and_logged_without_the_data(
    server, service, caplog
):
    caplog.set_level(logging.INFO)
    server.configure(faults=["content_filter"])
    told = await service.process_data({"text": "secret words"}, SCHEMA)
    assert set(told) == {"status", "error", "kind", "request_id"}
    assert (told["status"], told["kind"]) == ("error", "filtered")
    record = on_disk(told["request_id"])
    assert (record["status"], record["kind"], record["error"]) == (
        "failed",
        "filtered",
        told["error"],
    )
    entry = next(entry for entry in caplog.records if entry.levelname == "WARNING")
    assert (entry.request_id, entry.kind) == (told["request_id"], "filtered")
    assert "secret" not in caplog.text
    assert server.key not in caplog.text


@pytest.mark.parametrize(
    ("data", "schema"),
    [
        (object(), None),
        ({"a": {1, object()}}, None),
        ("\ud800", None),
        ({}, {"type": "nonsense"}),
        ({}, {}),
    ],
)
async def test_what_cannot_be_processed_is_refused_with_a_dict_and_nothing_is_sent(
    server, service, data, schema
):
    told = await service.process_data(data, schema)
    assert told["status"] == "error"
    assert told["error"]
    assert server.counters.total == 0
    assert service.list_requests() == []


async def test_an_answer_without_a_form_in_json_is_a_failure_that_is_on_disk(server, service):
    server.configure(answer='"1+2j"')
    told = await service.process_data({"text": "x"}, schema=complex)
    assert (told["status"], told["kind"]) == ("error", "unreadable")
    assert "no form in JSON (TypeError)" in told["error"]
    assert on_disk(told["request_id"])["status"] == "failed"


async def test_requests_are_listed_by_status(server, service):
    done = await service.process_data({"n": 1})
    server.configure(faults=["content_filter"])
    failed = await service.process_data({"n": 2})
    assert [record["id"] for record in service.list_requests()] == [
        done["request_id"],
        failed["request_id"],
    ]
    assert [record["id"] for record in service.list_requests(status="failed")] == [
        failed["request_id"]
    ]
    assert service.status_counts() == {"completed": 1, "failed": 1}


async def test_retry_failed_asks_again_and_adds_up_what_it_took(server, service):
    server.configure(faults=["content_filter", "content_filter"])
    told = [await service.process_data({"n": number}) for number in range(3)]
    assert [each["status"] for each in told] == ["error", "error", "success"]
    again = await service.retry_failed()
    assert [each["status"] for each in again] == ["success", "success"]
    assert [each["request_id"] for each in again] == [each["request_id"] for each in told[:2]]
    record = on_disk(told[0]["request_id"])
    assert record["attempts"] == 2
    assert "error" not in record
    assert await service.retry_failed() == []


async def test_equal_data_is_paid_once_unless_told_otherwise(server, model, service):
    results = [await service.process_data({"n": 1}) for _ in range(3)]
    assert len({each["request_id"] for each in results}) == 3
    assert server.counters.total == 1
    async with lp.ProcessingService(
        "Other", "other", 60_000, model=model, deduplicate=False
    ) as own:
        for _ in range(3):
            await own.process_data({"n": 1})
    assert server.counters.total == 4


async def test_a_new_service_finds_what_the_old_one_did(server, model):
    async with lp.ProcessingService("A", "requests", 60_000, model=model) as first:
        told = await first.process_data({"n": 1})
    async with lp.ProcessingService("A", "requests", 60_000, model=model) as second:
        assert second.get_request(told["request_id"])["result"] == told["result"]
        assert await second.wait(told["request_id"]) == told
        other = await second.process_data({"n": 2})
        assert other["request_id"] > told["request_id"]
        assert await second.resume() == []


async def test_what_was_not_sent_before_closing_is_resumed(server, model):
    server.configure(latency_s=0.05)
    first = lp.ProcessingService("A", "requests", 600, None, model=model)
    ids = [await first.submit({"n": number}, SCHEMA) for number in range(10)]
    await asyncio.to_thread(server.wait_for, lambda counters: counters.total >= 2)
    await first.close()
    left = [request_id for request_id in ids if on_disk(request_id)["status"] != "completed"]
    assert left
    async with lp.ProcessingService("A", "requests", 60_000, None, model=model) as second:
        assert [told["request_id"] for told in await second.resume()] == left
        assert second.status_counts() == {"completed": 10}
    assert server.duplicates() == 0


async def test_who_resume_at_the_same_moment_share_the_requests(server, model):
    server.configure(latency_s=0.05)
    first = lp.ProcessingService("A", "requests", 600, None, model=model)
    ids = [await first.submit({"n": number}, SCHEMA) for number in range(8)]
    await first.close()
    left = [request_id for request_id in ids if on_disk(request_id)["status"] != "completed"]
    async with (
        lp.ProcessingService("B", "requests", 60_000, None, model=model) as second,
        lp.ProcessingService("C", "requests", 60_000, None, model=model) as third,
    ):
        for work in ("resume", "retry_failed"):
            server.configure(faults={"400": 1.0} if work == "resume" else None)
            told = await asyncio.gather(getattr(second, work)(), getattr(third, work)())
            assert sorted(each["request_id"] for part in told for each in part) == left


async def test_what_a_living_service_works_on_is_left_to_it(server, model, service):
    server.hold()
    request_id = await service.submit({"n": 1})
    await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 1)
    async with lp.ProcessingService("Other", "requests", 60_000, model=model) as other:
        assert await asyncio.wait_for(other.resume(), 5) == []
    assert await asyncio.wait_for(service.resume(), 5) == []
    server.release()
    assert (await service.wait(request_id))["status"] == "success"


async def test_a_deadline_fails_what_waits_too_long_unsent(server, model):
    async with lp.ProcessingService("Slow", "requests", 60, model=model) as slow:
        await slow.process_data({"n": 0})
        told = await slow.process_data({"n": 1}, deadline_s=0.1)
    assert (told["status"], told["kind"]) == ("error", "deadline")
    assert server.counters.total == 1


async def test_cancelling_the_wait_takes_the_request_out_of_the_queue(server, model):
    async with lp.ProcessingService("Slow", "requests", 60, model=model) as slow:
        await slow.process_data({"n": 0})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow.process_data({"n": 1}), 0.2)
    assert server.counters.total == 1


async def test_submit_waits_for_room_when_the_queue_is_full(server, model):
    server.hold()
    service = lp.ProcessingService("Full", "requests", None, None, model=model, queue_capacity=5)
    submitted = []

    async def produce():
        for number in range(12):
            request_id = await service.submit({"n": number})
            submitted.append(request_id)

    task = asyncio.create_task(produce())
    await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 5)
    await asyncio.sleep(0.1)
    assert len(submitted) == 5
    server.release()
    await task
    await service.drain()
    assert service.status_counts() == {"completed": 12}
    await service.close()


async def test_the_limit_of_requests_is_kept_and_can_be_changed_live(server, model, departures):
    async with lp.ProcessingService("Paced", "requests", 1200, None, model=model) as paced:
        for number in range(50):
            await paced.submit({"n": number})
        await paced.drain()
        assert departures.worst_window(0.95) <= 20
        paced.executor.update_limits(limit_requests=60_000)
        assert paced.limits.requests_per_minute == 60_000


async def test_a_shared_executor_is_a_shared_limit(server, model, departures):
    executor = lp.RateLimitedAPIExecutor(limit_requests=20, interval=1)
    services = [
        lp.ProcessingService(name, name, executor=executor, model=model) for name in ("a", "b")
    ]
    works = [each.process_data({each.name: n}) for each in services for n in range(20)]
    assert all(told["status"] == "success" for told in await asyncio.gather(*works))
    assert departures.worst_window(0.95) <= 20
    assert executor.status_counts()["completed"] == 40
    for each in services:
        await each.close()


async def test_health_says_how_it_does_as_data_and_as_a_card(server, model):
    server.hold()
    service = lp.ProcessingService("<b>Health</b>", "requests", 60, 50_000, model=model)
    assert service.health().state == "idle"
    ids = [await service.submit({"n": number}) for number in range(4)]
    await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight >= 1)
    async with asyncio.timeout(10):  # until all of them have come to the queue
        while not (health := service.health()).oldest_wait_s:  # noqa: ASYNC110  (nothing signals it)
            await asyncio.sleep(0.01)
    assert (health.state, health.requests_limit, health.tokens_limit) == ("working", 60, 50_000)
    assert health.in_flight >= 1
    assert health.in_flight + health.queued == 4
    assert health.oldest_wait_s > 0
    server.configure(faults=["content_filter"])
    server.release()
    for request_id in ids:
        await service.wait(request_id)
    health = service.health()
    assert health.completed + health.failed == 4
    assert health.as_dict()["error_rate"] == health.failed / 4
    assert health.requests_per_minute == 4
    card = health._repr_html_()
    assert "&lt;b&gt;Health" in card
    assert "<b>Health" not in card
    assert "filtered" in str(health)
    await service.close()


async def test_health_counts_damaged_files_and_tells_what_stopped_it(server, model):
    async with lp.ProcessingService("A", "requests", 60_000, model=model) as service:
        (service.save_dir / "req_torn.json").write_text('{"id": "req_to')
        server.configure(faults=["401"])
        told = await service.process_data({"n": 1})
        assert told["kind"] == "access"
        assert service.list_requests("completed") == []
        health = service.health()
        assert (health.ok, health.state, health.damaged) == (False, "stopped", 1)
        assert "401" in health.note
        assert (await service.process_data({"n": 1}))["status"] == "success"
        assert service.health().ok


async def test_without_any_model_the_error_says_how_to_set_one():
    service = lp.ProcessingService()
    told = await service.process_data({"n": 1})
    assert "configure" in told["error"]
    assert service.health().note
    assert [record["status"] for record in service.list_requests()] == ["received"]


async def test_the_openai_variables_are_enough(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", server.key)
    async with lp.ProcessingService(name="Env", save_dir="env", requests_per_minute=600) as service:
        told = await service.process_data({"n": 1})
        assert told["status"] == "success"
        assert await service.processor.chat("hello") == "echo: hello"


async def test_a_hundred_thousand_requests_are_loaded_only_when_asked_for(tmp_path, model):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(2000):
        (folder / f"req_{number}.json").write_text(f'{{"id": "req_{number}", "status": "x"}}')
    service = lp.ProcessingService("Many", folder, model=model)
    assert service._store.records._seen == {}
    assert service.get_request("req_77")["status"] == "x"
    assert service._store.records._seen == {}
    assert service.status_counts() == {"x": 2000}
    await service.close()


async def test_a_prompt_template_shows_fields_and_nothing_else_of_them(server, model):
    service = lp.ProcessingService(
        "T", "t", 60_000, model=model, system=None, prompt="{{x}} {text}: {data} {n.__class__}"
    )
    told = await service.process_data({"text": "{n}", "n": 1})
    assert (told["status"], told["kind"]) == ("error", "prompt")
    await service.close()
    service = lp.ProcessingService(
        "T", "t", 60_000, model=model, system=None, prompt="{{x}} {text} {n}"
    )
    told = await service.process_data({"text": "{n}", "n": 1})
    assert told["result"] == "echo: {x} {n} 1"
    await service.close()


async def test_what_fails_in_passing_is_sent_again_until_it_is_answered(server, service):
    server.configure(faults=["500", "reset", "429"], retry="none")
    told = await service.process_data({"n": 1})
    assert told["status"] == "success"
    assert service.get_request(told["request_id"])["attempts"] == 4
    assert (service.health().retried, service.health().throttled) == (3, 1)


async def test_a_reply_that_takes_too_long_is_a_timeout(server):
    server.configure(latency_s=30)
    slow = lp.Model("openai", model="m", base_url=server.base_url, api_key=server.key, timeout=0.1)
    retry = lp.Retry(max_attempts=2, base_s=0)
    async with lp.ProcessingService("T", "t", 60_000, model=slow, retry=retry) as service:
        told = await service.process_data({"n": 1})
    assert (told["status"], told["kind"]) == ("error", "timeout")
    assert server.counters.total == 2


async def test_limits_follow_what_the_server_says(server, service, model):
    server.configure(limits=[RollingWindow(requests=50, window_s=60)], headers="openai")
    await service.process_data({"n": 1})
    assert service.health().requests_limit == 50


@pytest.mark.parametrize("pooled", [False, True])
async def test_a_service_goes_on_with_the_client_as_it_was_and_says_so_once(server, caplog, pooled):
    http = openai.DefaultAsyncHttpxClient(headers={"X-Tenant": "a"})
    client = openai.AsyncOpenAI(base_url=server.base_url, api_key=server.key, http_client=http)
    model = lp.Model("openai", "m", client=client)
    if pooled:
        twin = http.__class__(headers={"X-Tenant": "a"})
        other = openai.AsyncOpenAI(base_url=server.base_url, api_key=server.key, http_client=twin)
        model = lp.Pool([model, lp.Model("openai", "m", client=other)])
    service = lp.ProcessingService("S", "s", None, model=model)

    async def asked(text):
        assert (await service.process_data({"text": text}))["status"] == "success"
        return server.requests[-1].headers["x-tenant"], server.counters.total

    before = server.counters.total
    assert await asked("fine") == ("a", before + 1)
    http.headers["X-Tenant"] = "b"
    assert await asked("fine") == ("a", before + 1)  # kept
    assert await asked("other") == ("a", before + 2)
    assert caplog.text.count("the client of") == 1
    assert "close it and go on" in caplog.text
    await service.close()
    if not pooled:  # whose other member is as it was
        assert await asked("fine") == ("b", before + 3)
        assert await asked("other") == ("b", before + 4)
    assert caplog.text.count("the client of") == 1
    await service.close()
    await client.close()


@pytest.mark.parametrize("kind", [lp.ProcessingService, lp.BatchProcessor])
def test_what_cannot_send_is_refused_and_a_half_made_service_can_be_shown(model, kind):
    with pytest.raises(lp.errors.ConfigurationError, match="RateLimitedAPIExecutor, not a str"):
        kind("S", "requests", model=model, executor="sk-secret")
    assert repr(kind.__new__(kind)) == f"<{kind.__name__}, half made>"
