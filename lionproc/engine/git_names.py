"""Names in a git index, and how one is looked for (format: git's documentation, gitformat-index)."""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import TypeAlias

__all__ = [
    "HASHES",
    "LONGEST_PATH",
    "Bytes",
    "Name",
    "UnknownError",
    "ends_well",
    "names",
    "places",
]

LONGEST_PATH = 2**16  # bytes
MOST_NAMES = 10_000_000  # that are put together of those before them
MOST_BYTES = 2**34  # of those names
MOST_FOLDED = 2**24  # of those that are folded, half a microsecond each
LONGEST_STEP = 1020  # bytes: no file system has a name of more than 255 letters
MOST_LOOKS = 10_000_000  # at places where a name may stand
MOST_EXTENSIONS = 20
_HEAD, _BEFORE_HASH = 12, 40  # bytes
_HAS_MORE = 0x4000  # a bit of the flags of a name: there are two more bytes of them
HASHES = (20, 32)  # bytes of SHA-1 and SHA-256
# The letters of ASCII that are another one's form in Unicode.
_SAME = {"K": b"(?:K|\xe2\x84\xaa)", ";": b"(?:;|\xcd\xbe)", "`": b"(?:`|\xe1\xbf\xaf)"}
_PIECE = 64  # characters
# What file systems leave out that fold names (Unicode, "Default_Ignorable_Code_Point").
_UNSEEN = dict.fromkeys(
    [
        *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0),
        *itertools.chain(range(0x180B, 0x1810), range(0x200B, 0x2010), range(0x202A, 0x202F)),
        *itertools.chain(range(0x2060, 0x2070), range(0xFE00, 0xFE10), range(0xFFF0, 0xFFF9)),
        *itertools.chain(range(0x1BCA0, 0x1BCA4), range(0x1D173, 0x1D17B), range(0xE0000, 0xE1000)),
    ]
)

Bytes: TypeAlias = bytes | mmap.mmap


class UnknownError(Exception):
    """Nobody can tell what a repository tracks; the words say why."""


class Name:
    """A name that is looked for in an index as file systems find a file by it.

    Some take another form of a letter, as ZFS does where it is told to (U+212A is `K`). Some take any
    case, and fold a name in full: U+017F is `s`, U+00DF is `ss`. Of these some leave out what nobody sees
    (HFS+), or dots and spaces at the end of a step (FAT, shares of Windows). What any of them does counts.

    Args:
        path: How it begins.
        below: A regular expression for what follows.
        any_case: Whether it is found in any case.
    """

    def __init__(self, path: str, below: bytes, *, any_case: bool) -> None:
        self._any_case = any_case
        self._longest = (path.count("/") + 2) * LONGEST_STEP
        begins = _folded(os.fsencode(path), any_case=any_case)
        self._first = begins[:1].lower()
        below = b"(?i:%b)" % below if any_case else below
        self._folded = re.compile(re.escape(begins) + below, re.DOTALL)
        letters = (_SAME.get(each) or re.escape(each.encode()) for each in path if each.isascii())
        is_plain = path.isascii() and not any_case
        self._as_written = b"".join(letters) + below if is_plain else None

    def is_in(self, index: Bytes, version: int) -> bool:
        """Whether an index of such a version has it.

        Raises:
            UnknownError: Nobody can tell.
        """
        if self._as_written is None:
            left = MOST_FOLDED

            def fits(name: bytes) -> object:
                nonlocal left
                if not name.isascii():
                    if len(name) > self._longest or not self._may_begin(name):
                        return None
                    left -= len(name)
                    if left < 0:
                        raise UnknownError
                return self._folded.fullmatch(_folded(name, any_case=self._any_case))

            return _is_any(fits, index, version)
        if version == 4:  # each name is cut
            return _is_any(re.compile(self._as_written).fullmatch, index, version)
        found = places(index, re.compile(self._as_written + rb"(?=\0)"))  # in a tenth of the time
        return any(_is_name(index, *each.span()) for each in found)

    def _may_begin(self, name: bytes) -> bool:
        first = name[:1]
        return not (self._first and first.isascii()) or first.lower() == self._first


def _is_any(fits: Callable[[bytes], object], index: Bytes, version: int) -> bool:
    for size in HASHES:
        with contextlib.suppress(UnknownError):  # of the other size nothing ends well
            return sum(1 for name in names(index, version, size) if fits(name)) > 0  # all the way
    raise UnknownError("its index is damaged, or has more or longer names than git writes")


