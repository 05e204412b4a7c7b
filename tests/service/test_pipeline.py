import asyncio
import json
import re
import threading
from typing import Literal

import pytest
from pydantic import BaseModel, ValidationError

import lionproc as lp
from lionproc.errors import LionprocWarning
from lionproc.model import trial_process


def schema(*names):
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": list(names),
    }


def stage(name, *fields, **more):
    config = {"name": name, "type": "text", "options": {}, "schema": schema(*fields)}
    return {**config, "rate_limit": 60_000, **more}


@pytest.fixture
async def pipeline(model):
    made = lp.Pipeline("Reviews", "pipeline", model=model)
    yield made
    await made.close()


async def filled(pipeline, *stages):
    for each in stages:
        assert (await pipeline.add_stage(each))["status"] == "success"
    return pipeline


def words(body):
    return " ".join(message["content"] for message in body["messages"])


def number_in(body):
    return re.search(r'"(?:n|a)":"?(\d+)', words(body))[1]


def prompts(server):
    return [json.loads(request.raw_body)["messages"][-1]["content"] for request in server.requests]


async def test_a_job_comes_back_with_the_chapters_keys(pipeline):
    assert await pipeline.add_stage(stage("Mood", "mood")) == {
        "status": "success",
        "stage_id": "stage_0",
    }
    assert (await pipeline.add_stage(stage("Topic", "topic")))["stage_id"] == "stage_1"
    told = await pipeline.process_data([{"n": 0}, {"n": 1}, {"n": 2}])
    assert set(told) == {"status", "job_id", "results"}
    job = told["results"]
    assert (job["status"], job["failed"]) == ("completed", 0)
    assert [each["stage_id"] for each in job["stages"]] == ["stage_0", "stage_1"]
    assert [set(value) for value in job["stages"][0]["result"]["result"]] == [{"mood"}] * 3
    assert [set(each["result"]) for each in job["results"]] == [{"topic"}] * 3
    assert pipeline.get_results(told["job_id"]) == job
    assert pipeline.get_results("job_0") == {"error": "Unknown job: job_0"}
    assert pipeline.stages["stage_0"]["name"] == "Mood"


async def test_every_item_is_a_request_of_its_own_with_the_options_and_the_answer_before(
    server, pipeline
):
    server.configure(answer=lambda body: {"mood": "good", "topic": "rain"})
    await filled(pipeline, stage("Mood", "mood", "topic", options={"extract": ["entities"]}))
    await filled(pipeline, stage("Topic", "topic", type="mixed", options={"enrich": "labels"}))
    await pipeline.process_data([{"text": "wet"}])
    first, second = prompts(server)
    assert '{"extract":["entities"]}' in first
    assert '{"text":"wet"}' in first
    assert "Kind of data: text" in first
    assert '{"enrich":"labels"}' in second
    assert '{"mood":"good","topic":"rain"}' in second
    assert "wet" not in second


async def test_templates_show_fields_of_the_item_and_of_earlier_answers(server, pipeline):
    server.configure(answer=lambda body: {"mood": "good"})
    await filled(
        pipeline,
        stage("Mood", "mood", prompt="Mood of {text}?"),
        stage("Reply", schema=None, prompt="Answer a {mood} review: {text} {Mood}"),
    )
    await pipeline.process_data([{"text": "wet"}])
    assert prompts(server) == ["Mood of wet?", 'Answer a good review: wet {"mood":"good"}']


async def test_items_stream_from_stage_to_stage(server, pipeline):
    pipeline.window = 2  # so that the last item begins after others have come out
    await filled(pipeline, stage("A", "a"), stage("B", "b"))
    await pipeline.process_data([{"n": number} for number in range(10)])
    stages = ["b" if '"a":' in text else "a" for text in prompts(server)]
    last_of_the_first_stage = len(stages) - stages[::-1].index("a")
    assert "b" in stages[: last_of_the_first_stage - 1]


