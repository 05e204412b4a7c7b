"""A question is bought once: who asks over one journal, and calls that join an equal one."""

import asyncio
import gc
import os

import pytest

from lionproc.engine import executor as executor_module
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.journal import Journal
from lionproc.engine.sharing import Sharing
from lionproc.errors import CallError, Kind


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as made:
        yield made


def failed(kind=Kind.BAD_REQUEST, retry_after_s=None):
    return CallError(kind, "no", retry_after_s=retry_after_s)


class Asker:
    shares = False


# Who asks over one journal


def test_a_journal_has_one_circle_of_askers_and_who_keeps_nothing_is_alone(journal, tmp_path):
    assert Sharing.over(journal) is Sharing.over(journal)
    assert Sharing.over(None) is not Sharing.over(None)
    with Journal.open(tmp_path / "other.sqlite") as other:
        assert Sharing.over(other) is not Sharing.over(journal)


def test_whoever_is_not_alone_shares_from_then_on():
    circle, first, second = Sharing(), Asker(), Asker()
    circle.join(first)
    circle.join(first)  # again, as an executor does that is started again
    assert not first.shares
    circle.join(second)
    assert first.shares
    assert second.shares
    circle.leave(second)
    assert first.shares  # what the other has asked is still there to be found


def test_who_has_left_or_is_gone_shares_with_nobody_new():
    circle, first, second, third = Sharing(), Asker(), Asker(), Asker()
    circle.join(first)
    circle.leave(first)
    circle.leave(first)
    circle.join(second)
    assert not second.shares
    del second
    gc.collect()
    circle.join(third)
    assert not third.shares


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_asks_in_a_circle_of_its_own(journal):
    circle = Sharing.over(journal)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if Sharing.over(journal) is not circle else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert Sharing.over(journal) is circle


# Equal calls in one executor


def test_a_call_joins_an_equal_one_that_is_in_flight_and_none_that_is_done(virtual, desk):
    async def main():
        desk.seconds = 1
        executor = RateLimitedAPIExecutor()
        first = await executor.append(desk.call("a"))
        await asyncio.sleep(0.5)
        assert first.state == "processing"
        assert await executor.append(desk.call("a")) is first
        await first
        assert await executor.append(desk.call("a")) is not first
        await executor.forward()
        assert desk.sent == ["a", "a"]  # without a journal nothing is kept for later

    virtual(main())


def test_all_who_joined_hear_the_same_error(virtual, desk):
    async def main():
        desk.errors = [failed()]
        executor = RateLimitedAPIExecutor()
        heard = await asyncio.gather(
            *(executor.submit(desk.call("a")) for _ in range(3)), return_exceptions=True
        )
        assert [error.kind for error in heard] == [Kind.BAD_REQUEST] * 3
        assert desk.sent == ["a"]
        assert executor.doomed(desk.call("a").key) is heard[0]
        assert executor.doomed(desk.call("b").key) is executor.doomed(None) is None

    virtual(main())


def test_a_call_is_withdrawn_with_the_last_who_waits_and_not_with_the_first(virtual, desk):
    async def main():
        desk.seconds = 1
        executor = RateLimitedAPIExecutor(concurrency_limit=1)
        await executor.append(desk.call("first"))
        waits = [asyncio.create_task(executor.submit(desk.call("a"))) for _ in range(2)]
        await asyncio.sleep(0.1)
        event = executor.live(desk.call("a").key)
        waits[0].cancel()
        await asyncio.sleep(0.1)
        assert event.state == "pending"
        waits[1].cancel()
        await asyncio.sleep(0.1)
        assert event.state == "cancelled"
        assert event.error.kind is Kind.CANCELLED
        # Who asks later is not handed what was given up.
        assert await executor.submit(desk.call("a")) == "answer a"
        assert desk.sent == ["first", "a"]

    virtual(main())


