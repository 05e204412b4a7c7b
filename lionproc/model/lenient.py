"""JSON of a server that says why it failed, which nobody has checked."""

from __future__ import annotations

import re
from typing import Any

import orjson

from lionproc.engine.json_bounds import read_json

__all__ = ["leniently_read"]

# An escape that is half a character, as where somebody has cut a text: no other half beside it.
_HALVES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
# What stands for a backslash that is escaped, and begins no escape: no JSON has it in a text.
_NONE_BEGINS = "\x1f"
_BEGINNING = re.compile(r"[ \t\r\n]*[\[{\"\-0-9tfnNI]")
_LONG = 19  # digits that 64 bits may not hold


def leniently_read(text: bytes | str) -> Any:
    r"""What JSON holds, with half a character as U+FFFD, NaN as None and any number.

    Args:
        text: The JSON of an error.

    Raises:
        ValueError: It is no JSON.

    Example:
        >>> leniently_read(rb'{"message": "too long", "input": "so \ud83d", "score": NaN}')
        {'message': 'too long', 'input': 'so �', 'score': None}
    """
    try:
        return orjson.loads(text)
    except ValueError:
        whole = text if isinstance(text, str) else text.decode("utf-8-sig", "replace")
    if not _BEGINNING.match(whole) or _NONE_BEGINS in whole:
        raise ValueError("It does not begin as JSON, or a control character stands in it.")
    if "\\" in whole:
        whole = _HALVES.sub(r"\\ufffd", whole.replace(r"\\", _NONE_BEGINS))
        whole = whole.replace(_NONE_BEGINS, r"\\")
    try:
        return read_json(whole, parse_int=_number, parse_constant=_nothing)
    except RecursionError:
        raise ValueError("It is nested too deeply.") from None


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) < _LONG else float(digits)


def _nothing(_: str) -> None:
    """NaN and Infinity."""
