"""What the environment says about the network: proxies and certificates, as openai reads them."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from lionproc.errors import ModelError

if TYPE_CHECKING:
    import ssl

    import httpx2

NO_PROXY_ADDRESS = (
    "The environment names a proxy (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY) with an invalid "
    "address. Give one such as http://proxy.example:3128."
)
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for an address, as the openai client reads it.

    Args:
        url: The address to reach.

    Returns:
        The address of HTTP_PROXY, HTTPS_PROXY or ALL_PROXY; None where there is none, or
        NO_PROXY names the host. Systems that keep such settings elsewhere are asked too.

    Raises:
        ModelError: That is no address.
    """
    from urllib.request import getproxies

    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or any(_is_named(parts, entry) for entry in proxies.get("no", "").split(",")):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        _ = urlsplit(proxy).port
    except ValueError:  # whose words show the address, perhaps with a password
        raise ModelError(NO_PROXY_ADDRESS) from None
    return proxy


def has_proxies() -> bool:
    """Whether the environment names any proxy, for whatever address."""
    from urllib.request import getproxies

    return any(address for name, address in getproxies().items() if name != "no")


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


def certificates(url: str) -> ssl.SSLContext | bool:
    """The certificates that the openai client would trust, SSL_CERT_FILE included.

    Args:
        url: The address to reach.

    Returns:
        What is trusted at an https address: read once, and shared by all who go to one, for
        reading it takes 20 ms. True elsewhere, where nothing need be read.
    """
    if not url.startswith("https:"):
        return True
    return _trusted(*(_as_it_is(os.environ.get(name)) for name in _CERTIFICATES))


@lru_cache(maxsize=4)
def _trusted(*_named: tuple[str | None, int]) -> ssl.SSLContext:
    import httpx2

    return httpx2.create_ssl_context()


def _as_it_is(path: str | None) -> tuple[str | None, int]:
    """A path and when what is there was changed, so that new certificates are read."""
    with contextlib.suppress(OSError, ValueError):
        return path, 0 if path is None else Path(path).stat().st_mtime_ns
    return path, 0


def client_for(url: str) -> httpx2.AsyncClient:
    """What an openai client of ours sends with, if it ever sends: proxies of the environment.

    Args:
        url: Where the client goes.

    Returns:
        A client that reads no certificates for an http address: it trusts nobody's.
    """
    import ssl

    import openai

    trusted = certificates(url)
    if isinstance(trusted, bool):
        trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return openai.DefaultAsyncHttpxClient(base_url=url, verify=trusted)
