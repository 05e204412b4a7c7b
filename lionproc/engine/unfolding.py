"""How much memory JSON takes once it is read, told from its text.

A number or a text takes a few times its bytes. `{}` takes 25 times its own: 16 MiB of a stranger's
are 400 MB, and a folder of such files more than there is.
"""

from __future__ import annotations

__all__ = ["unfolds"]

USUAL = 16  # bytes of text for each list or object; what people keep has more


def unfolds(content: bytes, spare: int) -> bool:
    """Whether JSON has so many lists and objects that it takes far more memory than it has bytes.

    Args:
        content: The text. Signs within its texts count, too.
        spare: So many of them are no matter, however short it is; a hundred bytes each.

    Example:
        >>> unfolds(b"[" + b"{}," * 1000 + b"{}]", 100), unfolds(b'[{"name": "a record"}]', 0)
        (True, False)
    """
    return content.count(b"{") + content.count(b"[") > spare + len(content) // USUAL
