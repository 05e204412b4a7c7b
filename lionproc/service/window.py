"""Work on many things, a bounded number at once, with no barrier between them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def windowed(
    items: Iterable[T],
    size: int,
    work: Callable[[T], Awaitable[None]],
    go_on: Callable[[], bool] = lambda: True,
) -> None:
    """Work on every item, at most `size` at once; the next begins as soon as one is done.

    Args:
        items: Taken one by one, as late as possible.
        size: How many at once.
        work: What to do with one; what it raises ends everything.
        go_on: Asked after each item; False takes no more, what was begun is finished.
    """
    source = iter(items)

    async def worker() -> None:
        for item in source:
            await work(item)
            if not go_on():
                return

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(size):
                group.create_task(worker())
    except BaseExceptionGroup as group_of_errors:
        raise group_of_errors.exceptions[0] from None
