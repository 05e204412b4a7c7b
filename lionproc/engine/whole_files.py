"""Many files of one folder, each written whole or not at all; together they are on the disk sooner.

One alone takes fifty calls of the system, two flushes of the disk among them. Many share what is
looked up of their folder and its flush, and a file system joins flushes that come at once in one.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from lionproc.engine.blocking_work import Threads
from lionproc.engine.new_file import NewFile, OpenFolder
from lionproc.engine.planted_links import refuse_planted_link
from lionproc.engine.whole_file import (
    PRIVATE_FILE,
    make_folders,
    replace_whole,
    sync_folder,
)

__all__ = ["replace_all"]

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
    with contextlib.ExitStack() as held:
        try:
            real = refuse_planted_link(folder)
            make_folders(real)
            opened = held.enter_context(OpenFolder(real))
        except OSError as error:
            return dict.fromkeys(contents, error)
        files: list[NewFile] = []
        for name, content in contents.items():
            with _noted(errors, name):
                old = opened.found(name)
                if old is None or (stat.S_ISREG(old.st_mode) and _may_write(real, name)):
                    files.append(held.enter_context(NewFile(opened, name, old, PRIVATE_FILE)))
                    files[-1].write(content)
                else:  # a link to follow, or what must not be replaced
                    with replace_whole(folder / name, private=True) as path:
                        path.write_bytes(content)
        _flush(files, errors)
        for file in files:
            if file.name not in errors:
                with _noted(errors, file.name):
                    file.take_its_place()
    sync_folder(real)
    return errors


@contextlib.contextmanager
def _noted(errors: dict[str, OSError], name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        errors[name] = error


def _may_write(folder: Path, name: str) -> bool:
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
