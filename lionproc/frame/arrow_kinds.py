"""What there is in columns of Arrow."""

from __future__ import annotations

from typing import Any, TypeAlias

import pyarrow as pa

__all__ = ["is_text", "no_view"]

Arrow: TypeAlias = Any  # an Arrow array or chunked array: stubs for these differ too much


def is_text(kind: pa.DataType) -> bool:
    """Whether each value is a text, or bytes, of any length.

    Example:
        >>> is_text(pa.large_string()), is_text(pa.binary(4))
        (True, False)
    """
    types: Any = pa.types
    return any(
        test(kind)
        for test in (
            types.is_string,
            types.is_large_string,
            types.is_string_view,
            types.is_binary,
            types.is_large_binary,
            types.is_binary_view,
        )
    )


def no_view(texts: Arrow) -> Arrow:
    """A column of texts, or of bytes, as most functions of Arrow take it; views are copied."""
    types: Any = pa.types
    if types.is_string_view(texts.type) or types.is_binary_view(texts.type):
        return texts.cast(pa.large_binary())
    return texts
