import asyncio
import datetime as dt
import io
import json
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pytest
from pydantic import BaseModel, Field, field_validator

import lionproc as lp
from lionproc.engine import loop as engine_loop
from lionproc.errors import ConfigurationError, LionprocWarning
from lionproc.service import records

SCHEMA = {"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]}


@pytest.fixture
async def processor(model):
    made = lp.BatchProcessor("B", "batches", 8, 60_000, max_tokens=None, model=model)
    yield made
    await made.close()


def items(count):
    return [{"n": number} for number in range(count)]


async def test_a_batch_comes_back_in_order_with_the_chapters_keys(processor):
    batch = await processor.process_batch(items(30), schema=SCHEMA)
    assert batch["status"] == "success"
    assert batch["failed"] == 0
    assert len(batch["results"]) == 30
    for number, result in enumerate(batch["results"]):
        assert result["status"] == "success"
        assert processor.service.get_request(result["request_id"])["data"] == {"n": number}
    kept = processor.get_batch(batch["batch_id"])
    assert (kept["status"], kept["results"]) == ("completed", batch["results"])
    assert kept["items"] == items(30)
    assert processor.get_batch("batch_0") == {"error": "Unknown batch: batch_0"}


async def test_a_prompt_function_may_fill_the_same_messages_anew_and_use_up_what_it_is_given(
    server, model
):
    messages = [{"role": "user", "content": [{"type": "text", "text": ""}]}]

    def ask(item):
        messages[0]["content"][0]["text"] = f"Say {item.pop('n')}"
        return messages

    server.configure(answer=lambda body: body["messages"][-1]["content"][0]["text"])
    processor = lp.BatchProcessor("B", "b", 8, 60_000, max_tokens=None, model=model, prompt=ask)
    batch = await processor.process_batch(items(30))
    assert [each["result"] for each in batch["results"]] == [f"Say {n}" for n in range(30)]
    kept = [processor.service.get_request(each["request_id"]) for each in batch["results"]]
    assert [record["data"] for record in kept] == items(30)
    await processor.close()


async def test_an_item_is_written_once_and_the_list_when_it_comes_and_when_it_ends(
    processor, monkeypatch
):
    written, write = [], records.replace_all

    def note(folder, contents):
        for name, content in contents.items():
            written.append((name.partition("_")[0], json.loads(content)["status"]))
        return write(folder, contents)

    monkeypatch.setattr(records, "replace_all", note)
    batch = await processor.process_batch(items(12))
    assert batch["failed"] == 0
    assert written == [
        ("batch", "processing"),
        *[("req", "completed")] * 12,
        ("batch", "completed"),
    ]


async def test_an_item_leaves_its_place_to_the_next_one_while_its_record_is_written(
    server, processor, monkeypatch
):
    disk, write = threading.Event(), records.replace_all

    def slow(folder, contents):
        if any(name.startswith("req_") for name in contents):
            disk.wait(30)
        return write(folder, contents)

    monkeypatch.setattr(records, "replace_all", slow)
    task = asyncio.create_task(processor.process_batch(items(48)))
    await asyncio.to_thread(server.wait_for, lambda counters: counters.total >= 32, timeout_s=10)
    assert server.counters.total == 32  # and no more than four for each place are under way
    assert server.counters.peak_in_flight <= 8
    assert processor.service._store.records.statuses() == {}
    disk.set()
    assert (await task)["failed"] == 0
    assert processor.service.status_counts() == {"completed": 48}


class Mood(BaseModel):
    mood: str
    words: list[str] = []


@pytest.mark.parametrize("schema", [SCHEMA, Mood])
async def test_equal_items_have_answers_of_their_own_to_write_into(server, processor, schema):
    batch = await processor.process_batch([{"text": "the same"}] * 4, schema)
    results = [each["result"] for each in batch["results"]]
    for number, result in enumerate(results):
        if schema is SCHEMA:
            result["mood"] = number
        else:
            result.mood = number
            result.words.append(number)
    if schema is SCHEMA:
        assert [result["mood"] for result in results] == [0, 1, 2, 3]
    else:
        assert [(each.mood, each.words[-1]) for each in results] == [(n, n) for n in range(4)]
        assert len({len(each.words) for each in results}) == 1
    assert server.counters.total == 1


@pytest.mark.parametrize("times", [1, 99])
async def test_a_batch_is_not_complete_before_the_record_of_each_item_is_on_the_disk(
    server, processor, monkeypatch, times
):
    left, write = [times], records.replace_all

    def full(folder, contents):
        errors = {}
        for name in [name for name in contents if name.endswith("_000005.json") and left[0]]:
            left[0] -= 1
            errors[name] = OSError(28, "No space left on device")
        kept = {name: each for name, each in contents.items() if name not in errors}
        return {**write(folder, kept), **errors}

    monkeypatch.setattr(records, "replace_all", full)
    batch = await processor.process_batch(items(12))
    assert [each["status"] for each in batch["results"]] == ["success"] * 12
    left[0] = 0
    if times > 1:
        assert "No space left" in batch["error"]
        assert processor.list_batches("completed") == []
        (batch,) = await processor.resume()
    assert batch["status"] == "success"
    assert processor.get_batch(batch["batch_id"])["results"] == batch["results"]
    assert server.counters.total == 12  # nothing was paid twice


async def test_one_record_that_the_disk_does_not_take_keeps_no_other_from_it(
    server, processor, monkeypatch
):
    refused, write = {"_000002.json": 2, "_000005.json": 1}, records.replace_all

    def full(folder, contents):
        errors = {}
        for name in contents:
            if refused.get(name[-12:], 0) and b'"result":' in contents[name]:
                refused[name[-12:]] -= 1
                errors[name] = OSError(28, "No space left on device")
        kept = {name: each for name, each in contents.items() if name not in errors}
        return {**write(folder, kept), **errors}

    monkeypatch.setattr(records, "replace_all", full)
    batch = await processor.process_batch(items(12))
    assert "req_" in batch["error"]
    kept = processor.get_batch(batch["batch_id"])["results"]
    assert [n for n, each in enumerate(kept) if each["status"] != "success"] == [2]


async def test_items_that_could_not_be_asked_leave_their_batch_to_be_resumed(server, processor):
    in_the_way = processor.service.save_dir / "journal.sqlite"
    in_the_way.mkdir(0o700)
    batch = await processor.process_batch(items(12))
    assert (batch["status"], batch["failed"]) == ("error", 12)
    assert "is a folder" in batch["error"]
    assert processor.list_batches("stopped") == [batch["batch_id"]]
    in_the_way.rmdir()
    (batch,) = await processor.resume()
    assert (batch["status"], batch["failed"]) == ("success", 0)
    assert processor.list_batches("completed") == [batch["batch_id"]]
    assert server.counters.total == 12


async def test_why_items_could_not_be_asked_is_forgotten_when_they_are_asked_again(
    processor, monkeypatch
):
    async def cancelled(*_):
        raise asyncio.CancelledError

    in_the_way = processor.service.save_dir / "journal.sqlite"
    in_the_way.mkdir(0o700)
    with monkeypatch.context() as as_it_ends:
        as_it_ends.setattr(processor, "_finish", cancelled)
        with pytest.raises(asyncio.CancelledError):
            await processor.process_batch(items(3))
    in_the_way.rmdir()
    (batch,) = await processor.resume()
    assert (batch["status"], batch["failed"]) == ("success", 0)
    assert processor.list_batches("completed") == [batch["batch_id"]]


async def test_a_record_that_the_disk_did_not_take_never_takes_the_place_of_a_later_one(
    server, processor, monkeypatch
):
    async def cancelled(*_):
        raise asyncio.CancelledError

    def full(folder, contents):
        return dict.fromkeys(contents, OSError(28, "No space left on device"))

    server.configure(answer="")
    with monkeypatch.context() as as_it_ends:
        as_it_ends.setattr(processor, "_finish", cancelled)
        batch = await processor._store.create(items(2))
        as_it_ends.setattr(records, "replace_all", full)
        with pytest.raises(asyncio.CancelledError):
            await engine_loop.bridge(processor._run(batch, None, is_new=True))
    server.configure(answer="good")
    (told,) = await processor.resume()
    assert [each["result"] for each in told["results"]] == ["good", "good"]
    assert processor.get_batch(batch["id"])["results"] == told["results"]


async def test_the_records_of_a_frame_are_items(server, processor):
    frame = pd.DataFrame(
        {"at": pd.to_datetime(["2024-01-02", None], utc=True), "raw": [b"x", None], 0: [1.5, None]}
    )
    batch = await processor.process_batch(frame.to_dict("records"))
    assert (batch["status"], batch["failed"]) == ("success", 0)
    first, second = processor.get_batch(batch["batch_id"])["items"]
    assert first == {"at": "2024-01-02T00:00:00+00:00", "raw": "x", "0": 1.5}
    assert second == {"at": None, "raw": None, "0": None}
    refused = await processor.process_batch([{"photo": b"\xff"}])
    assert "bytes that are not UTF-8" in refused["error"]
    assert "['photo']" in refused["error"]
    assert server.counters.total == 2


async def test_a_damaged_batch_is_told_and_harms_no_other(processor):
    batch = await processor.process_batch(items(2), SCHEMA)
    (processor.service.save_dir / "batch_torn.json").write_text('{"id": "batch_to')
    assert "batch_torn.json cannot be used" in processor.get_batch("batch_torn")["error"]
    assert (await processor.retry_failed("batch_torn"))["status"] == "error"
    assert processor.list_batches() == [batch["batch_id"]]
    assert await processor.resume() == []
    (processor.service.save_dir / "req_torn.json").write_text('{"id": "req_to')
    assert processor.service.list_requests()
    assert processor.health().damaged == 2


@pytest.mark.parametrize("damaged", [{}, {"items": {"n": 1}}, {"items": "text"}, {"items": None}])
async def test_a_batch_whose_items_are_no_list_is_told_as_other_damaged_ones(
    server, processor, damaged, caplog
):
    record = {"id": "batch_odd", "status": "processing", **damaged}
    (processor.service.save_dir / "batch_odd.json").write_text(json.dumps(record))
    assert await processor.resume() == []
    assert "batch_odd.json cannot be used: its 'items' is no list" in caplog.text
    assert "Mend or remove the file" in processor.get_batch("batch_odd")["error"]
    assert processor.list_batches("processing") == []
    assert server.counters.total == 0


async def test_one_bad_item_harms_none(server, processor):
    server.configure(answer=lambda body: "" if '{"n":7}' in str(body) else {"mood": "good"})
    batch = await processor.process_batch(items(20), SCHEMA)
    assert (batch["status"], batch["failed"]) == ("success", 1)
    assert [result["status"] for result in batch["results"]].count("error") == 1
    assert batch["results"][7]["kind"] == "empty"
    server.configure(answer={"mood": "good"})
    before = server.counters.total
    again = await processor.retry_failed(batch["batch_id"])
    assert (again["failed"], again["results"][7]["status"]) == (0, "success")
    assert server.counters.total == before + 1


async def test_items_stream_and_do_not_wait_for_the_slowest(server, processor):
    server.configure(latency_s=lambda body: 2.0 if '{"n":0}' in str(body) else 0.01)
    finished = []
    await processor.process_batch(
        items(24), SCHEMA, on_result=lambda position, _: finished.append(position)
    )
    assert finished[-1] == 0
    assert server.counters.peak_in_flight <= 8


async def test_results_can_be_read_while_the_batch_runs(server, processor):
    finished = []
    task = asyncio.create_task(
        processor.process_batch(items(20), on_result=lambda *each: finished.append(each))
    )
    while len(finished) < 5:  # noqa: ASYNC110  (told on another thread)
        await asyncio.sleep(0.01)
    server.hold()
    batch_id = processor.list_batches()[0]
    partial = processor.get_batch(batch_id)
    assert len(partial["results"]) == 20
    assert sum(result["status"] == "success" for result in partial["results"]) >= 5
    server.release()
    assert (await task)["batch_id"] == batch_id


@pytest.mark.parametrize("fault", [ZeroDivisionError, SystemExit, KeyboardInterrupt])
async def test_a_listener_that_breaks_does_not_break_the_batch(processor, caplog, fault):
    def broken(position, result):
        raise fault

    assert (await processor.process_batch(items(3), on_result=broken))["failed"] == 0
    assert "on_result failed" in caplog.text


async def test_the_terminal_goes_while_a_batch_shows_its_progress_and_the_batch_goes_on(
    processor, monkeypatch
):
    class Terminal(io.StringIO):
        is_gone = False

        def write(self, text):
            if self.is_gone:
                raise BrokenPipeError
            return super().write(text)

    def goes(position, result):
        terminal.is_gone = True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    batch = await processor.process_batch(items(20), progress=True, on_result=goes)
    assert (batch["status"], batch["failed"]) == ("success", 0)
    assert "/20" in terminal.getvalue()


async def test_items_are_made_where_the_caller_is_and_may_ask_a_model_themselves(processor, model):
    frame = pd.DataFrame({"text": ["one"]})

    def made():
        asked = frame.llm.process("Say {text}", into="a", model=model, progress=False)
        yield {"n": asked["a"][0]}
        yield {"thread": threading.current_thread().name}

    batch = await processor.process_batch(made())
    record = processor.get_batch(batch["batch_id"])
    assert record["items"] == [{"n": "echo: Say one"}, {"thread": threading.current_thread().name}]


async def test_a_batch_that_is_closed_while_it_runs_sends_nothing_more_and_is_resumed(
    server, processor
):
    server.hold()
    running = asyncio.create_task(processor.process_batch(items(20), SCHEMA))
    await asyncio.to_thread(server.wait_for, lambda c: c.in_flight == 8)
    closing = asyncio.create_task(processor.close())
    while not processor.service.stopped:  # noqa: ASYNC110  (on the engine's thread)
        await asyncio.sleep(0.001)
    server.release()
    await closing
    batch = await running
    assert (batch["status"], server.counters.total) == ("error", 8)
    assert "closed" in batch["error"]
    assert processor.list_batches("stopped") == [batch["batch_id"]]
    (again,) = await processor.resume()
    assert (again["status"], again["failed"], len(again["results"])) == ("success", 0, 20)
    assert (server.counters.total, server.duplicates()) == (20, 0)


async def test_a_refused_key_stops_the_batch_and_resume_goes_on(server, processor):
    server.configure(faults=lambda body, n: "401" if n >= 5 else None)
    batch = await processor.process_batch(items(200), SCHEMA)
    assert batch["status"] == "error"
    assert "401" in batch["error"]
    assert len(batch["results"]) == 200
    assert server.counters.total < 40
    assert len(processor.service.list_requests()) < 60  # the rest was not even begun
    server.configure(faults=None)
    (resumed,) = await processor.resume()
    assert (resumed["status"], resumed["failed"]) == ("success", 0)
    assert processor.list_batches(status="completed") == [batch["batch_id"]]
    assert await processor.resume() == []
    assert server.duplicates() == 0


class Opening(BaseModel):
    """Whose JSON Schema refuses the times that it reads."""

    start: dt.time
    stars: int = Field(ge=1, le=5)


async def test_a_batch_is_resumed_without_its_type_where_one_like_it_can_be_made(server, processor):
    server.configure(
        faults=lambda body, n: "401" if n >= 3 else None,
        answer=lambda body: '{"start": "10:06", "stars": 3}',
    )
    await processor.process_batch(items(30), Opening)
    server.configure(faults=None)
    (resumed,) = await processor.resume()
    assert (resumed["status"], resumed["failed"]) == ("success", 0)
    assert [each["result"] for each in resumed["results"]] == [
        {"start": "10:06:00", "stars": 3}
    ] * 30
    assert server.duplicates() == 0
    kept = processor.get_batch(resumed["batch_id"])["results"]
    assert [each["result"] for each in kept] == [each["result"] for each in resumed["results"]]


class Year(BaseModel):
    year: int

    @field_validator("year")
    @classmethod
    def after_christ(cls, year):
        if year < 0:
            raise ValueError("no year of ours")
        return year


async def test_what_only_its_type_can_read_is_not_asked_without_it(server, processor):
    server.configure(
        faults=lambda body, n: "401" if n >= 3 else None, answer=lambda body: '{"year": 1871}'
    )
    await processor.process_batch(items(30), Year)
    server.configure(faults=None)
    sent = server.counters.total
    (told,) = await processor.resume()
    assert told["status"] == "error"
    assert "JSON Schema of Year, which does not say all" in told["error"]
    assert "resume(...)" in told["error"]
    assert server.counters.total == sent
    (resumed,) = await processor.resume(Year)
    assert (resumed["status"], resumed["failed"]) == ("success", 0)
    assert [each["result"] for each in resumed["results"]] == [Year(year=1871)] * 30
    assert server.duplicates() == 0


async def test_an_item_that_is_refused_before_anything_was_answered_stops_no_batch(
    server, processor
):
    server.configure(faults=lambda body, n: "403" if n == 0 else None)
    batch = await processor.process_batch(items(20), SCHEMA)
    assert (batch["status"], batch["failed"]) == ("success", 1)
    assert server.counters.total == 20


@pytest.mark.parametrize("kind", ["batch", "job"])
async def test_of_those_who_resume_the_same_at_the_same_moment_or_later_one_runs_it(
    server, model, kind
):
    async def made():
        if kind == "batch":
            return lp.BatchProcessor("B", "jobs", model=model, requests_per_minute=None)
        pipeline = lp.Pipeline("P", "jobs", model=model)
        await pipeline.add_stage({"name": "Mood"})
        return pipeline

    first, second, third = [await made() for _ in range(3)]
    record = {
        "id": f"{kind}_1",
        "status": "processing",
        "schema": None,
        "stages": [{"stage": "Mood"}],
    }
    on_disk = first._store._records.folder / f"{kind}_1.json"
    on_disk.write_text(json.dumps({**record, "items": items(3), "data": items(3)}))
    server.hold()
    at_once = asyncio.gather(first.resume(), second.resume())
    await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 3)
    assert await third.resume() == []
    assert "running" in (await third.retry_failed(f"{kind}_1"))["error"]
    server.release()
    assert sorted(map(len, await at_once)) == [0, 1]
    for each in (first, second, third):
        await each.close()


