"""How fast a run goes where nobody told the limit: the real executor against a played provider."""

from __future__ import annotations

import asyncio
import random

import pytest

from lionproc.engine.congestion import Congestion
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.last_pace import Pace
from lionproc.engine.limiter import Limiter
from lionproc.engine.limits import Limits
from lionproc.engine.quotas import ProviderQuotas, Quota, Signals
from lionproc.engine.request import Event, Reply
from lionproc.engine.tokens import Tokens
from lionproc.errors import CallError, Kind
from lionproc.testing import RollingWindow, TokenBucket, run_virtual
from lionproc.testing.provider import Provider

SMALL = Tokens(8, 2)


class Question:
    """A call that a played provider answers."""

    key = None
    estimate = SMALL

    def __init__(self, provider):
        self.provider = provider

    async def send(self):
        said = await self.provider.ask()
        if said.status == 200:
            return Reply(data=1, used=SMALL)
        seconds = said.headers.get("retry-after-ms")
        wait_s = None if seconds is None else float(seconds) / 1000
        error = CallError(Kind.RATE_LIMITED, said.message, status=429, retry_after_s=wait_s)
        return Reply(error, signals=Signals(retry_after_s=wait_s))

    def parse(self, raw):
        return raw

    def read(self, data):
        return data


def ask(provider, rows, *, short=False, seen=None, seed=1, **limits):
    """Seconds that so many rows take, and the limiter afterwards."""

    async def main():
        random.seed(seed)
        limiter = Limiter(Limits(**{"concurrency": 64, **limits}))
        limiter.begin(rows if short else 10**6, seen)
        executor = RateLimitedAPIExecutor(limiter=limiter, queue_capacity=10**6)
        question = Question(provider)
        for _ in range(rows):
            await executor.dispatcher.put(Event(question))
        await executor.dispatcher.idle.wait()
        seconds = asyncio.get_running_loop().time()
        assert len(provider.answered_at) == rows
        await executor.dispatcher.halt(0.0)
        return seconds, limiter

    return run_virtual(main())


@pytest.mark.parametrize("retry", ["retry-after-ms", "none"])
@pytest.mark.parametrize("rows", [60, 300])
def test_a_server_that_refuses_the_first_four_and_is_free_from_then_on_costs_seconds(retry, rows):
    provider = Provider(latency_s=(0.01, 0.02), refuse_first=4, retry=retry, retry_s=lambda _: 0.5)
    seconds, _ = ask(provider, rows, short=True)
    assert seconds < 5
    assert provider.refused == 4


def test_a_short_run_has_no_slow_start_and_a_long_one_does():
    def provider():
        return Provider(latency_s=(1.0, 1.0), arrival_s=(0.0, 0.0))

    short, _ = ask(provider(), 32, short=True, concurrency=32)
    long, _ = ask(provider(), 32, short=False, concurrency=32)
    assert short == pytest.approx(1.0, abs=0.01)
    assert long > 1.5


@pytest.mark.parametrize("own", [None, 6000])
@pytest.mark.parametrize("retry", ["retry-after-ms", "none"])
def test_stray_refusals_cost_hardly_more_time_than_none(own, retry):
    def provider(stray):
        return Provider(
            latency_s=(0.2, 0.8), stray=stray, retry=retry, retry_s=lambda _: 1.0, seed=3
        )

    clean, _ = ask(provider(0.0), 6000, requests_per_minute=own)
    stray, _ = ask(provider(0.02), 6000, requests_per_minute=own)
    assert stray <= 1.15 * clean


def test_a_stray_refusal_within_a_stated_limit_makes_nobody_else_wait():
    async def main():
        limiter = Limiter(Limits(requests_per_minute=6000))
        leave = await limiter.reserve(SMALL)
        limiter.throttled(leave, Signals(retry_after_s=30.0))
        assert limiter.holding_s() == 0
        for _ in range(5):  # a burst of them is another thing
            limiter.throttled(await limiter.reserve(SMALL), Signals(retry_after_s=30.0))
        assert limiter.holding_s() > 25

    run_virtual(main())


def test_what_was_measured_is_the_pace_and_is_known_afterwards():
    provider = Provider(TokenBucket(requests=600))
    seconds, limiter = ask(provider, 1500)
    assert seconds < (1500 - 100) / 10 * 1.1
    assert provider.refused <= 0.02 * 1500
    assert limiter.learned.source == "refusals"
    assert limiter.learned.per_minute == pytest.approx(600, rel=0.05)


def test_a_rate_that_an_earlier_run_saw_is_the_one_to_begin_with():
    provider = Provider(TokenBucket(requests=600, burst_s=1))
    seconds, limiter = ask(provider, 100, seen=Pace(10.0, limited=True))
    assert provider.refused == 0
    assert seconds < 12
    assert limiter.learned == (600, "earlier run")

    free = Provider(latency_s=(0.05, 0.05))
    quick, _ = ask(free, 500, seen=Pace(400.0, limited=False))
    slow, _ = ask(Provider(latency_s=(0.05, 0.05)), 500)
    assert quick < 0.7 * slow


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_limit_that_changes_is_found_again(factor):
    other = TokenBucket(requests=600 * factor)
    provider = Provider(TokenBucket(requests=600), changes={60.0: other})
    rows = int(700 + 240 * 10 * factor)
    seconds, _ = ask(provider, rows)
    assert seconds <= 300 / 0.9


def test_a_long_silent_refusal_is_waited_out_with_few_questions():
    provider = Provider(RollingWindow(requests=60))
    ask(provider, 120, concurrency=8)
    assert provider.refused <= 10


def test_nothing_is_looked_for_while_nothing_is_sent():
    congestion = Congestion()
    congestion.begin_with(10.0, limited=True)
    congestion.departed(0.0, 9.5)
    congestion.departed(0.1, 9.5)
    before = congestion.pace(0.1)
    congestion.departed(1000.0, 9.5)
    assert congestion.pace(1000.0) == pytest.approx(before, rel=0.02)


def test_a_reset_is_believed_where_a_refusal_says_nothing_else():
    out = Quota(limit=60.0, remaining=0.0, reset_s=7.0)
    assert Signals({"requests": out}).wait_s == 7.0
    assert Signals({"requests": out}, retry_after_s=2.0).wait_s == 2.0
    assert Signals({"requests": Quota(remaining=3.0, reset_s=7.0)}).wait_s is None


def test_headers_of_a_bucket_are_read_as_a_refill_and_those_of_a_window_as_its_end():
    for reset_s, wait_s in ((60.0, 0.1), (30.0, 30.0)):
        headers = ProviderQuotas()
        quota = Quota(limit=600.0, remaining=0.0, reset_s=reset_s)
        headers.learn({"requests": quota}, headers.mark(), 0.0)
        assert headers.wait_s((1.0, 0.0, 0.0, 0.0), 0.0) == pytest.approx(wait_s, abs=0.001)


def test_who_waits_for_what_the_headers_said_hears_of_what_they_say_next():
    async def main():
        limiter = Limiter(Limits(concurrency=8))
        first, second = [await limiter.reserve(SMALL) for _ in range(2)]
        empty = Signals({"requests": Quota(limit=600.0, remaining=0.0, reset_s=30.0)})
        limiter.settle(first, SMALL, empty)
        waiting = asyncio.ensure_future(limiter.reserve(SMALL))
        await asyncio.sleep(1)
        assert not waiting.done()
        full = Signals({"requests": Quota(limit=600.0, remaining=500.0, reset_s=10.0)})
        limiter.settle(second, SMALL, full)
        await asyncio.wait_for(waiting, 1)

    run_virtual(main())
