"""`lp.Pool`: one model behind several keys or deployments."""

import asyncio
from typing import Literal

import pandas as pd
import pytest

import lionproc as lp
from lionproc.errors import AccessError, ModelError
from lionproc.testing import Fault, Server

QUIET = {"progress": False, "panel": False}
pytestmark = pytest.mark.usefixtures("no_slow_start")


@pytest.fixture
def one(monkeypatch, tmp_path):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    with Server(answer="said") as server:
        yield server


@pytest.fixture
def two():
    with Server(answer="said") as server:
        yield server


def at(server, name="a", **more):
    return lp.Model("openai", name, base_url=server.base_url, api_key=server.key, **more)


def ask(model, texts, **more):
    frame = pd.DataFrame({"text": texts})
    arguments = {"into": "a", "model": model, "details": True, **QUIET, **more}
    return frame.llm.process("Say {text}", **arguments)


def names(count):
    return [f"t{n}" for n in range(count)]


def sent(*servers):
    return [server.counters.total for server in servers]


def test_rows_go_where_there_is_room_and_the_report_tells_who_was_asked(one, two):
    one.configure(latency_s=0.02)
    two.configure(latency_s=0.02)
    pool = lp.Pool([at(one), at(two)])
    out = ask(pool, names(60), limits={"concurrency": 4, "adapt": False})
    assert set(out["a"]) == {"said"}
    assert min(sent(one, two)) >= 20
    assert [s.counters.peak_in_flight for s in (one, two)] == [4, 4]
    members = out.llm.report().members
    assert members["requests"].tolist() == sent(one, two)
    assert members["answered"].sum() == 60


def test_the_key_does_not_depend_on_who_answered(one, two):
    ask(lp.Pool([at(one), at(two)]), names(20))
    assert min(sent(one, two)) > 0
    for model in (at(one), lp.Pool([at(one), at(two)]), lp.Pool([at(two), at(one)])):
        assert set(ask(model, names(20))["a_status"]) == {"cached"}
    ask(at(two), ["other"])  # a plain run of the second one
    assert ask(lp.Pool([at(one), at(two)]), ["other"])["a_status"].tolist() == ["cached"]
    assert sum(sent(one, two)) == 21


def test_an_answer_that_ends_in_the_word_of_one_member_is_found_again(one, two):
    two.configure(faults={Fault("ending", text="done"): 1.0})
    pool = lp.Pool([at(one), at(two, endings=["done"])])
    ask(pool, names(20))
    assert min(sent(one, two)) > 0
    assert set(ask(pool, names(20))["a_status"]) == {"cached"}


@pytest.mark.parametrize("fault", ["401", "404", "503", "reset"])
def test_one_that_dies_is_left_out_and_the_run_goes_on(one, two, fault):
    one.configure(faults={fault: 1.0})
    out = ask(lp.Pool([at(one), at(two)]), names(80), limits={"concurrency": 2, "adapt": False})
    assert set(out["a"]) == {"said"}
    assert sent(one, two)[0] <= 8
    assert out["a_attempts"].max() <= 3
    failed = out.llm.report().members["errors"][0]
    assert sum(failed.values()) == sent(one)[0]


def test_where_all_refuse_the_run_stops_as_ever(one, two):
    for server in (one, two):
        server.configure(faults={"401": 1.0})
    with pytest.raises(AccessError):
        ask(lp.Pool([at(one), at(two)]), names(100))
    assert sum(sent(one, two)) < 100


def test_a_pool_that_is_dead_is_one_model_to_a_fallback(one, two):
    one.configure(faults={"401": 1.0})
    pool = lp.Pool([at(one), at(one, scope="x")])
    out = ask(lp.Fallback([pool, at(two, "b")]), names(10))
    assert set(out["a_model"]) == {"b"}
    assert len(out.llm.report().members) == 3