async def test_a_dict_or_a_text_is_one_item_and_never_one_for_each_letter(server, processor):
    assert len((await processor.process_batch({"text": "one"}))["results"]) == 1
    assert len((await processor.process_batch("words"))["results"]) == 1
    assert server.counters.total == 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (pd.DataFrame({"a": [1]}), "df.llm"),
        (pa.table({"a": [1]}), "this is a Table. Give its rows: "),
        (7, "list"),
    ],
)
async def test_what_is_no_list_of_items_is_refused_with_the_way_on(server, processor, given, says):
    told = await processor.process_batch(given)
    assert told["status"] == "error"
    assert says in told["error"]
    assert server.counters.total == 0


def test_a_status_that_does_not_exist_is_not_an_empty_list(processor):
    for ask in (processor.list_batches, processor.service.list_requests):
        with pytest.raises(ConfigurationError, match="Did you mean 'completed'"):
            ask("complete")


class Mood(BaseModel):
    mood: str


async def test_resuming_a_batch_asks_nothing_about_finished_items_and_gives_the_type(server, model):
    async def in_a_run_of_its_own(name, work):
        processor = lp.BatchProcessor(
            "B", "batches", 8, None, max_tokens=None, model=model, journal=name
        )
        try:
            return await work(processor)
        finally:
            await processor.close()

    server.configure(faults=lambda body, n: "401" if n >= 12 else None)
    batch = await in_a_run_of_its_own("1", lambda each: each.process_batch(items(30), Mood))
    done = sum(result["status"] == "success" for result in batch["results"])
    assert 0 < done < 30
    server.configure(faults=None)
    asked = server.counters.total
    # Another journal, so that nothing but the records can tell what is finished.
    (resumed,) = await in_a_run_of_its_own("2", lambda each: each.resume(Mood))
    assert server.counters.total - asked == 30 - done
    assert [type(result["result"]) for result in resumed["results"]] == [Mood] * 30


