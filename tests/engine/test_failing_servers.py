"""Failures on the way through an executor: waits, the breaker's probes and the retry budget."""

import asyncio
from itertools import pairwise

import pytest

from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.failure_policy import BREAKING
from lionproc.engine.limiter import Limiter
from lionproc.engine.request import Reply
from lionproc.engine.retry import Retry
from lionproc.engine.tokens import Tokens
from lionproc.errors import CallError, Kind, ServiceDownError

PATIENT = Retry(max_attempts=1000, budget=1000, base_s=0.001)


def failed(kind, retry_after_s=None):
    return CallError(kind, "no", retry_after_s=retry_after_s)


def test_a_call_is_sent_again_when_the_server_says_and_not_before(virtual, desk):
    async def main():
        desk.errors = [failed(Kind.RATE_LIMITED, 20.0), failed(Kind.OVERLOADED, 40.0)]
        executor = RateLimitedAPIExecutor()
        event = await executor.append(desk.call("a"))
        assert await event == "answer a"
        assert desk.times[1] - desk.times[0] >= 20
        assert desk.times[2] - desk.times[1] >= 40
        assert event.attempts == 3
        assert executor.counters.retried == 2
        assert executor.counters.throttled == 1

    virtual(main())


@pytest.mark.parametrize(("refused", "waits"), [(1, [10.0]), (2, [10.0, 160.0])])
def test_a_refusal_that_stops_nobody_else_has_a_short_first_wait(virtual, desk, refused, waits):
    async def main():
        desk.errors = [None] * 20 + [failed(Kind.RATE_LIMITED)] * refused
        executor = RateLimitedAPIExecutor(
            concurrency_limit=1, limit_requests=6000, retry=Retry(base_s=80, cap_s=1000)
        )
        executor.dispatcher.policy._uniform = lambda low, high: high
        for number in range(21):
            await executor.append(desk.call(number))
        await executor.forward()
        again = desk.times[20:]
        assert [late - early for early, late in pairwise(again)] == pytest.approx(waits)

    virtual(main())


def test_a_refused_row_waits_as_long_as_its_patience_says_where_all_are_refused(virtual, desk):
    async def main():
        desk.errors = [failed(Kind.RATE_LIMITED)] * 4
        executor = RateLimitedAPIExecutor(
            concurrency_limit=4, limit_requests=6000, retry=Retry(base_s=80, cap_s=1000)
        )
        executor.dispatcher.policy._uniform = lambda low, high: high
        events = [await executor.append(desk.call(number)) for number in range(4)]
        await executor.forward()
        assert {event.state for event in events} == {"completed"}
        # Two may be stray; of three in a row it is known that they are not.
        assert desk.times[4:] == pytest.approx([10.0, 10.0, 80.0, 80.0], abs=0.1)

    virtual(main())


@pytest.mark.parametrize(
    ("kind", "others_wait"),
    [(Kind.OVERLOADED, True), (Kind.SERVER_ERROR, False), (Kind.FORBIDDEN, False)],
)
def test_a_time_to_wait_is_for_all_where_the_server_is_overloaded_and_else_for_its_row_alone(
    virtual, desk, kind, others_wait
):
    async def main():
        desk.errors = [None, failed(kind, 600.0)]
        executor = RateLimitedAPIExecutor(concurrency_limit=1)
        for number in range(10):
            await executor.append(desk.call(number))
        await executor.forward()
        assert (desk.times[2] - desk.times[1] >= 600) == others_wait

    virtual(main())


def test_where_somebody_else_answers_nobody_waits_for_who_asks_to_wait_for_minutes(virtual, desk):
    async def main():
        desk.errors = [None, failed(Kind.RATE_LIMITED, 600.0)]
        executor = RateLimitedAPIExecutor(
            concurrency_limit=1, elsewhere=BREAKING | {Kind.RATE_LIMITED}
        )
        events = [await executor.append(desk.call(number)) for number in range(20)]
        await executor.forward()
        now = asyncio.get_running_loop().time()
        assert [event.state for event in events] == ["completed", *["failed"] * 19]
        assert (len(desk.sent), now < 600) == (2, True)
        await asyncio.sleep(650)
        assert await (await executor.append(desk.call("later"))) == "answer later"

    virtual(main())


def test_what_another_run_was_asked_to_wait_keeps_no_row_from_somebody_else(virtual, desk):
    async def main():
        limiter, others = Limiter(), BREAKING | {Kind.RATE_LIMITED}
        desk.errors = [failed(Kind.RATE_LIMITED, 600.0)]
        before = RateLimitedAPIExecutor(limiter=limiter)
        await before.append(desk.call("a"))
        await desk.has_sent(1)
        await asyncio.sleep(1)
        executor = RateLimitedAPIExecutor(limiter=limiter, elsewhere=others)
        event = await executor.append(desk.call("b"))
        await executor.forward()
        assert (event.state, event.error.kind) == ("failed", Kind.RATE_LIMITED)
        assert (desk.sent, asyncio.get_running_loop().time() < 600) == (["a"], True)
        await before.forward()

    virtual(main())


