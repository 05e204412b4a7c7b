"""A pipeline over a frame is a run like any other: one job, one report, one way to be stopped."""

import pandas as pd
import pyarrow as pa
import pytest
from pydantic import BaseModel, computed_field

import lionproc as lp
from lionproc.engine.journal import Journal
from lionproc.errors import BudgetWarning, ConfigurationError, RowsFailedWarning, RunError

QUIET = {"progress": False}
STAGES = [{"name": "a", "prompt": "A {n}"}, {"name": "b", "prompt": "B {a}"}]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(server):
    return lp.Model("openai", model="m", base_url=server.base_url, api_key=server.key)


def numbers(count):
    return pd.DataFrame({"n": range(count)})


def asked(server):
    return [request.body["messages"][-1]["content"] for request in server.requests]


# The same question


@pytest.mark.parametrize(
    ("prompt", "schema"),
    [("Is {n} even?", bool), ("Say {n} {flag} {at}", str), (lambda row: f"Tell {row['n']}", str)],
)
def test_the_same_question_is_paid_once_whether_process_or_a_pipeline_asks(
    server, model, prompt, schema
):
    df = pd.DataFrame({"n": [1.0, 2.5], "flag": [True, False], "at": pd.to_datetime(["2026"] * 2)})
    df.llm.process(prompt, into="a", schema=schema, model=model, **QUIET)
    df.llm.pipeline([{"name": "b", "prompt": prompt, "schema": schema}], model=model, **QUIET)
    assert server.counters.total == 2


def test_a_stage_has_a_system_prompt_where_it_was_given_one_or_has_no_prompt(server, model):
    stages = [{"name": "a", "prompt": "A {n}"}, {"name": "b", "prompt": "B {n}", "system": "Be."}]
    numbers(1).llm.pipeline([*stages, {"name": "c"}], model=model, **QUIET)
    systems = [r.body["messages"][0]["content"] for r in server.requests]
    assert systems[:2] == ["A 0", "Be."]
    assert systems[2].startswith("You process data")


async def test_a_name_with_braces_is_the_same_in_process_a_pipeline_and_a_service(server, model):
    df = pd.DataFrame({"{x}": ["cell"]})
    template = "{{Say}} { {{x}} }"
    await df.llm.aprocess(template, into="a", model=model, **QUIET)
    df.llm.pipeline([{"name": "b", "prompt": template}], model=model, **QUIET)
    service = lp.ProcessingService("S", "s", 60_000, model=model, system=None, prompt=template)
    told = await service.process_data({"{x}": "cell"})
    await service.close()
    assert told["result"] == "echo: {Say} cell"
    assert set(asked(server)) == {"{Say} cell"}


# One job


def test_stages_started_are_a_job_that_is_paused_stopped_and_taken_up(server, model):
    server.hold()
    job = numbers(100).llm.start(STAGES, model=model, limits={"concurrency": 8}, **QUIET)
    server.wait_for(lambda c: c.in_flight == 8)
    assert lp.last_job() is job
    assert "a, b with openai/m" in repr(job)
    job.pause()
    job.resume()
    job.stop()
    server.release()
    part = job.result(10)
    assert job.stats.state == "stopped"
    assert part["a"].notna().sum() == server.counters.total == 8
    assert job.report().facts["not_sent"] == 100

    whole = job.retry_failed().result(20)
    assert whole["b"].tolist() == [f"echo: B echo: A {n}" for n in range(100)]
    assert server.counters.total == 200
    assert server.duplicates() == 0


async def test_stages_are_awaited_as_a_prompt_is(server, model):
    out = await numbers(3).llm.aprocess(STAGES, model=model, **QUIET)
    assert list(out) == ["n", "a", "b"]


def test_a_budget_bounds_all_stages_together(server, model):
    with pytest.warns(BudgetWarning, match="budget of 7 requests"):
        numbers(50).llm.pipeline(STAGES, model=model, budget=lp.Budget(requests=7), **QUIET)
    assert server.counters.total == 7


def test_parts_are_saved_when_their_rows_have_passed_all_stages(server, model):
    server.configure(faults=lambda body, n: "400" if str(body).count("B echo: A 3") else None)
    with pytest.warns(RowsFailedWarning, match="1 of 10 rows.*1 bad_request at 'b'"):
        out = numbers(10).llm.pipeline(
            STAGES, model=model, save="parts/", chunk_size=4, details=True, **QUIET
        )
    pd.testing.assert_frame_equal(lp.read_parquet("parts/"), out)
    assert out["a_status"].tolist() == ["answered"] * 10
    assert out["b_status"].value_counts().to_dict() == {"answered": 9, "failed": 1}
    assert out["pipeline_error"].iloc[3].startswith("b: bad_request: ")


def test_what_stops_one_stage_stops_them_all(server, model):
    def faults(body, n):
        return "401" if body["messages"][-1]["content"].startswith("B") else None

    server.configure(faults=faults, latency_s=0.01)
    with pytest.raises(RunError, match="401"):
        numbers(2000).llm.pipeline(STAGES, model=model, limits={"concurrency": 4}, **QUIET)
    assert server.counters.total < 500
    assert lp.last_job().stats.state == "failed"


