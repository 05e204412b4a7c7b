"""Journals and connections that several services have in common, or that are closed at odd moments."""

import asyncio
import gc
import threading
import weakref
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

import lionproc as lp
from lionproc.engine import dispatcher, journal
from lionproc.engine import loop as engine_loop
from lionproc.engine.request import Reply
from lionproc.engine.tokens import Tokens
from lionproc.errors import Kind
from lionproc.service.job_store import JobStore
from lionproc.service.records import Records
from lionproc.service.resources import Resources
from lionproc.testing import Fault, Server, run_virtual


def service(name, model, **options):
    usual = {"requests_per_minute": None, "max_tokens": None, "model": model}
    return lp.ProcessingService(name, name, **{**usual, **options})


def slowed(thing, name):
    """Have something that a thing does last on until an event is set.

    Returns:
        An event that is set when it was done, and the one that it waits for then.
    """
    done, goes_on, work = threading.Event(), threading.Event(), getattr(thing, name)

    async def slowly():
        await work()
        done.set()
        await asyncio.to_thread(goes_on.wait, 20)

    setattr(thing, name, slowly)
    return done, goes_on


async def until(holds):
    while not holds():  # noqa: ASYNC110  (what it looks at rings no bell)
        await asyncio.sleep(0)


async def test_services_over_one_journal_that_ask_the_same_at_one_moment_pay_once(server, model):
    several = [service(str(n), model, journal="j.sqlite") for n in range(4)]
    server.hold()
    asked = [asyncio.create_task(each.process_data({"x": 1})) for each in several for _ in range(2)]
    await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight >= 1)

    def are_all_under_way():
        return sum(each.status_counts().get("processing", 0) for each in several) == len(asked)

    await until(are_all_under_way)
    server.release()
    assert {told["result"] for told in await asyncio.gather(*asked)} == {
        asked[0].result()["result"]
    }
    assert server.counters.total == 1
    for each in several:
        await each.close()


async def test_who_shares_an_executor_keeps_replies_in_its_own_folder_and_when_others_are_closed(
    server, model
):
    async with lp.RateLimitedAPIExecutor() as executor:
        first, second = (service(name, model, executor=executor) for name in ("first", "second"))
        await first.process_data({"x": 1})
        await second.process_data({"x": 2})
        await first.close()
        for _ in range(2):
            await second.process_data({"x": 2})
            await second.process_data({"x": 3})
        assert server.counters.total == 3
        await second.close()
        again = service("second", model, executor=executor)
        await again.process_data({"x": 3})
        assert server.counters.total == 3
        await again.close()
        assert executor.journal is None
        assert executor.counters.sent == 3


async def test_an_executor_that_came_with_a_journal_has_it_when_all_are_closed(server, model):
    with journal.Journal.open(Path("own.sqlite")) as own:
        executor = lp.RateLimitedAPIExecutor(journal=own)
        async with executor:
            for name in ("first", "second"):
                one = service(name, model, executor=executor)
                await one.process_data({"x": 1})
                await one.close()
                assert executor.journal is own
    assert server.counters.total == 1


async def test_what_is_in_flight_when_its_batch_is_let_go_comes_back_and_is_kept(server, model):
    items = [{"n": n} for n in range(30)]
    how = {"requests_per_minute": None, "max_tokens": None, "model": model}
    server.hold()
    processor = lp.BatchProcessor("B", "batches", 8, **how)
    task = asyncio.create_task(processor.process_batch(items))
    await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 8)
    task.cancel()
    await asyncio.wait([task])
    del task, processor
    server.release()
    again = lp.BatchProcessor("B", "batches", 8, **how)
    told = []
    while not told:  # the one that was let go has it until what it sent has come back
        gc.collect()
        told = await again.resume()
    assert [each["failed"] for each in told] == [0]
    assert server.counters.total == 30
    await again.close()


async def test_a_close_that_is_given_up_goes_on_and_the_service_can_be_used_again(server, model):
    one = service("one", model, concurrency=2)
    server.hold()
    asked = [asyncio.create_task(one.process_data({"x": n})) for n in range(4)]
    await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 2)
    closing = asyncio.create_task(one.close())
    await until(lambda: one.executor.dispatcher.permission.stopping)
    closing.cancel()
    await asyncio.wait([closing])
    server.release()
    told = [each["status"] for each in await asyncio.gather(*asked)]
    assert told.count("success") == 2
    again = await one.resume()
    assert [each["status"] for each in again] == ["success"] * 2
    assert (await one.process_data({"x": 9}))["status"] == "success"
    assert server.counters.total == 5
    await one.close()


