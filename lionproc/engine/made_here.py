"""A mark in a folder which says that lionproc made it here, and which comes with no archive.

An archive keeps names, contents and rights, and whoever unpacks it owns what was in it. The number
that a file system gives a folder (its inode) it cannot keep: a copy has another one. And it cannot
know a secret that was made up here. Its journal and the logs beside that bear the secret too, so what
was unpacked over them is known from them. Where there is no secret yet, the journal is taken as it is,
and is given one when it is opened.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from lionproc.engine.folder_lock import alone_in
from lionproc.engine.new_file import temporary_name
from lionproc.engine.regular_file import read_regular
from lionproc.engine.told import warn
from lionproc.engine.trusted import is_trusted
from lionproc.errors import LionprocWarning

__all__ = ["USUAL_JOURNAL", "is_made_here", "make_secret", "mark", "say_it_was_not", "secret_of"]

USUAL_JOURNAL: Final = "journal.sqlite"  # of a folder that lionproc makes
NAME: Final = ".made-here"
_LARGEST: Final = 128  # bytes of it


def mark(folder: Path, *, with_secret: bool) -> None:
    """Say that a folder was made here. One that cannot be written stays without.

    Args:
        folder: It is there.
        with_secret: Whether no journal is in it yet.
    """
    with contextlib.suppress(OSError), _locked(folder):
        if not is_made_here(folder):  # else another process was quicker
            _write(folder, _made_up() if with_secret else b"")


def make_secret(folder: Path, give: Callable[[bytes], object]) -> None:
    """Make up the secret of a folder that was made here and has none.

    Args:
        folder: It need not be there.
        give: Called with the secret before it counts; where it fails, there is none.

    Raises:
        Exception: What `give` raises.
    """
    if is_made_here(folder) and not _secret(folder):
        with contextlib.suppress(OSError), _locked(folder):
            if is_made_here(folder) and not _secret(folder):
                made_up = _made_up()
                give(made_up)
                _write(folder, made_up)


def is_made_here(folder: Path) -> bool:
    """Whether a folder has its own mark.

    Args:
        folder: It need not be there.
    """
    return bool(_lines(folder))


def secret_of(journal: str) -> bytes:
    """What a journal that was made here and the logs beside it bear.

    Args:
        journal: Its file, by its real path.

    Returns:
        Empty if there is none, as where its user gave the journal a name or a place.
    """
    path = Path(journal)
    return _secret(path.parent) if path.name == USUAL_JOURNAL else b""


def say_it_was_not(journal: str) -> None:
    """Say that the answers of a journal that nobody named may be somebody else's.

    Args:
        journal: Its file.

    Warns:
        LionprocWarning: Always, but where whoever can write there is trusted.
    """
    folder = Path(journal).parent
    if os.name == "posix" and not is_trusted(Path(os.path.realpath(folder))):
        warn(
            f"The journal {journal!r} was not made here: it, or a part of it, was copied, restored or "
            "unpacked from an archive, or is from an older lionproc. Its answers stand for the "
            f"model's. If they may be somebody else's, remove {str(folder)!r} and run again. This is "
            "said once.",
            LionprocWarning,
        )


def _lines(folder: Path) -> list[bytes]:
    """The lines of a folder's own mark: its number and, if there is one, its secret."""
    try:
        lines = read_regular(folder / NAME, _LARGEST).splitlines()
        return lines if lines[:1] == [_number(folder)] else []
    except OSError:
        return []


def _secret(folder: Path) -> bytes:
    return b"".join(_lines(folder)[1:2])


def _made_up() -> bytes:
    return secrets.token_hex(16).encode()


def _number(folder: Path) -> bytes:
    return b"%d" % folder.stat().st_ino


def _write(folder: Path, secret: bytes) -> None:
    made = folder / temporary_name(NAME)
    try:
        content = b"".join(line + b"\n" for line in (_number(folder), secret) if line)
        file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if os.write(file, content) == len(content):
                made.replace(folder / NAME)  # a link of a stranger is replaced, not followed
        finally:
            os.close(file)
    finally:
        with contextlib.suppress(OSError):
            made.unlink()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time, where a folder can be opened and locked."""
    if os.name != "posix":
        yield
        return
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with alone_in(place):
            yield
    finally:
        os.close(place)
