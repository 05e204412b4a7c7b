"""Blocking work beside the engine's loop, where threads are scarce."""

import signal
import threading

import pytest

from lionproc.engine.blocking_work import Threads, heard_meanwhile


def no_more_threads(monkeypatch):
    """Let none be started, as where a container bounds them."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_work_for_which_the_pool_has_no_new_thread_is_done_once(monkeypatch):
    done, held = [], threading.Event()
    with Threads(4) as threads:
        first = threads.submit(held.wait, 10)
        no_more_threads(monkeypatch)
        with pytest.raises(RuntimeError, match="can't start"):
            threads.submit(done.append, 1)
        monkeypatch.undo()
        held.set()
        assert first.result(10)
        threads.submit(done.append, 2).result(10)
    assert done == [2]  # whoever was told that it cannot be done may have done it another way


def test_work_that_waits_in_the_pool_and_has_a_thread_of_its_own_is_done_once(monkeypatch):
    done, held = [], threading.Event()
    with Threads(4) as threads:
        threads.submit(held.wait, 10)
        refused = iter([True])
        start = threading.Thread.start

        def first_not(thread):
            if next(refused, False):
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", first_not)
        threads.submit(done.append, 1).result(10)
        held.set()
    assert done == [1]


def test_what_work_returns_or_raises_comes_back():
    with Threads(2) as threads:
        assert threads.submit(divmod, 7, 2).result(10) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            threads.submit(divmod, 7, 0).result(10)


def test_ctrl_c_ends_the_wait_for_work_that_hears_nothing():
    begun, may_end, ended = (threading.Event() for _ in range(3))

    def works():
        begun.set()
        if may_end.wait(30):  # Ctrl-C would end it, if the main thread were in it
            ended.set()

    def interrupts():
        begun.wait(30)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupts).start()
    with pytest.raises(KeyboardInterrupt):
        heard_meanwhile(works)
    may_end.set()
    assert ended.wait(30)


def test_work_is_done_where_no_thread_is_to_be_had_and_its_errors_are_its_own(monkeypatch):
    assert heard_meanwhile(threading.current_thread) is not threading.main_thread()
    with pytest.raises(ZeroDivisionError):
        heard_meanwhile(lambda: 1 // 0)
    no_more_threads(monkeypatch)
    assert heard_meanwhile(threading.current_thread) is threading.main_thread()
