import asyncio
import gc
import itertools

import numpy as np
import pytest

from lionproc.engine import journal_writer
from lionproc.engine import loop as engine_loop
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.journal import Journal
from lionproc.engine.request import Reply
from lionproc.engine.tokens import Tokens
from lionproc.errors import CallError, ConfigurationError, Kind, LimitsError


class Desk:
    """Makes calls and notes when they were sent."""

    def __init__(self, seconds=0.0, tokens=1):
        self.seconds = seconds
        self.tokens = tokens
        self.sent = []
        self.times = []
        self.errors = {}
        self.open = asyncio.Event()
        self.open.set()

    def call(self, name, key=True):
        return OneCall(self, name, key)

    def worst_window(self, window_s):
        return max(
            (sum(start <= at < start + window_s for at in self.times) for start in self.times),
            default=0,
        )


class OneCall:
    def __init__(self, desk, name, key):
        self.desk = desk
        self.name = name
        self.key = str(name).encode().rjust(16, b"\0") if key else None
        self.estimate = Tokens(desk.tokens, 0)

    async def send(self):
        desk = self.desk
        desk.sent.append(self.name)
        desk.times.append(asyncio.get_running_loop().time())
        await desk.open.wait()
        await asyncio.sleep(desk.seconds)
        error = desk.errors.get(self.name)
        raw = str(self.name).encode()
        return Reply(error, raw=raw, data=self.name, used=Tokens(desk.tokens, 0))

    def parse(self, raw):
        return raw.decode()

    def read(self, data):
        return f"answer {data}"

    def correction(self, data, error):
        return None


async def until(condition):
    while not condition():  # noqa: ASYNC110  (what is waited for has no event)
        await asyncio.sleep(0.01)


# Events


async def test_submit_gives_the_answer_and_its_error_is_raised():
    desk = Desk()
    desk.errors["b"] = CallError(Kind.BAD_REQUEST, "no")
    executor = RateLimitedAPIExecutor()
    assert await executor.submit(desk.call("a")) == "answer a"
    with pytest.raises(CallError, match="no"):
        await executor.submit(desk.call("b"))


def test_one_executor_serves_loop_after_loop():
    desk = None
    executor = RateLimitedAPIExecutor()
    for name in ("a", "b"):
        desk = Desk()
        assert asyncio.run(executor.submit(desk.call(name))) == f"answer {name}"
    assert [event.value for event in executor.completed_events] == ["answer a", "answer b"]


def test_events_show_their_state_from_pending_to_done(virtual):
    async def main():
        desk = Desk()
        desk.errors["bad"] = CallError(Kind.BAD_REQUEST, "no")
        desk.open.clear()
        executor = RateLimitedAPIExecutor(concurrency_limit=1)
        events = [await executor.append(desk.call(name)) for name in ("a", "bad", "c", "d")]
        await until(lambda: desk.sent)
        assert [event.state for event in events] == ["processing"] + ["pending"] * 3
        assert executor.status_counts() == {
            "pending": 3,
            "processing": 1,
            "completed": 0,
            "failed": 0,
            "cancelled": 0,
        }
        assert executor.pending_events == events[1:]
        assert executor.cancel(events[3])
        desk.open.set()
        await executor.forward()
        assert [event.state for event in events] == [
            "completed",
            "failed",
            "completed",
            "cancelled",
        ]
        assert executor.completed_events == [events[0], events[2]]
        assert executor.failed_events == [events[3], events[1]]
        assert await events[0] == "answer a"
        with pytest.raises(CallError):
            await events[1]

    virtual(main())


async def test_equal_calls_are_sent_once_and_calls_without_a_key_each():
    desk = Desk(seconds=0.05)
    executor = RateLimitedAPIExecutor()
    same = [executor.submit(desk.call("a")) for _ in range(5)]
    other = [executor.submit(desk.call("b", key=False)) for _ in range(3)]
    answers = await asyncio.gather(*same, *other)
    assert answers == ["answer a"] * 5 + ["answer b"] * 3
    assert sorted(desk.sent) == ["a", "b", "b", "b"]


# Order


