"""A server's words, made short and safe enough for an error message. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["excerpt_of", "shown"]

_SECRET = re.compile(
    r"\b(?:sk|pk|rk|gsk|key|xai)[-_][\w-]{8,}|\bAIza[\w-]{10,}|\bBearer\s+\S+", re.IGNORECASE
)
_MOST_READ = 4000  # characters that are looked at
_MOST_SHOWN = 200
_WRITER = json.JSONEncoder(default=str, ensure_ascii=False)


def shown(text: str, most: int = _MOST_SHOWN) -> str:
    r"""A text on one line, printable, without anything that looks like a key.

    Args:
        text: A server's words.
        most: Characters of it that are shown.

    Example:
        >>> shown("Wrong key\n sk-abcdefgh1234")
        'Wrong key [key]'
    """
    # What is invisible goes first: between the letters of a key it would hide it from the search.
    words = "".join(each for each in text[:_MOST_READ] if each.isprintable() or each.isspace())
    words = " ".join(_SECRET.sub("[key]", words).split())
    words = "".join(letter for letter in words if letter.isprintable())
    return words[: most - 3] + "..." if len(words) > most else words


def excerpt_of(data: Any, most: int = _MOST_SHOWN) -> str:
    """What a parsed reply says: its text, or all of it where it has none.

    Args:
        data: The parsed body.
        most: Characters of it that are shown.
    """
    try:
        message = data["choices"][0]["message"]
        said = message.get("content") or message.get("refusal")
    except (TypeError, LookupError, AttributeError):
        message, said = data, None
    if not isinstance(said, str) or not said.strip():
        said = "".join(_beginning(_WRITER.iterencode(message)))
    return shown(said, most)


def _beginning(pieces: Iterable[str]) -> Iterator[str]:
    """As many as are looked at: a reply may have millions of them."""
    length = 0
    for piece in pieces:
        yield piece
        length += len(piece)
        if length > _MOST_READ:
            return