def test_what_somebody_holds_is_sent_though_all_who_waited_gave_up(virtual, desk):
    async def main():
        desk.seconds = 1
        executor = RateLimitedAPIExecutor(concurrency_limit=1)
        await executor.append(desk.call("first"))
        held = await executor.append(desk.call("a"))
        wait = asyncio.create_task(executor.submit(desk.call("a")))
        await asyncio.sleep(0.1)
        wait.cancel()
        await executor.forward()
        assert held.value == "answer a"

    virtual(main())


def test_what_is_in_flight_comes_back_and_is_kept_though_nobody_waits(real, desk, journal):
    async def main():
        executor = RateLimitedAPIExecutor(journal=journal)
        desk.hold()
        wait = asyncio.create_task(executor.submit(desk.call("a")))
        await desk.has_sent(1)
        wait.cancel()
        await asyncio.wait([wait])
        desk.release()
        await executor.forward()
        assert await executor.submit(desk.call("a")) == "answer a"
        assert desk.sent == ["a"]

    real(main())


@pytest.mark.parametrize(
    ("first_s", "second_s", "sent_after"), [(2, 50, True), (50, 2, True), (2, 3, False)]
)
def test_the_later_of_two_deadlines_counts(virtual, desk, first_s, second_s, sent_after):
    async def main():
        desk.seconds = 10
        executor = RateLimitedAPIExecutor(concurrency_limit=1)
        await executor.append(desk.call("first"))
        event = await executor.append(desk.call("a"), deadline_s=first_s)
        assert await executor.append(desk.call("a"), deadline_s=second_s) is event
        await executor.forward()
        assert (event.state == "completed") is sent_after
        assert desk.sent == (["first", "a"] if sent_after else ["first"])

    virtual(main())


# Equal calls in two executors over one journal


async def two_ask(desk, journal):
    """A call in flight, and an equal one of another executor that waits for it."""
    first, second = (RateLimitedAPIExecutor(journal=journal) for _ in range(2))
    desk.hold()
    a = await first.append(desk.call("a"))
    await desk.has_sent(1)
    b = await second.append(desk.call("a"))
    while b not in second._delayed:  # noqa: ASYNC110  (what is waited for has no event)
        await asyncio.sleep(0)
    assert second.queued == 1
    return a, b, second


def test_the_second_waits_for_the_answer_of_the_first_and_takes_it_from_the_journal(
    real, desk, journal
):
    async def main():
        a, b, second = await two_ask(desk, journal)
        desk.release()
        assert [await a, await b] == ["answer a"] * 2
        assert desk.sent == ["a"]
        assert (a.cached, b.cached) == (False, True)
        assert second.tally.sent == 0

    real(main())


def test_the_second_asks_itself_when_the_first_fails(real, desk, journal):
    async def main():
        desk.errors = [failed()]
        a, b, second = await two_ask(desk, journal)
        desk.release()
        assert await b == "answer a"
        assert a.error.kind is Kind.BAD_REQUEST
        assert desk.sent == ["a", "a"]
        assert second.tally.sent == 1

    real(main())


def test_the_second_is_not_patient_for_ever(real, desk, journal, monkeypatch):
    monkeypatch.setattr(executor_module, "PATIENCE_S", 0.05)

    async def main():
        a, b, _ = await two_ask(desk, journal)
        await desk.has_sent(2)
        desk.release()
        assert [await a, await b] == ["answer a"] * 2

    real(main())


def test_the_second_may_stop_without_having_asked(real, desk, journal):
    async def main():
        a, b, second = await two_ask(desk, journal)
        await second.stop()
        assert b.error.kind is Kind.NOT_SENT
        desk.release()
        assert await a == "answer a"
        assert desk.sent == ["a"]

    real(main())


def test_what_another_has_answered_since_it_was_queued_is_not_asked(real, desk, journal):
    async def main():
        first, second = (RateLimitedAPIExecutor(journal=journal) for _ in range(2))
        second.pause()
        events = [await second.append(desk.call(name)) for name in ("b", "a")]
        assert await first.submit(desk.call("a")) == "answer a"
        second.resume()
        assert [await event for event in events] == ["answer b", "answer a"]
        assert desk.sent == ["a", "b"]

    real(main())
