"""A frame as it is now, whatever somebody writes into it later.

pandas 3 shares cells between frames until one of them is written into (copy-on-write). pandas 2 does
not, unless it is told to: there a cell that is changed while its row is asked would stand beside the
answer to another text.
"""

from __future__ import annotations

from typing import Final, TypeVar

import pandas as pd

from lionproc.errors import ConfigurationError

__all__ = ["snapshot"]

_ALWAYS: Final = int(pd.__version__.partition(".")[0]) >= 3
_Frame = TypeVar("_Frame", bound=pd.DataFrame)


def snapshot(frame: _Frame) -> _Frame:
    """A frame of its own with the same rows. Its data is shared where nobody can tell.

    Args:
        frame: Any frame. Lists and other objects in its cells are shared in any case.

    Raises:
        ConfigurationError: pandas cannot copy its `attrs`, as a file may have them.
    """
    try:
        return frame.copy(deep=not _copies_on_write())
    except RecursionError:
        raise ConfigurationError(
            "The frame's attrs have lists or dicts in one another so deep that pandas cannot copy "
            "them. Take them away: df.attrs = {}."
        ) from None


def _copies_on_write() -> bool:
    return _ALWAYS or pd.get_option("mode.copy_on_write") is True  # it may be "warn"
