"""How much memory JSON takes once it is read, told from its text.

A number or a text takes a few times its bytes. `[]` takes 25 times its own, and so does `{}`: 16 MiB
of a stranger's are 400 MB, and a folder of such files more than there is.
"""

from __future__ import annotations

from typing import Final

__all__ = ["TIMES", "room_of", "unfolds"]

_EMPTY: Final = 90  # bytes of a list, or of an object with nothing in it, and of its place
_OBJECT: Final = 220  # of one with something in it
TIMES: Final = 8  # its bytes that what people write in JSON takes at the most, once it is read


def room_of(content: bytes) -> int:
    """The bytes that lists and objects in JSON take. Signs within its texts count, too.

    Example:
        >>> room_of(b'[{}, {"name": "a record"}]')
        400
    """
    empty = content.count(b"{}")
    return _EMPTY * (content.count(b"[") + empty) + _OBJECT * (content.count(b"{") - empty)


def unfolds(content: bytes, spare: int) -> bool:
    """Whether JSON takes far more memory than it has bytes.

    Args:
        content: The text.
        spare: So many bytes are no matter, however short it is.

    Example:
        >>> unfolds(b"[" + b"{}," * 1000 + b"{}]", 10_000), unfolds(b'[{"name": "a record"}]', 200)
        (True, False)
    """
    return room_of(content) > spare + TIMES * len(content)
