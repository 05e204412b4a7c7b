"""Many files of one folder, each written whole or not at all; together they are on the disk sooner.

One alone takes fifty calls of the system, two flushes of the disk among them. Many share what is
looked up of their folder and its flush, and a file system joins flushes that come at once in one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from lionproc.engine.blocking_work import Threads
from lionproc.engine.new_file import NewFile, OpenFolder
from lionproc.engine.planted_links import refuse_planted_link
from lionproc.engine.whole_file import (
    PRIVATE_FILE,
    make_folders,
    replace_whole,
)

__all__ = ["replace_all"]

MOST_OPEN = 32  # files at the same time: a process may have 256 in all, as on macOS
_TOO_MANY = {errno.EMFILE, errno.ENFILE}
AT_ONCE = 8  # flushes at the same time; more threads cost more than the disk has of them


def replace_all(folder: Path, contents: Mapping[str, bytes]) -> dict[str, OSError]:
    """Write or replace files; only their owner can read new ones.

    Args:
        folder: Where they are; it is made if it is missing.
        contents: What to write, by the name of the file.

    Returns:
        Those that could not be written, and why: what was there is untouched. All others are on
        the disk.
    """
    errors: dict[str, OSError] = {}
    try:
        real = refuse_planted_link(folder)
        make_folders(real)
        with OpenFolder(real) as opened:
            names = iter(contents)
            while part := list(islice(names, MOST_OPEN)):
                errors |= _replaced(opened, {name: contents[name] for name in part})
            for name in [name for name, error in errors.items() if error.errno in _TOO_MANY]:
                del errors[name]
                errors |= _replaced(opened, {name: contents[name]})
            opened.sync()
    except OSError as error:
        return {**dict.fromkeys(contents, error), **errors}
    return errors


def _replaced(folder: OpenFolder, contents: Mapping[str, bytes]) -> dict[str, OSError]:
    """Write some of them, all of which are open at once. Returns those that could not be written."""
    errors: dict[str, OSError] = {}
    with contextlib.ExitStack() as held:
        files: list[NewFile] = []
        for name, content in contents.items():
            with _noted(errors, name):
                old = folder.found(name)
                if old is None or (stat.S_ISREG(old.st_mode) and _may_write(folder.path, name)):
                    files.append(held.enter_context(NewFile(folder, name, old, PRIVATE_FILE)))
                    files[-1].file.write(content)
                else:  # a link to follow, or what must not be replaced
                    with replace_whole(Path(folder.path, name), private=True) as place:
                        place.write(content)
        _flush(files, errors)
        for file in files:
            if file.name not in errors:
                with _noted(errors, file.name):
                    file.take_its_place()
    return errors


@contextlib.contextmanager
def _noted(errors: dict[str, OSError], name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        errors[name] = error


def _may_write(folder: str, name: str) -> bool:
    return os.access(f"{folder}{os.sep}{name}", os.W_OK)  # a Path takes longer than the call


def _flush(files: list[NewFile], errors: dict[str, OSError]) -> None:
    def some(part: list[NewFile]) -> None:
        for file in part:
            with _noted(errors, file.name):
                file.flush()

    left = [file for file in files if file.name not in errors]
    parts = [left[start::AT_ONCE] for start in range(min(AT_ONCE, len(left)))]
    if len(parts) < 2:
        some(left)
        return
    with Threads(len(parts)) as pool:
        list(pool.map(some, parts))
