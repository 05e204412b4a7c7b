"""Pools of httpcore that give the bodies of replies decompressed, and no longer than a reply can be.

A transport of the user's own may read the whole body before anybody else sees it, to write it down
or to look at it, and httpx would decompress it there without an end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from lionproc.model.content_type import plain_type
from lionproc.model.reading import bounded

__all__ = ["IS_BOUNDED", "Body", "keep_bounded"]

IS_BOUNDED = "lionproc_bounded"
"""Among the extensions of a response of which the body is bounded already."""
_OF_THE_PACKED = (b"content-encoding", b"content-length")


class Body:
    """The body of a reply, decompressed, as long as a reply can be.

    Args:
        inner: The body as it arrives.
        encoding: Its `Content-Encoding`.
        status: The status that it came with.
    """

    def __init__(self, inner: Any, encoding: str, status: int) -> None:
        self._inner = inner
        self._encoding = encoding
        self._status = status

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in bounded(aiter(self._inner), self._encoding, self._status):
            yield piece

    async def aclose(self) -> None:
        """Close it."""
        await self._inner.aclose()


def keep_bounded(pool: Any) -> None:
    """Have a pool bound the bodies of all replies, whoever reads them.

    Args:
        pool: An async pool of httpcore.
    """
    handle = pool.handle_async_request

    async def handle_async_request(request: Any) -> Any:
        response = await handle(request)
        encodings = [
            value.decode("latin-1")
            for name, value in response.headers
            if name.lower() == b"content-encoding"
        ]
        response.headers = [
            (name, _plain(value) if name.lower() == b"content-type" else value)
            for name, value in response.headers
            if name.lower() not in _OF_THE_PACKED
        ]
        response.stream = Body(response.stream, ", ".join(encodings), response.status)
        response.extensions[IS_BOUNDED] = True
        return response

    pool.handle_async_request = handle_async_request


def _plain(content_type: bytes) -> bytes:
    return plain_type(content_type.decode("latin-1")).encode("latin-1")
