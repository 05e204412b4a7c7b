"""The routes of a run: what is counted once, what is said together, and what stops them all."""

import asyncio

import pytest

from lionproc.engine.budget import Budget
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.limiter import Limiter
from lionproc.engine.limits import Limits
from lionproc.engine.quotas import Signals
from lionproc.engine.request import Event
from lionproc.engine.retry import Retry
from lionproc.engine.routes import Route, Routes
from lionproc.engine.stats import RunStats
from lionproc.engine.tokens import Tokens
from lionproc.errors import RunError

ONE = Tokens(1, 1)


class Dollar:
    """A price: a dollar a token."""

    def usd(self, usage, model=""):
        return float(usage.input + usage.output)


def limiter_of(**limits):
    return Limiter(Limits(adapt=False, **limits))


def opened(*routes, known=False, retry=None):
    made = Routes(routes)
    open_all(made, known=known, retry=retry)
    return made


def open_all(routes, *, known=False, retry=None):
    routes.open(
        journal=None,
        retry=retry or Retry(),
        since=0,
        until=None,
        known=known,
        on_done=lambda event: None,
        may_send=None,
    )


def stats(routes, elapsed_s=60.0):
    return routes.stats(elapsed_s, RunStats(state="running", rows=9))


async def send(routes, desk, *counts):
    """So many requests on each route."""
    for number, (count, dispatcher) in enumerate(zip(counts, routes.dispatchers, strict=True)):
        for name in range(count):
            await dispatcher.put(Event(desk.call(f"{number}-{name}")))
    for executor in routes.executors:
        executor.resume()
    await routes.forward()


def test_a_limiter_that_routes_share_counts_once(virtual, desk):
    async def main():
        shared = limiter_of(requests_per_minute=600, concurrency=8)
        routes = opened(Route(shared, None), Route(shared, None))
        await send(routes, desk, 2, 3)
        told = stats(routes)
        assert (told.sent, told.requests_limit, told.concurrency) == (5, 600, 8)
        assert told.requests_per_minute == 5
        assert stats(routes, elapsed_s=10.0).requests_per_minute == 30  # what a minute comes to
        await routes.halt(0)

    virtual(main())


def test_what_is_not_known_of_one_is_not_known_of_all(virtual, desk):
    async def main():
        limited = Route(limiter_of(requests_per_minute=600), Dollar())
        unlimited = Route(limiter_of(), None)
        routes = opened(limited, unlimited)
        assert routes.unpriced
        assert (stats(routes).requests_limit, stats(routes).usd) == (None, None)
        alone = opened(limited)
        assert not alone.unpriced
        assert (stats(alone).requests_limit, stats(alone).usd) == (600, 0.0)
        for each in (routes, alone):
            await each.halt(0)

    virtual(main())


def test_a_reply_whose_price_is_not_known_makes_the_dollars_of_its_route_unknown(virtual):
    async def main():
        routes = opened(Route(limiter_of(), Dollar()), Route(limiter_of(), None))
        first, second = routes.own_outlays
        first.took(ONE, ONE, 2.0)
        assert (routes.usd(0), routes.usd(1)) == (2.0, None)
        second.took(ONE, ONE, 3.0)  # the reply told what the table does not know
        assert (routes.usd(1), stats(routes).usd) == (3.0, 5.0)
        first.took(ONE, ONE, None)
        assert (routes.usd(0), stats(routes).usd) == (None, None)
        await routes.halt(0)

    virtual(main())


def test_a_stage_passes_its_own_limiter_and_the_run_shows_that_of_the_endpoint(virtual):
    async def main():
        own, endpoint = limiter_of(concurrency=2), limiter_of(concurrency=9)
        routes = opened(Route(endpoint, None, own=own))
        assert routes.executors[0].limits is own.limits
        assert routes.limiters == [endpoint]
        await routes.halt(0)

    virtual(main())