def test_calls_leave_in_the_order_they_came_and_priority_goes_first(virtual):
    async def main():
        desk = Desk(seconds=1)
        executor = RateLimitedAPIExecutor(limit_requests=60, concurrency_limit=4)
        ranks = [0, 0, 0, 5, 0, 5, 9, -1]
        for number, priority in enumerate(ranks):
            await executor.append(desk.call(number), priority=priority)
        await executor.forward()
        assert desk.sent == [6, 3, 5, 0, 1, 2, 4, 7]

    virtual(main())


def test_a_full_queue_makes_the_producer_wait(virtual):
    async def main():
        desk = Desk()
        desk.open.clear()
        executor = RateLimitedAPIExecutor(queue_capacity=3, concurrency_limit=2)
        appended = []

        async def produce():
            for name in range(20):
                await executor.append(desk.call(name))
                appended.append(name)

        task = asyncio.create_task(produce())
        await asyncio.sleep(5)
        # two in flight, one at the limiter, three in the queue, and not one more
        assert len(appended) <= 6
        assert executor.queued <= 4
        desk.open.set()
        await task
        await executor.forward()
        assert desk.sent == list(range(20))

    virtual(main())


# Giving up


def test_a_deadline_takes_a_call_out_of_the_queue_before_it_is_sent(virtual):
    async def main():
        desk = Desk()
        executor = RateLimitedAPIExecutor(limit_requests=6, concurrency_limit=4)
        patient = [await executor.append(desk.call(name)) for name in range(3)]
        hasty = await executor.append(desk.call("hasty"), deadline_s=5)
        last = await executor.append(desk.call("last"))
        await executor.forward()
        assert hasty.state == "cancelled"
        assert hasty.error.kind is Kind.DEADLINE
        assert "hasty" not in desk.sent
        assert [event.state for event in (*patient, last)] == ["completed"] * 4

    virtual(main())


def test_a_deadline_also_runs_while_the_queue_is_full(virtual):
    async def main():
        desk = Desk()
        desk.open.clear()
        executor = RateLimitedAPIExecutor(queue_capacity=1, concurrency_limit=1)
        blocking = [asyncio.create_task(executor.append(desk.call(name))) for name in range(6)]
        await asyncio.sleep(1)
        with pytest.raises(CallError) as raised:
            await executor.submit(desk.call("hasty"), deadline_s=2)
        assert raised.value.kind is Kind.DEADLINE
        desk.open.set()
        await asyncio.gather(*blocking)
        await executor.forward()
        assert "hasty" not in desk.sent

    virtual(main())


def test_who_joins_without_a_deadline_is_not_cut_short_by_the_other(virtual):
    async def main():
        desk = Desk()
        executor = RateLimitedAPIExecutor(limit_requests=6)
        await executor.append(desk.call("first"))
        hasty = await executor.append(desk.call("same"), deadline_s=3)
        assert await executor.submit(desk.call("same")) == "answer same"
        assert hasty.state == "completed"

    virtual(main())


def test_a_call_that_nobody_waits_for_any_more_is_not_sent(virtual):
    async def main():
        desk = Desk()
        executor = RateLimitedAPIExecutor(limit_requests=6)
        await executor.submit(desk.call("first"))
        alone = asyncio.create_task(executor.submit(desk.call("alone")))
        shared = [asyncio.create_task(executor.submit(desk.call("shared"))) for _ in range(2)]
        await asyncio.sleep(1)
        alone.cancel()
        shared[0].cancel()
        assert await shared[1] == "answer shared"
        await executor.forward()
        assert desk.sent == ["first", "shared"]

    virtual(main())


# Limits


@pytest.mark.parametrize(
    ("arguments", "window_s", "most"),
    [
        ({"limit_requests": 5, "interval": 2}, 2, 5),
        ({"limit_requests": 30, "capacity_refresh_time": 10}, 10, 30),
        ({"limit_requests": 30, "capacity_refresh_time": 1, "interval": 20}, 20, 30),
        ({"limit_requests": 120}, 60, 120),
    ],
)
def test_limits_count_per_interval_or_else_per_capacity_refresh_time(
    virtual, arguments, window_s, most
):
    async def main():
        desk = Desk(seconds=0.1)
        executor = RateLimitedAPIExecutor(**arguments)
        # what a late timer may make up for is bounded by the same interval
        assert executor.limits.burst_seconds == (window_s if window_s < 60 else 1)
        for name in range(most * 4):
            await executor.append(desk.call(name))
        await executor.forward()
        assert desk.worst_window(window_s) <= most
        took_s = desk.times[-1] - desk.times[0]
        assert took_s <= 4 * window_s * 1.05  # and not far under it

    virtual(main())


