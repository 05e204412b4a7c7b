"""Rows on their way from one stage to the next, or from one model to the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

__all__ = ["Arrivals"]

T = TypeVar("T")


class Arrivals(Generic[T]):
    """Rows that a stage may take up, for they have what it needs. Lives on the engine's loop.

    Between stages a row is a number and costs nothing, so any number of them may wait; whoever
    hands on more than numbers waits with `few`.

    Args:
        most: How many are taken at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: deque[T] = deque()
        self._news = asyncio.Event()
        self._taken = asyncio.Event()
        self._closed = self._abandoned = False

    def abandon(self) -> None:
        """Nobody takes them any more: who waits in `few` waits in vain."""
        self._abandoned = True
        self._taken.set()

    def add(self, row: T) -> None:
        """A row has come."""
        self._rows.append(row)
        self._news.set()

    def close(self) -> None:
        """No more rows will come."""
        self._closed = True
        self._news.set()

    async def few(self, most: int) -> None:
        """Wait until no more than so many rows wait here."""
        while len(self._rows) > most and not self._abandoned:
            self._taken.clear()
            await self._taken.wait()

    async def batches(self) -> AsyncIterator[list[T]]:
        """The rows in the order they came, as many at once as there are, until it is closed."""
        rows = self._rows
        while rows or not self._closed:
            if rows:
                taken = [rows.popleft() for _ in range(min(len(rows), self._most))]
                self._taken.set()
                yield taken
            else:
                self._news.clear()
                await self._news.wait()