async def test_an_items_failure_stops_that_item_only(server, pipeline):
    def answer(body):
        if '{"n":3}' in words(body) or '"a":"7"' in words(body):
            return ""
        return {"a": number_in(body), "b": "fine"}

    server.configure(answer=answer)
    await filled(pipeline, stage("A", "a"), stage("B", "b"))
    told = await pipeline.process_data([{"n": number} for number in range(9)])
    results = told["results"]["results"]
    assert [each["status"] == "error" for each in results] == [n in {3, 7} for n in range(9)]
    assert (results[3]["stage"], results[7]["stage"]) == ("A", "B")
    assert (results[3]["kind"], told["results"]["failed"]) == ("empty", 2)
    server.configure(answer=lambda body: {"a": number_in(body), "b": "fine"})
    before = server.counters.total
    again = await pipeline.retry_failed(told["job_id"])
    assert again["results"]["failed"] == 0
    assert server.counters.total - before == 3  # both stages of one item, the second of the other


async def test_a_job_of_which_nothing_came_through_is_an_error_with_its_stage(server, pipeline):
    server.configure(answer="")
    await filled(pipeline, stage("A", "a"))
    told = await pipeline.process_data([{"n": 1}])
    assert (told["status"], told["stage"]) == ("error", "A")
    assert told["error"]
    assert told["job_id"]


class Mood(BaseModel):
    mood: Literal["good", "bad"]


async def test_input_and_output_are_typed(server, pipeline):
    wanted = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    await filled(pipeline, stage("A", schema=Mood, input_schema=wanted))
    told = await pipeline.process_data([{"text": "fine"}, {"text": 7}, {}])
    results = told["results"]["results"]
    assert isinstance(results[0]["result"], Mood)
    assert [each.get("kind") for each in results[1:]] == ["wrong_shape"] * 2
    assert server.counters.total == 1


@pytest.mark.parametrize("wanted", [dict[str, str], Mood | None, Mood | dict[str, int]], ids=str)
async def test_a_stage_takes_data_of_any_type_that_it_wants(server, pipeline, wanted):
    await filled(pipeline, stage("A", "a", input_schema=wanted))
    told = await pipeline.process_data([{"mood": "good"}, {"mood": ["good"]}])
    kinds = [each.get("kind") for each in told["results"]["results"]]
    assert kinds == [None, "wrong_shape"]


async def test_others_are_answered_while_data_waits_for_the_process_that_reads_it(
    pipeline, model, monkeypatch
):
    gate, came = threading.Event(), threading.Event()
    process = trial_process.PROCESS

    def ask(*args):
        came.set()
        assert gate.wait(30)
        return type(process).ask(process, *args)

    numbers = {"items": {"anyOf": [{"enum": list(range(60))}, {"type": "number"}]}}
    wanted = {"type": "object", "properties": {"n": {"type": "array", **numbers}}}
    await filled(pipeline, stage("A", "a", input_schema=wanted))
    monkeypatch.setattr(process, "ask", ask)
    monkeypatch.setattr(process, "ask_soon", lambda *_: None)
    try:
        waits = asyncio.create_task(pipeline.process_data([{"n": [1e-310] * 200}, {"n": 7}]))
        assert await asyncio.to_thread(came.wait, 30)
        other = lp.ProcessingService("other", "other", model=model)
        assert (await other.process_data("Fine."))["status"] == "success"
        await other.close()
        assert not waits.done()
    finally:
        gate.set()
    kinds = [each.get("kind") for each in (await waits)["results"]["results"]]
    assert kinds == [None, "wrong_shape"]


async def test_stages_may_have_models_of_their_own(server, pipeline):
    other = lp.Model("openai", model="other", base_url=server.base_url, api_key=server.key)
    await filled(pipeline, stage("A", "a"), stage("B", "b", model=other))
    await pipeline.process_data([{"n": 1}])
    assert [json.loads(each.raw_body)["model"] for each in server.requests] == ["m", "other"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "../up"}, "name"),
        ({"name": ""}, "name"),
        ({"type": "poetry"}, "type"),
        ({"rate_limit": 0}, "rate_limit"),
        ({"schema": {"type": "nonsense"}}, "schema"),
        ({"shcema": {}}, "'shcema'. Did you mean 'schema'"),
        ({"prompt": "{"}, "brace"),
        ({"model": "nobody"}, "nobody"),
    ],
)
async def test_a_config_that_cannot_be_is_refused_with_the_field(pipeline, change, says):
    told = await pipeline.add_stage({**stage("A", "a"), **change})
    assert told["status"] == "error"
    assert says in told["error"]
    assert pipeline.stages == {}


