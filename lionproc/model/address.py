"""Addresses and keys as people write them: understood, or refused without being shown."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from lionproc.errors import ModelError
from lionproc.model.credentials import looks_like_key

__all__ = ["checked_key", "checked_url", "fault_of_key", "fault_of_url", "key_text", "with_query"]


def checked_url(url: str, *, allow_http: bool) -> str:
    """An address that a key may be sent to.

    Args:
        url: As it was written.
        allow_http: Whether it may be unencrypted beyond this machine.

    Returns:
        The address without a slash at its end.

    Raises:
        ModelError: It is no address, holds a password or a query, or is unencrypted.
    """
    fault = fault_of_url(url, allow_http=allow_http)
    if fault:
        raise ModelError(fault)
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/"), fragment=""))


def fault_of_url(url: object, *, allow_http: bool) -> str:
    """Why a key may not be sent to an address, with nothing secret in it; empty where it may."""
    try:
        parts = urlsplit(str(url))
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if "@" in str(url) and (not host or "@" in parts.netloc):  # and never show it
        return "base_url must not hold a user name or password; use api_key=."
    if "@" in str(url) and parts.port is not None and not _is_loopback(str(host)):
        # https://me:1/word@host: a password with a slash in it ends the host at its first digits
        return (
            "base_url must not hold a user name or password; use api_key=. Where the @ in it is a "
            "part of the path, write %40."
        )
    if host and not _is_name(host):
        host = None
    if not host or parts.scheme not in {"http", "https"}:
        before = str(url).partition("?")[0].partition("#")[0]  # parameters may be passwords
        has_key = any(map(looks_like_key, (before, *before.split("/"))))
        shown = "something else" if has_key else repr(before)
        return f"base_url is an address such as https://host/v1, not {shown}."
    if parts.query or parts.fragment:
        return (
            "base_url ends before any ? or #. Parameters of the address belong to a client: "
            "Model(..., client=openai.AsyncOpenAI(base_url=..., default_query={...}))."
        )
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        return (
            f"base_url would send the key and the rows to {host} unencrypted. Use https, or say "
            "Model(..., allow_http=True) if that network is yours."
        )
    return ""


def checked_key(key: object, name: str) -> str:
    """A key that can stand in a header, without the line break of the file it came from.

    Args:
        key: As it was given.
        name: What to call it in an error.

    Raises:
        ModelError: It is no text, or has a character that no key has.
    """
    fault = fault_of_key(key, name)
    if fault:
        raise ModelError(fault)
    return str(key_text(key))


def fault_of_key(key: object, name: str) -> str:
    """Why a key cannot stand in a header, never shown; empty where it can."""
    text = key_text(key)
    if not isinstance(text, str):
        return f"{name} is a text, not {type(text).__name__}."
    if not (text.isascii() and text.isprintable()) or " " in text:
        return (
            f"{name} has a character in it that no key has (a line break, a blank, or something "
            "beyond ASCII). Copy the key again, whole."
        )
    return ""


def key_text(key: object) -> Any:
    """A key as it was meant: unmasked, and without the line break of the file it came from."""
    masked = getattr(key, "get_secret_value", None)
    key = masked() if callable(masked) else key
    return key.strip() if isinstance(key, str) else key


def with_query(url: str, query: Mapping[str, object]) -> str:
    """An address with parameters behind it, if there are any."""
    return f"{url}?{urlencode(dict(query))}" if query else url


def _is_name(host: str) -> bool:
    """Whether it may be a host: a name, or an address in brackets, which were looked at before."""
    # What is beyond ASCII is judged by who knows the rules for such names, before anything is sent.
    return ":" in host or all(
        letter.isalnum() or letter in "-._" for letter in host if letter.isascii()
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
