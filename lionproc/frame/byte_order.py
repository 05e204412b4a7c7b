"""The encoding that a byte order mark at the start of a file says."""

from __future__ import annotations

import codecs

__all__ = ["marked_encoding"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # it begins as that of UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def marked_encoding(head: bytes) -> str | None:
    """The encoding of a text that begins so; None where no mark says it.

    Args:
        head: Its first bytes, four at least if it has as many.

    Example:
        >>> marked_encoding("a".encode("utf-16")), marked_encoding(b"a")
        ('utf-16', None)
    """
    return next((name for mark, name in _MARKS if head.startswith(mark)), None)
