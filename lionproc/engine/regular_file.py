"""Files that somebody else may have put there, read: no pipe, no device, no giant and no hole."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["bytes_of", "first_hole", "opened_regular", "read_regular", "written_part"]


def read_regular(
    path: Path,
    largest: int,
    *,
    follow: bool = False,
    flaw: Callable[[os.stat_result], str] | None = None,
) -> bytes:
    """All of a file that somebody else may have put there: never a pipe, a device or a giant.

    Nor one with holes, which is short on the disk and long to read: lionproc leaves none.

    Args:
        path: The file.
        largest: Bytes that it may have.
        follow: Whether it may be a symbolic link.
        flaw: What else is wrong with it, "" for nothing.

    Raises:
        OSError: It cannot be read, is no regular file, is larger, has holes, or a flaw.
    """
    with opened_regular(path, follow=follow, flaw=flaw) as file:
        if first_hole(file.fileno()) < os.fstat(file.fileno()).st_size <= largest:
            raise OSError(errno.EINVAL, "it has holes, and no file that is written whole has any")
        content = file.read(largest + 1)
    if len(content) > largest:
        raise OSError(errno.EFBIG, f"it is larger than {largest // 2**20:,} MiB")
    return content


@contextmanager
def opened_regular(
    path: Path, *, follow: bool = False, flaw: Callable[[os.stat_result], str] | None = None
) -> Iterator[BinaryIO]:
    """A file that somebody else may have put there, to be read: never a pipe or a device.

    Args:
        path: The file.
        follow: Whether it may be a symbolic link.
        flaw: What else is wrong with it, "" for nothing.

    Raises:
        OSError: It cannot be read, is no regular file, or has a flaw.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if not follow:
        if path.is_symlink():
            raise OSError(errno.ELOOP, "it is a link, and links are not followed here")
        flags |= getattr(os, "O_NOFOLLOW", 0)
    # With an opener nothing stays open of a folder, which is no file either.
    with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is a device, pipe or socket and no file")
        if flaw is not None and (what := flaw(found)):
            raise PermissionError(errno.EPERM, what)
        yield file


def first_hole(file: int) -> int:
    """Where the first hole of a file begins; its length where it has none, or nobody can tell.

    Args:
        file: Open, at its beginning; it stays there.
    """
    length = os.fstat(file).st_size
    try:
        found = os.lseek(file, 0, os.SEEK_HOLE)
    except (AttributeError, OSError):  # Windows, or a file system that does not know
        return length
    os.lseek(file, 0, os.SEEK_SET)
    return min(found, length)


def written_part(file: int) -> bytes:
    """What is in a file, without its holes.

    Args:
        file: Open, at its beginning.

    Raises:
        OSError: It cannot be read.
    """
    parts: list[bytes] = []
    place, is_whole = 0, first_hole(file) >= (found := os.fstat(file)).st_size
    # Some file systems tell of holes in what was written a moment ago (openzfs issue 15526).
    if is_whole or bytes_of(found) >= found.st_size:
        return _read(file, 0, found.st_size)
    while place < found.st_size:
        try:
            place = os.lseek(file, place, os.SEEK_DATA)
            end = os.lseek(file, place, os.SEEK_HOLE)
        except OSError:  # there is no more
            break
        parts.append(_read(file, place, end - place))
        place = end
    return b"".join(parts)


def _read(file: int, start: int, size: int) -> bytes:
    os.lseek(file, start, os.SEEK_SET)
    with os.fdopen(os.dup(file), "rb") as opened:
        return opened.read(size)


def bytes_of(found: os.stat_result) -> int:
    """The bytes that a file has, holes left out: an archive of some hundred makes one of terabytes.

    Args:
        found: What is known of it. Where its file system does not tell what it takes on the disk,
            or says nothing yet of a new file, its length counts.
    """
    taken = 512 * getattr(found, "st_blocks", 0)  # POSIX leaves the unit open; all use 512
    return min(found.st_size, taken) or found.st_size
