"""Bytes out, bytes in: one small protocol, two ways to speak it.

`DirectWire` sends over aiohttp with what the openai client publicly knows (address, headers,
timeout) at a tenth of the cost of its typed methods. `ClientWire` goes through `client.post`
where the client knows something we must not guess at: Azure, a custom `http_client`, keys that
are renewed. Both behave alike, and neither retries or follows redirects.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import SplitResult, urlsplit

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
REDACTED = b"[key]"
SHORTEST_SECRET = 8
# What people give to servers that want no key; in an answer these are words.
_NO_SECRETS = {
    "none",
    "lm-studio",
    "not-needed",
    "not-required",
    "no-key-required",
    "sk-no-key-required",
}
_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie|credential", re.IGNORECASE)


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
                self._address,
                data=body,
                headers=self._each,
                allow_redirects=False,
                proxy=self._proxy,
            ) as reply:
                headers = reply.headers
                length = reply.content_length
                if length is None or length > MAX_REPLY_BYTES or CONTENT_ENCODING in headers:
                    return Response(reply.status, headers, await _bounded(reply))
                return Response(reply.status, headers, await reply.read())
        except TimeoutError:
            raise _timed_out(self.timeout_s) from None
        except aiohttp.ClientPayloadError:
            raise CallError(Kind.CONNECTION, "The reply broke off or cannot be decoded.") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
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
        owned: Whether the client is closed with the wire; a user's own stays open.
    """

    def __init__(
        self, client: openai.AsyncOpenAI, timeout_s: float, *, owned: bool = False
    ) -> None:
        import openai

        self.timeout_s = timeout_s
        self._owned = owned
        self._client = client.with_options(max_retries=0, timeout=timeout_s)
        # The copy asks the environment again for what the client itself was made without.
        self._client.organization, self._client.project = client.organization, client.project
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
        # Keys that are renewed are known only here.
        for secret in secrets_in(reply.request.headers):
            content = content.replace(secret, REDACTED)
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
        """See `Wire.close`."""
        if self._owned:
            await self._client.close()


def secrets_in(headers: Mapping[str, Any]) -> tuple[bytes, ...]:
    """Credentials among the headers of a request, as a careless server may send them back.

    Args:
        headers: Names and values as they are sent.

    Returns:
        Each credential without its scheme, and as JSON may spell it. Very short ones are left
        out: replacing them would tear up answers.
    """
    found: list[bytes] = []
    for name, value in headers.items():
        if isinstance(value, str) and _SECRET_HEADER.search(name):
            secret = value.rpartition(" ")[2]
            if len(secret) >= SHORTEST_SECRET and secret.lower() not in _NO_SECRETS:
                found.append(secret.encode())
                if "/" in secret:
                    found.append(secret.replace("/", "\\/").encode())
    return tuple(found)


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for an address, as the openai client reads it.

    Args:
        url: The address to reach.

    Returns:
        The address of HTTP_PROXY, HTTPS_PROXY or ALL_PROXY; None where there is none, or
        NO_PROXY names the host. Systems that keep such settings elsewhere are asked too.
    """
    from urllib.request import getproxies

    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or any(_is_named(parts, entry) for entry in proxies.get("no", "").split(",")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_named(url: SplitResult, entry: str) -> bool:
    """Whether an entry of NO_PROXY (a name, an address, a network, `*`) means this address."""
    entry = entry.strip().lower()
    scheme, _, entry = entry.rpartition("://")
    if entry == "*" and not scheme:
        return True
    if not entry or (scheme and scheme not in {url.scheme, "all"}):
        return False
    host = url.hostname or ""
    with contextlib.suppress(ValueError):
        network = ipaddress.ip_network(entry.strip("[]"), strict=False)
        try:
            return ipaddress.ip_address(host) in network
        except ValueError:
            return False
    try:
        named = urlsplit(f"//{entry}")
        name, port = named.hostname or "", named.port
    except ValueError:
        return False
    if named.path or (port is not None and port != url.port):
        return False
    if host == name:
        return True
    inside = "." + name.removeprefix("*").removeprefix(".")
    return not scheme and name != "localhost" and host.endswith(inside)


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
    """What a failed connection means, from the error and those that it came from."""
    reason, cause = "", error
    for _ in range(8):
        distrust = getattr(cause, "verify_message", None)  # of an SSLCertVerificationError
        if distrust:
            return CallError(
                Kind.CONNECTION,
                f"The server's certificate is not trusted ({distrust}). If it is "
                "signed by an authority of your own, name its file in SSL_CERT_FILE.",
            )
        number = getattr(cause, "errno", None)
        if not reason and isinstance(number, int) and number > 0:
            reason = f": {os.strerror(number)}"
        inner = getattr(cause, "certificate_error", None) or getattr(cause, "os_error", None)
        deeper = inner or cause.__cause__ or cause.__context__
        if deeper is None:
            break
        cause = deeper
    return CallError(Kind.CONNECTION, f"The connection failed ({type(error).__name__}{reason}).")
