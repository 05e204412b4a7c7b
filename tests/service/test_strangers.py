"""Records that somebody else wrote or edited: they are reported, and harm no other."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

import lionproc as lp
from lionproc.engine.lease import Lease
from lionproc.engine.regular_file import first_hole
from lionproc.errors import JournalError, LionprocError, LionprocWarning
from lionproc.service import records as records_module
from lionproc.service.prompt import Prompt
from lionproc.service.records import RecordError, Records, checked_name

HEX = "ab" * 16
SUMMARY = {"type": "object", "properties": {"summary": {"type": "string"}}}
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


@pytest.fixture
async def service(model):
    made = lp.ProcessingService("S", "requests", None, None, model=model)
    yield made
    await made.close()


def put(folder, **record):
    record = {"status": "received", "data": {"n": record["id"]}, "schema": None, **record}
    (Path(folder) / f"{record['id']}.json").write_text(json.dumps(record))


def test_a_journal_that_came_with_a_repository_does_not_answer_for_a_service(monkeypatch):
    folder = Path("cloned").absolute()
    folder.mkdir()
    (folder / "journal.sqlite").write_bytes(b"answers of somebody else")
    (folder / "journal.sqlite").chmod(0o644)  # as git and archives leave it
    for make in (lp.ProcessingService, lp.BatchProcessor, lp.Pipeline):
        with pytest.raises(JournalError, match=r"can be read by others.*LIONPROC_TRUST"):
            make(save_dir=folder)
    lp.ProcessingService(save_dir=folder, journal="mine.sqlite")
    monkeypatch.setenv("LIONPROC_TRUST", str(folder))
    lp.Pipeline(save_dir=folder)


@pytest.mark.skipif(os.name != "posix", reason="there are no such rights")
@pytest.mark.parametrize("version", ["2", "4"])
@pytest.mark.parametrize("what", ["a request", "of a stage", "a link"])
def test_records_that_came_with_a_repository_are_not_asked_without_a_word(
    monkeypatch, tmp_path, what, version
):
    monkeypatch.chdir(tmp_path)

    def git(*arguments):
        subprocess.run(["git", *arguments], check=True, capture_output=True)

    git("init", "-q", ".")
    folder = Path("elsewhere" if what == "a link" else "processing")
    places = {
        folder,
        Path("other/processing"),
        folder / "Ärger" if what == "of a stage" else folder,
    }
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    put(folder / "Ärger" if what == "of a stage" else folder, id="req_1")
    put("other/processing", id="req_1")
    if what == "a link":
        Path("processing").symlink_to("elsewhere")
    git("add", "other")
    lp.ProcessingService(save_dir="processing")  # tracked is another one
    git("add", "-N", "--", str(folder))
    git("update-index", "--index-version", version)
    for make in (lp.ProcessingService, lp.BatchProcessor, lp.Pipeline):
        with pytest.raises(RecordError, match=r"git repository.*at your cost.*LIONPROC_TRUST"):
            make(save_dir="processing")
    monkeypatch.setenv("LIONPROC_TRUST", str(tmp_path))
    lp.Pipeline(save_dir="processing")


def test_an_item_does_not_say_what_a_stage_is_told_to_do():
    prompt = Prompt(None, "{options} {text}", options={"rule": "be brief"})
    item = {"text": "a", "options": "tell all"}
    for context in (None, {**item, "options": "and more"}):
        (message,) = prompt.messages(item, context)
        assert message["content"] == '{"rule":"be brief"} a'
    (message,) = Prompt(None, "{options}").messages({"options": "of the item"})
    assert message["content"] == "of the item"


def test_an_item_does_not_say_what_is_shown_of_it_as_its_data():
    item = {"text": "a", "data": "something harmless"}
    for context in (None, {**item, "First": "an answer"}):
        (message,) = Prompt(None, "{data} {text}").messages(item, context)
        assert message["content"] == '{"text":"a","data":"something harmless"} a'


@pytest.mark.parametrize("schema", [{"type": "object"}, SUMMARY])
async def test_a_reply_cannot_put_fields_that_nobody_asked_for_in_the_place_of_the_items(
    server, model, schema
):
    """The text of an item talks the model into answering fields of the item, or `data`."""
    reply = {"summary": "broke", "extra": "shown", "policy": "refund all"}
    reply |= {"data": "nothing", "options": "none", "First": "mine"}
    server.configure(answer=lambda body: reply)
    pipeline = lp.Pipeline("P", "pipeline", model=model)
    shown = "{policy}|{summary}|{extra}|{First}|{data}"
    for name, prompt in (("First", "{policy}"), ("Second", "{policy}: {text}"), ("Third", shown)):
        await pipeline.add_stage(
            {"name": name, "type": "text", "options": {}, "schema": schema, "prompt": prompt}
        )
    await pipeline.process_data([{"text": "it broke", "policy": "refund none"}])
    await pipeline.close()
    sent = [json.loads(request.raw_body)["messages"][-1]["content"] for request in server.requests]
    answer = json.dumps(reply, separators=(",", ":"))
    assert sent == [
        "refund none",
        "refund none: it broke",
        f"refund none|broke|shown|{answer}|{answer}",
    ]


async def test_a_field_that_a_stage_was_asked_for_takes_the_place_of_the_items(server, model):
    server.configure(answer=lambda body: {"text": "mended"})
    pipeline = lp.Pipeline("P", "pipeline", model=model)
    for name in ("First", "Second"):
        await pipeline.add_stage(
            {"name": name, "type": "text", "schema": TEXT, "prompt": "Mend {text}"}
        )
    await pipeline.process_data([{"text": "brokn"}])
    await pipeline.close()
    sent = [json.loads(request.raw_body)["messages"][-1]["content"] for request in server.requests]
    assert sent == ["Mend brokn", "Mend mended"]


class Reasoned(BaseModel):
    reason: str = Field(serialization_alias="theReason")


async def test_a_field_that_is_written_otherwise_takes_the_place_of_the_items(server, model):
    server.configure(answer=lambda body: {"reason": "it broke"})
    pipeline = lp.Pipeline("P", "pipeline", model=model)
    await pipeline.add_stage({"name": "First", "schema": Reasoned, "prompt": "Why {theReason}"})
    await pipeline.add_stage({"name": "Second", "prompt": "As {theReason}"})
    await pipeline.process_data([{"theReason": "refund all"}])
    await pipeline.close()
    sent = [json.loads(request.raw_body)["messages"][-1]["content"] for request in server.requests]
    assert sent == ["Why refund all", "As it broke"]


async def test_a_field_that_was_asked_for_and_not_answered_is_not_taken_from_the_item_or_another_stage(
    server, model
):
    """Only the first stage, whose schema declares nothing, has answered `mood`."""
    told = iter([{"mood": "glad", "why": "a joke"}, {"why": "cannot tell"}])
    server.configure(answer=lambda body: next(told))
    fields = {name: {"type": "string"} for name in ("mood", "why")}
    asked = {"type": "object", "properties": fields, "required": ["why"]}
    pipeline = lp.Pipeline("P", "pipeline", model=model)
    await pipeline.add_stage({"name": "Any", "schema": {"type": "object"}, "prompt": "{text}"})
    await pipeline.add_stage({"name": "Mood", "schema": asked, "prompt": "Judge {text}"})
    await pipeline.add_stage({"name": "Last", "prompt": "It is {mood}, as they {why}"})
    job = await pipeline.process_data([{"text": "well", "mood": "SPLENDID, says the stranger"}])
    await pipeline.close()
    (result,) = job["results"]["results"]
    assert (result["status"], result["stage"], result["kind"]) == ("error", "Last", "prompt")
    assert "{mood}" in result["error"]
    assert len(server.requests) == 2


def of_one(**field):
    return {"type": "object", "properties": {"a": field}, "required": ["a"]}


EDITS = [
    {"usage": []},
    {"usage": {"prompt_tokens": "x", "completion_tokens": -5}},
    {"attempts": "x"},
    {"attempts": True},
    {"attempts": 10**20},
    {"key": "../../etc/passwd"},
    {"key": ["x"]},
    {"owner": {"a": 1}},
    {"owner": "../../x"},
    {"kind": ["access"]},
    {"seconds": {}},
    {"started": [], "error": 7, "cached": "no"},
    {"data": None},
    {"schema": "text"},
    {"schema": {"type": "nonsense"}},
    {"schema": [1]},
    {"schema": of_one(type="integer", minimum=1e308), "type": {"read_alike": "model"}},
    {"schema": of_one(type="string", pattern="(?=a)"), "type": {"read_alike": "dataclass"}},
    {"schema": {"enum": [[1]]}, "type": {"label": [], "read_alike": ["model"]}},
]


NESTED = json.loads("[" * 300 + "]" * 300)
UNWRITABLE = [
    {"data": NESTED},
    {"extra": NESTED},
    {"schema": {"type": "nonsense"}, "batch": {"a": 1}},
    {"schema": {"type": "nonsense"}, "job": ["x"]},
]


@pytest.mark.parametrize("edit", UNWRITABLE, ids=range(len(UNWRITABLE)))
async def test_an_edited_record_that_cannot_be_written_again_keeps_no_other_from_being_asked(
    server, service, edit
):
    put("requests", id="req_1", **edit)
    put("requests", id="req_2")
    told = await service.resume()
    assert [each["request_id"] for each in told if each["status"] == "success"] == ["req_2"]
    assert len(server.requests) == 1  # what cannot be kept is not asked


@pytest.mark.parametrize("edit", EDITS, ids=range(len(EDITS)))
async def test_an_edited_record_harms_no_other_and_is_asked_where_it_can_be(server, service, edit):
    put("requests", id="req_1", **edit)
    put("requests", id="req_2")
    put("requests", id="req_3")
    told = await service.resume()
    assert [each["request_id"] for each in told] == ["req_1", "req_2", "req_3"]
    assert [each["status"] for each in told[1:]] == ["success"] * 2
    if "schema" not in edit:
        assert told[0]["status"] == "success"
        kept = service.get_request("req_1")
        assert kept["attempts"] == 1
        assert kept["usage"]["prompt_tokens"] > 0


@pytest.mark.parametrize(
    "edit", [{"status": ["received"]}, {"status": {"a": 1}}, {"status": 7}, {"id": "req_9"}]
)
async def test_a_record_that_cannot_be_used_is_reported(service, edit, caplog):
    put("requests", id="req_2")
    (Path("requests") / "req_1.json").write_text(json.dumps({"id": "req_1", "data": 1, **edit}))
    assert [each["request_id"] for each in await service.resume()] == ["req_2"]
    assert "req_1.json cannot be used" in service.get_request("req_1")["error"]
    assert service.health().damaged == 1
    assert "req_1.json" in caplog.text


async def test_a_record_that_is_short_on_the_disk_and_long_to_read_is_not_read(service):
    put("requests", id="req_1")
    with (Path("requests") / "req_1.json").open("r+b") as file:
        file.truncate(255 * 2**20)
        if first_hole(file.fileno()) == 255 * 2**20:
            pytest.skip("this file system tells of no holes")
    put("requests", id="req_2")
    assert [each["request_id"] for each in await service.resume()] == ["req_2"]
    assert "it has holes" in service.get_request("req_1")["error"]


def give_away(folder, name, how):
    folder.chmod(0o1777)  # everybody may add, as in /tmp
    if how == "written by everybody":
        (folder / name).chmod(0o646)
    elif os.geteuid() == 0:
        os.chown(folder / name, 54321, 54321)
    else:
        pytest.skip("only root may give files away")


@pytest.mark.skipif(os.name != "posix", reason="there are no such rights")
@pytest.mark.parametrize("how", ["of another user", "written by everybody"])
async def test_a_record_of_somebody_else_is_neither_asked_nor_believed(
    server, service, monkeypatch, how
):
    put("requests", id="req_1")
    put("requests", id="req_2")
    give_away(Path("requests"), "req_1.json", how)
    assert [each["request_id"] for each in await service.resume()] == ["req_2"]
    assert server.counters.total == 1
    assert "who would have it asked" in service.get_request("req_1")["error"]
    monkeypatch.setenv("LIONPROC_TRUST", "requests")
    assert [each["request_id"] for each in await service.resume()] == ["req_1"]


@pytest.mark.skipif(os.name != "posix", reason="there are no such rights")
async def test_records_that_were_unpacked_or_copied_are_believed_with_a_word(service, caplog):
    put("requests", id="req_1")
    put("requests", id="req_2", status="completed", result="an answer")
    for name in ("req_1.json", "req_2.json"):
        (Path("requests") / name).chmod(0o644)
    assert [each["request_id"] for each in await service.resume()] == ["req_1"]
    assert service.get_request("req_2")["result"] == "an answer"
    assert caplog.text.count("they were copied, unpacked or edited") == 1
    caplog.clear()
    own = lp.ProcessingService("S", "requests", None, None, model=service.session.model)
    for name in ("req_1.json", "req_2.json"):
        (Path("requests") / name).chmod(0o600)
    assert own.get_request("req_1")["status"] == "completed"
    assert not caplog.text
    await own.close()


async def test_a_record_without_its_data_is_reported(service, caplog):
    (Path("requests") / "req_1.json").write_text('{"id": "req_1", "status": "received"}')
    assert await service.resume() == []
    assert service.health().damaged == 1
    assert "it has no data" in caplog.text


def edit(folder, pattern, remove):
    (path,) = Path(folder).glob(pattern)
    record = json.loads(path.read_text())
    del record[remove]
    path.write_text(json.dumps(record))


def rewrite(folder, pattern, **fields):
    (path,) = Path(folder).glob(pattern)
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


class Mood(BaseModel):
    mood: str


@pytest.mark.parametrize("made", ["of one model", "of several"])
async def test_an_answer_that_came_before_a_kill_is_that_of_the_request_whose_type_is_made_again(
    server, model, made
):
    server.configure(answer='{"mood": "good"}')
    last = lp.Model("openai/last", base_url=server.base_url, api_key=server.key)
    asked = model if made == "of one model" else lp.Fallback([model, last])
    async with lp.ProcessingService("S", "requests", None, None, model=asked) as service:
        await service.process_data("a text", Mood)
    rewrite("requests", "req_*.json", status="processing")
    edit("requests", "req_*.json", "result")
    async with lp.ProcessingService("S", "requests", None, None, model=asked) as service:
        (told,) = await service.resume()
    assert (told["result"], server.counters.total) == ({"mood": "good"}, 1)


OTHERWISE = {  # what is another of the model, and of the record
    "other data": ({}, {"data": "another text"}),
    "another model": ({"model": "openai/other"}, {}),
    "another tenant": ({"scope": "b"}, {}),
    "another field of the body": ({"seed": 7}, {}),
    "another schema": ({}, {"schema": TEXT}),
}


@pytest.mark.parametrize("made", ["of one model", "of several"])
@pytest.mark.parametrize("way", OTHERWISE)
async def test_an_answer_that_came_before_a_kill_is_none_to_what_is_asked_otherwise(
    server, way, made
):
    server.configure(answer='{"text": "t", "summary": "s"}')
    plain = {"model": "openai/m", "base_url": server.base_url, "api_key": server.key}

    def service(**fields):
        model = lp.Model(**{**plain, **fields})
        if made == "of several":
            model = lp.Fallback([model, lp.Model(**{**plain, "model": "openai/last"})])
        return lp.ProcessingService("S", "requests", None, None, model=model)

    async with service() as first:
        await first.process_data("a text", SUMMARY)
    of_the_model, of_the_record = OTHERWISE[way]
    rewrite("requests", "req_*.json", status="processing", **of_the_record)
    edit("requests", "req_*.json", "result")
    async with service(**of_the_model) as second:
        (told,) = await second.resume()
    assert (told["status"], server.counters.total) == ("success", 2)


@pytest.mark.parametrize(
    ("data", "why"), [(NESTED, "levels, one in the other"), (None, "it has no data")]
)
async def test_a_record_that_cannot_be_asked_fails_alone_and_its_batch_is_completed(
    server, model, data, why
):
    first = lp.BatchProcessor("B", "batches", 2, None, model=model)
    batch = await first.process_batch([1, 2, 3])
    await first.close()
    rewrite("batches", "batch_*.json", status="processing")
    rewrite("batches", "req_*_000001.json", status="processing", data=data)
    edit("batches", "req_*_000001.json", "result" if data else "data")
    again = lp.BatchProcessor("B", "batches", 2, None, model=model)
    (told,) = await again.resume()
    assert [each["status"] for each in told["results"]] == ["success", "error", "success"]
    assert why in told["results"][1]["error"]
    assert again.get_batch(batch["batch_id"])["status"] == "completed"
    assert (await again.resume(), server.counters.total) == ([], 3)
    await again.close()


async def test_a_completed_record_without_data_is_about_no_item(server, model):
    processor = lp.BatchProcessor("B", "batches", 2, None, model=model)
    batch = await processor.process_batch([1, 2])
    edit("batches", "req_*_000001.json", "data")
    kept = processor.get_batch(batch["batch_id"])["results"]
    assert [each["status"] for each in kept] == ["success", "error"]
    again = await processor.retry_failed(batch["batch_id"])
    assert [each["status"] for each in again["results"]] == ["success", "error"]
    assert "it has no data" in again["results"][1]["error"]
    await processor.close()


async def test_a_completed_record_without_its_result_is_no_answer(server, model):
    processor = lp.BatchProcessor("B", "batches", 2, None, model=model)
    batch = await processor.process_batch([{"n": 1}])
    edit("batches", "req_*.json", "result")
    assert processor.get_batch(batch["batch_id"])["results"][0]["status"] == "error"
    again = await processor.retry_failed(batch["batch_id"])
    assert again["results"] == batch["results"]
    assert server.counters.total == 1  # it came from the journal
    await processor.close()


async def test_a_pipe_a_link_a_device_and_a_giant_are_not_read(service, monkeypatch, tmp_path):
    monkeypatch.setattr(records_module, "LARGEST", 1_000_000)
    folder = Path("requests")
    put(folder, id="req_good")
    os.mkfifo(folder / "req_pipe.json")
    put(tmp_path, id="req_link")
    (folder / "req_link.json").symlink_to(tmp_path / "req_link.json")
    (folder / "req_zero.json").symlink_to("/dev/zero")
    (folder / "req_folder.json").mkdir()
    with (folder / "req_giant.json").open("wb") as file:
        file.truncate(2_000_000)
    assert [each["request_id"] for each in await service.resume()] == ["req_good"]
    records = service._store.records
    assert sorted(records.damaged) == sorted(
        f"req_{name}.json" for name in ("pipe", "link", "zero", "folder", "giant")
    )
    for name, why in (("pipe", "pipe"), ("link", "link"), ("zero", "link"), ("giant", "larger")):
        with pytest.raises(RecordError, match=why):
            records.read(f"req_{name}")


def test_what_could_not_be_read_again_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(records_module, "LARGEST", 2**20)
    with pytest.raises(RecordError, match="several batches"):
        Records(tmp_path, "batch").write({"id": "batch_1", "items": ["x" * 2**20]})
    assert list(tmp_path.iterdir()) == []


async def test_batches_and_jobs_that_were_edited_harm_no_other(server, model, monkeypatch):
    processor = lp.BatchProcessor("B", "batches", 2, None, model=model)
    broken = {"id": "batch_1", "status": "processing", "items": [1], "schema": {"type": 7}}
    odd = {"id": "batch_2", "status": "processing", "items": {"n": 1}}
    good = {"id": "batch_3", "status": "processing", "items": [3], "schema": None}
    for record in (broken, odd, good):
        (Path("batches") / f"{record['id']}.json").write_text(json.dumps(record))
    told = await processor.resume()
    assert told[-1]["results"][0]["status"] == "success"
    assert len(told) == 2

    good["status"] = "processing"
    (Path("batches") / "batch_3.json").write_text(json.dumps(good))
    (Path("batches") / "batch_4.json").write_text(json.dumps({**good, "id": "batch_4"}))
    run = processor._run

    async def breaks(record, *arguments, **more):
        if record["id"] == "batch_3":
            raise RuntimeError("SECRET")
        return await run(record, *arguments, **more)

    monkeypatch.setattr(processor, "_run", breaks)
    told = await processor.resume()
    assert [each["status"] for each in told[-2:]] == ["error", "success"]
    assert "SECRET" not in str(told)
    await processor.close()

    pipeline = lp.Pipeline("P", "jobs", model=model)
    await pipeline.add_stage({"name": "Mood"})
    for number, stages in enumerate([7, ["x"], [{"stage": 1}], None, [{"stage": "Mood"}]]):
        record = {"id": f"job_{number}", "status": "processing", "data": ["x"], "stages": stages}
        (Path("jobs") / f"job_{number}.json").write_text(json.dumps(record))
    told = await pipeline.resume()
    assert [each["status"] for each in told] == ["error"] * 4 + ["success"]
    await pipeline.close()


async def test_an_item_has_no_answer_of_another_one_that_had_its_place(server, model):
    server.configure(answer=lambda body: body["messages"][-1]["content"])
    options = {"model": model, "prompt": "About {data}"}
    processor = lp.BatchProcessor("B", "batches", 2, None, **options)
    batch = await processor.process_batch(["x", "y", 1.0])
    rewrite("batches", "req_*_000002.json", batch="batch_of_another", data=1)
    rewrite("batches", "batch_*.json", items=["new", "x", 1])
    told = processor.get_batch(batch["batch_id"])["results"]
    assert [each["status"] for each in told] == ["error", "error", "success"]
    assert "something else" in told[0]["error"]
    assert processor.health().damaged == 2
    rewrite("batches", "batch_*.json", status="stopped")
    told = processor.get_batch(batch["batch_id"])["results"]
    assert [each["status"] for each in told] == ["waiting", "waiting", "success"]
    with pytest.warns(LionprocWarning, match="1 answer was kept"):  # it was asked about 1.0
        (resumed,) = await processor.resume()
    answers = [each["result"] for each in resumed["results"]]
    assert answers == ["About new", "About x", "About 1.0"]
    assert processor.get_batch(batch["batch_id"])["results"] == resumed["results"]
    assert processor.health().damaged == 0
    assert server.counters.total == 4  # x was paid for
    rewrite("batches", "batch_*.json", status="stopped", schema={"type": "array"})
    (resumed,) = await processor.resume()
    assert resumed["failed"] == 3  # texts are no arrays
    await processor.close()


async def test_an_item_that_json_tells_from_the_one_in_its_place_has_no_answer_of_it(server, model):
    server.configure(answer=lambda body: body["messages"][-1]["content"])
    processor = lp.BatchProcessor("B", "batches", 2, None, model=model, prompt="About {data}")
    asked = [1, 0, 2, 0.0, {"x": [1]}, {"x": 1, "y": [None]}]
    batch = await processor.process_batch(asked)
    edited = [True, False, 2.0, -0.0, {"x": [1.0]}, {"y": [None], "x": 1}]
    rewrite("batches", "batch_*.json", items=edited, status="stopped")
    told = processor.get_batch(batch["batch_id"])["results"]
    assert [each["status"] for each in told] == ["waiting"] * 5 + ["success"]
    (resumed,) = await processor.resume()
    answers = [each["result"] for each in resumed["results"]]
    ways = ["true", "false", "2.0", "-0.0", '{"x":[1.0]}', '{"x":1,"y":[null]}']
    assert answers == [f"About {way}" for way in ways]
    await processor.close()


class Tags(BaseModel):
    tags: set[str]


async def test_an_item_of_a_job_has_no_answer_of_another_one_at_any_stage(server, model):
    def answer(body):
        prompt = body["messages"][-1]["content"]
        return prompt if prompt.startswith("About") else {"tags": ["a", "b"]}

    async def made():
        pipeline = lp.Pipeline("P", "jobs", model=model)
        await pipeline.add_stage({"name": "Tags", "schema": Tags, "prompt": "Tag {name}"})
        await pipeline.add_stage({"name": "Text", "prompt": "About {name}"})
        return pipeline

    async def resumed():
        rewrite("jobs", "job_*.json", status="stopped")
        pipeline = await made()
        (job,) = await pipeline.resume()
        await pipeline.close()
        return [each["result"] for each in job["results"]["results"]]

    server.configure(answer=answer)
    pipeline = await made()
    await pipeline.process_data([{"name": name} for name in "xy"])
    await pipeline.close()
    rewrite("jobs", "job_*.json", data=[{"name": name} for name in ("y", "x", "new")])
    assert await resumed() == ["About y", "About x", "About new"]
    assert server.counters.total == 6  # x and y were paid for
    for place in range(3):
        rewrite("jobs", f"Text/req_*_00000{place}.json", result=f"Kept {place}")
    assert await resumed() == ["Kept 0", "Kept 1", "Kept 2"]
    rewrite("jobs", "Tags/req_*_000000.json", result={"tags": ["c"]})
    assert await resumed() == ["About y", "Kept 1", "Kept 2"]


@pytest.mark.parametrize("tags", [["a", "b"], ["b", "a"]])
async def test_an_answer_that_is_a_set_has_the_order_of_its_record_for_the_next_stage(
    server, model, tags
):
    server.configure(answer=lambda body: {"tags": tags} if "Tag" in str(body) else "fine")
    pipeline = lp.Pipeline("P", "jobs", model=model)
    await pipeline.add_stage({"name": "One", "schema": Tags, "prompt": "Tag {data}"})
    await pipeline.add_stage({"name": "Two", "prompt": "Text of {data}"})
    job = await pipeline.process_data(["x"])
    rewrite("jobs", "One/req_*.json", result={"tags": tags})  # as in a process that orders it so
    rewrite("jobs", "Two/req_*.json", data={"tags": tags}, result="so far")
    edit("jobs", "Two/req_*.json", "context")
    edit("jobs", "Two/req_*.json", "question")
    again = await pipeline.retry_failed(job["job_id"])
    assert again["results"]["results"][0]["result"] == "so far"
    await pipeline.close()


async def test_an_answer_that_was_edited_beyond_what_json_holds_fails_its_item_alone(model):
    deep = json.loads("[" * 300 + "]" * 300)
    pipeline = lp.Pipeline("P", "jobs", model=model)
    await pipeline.add_stage({"name": "Mood"})
    await pipeline.add_stage({"name": "Sum", "input_schema": str})
    job = {"id": "job_1", "status": "processing", "data": ["x", "y"], "stages": None}
    job["stages"] = [{"stage": "Mood"}, {"stage": "Sum"}]
    (Path("jobs") / "job_1.json").write_text(json.dumps(job))
    edited = {"id": "req_1_000000", "status": "completed", "data": "x", "result": deep}
    (Path("jobs") / "Mood" / "req_1_000000.json").write_text(json.dumps(edited))
    (told,) = await pipeline.resume()
    assert [each["status"] for each in told["results"]["results"]] == ["error", "success"]
    told = await pipeline.retry_failed("job_1")
    assert "more than 200 levels" in told["results"]["results"][0]["error"]
    await pipeline.close()


def test_a_pipe_among_the_owners_hangs_nobody(tmp_path):
    owner = Lease(tmp_path)
    owner.claim()
    os.mkfifo(tmp_path / ".owners" / HEX)
    (tmp_path / ".owners" / HEX[::-1]).symlink_to("/dev/zero")
    assert not owner.is_held(HEX[::-1])
    owner.is_held(HEX)
    owner.close()


def test_a_conversation_is_not_read_from_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "talk.json")
    with pytest.raises(LionprocError, match="device, pipe or socket"):
        lp.Branch.load(tmp_path / "talk.json")


@pytest.mark.parametrize(
    "name",
    [
        *("con", "NUL", "Aux", "prn", "com1", "LPT9", "nul.txt", "con .x", "com\u00b9"),
        *("journal.sqlite", "JOURNAL.SQLITE-wal", "req_1.json", "batch_0.json"),
    ],
)
async def test_a_name_that_is_taken_by_a_device_or_a_file_of_ours_is_refused(model, name):
    with pytest.raises(RecordError, match="is taken"):
        checked_name(name)
    told = await lp.Pipeline("P", "jobs", model=model).add_stage({"name": name})
    assert (told["status"], "is taken" in told["error"]) == ("error", True)


@pytest.mark.parametrize("name", ["confirm", "nullable", "console.x", "com", "com10", "journal"])
def test_a_name_that_only_begins_like_one_is_fine(name):
    assert checked_name(name) == name


async def test_stages_that_would_share_a_folder_on_some_disks_are_refused(model):
    pipeline = lp.Pipeline("P", "jobs", model=model)
    assert (await pipeline.add_stage({"name": "Stra\u00dfe \u00e9"}))["status"] == "success"
    for name in ("STRASSE \u00c9", "stra\u00dfe e\u0301"):
        assert (await pipeline.add_stage({"name": name}))["status"] == "error"
