"""Lists, dicts and objects of one's own, of what somebody else may go on writing into."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from lionproc.errors import pass_on_interrupt

__all__ = ["own_answer", "own_copy"]


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


def own_answer(value: Any) -> Any:
    """An answer for one of those who asked the same: what each writes into it is its own.

    Args:
        value: Of any answer type. One that cannot be copied is shared.
    """
    if isinstance(value, (str, int, float, type(None))):
        return value
    try:
        return deepcopy(value)
    except BaseException as error:  # noqa: BLE001  (of the user's type, of any class)
        pass_on_interrupt(error)
        return value