async def test_a_batch_that_is_taken_when_its_resumption_is_given_up_is_given_back(
    server, model, monkeypatch
):
    how = {"requests_per_minute": None, "max_tokens": None, "model": model}
    processor = lp.BatchProcessor("B", "batches", 8, **how)
    server.hold()
    task = asyncio.create_task(processor.process_batch([{"n": 1}]))
    await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 1)
    task.cancel()
    await asyncio.wait([task])
    server.release()
    begun, goes_on, take = threading.Event(), threading.Event(), JobStore._take

    def slowly(self, *args, **options):
        begun.set()
        goes_on.wait(20)
        return take(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(JobStore, "_take", slowly)
        resuming = asyncio.create_task(processor.resume())
        await asyncio.to_thread(begun.wait, 20)
        resuming.cancel()
        await asyncio.wait([resuming])
        goes_on.set()
    told = []
    while not told:
        told = await processor.resume()
    assert [each["failed"] for each in told] == [0]
    await processor.close()


async def test_a_service_on_a_shared_executor_that_is_closed_keeps_what_is_in_flight(server, model):
    executor = lp.RateLimitedAPIExecutor(concurrency_limit=4)
    async with executor:
        for close in (True, False):  # or it is let go
            server.hold()
            before = server.counters.total
            processor = lp.BatchProcessor(
                f"B{close}", f"b{close}", 8, model=model, executor=executor
            )
            task = asyncio.create_task(
                processor.process_batch([{"n": n, "c": close} for n in range(12)])
            )
            await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 4)
            if close:
                closing = asyncio.create_task(processor.close())
                await until(lambda: executor.queued == 0)
                server.release()
                await asyncio.gather(closing, task)
            else:
                task.cancel()
                await asyncio.wait([task])
            del processor, task
            server.release()
            again = lp.BatchProcessor(f"B{close}", f"b{close}", 8, model=model, executor=executor)
            told = []
            while not told:
                gc.collect()
                told = await again.resume()
            assert [each["failed"] for each in told] == [0]
            assert server.counters.total - before == 12
            await again.close()


async def test_a_service_that_joins_an_executor_leaves_its_requests_to_be_shared(server, model):
    executor = lp.RateLimitedAPIExecutor()
    async with executor:
        first, second = (
            service(name, model, executor=executor, journal="j.sqlite")
            for name in ("first", "second")
        )
        apart = service("apart", model, journal="j.sqlite")
        server.hold()
        asked = [asyncio.create_task(first.process_data({"x": 1}))]
        await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 1)
        asked.append(asyncio.create_task(second.process_data({"x": 2})))
        await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 2)
        asked.append(asyncio.create_task(apart.process_data({"x": 1})))
        await until(lambda: apart.executor.queued == 1)
        server.release()
        await asyncio.gather(*asked)
        assert server.counters.total == 2
        for each in (first, second, apart):
            await each.close()


async def test_services_with_small_queues_over_one_journal_end_with_all_answers(server, model):
    several = [service(str(n), model, journal="j.sqlite", queue_capacity=2) for n in range(4)]
    works = [each.process_data({"n": n % 25}) for n in range(100) for each in several]
    told = await asyncio.gather(*works)
    assert {each["status"] for each in told} == {"success"}
    assert server.counters.total == 25
    for each in several:
        await each.close()


async def test_what_is_being_opened_when_a_request_is_given_up_is_closed_with_its_service(
    server, model, monkeypatch
):
    begun, goes_on, opened = threading.Event(), threading.Event(), journal.Journal.open

    def slowly(path):
        begun.set()
        goes_on.wait(20)
        return opened(path)

    one = service("one", model)
    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "open", slowly)
        asked = asyncio.create_task(one.process_data({"x": 1}))
        await asyncio.to_thread(begun.wait, 20)
        asked.cancel()
        await asyncio.wait([asked])
        goes_on.set()
    assert (await one.process_data({"x": 2}))["status"] == "success"
    await one.close()
    assert not [path for path in journal._open if path.startswith(str(Path.cwd()))]