async def test_nothing_is_a_batch_too(processor):
    batch = await processor.process_batch([])
    assert (batch["status"], batch["results"]) == ("success", [])


@pytest.mark.parametrize(("given", "schema"), [([object()], None), ([1], {"type": "nonsense"})])
async def test_what_cannot_be_a_batch_is_refused_with_a_dict_and_a_log_that_says_why(
    server, processor, given, schema, caplog
):
    told = await processor.process_batch(given, schema)
    assert told["status"] == "error"
    assert f"a batch of 'B' was not taken: {told['error']}" in caplog.text
    assert server.counters.total == 0


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "10"])
def test_a_window_counts_items(size):
    with pytest.raises(ConfigurationError, match="batch_size"):
        lp.BatchProcessor(batch_size=size)


async def test_progress_is_a_bar_that_ends_full(processor, capsys):
    await processor.process_batch(items(5), progress=True)
    assert "5/5" in capsys.readouterr().err


async def test_closing_ends_quickly_and_what_is_left_is_resumed_by_the_next(server, model):
    server.configure(latency_s=0.02)
    first = lp.BatchProcessor("B", "batches", 4, None, model=model, max_tokens=None)
    task = asyncio.create_task(first.process_batch(items(100), SCHEMA))
    await asyncio.to_thread(server.wait_for, lambda counters: counters.total >= 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await first.close()
    second = lp.BatchProcessor("B", "batches", 16, None, model=model, max_tokens=None)
    (resumed,) = await second.resume()
    assert (resumed["status"], resumed["failed"], len(resumed["results"])) == ("success", 0, 100)
    assert server.duplicates() == 0
    await second.close()
    third = lp.BatchProcessor("B", "batches", model=model)
    kept = third.get_batch(resumed["batch_id"])
    assert (kept["status"], kept["results"]) == ("completed", resumed["results"])


async def test_what_was_cancelled_a_moment_ago_is_resumed_as_soon_as_it_has_ended(
    processor, server, monkeypatch
):
    server.configure(latency_s=0.02)
    runner, records = processor.service._runner, processor._store._records
    process_once, statuses = runner.process_once, records.statuses
    under_way, seen = set(), []

    async def slow_to_end(*args, **options):
        under_way.add(asyncio.current_task())
        try:
            return await process_once(*args, **options)
        except asyncio.CancelledError:
            for _ in range(5000):  # passes of the loop, as if there was much to put away
                await asyncio.sleep(0)
            raise
        finally:
            under_way.discard(asyncio.current_task())

    monkeypatch.setattr(runner, "process_once", slow_to_end)
    task = asyncio.create_task(processor.process_batch(items(60), SCHEMA))
    await asyncio.to_thread(server.wait_for, lambda counters: counters.total >= 5)
    monkeypatch.setattr(records, "statuses", lambda: seen.append(len(under_way)) or statuses())
    monkeypatch.setattr(runner, "process_once", process_once)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (resumed,) = await processor.resume()
    assert seen == [0]  # it looked for what is unfinished when nothing was under way any more
    assert (resumed["status"], resumed["failed"], len(resumed["results"])) == ("success", 0, 60)
    assert server.duplicates() == 0


PROGRAM = """
import asyncio, warnings
import lionproc as lp

warnings.simplefilter("error")

async def main():
    model = lp.Model("openai", model="m", base_url=base_url, api_key=key)
    processor = lp.BatchProcessor(
        "Killed", "batches", batch_size=20, requests_per_minute=None, max_tokens=None, model=model
    )
    schema = {"type": "object", "properties": {"mood": {"type": "string"}}}
    if not again:
        await processor.process_batch([{"n": n} for n in range(500)], schema)
    else:
        (batch,) = await processor.resume()
        done = [result for result in batch["results"] if result["status"] == "success"]
        print(batch["status"], len(done))

asyncio.run(main())
"""


def test_a_killed_batch_of_500_resumes_to_500_and_pays_no_item_twice_but_those_in_flight(
    server, tmp_path, zygotes
):
    server.configure(latency_s=0.03)
    names = {"base_url": server.base_url, "key": server.key}
    first = zygotes[0].start(PROGRAM, tmp_path, again=False, **names)
    server.wait_for(lambda counters: counters.total >= 150, timeout_s=30)
    in_flight = server.counters.in_flight
    assert first.kill() == -signal.SIGKILL, first.output
    sent = server.counters.total
    assert sent < 450
    for path in Path("batches").glob("*.json"):
        json.loads(path.read_text())  # nothing is torn
    again = zygotes[0].run(PROGRAM, tmp_path, again=True, **names)
    assert again.output.split() == ["success", "500"]  # and not one warning
    assert server.counters.total - 500 <= max(in_flight, 20)


OTHERWISE = {
    "another model": ({"model": "openai/other"}, {}),
    "another tenant": ({"scope": "b"}, {}),
    "another field of the body": ({"seed": 7}, {}),
    "another prompt": ({}, {"prompt": "Tell of {data}"}),
    "another system prompt": ({}, {"system": "Be brief."}),
}


def without_question(folder):
    """Records of requests as older versions wrote them."""
    for each in Path(folder).glob("req_*.json"):
        record = json.loads(each.read_text())
        del record["question"]
        each.write_text(json.dumps(record))


@pytest.mark.parametrize("way", OTHERWISE)
async def test_answers_of_before_that_would_be_asked_for_otherwise_now_are_kept_and_counted(
    server, way
):
    plain = {"model": "openai/m", "base_url": server.base_url, "api_key": server.key}

    def made(of_the_model, of_the_service):
        model = lp.Model(**{**plain, **of_the_model})
        return lp.BatchProcessor("B", "batches", 1, None, model=model, **of_the_service)

    server.configure(faults=[None, None, None, *["401"] * 9])
    processor = made({}, {})
    told = await processor.process_batch(items(6))
    await processor.close()
    answers = [each["result"] for each in told["results"][:3]]
    server.configure(faults=None)
    processor = made(*OTHERWISE[way])
    with pytest.warns(LionprocWarning, match="3 answers were kept from earlier runs") as warned:
        (resumed,) = await processor.resume()
    assert (len(warned), warned[0].filename) == (1, __file__)
    assert (resumed["failed"], server.counters.total) == (0, len(server.requests))
    assert [each["result"] for each in resumed["results"][:3]] == answers
    with pytest.warns(LionprocWarning, match="3 answers were kept from earlier runs"):
        await processor.retry_failed(told["batch_id"])
    await processor.close()
    without_question("batches")
    processor = made(*OTHERWISE[way])
    again = await processor.retry_failed(told["batch_id"])
    assert again["results"] == resumed["results"]
    await processor.close()


@pytest.mark.parametrize("way", ["another threshold", "another second model", "as before"])
async def test_answers_that_several_models_were_asked_for_otherwise_are_told_of_too(server, way):
    def made(below, second):
        each = {"base_url": server.base_url, "api_key": server.key}
        both = [lp.Model(f"openai/{name}", **each) for name in ("m", second)]
        model = lp.Cascade(both, below=below)
        return lp.BatchProcessor("B", "batches", 1, None, model=model)

    choice = Literal["a", "b"]
    server.configure(answer='"a"', confidence=0.7, faults=[None, None, None, *["401"] * 9])
    processor = made(0.5, "n")
    told = await processor.process_batch(items(6), choice)
    assert [each["status"] for each in told["results"]] == ["success"] * 3 + ["error"] * 3
    await processor.close()
    server.configure(faults=None)
    threshold = 0.9 if way == "another threshold" else 0.5
    processor = made(threshold, "o" if way == "another second model" else "n")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        (resumed,) = await processor.resume(choice)
    assert resumed["failed"] == 0
    said = [str(each.message) for each in warned]
    assert [text.startswith("3 answers were kept") for text in said] == [True] * (
        way != "as before"
    )
    await processor.close()


@pytest.mark.parametrize("fault", ["401", "404", "500"])
async def test_on_an_executor_of_others_the_next_model_answers_too(server, fault):
    each = {"base_url": server.base_url, "api_key": server.key}
    model = lp.Fallback([lp.Model("openai/refused", **each), lp.Model("openai/m", **each)])
    server.configure(faults=lambda body, _: fault if body["model"] == "refused" else None)
    async with lp.RateLimitedAPIExecutor(retry=lp.Retry(max_attempts=2, base_s=0.001)) as executor:
        processor = lp.BatchProcessor("B", "batches", 8, None, model=model, executor=executor)
        told = await processor.process_batch(items(5))
        assert told["failed"] == 0
        assert executor.fatal is None
        await processor.close()


async def test_a_finished_batch_needs_no_model_for_its_answers(server, processor):
    told = await processor.process_batch(items(3))
    keyless = lp.BatchProcessor("B", "batches", 1, None, model=lp.Model("openai", "m"))
    again = await keyless.retry_failed(told["batch_id"])
    assert [each["result"] for each in again["results"]] == [
        each["result"] for each in told["results"]
    ]
    await keyless.close()
