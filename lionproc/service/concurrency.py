"""Process many items, a bounded number at the same time, with no barrier between them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def for_each(
    items: Iterable[T],
    limit: int,
    process: Callable[[T], Awaitable[None]],
    keep_going: Callable[[], bool] = lambda: True,
) -> None:
    """Process every item, at most `limit` at a time; the next starts as soon as one is done.

    Args:
        items: Taken one by one, as late as possible.
        limit: How many are in progress at the same time.
        process: Processes one item. The first error that it raises ends everything.
        keep_going: Called after each item. Once it returns False no further item is taken;
            those in progress are finished.
    """
    source = iter(items)

    async def worker() -> None:
        for item in source:
            await process(item)
            if not keep_going():
                return

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(limit):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
