"""Connections that are used again only while nothing came on them unasked. Imports aiohttp.

A connection that is kept open has no numbers on its replies: the next one that arrives is taken for
the answer to the next question. A proxy that sends a reply twice, or one after it gave up, would so
hand each row the answer of the row before it, from then on. What arrives while nobody has asked is
therefore the end of a connection, as urllib3 and httpcore have it.
"""

from __future__ import annotations

import asyncio
import logging
import select
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

import aiohttp

if TYPE_CHECKING:
    from aiohttp.connector import Connection

__all__ = ["IsReadable", "QuietConnector"]

log = logging.getLogger("lionproc")
IsReadable: TypeAlias = Callable[[], object]  # something if it is


class QuietConnector(aiohttp.TCPConnector):
    """A `TCPConnector` that gives out an open connection only if it was quiet since its reply.

    Once anything came unasked, each request has a connection of its own: the next such reply may
    come while another one is awaited, and then nobody can tell them apart.

    Attributes:
        is_quiet: Whether nothing ever came unasked.
    """

    _used: WeakKeyDictionary[Any, IsReadable] | None = None
    is_quiet = True

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        """A connection that was quiet, or a new one."""
        if self._used is None:
            self._used = WeakKeyDictionary()
        while True:
            connection = await super().connect(*args, **kwargs)
            is_readable = self._used.get(connection.protocol)
            if is_readable is None:  # it is new
                self._used[connection.protocol] = _watch(connection.transport)
                return connection
            if await self.may_be_used(connection, is_readable):
                return connection

    def watch_of(self, connection: Connection) -> IsReadable:
        """What tells whether bytes, or the end, wait in a connection that `connect` gave."""
        assert self._used is not None  # noqa: S101  (it gave one)
        return self._used[connection.protocol]

    async def may_be_used(self, connection: Connection, is_readable: IsReadable) -> bool:
        """Whether a connection was quiet since its reply. Otherwise it is closed."""
        may_be_used = False
        try:
            may_be_used = self.is_quiet and not await self._has_spoken(connection, is_readable)
        finally:
            if not may_be_used:
                connection.close()
        return may_be_used

    async def _has_spoken(self, connection: Connection, is_readable: IsReadable) -> bool:
        """Whether something came since the last reply: a reply, or the end."""
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None:
            return True
        waits = is_readable()
        if waits:
            for _ in range(2):  # the loop looks at its sockets, and reads
                await asyncio.sleep(0)
        if protocol.should_close and not transport.is_closing():
            self.is_quiet = False
            log.warning("a server sent a reply that nobody had asked for")
        return bool(waits or protocol.should_close)


def _watch(transport: asyncio.Transport | None) -> IsReadable:
    """What tells whether bytes, or the end, wait in a socket. It never blocks."""
    socket = None if transport is None else transport.get_extra_info("socket")
    if socket is None or socket.fileno() < 0:
        return lambda: None
    if not hasattr(select, "poll"):  # Windows, where select() has no bound of numbers
        return lambda: select.select([socket], [], [], 0)[0]
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return partial(poll.poll, 0)