async def test_a_service_of_several_models_that_is_closed_as_requests_begin_can_be_resumed(
    server, model
):
    composed = lp.Fallback(
        [model, lp.Model("openai/n", base_url=server.base_url, api_key=server.key)]
    )
    one = service("one", composed)
    asked = [asyncio.create_task(one.process_data({"x": n})) for n in range(60)]
    await asyncio.to_thread(server.wait_for, lambda counters: counters.total >= 1)
    await one.close()
    told = await asyncio.gather(*asked)
    assert one.status_counts().get("failed", 0) == 0
    again = await one.resume()
    assert len(again) == sum(each["status"] != "success" for each in told)
    assert one.status_counts() == {"completed": 60}
    assert server.counters.total == 60
    await one.close()


@pytest.mark.parametrize("is_shared", [True, False])
def test_what_is_in_flight_is_waited_for_however_long_it_takes(is_shared, monkeypatch):
    async def main():
        monkeypatch.setattr(engine_loop, "here", lambda: True)
        monkeypatch.setattr(engine_loop, "get", asyncio.get_running_loop)
        executor = lp.RateLimitedAPIExecutor(concurrency_limit=1)
        resources = Resources(executor, executor.inside if is_shared else None)
        await resources.open(SimpleNamespace(wire=Wireless()), None)
        asked = [await resources.sender.append(Slow(name)) for name in ("in flight", "waits")]
        await asyncio.sleep(1)
        await resources.close()
        assert asyncio.get_running_loop().time() >= 3600
        assert asked[0].value == "in flight"
        assert asked[1].error.kind is Kind.NOT_SENT

    run_virtual(main())


class Wireless:
    async def close(self):
        """It has nothing to close."""


class Slow:
    """Is answered after an hour."""

    estimate, key = Tokens(1, 1), None

    def __init__(self, name):
        self.name = name

    async def send(self):
        await asyncio.sleep(3600)
        return Reply(raw=b"", data=self.name, used=Tokens(1, 1))

    def read(self, data):
        return data


async def test_what_begins_while_a_service_is_closed_and_revived_is_sent_once(
    server, model, monkeypatch
):
    begun, goes_on, write_all = threading.Event(), threading.Event(), Records.write_all

    def slowly(self, records):
        if any((r["status"], r["data"]) == ("processing", {"x": "begins"}) for r in records):
            begun.set()
            goes_on.wait(20)
        return write_all(self, records)

    monkeypatch.setattr(Records, "write_all", slowly)
    async with lp.RateLimitedAPIExecutor() as executor:
        one = service("one", model, executor=executor)
        await one.process_data({"x": "before"})
        begins = asyncio.create_task(one.process_data({"x": "begins"}))
        await asyncio.to_thread(begun.wait, 20)
        await one.stop()
        assert await one.resume() == []  # it is revived, and the other is under way
        goes_on.set()
        assert (await begins)["kind"] == "not_sent"
        assert (await one.process_data({"x": "goes on"}))["status"] == "success"
        assert [each["status"] for each in await one.resume()] == ["success"]
        assert one.status_counts() == {"completed": 3}
        assert server.counters.total == 3
        await one.close()


async def test_who_waits_for_an_equal_request_of_a_service_that_is_closed_asks_it_itself(
    server, model
):
    async with lp.RateLimitedAPIExecutor(concurrency_limit=1) as executor:
        first, second = (
            service(name, model, executor=executor, journal="j.sqlite")
            for name in ("first", "second")
        )
        server.hold()
        asked = [asyncio.create_task(first.process_data({"x": "in flight"}))]
        await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 1)
        asked.append(asyncio.create_task(first.process_data({"x": "waits"})))
        await until(lambda: executor.queued == 1)
        asked.append(asyncio.create_task(second.process_data({"x": "waits"})))
        await until(lambda: executor.queued == 2)
        closing = asyncio.create_task(first.close())
        await until(lambda: executor.queued == 1)
        server.release()
        told = [each["status"] for each in await asyncio.gather(*asked)]
        assert told == ["success", "error", "success"]
        await closing
        assert server.counters.total == 2
        await second.close()


@pytest.mark.parametrize("fault", ["429", "500"])
async def test_what_fails_in_flight_while_its_service_is_closed_is_not_sent_again(
    server, model, fault
):
    async with lp.RateLimitedAPIExecutor() as executor:
        one = service("one", model, executor=executor)
        server.configure(faults=[Fault(fault, retry_after_s=600)])
        server.hold()
        asked = asyncio.create_task(one.process_data({"x": 1}))
        await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 1)
        closing = asyncio.create_task(one.close())
        await until(lambda: one.session.sender.dispatcher.permission.stopping)
        server.release()
        await closing
        assert (await asked)["kind"] == "not_sent"
        assert (server.counters.total, executor.queued) == (1, 0)


