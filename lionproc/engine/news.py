"""A wait that ends early when something changes."""

from __future__ import annotations

import asyncio
import math


class News:
    """Wakes the one task that waits, on the loop's thread. News that nobody waits for are lost."""

    __slots__ = ("_waiter",)

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None

    def tell(self) -> None:
        """Something changed: end the wait."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Wait for news, but at most this many seconds."""
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = loop.call_later(seconds, self.tell) if math.isfinite(seconds) else None
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
