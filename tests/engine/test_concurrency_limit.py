"""A server that limits the requests in flight: how many are found, and when more are tried."""

from __future__ import annotations

import random
from itertools import pairwise

import pandas as pd
import pytest

import lionproc as lp
from lionproc.engine.concurrency_limit import FIRST_LOOK_S, ConcurrencyLimit
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.limiter import Limiter
from lionproc.engine.limits import Limits
from lionproc.engine.request import Event, Reply
from lionproc.engine.tokens import Tokens
from lionproc.model.chat_completion import classify
from lionproc.testing import Server, run_virtual
from lionproc.testing.answers import error_object
from lionproc.testing.provider import Provider

SMALL = Tokens(8, 2)


def burst(limit, sent, taken, at=1.0):
    """So many leave together, and all but those that are taken are refused one after the other."""
    for number, left in enumerate(range(sent - 1, taken - 1, -1)):
        limit.refused(at, left, at + 0.02 + number / 10**4)


def test_it_says_nothing_until_a_server_does():
    limit = ConcurrencyLimit()
    assert not limit.replied(1.0, 64, 2.0)
    assert limit.cap is None


def test_after_a_burst_as_many_may_be_in_flight_as_were_taken():
    limit = ConcurrencyLimit()
    burst(limit, 64, 5)
    assert limit.cap == 5


def looks(limit, taken, until):
    """When more were tried, against a server that takes so many and answers in a second."""
    tried, now = [], 2.0
    while now < until:
        if limit.replied(now - 1.0, limit.cap, now):
            tried.append(now)
            if limit.cap > taken:
                for left in range(limit.cap - 1, taken - 1, -1):
                    limit.refused(now + 0.001, left, now + 0.05)
        now += 1.0
    return tried


def test_more_are_tried_now_and_then_and_later_each_time_that_they_are_refused():
    limit = ConcurrencyLimit()
    burst(limit, 64, 5)
    tried = looks(limit, 5, 300.0)
    waits = [later - sooner for sooner, later in pairwise(tried)]
    assert limit.cap == 5
    assert tried[0] >= FIRST_LOOK_S
    assert len(tried) <= 6
    assert all(later >= 2 * sooner - 2 for sooner, later in pairwise(waits[:-1]))


def test_once_others_are_gone_their_room_is_taken_within_a_few_replies():
    limit = ConcurrencyLimit()
    burst(limit, 64, 5)
    tried = looks(limit, 60, 40.0)
    assert limit.cap >= 50
    assert tried[4] - tried[0] == 4.0  # one round each: 1, 2, 4, 8 and 16 more


def test_more_refusals_of_one_burst_put_off_nothing_further():
    one, other = ConcurrencyLimit(), ConcurrencyLimit()
    burst(one, 6, 5)
    burst(other, 64, 5)
    assert looks(one, 5, 100.0) == looks(other, 5, 100.0)


def test_several_refusals_of_one_attempt_count_once():
    limit = ConcurrencyLimit()
    burst(limit, 64, 5)
    tried = looks(limit, 8, 60.0)  # 6, then 8, and of 12 four are refused
    assert limit.cap == 8
    assert tried[3] - tried[2] >= 2 * FIRST_LOOK_S


class Question:
    """A call that a played provider answers, read as one of a server is."""

    key = None
    estimate = SMALL

    def __init__(self, provider):
        self.provider = provider

    async def send(self):
        said = await self.provider.ask()
        if said.status == 200:
            return Reply(data=1, used=SMALL)
        return classify(said.status, said.headers, error_object(said.message))

    def parse(self, raw):
        return raw

    def read(self, data):
        return data


def seconds_for(rows, provider, **limits):
    """Virtual seconds that so many rows take."""

    async def main():
        random.seed(1)
        limiter = Limiter(Limits(**{"concurrency": 64, **limits}))
        executor = RateLimitedAPIExecutor(limiter=limiter, queue_capacity=10**6)
        for _ in range(rows):
            await executor.dispatcher.put(Event(Question(provider)))
        await executor.dispatcher.idle.wait()
        seconds = limiter.now()
        await executor.dispatcher.halt(0.0)
        return seconds

    seconds = run_virtual(main())
    assert len(provider.answered_at) == rows
    return seconds


@pytest.mark.parametrize("wait", [{}, {"retry": "retry-after", "retry_s": lambda _: 60.0}])
@pytest.mark.parametrize("most", [1, 5, 20])
def test_a_server_with_a_limit_of_requests_in_flight_is_kept_busy(most, wait):
    """LiteLLM's proxy names a minute with such a refusal; the next reply makes room."""
    rows = 40 * most
    provider = Provider(at_once=most, latency_s=(1.0, 3.0), **wait)
    assert seconds_for(rows, provider) <= 1.15 * 2.0 * rows / most
    assert provider.refused <= 10 + most // 2


def test_with_adapt_off_nothing_is_learned_of_it():
    provider = Provider(at_once=20, latency_s=(1.0, 1.0))
    seconds_for(40, provider, adapt=False, concurrency=20)
    assert provider.refused == 0


def test_where_others_take_all_places_a_run_waits_and_goes_on():
    """With nothing of its own in flight there is no reply to wait for."""
    provider = Provider(at_once=1, latency_s=(1.0, 1.0), refuse_first=3)
    assert seconds_for(10, provider) < 60


def test_a_run_says_how_many_the_server_takes(tmp_path):
    with Server(at_once=3, latency_s=0.2, answer="fine") as server:
        model = lp.Model("openai", model="m", base_url=server.base_url, api_key=server.key)
        frame = pd.DataFrame({"text": [f"row {number}" for number in range(40)]})
        job = frame.llm.start(
            "{text}",
            into="a",
            model=model,
            journal=tmp_path / "j.sqlite",
            limits={"concurrency": 16},
        )
        server.wait_for(lambda now: now.refused > 0 and now.ok > 0)
        stats = job.stats
        out = job.result()
    # One that was answered before the last refusal came is not counted.
    assert 1 <= stats.concurrency <= 3
    requests = "request" if stats.concurrency == 1 else "requests"
    assert (
        stats.note == f"The server takes {stats.concurrency} {requests} at once and refuses more."
    )
    assert out["a"].tolist() == ["fine"] * 40
