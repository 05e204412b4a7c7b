"""How long an attempt may take; a moment in which the process stood still does not count."""

from __future__ import annotations

import asyncio
from types import TracebackType

__all__ = ["Attempt", "OutOfTimeError", "Patience"]

STOOD_STILL_S = 0.05  # a loop with much to do is late by less


class OutOfTimeError(TimeoutError):
    """An attempt took too long. Other `TimeoutError`s come from code of the user's."""


class Patience:
    """Raises `OutOfTimeError` in attempts that take longer: `with patience.attempt(): ...`.

    A loop that stood still (a cell that held the interpreter, a machine that swapped) finds its
    timers due before it has read what came meanwhile, and a reply that lies there is paid for.
    So the time that was lost is given once more, up to as much again.

    All may take equally long, so the first that began is the first that is due, and one timer
    watches over all of them. Lives on one loop.

    Args:
        seconds: How long each may take.
    """

    __slots__ = ("_seconds", "_timer", "_under_way")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._under_way: dict[Attempt, None] = {}  # in the order they began

    def attempt(self) -> Attempt:
        """A block that is ended in time."""
        return Attempt(self)

    def close(self) -> None:
        """Nothing more is watched over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        for attempt in list(self._under_way):
            if attempt.due > loop.time():
                self._timer = loop.call_at(attempt.due, self._watch)
                break
            del self._under_way[attempt]
            attempt.ask()


class Attempt:
    """One attempt; see `Patience`. Used by one task.

    Attributes:
        due: When it has taken its time, by the loop's clock.
    """

    __slots__ = ("_cancels", "_is_over", "_loop", "_patience", "_task", "_timer", "due")

    _task: asyncio.Task[object]
    _loop: asyncio.AbstractEventLoop

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._is_over = False
        self._timer: asyncio.Handle | None = None
        self.due = 0.0

    def __enter__(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None  # noqa: S101  (a coroutine always runs in a task)
        self._task, self._cancels = task, task.cancelling()
        patience = self._patience
        self.due = loop.time() + patience._seconds
        patience._under_way[self] = None
        if patience._timer is None:
            patience._timer = loop.call_at(self.due, patience._watch)

    def ask(self) -> None:
        """Its time is over, or was taken from it."""
        late = self._loop.time() - self.due
        if late > STOOD_STILL_S:
            self._timer = self._loop.call_later(min(late, self._patience._seconds), self._end)
        else:
            self._end()

    def _end(self) -> None:
        # After what was read in this round of the loop.
        self._timer = self._loop.call_soon(self._give_up)

    def _give_up(self) -> None:
        self._is_over = True
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is None:
            del self._patience._under_way[self]
            return
        self._timer.cancel()
        if self._is_over:
            others = self._task.uncancel() > self._cancels
            if kind is asyncio.CancelledError and not others:
                raise OutOfTimeError from error
