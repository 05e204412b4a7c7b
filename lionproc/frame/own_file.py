"""A mark in a parquet file by which whoever wrote it knows it again, wherever it lies.

It is a digest of the whole file with a secret of its user (`own_secret`), and stands in the metadata
in a place that is kept free for it. Whoever changes a byte cannot make another one.
"""

from __future__ import annotations

import errno
import hmac
import os
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final

from lionproc.engine.own_secret import own_secret
from lionproc.engine.regular_file import first_hole, opened_regular

__all__ = ["NO_MARK", "OWN", "is_own", "make_own"]

OWN: Final = b"lionproc.own"  # of the metadata
_SIZE: Final = 32  # bytes of the digest, each of which is two letters
NO_MARK: Final = b"0" * 2 * _SIZE
# As Thrift writes two texts: the kind of each, which comes after the one before, and its length.
_PLACE: Final = b"\x18" + bytes([len(OWN)]) + OWN + b"\x18" + bytes([len(NO_MARK)])
_END: Final = 8  # bytes behind the footer: its length, and what kind of file it is
_LONGEST: Final = 2**26  # bytes of a footer that is looked through
_PIECE: Final = 2**20  # bytes that are read at once


def make_own(file: BinaryIO) -> None:
    """Give a file its mark. Where there is no secret, or a disk writes only at its end, it has none.

    Args:
        file: An open parquet file with `NO_MARK` under `OWN` in its metadata.
    """
    secret = own_secret(make=True)
    if secret is None:
        return
    file.flush()
    # What such a disk does not take stays in a buffer of its own, and is not tried again.
    with suppress(OSError), os.fdopen(file.fileno(), "r+b", closefd=False) as again:
        place = _place_in(again)
        if place is not None:
            mark = _digest(again, place, secret)
            again.seek(place)
            again.write(mark)


def is_own(path: Path) -> bool:
    """Whether a file is, byte for byte, as this user has saved it on this machine.

    Args:
        path: It need not be there.
    """
    secret = own_secret(make=False)
    if secret is None:
        return False
    try:
        with opened_regular(path, follow=True) as file:
            place = _place_in(file)
            if place is None or first_hole(file.fileno()) < os.fstat(file.fileno()).st_size:
                return False  # a hole of terabytes would be read, and we leave none
            file.seek(place)
            return hmac.compare_digest(file.read(len(NO_MARK)), _digest(file, place, secret))
    except OSError:
        return False


def _place_in(file: BinaryIO) -> int | None:
    """Where the mark of a file stands; None if it has no one place for it."""
    size = file.seek(0, os.SEEK_END)
    if size < _END:
        return None
    file.seek(size - _END)
    length = int.from_bytes(file.read(4), "little")
    if length > min(_LONGEST, size - _END):
        return None
    begin = size - _END - length
    file.seek(begin)
    said = file.read(length)
    at = said.find(_PLACE)
    is_alone = at >= 0 and said.count(OWN) == 1 and at + len(_PLACE) + len(NO_MARK) <= length
    return begin + at + len(_PLACE) if is_alone else None


def _digest(file: BinaryIO, place: int, secret: bytes) -> bytes:
    """That of the file without its mark, in letters."""
    made = blake2b(key=secret, digest_size=_SIZE)
    file.seek(0)
    left = place
    while left:
        piece = file.read(min(_PIECE, left))
        if not piece:
            raise OSError(errno.EIO, "it has become shorter")
        made.update(piece)
        left -= len(piece)
    made.update(NO_MARK)
    file.seek(place + len(NO_MARK))
    while piece := file.read(_PIECE):
        made.update(piece)
    return made.hexdigest().encode()
