"""Escapes that letters do not need, taken away, so that a secret is found that is written with them."""

from __future__ import annotations

import re
from itertools import chain

import orjson

__all__ = ["LONG", "UNRESERVED", "has_escapes", "without_escapes"]

UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+")
LONG = 256 * 1024  # bytes of a body in which escapes are looked into
_LONGEST_WORDS = 8_000  # characters of an error's text that are looked at; fewer are shown
_LONGEST_BESIDE = 200  # characters of any other text in it
_ROOM, _DEEPEST = 60_000, 20  # characters of a long error that are looked at, and levels
# Where servers have their words, wherever it stands: what they quote of the question may be long.
_SAYINGS = dict.fromkeys(
    (
        *("error", "detail", "message", "errors", "msg", "code", "type", "status", "reason"),
        *("param", "details", "innererror", "metadata", "raw"),
    )
)
_ESCAPED_LETTER = re.compile(rb"\\u00[2-7][0-9a-fA-F]")
_LETTER = re.compile(
    rb"\\{1,8}u00([2-7][0-9a-fA-F])"
)  # the same in a text, which may be JSON itself
_PLAIN = {
    digits.encode(): chr(code).encode()
    for code in range(0x20, 0x80)
    for digits in (f"{code:02x}", f"{code:02X}")
    if UNRESERVED.fullmatch(chr(code))
}
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
            return _LETTER.sub(lambda found: _PLAIN.get(found[1], found[0]), body)
        body = _words_of(body)
    return _NEEDLESS.sub(_needed, body)


def _words_of(body: bytes) -> bytes:
    """What a long body of an error says, as far as anybody is shown it: shorter, and JSON if it was."""
    try:
        said = orjson.dumps(_beginning(orjson.loads(body), [_ROOM], _DEEPEST))
    except (ValueError, TypeError):
        said = body
    return said[:LONG]


def _beginning(value: object, left: list[int], levels: int, *, says: bool = True) -> object:
    """The beginning of each text, as long as there is room; nothing of what is very deep.

    What a server says comes first, and has most of the room.
    """
    if isinstance(value, str):
        return _text(value, left, levels, says=says)
    left[0] -= 10  # for what is around it
    if isinstance(value, (list, dict)) and (levels <= 0 or left[0] <= 0):
        return None
    if isinstance(value, list):
        return [_beginning(each, left, levels - 1, says=says) for each in value if left[0] > 0]
    if isinstance(value, dict):
        said = ((name, value[name]) for name in _SAYINGS if name in value)
        others = (part for part in value.items() if part[0] not in _SAYINGS)
        return {
            name[:100]: _beginning(each, left, levels - 1, says=name in _SAYINGS)
            for name, each in chain(said, others)
            if left[0] > 0
        }
    return value


def _text(text: str, left: list[int], levels: int, *, says: bool) -> str:
    if says and len(text) > _LONGEST_WORDS and text.lstrip()[:1] in ("{", "["):
        try:  # it may be an error that is handed on
            return orjson.dumps(_beginning(orjson.loads(text), left, levels - 1)).decode()
        except (ValueError, TypeError):
            pass
    text = text[: min(_LONGEST_WORDS if says else _LONGEST_BESIDE, max(left[0], 0))]
    left[0] -= 10 + len(text)
    return text


def _needed(found: re.Match[bytes]) -> bytes:
    digits = found["u"] or found["p"] or found["x"]
    code = int(digits, 16) if digits else int(found["d"] or b"0")
    letter = chr(code) if code < 0x80 else ""
    return letter.encode() if UNRESERVED.fullmatch(letter) else found[0] if code else b""
