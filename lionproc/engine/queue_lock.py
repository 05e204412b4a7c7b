"""A lock that tells whether anybody wants it."""

from __future__ import annotations

import asyncio
from typing import Literal

__all__ = ["QueueLock"]


class QueueLock(asyncio.Lock):
    """First come, first served, as any lock; `is_wanted` is true as long as anybody has it or waits.

    `locked()` is false for a moment when it was let go and whoever is next has not run yet.
    """

    def __init__(self) -> None:
        super().__init__()
        self._wanted = 0

    @property
    def is_wanted(self) -> bool:
        """Whether somebody has it or waits for it."""
        return self._wanted > 0

    async def acquire(self) -> Literal[True]:
        """See `asyncio.Lock`."""
        self._wanted += 1
        try:
            return await super().acquire()
        except BaseException:
            self._wanted -= 1
            raise

    def release(self) -> None:
        """See `asyncio.Lock`."""
        super().release()
        self._wanted -= 1
