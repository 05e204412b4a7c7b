"""The answers of a job are in the records of its requests, whatever its own could hold."""

import json
from pathlib import Path

import pytest

import lionproc as lp
from lionproc.service import job_record, records

NESTED = {"type": "object", "properties": {"n": {}}, "required": ["n"]}


def full(folder, contents):
    return dict.fromkeys(contents, OSError(28, "No space left on device"))


def echo(body):
    return body["messages"][-1]["content"] + "."


async def made(model, *names, **more):
    pipeline = lp.Pipeline("P", "jobs", model=model)
    for name in names:
        config = {"name": name, "rate_limit": None, "prompt": "{data}", **more}
        assert (await pipeline.add_stage(config))["status"] == "success"
    return pipeline


@pytest.fixture
async def pipeline(server, model):
    server.configure(answer=echo)
    pipeline = await made(model, "A", "B")
    yield pipeline
    await pipeline.close()


def file(pattern):
    (path,) = Path("jobs").glob(pattern)
    return path


def rewrite(pattern, **fields):
    path = file(pattern)
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


async def test_more_answers_than_a_record_can_hold_come_back_and_can_be_read_later(
    server, model, monkeypatch
):
    monkeypatch.setattr(records, "LARGEST", 8_000)
    server.configure(answer=lambda body: "y" * 3_000)
    pipeline = await made(model, "A", "B")
    told = await pipeline.process_data([{"n": n} for n in range(10)])
    assert (told["status"], told["results"]["status"]) == ("success", "completed")
    assert [each["result"] for each in told["results"]["results"]] == ["y" * 3_000] * 10
    assert pipeline.get_results(told["job_id"]) == told["results"]
    assert pipeline.list_jobs("completed") == [told["job_id"]]
    sent = server.counters.total
    await pipeline.close()
    reader = await made(model)
    assert reader.get_results(told["job_id"]) == told["results"]
    await reader.close()
    again = await made(model, "A", "B")
    assert await again.resume() == []
    retried = await again.retry_failed(told["job_id"])
    assert retried["results"]["results"] == told["results"]["results"]
    assert server.counters.total == sent
    await again.close()


async def test_what_a_stage_stopped_is_read_with_its_error_and_the_answers_before(server, pipeline):
    server.configure(
        faults=lambda body, n: "400" if echo(body) == "y.." else None,
    )
    told = await pipeline.process_data(["x", "y", "z"])
    job = pipeline.get_results(told["job_id"])
    assert job == told["results"]
    assert [each["status"] for each in job["results"]] == ["success", "error", "success"]
    assert job["results"][1]["stage"] == "B"
    assert job["stages"][0]["result"]["result"] == ["x.", "y.", "z."]
    assert job["stages"][1]["result"]["result"] == ["x..", None, "z.."]
    begun = {name: job[name] for name in ("id", "timestamp", "data", "owner")}
    stages = [{"stage_id": f"stage_{n}", "stage": name} for n, name in enumerate("AB")]
    unfinished = {**begun, "status": "processing", "stages": stages}
    file("job_*.json").write_text(json.dumps(unfinished))  # as a kill may leave it
    del job["completed"]
    assert pipeline.get_results(told["job_id"]) == {**job, "status": "processing"}


@pytest.mark.parametrize("shown", ["the answer before", "all", "all, by a name that is a field"])
async def test_a_stage_that_is_shown_more_than_the_answer_before_has_its_own(server, model, shown):
    server.configure(answer=json.dumps({"A": "good", "n": 7}))
    more = {} if shown == "the answer before" else {"input": "all"}
    if shown.endswith("field"):
        more["schema"] = {"type": "object", "properties": {"A": {"type": "string"}, "n": {}}}
    pipeline = await made(model, "A", "B", "C", **more)
    told = await pipeline.process_data([{"text": "x"}])
    assert told["status"] == "success"
    assert pipeline.get_results(told["job_id"]) == told["results"]
    await pipeline.close()


async def test_a_job_whose_record_has_its_results_is_read_as_it_is(server, pipeline):
    told = await pipeline.process_data(["x", "y"])
    path = file("job_*.json")
    path.write_text(json.dumps(told["results"]))  # as it was once written
    file("A/req_*_000000.json").unlink()
    assert pipeline.get_results(told["job_id"]) == told["results"]
    retried = await pipeline.retry_failed(told["job_id"])
    assert retried["results"]["results"] == told["results"]["results"]
    assert pipeline.get_results(told["job_id"])["results"] == told["results"]["results"]
    assert server.counters.total == 4


@pytest.mark.parametrize("stage", ["A", "B"])
@pytest.mark.parametrize("what", ["removed", "damaged", "of another item"])
async def test_an_item_whose_request_is_gone_has_an_error_and_its_answer_is_not_paid_again(
    server, pipeline, stage, what
):
    told = await pipeline.process_data(["x", "y"])
    path = file(f"{stage}/req_*_000000.json")
    if what == "of another item":
        rewrite(f"{stage}/req_*_000000.json", data="of another")
    else:
        path.write_text("{")
    if what == "removed":
        path.unlink()
    job = pipeline.get_results(told["job_id"])
    assert (job["failed"], job["results"][0]["stage"]) == (1, stage)
    assert path.stem in job["results"][0]["error"]
    assert job["results"][1] == {"status": "success", "result": "y.."}
    rewrite("job_*.json", status="stopped")
    assert pipeline.get_results(told["job_id"])["results"][0] == {"status": "waiting"}
    if what == "damaged":
        path.unlink()
    retried = await pipeline.retry_failed(told["job_id"])
    assert retried["results"]["results"] == told["results"]["results"]
    assert pipeline.get_results(told["job_id"]) == retried["results"]
    assert server.counters.total == 4


