"""The wire of nearly everybody: straight over aiohttp. Importing this imports aiohttp."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
import yarl

from lionproc.errors import CallError, Kind
from lionproc.model.environment import certificates, proxy_for
from lionproc.model.wire import MAX_REPLY_BYTES, Response, broken, timed_out, too_long, way_to

CONNECT_TIMEOUT_S = 10.0
CONTENT_ENCODING = "Content-Encoding"
CONTENT_LENGTH = "Content-Length"
LONGEST_LENGTH = len(str(MAX_REPLY_BYTES)) - 1  # digits of a body that is surely not too long


class DirectWire:
    """Straight over aiohttp.

    Args:
        url: Where to post to.
        headers: Sent with every request.
        timeout_s: Seconds for one attempt, from its start to the last byte of the reply.
        proxies: Whether proxies of the environment are used.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], timeout_s: float, *, proxies: bool = True
    ) -> None:
        self.url = url
        self.timeout_s = timeout_s
        self._proxy = proxy_for(url) if proxies else None
        # aiohttp sends a session's headers to a proxy too, and the key is not for the proxy.
        self._headers = {} if self._proxy else dict(headers)
        self._each = dict(headers) if self._proxy else None
        self._session: aiohttp.ClientSession | None = None
        self._address = yarl.URL(url)
        self._way = way_to(url, self._proxy)

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, ssl=certificates(self.url))
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            # The total covers the last byte too, so a trickle does not outlive it.
            timeout=aiohttp.ClientTimeout(total=self.timeout_s, sock_connect=CONNECT_TIMEOUT_S),
        )
        return self._session

    async def post(self, body: bytes) -> Response:
        """See `Wire.post`."""
        session = self._session or self._open()
        try:
            async with session.post(
                self._address,
                data=body,
                headers=self._each,
                allow_redirects=False,
                proxy=self._proxy,
            ) as reply:
                headers = reply.headers
                length = headers.get(CONTENT_LENGTH, "")
                if len(length) > LONGEST_LENGTH or not length or CONTENT_ENCODING in headers:
                    return Response(reply.status, headers, await _bounded(reply))
                return Response(reply.status, headers, await reply.read())
        except aiohttp.ConnectionTimeoutError as error:  # nothing was sent yet
            raise broken(error, self._way) from None
        except TimeoutError:
            raise timed_out(self.timeout_s) from None
        except aiohttp.ClientPayloadError:
            raise CallError(Kind.CONNECTION, "The reply broke off or cannot be decoded.") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise broken(error, self._way) from None

    async def close(self) -> None:
        """See `Wire.close`."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


async def _bounded(reply: aiohttp.ClientResponse) -> bytes:
    """The body, as long as it is no longer than a reply can sensibly be."""
    length = reply.content_length
    chunks: list[bytes] = []
    size = 0
    if length is None or length <= MAX_REPLY_BYTES:
        async for chunk in reply.content.iter_any():
            size += len(chunk)
            if size > MAX_REPLY_BYTES:
                break
            chunks.append(chunk)
        else:
            return b"".join(chunks)
    reply.close()
    raise too_long()