async def test_a_service_is_closed_though_it_waits_for_what_another_one_asks(server, model):
    async with lp.RateLimitedAPIExecutor() as executor:
        first, second = (
            service(name, model, executor=executor, journal="j.sqlite")
            for name in ("first", "second")
        )
        server.hold()
        asked = [asyncio.create_task(first.process_data({"x": 1}))]
        await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 1)
        asked.append(asyncio.create_task(second.process_data({"x": 1})))
        await until(lambda: executor.queued == 1)
        await second.close()
        assert (await asked[1])["kind"] == "not_sent"
        server.release()
        assert (await asked[0])["status"] == "success"
        assert server.counters.total == 1
        await first.close()


async def test_what_begins_while_a_service_is_being_closed_stays_its_own(server, model):
    one, other = service("one", model), service("one", model)
    await one.process_data({"x": "before"})
    done, goes_on = slowed(one._runner, "wait_for_all")
    closing = asyncio.create_task(one.close())
    await until(done.is_set)
    server.hold()
    asked = asyncio.create_task(one.process_data({"x": "begins"}))
    await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 1)
    goes_on.set()
    await closing
    assert await other.resume() == []  # it is under way there
    server.release()
    assert (await asked)["status"] == "success"
    assert server.counters.total == 2
    for each in (one, other):
        await each.close()


async def test_after_closing_began_no_further_model_is_asked(server, model):
    each = {"base_url": server.base_url, "api_key": server.key}
    several = [lp.Model(f"openai/{name}", **each) for name in ("refused", "m", "n")]
    one = service("one", lp.Fallback(several))
    server.configure(faults=lambda body, _: "401" if body["model"] == "refused" else None)
    server.hold()
    asked = [asyncio.create_task(one.process_data({"x": n})) for n in range(3)]
    await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 3)
    _, goes_on = slowed(one._runner._session.get().sessions[0], "_close")
    closing = asyncio.create_task(one.close())
    await until(lambda: one.executor.dispatcher.permission.stopping)
    server.release()
    assert {(await each).get("kind") for each in asked} == {"not_sent"}
    goes_on.set()
    await closing
    assert server.counters.total == 3
    server.configure(faults=None)
    assert [each["status"] for each in await one.resume()] == ["success"] * 3
    await one.close()


@pytest.fixture
def elsewhere():
    with Server() as made:
        yield made


def at(server, key=None):
    return lp.Model("openai", "m", base_url=server.base_url, api_key=key or server.key)


@pytest.mark.parametrize("fault", ["429", "busy", "401"])
async def test_a_server_that_makes_requests_wait_or_refuses_the_key_holds_up_no_other_service(
    server, elsewhere, fault
):
    async with lp.RateLimitedAPIExecutor(concurrency_limit=8, limit_requests=6000) as executor:
        stuck = service("stuck", at(server, "other" if fault == "401" else None), executor=executor)
        other = service("other", at(elsewhere), executor=executor)
        if fault == "429":
            server.configure(faults=[Fault("429", retry_after_s=600)] * 4)
        elif fault == "busy":
            stuck.session.model.limiter.limits.concurrency = 2
            server.hold()
        asked = [asyncio.create_task(stuck.process_data({"x": n})) for n in range(20)]
        if fault == "401":
            assert {(await each)["status"] for each in asked} == {"error"}
        else:
            await asyncio.to_thread(server.wait_for, lambda counters: counters.total >= 1)
        told = [await other.process_data({"x": n}) for n in range(30)]
        assert {each["status"] for each in told} == {"success"}
        assert executor.fatal is None
        assert bool(stuck.stopped) == (fault == "401")
        assert not other.stopped
        assert other.health().queued == other.health().in_flight == 0
        assert other.health().sent == 30
        server.release()
        if fault == "429":
            for each in asked:
                each.cancel()
        await asyncio.wait(asked)
        await other.close()
        await stuck.close()


async def test_services_of_an_executor_that_is_stopped_go_on_when_it_is_started(server, model):
    executor = lp.RateLimitedAPIExecutor(concurrency_limit=2)
    one, late = (service(name, model, executor=executor) for name in ("one", "late"))
    server.hold()
    asked = [asyncio.create_task(one.process_data({"x": n})) for n in range(5)]
    await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 2)
    stopping = asyncio.create_task(executor.stop())
    await until(lambda: one.stopped)
    server.release()
    await stopping
    told = [each.get("kind", "answered") for each in await asyncio.gather(*asked)]
    assert sorted(told) == ["answered"] * 2 + ["not_sent"] * 3
    for each in (one, late):
        assert (await each.process_data({"x": "late"}))["kind"] == "not_sent"
        assert "executor of this model was stopped" in each.stopped
    assert server.counters.total == 2
    await executor.start()
    assert not one.stopped
    assert not late.stopped
    assert {each["status"] for each in [*await one.resume(), *await late.resume()]} == {"success"}
    assert server.counters.total == 2 + 3 + 2
    for each in (one, late):
        await each.close()
    await executor.stop()


