"""Lists and dicts of one's own, of what somebody may go on writing into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["own_copy"]


def own_copy(value: Any) -> Any:
    """The same lists and dicts made anew; texts and all else that is in them are shared.

    Args:
        value: Messages, or anything else that JSON can hold.

    Example:
        >>> part = {"type": "text", "text": "row 1"}
        >>> kept = own_copy([part])
        >>> part["text"] = "row 2"
        >>> kept
        [{'type': 'text', 'text': 'row 1'}]
    """
    if isinstance(value, Mapping):
        return {name: own_copy(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [own_copy(each) for each in value]
    return value
