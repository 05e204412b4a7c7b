"""What becomes of work on the engine's loop, for those who wait for it elsewhere.

A `concurrent.futures.Future` has one lock for who waits and who settles. Ctrl-C in the wrong
microsecond of a wait leaves it taken for ever, and the loop stands still at the next result. Here
nobody who waits holds anything that the engine needs.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["SLICE_S", "Promise"]

T = TypeVar("T")
SLICE_S = 0.25  # how soon whoever waits hears of an interrupt


class Promise(Generic[T]):
    """A result that is there or will be. Settled once, on the thread of a loop.

    Args:
        loop: The loop on whose thread it is settled; None where it is settled at once or no
            coroutine waits for it.
    """

    __slots__ = ("_callbacks", "_error", "_loop", "_over", "_settled", "_task", "_value")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        self._task: asyncio.Future[T] | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._value: T | None = None
        self._error: BaseException | None = None
        self._settled = False
        # Held until it is settled. Who gets it then lets go of it for the next one; if an interrupt
        # prevents that, the others wait no longer than a slice.
        self._over = threading.Lock()
        self._over.acquire()

    def follow(self, task: asyncio.Future[T]) -> None:
        """Be settled with what becomes of a task. On the loop's thread."""
        self._task = task
        task.add_done_callback(self._take)

    def _take(self, task: asyncio.Future[T]) -> None:
        self._task = None
        if task.cancelled():
            self.settle(error=concurrent.futures.CancelledError())
            return
        error = task.exception()
        if error is None:
            self.settle(task.result())
        else:
            self.settle(error=error)

    def settle(self, value: T | None = None, *, error: BaseException | None = None) -> None:
        """Say what came of it, and wake those who wait. Once, on the loop's thread."""
        self._value, self._error = value, error
        self._settled = True
        self._over.release()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def cancel(self) -> None:
        """Cancel the task that it follows. From any thread."""

        def act() -> None:
            if self._task is not None:
                self._task.cancel()

        self._on_loop(act)

    def done(self) -> bool:
        """Whether it is settled."""
        return self._settled

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is settled.

        Args:
            timeout: Seconds to wait at most, None for no bound.

        Returns:
            Whether it is settled.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while not self._settled:
            # In slices, so that Ctrl-C gets through on every platform.
            left = SLICE_S if end is None else min(SLICE_S, end - time.monotonic())
            if left <= 0:
                return False
            if self._over.acquire(timeout=left):
                self._over.release()
        return True

    def result(self, timeout: float | None = None) -> T:
        """Block until it is settled.

        Args:
            timeout: Seconds to wait at most, None for no bound.

        Returns:
            What came of it.

        Raises:
            TimeoutError: It was not settled in time.
            concurrent.futures.CancelledError: It was cancelled.
            BaseException: What the work raised.
        """
        if not self.wait(timeout):
            raise TimeoutError
        error = self._error
        try:
            if error is not None:
                raise error
            value: Any = self._value
            return value  # type: ignore[no-any-return]
        finally:
            del error, self  # the traceback of the error refers to this frame

    async def arrival(self) -> None:
        """Wait, on any loop, until it is settled; whatever came of it, raise nothing.

        In slices: a notebook's interrupt cancels the task of the cell and does not wake its loop,
        and nothing else may do so before the work is done. Cancelling the await leaves the work
        alone.
        """
        if self._settled:
            return
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # that loop is closed, nobody waits there
                loop.call_soon_threadsafe(_resolve, waiter)

        def note() -> None:
            if self._settled:
                wake()
            else:
                self._callbacks.append(wake)

        self._on_loop(note)
        while not self._settled:
            await asyncio.wait((waiter,), timeout=SLICE_S)

    def _on_loop(self, act: Callable[[], None]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it is closed: nothing comes any more
                self._loop.call_soon_threadsafe(act)


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
