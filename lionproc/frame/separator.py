"""What separates the cells of CSV, told from its first line."""

from __future__ import annotations

import re

__all__ = ["SEPARATORS", "separator_of"]

SEPARATORS = ",;\t|"
"""What may, the most usual first."""
_BEGINNING = 2**16  # characters that are looked at
_END = re.compile("[\r\n]")
_QUOTED = re.compile(rf'(?:^\ufeff?|(?<=[{SEPARATORS}\r\n])) *"(?:[^"]|"")*+(?:"|$)')


def separator_of(text: str, among: str = SEPARATORS) -> str:
    """The sign that the first line has most of, the first of them where it has none.

    Args:
        text: How the file begins.
        among: The signs.

    Example:
        >>> separator_of('"a, b and c";d'), separator_of('"a;' + chr(10) + 'b",c')
        (';', ',')
    """
    bare = _QUOTED.sub("", text[:_BEGINNING])  # a line may end within quotation marks
    line = _END.split(bare.lstrip("\r\n"), maxsplit=1)[0]
    return max(among, key=line.count)
