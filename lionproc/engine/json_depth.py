"""JSON that is nested so deeply that reading it could end the process.

Python's own reader goes a level deeper in C for each list and each object. What stops it is the limit
of recursion, 1,000 as a rule. Many a notebook raises that to a million, and then the stack of the
thread is what ends: with it the process does. So what is deeper is refused before it is read.
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np

from lionproc.engine.unfolding import without_texts

__all__ = ["MOST_LEVELS", "shallow"]

MOST_LEVELS: Final = 1000
_MARKS: Final = b"[]{}"
_OTHERS: Final = bytes(set(range(256)) - set(_MARKS))
Text = TypeVar("Text", bound=str | bytes)


def shallow(text: Text) -> Text:
    """The text, if no more than a thousand lists and objects are in one another in it.

    Args:
        text: JSON, or anything else.

    Raises:
        RecursionError: There are more, as Python's own reader says it where nothing was changed.

    Example:
        >>> shallow('[{"name": "[[["}]')
        '[{"name": "[[["}]'
    """
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
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
