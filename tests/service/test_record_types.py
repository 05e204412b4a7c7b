"""The types that people annotate with have the keys that records and results have."""

import asyncio
import inspect

import pytest

import lionproc as lp
from lionproc.service import types
from lionproc.service.processing import ServiceOptions


def keys(kind):
    return set(kind.__annotations__)


@pytest.fixture
def refusing(server):
    server.configure(answer=lambda body: "" if '"n":0' in str(body).replace("\\", "") else "fine")


async def test_requests_and_their_results_have_no_other_keys(model, refusing):
    async with lp.ProcessingService("S", "requests", None, None, model=model) as service:
        results = [await service.process_data({"n": number}) for number in range(2)]
        results.append(await service.process_data({"n": object()}))
    assert set().union(*results) == keys(types.RequestResult)
    records = service.list_requests()
    assert [record["status"] for record in records] == ["failed", "completed"]
    assert set().union(*records) == keys(types.RequestRecord) - {
        *("batch", "job", "context", "others", "type", "reads_back", "reply")
    }
    assert set(records[1]["usage"]) == keys(types.Usage)


async def test_batches_and_their_results_have_no_other_keys(server, model):
    processor = lp.BatchProcessor("B", "batches", 2, None, model=model)
    result = await processor.process_batch([{"n": 1}])
    assert set(result) == keys(types.BatchResult) - {"error"}
    batch = processor.get_batch(result["batch_id"])
    assert set(batch) == keys(types.BatchRecord) - {"error", "type"}
    typed = await processor.process_batch([{"n": 1}], schema=bool)
    assert processor.get_batch(typed["batch_id"])["type"] == {
        "label": "bool",
        "read_alike": "model",
    }
    record = processor.service.list_requests()[0]
    assert record["batch"] == result["batch_id"]
    server.hold()
    task = asyncio.create_task(processor.process_batch([{"n": 2}]))
    await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 1)
    (pending,) = processor.get_batch(processor.list_batches("processing")[0])["results"]
    assert set(pending) == keys(types.PendingResult)
    server.release()
    await task
    await processor.close()


async def test_jobs_and_their_results_have_no_other_keys(model, refusing):
    pipeline = lp.Pipeline("P", "jobs", model=model)
    added = await pipeline.add_stage({"name": "Mood", "rate_limit": None})
    assert set(added) == keys(types.AddedStage) - {"error"}
    result = await pipeline.process_data([{"n": 0}, {"n": 1}])
    assert set(result) == keys(types.JobResult) - {"stage", "error"}
    job = result["results"]
    assert set(job) == keys(types.JobRecord) - {"error", "failures"}
    assert set().union(*job["results"]) <= keys(types.JobItem)
    assert set(job["stages"][0]) == keys(types.StageRecord)
    assert set(job["stages"][0]["result"]) == keys(types.StageAnswers)
    await pipeline.close()


def test_a_batch_takes_every_option_of_a_service():
    taken = inspect.signature(lp.ProcessingService).parameters
    assert keys(ServiceOptions) == set(taken) - {"name", "save_dir", "requests_per_minute"}
    for name, kind in ServiceOptions.__annotations__.items():
        assert kind.__forward_arg__ == taken[name].annotation
