"""Bytes out, bytes in: one small protocol, two ways to speak it.

`DirectWire` sends over aiohttp with what the openai client publicly knows (address, headers,
timeout) at a tenth of the cost of its typed methods. `ClientWire` goes through `client.post`
where the client knows something we must not guess at: Azure, a custom `http_client`, keys that
are renewed. Both behave alike, neither retries or follows redirects, and both read a body in the
same way (`reading`), with a limit after decompression.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from lionproc.errors import CallError, Kind
from lionproc.model.credentials import Secret

MAX_REPLY_BYTES = 16 * 1024 * 1024
PATH = "/chat/completions"
PROXY_LOGIN = (
    "The proxy wants a login: give it in the proxy's address, HTTPS_PROXY=http://user:...@host"
)


class Response(NamedTuple):
    """A whole HTTP reply; its headers are looked up without regard to case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire(Protocol):
    """A way to one address. Lives on the engine's loop."""

    async def post(self, body: bytes) -> Response:
        """Send a JSON body and wait for the whole reply, keys that the server echoes taken out.

        Raises:
            CallError: Of kind `connection`, `timeout` or `bad_reply`; no reply came back.
        """

    async def close(self) -> None:
        """Close the connections."""


def mask_together(wires: Iterable[Wire]) -> None:
    """Have each take out of its replies what the others send, too.

    Rows of one run go to all of them, and where they are keys of one gateway, that knows them all.
    """
    singles = [one for one in _within(wires) if hasattr(one, "secrets")]  # else it sends nothing
    if len(singles) > 1:
        every = Secret(tuple({each: None for one in singles for each in one.secrets.reveal()}))
        for one in singles:
            one.secrets = every


def _within(wires: Iterable[object]) -> Iterator[Any]:
    for wire in wires:
        yield from _within(wire.wires) if hasattr(wire, "wires") else (wire,)


def timed_out(timeout_s: float) -> CallError:
    """The error for an attempt that took too long."""
    return CallError(Kind.TIMEOUT, f"No whole reply came within {timeout_s:g} s.")


def too_long(status: int) -> CallError:
    """The error for a reply that is no answer by its size."""
    why = f"The reply is longer than {MAX_REPLY_BYTES // 1024**2} MiB and was not read."
    return CallError(Kind.BAD_REPLY, why, status=status)


def way_to(url: str, proxy: str | None = None) -> str:
    """Where a request goes, for messages: the host and the proxy, without any password.

    Example:
        >>> way_to("https://api.openai.com/v1", "http://me:secret@proxy.example:3128")
        'api.openai.com through the proxy proxy.example:3128'
    """
    host, via = _place(url), _place(proxy or "")
    return f"{host} through the proxy {via}" if via else host


def _place(url: str) -> str:
    """The host and port of an address."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "(an invalid address)"  # a slash in its password, say: not to be shown
    if "@" in url[url.find(parts.netloc) + len(parts.netloc) :]:
        return "(an address with an @ in its path)"
    return parts.netloc.rpartition("@")[2]


def broken(error: BaseException, way: str, *, arrived: bool = True) -> CallError:
    """What a failed connection means.

    Args:
        error: The error; those that it came from are looked at too.
        way: Where the request went; see `way_to`.
        arrived: False where no connection was made, so that nothing was sent.
    """
    status = _status_of_proxy(error)
    if status == 407:
        return CallError(Kind.ACCESS, f"HTTP 407. {PROXY_LOGIN}", status=status, arrived=False)
    reason, cause = "" if status is None else f": HTTP {status} from the proxy", error
    for _ in range(8):
        distrust = getattr(cause, "verify_message", None)  # of an SSLCertVerificationError
        if distrust:
            return CallError(
                Kind.CONNECTION,
                f"The server's certificate is not trusted ({distrust}). If it is "
                "signed by an authority of your own, name its file in SSL_CERT_FILE.",
                arrived=False,
            )
        number = getattr(cause, "errno", None)
        if not reason and isinstance(number, int) and number > 0:
            reason = f": {os.strerror(number)}"
        inner = getattr(cause, "certificate_error", None) or getattr(cause, "os_error", None)
        deeper = inner or cause.__cause__ or cause.__context__
        if deeper is None:
            break
        cause = deeper
    return CallError(
        Kind.CONNECTION,
        f"The connection to {way} failed ({type(error).__name__}{reason}).",
        arrived=arrived,
    )


def _status_of_proxy(error: BaseException) -> int | None:
    """What a proxy answered that was to open a tunnel, as aiohttp and httpx say it."""
    match type(error).__name__:
        case "ClientHttpProxyError":
            status = str(getattr(error, "status", ""))
        case "ProxyError":
            status = str(error).partition(" ")[0]
        case _:
            return None
    return int(status) if len(status) == 3 and status.isdecimal() else None
