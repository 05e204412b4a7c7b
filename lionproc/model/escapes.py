"""Escapes that letters do not need, taken away, so that a secret is found that is written with them."""

from __future__ import annotations

import re
from itertools import chain

import orjson

from lionproc.engine.unfolding import room_of
from lionproc.model.lenient import leniently_read

__all__ = [
    "LONG",
    "UNRESERVED",
    "UNSEEN",
    "has_escapes",
    "has_needless_escapes",
    "without_escapes",
    "without_unseen",
]

UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+")
LONG = 256 * 1024  # bytes of a body in which escapes are looked into
_LONGEST_WORDS = 8_000  # characters of an error's text that are looked at; fewer are shown
_LONGEST_BESIDE = 200  # characters of any other text in it
_MOST_READ = 2**26  # bytes of memory of lists and objects, beyond which an error is not read
_ROOM, _DEEPEST = 60_000, 20  # characters of a long error that are looked at, and levels
# Where servers have their words, wherever it stands: what they quote of the question may be long.
_SAYINGS = dict.fromkeys(
    (
        *("error", "detail", "message", "errors", "msg", "code", "type", "status", "reason"),
        *("param", "details", "innererror", "metadata", "raw"),
    )
)
_HEX = rb"(?:2[dDeE]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aAeE])"  # of letters
_DECIMAL = rb"(?:4[56]|4[89]|5[0-7]|6[5-9]|[78][0-9]|90|95|9[7-9]|1[01][0-9]|12[0-26])"
_ESCAPED = re.compile(rb"\\u00[2-7][0-9a-fA-F]")
_ESCAPED_LETTER = re.compile(rb"\\u00" + _HEX)
# The same in a text, which may be JSON itself.
_LETTER = re.compile(rb"\\{1,8}u00(%s)" % _HEX)
# Letters that need no escape and have one, and what is invisible between letters.
_NEEDLESS = re.compile(
    rb"\\{1,8}u00(?P<u>%(hex)s)|%%(?:25){0,3}(?P<p>%(hex)s)"
    rb"|&#0{0,5}(?P<d>%(decimal)s);|&#[xX]0{0,4}(?P<x>%(hex)s);|&#0{2,7};"
    rb"|\\{1,8}u(?:0000|200[b-fB-F]|2060|[fF][eE][fF][fF])|\x00|\xe2\x80[\x8b-\x8f]"
    % {b"hex": _HEX, b"decimal": _DECIMAL}
)
# Any escape of JSON, in a text that may be JSON itself; two of them may be one letter.
_ANY = re.compile(
    r"\\{1,8}u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\{1,8}u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|\\{1,8}u(?P<one>[0-9a-fA-F]{4})|\\{1,8}b"
)
# Whatever of an answer may be unseen, between two letters of a key: no sign of one is among it.
_UNSEEN_BYTES = bytes((*range(0x20), *range(0x7F, 0x100)))
_UNSEEN_ESCAPES = re.compile(rb"(?:\\{1,8}(?:b|u(?!00(?:[2-6]|7[^fF]))[0-9a-fA-F]{4}))+")
UNSEEN = b"(?:%b|[\x00-\x1f\x7f-\xff])*+" % _UNSEEN_ESCAPES.pattern[:-1]


def has_escapes(body: bytes) -> bool:
    """Whether JSON has an escape that it need not have, of a letter or of a sign such as `<`."""
    return b"\\u00" in body and _ESCAPED.search(body) is not None


def has_needless_escapes(body: bytes) -> bool:
    """Whether JSON has an escape of a letter that needs none anywhere: not of `<`, as some write it."""
    return b"\\u00" in body and _ESCAPED_LETTER.search(body) is not None


def without_unseen(body: bytes) -> bytes:
    """JSON without what `UNSEEN` is; the same object where there is none."""
    if body.isascii() and b"\x7f" not in body and b"\\u" not in body and b"\\b" not in body:
        return body
    return _UNSEEN_ESCAPES.sub(b"", body.translate(None, _UNSEEN_BYTES))


def without_escapes(body: bytes, *, answers: bool) -> bytes:
    """A body without them, to be looked through.

    Args:
        body: What came.
        answers: Whether there is an answer in it. All of it is needed then; of a long error only what
            somebody is shown.
    """
    if len(body) > LONG:
        if answers:
            return _LETTER.sub(lambda found: bytes((int(found[1], 16),)), body)
        body = _words_of(body)
    plain = _NEEDLESS.sub(_needed, body)
    return plain if answers else _visible(plain)


def _visible(body: bytes) -> bytes:
    """Without what somebody is not shown of an error: behind it the letters of a key stand together."""
    words = _ANY.sub(_unless_invisible, body.decode(errors="replace"))
    return "".join(filter(_is_shown, words)).encode()


def _is_shown(letter: str) -> bool:
    return letter.isprintable() or letter.isspace()


def _unless_invisible(found: re.Match[str]) -> str:
    code = int(found["high"] or found["one"] or "8", 16)  # `\b` is the eighth
    if found["low"]:
        code = 0x10000 + (code - 0xD800) * 0x400 + int(found["low"], 16) - 0xDC00
    return found[0] if _is_shown(chr(code)) else ""


def _words_of(body: bytes) -> bytes:
    """What a long body of an error says, as far as anybody is shown it: shorter, and JSON if it was."""
    try:
        said = orjson.dumps(_beginning(_read(body), [_ROOM], _DEEPEST))
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
            return orjson.dumps(_beginning(_read(text), left, levels - 1)).decode()
        except (ValueError, TypeError):
            pass
    text = text[: min(_LONGEST_WORDS if says else _LONGEST_BESIDE, max(left[0], 0))]
    left[0] -= 10 + len(text)
    return text


def _read(text: bytes | str) -> object:
    """What it says, if it says little: an error may be lists in lists for megabytes."""
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if room_of(content, _MOST_READ) > _MOST_READ:
        raise ValueError("nobody says so much")
    return leniently_read(text)


def _needed(found: re.Match[bytes]) -> bytes:
    digits = found["u"] or found["p"] or found["x"]
    code = int(digits, 16) if digits else int(found["d"] or b"0")
    return bytes((code,)) if code else b""
