"""What a git repository tracks, by its index: whether a file came with it. No git is run.

Where there is no repository, nothing came with one. Where there is one, and nobody can tell what it
tracks (its index is damaged, may not be read, is larger than any), it counts as tracking whatever
is asked for: a stranger's repository can be made so that it is.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import mmap
import os
import re
import stat
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from lionproc.engine.regular_file import opened_regular

__all__ = ["doubt_of", "pattern_of", "repository_with", "tracks"]

LONGEST_PATH = 2**16  # bytes
LARGEST_INDEX = 2**31  # bytes of one that is looked through; 4 million files take 500 MB
MOST_NAMES = 10_000_000  # that are put together of those before them
MOST_BYTES = 2**34  # of those names
MOST_LOOKS = 10_000_000  # at places where a name may stand
MOST_EXTENSIONS = 20
_HEAD, _BEFORE_HASH = 12, 40  # bytes
_HAS_MORE = 0x4000  # a bit of the flags of a name: there are two more bytes of them
_HASHES = (20, 32)  # bytes of SHA-1 and SHA-256
_VERSIONS = (2, 3, 4)
_LINK = b"gitdir: "  # how a file `.git` begins
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


class _UnknownError(Exception):
    """Nobody can tell what a repository tracks; the words say why."""


def tracks(folder: Path, pattern: bytes) -> bool:
    """Whether a folder is a git repository of this user that has a file of such a name.

    Args:
        folder: Where `.git` would be.
        pattern: A regular expression for the whole name, as it is seen from there; `pattern_of` for
            what it is written with. Where a file has its name in any case (macOS, a disk of Windows
            that is seen from WSL, some shares), it is looked for in any.

    Returns:
        Also where it is one, and nobody can tell: see `doubt_of`.
    """
    try:
        return _lists(folder, pattern)
    except _UnknownError:
        return True


def repository_with(file: Path) -> Path | None:
    """The folder of the git repository that tracks a file, None if none does.

    Args:
        file: Its absolute path.

    Returns:
        Also one of which nobody can tell: see `doubt_of`.
    """
    for above in file.parents:
        if tracks(above, pattern_of(file.relative_to(above))):
            return above
    return None


def pattern_of(path: str | os.PathLike[str]) -> bytes:
    """A regular expression for a path, whatever form (and case) its letters beyond ASCII have.

    Args:
        path: As it is seen from a repository.
    """
    text = unicodedata.normalize("NFC", os.fspath(path))
    return b"".join(
        re.escape(each.encode()) if each.isascii() else _in_any_form(each) for each in text
    )


def _in_any_form(letter: str) -> bytes:
    cases = {letter, letter.lower(), letter.upper(), letter.casefold()}
    forms = {
        os.fsencode(unicodedata.normalize(form, each)) for form in ("NFC", "NFD") for each in cases
    }
    return b"(?:%b)" % b"|".join(map(re.escape, sorted(forms, key=len, reverse=True)))


def _takes_any_case(folder: Path) -> bool:
    """Whether names are found there in any case; git asks in this way, too (`core.ignoreCase`)."""
    return sys.platform == "darwin" or os.path.lexists(folder / ".GIT")


def doubt_of(repository: Path) -> str:
    """Why a repository only counts as tracking a file, to be said behind its name.

    Args:
        repository: A folder that `repository_with` gave, or of which `tracks` is true.

    Returns:
        "" where its index says that it does.
    """
    try:
        _lists(repository, b"//")  # no name has it
    except _UnknownError as why:
        return f" (for all that can be told: {why})"
    return ""


def _lists(folder: Path, pattern: bytes) -> bool:
    """Whether the index of a repository has such a name.

    Raises:
        _UnknownError: There is one, and nobody can tell.
    """
    place = folder / ".git"
    try:
        owner = place.lstat().st_uid
    except (OSError, ValueError):  # who may not look here has no file below either
        return False
    if owner not in {os.geteuid(), 0}:  # others may put one into /tmp
        return False
    if _takes_any_case(folder):
        pattern = b"(?i:%b)" % pattern
    try:
        led = _led_to(place)
        return led is not None and _holds(led / "index", pattern)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _NOT_THERE:
            return False  # it is new, or what git calls no repository
        why = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise _UnknownError(f"its index cannot be read: {why}") from None


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


def _holds(index: Path, pattern: bytes, *, is_shared: bool = False) -> bool:
    """Whether a git index lists such a file (format: git's documentation, gitformat-index).

    One that is split (`core.splitIndex`) has most names in another, which it shares.

    Raises:
        OSError: It is not there, or cannot be read.
        ValueError: The same.
        _UnknownError: It can be read, and not be looked through.
    """
    with opened_regular(index, follow=True) as opened:
        size = os.fstat(opened.fileno()).st_size
        if not size:
            return False
        if size > LARGEST_INDEX:
            raise _UnknownError(f"its index is larger than {LARGEST_INDEX // 2**30} GiB")
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            version = int.from_bytes(content[4:8])
            if content[:4] != b"DIRC" or version not in _VERSIONS:
                raise _UnknownError("its index is damaged, or made by a newer git")
            looked_for = _has_cut_name if version == 4 else _has_name
            if looked_for(content, re.compile(pattern)):
                return True
            shared = None if is_shared else _shared_by(index, content)
    if shared is None:
        return False
    try:
        return _holds(shared, pattern, is_shared=True)
    except FileNotFoundError:
        raise _UnknownError(f"its index is split, and {shared.name} is not there") from None


def _shared_by(index: Path, content: mmap.mmap) -> Path | None:
    """The other index that one is split from, by its extension `link`."""
    for found in _places(content, re.compile(rb"link\0")):
        for size in _HASHES:
            if _ends_well(content, found.start(), len(content) - size):
                start = found.end() + 3
                shared = content[start : start + size]
                return index.with_name(f"sharedindex.{shared.hex()}") if any(shared) else None
    return None


def _places(index: mmap.mmap, pattern: re.Pattern[bytes]) -> Iterator[re.Match[bytes]]:
    end = 0
    for _ in range(MOST_LOOKS):  # no iterator of `re`: while there is one, no map is closed
        found = pattern.search(index, end)
        if found is None:
            return
        yield found
        end = found.end()
    raise _UnknownError("its index has millions of such names")


def _ends_well(content: mmap.mmap, place: int, end: int) -> bool:
    """Whether extensions begin at a place: each says how long it is, and a hash follows the last."""
    for _ in range(MOST_EXTENSIONS):
        if place + 8 > end:
            break
        place += 8 + int.from_bytes(content[place + 4 : place + 8])
    return place == end


def _has_name(index: mmap.mmap, pattern: re.Pattern[bytes]) -> bool:
    places = _places(index, re.compile(pattern.pattern + rb"(?=\0)"))
    return any(_is_name(index, *found.span()) for found in places)


def _is_name(index: mmap.mmap, start: int, end: int) -> bool:
    """Whether it is a whole name: of an entry that begins where one can, and says how long its name is."""
    for size, more in itertools.product(_HASHES, (0, 2)):
        entry = start - (_BEFORE_HASH + size + 2 + more)
        if entry >= _HEAD and (entry - _HEAD) % 8 == 0:
            flags = int.from_bytes(index[start - 2 - more : start - more])
            if flags & 0xFFF == min(end - start, 0xFFF) and bool(flags & _HAS_MORE) == bool(more):
                return True
    return False


def _has_cut_name(index: mmap.mmap, pattern: re.Pattern[bytes]) -> bool:
    """The same in an index of version 4, which does not say how long its hashes are."""
    for size in _HASHES:
        with contextlib.suppress(_UnknownError):  # of the other size nothing would end well
            return any(map(pattern.fullmatch, _names(index, size)))
    raise _UnknownError("its index is damaged, or has more or longer names than git writes")


def _names(index: mmap.mmap, hash_size: int) -> Iterator[bytes]:
    """The names in a git index of version 4, each kept without what it shares with the last.

    Raises:
        _UnknownError: There is what git does not write, as where hashes are of another size.
    """
    place, name, left = 12, b"", MOST_BYTES
    try:
        for _ in range(min(int.from_bytes(index[8:12]), MOST_NAMES)):
            place += 40 + hash_size
            place += 4 if index[place] & 0x40 else 2  # flags, and more of them
            byte = index[place]
            cut = byte & 0x7F
            while byte & 0x80 and cut < LONGEST_PATH:
                place += 1
                byte = index[place]
                cut = (cut + 1 << 7) | byte & 0x7F
            end = index.find(b"\0", place + 1)
            if end < 0 or max(end - place, len(name), cut) > LONGEST_PATH:
                raise _UnknownError  # each name that shares with it would be as long
            name = name[: max(len(name) - cut, 0)] + index[place + 1 : end]
            place = end + 1
            left -= len(name)
            if left < 0:
                raise _UnknownError
            yield name
    except IndexError:
        raise _UnknownError from None
    if not _ends_well(index, place, len(index) - hash_size):
        raise _UnknownError
