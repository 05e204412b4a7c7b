"""A question is bought once: who asks over one journal, and calls that join an equal one."""

import asyncio
import gc
import os

import pytest

from lionproc.engine import coalescing, dispatcher
from lionproc.engine.coalescing import Coalescing, JournalPeers
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.journal import Journal
from lionproc.engine.limiter import Limiter
from lionproc.engine.limits import Limits
from lionproc.engine.request import Event
from lionproc.engine.retry import Retry
from lionproc.errors import CallError, Kind


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as made:
        yield made


def failed(kind=Kind.BAD_REQUEST, retry_after_s=None):
    return CallError(kind, "no", retry_after_s=retry_after_s)


class Asker:
    has_peers = False


# Who asks over one journal


def test_a_journal_has_one_circle_of_askers_and_who_keeps_nothing_is_alone(journal, tmp_path):
    assert JournalPeers.of(journal) is JournalPeers.of(journal)
    assert JournalPeers.of(None) is not JournalPeers.of(None)
    with Journal.open(tmp_path / "other.sqlite") as other:
        assert JournalPeers.of(other) is not JournalPeers.of(journal)


def test_whoever_is_not_alone_shares_from_then_on():
    circle, first, second = JournalPeers(), Asker(), Asker()
    circle.join(first)
    circle.join(first)  # again, as an executor does that is started again
    assert not first.has_peers
    circle.join(second)
    assert first.has_peers
    assert second.has_peers
    circle.leave(second)
    assert first.has_peers  # what the other has asked is still there to be found


