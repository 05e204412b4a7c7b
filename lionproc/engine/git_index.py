"""What a git repository tracks, by its index: whether a file came with it. No git is run.

Where there is no repository, nothing came with one. Where there is one, and nobody can tell what it
tracks (its index is damaged, may not be read, is larger than any), it counts as tracking whatever
is asked for: a stranger's repository can be made so that it is.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lionproc.engine.git_names import (
    HASHES,
    LONGEST_PATH,
    Bytes,
    Name,
    UnknownError,
    ends_well,
    places,
)
from lionproc.engine.regular_file import first_hole, opened_regular

__all__ = ["doubt_of", "is_gone", "repository_with", "tracks"]

LARGEST_INDEX = 2**31  # bytes of one that is looked through; 4 million files take 500 MB
MOST_READ, MOST_READ_OF_OTHERS = 2**26, 2**29  # bytes of it in memory
_VERSIONS = (2, 3, 4)
_LINK = b"gitdir: "  # how a file `.git` begins
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


class _GoneError(UnknownError):
    """What git has of it is not there."""


def tracks(folder: Path, path: str, below: bytes = b"", *, made_by: int | None = None) -> bool:
    """Whether a folder is a git repository of this user that has a file of such a name.

    Args:
        folder: Where `.git` would be.
        path: The name, as it is seen from there, or how it begins. Where a file has its name in any
            case (macOS, a disk of Windows that is seen from WSL, some shares), it is looked for in any.
        below: A regular expression for all that follows.
        made_by: The user whose file it is: then one counts, too, of theirs or of whose folder it is in.

    Returns:
        Also where it is one, and nobody can tell: see `doubt_of`.
    """
    try:
        return _lists(folder, path, below, made_by)
    except UnknownError:
        return True


def repository_with(file: Path, *, made_by: int | None = None) -> Path | None:
    """The folder of the git repository that tracks a file, None if none does.

    Args:
        file: Its absolute path.
        made_by: As for `tracks`.

    Returns:
        Also one of which nobody can tell: see `doubt_of`.
    """
    for above in file.parents:
        if tracks(above, os.fspath(file.relative_to(above)), made_by=made_by):
            return above
    return None


def _takes_any_case(folder: Path) -> bool:
    """Whether names are found there in any case; git asks in this way, too (`core.ignoreCase`)."""
    return sys.platform == "darwin" or os.path.lexists(folder / ".GIT")


def is_gone(repository: Path) -> bool:
    """Whether of a repository the tree alone is here, as of a worktree that a container has by itself.

    Git itself takes it for none. What was made here is believed, but nothing else that may have come with it.

    Args:
        repository: As for `doubt_of`.
    """
    try:
        _lists(repository, "//", b"", None)
    except _GoneError:
        return True
    except UnknownError:
        pass
    return False


def doubt_of(repository: Path, *, made_by: int | None = None) -> str:
    """Why a repository only counts as tracking a file, to be said behind its name.

    Args:
        repository: A folder that `repository_with` gave, or of which `tracks` is true.
        made_by: As for `tracks`.

    Returns:
        "" where its index says that it does.
    """
    try:
        _lists(repository, "//", b"", made_by)  # no name has it
    except UnknownError as why:
        return f" (for all that can be told: {why})"
    return ""


def _lists(folder: Path, path: str, below: bytes, made_by: int | None) -> bool:
    """Whether the index of a repository has such a name.

    Raises:
        UnknownError: There is one, and nobody can tell.
    """
    place = folder / ".git"
    try:
        owner, around = place.lstat().st_uid, folder.stat().st_uid
    except (OSError, ValueError):  # who may not look here has no file below either
        return False
    is_ours = owner in {os.geteuid(), 0}
    if not is_ours and (made_by is None or owner not in {made_by, around}):
        return False  # others may put one into /tmp
    looked_for = Name(path, below, any_case=_takes_any_case(folder))
    try:
        led = _led_to(place)
        if led is not None and led != place and not led.is_dir():
            raise _GoneError(f"{str(led)!r} is not there, to which its file .git leads")
        return led is not None and _holds(led / "index", looked_for)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _NOT_THERE:
            return False  # it is new, or what git calls no repository
        if not is_ours and made_by == os.geteuid() and isinstance(error, PermissionError):
            return False  # of which no git of this user has ever made a file
        why = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise UnknownError(f"its index cannot be read: {why}") from None


def _led_to(place: Path) -> Path | None:
    """Where git keeps what is its own: where a file `.git` leads, as those of worktrees do.

    Returns:
        None for a file that is none of git's.

    Raises:
        OSError: It cannot be read.
    """
    if not stat.S_ISREG(place.stat().st_mode):
        return place
    with opened_regular(place, follow=True) as file:
        told = file.read(LONGEST_PATH)
    if not told.startswith(_LINK):
        return None
    path = told.removeprefix(_LINK).partition(b"\0")[0].rstrip(b"\r\n")
    return place.parent / os.fsdecode(path) if path else None


def _holds(index: Path, looked_for: Name, *, is_shared: bool = False) -> bool:
    """Whether a git index lists such a file (format: git's documentation, gitformat-index).

    One that is split (`core.splitIndex`) has most names in another, which it shares.

    Raises:
        OSError: It is not there, or cannot be read.
        ValueError: The same.
        UnknownError: It can be read, and not be looked through.
    """
    with opened_regular(index, follow=True) as opened:
        size = os.fstat(opened.fileno()).st_size
        if not size:
            return False
        if size > LARGEST_INDEX:
            raise UnknownError(f"its index is larger than {LARGEST_INDEX // 2**30} GiB")
        if first_hole(opened.fileno()) < size:  # a few bytes of an archive make gigabytes of it
            raise UnknownError("its index has holes, and git leaves none")
        with _content_of(opened) as content:
            version = int.from_bytes(content[4:8])
            if content[:4] != b"DIRC" or version not in _VERSIONS:
                raise UnknownError("its index is damaged, or made by a newer git")
            if looked_for.is_in(content, version):
                return True
            shared = None if is_shared else _shared_by(index, content)
    if shared is None:
        return False
    try:
        return _holds(shared, looked_for, is_shared=True)
    except FileNotFoundError:
        raise UnknownError(f"its index is split, and {shared.name} is not there") from None


@contextlib.contextmanager
def _content_of(file: BinaryIO) -> Iterator[Bytes]:
    """What is in an index: read, or mapped where it is long and nobody else can cut it meanwhile.

    Who looks where a file that is mapped has been cut away is ended by the system (SIGBUS).
    """
    found = os.fstat(file.fileno())
    is_ours = found.st_uid in {os.geteuid(), 0} and not found.st_mode & 0o022
    if found.st_size > MOST_READ and is_ours:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield content
        return
    if found.st_size > MOST_READ_OF_OTHERS:
        raise UnknownError("its index is very long, and others can change it meanwhile")
    yield file.read(MOST_READ_OF_OTHERS)


def _shared_by(index: Path, content: Bytes) -> Path | None:
    """The other index that one is split from, by its extension `link`."""
    for found in places(content, re.compile(rb"link\0")):
        for size in HASHES:
            if ends_well(content, found.start(), len(content) - size):
                start = found.end() + 3
                shared = content[start : start + size]
                return index.with_name(f"sharedindex.{shared.hex()}") if any(shared) else None
    return None
