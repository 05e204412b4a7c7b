"""Rows on their way from one stage to the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

__all__ = ["Arrivals"]


class Arrivals:
    """Rows that a stage may take up, for they have what it needs. Lives on the engine's loop.

    A row is a number here and costs nothing, so any number of them may wait.

    Args:
        most: How many are taken at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: deque[int] = deque()
        self._news = asyncio.Event()
        self._closed = False

    def add(self, row: int) -> None:
        """A row has come."""
        self._rows.append(row)
        self._news.set()

    def close(self) -> None:
        """No more rows will come."""
        self._closed = True
        self._news.set()

    async def batches(self) -> AsyncIterator[list[int]]:
        """The rows in the order they came, as many at once as there are, until it is closed."""
        rows = self._rows
        while rows or not self._closed:
            if rows:
                yield [rows.popleft() for _ in range(min(len(rows), self._most))]
            else:
                self._news.clear()
                await self._news.wait()