def test_tokens_are_limited_too_and_too_many_at_once_are_refused(virtual):
    async def main():
        desk = Desk(tokens=100)
        executor = RateLimitedAPIExecutor(limit_tokens=1000)
        for name in range(30):
            await executor.append(desk.call(name))
        await executor.forward()
        assert desk.worst_window(60) <= 10
        desk.tokens = 2000
        with pytest.raises(CallError) as raised:
            await executor.submit(desk.call("huge"))
        assert raised.value.kind is Kind.TOO_LARGE

    virtual(main())


def test_update_limits_acts_on_what_already_waits(virtual):
    async def main():
        desk = Desk()
        executor = RateLimitedAPIExecutor(limit_requests=6)
        loop = asyncio.get_running_loop()
        for name in range(100):
            await executor.append(desk.call(name))
        await asyncio.sleep(20)
        assert len(desk.sent) <= 3
        changed = loop.time()
        executor.update_limits(limit_requests=6000)
        await executor.forward()
        assert loop.time() - changed < 3

    virtual(main())


@pytest.mark.parametrize(
    "arguments", [{"queue_capacity": 0}, {"interval": 0}, {"limit_requests": -1}]
)
def test_numbers_that_cannot_be_are_refused(arguments):
    with pytest.raises(ConfigurationError):
        RateLimitedAPIExecutor(**arguments)


def test_priority_counts_up_to_the_last_moment_before_a_call_leaves(virtual):
    async def main():
        desk = Desk(seconds=1)
        executor = RateLimitedAPIExecutor(limit_requests=6)
        for name in range(20):
            await executor.append(desk.call(name))
        await asyncio.sleep(15)
        await executor.append(desk.call("urgent"), priority=1)
        await executor.forward()
        assert desk.sent.index("urgent") <= 3  # one more was at the limiter already

    virtual(main())


# Its life


def test_leaving_the_context_waits_for_everything(virtual):
    async def main():
        desk = Desk(seconds=3)
        async with RateLimitedAPIExecutor() as executor:
            for name in range(5):
                await executor.append(desk.call(name))
        assert len(executor.completed_events) == 5

    virtual(main())


def test_after_stop_nothing_is_sent_until_start(virtual):
    async def main():
        desk = Desk()
        executor = RateLimitedAPIExecutor(limit_requests=6)
        events = [await executor.append(desk.call(name)) for name in range(5)]
        await executor.stop()
        assert {event.error.kind for event in events if event.error} == {Kind.NOT_SENT}
        sent = len(desk.sent)
        with pytest.raises(CallError):
            await executor.submit(desk.call("late"))
        assert len(desk.sent) == sent
        await executor.start()
        assert await executor.submit(desk.call("again")) == "answer again"
        await executor.forward()
        assert executor.status_counts()["pending"] == 0

    virtual(main())


@pytest.mark.parametrize("key", [True, False], ids=["may be shared", "is never shared"])
def test_what_fails_while_it_is_stopped_ends_and_is_in_no_queue(virtual, key):
    async def main():
        desk = Desk(seconds=3)
        desk.errors["a"] = CallError(Kind.SERVER_ERROR, "in passing", status=500)
        executor = RateLimitedAPIExecutor()
        event = await executor.append(desk.call("a", key=key))
        await asyncio.sleep(1)
        await executor.stop()
        assert event.error.kind is Kind.NOT_SENT
        assert executor.queued == executor.dispatcher.open_events == 0
        await executor.start()
        await executor.forward()
        assert desk.sent == ["a"]

    virtual(main())


def test_a_refused_key_stops_all_and_start_tries_again(virtual):
    async def main():
        desk = Desk()
        desk.errors["a"] = CallError(Kind.ACCESS, "wrong key", status=401)
        executor = RateLimitedAPIExecutor(limit_requests=60)
        events = [await executor.append(desk.call(name)) for name in ("a", "b", "c")]
        await executor.forward()
        assert [event.error.kind for event in events] == [Kind.ACCESS, Kind.NOT_SENT, Kind.NOT_SENT]
        assert executor.fatal is not None
        desk.errors.clear()
        await executor.start()
        assert executor.fatal is None
        assert await executor.submit(desk.call("b")) == "answer b"

    virtual(main())