def test_the_limits_of_a_run_are_what_each_may_send_and_live(one, two):
    for server in (one, two):
        server.configure(latency_s=0.05)
    frame = pd.DataFrame({"text": names(40)})
    job = frame.llm.start(
        "Say {text}",
        into="a",
        model=lp.Pool([at(one), at(two)]),
        limits={"concurrency": 1},
        **QUIET,
    )
    one.wait_for(lambda counters: counters.total >= 3, 10)
    assert [s.counters.peak_in_flight for s in (one, two)] == [1, 1]
    job.limits.concurrency = 5
    job.result()
    assert [s.counters.peak_in_flight for s in (one, two)] == [5, 5]
    assert job.stats.concurrency == 10


def test_a_wrong_shape_is_corrected_by_whoever_has_room(one, two):
    for server in (one, two):
        server.configure(
            answer="yes",
            faults=lambda body, _: None if len(body["messages"]) > 1 else "wrong_shape",
        )
    pool = lp.Pool([at(one), at(two)])
    out = ask(pool, names(6), schema=Literal["yes", "no"])
    assert set(out["a"]) == {"yes"}
    assert out["a_note"].str.startswith("asked again").all()
    before = sent(one, two)
    assert set(ask(pool, names(6), schema=Literal["yes", "no"])["a_status"]) == {"cached"}
    assert sent(one, two) == before


def test_it_is_taken_wherever_a_model_is(one, two, tmp_path):
    pool = lp.Pool([at(one), at(two)])
    frame = pd.DataFrame({"text": names(4)})
    stages = [{"name": "x", "prompt": "Say {text}", "rate_limit": 6000}]
    assert set(frame.llm.pipeline(stages, model=pool, **QUIET)["x"]) == {"said"}
    assert frame.llm.estimate("Say {text}", into="a", model=pool).answered == 4
    assert lp.limits_panel(pool).limits is pool.limiter.members[1].limits

    async def serve():
        said = await lp.Branch("b", model=pool).chat("Hello")
        async with lp.ProcessingService("s", tmp_path / "s", None, None, model=pool) as service:
            done = [await service.process_data({"n": n}) for n in range(4)]
        return said, {each["status"] for each in done}

    assert asyncio.run(serve()) == ("said", {"success"})
    assert min(sent(one, two)) > 0


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (lambda s: [at(s), at(s, "b")], "same=True"),
        (lambda s: [at(s), at(s, temperature=0.5)], "other parameters"),
        (lambda s: [at(s), lp.Fallback([at(s, scope="x"), at(s, scope="y")])], "Put the Pool into"),
        (lambda s: [at(s), at(s, executor=lp.RateLimitedAPIExecutor())], "executor="),
    ],
)
def test_members_that_are_not_one_model_are_refused(one, members, said):
    with pytest.raises(ModelError, match=said):
        lp.Pool(members(one))


def test_deployments_with_other_names_are_the_same_model_if_you_say_so(one, two):
    pool = lp.Pool([at(one, "vendor/Gpt-X"), at(two, "gpt-x"), at(two, "prod-east")], same=True)
    assert set(ask(pool, names(12))["a"]) == {"said"}
    assert {request.body["model"] for request in two.requests} <= {"gpt-x", "prod-east"}
    lp.Pool([at(one, "vendor/Gpt-X"), at(two, "gpt-x")])  # the same name, but for who sells it


def test_a_run_that_is_over_has_the_answers_that_another_member_had_before(one, two):
    with Server(answer="of a third") as three:
        one.configure(answer="of the second")
        frame = pd.DataFrame({"text": names(3)})
        ask(at(one), names(3))
        ask(at(three), names(3))
        model = lp.Fallback([lp.Pool([at(two), at(one)]), at(three)])
        out = ask(model, names(3))
        assert out["a"].tolist() == ["of the second"] * 3
        assert sent(one, two, three) == [3, 0, 3]
        run = lp.run(lp.last_job().run_id)
        assert run.frame(frame)["a"].tolist() == ["of the second"] * 3
