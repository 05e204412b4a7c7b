"""A request and its reply on one of aiohttp's connections, with nothing that a row has no use for.

aiohttp's own `ClientSession.post` makes some sixty objects for a request, and a task to write it:
for cookies, redirects, uploads, traces. A row has none of these, and every row has the same head.
So the head is made once, by aiohttp, and what follows is one write and one read on a connection
that aiohttp opened and closes: addresses, TLS and the parsing of replies stay with it. Between two
requests a connection is kept here. Importing this imports aiohttp.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakSet

import aiohttp

from lionproc.engine.turn import turn_of
from lionproc.errors import CallError, Kind
from lionproc.model.credentials import Secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import yarl
    from aiohttp.connector import Connection

    from lionproc.model.connector import IsReadable, QuietConnector

    Reader = Callable[[int, Mapping[str, str], aiohttp.StreamReader], Awaitable[bytes]]

__all__ = ["IS_KNOWN", "Exchange", "all_of"]

IS_KNOWN: Final = aiohttp.__version__.startswith("3.14.")
"""Whether the connections of this aiohttp are known to work like this. Else its own post is used."""
SWITCHING = 101  # the one status below 200 that no other follows
MOST_BEFORE = 1000  # with such a status; without an end of them no other row gets its turn
KEPT_S = 15.0  # as long as aiohttp keeps a connection that nobody uses
MOST_KEEPING = 64  # runs that keep connections; where there are more, the others close theirs


def all_of(content: aiohttp.StreamReader) -> bytes:
    """The whole of a body that has come."""
    if type(content) is aiohttp.StreamReader and IS_KNOWN and content.exception() is None:
        held: deque[bytes] = content._buffer
        # Where it came in one piece, aiohttp has nothing to do but to hand it over.
        if len(held) == 1 and not content._protocol._reading_paused:
            return held.popleft()
    return content.read_nowait()


class _Kept(NamedTuple):
    """A connection between two requests, and since when, by the loop's clock."""

    connection: Connection
    is_readable: IsReadable
    since: float


class Exchange:
    """Posts to one address, again and again. Lives on one loop.

    Args:
        session: Whose connections are used.
        connector: That of the session.
        url: The address.
        headers: Sent with every request.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        connector: QuietConnector,
        url: yarl.URL,
        headers: Mapping[str, str],
    ) -> None:
        self._timeout = session.timeout
        self._connector = connector
        self._loop = asyncio.get_running_loop()
        self._turn = turn_of(self._loop)
        self._kept: deque[_Kept] = deque()  # the one that waits for the longest time is the first
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        # It is never sent: the connector asks it where to connect, and the head is taken from it.
        request = aiohttp.ClientRequest(
            "POST", url, headers=headers, loop=self._loop, session=session
        )
        self._request = Secret(request)
        self._head = Secret(_head(url, request.headers))

    async def post(self, body: bytes, read: Reader) -> tuple[int, Mapping[str, str], bytes]:
        """Send a body, and read the reply.

        Args:
            body: Of a length that need not be sent in pieces.
            read: Reads all of the reply's body, by its status and headers.

        Returns:
            The status, the headers and the body of the reply.
        """
        at_hand = self._at_hand()
        connection, is_readable = await self._connection() if at_hand is None else at_hand
        try:
            protocol: Any = connection.protocol
            transport = _open(protocol.transport)
            protocol.set_response_params(read_until_eof=True, auto_decompress=False)
            request = b"%b%d\r\n\r\n%b" % (self._head.reveal(), len(body), body)
            self._turn.leave(transport, request)
            message, content = await protocol.read()
            if _says_to_wait(message.code):
                message, content = await _waited_for(protocol)
            came = await read(message.code, message.headers, content)
        except BaseException:
            connection.close()
            raise
        if protocol.should_close or self._is_closed:
            connection.release()
        else:
            self._keep(connection, is_readable)
        return message.code, message.headers, came

    def _at_hand(self) -> tuple[Connection, IsReadable] | None:
        """A connection that was kept, if it is quiet without doubt."""
        if self._kept and self._connector.is_quiet:
            connection, is_readable, _ = self._kept[0]
            protocol: Any = connection.protocol
            if protocol.is_connected() and not protocol.should_close and not is_readable():
                self._kept.popleft()
                return connection, is_readable
        return None

    async def _connection(self) -> tuple[Connection, IsReadable]:
        """One that was kept and turns out to be quiet, or a new one."""
        connector = self._connector
        while self._kept:
            connection, is_readable, _ = self._kept.popleft()
            if await connector.may_be_used(connection, is_readable):
                return connection, is_readable
        try:
            connection = await connector.connect(self._request.reveal(), [], self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error
        return connection, connector.watch_of(connection)

    def _keep(self, connection: Connection, is_readable: IsReadable) -> None:
        if self._timer is None:  # then it keeps none
            if len(_keeping) >= MOST_KEEPING:
                connection.close()  # each is an open file, and runs of a row may come by the thousand
                return
            _keeping.add(self)
            self._timer = self._loop.call_later(KEPT_S, self._close_old)
        self._kept.append(_Kept(connection, is_readable, self._loop.time()))

    def _close_old(self) -> None:
        """Close the connections that nobody used for some time."""
        self._timer = None
        old = self._loop.time() - KEPT_S
        while self._kept and self._kept[0].since <= old:
            self._kept.popleft().connection.close()
        if self._kept:
            self._timer = self._loop.call_at(self._kept[0].since + KEPT_S, self._close_old)
        else:
            _keeping.discard(self)

    def lend(self) -> None:
        """Let the session use one of the connections that are kept here."""
        if self._kept:
            self._kept.popleft().connection.release()

    def close(self) -> None:
        """Close the connections that are kept, and keep none any more."""
        self._is_closed = True
        _keeping.discard(self)
        while self._kept:
            self._kept.popleft().connection.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_keeping: Final = WeakSet[Exchange]()


def _says_to_wait(status: int) -> bool:
    return 100 <= status < 200 and status != SWITCHING


async def _waited_for(protocol: Any) -> tuple[Any, aiohttp.StreamReader]:
    """The reply, after one that said to wait for it."""
    for _ in range(MOST_BEFORE):
        message, content = await protocol.read()
        if not _says_to_wait(message.code):
            return message, content
    why = f"{MOST_BEFORE:,} replies came that say to wait (1xx), and not the one to wait for."
    raise CallError(Kind.BAD_REPLY, why)


def _open(transport: asyncio.Transport | None) -> asyncio.Transport:
    """The transport, if it was not closed since it was given out."""
    if transport is None or transport.is_closing():
        raise aiohttp.ClientConnectionResetError("It was closed before it was used.")
    return transport


def _head(url: yarl.URL, headers: Mapping[str, str]) -> bytes:
    """All that comes before the number of bytes of a body."""
    lines = [f"POST {url.raw_path_qs} HTTP/1.1"]
    lines += (f"{name}: {text}" for name, text in headers.items() if name != "Content-Length")
    if any(mark in line for line in lines for mark in "\r\n\0"):
        raise ValueError("A header has a line break in it.")
    return "\r\n".join([*lines, "Content-Length: "]).encode()
