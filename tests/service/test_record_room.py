"""Records that are resumed are held in a bounded memory together, however long each is."""

import json
import os
import threading
from pathlib import Path
from weakref import WeakKeyDictionary

import pytest

import lionproc as lp
from lionproc.service import builders, record_room, session
from lionproc.service.request_record import request_id_of

MANY, LONG = 12, 20_000  # records, and bytes of each


@pytest.fixture(autouse=True)
def rooms_of_its_own(monkeypatch):
    monkeypatch.setattr(record_room, "_rooms", WeakKeyDictionary())
    monkeypatch.setattr(record_room, "LONG_BYTES", LONG // 2)


def put(folder, record):
    """A record as an earlier process has left it, for its owner alone."""
    file = os.open(Path(folder, f"{record['id']}.json"), os.O_CREAT | os.O_WRONLY, 0o600)
    with os.fdopen(file, "w") as opened:
        json.dump({"timestamp": "2026-01-01T00:00:00.000+00:00", **record}, opened)


def leave(work):
    """What an earlier process has left: requests of long data, by themselves or of a batch."""
    Path("left").mkdir(mode=0o700)
    items = [f"{number} {'x' * LONG}" for number in range(MANY)]
    ids = [f"req_{number:032x}" for number in range(MANY)]
    if work == "batch":
        batch = f"batch_{0:032x}"
        put("left", {"id": batch, "status": "processing", "items": items})
        ids = [request_id_of(batch, number) for number in range(MANY)]
    status = "failed" if work == "retry_failed" else "received"
    for request_id, item in zip(ids, items, strict=True):
        put("left", {"id": request_id, "status": status, "data": item})


async def resumed(work, model):
    """Run what was left."""
    leave(work)
    options = {"model": model, "requests_per_minute": None, "max_tokens": None}
    if work == "batch":
        batches = lp.BatchProcessor("B", "left", MANY, **options)
        (told,) = await batches.resume()
        await batches.close()
        return told["results"]
    async with lp.ProcessingService("A", "left", **options) as service:
        return await getattr(service, work)()


@pytest.mark.parametrize("work", ["resume", "retry_failed", "batch"])
async def test_long_records_are_resumed_few_at_a_time_and_each_is_answered(
    server, model, monkeypatch, work
):
    monkeypatch.setattr(record_room, "ROOM_BYTES", 2 * LONG + 1000)
    under_way = []

    def answer(body):
        found = [json.loads(path.read_text()) for path in Path("left").glob("req_*.json")]
        under_way.append(sum(each["status"] == "processing" for each in found))
        return "fine"

    server.configure(answer=answer)
    told = await resumed(work, model)
    assert [each["status"] for each in told] == ["success"] * MANY
    assert len(under_way) == MANY
    assert max(under_way) <= 3  # two, and one more


async def test_one_that_is_longer_than_the_room_is_resumed_and_short_ones_do_not_wait_for_it(
    server, model, monkeypatch
):
    monkeypatch.setattr(record_room, "ROOM_BYTES", 10)
    told = await resumed("resume", model)
    assert [each["status"] for each in told] == ["success"] * MANY
    async with record_room.room_for(LONG), record_room.room_for(LONG // 2):
        pass


def choices(number):
    """A schema of its own, of some length."""
    labels = [f"{number} or {each}" for each in range(200)]
    return {"type": "object", "properties": {"a": {"enum": labels}}, "required": ["a"]}


def leave_choices():
    Path("left").mkdir(mode=0o700)
    for number in range(MANY):
        record = {"status": "received", "data": str(number), "schema": choices(number)}
        put("left", {"id": f"req_{number:032x}", **record})


async def test_of_records_with_long_schemas_few_are_resumed_at_a_time(server, model, monkeypatch):
    monkeypatch.setattr(record_room, "LONG_SCHEMA", 1000)
    monkeypatch.setattr(record_room, "ROOM_BYTES", 3 * record_room.SCHEMA_TIMES * 3000)
    leave_choices()
    under_way = []

    def answer(body):
        (asked,) = body["response_format"]["json_schema"]["schema"]["properties"]["a"]["enum"][:1]
        under_way.append(server.counters.in_flight)
        return json.dumps({"a": asked})

    server.configure(answer=answer)
    options = {"model": model, "requests_per_minute": None, "max_tokens": None}
    async with lp.ProcessingService("A", "left", **options) as service:
        told = await service.resume()
        assert [each["result"] for each in told] == [{"a": f"{n} or 0"} for n in range(MANY)]
    assert max(under_way) <= 4


async def test_what_builds_requests_for_a_long_schema_is_made_beside_the_loop_and_not_all_is_kept(
    server, model, monkeypatch
):
    made, make = [], session.Session._made
    monkeypatch.setattr(builders, "LONG_SCHEMA", 1000)
    monkeypatch.setattr(builders, "MOST_LENGTH", 10_000)

    def noted(self, *asked):
        made.append(threading.current_thread())
        return make(self, *asked)

    monkeypatch.setattr(session.Session, "_made", noted)
    server.configure(
        answer=lambda body: json.dumps({"a": "5 or 0"}) if "enum" in str(body) else "x"
    )
    options = {"model": model, "requests_per_minute": None, "max_tokens": None}
    async with lp.ProcessingService("A", "made", **options) as service:
        for schema in (str, choices(5), choices(5)):
            told = await service.process_data({"text": "a"}, schema=schema)
            assert told["status"] == "success"
        loop, beside = made
        assert loop is not beside
        kept = service._lazy_session.get()._builders
        for number in range(20):
            await service.process_data({"text": "a"}, schema=choices(number))
        assert len(kept._all) <= 10_000 // 2000
        assert kept._length == sum(length for _, length in kept._all.values()) <= 10_000


async def test_what_a_question_has_in_common_with_others_is_weighed_with_its_schema(server, model):
    server.configure(answer=json.dumps({"a": "1 or 0"}))
    options = {"model": model, "requests_per_minute": None, "max_tokens": None}
    async with lp.ProcessingService("A", "weighed", **options) as service:
        for _ in range(2):
            await service.process_data({"text": "a"}, schema=choices(1))
        one, other = service.executor.completed_events
        (shared, weight), (too, _) = one.call.shares, other.call.shares
        assert shared is too
        assert weight > 20 * len(json.dumps(choices(1)))
