"""An event loop whose clock jumps, so that an hour of waiting takes milliseconds.

What is ordinary: callbacks, tasks, `asyncio.sleep`, `asyncio.timeout`, `call_later`, queues and
locks, and whatever asks `loop.time()`. What is not patched: `time.monotonic`, `time.time` and
`time.sleep` stay real; code under test has to take its time from the loop.

When may the clock jump? Each time the loop has nothing ready to run, in this order:

1. Something came in (a socket is readable, a thread called `call_soon_threadsafe`): that is
   handled first, and the clock stands still.
2. A function runs in an executor (`asyncio.to_thread`, `run_in_executor`, name lookups), or somebody
   is inside `outside_work()`: the loop really waits for it with its clock standing still, so the
   result does not depend on how fast the disk was. Only after `patience_s` real seconds does the
   clock move on to the next timer, so that a timeout around work that hangs still fires.
3. A socket, pipe or child process is registered with the loop: its peer lives in real time, so the
   clock runs at the pace of real time until the next timer.
4. Only timers are left: the clock jumps to the next one.
5. Nothing is left at all: nobody can ever wake the loop. A plain loop would hang; this one raises
   `DeadlockError`.

The loop cannot know of a thread that you started yourself and that will call
`call_soon_threadsafe` some day. Say so with `outside_work()` around the wait, or give the loop a
`grace_s`, which it really waits before each jump.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from lionproc.errors import LionprocError

__all__ = ["DeadlockError", "VirtualTimeLoop", "run_virtual"]

T = TypeVar("T")
Events = list[tuple[selectors.SelectorKey, int]]


class DeadlockError(LionprocError):
    """Every task waits and nothing is left that could wake one."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop with a virtual clock, see the module for when it moves.

    Args:
        start_s: Time at the beginning.
        lateness: Asked before each jump for the seconds by which the timer fires late, to
            simulate a busy machine. Timers that fall due meanwhile fire in the same round, as
            they do on a real loop.
        grace_s: Real seconds to wait for other threads before each jump.
        patience_s: Real seconds to wait for outside work before the clock moves on.

    Example:
        >>> async def an_hour():
        ...     await asyncio.sleep(3600)
        ...     return asyncio.get_running_loop().time()
        >>> run_virtual(an_hour())
        3600.0
    """

    def __init__(
        self,
        *,
        start_s: float = 0.0,
        lateness: Callable[[], float] | None = None,
        grace_s: float = 0.0,
        patience_s: float = 5.0,
    ) -> None:
        self._now = start_s
        self._lateness = lateness
        self._grace_s = grace_s
        self._patience_s = patience_s
        self._outside = 0
        self.jumps = 0
        super().__init__(_JumpingSelector(self._wait))

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass without giving way, as a long computation in a callback does.

        Args:
            seconds: Virtual seconds, 0 or more.

        Raises:
            ValueError: Time does not run backwards.
        """
        if seconds < 0:
            raise ValueError(f"Time does not run backwards, by {seconds} s.")
        self._now += seconds

    @contextmanager
    def outside_work(self) -> Iterator[None]:
        """While inside, something the loop cannot see will wake it: do not jump past it.

        Example:
            >>> async def from_a_thread():
            ...     loop = asyncio.get_running_loop()
            ...     done = loop.create_future()
            ...     thread = threading.Thread(
            ...         target=lambda: loop.call_soon_threadsafe(done.set_result, 42))
            ...     with loop.outside_work():
            ...         thread.start()
            ...         return await done
            >>> import threading
            >>> run_virtual(from_a_thread())
            42
        """
        self._outside += 1
        try:
            yield
        finally:
            self._outside -= 1

    def run_in_executor(  # type: ignore[override]  # typeshed spells it with TypeVarTuple
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Like any loop's; the clock stands still until the function is done."""
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        self._outside += 1
        future.add_done_callback(self._came_back)
        return future

    def _came_back(self, _: object) -> None:
        self._outside -= 1

    async def shutdown_default_executor(self, *args: object, **kwargs: object) -> None:
        """Like any loop's; it waits for a thread of its own."""
        with self.outside_work():
            await super().shutdown_default_executor(*args, **kwargs)

    def _wait(
        self, select: Callable[[float | None], Events], sockets: int, timeout: float | None
    ) -> Events:
        """What the selector does in place of waiting `timeout` seconds for events."""
        events = select(0)
        if timeout == 0:
            self._nudge()
        if events or timeout == 0:
            return events
        if self._outside:
            events = select(None if timeout is None else self._patience_s)
            if timeout is None:
                return events
        elif sockets > 1:  # one is the loop's own, by which threads wake it
            return self._wait_in_real_time(select, timeout)
        elif self._grace_s:
            events = select(self._grace_s)
        if not events:
            self._jump(timeout)
        return events

    def _nudge(self) -> None:
        """Move on a hair when a timer was set for this very moment.

        A limiter that lacks a rounding error of its room waits for a time too small to show in
        the clock, again and again. A real clock never stands still for it.
        """
        timers = self._scheduled  # type: ignore[attr-defined]
        if timers and timers[0].when() <= self._now:
            self._now += max(1e-9, math.ulp(self._now))

    def _wait_in_real_time(
        self, select: Callable[[float | None], Events], timeout: float | None
    ) -> Events:
        before, began = self._now, time.monotonic()
        events = select(timeout)
        elapsed = time.monotonic() - began
        if events or timeout is None:
            self._now = before + (elapsed if timeout is None else min(elapsed, timeout))
        else:
            self._jump(timeout)
        return events

    def _jump(self, timeout: float | None) -> None:
        if timeout is None:
            raise DeadlockError(self._deadlock())
        self.jumps += 1
        # the timer's own number, so that it does not fire a rounding error early; the loop never
        # waits longer than a day at once
        when = self._scheduled[0].when()  # type: ignore[attr-defined]
        self._now = when if when - self._now <= timeout + 1e-6 else self._now + timeout
        if self._lateness is not None:
            self._now += max(self._lateness(), 0.0)

    def _deadlock(self) -> str:
        names = [_named(task) for task in asyncio.all_tasks(self)]
        shown = ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
        return (
            f"At {self._now:g} s nothing is scheduled and nothing is under way, so these wait for "
            f"ever: {shown or 'the caller of run_forever'}. If a thread of yours was to wake them, "
            f"wait inside `with loop.outside_work():`."
        )


def _named(task: asyncio.Task[Any]) -> str:
    stack = task.get_stack(limit=1)
    where = f" at line {stack[0].f_lineno}" if stack else ""
    coroutine = getattr(task.get_coro(), "__qualname__", "a task")
    return f"{task.get_name()} ({coroutine}{where})"


class _JumpingSelector(selectors.BaseSelector):
    """A selector that asks before it waits."""

    def __init__(
        self, wait: Callable[[Callable[[float | None], Events], int, float | None], Events]
    ) -> None:
        self._real = selectors.DefaultSelector()
        self._ask = wait

    def select(self, timeout: float | None = None) -> Events:
        return self._ask(self._real.select, len(self._real.get_map()), timeout)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def close(self) -> None:
        self._real.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()


def run_virtual(
    main: Coroutine[Any, Any, T],
    *,
    start_s: float = 0.0,
    lateness: Callable[[], float] | None = None,
    grace_s: float = 0.0,
    patience_s: float = 5.0,
) -> T:
    """Run a coroutine on a fresh `VirtualTimeLoop`, as `asyncio.run` would.

    Args:
        main: The coroutine.
        start_s: See `VirtualTimeLoop`.
        lateness: See `VirtualTimeLoop`.
        grace_s: See `VirtualTimeLoop`.
        patience_s: See `VirtualTimeLoop`.

    Returns:
        What the coroutine returns.

    Raises:
        DeadlockError: Everything waits for ever.
    """

    def loop() -> VirtualTimeLoop:
        return VirtualTimeLoop(
            start_s=start_s, lateness=lateness, grace_s=grace_s, patience_s=patience_s
        )

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main)
