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
from typing import Self

from lionproc.engine.blocking_work import Threads
from lionproc.engine.planted_links import refuse_planted_link
from lionproc.engine.whole_file import (
    PRIVATE_FILE,
    keep_rights,
    make_folders,
    replace_whole,
    sync_folder,
    temporary_name,
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
    try:
        refuse_planted_link(folder)
        real = os.path.realpath(folder)
        make_folders(Path(real))
    except OSError as error:
        return dict.fromkeys(contents, error)
    with contextlib.ExitStack() as held:
        files: list[_File] = []
        for name, content in contents.items():
            with _noted(errors, name):
                target = f"{real}{os.sep}{name}"  # a Path takes longer than the call of the system
                old = _found(target)
                if old is None or (stat.S_ISREG(old.st_mode) and os.access(target, os.W_OK)):
                    files.append(held.enter_context(_File(real, name, old)))
                    files[-1].write(content)
                else:  # a link to follow, or what must not be replaced
                    with replace_whole(folder / name, private=True) as path:
                        path.write_bytes(content)
        _flush(files, errors)
        for file in files:
            if file.name not in errors:
                with _noted(errors, file.name):
                    file.take_its_place()
    sync_folder(Path(real))
    return errors


@contextlib.contextmanager
def _noted(errors: dict[str, OSError], name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        errors[name] = error


def _found(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


class _File:
    """A new file beside the one whose place it is to take. It is gone at the end, if it did not.

    Args:
        folder: The folder of both.
        name: The name of the other one.
        old: What that is, None if it is not there.
    """

    def __init__(self, folder: str, name: str, old: os.stat_result | None) -> None:
        self.name = name
        self._target = f"{folder}{os.sep}{name}"
        self._path = f"{folder}{os.sep}{temporary_name(name)}"
        self._old = old
        self._is_in_place = False
        self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)

    def write(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._handle, rest) :]

    def flush(self) -> None:
        if self._old is not None:
            keep_rights(Path(self._path), self._old)
        os.fsync(self._handle)

    def take_its_place(self) -> None:
        os.replace(self._path, self._target)  # noqa: PTH105  (as above)
        self._is_in_place = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)
        if not self._is_in_place:
            with contextlib.suppress(OSError):
                os.unlink(self._path)  # noqa: PTH108


def _flush(files: list[_File], errors: dict[str, OSError]) -> None:
    def some(part: list[_File]) -> None:
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