async def test_two_stages_cannot_have_one_name_and_a_pipeline_needs_a_stage(pipeline):
    assert "no stages" in (await pipeline.process_data([1]))["error"]
    await filled(pipeline, stage("A", "a"))
    assert "'a'" in (await pipeline.add_stage(stage("a", "a")))["error"]


async def test_stages_on_one_key_keep_its_limit_together(server, pipeline, model, departures):
    server.configure(answer=lambda body: {"a": number_in(body), "b": "fine"})
    model.limiter.limits.requests_per_minute = 1200
    await filled(pipeline, stage("A", "a", rate_limit=900), stage("B", "b", rate_limit=900))
    told = await pipeline.process_data([{"n": number} for number in range(30)])
    assert told["results"]["failed"] == 0
    assert server.counters.total == 60
    assert departures.worst_window(0.95) <= 20


async def test_stages_whose_models_share_an_executor_share_its_limit(server, pipeline, departures):
    server.configure(answer=lambda body: {"a": number_in(body), "b": "fine"})
    executor = lp.RateLimitedAPIExecutor(limit_requests=20, interval=1)
    one, other = (
        lp.Model("openai", m, base_url=server.base_url, api_key=server.key, executor=executor)
        for m in ("one", "other")
    )
    await filled(pipeline, stage("A", "a", model=one), stage("B", "b", model=other))
    told = await pipeline.process_data([{"n": number} for number in range(25)])
    assert told["results"]["failed"] == 0
    assert server.counters.total == 50
    assert departures.worst_window(0.95) <= 20


async def test_three_stages_work_at_the_same_time(server, pipeline):
    server.configure(latency_s=0.05, answer=lambda body: {"a": number_in(body)})
    slow = {"concurrency": 1, "input": "all"}
    await filled(pipeline, *(stage(name, "a", options={name: 1}, **slow) for name in "ABC"))
    told = await pipeline.process_data([{"n": 100 + number} for number in range(60)])
    assert told["results"]["failed"] == 0
    assert server.counters.total == 180
    order = [re.search(r'"([ABC])":', prompt)[1] for prompt in prompts(server)]
    assert {name: order.count(name) for name in "ABC"} == {"A": 60, "B": 60, "C": 60}
    # One after the other, the last stage would begin when the first has ended.
    before_the_last = order[: len(order) - order[::-1].index("A")]
    assert before_the_last.count("C") >= 30


async def test_a_stage_keeps_its_own_limit(server, pipeline, departures):
    await filled(pipeline, stage("A", "a", rate_limit=600))
    await pipeline.process_data([{"n": number} for number in range(20)])
    assert departures.worst_window(0.95) <= 10


async def test_a_stopped_job_resumes_at_the_item_and_the_stage(server, model, pipeline):
    server.configure(
        faults=lambda body, n: "401" if n >= 20 else None,
        answer=lambda body: {"a": number_in(body), "b": "fine"},
        latency_s=0.01,
    )
    stages = [stage("A", "a", concurrency=4), stage("B", "b", concurrency=4)]
    await filled(pipeline, *stages)
    told = await pipeline.process_data([{"n": number} for number in range(30)])
    assert (told["status"], told["results"]["status"]) == ("error", "stopped")
    assert "401" in told["error"]
    await pipeline.close()
    server.configure(faults=None)
    paid = sum(request.status == 200 for request in server.requests)
    fresh = lp.Pipeline("Reviews", "pipeline", model=model)
    assert "add the same" in (await fresh.resume())[0]["error"]
    await filled(fresh, *stages)
    (resumed,) = await fresh.resume()
    assert (resumed["status"], resumed["results"]["failed"]) == ("success", 0)
    assert paid == 20
    assert sum(request.status == 200 for request in server.requests) == 60
    assert await fresh.resume() == []
    assert fresh.list_jobs("completed") == [told["job_id"]]
    await fresh.close()


@pytest.mark.parametrize("breaks", ["at first", "later"])
async def test_a_diagram_that_cannot_be_shown_breaks_no_job(pipeline, monkeypatch, breaks):
    class Broken:
        def __init__(self, *_, **__):
            if breaks == "at first":
                raise BrokenPipeError

        def update(self, _):
            raise BrokenPipeError

    monkeypatch.setattr("lionproc.service.pipeline._display", lambda: Broken)
    await filled(pipeline, stage("A", "a"))
    job = await pipeline.process_data([{"n": n} for n in range(3)], progress=True)
    assert (job["status"], job["results"]["failed"]) == ("success", 0)


