"""Replies whose reading asks a process of its own, and what goes on meanwhile."""

import asyncio
import contextlib
import contextvars
import threading
from itertools import product

import pytest

from lionproc.engine import dispatcher
from lionproc.engine.apart import Reading, asked, step
from lionproc.engine.dispatcher import WAITING_A_SLOT
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.journal import Journal
from lionproc.engine.kept_reading import kept_before, read_again
from lionproc.engine.limiter_chain import LimiterChain
from lionproc.engine.limits import Limits
from lionproc.errors import CallError, Kind

from .conftest import Question as Call


class Process:
    """Stands for the process: it answers when the gate is open."""

    def __init__(self):
        self.gate = threading.Event()
        self.questions = []
        self.came = threading.Event()

    def ask(self, name):
        self.questions.append(name)
        self.came.set()
        assert self.gate.wait(30)
        if name.startswith("bad"):
            raise ValueError(name)
        return name.upper()


def not_soon(seconds):
    return None


class Wrong(Call):
    """A call whose reply is of a wrong shape, as the process says; what corrects it is a plain one."""

    process = None

    def read(self, data):
        asked(self.name, lambda: self.process.ask(self.name), not_soon)
        raise CallError(Kind.WRONG_SHAPE, "no")

    def correction(self, data, error):
        return self.desk.call("right")


class Hard(Call):
    """A call whose reply cannot be read without the process."""

    process = None

    def read(self, data):
        return asked(self.name, lambda: self.process.ask(self.name), not_soon)


async def until(condition):
    while not condition():  # noqa: ASYNC110  (what is waited for has no event)
        await asyncio.sleep(0.01)


@pytest.fixture
def process():
    process = Process()
    yield process
    process.gate.set()


@pytest.fixture
def hard(desk, process):
    def call(name):
        made = Hard(desk, name)
        made.process = process
        return made

    return call


@pytest.fixture(params=["kept", "not kept"])
def executor(request, tmp_path):
    if request.param == "not kept":
        yield RateLimitedAPIExecutor(concurrency_limit=2)
        return
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        yield RateLimitedAPIExecutor(concurrency_limit=2, journal=journal)


def test_others_are_answered_while_a_reply_waits_for_the_process(
    real, desk, hard, process, executor
):
    async def main():
        assert await executor.submit(desk.call("a")) == "answer a"
        event = await executor.append(hard("hard"))
        await asyncio.to_thread(process.came.wait)
        answers = [await executor.submit(desk.call(name)) for name in "bcdef"]
        assert answers == [f"answer {name}" for name in "bcdef"]
        assert not event.done
        process.gate.set()
        assert await event == "HARD"
        assert process.questions == ["hard"]
        await executor.stop()

    real(main())


def test_what_the_process_raises_is_the_failure_of_its_row(real, desk, hard, process, executor):
    async def main():
        process.gate.set()
        with pytest.raises(CallError) as caught:
            await executor.submit(hard("bad"))
        assert caught.value.kind is Kind.UNREADABLE
        assert await executor.submit(hard("good")) == "GOOD"
        await executor.stop()

    real(main())


def test_no_more_is_sent_than_slots_hold_while_replies_wait_for_the_process(
    real, desk, hard, process, executor
):
    async def main():
        for name in "abc":  # the first replies keep their slots anyhow
            await executor.submit(desk.call(name))
        events = [await executor.append(hard(f"hard {n}")) for n in range(40)]
        await asyncio.to_thread(process.came.wait)
        core = executor.dispatcher
        await until(lambda: not core.awaiting_disk and len(core.workers.sending) == 2)
        assert len(desk.sent) <= 3 + 2 * (1 + WAITING_A_SLOT)
        process.gate.set()
        assert [await event for event in events] == [f"HARD {n}" for n in range(40)]
        await executor.stop()

    real(main())


