"""Rows that are looked up together: fewer at once where what is kept of them is long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from lionproc.engine.journal import MuchKeptError

__all__ = ["MOST_AT_ONCE", "in_parts"]

MOST_AT_ONCE: Final = 64 * 2**20  # bytes of kept replies, and one more

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_parts(
    rows: Sequence[_T], look_up: Callable[[Sequence[_T], int | None], Sequence[_R]]
) -> list[_R]:
    """Look rows up, half of them at a time where there is too much for all.

    Args:
        rows: What is looked up together; a single one is in any case.
        look_up: Does it, for some of them, and raises `MuchKeptError` where more bytes are kept of them
            than this; None for no bound.

    Returns:
        What that returns, of all rows in their order.
    """
    if len(rows) <= 1:
        return list(look_up(rows, None))
    with suppress(MuchKeptError):
        return list(look_up(rows, MOST_AT_ONCE))
    half = len(rows) // 2
    return in_parts(rows[:half], look_up) + in_parts(rows[half:], look_up)
