"""How much memory long replies take together, from their first bytes until they are on disk.

One reply has a bound of its own, and as many are under way as there are slots: a gateway that pads
all of them would have gigabytes. So what long ones take is counted here, whichever wire they come
on and whichever run they are for. When there is too much of it they are read one after the other,
and none while too much waits for the disk. What is not read yet waits with the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from weakref import WeakKeyDictionary

__all__ = ["LONG_BYTES", "Held", "ReplyRoom", "reply_room"]

ROOM_BYTES: Final = 256 * 2**20  # that are being read, and as many that wait for the disk
LONG_BYTES: Final = 256 * 1024  # of a reply; shorter ones are not counted


class ReplyRoom:
    """Counts what long replies take. Lives on one loop.

    Args:
        most: Bytes that are being read at the same time, and as many that wait for the disk. One
            reply may always be read, and one may always wait.
    """

    def __init__(self, most: int = ROOM_BYTES) -> None:
        self._most = most
        self._read = 0
        self._kept = 0
        self._first: Held | None = None  # it is read to its end, whatever the others take
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def taken(self) -> int:
        """Bytes of long replies that are being read or wait for the disk."""
        return self._read + self._kept

    def keeps(self, size: int) -> None:
        """A reply waits for the disk from now on.

        Args:
            size: Its bytes.
        """
        self._kept += size

    def lets_go(self, size: int) -> None:
        """It does not wait any more; see `keeps`."""
        self._kept -= size
        self._wake()

    @contextmanager
    def kept(self, size: int) -> Iterator[None]:
        """A reply of this size waits for the disk within the block."""
        self.keeps(size)
        try:
            yield
        finally:
            self.lets_go(size)

    async def _wait_for(self, held: Held, size: int) -> None:
        while not self._has_room(held, size):
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(waiting)
            try:
                await waiting
            finally:
                self._waiting.discard(waiting)
        self._read += size

    def _has_room(self, held: Held, size: int) -> bool:
        if self._kept >= self._most:  # the disk waits for nobody here
            return False
        if self._read + size <= self._most:
            return True
        if self._first is None:
            self._first = held
        return self._first is held

    def _is_read(self, held: Held, size: int) -> None:
        if self._first is held:
            self._first = None
        if size or self._waiting:
            self._read -= size
            self._wake()

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)


class Held:
    """What one reply takes while it is read. At the end, `ends` has to be called.

    Args:
        room: Where it is counted; None for that of the loop that runs.
    """

    __slots__ = ("_room", "_size")

    def __init__(self, room: ReplyRoom | None = None) -> None:
        self._room = room
        self._size = 0

    async def more(self, size: int) -> None:
        """Wait until there is room for more of it.

        Args:
            size: How many bytes more.
        """
        if self._room is None:
            self._room = reply_room()
        await self._room._wait_for(self, size)
        self._size += size

    def ends(self) -> None:
        """It is read, or given up: the others may have its room."""
        if self._room is not None:
            self._room._is_read(self, self._size)
            self._size = 0


def reply_room() -> ReplyRoom:
    """The room of the loop that runs. A forked child has another loop, and all of its room."""
    loop = asyncio.get_running_loop()
    room = _rooms.get(loop)
    if room is None:
        room = _rooms[loop] = ReplyRoom()
    return room


_rooms: Final = WeakKeyDictionary[asyncio.AbstractEventLoop, ReplyRoom]()
