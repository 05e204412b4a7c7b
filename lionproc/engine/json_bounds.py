"""JSON of strangers that Python must not read: nested too deeply, or with numbers that are too long.

Python's own reader goes a level deeper in C for each list and each object. What stops it is the limit
of recursion, 1,000 as a rule. Many a notebook raises that to a million, and then the stack of the
thread is what ends: with it the process does. And what takes the square of a number's digits is stopped
by a limit of 4,300, which others switch off. So what is beyond these is refused before it is read.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np

from lionproc.engine.unfolding import without_texts

__all__ = ["MOST_LEVELS", "bounded", "has_long_number", "read_json"]

MOST_LEVELS: Final = 1000
MOST_DIGITS: Final = 4300
_LONG: Final = re.compile(rb"(?<!\d)\d{4301}")
_MARKS: Final = b"[]{}"
_OTHERS: Final = bytes(set(range(256)) - set(_MARKS))
Text = TypeVar("Text", bound=str | bytes)
Hook: TypeAlias = Any  # a function of what was read


def read_json(text: str | bytes, **hooks: Hook) -> Any:
    """What Python's own reader makes of JSON of a stranger, if it is bounded.

    That reader takes bytes for UTF-16 or UTF-32 where they look like it, and what was looked through as
    UTF-8 would be another text. So they are UTF-8 here, whatever they look like.

    Args:
        text: JSON; as bytes in UTF-8.
        hooks: As `json.loads` has them, such as `parse_float`.

    Raises:
        RecursionError: It is nested more than a thousand levels deep.
        ValueError: It is no JSON, or a number is too long.

    Example:
        >>> read_json(b'{"name": 1}')
        {'name': 1}
    """
    whole = text if isinstance(text, str) else text.decode("utf-8-sig", "surrogatepass")
    return json.loads(bounded(whole), **hooks)


def bounded(text: Text) -> Text:
    """The text, if no more than a thousand lists and objects are in one another, and numbers are short.

    Args:
        text: JSON, or anything else.

    Raises:
        RecursionError: They are deeper, as Python's own reader says it where nothing was changed.
        ValueError: A number is longer; as it says that.

    Example:
        >>> bounded('[{"name": "[[["}]')
        '[{"name": "[[["}]'
    """
    if has_long_number(text):
        raise ValueError(f"a number has more than {MOST_DIGITS:,} digits")
    content = _bytes_of(text)
    if content.count(b"[") + content.count(b"{") <= MOST_LEVELS:
        return text
    level = 0
    for piece in without_texts(content):
        marks = np.frombuffer(piece.translate(None, _OTHERS), dtype=np.uint8)
        if not len(marks):
            continue
        steps = np.where((marks == ord("[")) | (marks == ord("{")), 1, -1)
        levels = level + np.cumsum(steps)
        if levels.max() > MOST_LEVELS:
            raise RecursionError("JSON is nested too deeply")
        level = int(levels[-1])
    return text


def has_long_number(text: str | bytes) -> bool:
    """Whether a number, no text, has more digits than Python reads where nothing was changed.

    Args:
        text: JSON, or anything else. It is looked at only where Python reads more digits.

    Example:
        >>> has_long_number("[1, 2]")
        False
    """
    if 0 < sys.get_int_max_str_digits() <= MOST_DIGITS:
        return False
    content = _bytes_of(text)
    return _LONG.search(content) is not None and any(
        _LONG.search(piece) for piece in without_texts(content)
    )


def _bytes_of(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
