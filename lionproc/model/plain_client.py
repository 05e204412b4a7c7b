"""What an openai client of ours would say, without one.

A client of ours sends nothing: it is asked where to go and with which headers. To import openai for
that takes half a second of the first run and 13 MB, to make a client some milliseconds of each. So
where it would only repeat what it was given, it is not made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lionproc.model.environment import has_proxies

if TYPE_CHECKING:
    import httpx2

__all__ = ["PlainClient", "adds_nothing", "plain_client"]

_READ_HERE = frozenset(("OPENAI_API_KEY", "OPENAI_API_VERSION", "OPENAI_BASE_URL"))  # by `clients`
_HEADERS = {"Accept": "application/json", "Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class PlainClient:
    """An address and a key, with what `opening` asks an openai client for.

    Attributes:
        base_url: The address.
        auth_headers: The header with the key.
        default_headers: The others; None for one that is not sent.
        default_query: The parameters of the address.
    """

    base_url: httpx2.URL
    auth_headers: Mapping[str, str] = field(repr=False)
    default_headers: Mapping[str, Any] = field(repr=False)
    default_query: Mapping[str, object]


def adds_nothing() -> bool:
    """Whether the environment says nothing that an openai client would add, or refuse."""
    others = (name for name in os.environ if name.startswith("OPENAI_") and name not in _READ_HERE)
    return next(others, None) is None and not has_proxies()


def plain_client(
    url: str, key: str, own: Mapping[str, str], query: Mapping[str, object]
) -> PlainClient:
    """What an openai client for an address and a key would say.

    Args:
        url: The address, a valid one.
        key: The key.
        own: The header with the key, in lower case.
        query: Parameters of the address.
    """
    import httpx2

    others = {} if "authorization" in own else {"Authorization": None, **own}
    authorization = {"Authorization": f"Bearer {key}"}
    return PlainClient(httpx2.URL(url), authorization, {**_HEADERS, **others}, query)