async def test_an_executor_that_was_left_alone_goes_without_a_word(caplog):
    desk = Desk()
    executor = RateLimitedAPIExecutor()
    await executor.submit(desk.call("a"))
    loop = engine_loop.get()

    def workers():
        return [task for task in asyncio.all_tasks(loop) if "_work" in repr(task.get_coro())]

    await until(lambda: not workers())
    del executor
    gc.collect()
    assert caplog.text == ""


async def test_pausing_holds_back_what_is_appended():
    desk = Desk()
    executor = RateLimitedAPIExecutor()
    executor.pause()
    event = await executor.append(desk.call("a"))
    await asyncio.sleep(0.05)
    assert desk.sent == []
    await executor.start()
    assert await event == "answer a"


# The journal


async def test_what_the_journal_has_is_not_sent_again(tmp_path):
    desk = Desk()
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        assert await RateLimitedAPIExecutor(journal=journal).submit(desk.call("a")) == "answer a"
        event = await RateLimitedAPIExecutor(journal=journal).append(desk.call("a"))
        assert await event == "answer a"
        assert event.cached
    assert desk.sent == ["a"]


async def test_nothing_is_gathered_for_the_disk_while_more_wait_for_it_than_are_under_way(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(journal_writer, "GATHER_S", 3600.0)
    quick, slow = Desk(), Desk()
    slow.open.clear()
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        executor = RateLimitedAPIExecutor(journal=journal)
        held = asyncio.ensure_future(executor.submit(slow.call("held")))
        answers = asyncio.gather(*(executor.submit(quick.call(name)) for name in "abcdefgh"))
        assert await asyncio.wait_for(answers, 10) == [f"answer {name}" for name in "abcdefgh"]
        slow.open.set()
        assert await held == "answer held"


async def test_equal_calls_that_meet_while_the_journal_is_asked_are_sent_once(tmp_path):
    desk = Desk()
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        executor = RateLimitedAPIExecutor(journal=journal)
        waits = [executor.submit(desk.call(name)) for name in itertools.chain("ab" * 50)]
        await asyncio.gather(*waits)
        await executor.forward()
    assert sorted(desk.sent) == ["a", "b"]


async def test_giving_up_during_the_lookup_harms_nobody_else(tmp_path):
    desk = Desk(seconds=0.05)
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        executor = RateLimitedAPIExecutor(journal=journal)
        first = asyncio.create_task(executor.submit(desk.call("a")))
        second = asyncio.create_task(executor.submit(desk.call("a")))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "answer a"
        await executor.forward()
    assert desk.sent == ["a"]


@pytest.mark.parametrize("limit", ["600", 0, -1, True, float("nan")])
@pytest.mark.parametrize("name", ["limit_requests", "limit_tokens"])
def test_a_limit_that_cannot_be_is_refused_by_the_name_it_was_given(name, limit):
    with pytest.raises(LimitsError, match=rf"^{name} must be a number above 0"):
        RateLimitedAPIExecutor(**{name: limit})


def test_numbers_of_numpy_count_per_interval_like_any_other():
    executor = RateLimitedAPIExecutor(interval=1, limit_requests=np.int64(10))
    assert executor.limits.requests_per_minute == 600


def test_halting_takes_no_longer_than_what_is_in_flight(virtual):
    async def main():
        desk = Desk(seconds=0.5)
        executor = RateLimitedAPIExecutor(concurrency_limit=4)
        await executor.start()
        for number in range(12):
            await executor.append(desk.call(number))
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.1)
        begun = loop.time()
        await executor.stop(grace_s=10.0)
        assert loop.time() - begun <= 0.5
        assert executor.status_counts()["processing"] == 0

    virtual(main())


class UnspeakableError(Exception):
    def __str__(self):
        raise ValueError

    __repr__ = __str__


class Panic(BaseException):
    """As libraries in Rust raise it."""


@pytest.mark.parametrize("fault", [UnspeakableError(), Panic(), SystemExit()], ids=type)
async def test_whatever_a_call_raises_fails_that_call_alone(fault):
    class Faulty(OneCall):
        async def send(self):
            raise fault

    desk = Desk()
    async with RateLimitedAPIExecutor() as executor:
        with pytest.raises(CallError, match=type(fault).__name__):
            await executor.submit(Faulty(desk, "bad", key=False))
        assert await executor.submit(desk.call("good")) == "answer good"
