"""A mark in a parquet file by which whoever wrote it knows it again.

In the file stands the number that the file system gave it. A copy, or what comes out of an archive, has
another one; so a file that bears its own, and that nobody but its owner can write, is as it was saved.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from lionproc.engine.trust import others_of

__all__ = ["OWN", "is_own", "own_mark"]

OWN: Final = b"lionproc.own"  # of the metadata
_END: Final = 8  # bytes behind the footer: its length, and what kind of file it is
_LONGEST: Final = 2**24  # bytes of a footer that is looked through


def own_mark(file: BinaryIO) -> bytes:
    """What the metadata of a file is to say under `OWN`.

    Args:
        file: It, opened.
    """
    return b"file %d on this disk;" % os.fstat(file.fileno()).st_ino


def is_own(path: Path) -> bool:
    """Whether a file was saved here by whoever reads it, and nobody else can have changed it since.

    Args:
        path: It need not be there.
    """
    if os.name != "posix":  # there it is not known who can write a file
        return False
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not found.st_ino or found.st_uid != os.geteuid() or others_of(found, path.parent):
                return False
            file.seek(-_END, os.SEEK_END)
            length = int.from_bytes(file.read(4), "little")
            if length > _LONGEST:
                return False
            file.seek(-_END - length, os.SEEK_END)
            said = file.read(length)
            mark = own_mark(file)
    except OSError:
        return False
    # As Thrift writes a text: its kind and length before it. A stranger may try one number, not all.
    texts = b"".join(b"\x18" + bytes([len(text)]) + text for text in (OWN, mark))
    return texts in said and said.count(OWN) == 1