def test_from_the_fourth_on_four_refusals_count_as_one_attempt(virtual, desk):
    """Other processes use up what there is, and a row is refused again and again."""

    async def main():
        for most, attempts in ((2, 2), (3, 3), (6, 12)):
            desk.errors = [failed(Kind.RATE_LIMITED, 1.0)] * attempts
            executor = RateLimitedAPIExecutor(retry=Retry(max_attempts=most, base_s=0))
            event = await executor.append(desk.call("a"))
            await executor.forward()
            assert (event.state, event.attempts) == ("failed", attempts)

    virtual(main())


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize(("after_s", "attempts"), [(50.0, 12), (70.0, 6)])
def test_who_answers_nobody_for_a_minute_refuses_not_for_a_limit(
    virtual, desk, after_s, attempts, answered
):
    async def main():
        refused = failed(Kind.RATE_LIMITED)
        desk.errors = [*[None] * answered, refused, failed(refused.kind, after_s), *[refused] * 99]
        executor = RateLimitedAPIExecutor(
            concurrency_limit=1, retry=Retry(max_attempts=6, base_s=0)
        )
        events = [await executor.append(desk.call(number)) for number in range(1 + answered)]
        await executor.forward()
        assert events[-1].attempts == attempts

    virtual(main())


def test_the_seconds_of_an_event_are_those_of_its_attempts_without_the_waits(
    virtual, desk, monkeypatch
):
    async def main():
        monkeypatch.setattr("time.perf_counter", asyncio.get_running_loop().time)
        desk.seconds = 3.0
        desk.errors = [failed(Kind.RATE_LIMITED, 20.0)]
        event = await RateLimitedAPIExecutor().append(desk.call("a"))
        await event
        assert event.seconds == pytest.approx(6.0)

    virtual(main())


# A larger model answers the rows that a small one may not, and not those of one that is down.
@pytest.mark.parametrize("elsewhere", [frozenset(), frozenset({Kind.FILTERED, Kind.REFUSED})])
def test_a_server_that_only_fails_is_probed_by_one_call_at_a_time_ever_more_seldom(
    virtual, desk, elsewhere
):
    async def main():
        desk.errors = [failed(Kind.CONNECTION) for _ in range(1000)]
        executor = RateLimitedAPIExecutor(concurrency_limit=4, retry=PATIENT, elsewhere=elsewhere)
        for number in range(30):
            await executor.append(desk.call(f"{number}"))
        await executor.forward()
        probes = desk.times[-6:]
        gaps = [after - before for before, after in zip(desk.times[-7:], probes, strict=False)]
        assert gaps == pytest.approx([1, 2, 4, 8, 16, 30], abs=0.1)
        assert 16 <= len(desk.times) - 6 <= 16 + 3  # and what was under way when it opened
        assert isinstance(executor.fatal, ServiceDownError)

    virtual(main())


def test_a_probe_that_succeeds_lets_all_go_on(virtual, desk):
    async def main():
        desk.errors = [failed(Kind.CONNECTION) for _ in range(20)]
        executor = RateLimitedAPIExecutor(concurrency_limit=4, retry=PATIENT)
        events = [await executor.append(desk.call(number)) for number in range(30)]
        await executor.forward()
        assert {event.state for event in events} == {"completed"}
        assert not executor.failing

    virtual(main())


@pytest.mark.parametrize("at_once", [1, 8, 200])
def test_calls_that_always_fail_keep_no_others_from_being_answered(virtual, desk, at_once):
    """As long prompts that come first in a sorted frame, or what failed at the run before."""

    async def main():
        desk.always = {f"bad {number}": failed(Kind.SERVER_ERROR) for number in range(150)}
        desk.seconds = 1.0
        executor = RateLimitedAPIExecutor(concurrency_limit=at_once, retry=Retry(base_s=0.001))
        names = [*desk.always, *(f"good {number}" for number in range(150))]
        events = [await executor.append(desk.call(name)) for name in names]
        executor.dispatcher.is_fed = True
        await executor.forward()
        assert executor.fatal is None
        assert [event.state for event in events] == ["failed"] * 150 + ["completed"] * 150
        assert {event.error.kind for event in events[:150]} == {Kind.SERVER_ERROR}
        assert len(desk.sent) <= 150 * 6 + 150

    virtual(main())


def test_where_only_what_failed_before_is_left_it_fails_and_the_run_does_not(virtual, desk):
    async def main():
        desk.always = {f"bad {number}": failed(Kind.SERVER_ERROR) for number in range(10)}
        executor = RateLimitedAPIExecutor(concurrency_limit=4, retry=PATIENT)
        events = [await executor.append(desk.call(name)) for name in ("good", *desk.always)]
        executor.dispatcher.is_fed = True
        await executor.forward()
        assert executor.fatal is None
        assert [event.state for event in events] == ["completed"] + ["failed"] * 10
        assert {event.error.kind for event in events[1:]} == {Kind.SERVER_ERROR}
        assert len(desk.sent) <= 1 + 16 + 6 + 3  # as of a server that is down

    virtual(main())


