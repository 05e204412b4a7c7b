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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

from lionproc.engine.regular_file import first_hole, opened_regular

__all__ = ["doubt_of", "repository_with", "tracks"]

LONGEST_PATH = 2**16  # bytes
LARGEST_INDEX = 2**31  # bytes of one that is looked through; 4 million files take 500 MB
MOST_READ, MOST_READ_OF_OTHERS = 2**26, 2**29  # bytes of it in memory
MOST_NAMES = 10_000_000  # that are put together of those before them
MOST_BYTES = 2**34  # of those names
MOST_LOOKS = 10_000_000  # at places where a name may stand
MOST_EXTENSIONS = 20
_HEAD, _BEFORE_HASH = 12, 40  # bytes
_HAS_MORE = 0x4000  # a bit of the flags of a name: there are two more bytes of them
_HASHES = (20, 32)  # bytes of SHA-1 and SHA-256
_VERSIONS = (2, 3, 4)
_LINK = b"gitdir: "  # how a file `.git` begins
# What file systems leave out that fold names (Unicode, "Default_Ignorable_Code_Point").
_UNSEEN = dict.fromkeys(
    [
        *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0),
        *itertools.chain(range(0x180B, 0x1810), range(0x200B, 0x2010), range(0x202A, 0x202F)),
        *itertools.chain(range(0x2060, 0x2070), range(0xFE00, 0xFE10), range(0xFFF0, 0xFFF9)),
        *itertools.chain(range(0x1BCA0, 0x1BCA4), range(0x1D173, 0x1D17B), range(0xE0000, 0xE1000)),
    ]
)
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


_Bytes: TypeAlias = bytes | mmap.mmap


class _UnknownError(Exception):
    """Nobody can tell what a repository tracks; the words say why."""


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
    except _UnknownError:
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


class _AsWritten:
    """A name that is looked for as it is written, in any form of its letters beyond ASCII.

    Args:
        path: How it begins.
        below: A regular expression for what follows.
    """

    def __init__(self, path: str, below: bytes) -> None:
        text = unicodedata.normalize("NFC", path)
        begins = (
            re.escape(each.encode()) if each.isascii() else _in_any_form(each) for each in text
        )
        self._pattern = b"".join(begins) + below

    def is_in(self, index: _Bytes, version: int) -> bool:
        """Whether an index of such a version has it.

        Raises:
            _UnknownError: Nobody can tell.
        """
        if version == 4:  # each name is cut
            return _is_any(re.compile(self._pattern).fullmatch, index, version)
        places = _places(index, re.compile(self._pattern + rb"(?=\0)"))
        return any(_is_name(index, *found.span()) for found in places)


class _InAnyCase:
    """A name that is looked for as file systems find it that take names in any case.

    They fold it in full: `\u017f` is `s`, `\u00df` is `ss`, and some leave out what nobody sees.

    Args:
        path: How it begins.
        below: A regular expression for what follows.
    """

    def __init__(self, path: str, below: bytes) -> None:
        self._pattern = re.compile(
            re.escape(_folded(os.fsencode(path))) + b"(?i:%b)" % below, re.DOTALL
        )

    def is_in(self, index: _Bytes, version: int) -> bool:
        """As `_AsWritten.is_in`."""
        return _is_any(lambda name: self._pattern.fullmatch(_folded(name)), index, version)


_Name: TypeAlias = _AsWritten | _InAnyCase


def _is_any(fits: Callable[[bytes], object], index: _Bytes, version: int) -> bool:
    for size in _HASHES:
        with contextlib.suppress(_UnknownError):  # of the other size nothing ends well
            return sum(1 for name in _names(index, version, size) if fits(name)) > 0  # all the way
    raise _UnknownError("its index is damaged, or has more or longer names than git writes")


def _in_any_form(letter: str) -> bytes:
    forms = {os.fsencode(unicodedata.normalize(form, letter)) for form in ("NFC", "NFD")}
    return b"(?:%b)" % b"|".join(map(re.escape, sorted(forms, key=len, reverse=True)))


def _folded(name: bytes) -> bytes:
    """A name as a file system has it that takes it in any case (Unicode, "Default Caseless Matching")."""
    if name.isascii():
        return name.lower()
    text = unicodedata.normalize("NFD", os.fsdecode(name)).casefold().translate(_UNSEEN)
    return os.fsencode(unicodedata.normalize("NFD", text))


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
    except _UnknownError as why:
        return f" (for all that can be told: {why})"
    return ""


