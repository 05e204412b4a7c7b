"""What a server says that its body is, as far as it may be believed.

The charset there names the decoder that httpx takes for `response.text`, which openai asks for of each
error. Python has some that take the square of a text's length (`punycode`), or unfold it (`bz2`).
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["plain_type"]

_LONGEST: Final = 200  # characters; email reads one of 100 KB in the square of its length
_CHARSETS: Final = (
    r"utf-?8|utf-16(?:le|be)?|(?:us-)?ascii|iso-8859-\d\d?|latin-?1|(?:windows-|cp)125\d|koi8-[ru]|"
    r"gbk|gb2312|gb18030|big5|shift_jis|euc-(?:jp|kr)"
)
_CHARSET: Final = rf'charset="?(?:{_CHARSETS})"?'
_OTHER: Final = r'(?!charset)[\w.-]+="?[\w.:/+-]*"?'
_PLAIN: Final = re.compile(rf"[^;,]*(?:; *(?:{_CHARSET}|{_OTHER}) *)*;? *", re.IGNORECASE)


def plain_type(said: str) -> str:
    """A `Content-Type` that decodes text in no more than its length.

    Args:
        said: As the server has it.

    Returns:
        The same; of one that says more than that, or another charset, what stands before that.

    Example:
        >>> plain_type("application/json; charset=utf-8"), plain_type("text/html; charset=punycode")
        ('application/json; charset=utf-8', 'text/html')
    """
    if len(said) <= _LONGEST and _PLAIN.fullmatch(said):
        return said
    return re.split("[;,]", said, maxsplit=1)[0][:_LONGEST].strip()
