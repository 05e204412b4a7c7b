"""A server that limits the requests in flight: how many are found, and when more are tried."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pandas as pd
import pytest

import lionproc as lp
from lionproc.engine.concurrency_limit import (
    FIRST_LOOK_S,
    LAST_LOOK_S,
    LATELY_S,
    ConcurrencyLimit,
)
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.limiter import Limiter
from lionproc.engine.limits import Limits
from lionproc.engine.quotas import Signals
from lionproc.engine.request import Reply
from lionproc.engine.tokens import Tokens
from lionproc.errors import CallError, Kind
from lionproc.testing import Server, run_virtual


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


def test_where_nothing_comes_back_more_are_tried_as_well():
    limit = ConcurrencyLimit()
    burst(limit, 64, 5)
    seconds = [at for at in range(2, 60) if limit.look(limit.cap, float(at))]
    assert seconds[0] >= FIRST_LOOK_S
    assert len(seconds) == 5
    assert limit.cap == 5 + 1 + 2 + 4 + 8 + 16
    limit.refused(57.0, 6, 58.0)  # which was taken for granted too soon
    assert limit.cap == 6
    assert not limit.look(6, 58.0 + FIRST_LOOK_S)
    assert limit.look(6, 58.0 + 2 * FIRST_LOOK_S)


def test_more_are_not_tried_where_nobody_needs_them():
    limit = ConcurrencyLimit()
    burst(limit, 64, 5)
    assert not limit.look(4, 1000.0)


def test_nobody_looks_while_fewer_are_allowed_than_the_server_takes(monkeypatch):
    looks, look = [], ConcurrencyLimit.look

    def counted(limit, in_flight, now):
        looks.append(in_flight)
        assert len(looks) < 10  # of one that comes again at once there is no end
        return look(limit, in_flight, now)

    async def main():
        limiter = Limiter(Limits(concurrency=8))
        taken = [await limiter.reserve(Tokens(1, 1)) for _ in range(6)]
        limiter.throttled(taken.pop(), Signals(at_once=True))
        limiter.limits.concurrency = 2
        for reservation in taken[:4]:
            limiter.settle(reservation)
        await limiter.reserve(Tokens(1, 1))
        await asyncio.sleep(1000)
        limiter.limits.concurrency = 8
        for _ in range(3):
            await limiter.reserve(Tokens(1, 1))
        await asyncio.sleep(1000)
        assert limiter.concurrency > 5  # and then somebody does

    monkeypatch.setattr(ConcurrencyLimit, "look", counted)
    run_virtual(main())
    assert looks.count(2) <= 1


def test_a_reply_that_takes_long_does_not_hold_up_a_run_that_was_refused_once(
    monkeypatch, tmp_path
):
    monkeypatch.setattr("lionproc.engine.concurrency_limit.FIRST_LOOK_S", 0.1)
    with Server(at_once=1, latency_s=300.0, answer="fine") as server:
        model = lp.Model("openai", model="m", base_url=server.base_url, api_key=server.key)
        options = {"into": "a", "model": model, "journal": tmp_path / "j.sqlite"}
        slow = pd.DataFrame({"text": ["slow"]}).llm.start("{text}", **options)
        server.wait_for(lambda now: now.in_flight == 1)
        server.configure(latency_s=0.0)
        quick = pd.DataFrame({"text": ["a", "b", "c"]}).llm.start("{text}", **options)
        server.wait_for(lambda now: now.refused > 0)
        server.configure(at_once=None)
        assert quick.result(10)["a"].tolist() == ["fine"] * 3
        assert not slow.done
        slow.stop(0)


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


class Door:
    """Calls to a server that takes so many at once, and refuses more with a bare 503."""

    estimate = Tokens(1, 1)
    key = None

    def __init__(self, most, seconds):
        self.most, self.seconds = most, seconds
        self.inside = self.refused = 0

    async def send(self):
        if self.inside >= self.most:
            self.refused += 1
            await asyncio.sleep(0.002)
            return Reply(CallError(Kind.OVERLOADED, "HTTP 503.", status=503))
        self.inside += 1
        await asyncio.sleep(self.seconds)
        self.inside -= 1
        return Reply(data="fine", used=Tokens(1, 1))

    def read(self, data):
        return data


@pytest.mark.parametrize("seconds", [0.3, 90.0, 400.0])
@pytest.mark.parametrize("most", [1, 2, 5, 15])
def test_a_server_that_refuses_with_a_bare_503_what_is_too_much_at_once_is_given_less(
    virtual, most, seconds
):
    async def main():
        door = Door(most, seconds)
        executor = RateLimitedAPIExecutor()
        events = [await executor.append(door) for _ in range(40 * most)]
        await executor.forward()
        assert {event.state for event in events} == {"completed"}
        assert door.refused < 100 + 40 * seconds / LAST_LOOK_S

    virtual(main())


def test_503s_at_random_or_of_a_server_that_is_down_say_nothing_of_requests_in_flight():
    limit = ConcurrencyLimit()
    for number in range(300):
        if number % 3:
            limit.replied(0.0, 64, 1.0)
        else:
            limit.overloaded(0.0, 60, 1.0)
    assert limit.cap is None
    for _ in range(300):
        limit.overloaded(1.0, 60, 1.0 + LATELY_S)
    assert limit.cap is None
