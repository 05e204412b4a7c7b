"""How much memory JSON takes once it is read, told from its text.

A number or a text takes a few times its bytes. `[]` takes 25 times its own, and so does `{}`: 16 MiB
of a stranger's are 400 MB, and a folder of such files more than there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

__all__ = ["TIMES", "room_of", "room_of_texts", "unfolds", "without_texts"]

_EMPTY: Final = 90  # bytes of a list, or of an object with nothing in it, and of its place
_OBJECT: Final = 220  # of one with something in it
_TEXT: Final = 64  # of a short text and its place; by itself it has four bytes or more
_MUCH: Final = 2**30  # bytes; with texts counted, what takes less is no matter
_PIECE: Final = 2**16  # bytes that are looked through at a time: they may be as many texts
TIMES: Final = 8  # its bytes that what people write in JSON takes at the most, once it is read


def room_of(content: bytes, bound: int = 0) -> int:
    """The bytes that lists and objects in JSON take.

    Args:
        content: The text.
        bound: What is of no matter. Signs within texts are told from others only where they would
            make it more than that, for it takes several times as long as counting all.

    Example:
        >>> room_of(b'[{}, {"name": "a record [{"}]')
        400
    """
    most = _signs(content)
    # Bytes of 0 are no UTF-8 of JSON, but in all of its UTF-16, where other signs have quotes in them.
    if most <= bound or b"\0" in content:
        return most
    return sum(map(_signs, without_texts(content)))


def room_of_texts(content: bytes) -> int:
    """The bytes that the texts in JSON take beside their letters, at the most.

    Args:
        content: The text.

    Example:
        >>> room_of_texts(b'["ab", "c"]'), room_of_texts(b'{"name": "ab"}')
        (128, 64)
    """
    names = content.count(b'":')  # of which there is one for all objects
    return _TEXT * max(content.count(b'"') // 2 - names, 0)


def unfolds(content: bytes, spare: int) -> bool:
    """Whether JSON takes far more memory than it has bytes.

    Args:
        content: The text.
        spare: So many bytes are no matter, however short it is.

    Example:
        >>> unfolds(b"[" + b"{}," * 1000 + b"{}]", 10_000), unfolds(b'[{"name": "a record"}]', 200)
        (True, False)
        >>> unfolds(b'["' + b"{" * 1000 + b'"]', 10_000)
        False
    """
    bound = spare + TIMES * len(content)
    room = room_of(content, bound)
    if room > bound or _TEXT * len(content) < 4 * _MUCH:
        return room > bound
    return room + room_of_texts(content) > max(bound, _MUCH)


def _signs(content: bytes) -> int:
    empty = content.count(b"{}")
    return _EMPTY * (content.count(b"[") + empty) + _OBJECT * (content.count(b"{") - empty)


def without_texts(content: bytes) -> Iterator[bytes]:
    """What is not within quotes, piece by piece, as far as it is JSON."""
    within = 0
    rest = b""
    for start in range(0, len(content), _PIECE):
        piece = (rest + content[start : start + _PIECE]).replace(b"\\\\", b"")
        whole = piece.rstrip(b"\\")
        rest = piece[len(whole) :]  # of an escape that the next piece ends
        parts = whole.replace(b'\\"', b"").split(b'"')
        yield b"".join(parts[within::2])
        within = (within + len(parts) - 1) % 2
