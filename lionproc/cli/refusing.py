"""What is refused before anything is sent: a file that cannot be written, or whose content would be lost."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from lionproc.cli.reading import STDIN, read
from lionproc.engine.paths import is_url, local_path, shown
from lionproc.errors import ConfigurationError

__all__ = [
    "LIST_OF_FAILURES",
    "STDOUT",
    "refuse_another",
    "refuse_loss",
    "refuse_the_answers",
    "refuse_the_input",
    "refuse_unwritable",
]

STDOUT = "-"
_PACKED: Final = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zip": None, ".zst": None}
# How it begins, see `write_failures`, and what it is.
LIST_OF_FAILURES: Final = (b'"position",', "a list of rows that failed")


def refuse_unwritable(path: str, option: str, journal: Path | None) -> None:
    """Refuse a file that cannot be written. Of an address only what reading tells is known.

    Args:
        path: What is written.
        option: What said so.
        journal: Where replies are kept, None for the usual place.

    Raises:
        ConfigurationError: It cannot be written.
        MissingDependencyError: It is an address, and what it needs is not installed.
    """
    from lionproc.frame.place import place_of
    from lionproc.frame.save_target import check_writable, refuse_journal, refused_place

    place = place_of(path)
    refuse_journal(path, journal, option)
    with refused_place(path, place, option):
        check_writable(place)


def refuse_another(path: str, option: str, beginning: bytes, what: str) -> None:
    """Refuse to replace a file that the command has not written itself: the input, perhaps.

    Args:
        path: What is written.
        option: What said so.
        beginning: How a file begins that may be replaced.
        what: What such a file is.

    Raises:
        ConfigurationError: There is another one.
    """
    place = local_path(path)
    if is_url(path) or not place.is_file() or not place.stat().st_size:
        return
    opened: Any = _PACKED.get(place.suffix, open)
    begins = b"unknown"
    with suppress(EOFError, OSError, lzma.LZMAError):  # it is none, for all that it is called so
        if opened is not None:
            with opened(place, "rb") as file:
                begins = file.read(len(beginning))
    if begins != beginning:
        raise ConfigurationError(
            f"{shown(path)!r} is there, and is not {what}, so what is in it would be lost. Choose "
            f"another path with {option}, or delete it first."
        )


def refuse_the_answers(path: str, answers: str) -> None:
    """Refuse to list the rows that failed where the answers go.

    Args:
        path: Where they are listed.
        answers: Where the answers go.

    Raises:
        ConfigurationError: It is the same file.
    """
    if answers != STDOUT and _is_same(path, answers):
        raise ConfigurationError(
            f"The answers go to {shown(path)!r} too. Choose another path with --errors."
        )


def refuse_the_input(path: str, source: str, option: str) -> None:
    """Refuse to write where the input is.

    Args:
        path: What is written.
        source: The input.
        option: What said so.

    Raises:
        ConfigurationError: It is the same file.
    """
    if source != STDIN and _is_same(path, source):
        raise ConfigurationError(
            f"{shown(path)!r} is the input, and it is never overwritten. Choose another path "
            f"with {option}."
        )


def _is_same(one: str, other: str) -> bool:
    if is_url(one) or is_url(other):
        return one == other
    first, second = (Path(os.path.realpath(local_path(path))) for path in (one, other))
    return first == second or (first.exists() and second.exists() and first.samefile(second))


def refuse_loss(path: str, rows: int, columns: Sequence[str]) -> None:
    """Refuse to replace a file with more rows, or with columns that the new one has not.

    Args:
        path: The file, which is there.
        rows: How many the new one has.
        columns: The names of its columns, as they are written.

    Raises:
        ConfigurationError: It has more, or is no table.
    """
    try:
        there = read(path, cells=False).frame  # nobody asked to read it, and it may be a stranger's
    except ConfigurationError:
        raise ConfigurationError(
            f"The file {path!r} is there, and is no table that could be looked at. Choose another "
            "path with --save, or say --overwrite to replace it."
        ) from None
    kept = set(columns)
    gone = [str(name) for name in there.columns if str(name) not in kept]
    if len(there) > rows:
        loses = f"has {len(there):,} rows, and this run has {rows:,}"
    elif gone:
        loses = f"has a column {gone[0]!r}, which the result of this run does not have"
    else:
        return
    raise ConfigurationError(
        f"The file {path!r} {loses}. Choose another path with --save, or say --overwrite to "
        "replace it."
    )