def test_a_stop_does_not_wait_for_the_process_and_the_next_run_reads_what_was_paid_for(
    real, desk, hard, process, tmp_path
):
    async def main():
        with Journal.open(tmp_path / "journal.sqlite") as journal:
            executor = RateLimitedAPIExecutor(concurrency_limit=2, journal=journal)
            for name in "abc":
                await executor.submit(desk.call(name))
            events = [await executor.append(hard(name)) for name in ("one", "two", "three")]
            await asyncio.to_thread(process.came.wait)
            await desk.has_sent(5)
            await executor.stop(0)
            assert {event.state for event in events} == {"cancelled"}
            sent = list(desk.sent)
            process.gate.set()
            again = RateLimitedAPIExecutor(journal=journal)
            assert await again.submit(hard("one")) == "ONE"
            assert desk.sent == sent
            await again.stop()

    real(main())


def test_a_kept_reply_is_read_beside_the_loop_too(real, desk, hard, process, tmp_path):
    async def main():
        with Journal.open(tmp_path / "journal.sqlite") as journal:
            first = RateLimitedAPIExecutor(journal=journal)
            process.gate.set()
            assert await first.submit(hard("one")) == "ONE"
            await first.stop()
            process.gate.clear()
            process.came.clear()
            second = RateLimitedAPIExecutor(journal=journal)
            waits = asyncio.create_task(second.submit(hard("one")))
            await asyncio.to_thread(process.came.wait)
            assert await second.submit(desk.call("b")) == "answer b"
            process.gate.set()
            assert await waits == "ONE"
            assert desk.sent == ["one", "b"]
            await second.stop()

    real(main())


@pytest.fixture
def impatient(monkeypatch, tmp_path):
    """A path of a journal, at which nobody waits for another one for long."""
    monkeypatch.setattr(dispatcher, "PATIENCE_S", 0.01)
    return tmp_path / "journal.sqlite"


CASES = [*product(["one", "bad"], ["late", "stopped", "taken back", "given up"])]


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_bought_again_whatever_happens_while_its_kept_reply_is_read(
    real, hard, process, impatient, case
):
    """An answer is given, however late; in the place of another reply nothing is sent too late."""
    name, how = case

    async def main():
        with Journal.open(impatient) as journal:
            first = RateLimitedAPIExecutor(journal=journal)
            process.gate.set()
            with contextlib.suppress(CallError):
                await first.submit(hard(name))
            await first.stop()
            process.gate.clear()
            process.came.clear()
            second = RateLimitedAPIExecutor(journal=journal)
            waits = asyncio.create_task(second.submit(hard(name)))
            await asyncio.to_thread(process.came.wait)
            core = second.dispatcher
            (event,) = core.coalescing.unfinished()
            if how == "stopped":
                await second.stop(0)
            elif how == "taken back":
                assert not second.cancel(event)
            elif how == "given up":
                waits.cancel()
                await asyncio.wait([waits])
            else:
                core.queue.set_deadline(event, asyncio.get_running_loop().time())
                core._set_timer()
                await until(lambda: not core.queue.next_moment)
            process.gate.set()
            sent = [name] if how != "taken back" or name == "one" else [name, name]
            if how == "given up":
                await until(lambda: event.done)
                assert event.error is None or event.error.kind is Kind.CANCELLED
            elif name == "one" and how != "stopped":
                assert await waits == "ONE"
            else:
                kind = {"late": Kind.DEADLINE, "stopped": Kind.CANCELLED}.get(how, Kind.UNREADABLE)
                with pytest.raises(CallError) as caught:
                    await waits
                assert caught.value.kind is kind
            await second.start()
            assert await second.submit(hard("two")) == "TWO"
            await second.forward()
            assert (hard("").desk.sent, core.open_events) == ([*sent, "two"], 0)
            await second.stop()

    real(main())


