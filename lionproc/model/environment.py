"""What the environment says about the network: proxies and certificates, as openai reads them."""

from __future__ import annotations

import contextlib
import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    import ssl


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


def certificates(url: str) -> ssl.SSLContext | bool:
    """The certificates that the openai client would trust, SSL_CERT_FILE included."""
    if not url.startswith("https:"):
        return True
    import httpx2

    return httpx2.create_ssl_context()
