"""HTTP/1.1 as the test server speaks it: connections, and replies onto the wire.

Only what clients of an API need: keep-alive, and every way of delivering a reply badly. One request at a time per connection; what is pipelined waits its turn.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol, cast

from lionproc.testing.request_parser import LARGEST_HEAD, Chunks, MalformedError, Request, parse

__all__ = ["Connection", "Reply"]

PIECE = b"x" * 65536
REASONS = {status.value: status.phrase for status in HTTPStatus} | {529: "Overloaded"}
JSON_HEAD = {
    status: f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\n".encode()
    for status, reason in REASONS.items()
}


class Reply:
    """One reply, and how it is to travel.

    Args:
        status: HTTP status.
        body: The body, or its beginning for "huge".
        headers: Headers beyond length and type; a content-type here replaces JSON.
        delivery: "plain", or a fault: "reset", "close", "half", "trickle", "hang", "huge",
            "chunked".
        interval_s: Seconds between the bytes of "trickle".
        size: Bytes of filling for "huge".
        tail: The end of "huge", after the filling.
    """

    __slots__ = ("body", "delivery", "headers", "interval_s", "size", "status", "tail")

    def __init__(
        self,
        status: int,
        body: bytes,
        headers: tuple[tuple[str, str], ...] = (),
        *,
        delivery: str = "plain",
        interval_s: float = 0.2,
        size: int = 0,
        tail: bytes = b"",
    ) -> None:
        self.status, self.body, self.headers = status, body, headers
        self.delivery, self.interval_s, self.size, self.tail = delivery, interval_s, size, tail

    def head(self, length: int | None = None) -> bytes:
        """The bytes before the body.

        Args:
            length: The content-length to claim, None for a body in chunks.
        """
        start = JSON_HEAD[self.status]
        if any(name == "content-type" for name, _ in self.headers):
            start = start[: start.index(b"\r\n") + 2]
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
        return start + f"{lines}{framing}\r\n\r\n".encode()


class Application(Protocol):
    """Who answers the requests of all connections."""

    def opened(self, connection: Connection) -> None:
        """A client connected."""

    def closed(self, connection: Connection, exchange: Any | None) -> None:
        """A client is gone; `exchange` is what it was still waiting for."""

    def begin(self, connection: Connection, request: Request) -> Any:
        """A request came in; the result stands for it from here on."""

    def answer(self, exchange: Any) -> None:
        """See to it that `connection.send` is called once, now or later."""

    def sent(self, exchange: Any, status: int | None) -> None:
        """The reply has left whole (None: it was broken off on purpose)."""


class Connection(asyncio.Protocol):
    """One client's connection.

    Args:
        application: Who answers.
        loop: The server's event loop.
    """

    __slots__ = (
        "_application",
        "_buffer",
        "_chunks",
        "_continued",
        "_exchange",
        "_is_full",
        "_last",
        "_loop",
        "_needed",
        "_timer",
        "_writable",
        "private",
        "transport",
    )

    def __init__(self, application: Application, loop: asyncio.AbstractEventLoop) -> None:
        self._application, self._loop = application, loop
        self._buffer, self._needed = bytearray(), 0
        self._chunks = Chunks()
        self._exchange: Any | None = None
        self._continued = self._last = False
        self._is_full = False  # of replies that the client has not read
        self.private = False  # the control connection is not counted
        self._timer: asyncio.TimerHandle | None = None
        self._writable: Callable[[], None] | None = None
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self.transport = cast(asyncio.Transport, transport)
        self._application.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        del exc  # how the client left is its business
        if self._timer is not None:
            self._timer.cancel()
        exchange, self._exchange = self._exchange, None
        self._application.closed(self, exchange)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._buffer += data
        if self._exchange is None:
            self._next()
        elif (
            len(self._buffer) > LARGEST_HEAD
        ):  # what comes next is read when this one has its reply
            self.transport.pause_reading()

    def pause_writing(self) -> None:
        """Called by the loop when the client does not read what was written."""
        self._is_full = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Called by the loop when the client has read what was written."""
        self._is_full = False
        self.transport.resume_reading()
        if self._writable is not None:
            self._writable()
        elif self._buffer:
            self._loop.call_soon(self._resume)

    def _next(self) -> None:
        if len(self._buffer) < self._needed:
            return
        try:
            request, used = parse(self._buffer, self._chunks)
        except MalformedError as error:
            reply = Reply(error.status, f'{{"error":{{"message":"{error}"}}}}'.encode())
            self.transport.write(reply.head(len(reply.body)) + reply.body)
            self.transport.close()
            return
        if request is None:
            self._needed = used
            if not self._continued and b"100-continue" in self._buffer[:LARGEST_HEAD].lower():
                self._continued = True
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        del self._buffer[:used]
        self._chunks, self._needed, self._continued = Chunks(), 0, False
        self._last = request.header(b"connection").lower() == "close"
        self._exchange = self._application.begin(self, request)
        self._application.answer(self._exchange)

    def send(self, exchange: Any, reply: Reply) -> None:
        """Answer the request that is waiting; to a client that is gone, nothing happens.

        Args:
            exchange: What `Application.begin` returned for it.
            reply: What to say, and how.
        """
        if self._exchange is not exchange or self.transport.is_closing():
            return
        match reply.delivery:
            case "plain":
                self.transport.write(reply.head(len(reply.body)) + reply.body)
                self._finish(reply.status)
            case "chunked":
                self._send_chunked(reply)
            case "trickle":
                self.transport.write(reply.head(len(reply.body)))
                self._trickle(reply, 0)
            case "huge":
                self.transport.write(
                    reply.head(len(reply.body) + reply.size + len(reply.tail)) + reply.body
                )
                self._pour(reply, reply.size)
            case "hang":
                pass  # until the client goes
            case "reset":
                self._break_off()
                sock = self.transport.get_extra_info("socket")
                # a linger of zero makes the kernel send RST instead of FIN
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.transport.abort()
            case "half":
                self._break_off()
                body = reply.body
                self.transport.write(reply.head(len(body)) + body[: len(body) // 2])
                self.transport.close()
            case _:
                self._break_off()
                self.transport.close()

    def _finish(self, status: int) -> None:
        exchange, self._exchange = self._exchange, None
        self._application.sent(exchange, status)
        if self._last:
            self.transport.close()
        elif self._buffer:
            if not (self._is_full or self.transport.is_closing()):
                self.transport.resume_reading()
            # not at once: a pipelining client must not make the stack deep
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        if self._exchange is None and not self._is_full and not self.transport.is_closing():
            self._next()

    def _break_off(self) -> None:
        exchange, self._exchange = self._exchange, None
        self._application.sent(exchange, None)

    def _send_chunked(self, reply: Reply) -> None:
        body, size = reply.body, max(len(reply.body) // 3, 1)
        parts = [body[at : at + size] for at in range(0, len(body), size)]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        self.transport.write(reply.head(None) + framed + b"0\r\n\r\n")
        self._finish(reply.status)

    def _trickle(self, reply: Reply, at: int) -> None:
        self.transport.write(reply.body[at : at + 1])
        if at + 1 >= len(reply.body):
            self._timer = None
            self._finish(reply.status)
        else:
            self._timer = self._loop.call_later(reply.interval_s, self._trickle, reply, at + 1)

    def _pour(self, reply: Reply, left: int) -> None:
        """Write filling as fast as the client reads it, a piece at a time."""
        self._writable = None
        while left > 0:
            piece = PIECE[: min(left, len(PIECE))]
            self.transport.write(piece)
            left -= len(piece)
            if self.transport.is_closing():
                return
            if self.transport.get_write_buffer_size() > 0:
                self.transport.set_write_buffer_limits(high=0)
                self._writable = partial(self._pour, reply, left)
                return
        self.transport.write(reply.tail)
        self._finish(reply.status)
