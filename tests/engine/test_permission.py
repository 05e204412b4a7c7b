"""Whether an event may be sent now: paused, stopping, the breaker, the budget and the limits."""

import asyncio

import pytest

from lionproc.engine.failure_policy import FailurePolicy
from lionproc.engine.limiter import Limiter, Tokens
from lionproc.engine.limiter_chain import LimiterChain
from lionproc.engine.limits import Limits
from lionproc.engine.outlay import Outlay
from lionproc.engine.permission import Permission, Refused
from lionproc.engine.request import Event, Reply
from lionproc.engine.retry import Retry
from lionproc.errors import CallError, Kind
from lionproc.model.steps import CANNOT
from lionproc.testing import run_virtual


class Call:
    key = None
    estimate = Tokens(5, 5)


class Parts:
    """Permission and what it asks."""

    def __init__(self, limiter=None, may_send=None, **limits):
        self.limiter = limiter or Limiter(Limits(adapt=False, **limits))
        self.policy = FailurePolicy(Retry(), None, lambda low, high: high)
        self.outlay = Outlay()
        self.permission = Permission(self.limiter, self.policy, self.outlay, may_send)

    async def warm(self):
        """The limiter knows its loop, so that it may give permission at once."""
        self.limiter.cancel(await self.limiter.reserve(Tokens()))
        return self.permission

    def open_the_breaker(self):
        for _ in range(16):
            error = CallError(Kind.SERVER_ERROR, "no")
            event = Event(Call())
            event.attempts = 1
            self.policy.failed(event, error, asyncio.get_running_loop().time(), probe=False)


async def is_held(waits):
    """Hours go by and nothing happens."""
    await asyncio.sleep(3600)
    return not waits.done()


def ask(permission, event=None):
    return asyncio.create_task(permission.wait(event or Event(Call())))


def test_with_nothing_in_the_way_it_is_given_at_once():
    async def main():
        parts = Parts()
        permission = await parts.warm()
        assert permission.at_once(Event(Call())).open
        assert (await permission.wait(Event(Call()))).open
        assert parts.limiter.in_flight == 2

    run_virtual(main())


@pytest.mark.parametrize("why", ["done", "paused", "stopping", "breaker", "budget", "slots"])
def test_at_once_it_is_given_only_if_nothing_speaks_against_it(why):
    async def main():
        parts = Parts(may_send=lambda *_: "wait" if why == "budget" else "send", concurrency=1)
        permission, event = await parts.warm(), Event(Call())
        if why == "done":
            event.finish()
        elif why == "paused":
            permission.resumed.clear()
        elif why == "stopping":
            permission.stopping = True
        elif why == "breaker":
            parts.open_the_breaker()
        elif why == "slots":
            await parts.limiter.reserve(Tokens())
        assert permission.at_once(event) is None
        assert parts.limiter.in_flight == (why == "slots")

    run_virtual(main())


def test_a_pause_holds_it_and_whoever_is_finished_meanwhile_gets_none():
    async def main():
        permission = Parts().permission
        permission.resumed.clear()
        finished, event = Event(Call()), Event(Call())
        waits, also = ask(permission, finished), ask(permission, event)
        assert await is_held(also)
        finished.finish(CallError(Kind.CANCELLED, "given up"))
        permission.resumed.set()
        assert await waits is None
        assert (await also).open

    run_virtual(main())


@pytest.mark.parametrize("what", ["paused", "finished", "stopping", "budget", "breaker"])
def test_what_changes_while_the_limiter_makes_it_wait_counts_and_the_slot_is_given_back(what):
    async def main():
        allowed = ["send"]
        parts = Parts(may_send=lambda *_: allowed[0], concurrency=1)
        permission, limiter, event = parts.permission, parts.limiter, Event(Call())
        taken = await limiter.reserve(Tokens())
        waits = ask(permission, event)
        assert await is_held(waits)
        if what == "paused":
            permission.resumed.clear()
        elif what == "finished":
            event.finish(CallError(Kind.CANCELLED, "given up"))
        elif what == "stopping":
            permission.stopping = True
        elif what == "budget":
            allowed[0] = "stop"
        elif what == "breaker":
            prober = Event(Call())
            parts.open_the_breaker()
            assert await parts.policy.probes(prober)
        limiter.settle(taken)
        if what == "finished":
            assert await waits is None
        elif what == "stopping":
            assert (await waits).error.kind is Kind.NOT_SENT
        elif what == "budget":
            assert await waits == Refused((await waits).error, stops_run=True)
        else:
            assert await is_held(waits)
            assert limiter.in_flight == 0
            permission.resumed.set()
            if what == "breaker":
                parts.policy.came_back(prober, Reply())
                parts.policy.paid()
            assert (await waits).open
            return
        assert limiter.in_flight == 0

    run_virtual(main())


def test_where_the_budget_has_no_room_it_waits_until_something_is_back():
    async def main():
        verdicts = ["wait", "wait", "send", "send"]
        asked = []

        def may_send(estimate, corrects):
            asked.append(estimate)
            return verdicts.pop(0)

        parts = Parts(may_send=may_send)
        waits = ask(parts.permission)
        assert await is_held(waits)
        assert parts.outlay.waiting == 1
        parts.outlay.news.set()
        assert await is_held(waits)
        parts.outlay.news.set()
        assert (await waits).open
        assert asked == [Tokens(5, 5)] * 4

    run_virtual(main())


@pytest.mark.parametrize("late", [False, True])
def test_whoever_may_go_elsewhere_and_is_given_up_takes_no_slot_along(late):
    async def main():
        parts = Parts(concurrency=1)
        parts.permission._policy = FailurePolicy(Retry(), None, elsewhere=CANNOT)
        taken = await parts.limiter.reserve(Tokens())
        waits = ask(parts.permission)
        await asyncio.sleep(1)
        parts.limiter.cancel(taken)
        for _ in range(9 * late):
            if not parts.limiter.in_flight:
                await asyncio.sleep(0)
        assert waits.cancel()
        await asyncio.sleep(3600)
        assert (waits.cancelled(), parts.limiter.in_flight) == (True, 0)

    run_virtual(main())


def test_what_no_limit_can_ever_admit_is_refused_and_stops_nothing():
    async def main():
        refused = await Parts(tokens_per_minute=5).permission.wait(Event(Call()))
        assert refused.error.kind is Kind.TOO_LARGE
        assert not refused.stops_run

    run_virtual(main())


def test_an_executor_with_limits_of_its_own_keeps_those_of_the_endpoint_too():
    class Addressed(Call):
        limiter = Limiter(Limits(adapt=False, concurrency=1))

    async def main():
        for own, passes in ((LimiterChain(Limits(adapt=False)), True), (None, False)):
            reservation = await Parts(own).permission.wait(Event(Addressed()))
            assert Addressed.limiter.in_flight == passes
            if own is not None:
                own.settle(reservation)

    run_virtual(main())