async def test_a_job_whose_answers_the_disk_did_not_take_gives_them_and_is_resumed(
    server, pipeline, monkeypatch
):
    write = records.replace_all

    def full_for_requests_that_ended(folder, contents):
        ended = {name for name, text in contents.items() if b'"result":' in text}
        taken = {name: text for name, text in contents.items() if name not in ended}
        return full(folder, ended) | write(folder, taken)

    with monkeypatch.context() as a_while:
        a_while.setattr(records, "replace_all", full_for_requests_that_ended)
        told = await pipeline.process_data(["x", "y"])
    assert told["status"] == "error"
    assert "No space left" in told["error"]
    assert [each["result"] for each in told["results"]["results"]] == ["x..", "y.."]
    assert pipeline.list_jobs("completed") == []
    (resumed,) = await pipeline.resume()
    assert resumed["results"]["results"] == told["results"]["results"]
    assert pipeline.get_results(told["job_id"]) == resumed["results"]
    assert server.counters.total == 4


async def test_a_job_is_completed_once_the_disk_has_taken_what_it_refused(
    server, pipeline, monkeypatch
):
    left, write = [1, 1], records.replace_all

    def full_at_first(folder, contents):
        if left and any(b'"result":' in text for text in contents.values()):
            left.pop()
            return full(folder, contents)
        return write(folder, contents)

    monkeypatch.setattr(records, "replace_all", full_at_first)
    told = await pipeline.process_data(["x", "y"])
    assert (told["status"], left) == ("success", [])
    assert pipeline.get_results(told["job_id"]) == told["results"]


async def test_a_job_that_is_resumed_to_its_end_says_no_more_what_stopped_it(server, pipeline):
    in_the_way = pipeline.save_dir / "journal.sqlite"
    in_the_way.mkdir(0o700)
    told = await pipeline.process_data(["x", "y"])
    assert "is a folder" in pipeline.get_results(told["job_id"])["error"]
    in_the_way.rmdir()
    (resumed,) = await pipeline.resume()
    assert resumed["status"] == "success"
    assert "error" not in resumed["results"]
    assert pipeline.get_results(told["job_id"]) == resumed["results"]


async def test_why_very_many_items_failed_is_read_from_their_requests(server, model, monkeypatch):
    monkeypatch.setattr(job_record, "MOST_FAILURES", 100)
    server.configure(answer=lambda body: "1" if "x0" in echo(body) else "none")
    pipeline = await made(model, "A", schema=int)
    told = await pipeline.process_data([f"x{n}" for n in range(4)])
    assert told["results"]["failed"] == 3
    assert json.loads(file("job_*.json").read_text())["failures"] == []
    assert pipeline.get_results(told["job_id"]) == told["results"]
    await pipeline.close()


async def test_a_job_whose_record_was_edited_reads_no_other_folder(server, pipeline):
    told = await pipeline.process_data(["x"])
    path = file("job_*.json")
    record = json.loads(path.read_text())
    for name in ("../jobs/A", "A/../../requests", "/"):
        rewrite("job_*.json", stages=[{"stage_id": "stage_0", "stage": name}])
        assert list(pipeline.get_results(told["job_id"])) == ["error"]
    for edit in ({"stages": None}, {"stages": [7]}, {"failures": [7, {"position": "x"}]}):
        path.write_text(json.dumps({**record, **edit}))
        assert pipeline.get_results(told["job_id"])["id"] == told["job_id"]


@pytest.mark.parametrize("where", ["batch", "pipeline"])
async def test_an_answer_that_is_all_indentation_is_written_without(
    server, model, monkeypatch, where
):
    nested = list(range(1_000))
    for _ in range(50):
        nested = [nested]
    server.configure(answer=json.dumps({"n": nested}))
    monkeypatch.setattr(records, "LARGEST", 20_000)
    if where == "batch":
        processor = lp.BatchProcessor("B", "batches", 2, None, model=model)
        told = await processor.process_batch(["x", "y"], NESTED)
        kept = processor.get_batch(told["batch_id"])["results"]
        results = told["results"]
    else:
        processor = await made(model, "A", schema=NESTED)
        told = await processor.process_data(["x", "y"])
        kept = processor.get_results(told["job_id"])["results"]
        results = told["results"]["results"]
    assert told["status"] == "success"
    assert [each["result"]["n"] for each in kept] == [nested, nested]
    assert kept == results
    assert await processor.resume() == []
    await processor.close()


@pytest.mark.parametrize(
    "names", [["A"] * 5000, [f"stage {n}" for n in range(5000)]], ids=["one", "many"]
)
async def test_a_record_that_somebody_gave_far_too_many_stages_is_not_unfolded(model, names):
    pipeline = await made(model, "A")
    job = (await pipeline.process_data(["x"]))["job_id"]
    (path,) = Path("jobs").glob(f"**/{job}.json")  # noqa: ASYNC240
    record = json.loads(path.read_text())
    stages = [{"stage_id": str(n), "stage": name} for n, name in enumerate(names)]
    path.write_text(json.dumps({**record, "stages": stages, "data": [0] * 60_000}))
    assert len(pipeline.get_results(job)["stages"]) == 5000
    assert "results" not in pipeline.get_results(job)
    path.write_text(json.dumps({**record, "stages": [*record["stages"], {"stage": "unknown"}]}))
    pipeline.get_results(job)
    assert not Path("jobs", "unknown").exists()  # noqa: ASYNC240
