"""Bytes out, bytes in: one small protocol, two ways to speak it.

`DirectWire` sends over aiohttp with what the openai client publicly knows (address, headers,
timeout) at a tenth of the cost of its typed methods. `ClientWire` goes through `client.post`
where the client knows something we must not guess at: Azure, a custom `http_client`, keys that
are renewed. Both behave alike, and neither retries or follows redirects.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from lionproc.errors import CallError, Kind

if TYPE_CHECKING:
    import ssl

    import aiohttp
    import openai
    import yarl

MAX_REPLY_BYTES = 16 * 1024 * 1024
CONNECT_TIMEOUT_S = 10.0
PATH = "/chat/completions"
CONTENT_ENCODING = "Content-Encoding"


class Response(NamedTuple):
    """A whole HTTP reply; its headers are looked up without regard to case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire(Protocol):
    """A way to one address. Lives on the engine's loop."""

    async def post(self, body: bytes) -> Response:
        """Send a JSON body and wait for the whole reply.

        Raises:
            CallError: Of kind `connection`, `timeout` or `bad_reply`; no reply came back.
        """

    async def close(self) -> None:
        """Close the connections."""


class DirectWire:
    """Straight over aiohttp.

    Args:
        url: Where to post to.
        headers: Sent with every request.
        timeout_s: Seconds for one attempt, from its start to the last byte of the reply.
    """

    def __init__(self, url: str, headers: Mapping[str, str], timeout_s: float) -> None:
        self.url = url
        self.timeout_s = timeout_s
        self._headers = dict(headers)
        self._proxy = proxy_for(url)
        self._session: aiohttp.ClientSession | None = None
        self._address: yarl.URL | str = url

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp
        import yarl

        self._address = yarl.URL(self.url)
        connector = aiohttp.TCPConnector(limit=0, ssl=_certificates(self.url))
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
        import aiohttp

        session = self._session or self._open()
        try:
            async with session.post(
                self._address, data=body, allow_redirects=False, proxy=self._proxy
            ) as reply:
                headers = reply.headers
                length = reply.content_length
                if length is None or length > MAX_REPLY_BYTES or CONTENT_ENCODING in headers:
                    return Response(reply.status, headers, await _bounded(reply))
                return Response(reply.status, headers, await reply.read())
        except TimeoutError:
            raise _timed_out(self.timeout_s) from None
        except (aiohttp.ClientPayloadError, aiohttp.ContentTypeError, ValueError):
            raise CallError(Kind.CONNECTION, "The reply broke off or cannot be decoded.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _broken(error) from None

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
    raise _too_long()


class ClientWire:
    """Through the user's own openai client.

    Args:
        client: An `openai.AsyncOpenAI` or `openai.AsyncAzureOpenAI`.
        timeout_s: Seconds for one attempt, from its start to the last byte of the reply.
    """

    def __init__(self, client: openai.AsyncOpenAI, timeout_s: float) -> None:
        import openai

        self.timeout_s = timeout_s
        self._client = client.with_options(max_retries=0, timeout=timeout_s)
        # Azure's client builds the path from the model in the body, so it wants the parsed one.
        self._parsed = isinstance(client, openai.AsyncAzureOpenAI)

    async def post(self, body: bytes) -> Response:
        """See `Wire.post`."""
        import openai

        try:
            async with asyncio.timeout(self.timeout_s):
                reply = await self._send(body)
        except (TimeoutError, openai.APITimeoutError):
            raise _timed_out(self.timeout_s) from None
        except openai.APIStatusError as error:
            reply = error.response
        except openai.APIConnectionError as error:
            raise _broken(error.__cause__ or error) from None
        except (openai.OpenAIError, OSError, ValueError) as error:
            raise _broken(error) from None
        try:
            content = reply.content
        except Exception:  # noqa: BLE001  (the error's body was not read, and is not needed)
            content = b""
        if len(content) > MAX_REPLY_BYTES:
            raise _too_long()
        return Response(reply.status_code, reply.headers, content)

    async def _send(self, body: bytes) -> Any:
        import httpx2
        import orjson

        options: Any = {"follow_redirects": False}
        if self._parsed:
            return await self._client.post(
                PATH, cast_to=httpx2.Response, body=orjson.loads(body), options=options
            )
        options["headers"] = {"Content-Type": "application/json"}
        return await self._client.post(PATH, cast_to=httpx2.Response, content=body, options=options)

    async def close(self) -> None:
        """See `Wire.close`. The client is the user's, so it stays open."""


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for an address (HTTPS_PROXY, ALL_PROXY, NO_PROXY)."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _certificates(url: str) -> ssl.SSLContext | bool:
    """The certificates that the openai client would trust, SSL_CERT_FILE included."""
    if not url.startswith("https:"):
        return True
    import httpx2

    return httpx2.create_ssl_context()


def _timed_out(timeout_s: float) -> CallError:
    return CallError(Kind.TIMEOUT, f"No whole reply came within {timeout_s:g} s.")


def _too_long() -> CallError:
    limit = MAX_REPLY_BYTES // 1024**2
    return CallError(Kind.BAD_REPLY, f"The reply is longer than {limit} MiB and was not read.")


def _broken(error: BaseException) -> CallError:
    number = getattr(error, "errno", None) or getattr(getattr(error, "os_error", None), "errno", 0)
    reason = f": {os.strerror(number)}" if isinstance(number, int) and number > 0 else ""
    return CallError(Kind.CONNECTION, f"The connection failed ({type(error).__name__}{reason}).")
