"""Replies that are written and wait for the disk, while their slots send again.

A kill loses none of them, a power cut would: so they do not count yet, and there is a bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from lionproc.engine.reply_room import LONG_BYTES, reply_room

if TYPE_CHECKING:
    from lionproc.engine.journal import Kept
    from lionproc.engine.request import Event, Reply


class AwaitingDisk:
    """Holds replies until they are on disk. Lives on the engine's loop.

    Args:
        most: How many may wait now.
        on_disk: Called with each of them, and why it is not on disk if it is not.
        hurry: Called when no more may wait: what waits is to come to the disk at once.
    """

    def __init__(
        self,
        most: Callable[[], int],
        on_disk: Callable[[Event, Reply, BaseException | None], None],
        hurry: Callable[[], None],
    ) -> None:
        self._most = most
        self._hurry = hurry
        self._on_disk = on_disk
        self._waiting: dict[asyncio.Future[None], list[tuple[Event, Reply]]] = {}
        self._count = 0
        self._is_hurried = False

    def __len__(self) -> int:
        return self._count

    def takes(self, event: Event, reply: Reply, kept: Kept) -> bool:
        """Hold a reply, if there is room for it.

        Args:
            event: What it answers.
            reply: What came back.
            kept: Tells when it is on disk.

        Returns:
            False if too many wait, or a kill would lose it; then its slot has to wait with it.
        """
        most = self._most()
        if not kept.written or self._count >= most:
            return False
        durable = kept.durable
        together = self._waiting.get(durable)
        if together is None:
            together = self._waiting[durable] = []
            durable.add_done_callback(self._settle)
        together.append((event, reply))
        if len(reply.raw) > LONG_BYTES:
            reply_room().keeps(len(reply.raw))
        self._count += 1
        if self._count == most and not self._is_hurried:
            # Not before, and once: more haste makes small groups, and each costs as much as rows.
            self._is_hurried = True
            self._hurry()
        return True

    def _settle(self, durable: asyncio.Future[None]) -> None:
        error = durable.exception()
        self._is_hurried = False
        for event, reply in self._waiting.pop(durable):
            if len(reply.raw) > LONG_BYTES:
                reply_room().lets_go(len(reply.raw))
            self._count -= 1
            self._on_disk(event, reply, error)

    async def empty(self) -> None:
        """Wait until none is left."""
        while self._waiting:
            await asyncio.wait(self._waiting)