@pytest.mark.parametrize("number", [0, 1])
def test_what_stops_one_stops_all_and_says_why(virtual, desk, number):
    async def main():
        routes = opened(Route(limiter_of(), None), Route(limiter_of(), None))
        assert routes.fatal is None
        fault = RunError("no")
        routes.dispatchers[number].stop_run(fault)
        assert routes.fatal is fault
        await send(routes, desk, 1, 1)
        assert desk.sent == []

    virtual(main())


def test_what_is_back_on_one_route_wakes_whoever_waits_for_the_budget_on_another(virtual):
    async def main():
        routes = opened(Route(limiter_of(), Dollar()), Route(limiter_of(), Dollar()))
        first, second = routes.own_outlays
        first.leaves(Tokens(0, 60))
        asked = (Budget(usd=100), 1, Tokens(0, 50))
        assert routes.verdict(*asked) == ("wait", "")
        waits = asyncio.create_task(second.wait())
        await asyncio.sleep(0)
        assert routes.waits_for_budget
        assert routes.note == "Waiting for what is in flight: it may use up the budget."
        first.is_back(Tokens(0, 60))
        await asyncio.wait_for(waits, 1)
        assert not routes.waits_for_budget
        assert routes.verdict(*asked) == ("send", "")
        again = asyncio.create_task(second.wait())
        await asyncio.sleep(0)
        routes.look_again()  # as when the budget is raised
        await asyncio.wait_for(again, 1)
        await routes.halt(0)

    virtual(main())


def test_the_trial_of_the_first_requests_is_that_of_the_policy_and_ends_with_a_known_answer(
    virtual,
):
    async def main():
        for first_failures in (None, 3):
            routes = opened(Route(limiter_of(), None), retry=Retry(first_failures=first_failures))
            (dispatcher,) = routes.dispatchers
            assert dispatcher.policy.on_trial is (first_failures is not None)
            assert not dispatcher.replay.has_answered
            await routes.halt(0)
        routes = opened(Route(limiter_of(), None), known=True)
        assert routes.dispatchers[0].replay.has_answered
        await routes.halt(0)

    virtual(main())


def test_the_longest_wait_is_shown_and_a_full_house_is_no_reason_to_be_slow(virtual):
    async def main():
        quick, slow = Limiter(Limits()), Limiter(Limits())
        routes = opened(Route(quick, None), Route(slow, None))
        quick.waiting_for = "a free slot"
        assert routes.note == ""
        slow.waiting_for = "room"
        assert routes.note == "Waiting for room."
        slow.throttled(await slow.reserve(ONE), Signals(retry_after_s=30.0))
        # the server's 30 s, up to a twentieth more so that clients do not wake together, and 20 ms
        assert 30.0 <= stats(routes).holding_s <= 30.0 * 1.05 + 0.02
        assert "asked everybody to wait" in routes.note
        await routes.halt(0)

    virtual(main())


def test_connections_are_counted_where_nobody_has_set_them():
    known, unknown = limiter_of(concurrency=5), limiter_of(concurrency=5)
    known.connections = 7
    Routes([Route(known, None), Route(unknown, None)]).count_connections()
    assert known.connections == 7
    assert unknown.connections != 7


def test_a_run_is_in_the_executor_of_its_model_as_long_as_it_lasts(virtual):
    async def main():
        given = RateLimitedAPIExecutor(concurrency_limit=2)
        routes = opened(Route(given.limiter, None, executor=given))
        assert routes.dispatchers[0] in given.group.all
        given.pause()
        assert "is paused" in routes.note
        given.resume()
        routes.leave()
        assert routes.dispatchers[0] not in given.group.all
        await routes.halt(0)

    virtual(main())


def test_routes_that_are_being_opened_are_looked_at_when_all_are(virtual, monkeypatch):
    seen = []

    class Executor(RateLimitedAPIExecutor):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            seen.append((len(made.executors), made.usd(1), made.used(1)))

    monkeypatch.setattr("lionproc.engine.routes.RateLimitedAPIExecutor", Executor)
    made = Routes([Route(limiter_of(), Dollar()), Route(limiter_of(), Dollar())])

    async def main():
        open_all(made)
        assert seen == [(0, 0.0, Tokens())] * 2
        assert len(made.executors) == 2
        await made.halt(0)

    virtual(main())