def test_whoever_joins_one_that_was_given_up_while_its_kept_reply_is_read_has_its_correction(
    real, desk, process, tmp_path
):
    def wrong():
        made = Wrong(desk, "wrong")
        made.process = process
        return made

    async def main():
        with Journal.open(tmp_path / "journal.sqlite") as journal:
            first = RateLimitedAPIExecutor(journal=journal)
            process.gate.set()
            assert await first.submit(wrong()) == "answer right"
            await first.stop()
            process.gate.clear()
            process.came.clear()
            second = RateLimitedAPIExecutor(journal=journal)
            gives_up = asyncio.create_task(second.submit(wrong()))
            await asyncio.to_thread(process.came.wait)
            gives_up.cancel()
            await asyncio.wait([gives_up])
            waits = asyncio.create_task(second.submit(wrong()))
            (event,) = second.dispatcher.coalescing.unfinished()
            await until(lambda: event.claims)
            process.gate.set()
            assert await waits == "answer right"
            assert desk.sent == ["wrong", "right"]
            await second.stop()

    real(main())


@pytest.mark.parametrize("end", ["stopped", "answered"])
def test_a_permission_is_given_back_before_what_others_were_answered_is_read(
    real, impatient, hard, process, end
):
    limiter = LimiterChain(Limits(concurrency=1))

    async def main():
        with Journal.open(impatient) as journal:
            first = RateLimitedAPIExecutor(journal=journal)
            second = RateLimitedAPIExecutor(journal=journal, limiter=limiter)
            await second.start()
            second.pause()
            event = await second.append(hard("one"))
            await until(lambda: second.dispatcher.queue.at_limiter is event)
            process.gate.set()
            assert await first.submit(hard("one")) == "ONE"
            process.gate.clear()
            process.came.clear()
            second.resume()
            await asyncio.to_thread(process.came.wait)
            assert limiter.in_flight == 0
            if end == "stopped":
                await second.stop(0)
                assert event.state == "cancelled"
            process.gate.set()
            third = RateLimitedAPIExecutor(journal=journal, limiter=limiter)
            assert await third.submit(hard("two")) == "TWO"
            if end == "answered":
                assert await event == "ONE"
            assert hard("").desk.sent == ["one", "two"]
            for each in (first, second, third):
                await each.stop()

    real(main())


def test_a_reading_asks_each_question_once_and_changes_nothing_before():
    asks, reads = [], []

    def read():
        reads.append("begun")
        return [
            asked(name, lambda name=name: asks.append(name) or name.upper(), not_soon)
            for name in "ab"
        ]

    async def main():
        reading = Reading(step(read))
        while not reading.goes_on():
            assert not reading.goes_on()  # it waits for the same
            await reading.ask()
        return reading.value

    assert asyncio.run(main()) == ["A", "B"]
    assert (asks, len(reads)) == (["a", "b"], 3)


def test_whoever_may_wait_reads_once():
    reads = []
    reading = Reading(step(lambda: reads.append("begun") or asked("a", lambda: "A", not_soon)))
    assert (reading.at_once(), reads) == ("A", ["begun"])


def test_what_a_validator_starts_may_wait_for_its_own_answers():
    """It has a copy of the context in which the reply was read, in whatever thread, and later too."""
    heard, kept = [], []

    def read():
        mine = contextvars.copy_context()
        kept.append(mine)
        other = threading.Thread(target=mine.copy().run, args=(ask_by_oneself,))
        other.start()
        other.join()
        return asked("reply", lambda: "A", not_soon)

    def ask_by_oneself():
        heard.append(asked("of one's own", lambda: "B", not_soon))

    reading = Reading(step(read))
    assert not reading.goes_on()
    kept[0].run(ask_by_oneself)
    assert heard == ["B", "B"]


def test_what_a_validator_starts_is_read_as_new_whatever_was_read_again_when_it_began():
    kept, heard = [], []
    with read_again(lambda error: True):
        assert kept_before() is not None
        mine = contextvars.copy_context()
        other = threading.Thread(
            target=mine.copy().run, args=(lambda: heard.append(kept_before()),)
        )
        other.start()
        other.join()
        kept.append(mine)
    heard += [kept[0].run(kept_before), kept_before()]
    assert heard == [None, None, None]
