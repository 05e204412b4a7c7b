"""Rows without an answer are asked again, in other words or of another model, into the same frame."""

import warnings

import pandas as pd
import pytest

import lionproc as lp
from lionproc.errors import ConfigurationError, PromptError, RowsFailedWarning
from lionproc.frame.asked_again import asked_again
from lionproc.model.call import RequestBuilder
from lionproc.testing import Fault, Server

QUIET = {"progress": False}


def frame():
    return pd.DataFrame({"text": [f"text {n}" for n in range(6)]}, index=list("fedcba"))


@pytest.fixture
def job(server, model, tmp_path):
    """A run of which two rows failed, into a folder of parts."""
    bad = ("text 1", "text 4")
    server.configure(
        faults=lambda body, _: "400" if str(body["messages"]).endswith(tuple(f"{b}'}}]" for b in bad)) else None
    )  # fmt: skip
    with pytest.warns(RowsFailedWarning):
        frame().llm.process(
            "Say {text}", into="a", system="Be brief.", model=model, details=True, chunk_size=2,
            save=f"{tmp_path}/parts/", journal=f"{tmp_path}/j.sqlite", **QUIET,
        )  # fmt: skip
    server.configure(faults=None)
    return lp.last_job()


def test_other_words_fill_the_same_frame_and_who_answered_which_is_kept(server, job, tmp_path):
    again = job.retry_failed(prompt="Repeat: {text}")
    out = again.result(10)
    said = [f"echo: {'Repeat:' if n in {1, 4} else 'Say'} text {n}" for n in range(6)]
    assert out["a"].tolist() == said
    assert [body["messages"][0]["content"] for body in bodies(server)[-2:]] == ["Be brief."] * 2
    first, second = job.report().facts["run"], again.report().facts["run"]
    assert first != second
    assert out["a_run"].tolist() == [second if n in {1, 4} else first for n in range(6)]
    assert again.report().facts["prompt"] == "Repeat: {text}"
    back = lp.read_parquet(tmp_path / "parts")
    assert back["a"].tolist() == said
    assert job.frame()["a"].isna().sum() == 2  # the first one is as it was
    with pytest.raises(ConfigurationError):  # its rows were asked in two ways
        out.llm.to_jsonl(tmp_path / "train.jsonl", format="openai")


def bodies(server):
    return [request.body for request in server.requests]


def test_another_model_with_its_own_limits_answers_what_the_first_one_did_not(server, job):
    other = lp.Model("openai", "other", base_url=server.base_url, api_key=server.key)
    limits = lp.Limits(requests_per_minute=6000, concurrency=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # whoever names another model knows of both
        out = (again := job.retry_failed(model=other, limits=limits)).result(10)
    assert out["a"].notna().all()
    assert out["a_model"].tolist() == [
        "test-model",
        "other",
        *["test-model"] * 2,
        "other",
        "test-model",
    ]
    assert again.limits.requests_per_minute == 6000
    assert job.limits.requests_per_minute is None
    assert [body["model"] for body in bodies(server)[-2:]] == ["other"] * 2


def test_what_cannot_work_is_refused_before_anything_is_sent(server, job):
    sent = server.counters.total
    with pytest.raises(PromptError, match="txet"):
        job.retry_failed(prompt="Say {txet}")
    with pytest.raises(ConfigurationError):
        job.retry_failed(limits={"rpm": 5})
    with pytest.raises(lp.errors.ModelError):
        job.retry_failed(model="nobody/nothing")
    assert server.counters.total == sent


def test_a_prompt_over_columns_needs_its_cell(server, model):
    server.configure(faults=["400"])
    with pytest.warns(RowsFailedWarning):
        frame().llm.process("Say {value}", into="{column}_a", columns=["text"], model=model,
                            limits={"concurrency": 1}, **QUIET)  # fmt: skip
    with pytest.raises(PromptError, match=r"\{value\}"):
        lp.last_job().retry_failed(prompt="Say it")
    out = lp.last_job().retry_failed(prompt="Repeat {value}").result(10)
    assert out["text_a"].tolist()[:2] == ["echo: Repeat text 0", "echo: Say text 1"]


def test_stages_take_other_limits_alone(server, model):
    server.hold()
    stages = [{"name": "a", "prompt": "A {text}"}, {"name": "b", "prompt": "B {a}"}]
    job = frame().llm.start(stages, model=model, **QUIET)
    server.wait_for(lambda seen: seen.in_flight == 6)
    job.stop(0.0)
    job.wait(30)
    server.release()
    with pytest.raises(ConfigurationError, match="a prompt and a model each"):
        job.retry_failed(prompt="C {text}")
    again = job.retry_failed(limits={"concurrency": 2})
    assert again.result(10)["b"].notna().all()
    assert again.limits.concurrency == 2


def test_what_was_asked_again_or_repaired_is_found_in_the_details():
    answers = {
        "plain": '{"answer": 1}', "fenced": '```json\n{"answer": 2}\n```', "bare": "3",
        "float": '{"answer": 4.0}',
    }  # fmt: skip

    def answer(body):
        text = body["messages"][-1]["content"]
        if "wrong" in str(body["messages"]):
            return '{"answer": 5}' if len(body["messages"]) > 1 else '{"answer": "five"}'
        return answers[text]

    with Server(answer=answer) as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        out = pd.DataFrame({"text": [*answers, "wrong"]}).llm.process(
            "{text}", into="n", schema=int, model=model, details=True, journal=False, **QUIET
        )
    assert out["n"].tolist() == [1, 2, 3, 4, 5]
    assert out["n_note"].fillna("").tolist() == ["", *["repaired"] * 3, "asked again"]


def test_a_row_that_was_cut_is_found_by_its_status(server, model):
    server.configure(faults={Fault("length"): 1.0})
    with pytest.warns(RowsFailedWarning):
        out = frame().llm.process("{text}", into="a", model=model, details=True, **QUIET,
                                  retry=lp.Retry(first_failures=None))  # fmt: skip
    assert out["a_error"].str.startswith("truncated").all()


def test_two_that_go_on_at_the_same_time_ask_what_each_would_ask_alone(model):
    """Equal rows that are asked one by one are numbered, and each run counts for itself."""
    df = pd.DataFrame({"text": ["the same"] * 3})
    plan = df.llm._plan("Say {text}", "a", str, {"model": model, "deduplicate": False})
    builder = RequestBuilder(plan.model.connect(), plan.model.body_params, plan.answer)
    alone = [call.key for _, call in plan.calls(builder, 0, 3)]
    assert len(set(alone)) == 3
    others = [
        asked_again(plan, prompt=None, model=None, limits=None).calls(builder, 0, 3)
        for _ in range(2)
    ]
    assert [[call.key for _, call in made] for made in others] == [alone] * 2


def test_a_job_can_be_asked_again_twice_at_once(job):
    first, second = job.retry_failed(), job.retry_failed()
    assert first.result(10)["a"].tolist() == second.result(10)["a"].tolist()