async def test_the_end_of_an_executors_block_waits_for_the_services_inside(server, model):
    async with lp.RateLimitedAPIExecutor(concurrency_limit=2) as executor:
        one = service("one", model, executor=executor)
        for n in range(9):
            await one.submit({"x": n})
        await until(lambda: executor.status_counts()["pending"] > 0)
    assert one.session.sender.dispatcher.open_events == 0
    await one.drain()
    assert one.status_counts() == {"completed": 9}
    assert len(executor.completed_events) == 9
    await one.close()


async def test_an_executor_counts_what_a_service_did_that_is_closed_used_again_or_gone(
    server, model
):
    async with lp.RateLimitedAPIExecutor() as executor:
        one = service("one", model, executor=executor)
        for n in range(3):
            await one.process_data({"x": n})
            await one.close()
        assert (executor.counters.sent, one.health().sent, len(executor.group.all)) == (3, 3, 2)
        del one
        while len(executor.group.all) > 1:
            gc.collect()
            await asyncio.sleep(0)
        assert (executor.counters.sent, executor.status_counts()["completed"]) == (3, 3)


async def test_a_budget_of_an_executor_holds_for_the_services_inside(server, model):
    most = [1]

    def verdict(_estimate, _corrects):
        return (
            "stop" if executor.counters.sent >= most[0] and executor.outlay.spent.total else "send"
        )

    executor = lp.RateLimitedAPIExecutor(concurrency_limit=1, may_send=verdict)
    one, two = (service(name, model, executor=executor) for name in ("one", "two"))
    assert (await one.process_data({"x": 1}))["status"] == "success"
    assert (await two.process_data({"x": 2}))["kind"] == "not_sent"
    assert server.counters.total == 1
    most[0] = 2
    assert (await two.process_data({"x": 3}))["status"] == "success"
    assert (await one.process_data({"x": 4}))["kind"] == "not_sent"
    most[0] = 9
    await executor.start()
    told = [*await one.resume(), *await two.resume()]
    assert {each["status"] for each in told} == {"success"}
    assert server.counters.total == 4
    for each in (one, two):
        await each.close()


@pytest.mark.parametrize("what", ["a service", "a run"])
async def test_what_waits_inside_an_executor_can_be_cancelled_there(server, model, what):
    async with lp.RateLimitedAPIExecutor(concurrency_limit=1) as executor:
        server.hold()
        if what == "a service":
            one = service("one", model, executor=executor)
            asked = [asyncio.create_task(one.process_data({"x": n})) for n in range(3)]
        else:
            inside = lp.Model("openai/m", base_url=server.base_url, api_key=server.key)
            inside.executor = executor
            frame = pd.DataFrame({"x": [1, 2, 3]})
            job = frame.llm.start("Say {x}", into="a", model=inside, progress=False)
        await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 1)
        await until(lambda: executor.queued == 2)
        waiting = executor.pending_events
        assert [executor.cancel(event) for event in waiting] == [True, True]
        assert [executor.cancel(event) for event in waiting] == [False, False]
        server.release()
        if what == "a service":
            told = [each.get("kind", "answered") for each in await asyncio.gather(*asked)]
        else:
            answers = (await job)["a"]
            told = ["cancelled" if answer is pd.NA else "answered" for answer in answers]
        assert sorted(told) == ["answered", "cancelled", "cancelled"]
    assert executor.status_counts()["cancelled"] == 2
    assert server.counters.total == 1


def inside_a_stop(monkeypatch, work):
    """Run what happens to an executor and one of a service inside, which has an hour's request in flight."""

    async def main():
        monkeypatch.setattr(engine_loop, "here", lambda: True)
        monkeypatch.setattr(engine_loop, "get", asyncio.get_running_loop)
        executor = lp.RateLimitedAPIExecutor()
        resources = Resources(executor, executor.inside)
        await resources.open(SimpleNamespace(wire=Wireless()), None)
        event = await resources.sender.append(Slow("in flight"))
        await asyncio.sleep(1)
        await work(executor, resources, event)

    run_virtual(main())


