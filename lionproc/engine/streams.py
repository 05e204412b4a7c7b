"""Where progress is written: what may go while somebody writes to it."""

from __future__ import annotations

import contextlib
from typing import Any, TextIO

__all__ = ["Stream"]


class Stream:
    """A stream that may go while it is written to: a pipe that is closed, a session that ends.

    What cannot be written is not written. tqdm keeps its lock where a write fails, and then the
    process waits for that lock for ever when it ends.

    Args:
        stream: The stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write as much as can be."""
        with contextlib.suppress(OSError, ValueError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()