def test_who_has_left_or_is_gone_shares_with_nobody_new():
    circle, first, second, third = JournalPeers(), Asker(), Asker(), Asker()
    circle.join(first)
    circle.leave(first)
    circle.leave(first)
    circle.join(second)
    assert not second.has_peers
    del second
    gc.collect()
    circle.join(third)
    assert not third.has_peers


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_asks_in_a_circle_of_its_own(journal):
    circle = JournalPeers.of(journal)
    executor = RateLimitedAPIExecutor(journal=journal)
    pid = os.fork()
    if pid == 0:
        new = JournalPeers.of(journal)  # of those that were made before, too
        os._exit(0 if new is not circle and executor.dispatcher.coalescing._peers is new else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert JournalPeers.of(journal) is circle


# Who waits for whom


def asks_of(desk, journal):
    """Two executors' knowledge of each other, and an equal event in each."""
    return [(Coalescing(journal), Event(desk.call("a"))) for _ in range(2)]


def test_an_event_waits_for_an_equal_one_of_another_executor_until_that_is_finished(desk, journal):
    (mine, a), (other, b) = asks_of(desk, journal)
    assert mine.has_peers
    assert other.has_peers
    assert mine.asked_elsewhere(a) is None
    mine.asks(a)
    assert mine.asked_elsewhere(a) is None  # one's own retry waits for nobody
    assert other.asked_elsewhere(b) is a
    a.finish()
    assert Coalescing(journal).asked_elsewhere(Event(desk.call("a"))) is None
    mine.finished(a)
    assert other.end_wait(b)
    assert other.asked_elsewhere(b) is None


def test_whoever_comes_again_without_having_been_called_asks_itself(desk, journal):
    (mine, a), (other, b) = asks_of(desk, journal)
    mine.asks(a)
    assert other.asked_elsewhere(b) is a
    assert other.asked_elsewhere(b) is None
    other.asks(b)
    assert not other.end_wait(b)  # a is finished now, and b is not hurried by it
    third = Coalescing(journal)
    assert third.asked_elsewhere(Event(desk.call("a"))) is b


def test_an_event_that_is_finished_waits_for_nobody(desk, journal):
    (mine, a), (other, b) = asks_of(desk, journal)
    mine.asks(a)
    assert other.asked_elsewhere(b) is a
    b.finish(failed(Kind.CANCELLED))
    other.finished(b)
    assert not other.end_wait(b)
    assert mine.asked_elsewhere(a) is None  # a is still the one that asks


def test_whoever_has_stopped_is_asked_by_nobody_until_it_starts_again(desk, journal):
    stopped = Coalescing(journal)
    stopped.stop()
    assert not Coalescing(journal).has_peers
    stopped.start()
    assert Coalescing(journal).has_peers
    assert stopped.has_peers


def test_what_is_finished_is_forgotten_and_nothing_that_took_its_place(desk, journal):
    (mine, a), (other, b) = asks_of(desk, journal)
    mine.add(a)
    mine.asks(a)
    other.asks(b)  # its patience is over
    a.finish()
    mine.finished(a)
    assert mine.live(a.first.key) is None
    assert Coalescing(journal).asked_elsewhere(Event(desk.call("a"))) is b
    b.finish()
    other.finished(b)
    assert JournalPeers.of(journal).asking == {}


def test_failures_count_for_corrections_too_until_the_executor_starts_again(desk):
    alone, event = Coalescing(None), Event(desk.call("a"))
    event._corrected = (b"a correction",)
    alone.failed(event, failed())
    assert alone.failure(desk.call("a").key).kind is Kind.BAD_REQUEST
    assert alone.failure(b"a correction").kind is Kind.BAD_REQUEST
    alone.stop()
    alone.start()
    assert alone.failure(desk.call("a").key) is None


def test_of_many_failures_the_latest_are_remembered(desk, monkeypatch):
    monkeypatch.setattr(coalescing, "MOST_FAILURES", 2)
    alone = Coalescing(None)
    for name in ("a", "b", "c"):
        alone.failed(Event(desk.call(name)), failed())
    known = [alone.failure(desk.call(name).key) is not None for name in ("a", "b", "c")]
    assert known == [False, True, True]


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
        kept = executor.dispatcher.coalescing.failure(desk.call("a").key)
        assert {str(error) for error in heard} == {str(kept)}
        assert (kept.__traceback__, kept.__context__) == (
            None,
            None,
        )  # and no frames of who hears it
        assert (
            executor.dispatcher.coalescing.failure(desk.call("b").key)
            is executor.dispatcher.coalescing.failure(None)
            is None
        )

    virtual(main())


def test_a_call_is_withdrawn_with_the_last_who_waits_and_not_with_the_first(virtual, desk):
    async def main():
        desk.seconds = 1
        executor = RateLimitedAPIExecutor(concurrency_limit=1)
        await executor.append(desk.call("first"))
        waits = [asyncio.create_task(executor.submit(desk.call("a"))) for _ in range(2)]
        await asyncio.sleep(0.1)
        event = executor.dispatcher.coalescing.live(desk.call("a").key)
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


def test_while_the_queue_is_full_a_call_is_withdrawn_with_the_last_who_waits_too(virtual, desk):
    async def main():
        desk.seconds = 1
        executor = RateLimitedAPIExecutor(1, concurrency_limit=1)
        for text in ("in flight", "queued"):
            await executor.append(desk.call(text))
        for stays in (0, 1):
            text = f"the other is {stays}"
            waits = []
            for _ in range(2):
                waits.append(asyncio.create_task(executor.submit(desk.call(text))))
                await asyncio.sleep(0.01)
            waits[1 - stays].cancel()
            assert await waits[stays] == f"answer {text}"
            await executor.append(desk.call(f"behind {stays}"))
            await executor.append(desk.call(f"behind that {stays}"))
        waits = [asyncio.create_task(executor.submit(desk.call("nobody's"))) for _ in range(2)]
        await asyncio.sleep(0.01)
        for wait in waits:
            wait.cancel()
        await executor.forward()
        assert "nobody's" not in desk.sent
        assert len(desk.sent) == 8

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


@pytest.mark.parametrize("joined", [False, True], ids=["nobody waits", "somebody joined later"])
@pytest.mark.parametrize("kind", [Kind.SERVER_ERROR, Kind.RATE_LIMITED, Kind.CONNECTION])
def test_what_fails_in_flight_is_sent_again_only_if_somebody_waits(virtual, desk, kind, joined):
    async def main():
        desk.seconds = 1
        desk.errors = [failed(kind)]
        executor = RateLimitedAPIExecutor()
        wait = asyncio.create_task(executor.submit(desk.call("a")))
        await asyncio.sleep(0.3)
        event = executor.dispatcher.coalescing.live(desk.call("a").key)
        wait.cancel()
        await asyncio.sleep(0.3)
        if joined:
            assert await executor.submit(desk.call("a")) == "answer a"
        await executor.forward()
        assert desk.sent == ["a"] * (2 if joined else 1)
        assert event.state == ("completed" if joined else "failed")
        # Who asks later asks anew.
        assert await executor.submit(desk.call("a")) == "answer a"

    virtual(main())


@pytest.mark.parametrize("is_kept", [False, True], ids=["nothing is kept", "replies are kept"])
def test_a_correction_is_not_bought_for_nobody(real, desk, journal, is_kept):
    async def main():
        desk.corrections["a"] = "a again"
        executor = RateLimitedAPIExecutor(journal=journal if is_kept else None)
        await executor.submit(desk.call("the first"))
        desk.hold()
        wait = asyncio.create_task(executor.submit(desk.call("a")))
        await desk.has_sent(2)
        wait.cancel()
        await asyncio.wait([wait])
        desk.release()
        await executor.forward()
        assert desk.sent[1:] == ["a"]
        # Who asks later goes on from what was kept.
        assert await executor.submit(desk.call("a")) == "answer a again"
        assert desk.sent[2:] == (["a again"] if is_kept else ["a", "a again"])

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


async def two_ask(desk, journal, **more):
    """A call in flight, and an equal one of another executor that waits for it."""
    first, second = (RateLimitedAPIExecutor(journal=journal, **more) for _ in range(2))
    desk.hold()
    a = await first.append(desk.call("a"))
    await desk.has_sent(1)
    b = await second.append(desk.call("a"))
    for _ in range(5):  # a worker of the second takes it, and finds that the first one asks
        await asyncio.sleep(0)
    assert (second.queued, second.in_flight) == (1, 0)
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
        assert second.counters.sent == 0

    real(main())


def test_the_second_asks_itself_when_the_first_fails(real, desk, journal):
    async def main():
        desk.errors = [failed()]
        a, b, second = await two_ask(desk, journal)
        desk.release()
        assert await b == "answer a"
        assert a.error.kind is Kind.BAD_REQUEST
        assert desk.sent == ["a", "a"]
        assert second.counters.sent == 1

    real(main())


def test_the_second_is_not_patient_for_ever(real, desk, journal, monkeypatch):
    monkeypatch.setattr(dispatcher, "PATIENCE_S", 0.05)

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


def test_a_producer_goes_on_when_all_that_filled_the_queue_was_answered_by_another(
    real, desk, journal
):
    async def main():
        first = RateLimitedAPIExecutor(journal=journal)
        second = RateLimitedAPIExecutor(queue_capacity=1, journal=journal)
        second.pause()
        at_limiter = await second.append(desk.call("at the limiter"))
        for _ in range(5):
            await asyncio.sleep(0)
        queued = await second.append(desk.call("a"))
        produces = asyncio.create_task(second.append(desk.call("b")))
        assert await first.submit(desk.call("a")) == "answer a"
        second.resume()
        events = [at_limiter, queued, await asyncio.wait_for(produces, 10)]
        assert [await event for event in events] == [
            "answer at the limiter",
            "answer a",
            "answer b",
        ]
        assert desk.sent == ["a", "at the limiter", "b"]

    real(main())


def test_a_retry_is_not_hurried_by_the_end_of_what_it_waited_for_before(
    real, desk, journal, monkeypatch
):
    monkeypatch.setattr(dispatcher, "PATIENCE_S", 0.05)

    async def main():
        patient, at_once = Retry(base_s=1e6, cap_s=1e6), Limiter(Limits(adapt=False))
        a, b, second = await two_ask(desk, journal, retry=patient, limiter=at_once)
        await desk.has_sent(2)
        desk.errors = [None, failed(Kind.TIMEOUT)]
        desk.release()
        assert await a == "answer a"
        for _ in range(20):
            await asyncio.sleep(0)
        assert (b.state, second.queued, desk.sent) == ("pending", 1, ["a", "a"])
        await second.stop()

    real(main())
