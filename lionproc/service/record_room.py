"""How much memory the records take together that are read to be worked on.

A record may be long, and takes several times its length until its request has ended. Many requests
go on at once, so the records of those that are resumed are counted, as long replies are: when there
is too much of them the next one waits until another has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakKeyDictionary

from lionproc.engine.reply_room import LONG_BYTES, Held, ReplyRoom
from lionproc.model.as_json import to_json
from lionproc.model.call import SCHEMA_TIMES
from lionproc.service.builders import LONG_SCHEMA

__all__ = ["Room", "room_for"]

ROOM_BYTES: Final = 64 * 2**20  # of all services of the process; one more may always be read


class Room:
    """What one record has of the room.

    Args:
        held: Counts it.
    """

    def __init__(self, held: Held) -> None:
        self._held = held

    async def for_schema(self, schema: object) -> None:
        """Wait until there is room for what is made of the schema in the record.

        Args:
            schema: As the record has it; a short one is not counted.
        """
        length = len(to_json(schema)) if isinstance(schema, Mapping) else 0
        if length > LONG_SCHEMA:
            await self._held.more(SCHEMA_TIMES * length)


@asynccontextmanager
async def room_for(size: int) -> AsyncIterator[Room]:
    """Wait until there is room for a record, which has it within the block.

    Args:
        size: Its bytes. Short ones are not counted, and never wait.
    """
    held = Held(_rooms.setdefault(asyncio.get_running_loop(), ReplyRoom(ROOM_BYTES)))
    try:
        if size > LONG_BYTES:
            await held.more(size)
        yield Room(held)
    finally:
        held.ends()


# A forked child has another loop, and all of its room.
_rooms: Final = WeakKeyDictionary[asyncio.AbstractEventLoop, ReplyRoom]()
