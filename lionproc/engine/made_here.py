"""A mark in a folder which says that lionproc made it here, and which comes with no archive.

An archive keeps names, contents and rights, and whoever unpacks it owns what was in it. The number
that a file system gives a folder (its inode) it cannot keep: a copy has another one.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from lionproc.engine.regular_file import read_regular
from lionproc.engine.whole_file import temporary_name

__all__ = ["is_made_here", "mark"]

NAME: Final = ".made-here"
_LARGEST: Final = 64  # bytes of it


def mark(folder: Path) -> None:
    """Say that a folder was made here. One that cannot be written stays without.

    Args:
        folder: It is there.
    """
    made = folder / temporary_name(NAME)
    with contextlib.suppress(OSError):
        number = _number(folder)
        file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(file, number)
        finally:
            os.close(file)
        made.replace(folder / NAME)  # a link of a stranger is replaced, not followed
    with contextlib.suppress(OSError):
        made.unlink()


def is_made_here(folder: Path) -> bool:
    """Whether a folder has its own mark.

    Args:
        folder: It need not be there.
    """
    try:
        return read_regular(folder / NAME, _LARGEST) == _number(folder)
    except OSError:
        return False


def _number(folder: Path) -> bytes:
    return b"%d\n" % folder.stat().st_ino
