"""How long an attempt may take; a moment in which the process stood still does not count."""

from __future__ import annotations

import asyncio
from types import TracebackType

STOOD_STILL_S = 0.05  # a loop with much to do is late by less


class within:  # noqa: N801  (read as a verb: `async with within(60)`)
    """Raise `TimeoutError` in what takes longer.

    A loop that stood still (a cell that held the interpreter, a machine that swapped) finds its
    timers due before it has read what came meanwhile, and a reply that lies there is paid for.
    So the time that was lost is given once more, up to as much again.

    Args:
        seconds: How long it may take.
    """

    __slots__ = ("_cancels", "_due", "_is_over", "_loop", "_seconds", "_task", "_timer")

    _task: asyncio.Task[object]
    _timer: asyncio.Handle

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._is_over = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a coroutine always runs in a task)
        self._task, self._cancels = task, task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + self._seconds
        self._timer = self._loop.call_at(self._due, self._ask)

    def _ask(self) -> None:
        late = self._loop.time() - self._due
        if late > STOOD_STILL_S:
            self._timer = self._loop.call_later(min(late, self._seconds), self._end)
        else:
            self._end()

    def _end(self) -> None:
        # After what was read in this round of the loop.
        self._timer = self._loop.call_soon(self._give_up)

    def _give_up(self) -> None:
        self._is_over = True
        self._task.cancel()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._is_over:
            others = self._task.uncancel() > self._cancels
            if kind is asyncio.CancelledError and not others:
                raise TimeoutError from error