@pytest.mark.parametrize("is_fed", [True, False])
def test_what_has_not_been_tried_or_may_still_come_ends_the_run_of_a_server_that_is_down(
    virtual, desk, is_fed
):
    async def main():
        desk.errors = [None, *[failed(Kind.SERVER_ERROR)] * 1000]
        executor = RateLimitedAPIExecutor(concurrency_limit=4, retry=PATIENT)
        events = [
            await executor.append(desk.call(number)) for number in range(100 if is_fed else 9)
        ]
        executor.dispatcher.is_fed = is_fed
        await executor.forward()
        assert isinstance(executor.fatal, ServiceDownError)
        assert {event.error.kind for event in events[1:]} == {Kind.SERVER_ERROR, Kind.NOT_SENT}

    virtual(main())


def test_what_was_in_flight_when_the_breaker_opened_is_no_probe(virtual, desk):
    """A server that drops all connections at once, as at a restart, is not taken for dead."""

    async def main():
        desk.hold()
        desk.errors = [failed(Kind.CONNECTION) for _ in range(60)]
        executor = RateLimitedAPIExecutor(concurrency_limit=60, retry=PATIENT)
        events = [await executor.append(desk.call(number)) for number in range(80)]
        await desk.has_sent(60)
        assert not executor.failing
        desk.release()
        await asyncio.sleep(0.5)
        assert executor.failing
        await executor.forward()
        assert not executor.failing
        assert {event.state for event in events} == {"completed"}
        assert len(desk.sent) == 80 + 60

    virtual(main())


def test_what_was_in_flight_when_the_breaker_opened_costs_no_retries(virtual, desk):
    async def main():
        desk.hold()
        desk.errors = [failed(Kind.CONNECTION) for _ in range(60)]
        retry = Retry(max_attempts=1000, budget=30, base_s=0.001)
        executor = RateLimitedAPIExecutor(concurrency_limit=60, retry=retry)
        events = [await executor.append(desk.call(number)) for number in range(80)]
        await desk.has_sent(60)
        desk.release()
        await executor.forward()
        assert executor.fatal is None
        assert {event.state for event in events} == {"completed"}

    virtual(main())


@pytest.mark.parametrize(("kind", "affords"), [(Kind.SERVER_ERROR, 5), (Kind.RATE_LIMITED, 20)])
def test_a_run_stops_when_its_retry_budget_is_spent(virtual, desk, kind, affords):
    async def main():
        desk.errors = [failed(kind) for _ in range(1000)]
        executor = RateLimitedAPIExecutor(
            concurrency_limit=1, retry=Retry(max_attempts=1000, budget=5)
        )
        event = await executor.append(desk.call("a"))
        await executor.forward()
        assert len(desk.sent) == affords
        assert event.error.kind is kind
        assert isinstance(executor.fatal, ServiceDownError)

    virtual(main())


def test_a_success_refills_the_budget_of_retries(virtual, desk):
    async def main():
        executor = RateLimitedAPIExecutor(retry=Retry(budget=2))
        for number in range(10):
            desk.errors = [failed(Kind.SERVER_ERROR)]
            assert await executor.submit(desk.call(f"{number}")) == f"answer {number}"
        assert executor.fatal is None

    virtual(main())


def test_what_was_sent_and_used_is_counted_once_and_failures_are_no_use(virtual, desk):
    async def main():
        desk.errors = [failed(Kind.SERVER_ERROR), None, failed(Kind.BAD_REQUEST)]
        executor = RateLimitedAPIExecutor(concurrency_limit=1)
        events = [await executor.append(desk.call(number)) for number in range(3)]
        await executor.forward()
        counters = executor.counters
        assert (counters.sent, counters.retried) == (4, 1)
        assert executor.outlay.pledged == (0, 0)
        assert (counters.prompt_tokens, counters.completion_tokens) == (2, 2)
        assert dict(counters.errors) == {Kind.BAD_REQUEST: 1}
        assert sorted(event.usage for event in events) == [(0, 0), (1, 1), (1, 1)]

    virtual(main())


class Raising:
    """Fails sixteen times, raises once when the server is probed, and is answered from then on."""

    key, estimate, sent = None, Tokens(1, 1), 0

    async def send(self):
        Raising.sent += 1
        await asyncio.sleep(0.02)
        if Raising.sent == 17:
            raise TimeoutError
        error = failed(Kind.SERVER_ERROR) if Raising.sent < 17 else None
        return Reply(error=error, data="fine", used=Tokens(1, 1))

    def read(self, data):
        return data


def test_a_probe_whose_call_raises_keeps_nobody_else_waiting(virtual):
    async def main():
        executor = RateLimitedAPIExecutor(concurrency_limit=10, retry=PATIENT)
        told = await asyncio.wait_for(
            asyncio.gather(
                *(executor.submit(Raising()) for _ in range(20)), return_exceptions=True
            ),
            3600,
        )
        assert sum(isinstance(each, CallError) for each in told) == 1
        assert told.count("fine") == 19

    Raising.sent = 0
    virtual(main())
