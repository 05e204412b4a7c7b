"""What a git repository tracks, by its index: whether a file came with it. No git is run."""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import stat
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from lionproc.engine.regular_file import first_hole, read_regular

__all__ = ["repository_with", "tracks"]

LONGEST_PATH = 2**16  # bytes
MOST_LINKS = 1_000_000  # names in which the word is looked at
MOST_EXTENSIONS = 20
_HASHES = (20, 32)  # bytes of SHA-1 and SHA-256
LARGEST_INDEX = 256 * 2**20  # bytes of a git index that is looked into


def tracks(folder: Path, pattern: bytes) -> bool:
    """Whether a folder is a git repository of this user that has a file of such a name.

    Args:
        folder: Where `.git` would be.
        pattern: A regular expression for the whole name, as it is seen from there. On macOS a
            file has its name in any case.
    """
    if sys.platform == "darwin":
        pattern = b"(?i:%b)" % pattern
    place = folder / ".git"
    with contextlib.suppress(OSError, ValueError):
        if place.lstat().st_uid in {os.geteuid(), 0}:  # others may put one into /tmp
            if place.is_file():  # a worktree: "gitdir: ..."
                told = read_regular(place, LONGEST_PATH, follow=True).decode()
                place = folder / told[8:].strip()
            return _holds(place / "index", pattern)
    return False


def repository_with(file: Path) -> Path | None:
    """The folder of the git repository that tracks a file, None if none does.

    Args:
        file: Its absolute path.
    """
    for above in file.parents:
        if tracks(above, re.escape(os.fsencode(file.relative_to(above)))):
            return above
    return None


def _holds(index: Path, pattern: bytes, *, is_shared: bool = False) -> bool:
    """Whether a git index lists such a file (format: git's documentation, gitformat-index).

    One that is split (`core.splitIndex`) has most names in another, which it shares.
    """
    with os.fdopen(os.open(index, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
        found = os.fstat(opened.fileno())
        if not (stat.S_ISREG(found.st_mode) and 0 < found.st_size <= LARGEST_INDEX):
            return False
        if first_hole(opened.fileno()) < found.st_size:  # git leaves none
            return False
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content[4:8] == b"\0\0\0\4":
                names = (name for size in _HASHES for name in _names(content, size))
                found_here = any(re.fullmatch(pattern, name) for name in names)
            else:
                found_here = _has_name(content, re.compile(pattern + rb"(?=\0)"))
            shared = None if found_here or is_shared else _shared_by(index, content)
    return found_here or (shared is not None and _holds(shared, pattern, is_shared=True))


def _shared_by(index: Path, content: mmap.mmap) -> Path | None:
    """The other index that one is split from, by its extension `link`."""
    for found in islice(re.finditer(rb"link\0", content), MOST_LINKS):
        for size in _HASHES:
            if _ends_well(content, found.start(), len(content) - size):
                start = found.end() + 3
                shared = index.with_name(f"sharedindex.{content[start : start + size].hex()}")
                return shared if shared.is_file() else None
    return None


def _ends_well(content: mmap.mmap, place: int, end: int) -> bool:
    """Whether extensions begin at a place: each says how long it is, and a hash follows the last."""
    for _ in range(MOST_EXTENSIONS):
        if place + 8 > end:
            break
        place += 8 + int.from_bytes(content[place + 4 : place + 8])
    return place == end


def _has_name(index: mmap.mmap, pattern: re.Pattern[bytes]) -> bool:
    end = 0
    while found := pattern.search(index, end):
        start, end = found.span()
        if _is_name(index, start, end):
            return True
    return False


def _is_name(index: mmap.mmap, start: int, end: int) -> bool:
    """Whether it is a whole name: before it is its length, and in between there may be flags."""
    lengths = (int.from_bytes(index[start - back : start - back + 2]) & 0xFFF for back in (2, 4))
    return min(end - start, 0xFFF) in lengths


def _names(index: mmap.mmap, hash_size: int) -> Iterator[bytes]:
    """The names in a git index of version 4, each kept without what it shares with the last."""
    place, name = 12, b""
    with contextlib.suppress(IndexError):  # hashes of another size
        for _ in range(int.from_bytes(index[8:12])):
            place += 40 + hash_size
            place += 4 if index[place] & 0x40 else 2  # flags, and more of them
            byte = index[place]
            cut = byte & 0x7F
            while byte & 0x80 and cut < LONGEST_PATH:
                place += 1
                byte = index[place]
                cut = (cut + 1 << 7) | byte & 0x7F
            end = index.find(b"\0", place + 1)
            if end < 0:
                return
            if max(end - place, len(name), cut) > LONGEST_PATH:
                return  # git makes none: each that shares with it would be as long
            name = name[: max(len(name) - cut, 0)] + index[place + 1 : end]
            place = end + 1
            yield name