def _lists(folder: Path, path: str, below: bytes, made_by: int | None) -> bool:
    """Whether the index of a repository has such a name.

    Raises:
        _UnknownError: There is one, and nobody can tell.
    """
    place = folder / ".git"
    try:
        owner, around = place.lstat().st_uid, folder.stat().st_uid
    except (OSError, ValueError):  # who may not look here has no file below either
        return False
    is_ours = owner in {os.geteuid(), 0}
    if not is_ours and (made_by is None or owner not in {made_by, around}):
        return False  # others may put one into /tmp
    looked_for = _InAnyCase(path, below) if _takes_any_case(folder) else _AsWritten(path, below)
    try:
        led = _led_to(place)
        return led is not None and _holds(led / "index", looked_for)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _NOT_THERE:
            return False  # it is new, or what git calls no repository
        if not is_ours and made_by == os.geteuid() and isinstance(error, PermissionError):
            return False  # of which no git of this user has ever made a file
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


def _holds(index: Path, looked_for: _Name, *, is_shared: bool = False) -> bool:
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
        if first_hole(opened.fileno()) < size:  # a few bytes of an archive make gigabytes of it
            raise _UnknownError("its index has holes, and git leaves none")
        with _content_of(opened) as content:
            version = int.from_bytes(content[4:8])
            if content[:4] != b"DIRC" or version not in _VERSIONS:
                raise _UnknownError("its index is damaged, or made by a newer git")
            if looked_for.is_in(content, version):
                return True
            shared = None if is_shared else _shared_by(index, content)
    if shared is None:
        return False
    try:
        return _holds(shared, looked_for, is_shared=True)
    except FileNotFoundError:
        raise _UnknownError(f"its index is split, and {shared.name} is not there") from None


@contextlib.contextmanager
def _content_of(file: BinaryIO) -> Iterator[_Bytes]:
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
        raise _UnknownError("its index is very long, and others can change it meanwhile")
    yield file.read(MOST_READ_OF_OTHERS)


def _shared_by(index: Path, content: _Bytes) -> Path | None:
    """The other index that one is split from, by its extension `link`."""
    for found in _places(content, re.compile(rb"link\0")):
        for size in _HASHES:
            if _ends_well(content, found.start(), len(content) - size):
                start = found.end() + 3
                shared = content[start : start + size]
                return index.with_name(f"sharedindex.{shared.hex()}") if any(shared) else None
    return None


def _places(index: _Bytes, pattern: re.Pattern[bytes]) -> Iterator[re.Match[bytes]]:
    end = 0
    for _ in range(MOST_LOOKS):  # no iterator of `re`: while there is one, no map is closed
        found = pattern.search(index, end)
        if found is None:
            return
        yield found
        end = found.end()
    raise _UnknownError("its index has millions of such names")


def _ends_well(content: _Bytes, place: int, end: int) -> bool:
    """Whether extensions begin at a place: each says how long it is, and a hash follows the last."""
    for _ in range(MOST_EXTENSIONS):
        if place + 8 > end:
            break
        place += 8 + int.from_bytes(content[place + 4 : place + 8])
    return place == end


def _is_name(index: _Bytes, start: int, end: int) -> bool:
    """Whether it is a whole name: of an entry that begins where one can, and says how long its name is."""
    for size, more in itertools.product(_HASHES, (0, 2)):
        entry = start - (_BEFORE_HASH + size + 2 + more)
        if entry >= _HEAD and (entry - _HEAD) % 8 == 0:
            flags = int.from_bytes(index[start - 2 - more : start - more])
            if flags & 0xFFF == min(end - start, 0xFFF) and bool(flags & _HAS_MORE) == bool(more):
                return True
    return False


def _names(index: _Bytes, version: int, hash_size: int) -> Iterator[bytes]:
    """All names in a git index, which does not say how long its hashes are.

    Raises:
        _UnknownError: They are of another size, or there is what git does not write.
    """
    return (_cut_names if version == 4 else _whole_names)(index, hash_size)


def _whole_names(index: _Bytes, hash_size: int) -> Iterator[bytes]:
    """Those of versions 2 and 3, in entries of eight, sixteen, ... bytes."""
    place = _HEAD
    for _ in range(min(int.from_bytes(index[8:12]), MOST_NAMES)):
        start = place + _BEFORE_HASH + hash_size + 2
        start += 2 if index[start - 2 : start - 1] >= b"\x40" else 0  # of flags there are more
        end = index.find(b"\0", start)
        if end < 0 or end - start > LONGEST_PATH:
            raise _UnknownError
        yield index[start:end]
        place += (end - place + 8) // 8 * 8
    if not _ends_well(index, place, len(index) - hash_size):
        raise _UnknownError


def _cut_names(index: _Bytes, hash_size: int) -> Iterator[bytes]:
    """Those of version 4, each kept without what it shares with the last.

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
