"""Files that somebody else may have put there, read: no pipe, no device and no giant."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

__all__ = ["bytes_of", "read_regular"]


def read_regular(
    path: Path,
    largest: int,
    *,
    follow: bool = False,
    flaw: Callable[[os.stat_result], str] | None = None,
) -> bytes:
    """All of a file that somebody else may have put there: never a pipe, a device or a giant.

    Args:
        path: The file.
        largest: Bytes that it may have.
        follow: Whether it may be a symbolic link.
        flaw: What else is wrong with it, "" for nothing.

    Raises:
        OSError: It cannot be read, is no regular file, is larger, or has a flaw.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if not follow:
        if path.is_symlink():
            raise OSError(errno.ELOOP, "it is a link, and links are not followed here")
        flags |= getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is a device, pipe or socket and no file")
        if flaw is not None and (what := flaw(found)):
            raise PermissionError(errno.EPERM, what)
        content = file.read(largest + 1)
    if len(content) > largest:
        raise OSError(errno.EFBIG, f"it is larger than {largest // 2**20:,} MiB")
    return content


def bytes_of(found: os.stat_result) -> int:
    """The bytes that a file has, holes left out: an archive of some hundred makes one of terabytes.

    Args:
        found: What is known of it. Where its file system does not tell what it takes on the disk,
            or says nothing yet of a new file, its length counts.
    """
    taken = 512 * getattr(found, "st_blocks", 0)  # POSIX leaves the unit open; all use 512
    return min(found.st_size, taken) or found.st_size
