"""Keys among headers, so that none of them is kept or shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

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
