"""What becomes of work on the engine's loop, and what an interrupt can do to who waits for it."""

import asyncio
import concurrent.futures
import dis
import gc
import itertools
import sys
import threading

import pytest

from lionproc.engine import forking
from lionproc.engine import journal as journals
from lionproc.engine import loop as engine_loop
from lionproc.engine.journal import Entry, Journal
from lionproc.engine.promise import Promise


class Interrupted:
    """Code in the middle of which something happens, at a step at which signals are handled.

    Those are after a call, at the head of a function and at the end of a loop.

    Args:
        before: What is called at the step of that number, counted from 0.
    """

    STEPS = ("CALL", "RESUME", "JUMP_BACKWARD")

    def __init__(self, before):
        self._before = before
        self._steps = itertools.count()
        self._last = {}

    def __enter__(self):
        self._tracing = sys.gettrace()
        sys.settrace(self._trace)

    def __exit__(self, *_):
        sys.settrace(self._tracing)

    def _trace(self, frame, event, _):
        if frame.f_code is Interrupted.__exit__.__code__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            last = self._last.get(frame, "")
            self._last[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            if last.startswith(self.STEPS):
                self._act()
        return self._trace

    def _act(self):
        act = self._before.get(next(self._steps))
        if act is not None:
            sys.settrace(None)
            try:
                act()
            finally:
                sys.settrace(self._trace)


def is_interrupted(work, at, before=None):
    """Whether work has so many steps that Ctrl-C came before that one."""

    def interrupt():
        raise KeyboardInterrupt

    try:
        with Interrupted((before or {}) | {at: interrupt}):
            work()
    except KeyboardInterrupt:
        return True
    return False


def ends(work):
    """Do work in a thread of its own; whether it came to an end."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(5)
    return not thread.is_alive()


def test_an_interrupt_at_any_step_of_a_wait_does_not_hold_up_the_engine():
    """With a `Future` one of them leaves its lock taken: the engine's thread stops for ever."""
    for step in itertools.count():
        promise = Promise()
        came = is_interrupted(lambda p=promise: p.wait(0.01), step)
        assert ends(lambda p=promise: p.settle(7)), step
        assert promise.result(5) == 7
        if not came:
            break
    assert step > 5  # it had that many


def test_who_is_interrupted_just_as_it_is_settled_keeps_no_other_from_hearing_of_it():
    settled_in_time = 0
    for step in itertools.count(1):
        promise = Promise()

        def settle(promise=promise):
            promise.settle(7)

        # In the step before: whoever waits is about to look, or about to try the lock.
        came = is_interrupted(lambda p=promise: p.wait(0.01), step, {step - 1: settle})
        settled_in_time += promise.done()
        if not came:
            break
        assert ends(promise.result), step
    assert settled_in_time > 5


def test_an_interrupt_at_any_step_of_a_flush_leaves_the_journal_writing(tmp_path):
    journal = Journal.open(tmp_path / "j.sqlite")

    async def keep():
        journal.append(Entry(bytes(16), b"{}", "some-model", 10, 2, 1, 0.25, 1.8e9))

    interrupted = 0
    for step in range(40):  # it has fewer where all is on disk already
        asyncio.run(keep())
        interrupted += is_interrupted(journal.flush, step)
        assert ends(journal.flush), step
    assert interrupted > 3
    journal.close()


def test_an_interrupt_at_any_step_of_a_fork_leaves_every_journal_usable(tmp_path, monkeypatch):
    """Python drops it there and forks all the same; what waits for a lock then waits for ever."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    in_file, in_memory = Journal.open(tmp_path / "j.sqlite"), Journal.open(":memory:")
    monkeypatch.setattr(journals, "_everyone", [in_file, in_memory])
    used = []

    async def keep(journal):
        await journal.append(Entry(bytes(16), b"{}", "some-model", 10, 2, 1, 0.25, 1.8e9))

    def use():
        for journal in (in_file, in_memory):
            asyncio.run(keep(journal))
            assert journal.find([bytes(16)])
        Journal.open(tmp_path / "j.sqlite").close()
        used.append(True)

    def fork():
        try:
            journals._before_fork()
        finally:
            forking.go_on()

    use()
    for step in itertools.count():
        came = is_interrupted(fork, step)
        assert ends(use), step
        assert used.pop(), step
        if not came:
            break
    assert step > 20
    in_file.close()
    in_memory.close()
    gc.collect()  # a connection that an interrupt kept from being closed, which Python tells of


def test_all_who_wait_hear_of_it():
    promise, heard = Promise(), []
    threads = [threading.Thread(target=lambda: heard.append(promise.result())) for _ in range(8)]
    for thread in threads:
        thread.start()
    promise.settle("there")
    for thread in threads:
        thread.join(5)
    assert heard == ["there"] * 8


def test_a_wait_has_an_end_and_says_so():
    promise = Promise()
    assert not promise.wait(0.001)
    with pytest.raises(TimeoutError):
        promise.result(0.001)


def test_work_on_the_engine_gives_back_what_it_returned_or_raised():
    async def work(error):
        await asyncio.sleep(0)
        if error is not None:
            raise error
        return "done"

    assert engine_loop.submit(work(None)).result(5) == "done"
    with pytest.raises(LookupError, match="not here"):
        engine_loop.submit(work(LookupError("not here"))).result(5)


def test_work_of_which_no_task_can_be_made_is_told_so():
    async def work():
        raise AssertionError("it never begins")

    def refuses(loop, coroutine, **_):
        coroutine.close()
        raise LookupError("no task today")

    loop = engine_loop.get()
    try:
        loop.set_task_factory(refuses)
        with pytest.raises(LookupError, match="no task today"):
            engine_loop.submit(work()).result(5)
    finally:
        loop.set_task_factory(None)


def test_what_is_cancelled_on_the_engine_is_cancelled_for_who_waits():
    async def never():
        await asyncio.get_running_loop().create_future()

    promise = engine_loop.submit(never())
    promise.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        promise.result(5)

    async def waits():
        promise = engine_loop.submit(never())
        promise.cancel()
        await promise.arrival()
        return promise.done()

    assert asyncio.run(waits())


async def test_cancelling_the_await_of_a_bridge_cancels_the_work_and_of_an_arrival_does_not():
    begun, ended = threading.Event(), threading.Event()

    async def never():
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    promise = engine_loop.submit(never())
    for waiting in (promise.arrival(), engine_loop.bridge(never())):
        assert not ended.is_set()
        task = asyncio.ensure_future(waiting)
        await asyncio.to_thread(begun.wait, 5)
        begun.clear()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await asyncio.to_thread(ended.wait, 5)
    assert not promise.done()
    promise.cancel()
