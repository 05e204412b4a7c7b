"""Blocking work for many who ask at about the same time: all at once, in one thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from lionproc.engine.forked import leave_behind

__all__ = ["Together"]

T = TypeVar("T")
R = TypeVar("R")
MOST = 256  # that are worked on at once, so that nobody waits for long


class Together(Generic[T, R]):
    """Calls a function in a thread, once for all who asked while it was busy. Lives on one loop of a process.

    A thread for each, with its way there and back, costs more than most of what they ask for; and a
    disk takes hardly longer for many than for one.

    Args:
        work: Called with what was asked for, in the order it came; returns as many results. One
            that is an exception is raised at who asked for it; one that it raises, at all.

    Example:
        ```python
        lengths = Together(lambda texts: [len(text) for text in texts])
        assert await lengths("four") == 4
        ```
    """

    def __init__(self, work: Callable[[list[T]], Sequence[R | Exception]]) -> None:
        self._work = work
        self._asked: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, item: T) -> R:
        """Ask, and wait for the result. Who gives up the wait does not undo the work."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._task is not None:  # in a forked child: who asked before stayed with the parent
                leave_behind((self._asked, self._task))
            self._loop, self._asked, self._task = loop, [], None
        result: asyncio.Future[R] = loop.create_future()
        self._asked.append((item, result))
        if self._task is None:
            self._task = loop.create_task(self._work_off())
        return await result

    async def _work_off(self) -> None:
        group: list[tuple[T, asyncio.Future[R]]] = []
        try:
            while self._asked:
                group, self._asked = self._asked[:MOST], self._asked[MOST:]
                found = await self._results([item for item, _ in group])
                for (_, result), each in zip(group, found, strict=True):
                    if result.done():
                        continue  # given up
                    if isinstance(each, Exception):
                        result.set_exception(each)
                    else:
                        result.set_result(each)
        finally:
            self._task = None
            for _, result in (*group, *self._asked):
                result.cancel()  # the loop ends; those that are done stay so
            self._asked.clear()

    async def _results(self, items: list[T]) -> Sequence[R | Exception]:
        try:
            return await asyncio.to_thread(self._work, items)
        except Exception as error:  # noqa: BLE001  (whatever it is, somebody waits to hear)
            return [error] * len(items)