def test_arguments_that_are_a_stages_own_are_refused(model):
    with pytest.raises(ConfigurationError, match=r"schema=.* does not go with stages"):
        numbers(1).llm.start(STAGES, schema=int, model=model)
    with pytest.raises(ConfigurationError, match="20 rows"):
        numbers(1).llm.estimate(STAGES, model=model)


# As fast as a run


def test_as_many_rows_are_under_way_as_the_limits_allow(server, model):
    server.hold()
    job = numbers(400).llm.start(
        STAGES, model=model, limits={"concurrency": 300, "adapt": False}, **QUIET
    )
    server.wait_for(lambda c: c.in_flight == 300)
    server.release()
    assert job.result(30)["b"].notna().all()


def test_stages_work_at_the_same_time(server, model):
    server.configure(answer=lambda body: body["messages"][-1]["content"][:1])
    numbers(400).llm.pipeline(STAGES, model=model, limits={"concurrency": 4}, **QUIET)
    first_of_b = next(n for n, text in enumerate(asked(server)) if text.startswith("B"))
    assert first_of_b < 400


def test_keys_are_looked_up_in_batches_at_every_stage(server, model, monkeypatch):
    numbers(1000).llm.pipeline(STAGES, model=model, **QUIET)
    looked_up, find = [], Journal.find

    def counting(self, keys, *marks):
        looked_up.append(len(keys))
        return find(self, keys, *marks)

    monkeypatch.setattr(Journal, "find", counting)
    sent = server.counters.total
    out = numbers(1000).llm.pipeline(STAGES, model=model, **QUIET)
    assert server.counters.total == sent
    assert sum(looked_up) == 2000
    assert len(looked_up) < 40
    assert out.llm.report().stats.cached == 1000


def test_a_prompt_is_made_once_for_a_row_that_is_tried_before_the_run(server, model):
    rows = []

    def prompt(row):
        rows.append(row["n"])
        return f"Say {row['n']}"

    numbers(5).llm.process(prompt, into="a", model=model, **QUIET)
    assert sorted(rows) == [0, 1, 2, 3, 4]


class Odd:
    def __str__(self):
        raise ValueError


class Raising(BaseModel):
    n: int

    @computed_field
    @property
    def half(self) -> int:
        return {2: 1}[self.n]  # of all others it raises


def test_an_answer_without_a_form_in_json_fails_its_row_alone(server, model):
    server.configure(answer=lambda body: f'{{"n": {1 + ("2" in body["messages"][-1]["content"])}}}')
    df = pd.DataFrame({"n": [1, 2]})
    for prompt in ("B {a}", "C {n} {a_n}", lambda data: f"D {data['a']['n']}"):
        stages = [
            {"name": "a", "prompt": "A {n}", "schema": Raising},
            {"name": "b", "prompt": prompt},
        ]
        with pytest.warns(RowsFailedWarning, match="1 of 2 rows"):
            out = df.llm.pipeline(stages, model=model, details=True, **QUIET)
        assert out["a_n"].tolist() == [1, 2]
        assert out["b"].isna().tolist() == [True, False]
        why = out["pipeline_error"][0]
        assert why.startswith("b: prompt: the answer of stage 'a' cannot be written as JSON")
    tried = df.llm.preview("A {n}", into="a", schema=Raising, model=model)
    assert tried.rows["answer"].tolist() == [{"n": 1}, {"n": 2, "half": 1}]


@pytest.mark.parametrize(
    "stages",
    [
        [{"name": "a", "prompt": "A {text}"}],
        [{"name": "a"}],
        [{"name": "a", "prompt": lambda data: data["text"]}],
    ],
    ids=["template", "whole row", "function"],
)
def test_a_cell_that_cannot_be_read_fails_its_row_alone(server, model, stages):
    held = pa.array([b"one", b"caf\xe9", b"three"])
    text = pa.StringArray.from_buffers(3, *held.buffers()[1:])
    moments = pa.array([0, 1, 10**18]).cast(pa.timestamp("s"))  # the last one in 31,688,740,000
    df = pd.DataFrame(
        {
            "text": pd.arrays.ArrowExtensionArray(text),
            "at": pd.arrays.ArrowExtensionArray(moments),
        }
    )
    last = stages[0].get("prompt") != "A {text}"  # else all of the row is read
    with pytest.warns(RowsFailedWarning, match=f"{1 + last} of 3 rows"):
        out = df.llm.pipeline(stages, model=model, details=True, **QUIET)
    assert out["a"].isna().tolist() == [False, True, last]
    assert "the cell of 'text' cannot be read (Unicode" in out["pipeline_error"][1]


def test_a_cell_whose_text_raises_fails_its_row_alone_where_a_stage_sees_the_whole_row(
    server, model
):
    df = pd.DataFrame({"n": pd.Series([1, Odd(), 3], dtype=object)})
    with pytest.warns(RowsFailedWarning, match="1 of 3 rows"):
        out = df.llm.pipeline([{"name": "a"}], model=model, **QUIET)
    assert out["a"].isna().tolist() == [False, True, False]
