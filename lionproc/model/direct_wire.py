"""The wire of nearly everybody: straight over aiohttp. Importing this imports aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp
import yarl
from aiohttp.http import HttpProcessingError

from lionproc.engine.reply_room import LONG_BYTES
from lionproc.engine.turn import turn_of
from lionproc.errors import CallError, Kind
from lionproc.model.connector import QuietConnector
from lionproc.model.credentials import Secret, hidden
from lionproc.model.environment import certificates, proxy_for
from lionproc.model.exchange import IS_KNOWN, Exchange, all_of
from lionproc.model.patience import Patience
from lionproc.model.reading import ACCEPT_ENCODING, PIECE_BYTES, bounded
from lionproc.model.refusal import CHECK_WAY, NO_HTTP
from lionproc.model.sent_secrets import secrets_in, secrets_of_proxy
from lionproc.model.wire import Response, broken, timed_out, way_to

CONNECT_TIMEOUT_S = 10.0
CONTENT_ENCODING = "Content-Encoding"
CONTENT_LENGTH = "Content-Length"
LONGEST_LENGTH = len(str(LONG_BYTES)) - 1  # digits of a body that is surely not long


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
        self._patience = Patience(timeout_s)
        proxy = proxy_for(url) if proxies else None
        self._url = Secret(yarl.URL(url))
        self._headers = Secret(headers)
        self.secrets = Secret((*secrets_in(headers, url), *secrets_of_proxy(proxy)))
        self._proxy = Secret(proxy)
        # aiohttp sends a session's headers to a proxy too, and the key is not for the proxy.
        self._each = Secret(headers if proxy else None)
        self._session: aiohttp.ClientSession | None = None
        self._exchange: Exchange | None = None
        self._way = way_to(url, proxy)

    def _open(self) -> aiohttp.ClientSession:
        connector = QuietConnector(limit=0, ssl=certificates(str(self._url.reveal())))
        headers = {} if self._proxy.reveal() else self._headers.reveal()
        headers = {**headers, "Accept-Encoding": ACCEPT_ENCODING}
        session = self._session = aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # The whole, to the last byte, is bounded in `post`.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        )
        if IS_KNOWN and self._proxy.reveal() is None:
            self._exchange = Exchange(session, connector, self._url.reveal(), headers)
        return session

    async def post(self, body: bytes) -> Response:
        """See `Wire.post`."""
        try:
            session = self._session or self._open()
            with self._patience.attempt():
                if self._exchange is None or len(body) > PIECE_BYTES:
                    status, headers, came = await self._post(session, body)
                else:
                    status, headers, came = await self._exchange.post(body, _whole)
                return Response(status, headers, hidden(status, came, self.secrets.reveal()))
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise broken(error, self._way, arrived=False) from None
        except TimeoutError:
            raise timed_out(self.timeout_s) from None
        except aiohttp.ClientPayloadError:
            raise CallError(Kind.CONNECTION, "The reply broke off or cannot be decoded.") from None
        except (HttpProcessingError, aiohttp.ClientResponseError) as error:
            if isinstance(error, aiohttp.ClientHttpProxyError):
                raise broken(error, self._way) from None
            raise CallError(
                Kind.CONNECTION, f"{type(error).__name__}: {NO_HTTP}", hint=CHECK_WAY
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise broken(error, self._way) from None

    async def _post(
        self, session: aiohttp.ClientSession, body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        if self._exchange is not None:
            self._exchange.lend()
        turn_of(asyncio.get_running_loop()).noted()
        async with session.post(
            self._url.reveal(),
            data=body if len(body) <= PIECE_BYTES else _LargeBody(body),
            headers=self._each.reveal(),
            allow_redirects=False,
            proxy=self._proxy.reveal(),
        ) as reply:
            try:
                came = await _whole(reply.status, reply.headers, reply.content)
            except CallError:
                reply.close()  # the rest of it is not wanted
                raise
            return reply.status, reply.headers, came

    async def close(self) -> None:
        """See `Wire.close`."""
        session, self._session = self._session, None
        exchange, self._exchange = self._exchange, None
        self._patience.close()
        if exchange is not None:
            exchange.close()
        if session is not None:
            await session.close()


async def _whole(status: int, headers: Mapping[str, str], content: aiohttp.StreamReader) -> bytes:
    length = headers.get(CONTENT_LENGTH, "")
    encoding = headers.get(CONTENT_ENCODING, "")
    if length and len(length) <= LONGEST_LENGTH and not encoding:
        # Most replies come in one piece.
        return all_of(content) if content.is_eof() else await content.read()
    return b"".join([piece async for piece in bounded(content.iter_any(), encoding, status)])
