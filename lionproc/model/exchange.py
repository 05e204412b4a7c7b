"""A request and its reply on one of aiohttp's connections, with nothing that a row has no use for.

aiohttp's own `ClientSession.post` makes some sixty objects for a request, and a task to write it:
for cookies, redirects, uploads, traces. A row has none of these, and every row has the same head.
So the head is made once, by aiohttp, and what follows is one write and one read on a connection
that aiohttp opened, keeps and closes: addresses, TLS and the parsing of replies stay with it.
Importing this imports aiohttp.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp

from lionproc.model.credentials import Secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import yarl

    Reader = Callable[[Mapping[str, str], aiohttp.StreamReader], Awaitable[bytes]]

__all__ = ["Exchange", "is_known"]

# Versions whose connections are known to work like this. With any other its own post is used.
_KNOWN = ("3.14.",)
SWITCHING = 101  # the one status below 200 that no other follows


def is_known() -> bool:
    """Whether the connections of this aiohttp are known."""
    return aiohttp.__version__.startswith(_KNOWN)


class Exchange:
    """Posts to one address, again and again. Lives on one loop.

    Args:
        session: Whose connections are used.
        url: The address.
        headers: Sent with every request.
    """

    def __init__(
        self, session: aiohttp.ClientSession, url: yarl.URL, headers: Mapping[str, str]
    ) -> None:
        self._timeout = session.timeout
        self._connector: Any = session.connector
        # It is never sent: the connector asks it where to connect, and the head is taken from it.
        request = aiohttp.ClientRequest(
            "POST", url, headers=headers, loop=asyncio.get_running_loop(), session=session
        )
        self._request = Secret(request)
        self._head = Secret(_head(url, request.headers))

    async def post(self, body: bytes, read: Reader) -> tuple[int, Mapping[str, str], bytes]:
        """Send a body, and read the reply.

        Args:
            body: Of a length that need not be sent in pieces.
            read: Reads all of the reply's body.

        Returns:
            The status, the headers and the body of the reply.
        """
        try:
            connection = await self._connector.connect(self._request.reveal(), [], self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error
        try:
            protocol, transport = connection.protocol, _open(connection.transport)
            protocol.set_response_params(read_until_eof=True, auto_decompress=False)
            transport.write(b"%b%d\r\n\r\n%b" % (self._head.reveal(), len(body), body))
            message, content = await protocol.read()
            while 100 <= message.code < 200 and message.code != SWITCHING:
                message, content = await protocol.read()
            came = await read(message.headers, content)
        except BaseException:
            connection.close()
            raise
        connection.release()
        return message.code, message.headers, came


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
