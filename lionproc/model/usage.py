"""The tokens of a reply: as the server counted them, or estimated where it did not. Pure.

Servers leave usage out, send null, an empty object, floats, a total alone, or zeros; and some count
what the model thought only in the total. What is not known is estimated and never taken for zero,
for a budget is kept by it, and a total is believed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from lionproc.engine.tokens import Tokens

__all__ = ["BYTES_PER_TOKEN", "counted", "guess"]

# English takes about four bytes a token, most other text fewer: three errs on the safe side.
BYTES_PER_TOKEN = 3.0
_MOST = 10**9  # a server that counts more in one reply counts wrongly


def counted(usage: Any) -> Tokens | None:
    """What a server says that it read and wrote.

    Args:
        usage: The `usage` of a reply, whatever it is.

    Returns:
        The tokens, or None where they are not all told.

    Example:
        >>> counted({"prompt_tokens": 5, "completion_tokens": 2.0, "total_tokens": 40})
        Tokens(input=5, output=35)
    """
    read, written, total = _told(usage)
    if total is not None and read is not None:
        written = max(written or 0, total - read)
    if total is not None and read is None and written is not None and total > written:
        read = total - written
    return Tokens(read, written) if read and written else None


def guess(data: Any, read: int) -> Tokens:
    """What a reply probably took, by what is known of it.

    Args:
        data: The parsed reply.
        read: Tokens that its prompt probably has.
    """
    usage = data.get("usage") if isinstance(data, Mapping) else None
    told_read, told_written, total = _told(usage)
    said = math.ceil(_size(data) / BYTES_PER_TOKEN)
    if total:
        read = told_read or min(read, total)
        return Tokens(read, max(told_written or 0, total - read))
    return Tokens(told_read or read, told_written or said)


def _told(usage: Any) -> tuple[int | None, int | None, int | None]:
    """Read, written and total, each None where it is not told or cannot be."""
    if not isinstance(usage, Mapping):
        return None, None, None
    read = _number(usage.get("prompt_tokens", usage.get("input_tokens")))
    written = _number(usage.get("completion_tokens", usage.get("output_tokens")))
    return read, written, _number(usage.get("total_tokens"))


def _number(count: Any) -> int | None:
    if isinstance(count, bool) or not isinstance(count, (int, float)) or not 0 <= count <= _MOST:
        return None
    return math.ceil(count)


def _size(data: Any) -> int:
    """Bytes of what the model wrote, answer and thoughts."""
    choices = data.get("choices") if isinstance(data, Mapping) else None
    choices = choices if isinstance(choices, list) else []
    messages = [choice.get("message") for choice in choices if isinstance(choice, Mapping)]
    return sum(
        len(value.encode(errors="replace")) if isinstance(value, str) else _size_of(value)
        for message in messages
        if isinstance(message, Mapping)
        for name, value in message.items()
        if name != "role" and value
    )


def _size_of(value: Any) -> int:
    return len(json.dumps(value, default=str))
