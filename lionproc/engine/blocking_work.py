"""Threads for blocking work beside the engine's loop, for as long as anybody works.

When the main thread has come to its end, Python waits for all other threads of a person. A run that
one of them began goes on meanwhile, but `concurrent.futures` takes nothing any more.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Final, Generic, ParamSpec, TypeVar

from lionproc.engine.forked import in_forked_child, leave_behind

__all__ = ["Threads", "begun", "heard_meanwhile", "in_own_thread", "in_saving_thread"]

SAVERS: Final = 4  # files that are written at once
HEARD_S: Final = 0.2  # after which Ctrl-C is heard at the latest

T = TypeVar("T")
P = ParamSpec("P")


class _Piece(Generic[T]):
    """A piece of work that is done once, by whichever thread comes to it first.

    Args:
        work: What is called.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._taken = threading.Lock()
        self.future: Future[T] = Future()

    def is_taken(self) -> bool:
        """Whether a thread had it before. From now on one has."""
        return not self._taken.acquire(blocking=False)

    def do(self) -> None:
        """Do it, unless it is done already or nobody waits for it any more."""
        if self.is_taken() or not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self._work())
        except BaseException as error:  # noqa: BLE001  (whoever waits gets it)
            self.future.set_exception(error)

    def do_in_own_thread(self) -> None:
        """Do it in a thread of its own.

        Raises:
            RuntimeError: None can be started, and no other thread has it.
        """
        try:
            threading.Thread(target=self.do, name="lionproc's own", daemon=True).start()
        except RuntimeError:
            if not self.is_taken():
                raise


class _OwnThreads(Executor):
    """A thread for each piece of work: none waits for another one to end."""

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do work in a thread of its own; as `Threads.submit`."""
        piece = _Piece(partial(work, *args, **kwargs))
        piece.do_in_own_thread()
        return piece.future


_OWN: Final = _OwnThreads()


def begun(work: Callable[[], T]) -> Future[T]:
    """Begin work in a thread of its own, whoever waits for it.

    Args:
        work: What is called.

    Returns:
        What comes of it.

    Raises:
        RuntimeError: There is no room for a thread.
    """
    return _OWN.submit(work)


class Threads(ThreadPoolExecutor):
    """A pool that still takes work when the main thread has ended."""

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do work in a thread; its own one where the pool takes no more.

        Args:
            work: What is called.
            *args: Its arguments.
            **kwargs: More of them.

        Returns:
            What comes of it.

        Raises:
            RuntimeError: No thread can be started, as the process has no room for one or is so far
                at its end.
        """
        piece = _Piece(partial(work, *args, **kwargs))
        try:
            super().submit(piece.do)
        except RuntimeError:  # it may be in the queue of the pool all the same
            piece.do_in_own_thread()
        return piece.future


def heard_meanwhile(work: Callable[[], T]) -> T:
    """Do work that hears nothing, as pyarrow's, so that Ctrl-C ends the wait for it.

    Args:
        work: What is called, in a thread where this is the main one. After Ctrl-C it goes on to its
            end, and what it returns is lost.

    Returns:
        What it returns.

    Example:
        >>> heard_meanwhile(lambda: 2 + 2)
        4
    """
    if threading.current_thread() is not threading.main_thread() or sys.is_finalizing():
        return work()  # no other thread is told of Ctrl-C, and at the end of Python none begins
    try:
        future = _OWN.submit(contextvars.copy_context().run, work)
    except RuntimeError:  # there is no room for a thread
        return work()
    while not wait([future], HEARD_S).done:  # on Windows a wait is heard when it ends
        pass
    return future.result()


async def in_own_thread(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function of a person's beside the loop that this is awaited in.

    It may take its time, never end, or wait for a run of its own, which needs threads of the pool.
    In one of these a few such functions would have them all, and hold every run up for ever.

    Args:
        work: What is called.
        *args: Its arguments.
        **kwargs: More of them.

    Returns:
        What it returns.
    """
    return await _done_by(_OWN, partial(work, *args, **kwargs))


async def in_saving_thread(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Write a result beside the loop that this is awaited in.

    It may be far away and never answer. That holds up what else is saved, and no run that asks.

    Args:
        work: What is called.
        *args: Its arguments.
        **kwargs: More of them.

    Returns:
        What it returns.
    """
    return await _done_by(_saving, partial(work, *args, **kwargs))


async def _done_by(executor: Executor, work: Callable[[], T]) -> T:
    """As `asyncio.to_thread`, by another executor."""
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(executor, context.run, work)


def _savers() -> Threads:
    return Threads(SAVERS, thread_name_prefix="lionproc saves")


_saving = _savers()


@in_forked_child
def _renew() -> None:
    """In a forked child: the threads did not come along."""
    global _saving  # noqa: PLW0603  (the one pool of the process)
    leave_behind(_saving)
    _saving = _savers()
