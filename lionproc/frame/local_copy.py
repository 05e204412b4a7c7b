"""A file as it is now, on this machine, where nobody else changes it between two looks."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from lionproc.engine.regular_file import opened_regular
from lionproc.engine.trust import others_of
from lionproc.frame.place import Remote

__all__ = ["COPIED", "local_copy"]

COPIED: Final = 2**28  # bytes: whoever makes a file of little that takes much has no need of more
_LAST: Final = 8  # bytes of a file: how long what comes before them is, and what kind of file it is
_PIECE: Final = 2**20  # bytes that are copied at once


@contextlib.contextmanager
def local_copy(file: Path | Remote, *, of_end: bool = False, most: int = COPIED) -> Iterator[Path]:
    """The file, on this machine.

    One that others can write or replace is copied, so that what was tried in another process is what
    is read here.

    Args:
        file: It.
        of_end: Whether only what is said at its end is needed.
        most: Bytes of a file on this machine that is copied; a longer one is read where it is.

    Raises:
        OSError: It is a pipe or a device, at which Arrow would wait for ever.
    """
    if not isinstance(file, Remote):
        if file.exists() and not file.is_file():
            raise OSError(errno.EINVAL, "it is a device, pipe or socket and no file")
        if not _may_change(file, most):
            yield file
            return
    with tempfile.TemporaryDirectory(prefix="lionproc-") as folder:
        made = Path(folder, "copy.parquet")
        with _opened(file) as source, made.open("xb") as copy:
            if of_end:
                _go_to_end(source)
            shutil.copyfileobj(source, copy, _PIECE)
        yield made


def _opened(file: Path | Remote) -> contextlib.AbstractContextManager[Any]:
    return file.open("rb") if isinstance(file, Remote) else opened_regular(file, follow=True)


def _may_change(file: Path, most: int) -> bool:
    """Whether others can write a file, or put another one in its place, and it is short enough to copy."""
    try:
        real = file.resolve()
        found = real.stat()
        if found.st_size > most:
            return False
        return bool(others_of(found, real.parent)) or any(map(_is_of_others, real.parents))
    except OSError:  # it is not there, say, which is told when it is read
        return False


def _is_of_others(folder: Path) -> bool:
    """Whether others can replace what is in it: not in /tmp, where nobody takes away another's."""
    found = folder.stat()
    return not found.st_mode & stat.S_ISVTX and bool(others_of(found, folder))


def _go_to_end(source: BinaryIO) -> None:
    """Go to where a file begins to say what is in it; the length of that is nearly at its end."""
    size = source.seek(0, os.SEEK_END)
    source.seek(max(0, size - _LAST))
    length = int.from_bytes(source.read(_LAST)[:4], "little")
    source.seek(max(0, size - _LAST - length))