async def test_a_job_that_is_closed_while_it_runs_sends_nothing_more_and_is_resumed(
    server, pipeline
):
    await filled(pipeline, stage("A", "a", concurrency=4))
    server.hold()
    running = asyncio.create_task(pipeline.process_data([{"n": n} for n in range(20)]))
    await asyncio.to_thread(server.wait_for, lambda c: c.in_flight == 4)
    closing = asyncio.create_task(pipeline.close())
    while not pipeline.processors["stage_0"].stopped:  # noqa: ASYNC110  (on the engine's thread)
        await asyncio.sleep(0.001)
    server.release()
    await closing
    job = await running
    assert (job["status"], server.counters.total) == ("error", 4)
    (again,) = await pipeline.resume()
    assert (again["status"], again["results"]["failed"]) == ("success", 0)
    assert (server.counters.total, server.duplicates()) == (20, 0)


async def test_what_a_stage_answers_while_its_pipeline_is_closed_goes_on_to_no_other(
    server, pipeline
):
    await filled(pipeline, stage("A", "a"), stage("B", "b"))
    first, second = pipeline.processors.values()
    server.hold()
    running = asyncio.create_task(pipeline.process_data([{"n": n} for n in range(4)]))
    await asyncio.to_thread(server.wait_for, lambda c: c.in_flight == 4)
    goes_on, close = threading.Event(), first.session._close

    async def slowly():
        await close()
        await asyncio.to_thread(goes_on.wait, 20)

    first.session._close = slowly
    closing = asyncio.create_task(pipeline.close())
    while not (first.stopped and second.stopped):  # noqa: ASYNC110  (on the engine's thread)
        await asyncio.sleep(0.001)
    server.release()
    assert (await running)["status"] == "error"
    goes_on.set()
    await closing
    assert server.counters.total == 4
    await pipeline.resume()
    assert (server.counters.total, server.duplicates()) == (8, 0)


async def test_items_that_could_not_be_asked_leave_their_job_to_be_resumed(server, pipeline):
    await filled(pipeline, stage("Mood", "mood"), stage("Topic", "topic"))
    in_the_way = pipeline.save_dir / "journal.sqlite"
    in_the_way.mkdir(0o700)
    told = await pipeline.process_data([{"n": 0}, {"n": 1}, {"n": 2}])
    assert (told["status"], told["results"]["status"]) == ("error", "stopped")
    assert told["stage"] == "Mood"
    assert "is a folder" in told["error"]
    in_the_way.rmdir()
    (told,) = await pipeline.resume()
    assert (told["status"], told["results"]["failed"]) == ("success", 0)
    assert server.counters.total == 6


async def test_a_resumed_job_asks_nothing_about_finished_stages_and_gives_their_types(
    server, model
):
    server.configure(faults=lambda body, n: "401" if n >= 8 else None)

    async def made():
        pipeline = lp.Pipeline("Typed", "typed", model=model)
        return await filled(pipeline, stage("A", schema=Mood), stage("B", "b", input="all"))

    first = await made()
    told = await first.process_data([{"n": number} for number in range(10)])
    assert told["status"] == "error"
    await first.close()
    (first.save_dir / "journal.sqlite").unlink()  # so that the records alone can tell
    server.configure(faults=None)
    second = await made()
    (resumed,) = await second.resume()
    answers = resumed["results"]["stages"][0]["result"]["result"]
    assert [type(answer) for answer in answers] == [Mood] * 10
    assert sum(request.status == 200 for request in server.requests) == 20
    await second.close()