def test_what_is_in_flight_inside_an_executor_that_is_stopped_has_all_of_the_grace(monkeypatch):
    async def work(executor, _resources, event):
        await executor.stop(grace_s=7200)
        assert event.value == "in flight"

    inside_a_stop(monkeypatch, work)


def test_a_service_that_is_started_while_its_executor_is_stopped_goes_on_with_it(monkeypatch):
    async def work(executor, resources, event):
        core = resources.sender.dispatcher
        core.stop_run(lp.errors.AccessError("The key is refused."), 7200)
        starts = asyncio.create_task(resources.start())  # once what is in flight has come back
        await asyncio.sleep(1)
        await asyncio.gather(executor.stop(grace_s=7200), starts)
        assert event.value == "in flight"
        assert core.permission.stopping
        assert "was stopped" in str(core.fatal)
        await executor.start()
        assert (core.permission.stopping, core.fatal) == (False, None)

    inside_a_stop(monkeypatch, work)


@pytest.mark.parametrize("own_journal", [True, False])
async def test_services_of_an_executor_that_is_paused_for_long_pay_once_for_equal_requests(
    server, model, monkeypatch, own_journal
):
    monkeypatch.setattr(dispatcher, "PATIENCE_S", 0.01)
    with journal.Journal.open(Path("own.sqlite")) as own:
        executor = lp.RateLimitedAPIExecutor(journal=own if own_journal else None)
        several = [service(str(n), model, executor=executor, journal="j.sqlite") for n in range(3)]
        for each in several:
            await each.process_data({"x": "before"})
        executor.pause()
        asked = [asyncio.create_task(each.process_data({"x": 1})) for each in several]

        def are_at_the_limiter():
            cores = [each.session.sender.dispatcher for each in several]
            return all(core.queue.at_limiter for core in cores)

        await until(are_at_the_limiter)  # and none waits for another one any more
        executor.resume()
        assert {each["status"] for each in await asyncio.gather(*asked)} == {"success"}
        assert server.counters.total == 2
        for each in several:
            await each.close()


async def test_whoever_hears_of_a_failure_is_not_kept_with_it(server, model):
    server.configure(faults=lambda _body, _n: "400")
    held = []

    class Large:
        """What somebody has in hand."""

    async def ask(branch):
        large = Large()
        held.append(weakref.ref(large))
        with pytest.raises(lp.errors.CallError):
            await branch.ask(f"no {len(held)}", schema=int)
        return large

    for executor in (None, lp.RateLimitedAPIExecutor()):
        inside = lp.Model("openai/m", base_url=server.base_url, api_key=server.key)
        inside.executor = executor
        for _ in range(3):
            await ask(lp.Branch("b", model=inside))
    while any(each() for each in held):  # the last one is let go of just now
        gc.collect()
        await asyncio.sleep(0)


async def test_a_service_that_is_let_go_after_a_failure_is_closed(server, model):
    server.configure(faults=lambda _body, _n: "400")
    async with lp.RateLimitedAPIExecutor() as executor:
        one = service("one", model, executor=executor)
        assert (await one.process_data({"x": 1}))["status"] == "error"
        del one
        while len(executor.group.all) > 1:
            gc.collect()
            await asyncio.sleep(0)
    assert not [path for path in journal._open if path.startswith(str(Path.cwd()))]


async def test_an_executor_whose_journal_is_another_one_now_keeps_there_what_services_ask(
    server, model
):
    executor = lp.RateLimitedAPIExecutor()
    one = service("one", model, executor=executor)
    with journal.Journal.open(Path("first.sqlite")) as first:
        executor.journal = first
        await one.process_data({"x": 1})
        executor.journal = None
    with journal.Journal.open(Path("second.sqlite")) as second:
        executor.journal = second
        assert (await one.process_data({"x": 2}))["status"] == "success"
        assert second.stats().written == 1
    await one.close()


async def test_a_fallback_goes_on_to_the_next_where_another_service_was_told_to_wait(
    server, elsewhere
):
    models = lp.Fallback([at(server), at(elsewhere)])
    server.configure(faults=lambda _body, _n: Fault("429", retry_after_s=300))
    first, second = (service(name, models) for name in ("first", "second"))
    assert (await first.process_data({"x": 1}))["status"] == "success"
    asked = server.counters.total
    assert (await second.process_data({"x": 2}))["status"] == "success"
    assert server.counters.total == asked
    for each in (first, second):
        await each.close()
