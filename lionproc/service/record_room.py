"""How much memory the records take together that are read to be worked on.

A record may be long, and takes several times its length until its request has ended. Many requests
go on at once, so the records of those that are resumed are counted, as long replies are: when there
is too much of them the next one waits until another has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakKeyDictionary

from lionproc.engine.reply_room import LONG_BYTES, Held, ReplyRoom

__all__ = ["room_for"]

ROOM_BYTES: Final = 64 * 2**20  # of all services of the process; one more may always be read


@asynccontextmanager
async def room_for(size: int) -> AsyncIterator[None]:
    """Wait until there is room for a record, which has it within the block.

    Args:
        size: Its bytes. Short ones are not counted, and never wait.
    """
    held = Held(_rooms.setdefault(asyncio.get_running_loop(), ReplyRoom(ROOM_BYTES)))
    try:
        if size > LONG_BYTES:
            await held.more(size)
        yield
    finally:
        held.ends()


# A forked child has another loop, and all of its room.
_rooms: Final = WeakKeyDictionary[asyncio.AbstractEventLoop, ReplyRoom]()
