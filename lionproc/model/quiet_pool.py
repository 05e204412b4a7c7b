"""Pools of httpcore whose connections are used again only while nothing came on them unasked.

The same promise as that of `connector`, for clients of the user's own. httpcore looks whether bytes
wait in the socket, and not at those that it has read together with the reply before: a proxy that
sends a reply twice would hand each row the answer of the row before it, from then on.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

__all__ = ["keep_quiet"]

log = logging.getLogger("lionproc")


class _Heard:
    """What a pool has heard: `is_quiet` until anything came unasked on one of its connections."""

    is_quiet = True


def keep_quiet(pool: Any) -> None:
    """Have a pool close each connection on which anything came that nobody had asked for.

    From then on each request has a connection of its own, as with `QuietConnector`.

    Args:
        pool: An async pool of httpcore without connections.
    """
    create: Callable[[Any], Any] = pool.create_connection
    heard = _Heard()

    def create_connection(origin: object) -> Any:
        connection = create(origin)
        handle = connection.handle_async_request

        async def handle_async_request(request: Any) -> Any:
            if not heard.is_quiet:
                others = [each for each in request.headers if each[0].lower() != b"connection"]
                request.headers = [*others, (b"Connection", b"close")]
            response = await handle(request)
            response.stream = _Watched(response, heard)
            return response

        connection.handle_async_request = handle_async_request
        return connection

    pool.create_connection = create_connection


class _Watched:
    """The body of a reply; when it is closed, what came behind it ends the connection."""

    def __init__(self, response: Any, heard: _Heard) -> None:
        self._inner = response.stream
        self._network = response.extensions.get("network_stream")
        self._heard = heard

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._inner:
            yield piece

    async def aclose(self) -> None:
        """Close it, and the connection too where somebody spoke unasked."""
        state = getattr(getattr(self._inner, "_connection", None), "_h11_state", None)
        if state is not None and state.our_state is state.their_state:  # both are done
            behind = state.trailing_data[0]
            if behind.strip():
                if self._heard.is_quiet:
                    log.warning("a server sent a reply that nobody had asked for")
                self._heard.is_quiet = False
            if behind or _waits(self._network):
                state.send_failed()  # so that it is closed and not used again
        await self._inner.aclose()


def _waits(network: Any) -> bool:
    """Whether bytes, or the end, wait in a connection, on their way through TLS too."""
    if network is None or network.get_extra_info("is_readable"):
        return True
    tls = network.get_extra_info("ssl_object")
    arrived = getattr(getattr(network, "_stream", None), "_read_bio", None)
    return tls is not None and bool(tls.pending() or (arrived is not None and arrived.pending))
