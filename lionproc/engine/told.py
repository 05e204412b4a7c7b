"""Warnings that point at the line of the user's own code."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn"]


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line of the user's own code.

    Args:
        message: What is said.
        category: One of `lionproc.errors`.
    """
    frame, depth = sys._getframe(1), 2
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        frame, depth = frame.f_back, depth + 1
    warnings.warn(message, category, stacklevel=depth)


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in {"lionproc", "contextlib"}
