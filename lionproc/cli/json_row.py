"""A row of JSON Lines: what the fast reader rounds or refuses is read as Python's json reads it."""

from __future__ import annotations

import math
import re
from typing import Any

import orjson

from lionproc.engine.json_bounds import read_json
from lionproc.errors import ConfigurationError
from lionproc.model.as_json import DEEPEST
from lionproc.model.validate import is_deeper, whole_characters

__all__ = ["json_row"]

_LARGE_NUMBER = re.compile(rb"[0-9]{19}")  # it may be more than 64 bits hold


class _KeysMeetError(Exception):
    """Two keys of an object are one text."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def json_row(line: bytes, number: int) -> dict[str, Any]:
    """The cells of a row.

    A number that nothing holds (1e999, or one of 5,000 digits) is the text that it is written as, and
    half a character is U+FFFD, as in a prompt.

    Args:
        line: JSON.
        number: Of the line, from 1, for the error.

    Raises:
        ConfigurationError: It is no row, or none that could be written.
    """
    try:
        record = _read(line)
        is_deep = line.count(b"[") + line.count(b"{") > DEEPEST and is_deeper(record, DEEPEST)
    except RecursionError:
        record, is_deep = {}, True
    except _KeysMeetError as met:
        raise ConfigurationError(
            f"Line {number:,} has several keys that are all {met.key!r} once half characters are "
            "U+FFFD, and a cell would be lost. Rename them."
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"Line {number:,} is not written in UTF-8, as JSON is. Convert the file first, for "
            "example with iconv -f cp1252 -t utf-8."
        ) from None
    except ValueError:
        record, is_deep = None, False
    if not isinstance(record, dict):
        raise ConfigurationError(
            f"Line {number:,} is no JSON object, and so no row. Each line is a row, like "
            '{"review": "..."}'
        )
    if is_deep:
        raise ConfigurationError(
            f"Line {number:,} has more than {DEEPEST} lists and objects, one in the other, and "
            "such a row cannot be written. Leave it out, or give that cell as text."
        )
    return record


def _read(line: bytes) -> Any:
    try:
        held = orjson.loads(line)
    except ValueError:
        return _whole(_loads(line.decode("utf-8", "surrogatepass")))  # which a request can carry
    return _loads(line) if _LARGE_NUMBER.search(line) else held


def _whole(value: Any) -> Any:
    """The same with U+FFFD for half characters.

    Raises:
        _KeysMeetError: Two keys of an object are one then.
    """
    if isinstance(value, str):
        return whole_characters(value)
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for name, each in value.items():
        key = whole_characters(name)
        if key in made:
            raise _KeysMeetError(key)
        made[key] = _whole(each)
    return made


def _loads(text: str | bytes) -> Any:
    return read_json(text, parse_int=_integer, parse_float=_float, parse_constant=_constant)


def _integer(written: str) -> int | str:
    try:
        return int(written)
    except ValueError:  # Python makes none of more than 4,300 digits
        return written


def _float(written: str) -> float | str:
    number = float(written)
    return number if math.isfinite(number) else written


def _constant(written: str) -> str | None:
    return None if written == "NaN" else written  # which is a missing cell, as in a frame