async def test_results_can_be_read_and_drawn_while_the_job_runs(server, pipeline):
    await filled(pipeline, stage("A<b>", "a") | {"name": "A"}, stage("B", "b"))
    server.hold()
    task = asyncio.create_task(pipeline.process_data([{"n": 1}, {"n": 2}]))
    await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 2)
    job = pipeline.get_results(pipeline.list_jobs()[0])
    assert [each["status"] for each in job["results"]] == ["waiting", "waiting"]
    assert pipeline.boxes()[0].in_flight == 2
    assert "2 in flight" in pipeline._repr_html_()
    assert [box.left for box in pipeline.boxes()] == [0, 2]
    server.release()
    await task
    assert [box.left for box in pipeline.boxes()] == [0, 0]
    assert [(box.done, box.failed) for box in pipeline.boxes()] == [(2, 0), (2, 0)]
    assert pipeline.health()["stage_1"].completed == 2


async def test_what_a_stage_stopped_does_not_come_to_the_next(server, pipeline):
    server.configure(answer="")
    await filled(pipeline, stage("A", "a"), stage("B", "b"))
    assert "nothing yet" in pipeline._repr_html_()
    await pipeline.process_data([{"n": 1}, {"n": 2}])
    first, second = pipeline.boxes()
    assert (first.failed, first.left, second.left) == (2, 0, 0)
    assert "2 failed" in pipeline._repr_html_()


def test_the_drawing_escapes_everything(model):
    drawn = lp.Pipeline("<script>alert(1)</script>", model=model)._repr_html_()
    assert "<script>" not in drawn
    assert "&lt;script&gt;" in drawn


async def test_a_dict_or_a_text_is_one_item(server, pipeline):
    await filled(pipeline, stage("A", schema=None))
    assert len((await pipeline.process_data({"n": 1}))["results"]["results"]) == 1
    assert len((await pipeline.process_data("words"))["results"]["results"]) == 1
    assert (await pipeline.process_data([]))["status"] == "success"


def test_a_form_takes_any_field_name_without_a_warning():
    class Stage(lp.Form):
        name: str = lp.Field(description="Name")
        schema: dict = lp.Field(description="Shape")
        copy: int = lp.Field(1, ge=1)

    made = Stage(name="A", schema={"a": 1})
    assert made.model_dump() == {"name": "A", "schema": {"a": 1}, "copy": 1}
    assert made.schema == {"a": 1}


async def stopped_after_two(server, pipeline, *stages):
    server.configure(faults=[None, None, *["401"] * 9])
    await filled(pipeline, *stages)
    told = await pipeline.process_data([{"n": number} for number in range(5)])
    assert told["status"] == "error"
    await pipeline.close()
    server.configure(faults=None)


async def test_a_job_that_goes_on_with_another_model_keeps_its_answers_and_says_so(
    server, model, pipeline
):
    server.configure(answer=lambda body: {"a": body["model"]})
    await stopped_after_two(server, pipeline, stage("A", "a", concurrency=1))
    other = lp.Model("openai", model="other", base_url=server.base_url, api_key=server.key)
    fresh = await filled(lp.Pipeline("Reviews", "pipeline", model=other), stage("A", "a"))
    with pytest.warns(LionprocWarning, match="2 answers were kept from earlier runs"):
        (resumed,) = await fresh.resume()
    results = [each["result"]["a"] for each in resumed["results"]["results"]]
    assert results == ["m"] * 2 + ["other"] * 3
    await fresh.close()


async def test_an_answer_under_another_schema_than_the_stage_has_is_none_of_its_item(
    server, model, pipeline
):
    server.configure(
        answer=lambda body: {"a": "x"} if '"a"' in str(body).replace("'", '"') else "good"
    )
    await stopped_after_two(server, pipeline, stage("A", "a", concurrency=1))
    fresh = lp.Pipeline("Reviews", "pipeline", model=model)
    await filled(fresh, stage("A", schema=Literal["good", "bad"]))
    (resumed,) = await fresh.resume()
    assert [each["result"] for each in resumed["results"]["results"]] == ["good"] * 5
    assert fresh.get_results(resumed["job_id"])["results"] == resumed["results"]["results"]
    await fresh.close()


@pytest.mark.parametrize(
    "wrong", [{"api_key": "sk-proj-Zk9vQw3LmN8rT2yU"}, {"model": "sk-proj-Zk9vQw3LmN8rT2yU"}]
)
def test_a_stage_that_is_made_with_a_key_in_the_wrong_place_does_not_show_it(wrong):
    with pytest.raises(ValidationError) as caught:
        lp.ProcessingStage(name="a", **wrong)
    assert "Zk9vQw3LmN8rT2yU" not in str(caught.value)