def _folded(name: bytes, *, any_case: bool) -> bytes:
    """A name as others are that a file system takes for the same (Unicode, "Default Caseless Matching")."""
    if not name.isascii():
        text = _decomposed(name.decode("utf-8", "surrogateescape"))
        if any_case:  # in capitals first, to which ZFS folds: so U+0131 is an i
            text = _decomposed(text.upper().casefold().translate(_UNSEEN))
        name = text.encode("utf-8", "surrogateescape")
    if not any_case:
        return name
    name = name.lower()
    if b"./" in name or b" /" in name or name[-1:] in b". ":
        return b"/".join(step.rstrip(b". ") for step in name.split(b"/"))
    return name


def _decomposed(text: str) -> str:
    """A text in NFD, in time in proportion to its length: to sort marks takes the square of their number.

    Raises:
        UnknownError: There are more in a row than anybody writes (UAX #15 has 30).
    """
    parts, start = [], 0
    while start < len(text):
        end = start + _PIECE  # or where no mark follows
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
            if end > start + 2 * _PIECE:
                raise UnknownError
        parts.append(unicodedata.normalize("NFD", text[start:end]))
        start = end
    return "".join(parts)


def places(index: Bytes, pattern: re.Pattern[bytes]) -> Iterator[re.Match[bytes]]:
    """Where a pattern is found in an index.

    Raises:
        UnknownError: In too many places.
    """
    end = 0
    for _ in range(MOST_LOOKS):  # no iterator of `re`: while there is one, no map is closed
        found = pattern.search(index, end)
        if found is None:
            return
        yield found
        end = found.end()
    raise UnknownError("its index has millions of such names")


def ends_well(content: Bytes, place: int, end: int) -> bool:
    """Whether extensions begin at a place: each says how long it is, and a hash follows the last."""
    for _ in range(MOST_EXTENSIONS):
        if place + 8 > end:
            break
        place += 8 + int.from_bytes(content[place + 4 : place + 8])
    return place == end


def _is_name(index: Bytes, start: int, end: int) -> bool:
    """Whether it is a whole name: of an entry that begins where one can, and says how long its name is."""
    for size, more in itertools.product(HASHES, (0, 2)):
        entry = start - (_BEFORE_HASH + size + 2 + more)
        if entry >= _HEAD and (entry - _HEAD) % 8 == 0:
            flags = int.from_bytes(index[start - 2 - more : start - more])
            if flags & 0xFFF == min(end - start, 0xFFF) and bool(flags & _HAS_MORE) == bool(more):
                return True
    return False


def names(index: Bytes, version: int, hash_size: int) -> Iterator[bytes]:
    """All names in a git index, which does not say how long its hashes are.

    Raises:
        UnknownError: They are of another size, or there is what git does not write.
    """
    return (_cut_names if version == 4 else _whole_names)(index, hash_size)


def _whole_names(index: Bytes, hash_size: int) -> Iterator[bytes]:
    """Those of versions 2 and 3, in entries of eight, sixteen, ... bytes."""
    place = _HEAD
    for _ in range(min(int.from_bytes(index[8:12]), MOST_NAMES)):
        start = place + _BEFORE_HASH + hash_size + 2
        if start > len(index):
            raise UnknownError
        start += 2 if index[start - 2] & 0x40 else 0  # of flags there are more
        end = index.find(b"\0", start)
        if end < 0 or end - start > LONGEST_PATH:
            raise UnknownError
        yield index[start:end]
        place += (end - place + 8) // 8 * 8
    if not ends_well(index, place, len(index) - hash_size):
        raise UnknownError


def _cut_names(index: Bytes, hash_size: int) -> Iterator[bytes]:
    """Those of version 4, each kept without what it shares with the last.

    Raises:
        UnknownError: There is what git does not write, as where hashes are of another size.
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
                raise UnknownError  # each name that shares with it would be as long
            name = name[: max(len(name) - cut, 0)] + index[place + 1 : end]
            place = end + 1
            left -= len(name)
            if left < 0:
                raise UnknownError
            yield name
    except IndexError:
        raise UnknownError from None
    if not ends_well(index, place, len(index) - hash_size):
        raise UnknownError
