"""The wire of nearly everybody: straight over aiohttp. Importing this imports aiohttp."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
import yarl

from lionproc.errors import CallError, Kind
from lionproc.model.connector import QuietConnector
from lionproc.model.credentials import Secret, redact, secrets_in, secrets_of_proxy
from lionproc.model.environment import certificates, proxy_for
from lionproc.model.patience import within
from lionproc.model.reading import ACCEPT_ENCODING, PIECE_BYTES, bounded
from lionproc.model.wire import MAX_REPLY_BYTES, Response, broken, timed_out, way_to

CONNECT_TIMEOUT_S = 10.0
CONTENT_ENCODING = "Content-Encoding"
CONTENT_LENGTH = "Content-Length"
LONGEST_LENGTH = len(str(MAX_REPLY_BYTES)) - 1  # digits of a body that is surely not too long


class _LargeBody(aiohttp.payload.Payload):
    """A body that is handed to the socket piece by piece, as it takes them, and never copied."""

    _size: int

    def __init__(self, body: bytes) -> None:
        super().__init__(body, content_type="application/json")
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text."""
        return str(self._value, encoding, errors)

    async def write(self, writer: aiohttp.abc.AbstractStreamWriter) -> None:
        """Hand it over."""
        view = memoryview(self._value)
        for start in range(0, len(view), PIECE_BYTES):
            await writer.write(view[start : start + PIECE_BYTES])


class DirectWire:
    """Straight over aiohttp.

    Args:
        url: Where to post to.
        headers: Sent with every request.
        timeout_s: Seconds for one attempt, from its start to the last byte of the reply.
        proxies: Whether proxies of the environment are used.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        timeout_s: float,
        *,
        proxies: bool = True,
    ) -> None:
        self.timeout_s = timeout_s
        proxy = proxy_for(url) if proxies else None
        self._url = Secret(yarl.URL(url))
        self._headers = Secret(headers)
        self._secrets = Secret((*secrets_in(headers, url), *secrets_of_proxy(proxy)))
        self._proxy = Secret(proxy)
        # aiohttp sends a session's headers to a proxy too, and the key is not for the proxy.
        self._each = Secret(headers if proxy else None)
        self._session: aiohttp.ClientSession | None = None
        self._way = way_to(url, proxy)

    def _open(self) -> aiohttp.ClientSession:
        connector = QuietConnector(limit=0, ssl=certificates(str(self._url.reveal())))
        headers = {} if self._proxy.reveal() else self._headers.reveal()
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={**headers, "Accept-Encoding": ACCEPT_ENCODING},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # The whole, to the last byte, is bounded in `post`.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        )
        return self._session

    async def post(self, body: bytes) -> Response:
        """See `Wire.post`."""
        session = self._session or self._open()
        try:
            async with (
                within(self.timeout_s),
                session.post(
                    self._url.reveal(),
                    data=body if len(body) <= PIECE_BYTES else _LargeBody(body),
                    headers=self._each.reveal(),
                    allow_redirects=False,
                    proxy=self._proxy.reveal(),
                ) as reply,
            ):
                came = await _whole(reply)
                return Response(reply.status, reply.headers, redact(came, self._secrets.reveal()))
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise broken(error, self._way, arrived=False) from None
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


async def _whole(reply: aiohttp.ClientResponse) -> bytes:
    headers = reply.headers
    length = headers.get(CONTENT_LENGTH, "")
    encoding = headers.get(CONTENT_ENCODING, "")
    if length and len(length) <= LONGEST_LENGTH and not encoding:
        return await reply.read()
    try:
        return b"".join([piece async for piece in bounded(reply.content.iter_any(), encoding)])
    except CallError:
        reply.close()  # the rest of it is not wanted
        raise
