"""How much work e-mail and web addresses are, as pydantic reads them.

Its pattern of an e-mail address goes from each space to the end, and takes no longer text than
`LONGEST_ADDRESS`. The names of a host that have letters of their own it writes in ASCII (Punycode, RFC
3492), which goes over all letters of a name for each: two milliseconds for a thousand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from lionproc.model.applied import Tried

__all__ = ["LONGEST_ADDRESS", "MOST_ADDRESSED", "addressed", "is_email", "is_url"]

LONGEST_ADDRESS: Final = 2048
MOST_ADDRESSED: Final = 100_000_000  # characters gone over: some two seconds at the worst


def is_email(part: Mapping[str, Any]) -> bool:
    """Whether a text is read as an e-mail address."""
    return part.get("format") in ("email", "name-email")


def is_url(part: Mapping[str, Any]) -> bool:
    """Whether a text is read as an address of the web."""
    return part.get("format") in ("uri", "multi-host-uri")


def addressed(value: object, tried: Tried) -> int:
    """The characters that are gone over where a text, or names, are looked at as addresses.

    Args:
        value: What the answer holds at one place.
        tried: What is tried with it.
    """
    if isinstance(value, str):
        made = tried.addresses and tried.addresses * _of_emails((value,))
        if tried.urls:
            made += tried.urls * sum(len(name) ** 2 for name in _names_of_host(value)) // 10
        return made
    if isinstance(value, dict):
        return tried.names_as_addresses and tried.names_as_addresses * _of_emails(value)
    return 0


def _of_emails(texts: Collection[str]) -> int:
    return sum(min(len(text), LONGEST_ADDRESS) ** 2 for text in texts) // 2


def _names_of_host(url: str) -> Iterator[str]:
    """The names of a host that have letters of their own, or may have."""
    host = url.partition(":")[2].lstrip("/\\ \t\r\n")  # browsers take all of these, and so does it
    ends = [place for sign in "/\\?#" if (place := host.find(sign)) >= 0]
    host = host[: min(ends, default=None)]
    if not host.isascii() or "%" in host:
        for name in host.split("."):
            yield name[:LONGEST_ADDRESS]
