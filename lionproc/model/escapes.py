"""Escapes that letters do not need, taken away, so that a secret is found that is written with them."""

from __future__ import annotations

import json
import re

import orjson

from lionproc.model.as_json import each_text

__all__ = ["LONG", "UNRESERVED", "has_escapes", "without_escapes"]

UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+")
LONG = 256 * 1024  # bytes of a body in which escapes are looked into
_LONGEST_WORDS = 8_000  # characters of an error's text that are looked at; fewer are shown
_ROOM, _DEEPEST = 60_000, 20  # characters of a long error that are looked at, and levels
_ESCAPED_LETTER = re.compile(rb"\\u00[2-7][0-9a-fA-F]")
_INNER = re.compile(r"\\u00([2-7][0-9a-fA-F])")  # the same in a text, which may be JSON itself
# Letters that need no escape and have one, and what is invisible between letters.
_NEEDLESS = re.compile(
    rb"\\{1,8}u00(?P<u>[2-7][0-9a-fA-F])|%(?:25){0,3}(?P<p>[2-7][0-9a-fA-F])"
    rb"|&#0{0,4}(?P<d>[0-9]{2,3});|&#[xX]0{0,4}(?P<x>[2-7][0-9a-fA-F]);"
    rb"|\\{1,8}u(?:0000|200[b-fB-F]|2060|[fF][eE][fF][fF])|\x00|\xe2\x80[\x8b-\x8f]"
)


def has_escapes(body: bytes) -> bool:
    """Whether JSON has an escape that its letter does not need."""
    return _ESCAPED_LETTER.search(body) is not None


def without_escapes(body: bytes, *, answers: bool) -> bytes:
    """A body without them, to be looked through.

    Args:
        body: What came.
        answers: Whether there is an answer in it. All of it is needed then; of a long error only what
            somebody is shown.
    """
    if len(body) > LONG:
        if answers:
            return _written_anew(body)
        body = _words_of(body)
    return _NEEDLESS.sub(_needed, body)


def _words_of(body: bytes) -> bytes:
    """What a long body of an error says, as far as anybody is shown it: shorter, and JSON if it was."""
    try:
        said = orjson.dumps(_beginning(orjson.loads(body), [_ROOM], _DEEPEST))
    except (ValueError, TypeError):
        said = body
    return said[:LONG]


def _beginning(value: object, left: list[int], levels: int) -> object:
    """The beginning of each text, as long as there is room; nothing of what is very deep."""
    if isinstance(value, str):
        value = value[: min(_LONGEST_WORDS, max(left[0], 0))]
        left[0] -= len(value)
    left[0] -= 10  # for what is around it
    if isinstance(value, (list, dict)) and (levels <= 0 or left[0] <= 0):
        return None
    if isinstance(value, list):
        return [_beginning(each, left, levels - 1) for each in value if left[0] > 0]
    if isinstance(value, dict):
        parts = ((name[:100], each) for name, each in value.items() if left[0] > 0)
        return {name: _beginning(each, left, levels - 1) for name, each in parts}
    return value


def _written_anew(body: bytes) -> bytes:
    """A long reply with no escape that its letters do not need, those in its texts too; or as it is."""
    try:
        try:
            return orjson.dumps(each_text(orjson.loads(body), _unescaped))
        except (ValueError, TypeError):  # half a character, a number that JSON does not have
            return json.dumps(each_text(json.loads(body), _unescaped)).encode()
    except (ValueError, RecursionError):
        return body  # which nobody can read


def _unescaped(text: str) -> str:
    return _INNER.sub(_plain_letter, text) if "\\u00" in text else text


def _plain_letter(found: re.Match[str]) -> str:
    letter = chr(int(found[1], 16))
    return letter if UNRESERVED.fullmatch(letter) else found[0]


def _needed(found: re.Match[bytes]) -> bytes:
    digits = found["u"] or found["p"] or found["x"]
    code = int(digits, 16) if digits else int(found["d"] or b"0")
    letter = chr(code) if code < 0x80 else ""
    return letter.encode() if UNRESERVED.fullmatch(letter) else found[0] if code else b""
