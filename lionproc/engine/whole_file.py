"""Files that are written whole or not at all: the one way in which this package replaces one.

What is written goes into a file beside the target (`new_file.py`), is flushed to the disk and renamed.
A reader sees the old file or the new one, and a crash at any moment leaves one of the two.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lionproc.engine.new_file import NewFile, OpenFolder
from lionproc.engine.paths import local_path
from lionproc.engine.planted_links import refuse_planted_link
from lionproc.engine.regular_file import opened_regular

__all__ = [
    "make_folders",
    "refuse_odd_file",
    "replace_whole",
]

SHARED_FILE = 0o664  # less the umask; never writable by everybody, whatever the umask is
SHARED_FOLDER = 0o775
PRIVATE_FILE = 0o600
_DATABASE = b"SQLite format 3\0"  # how such a file begins (sqlite.org, "Database File Format")


@contextlib.contextmanager
def replace_whole(
    path: str | os.PathLike[str], *, private: bool = False, goes_on: bool = False
) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` when the block ends well.

    A symbolic link stays one: the file it points to is replaced. Rights and owner of a file that
    is replaced are kept. What is no regular file (a pipe, a device, a folder) is never replaced, and
    neither is a database: it may be a journal, with all that was paid for.

    Args:
        path: The target; `~` is the home folder. Folders that are missing are made.
        private: A new file is for its owner alone (0600).
        goes_on: It begins with what the old one holds.

    Yields:
        An open file, within the block, at its end. What is written is in the folder of the target.

    Raises:
        OSError: It cannot be written; what was there is untouched, and nothing else is left.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp(), "out.txt")
        >>> with replace_whole(target) as file:
        ...     _ = file.write(b"all of it")
        >>> target.read_text()
        'all of it'
    """
    target = refuse_planted_link(local_path(path))
    make_folders(target.parent)
    refuse_odd_file(target)
    with OpenFolder(target.parent) as folder:
        old = folder.found(target.name)
        if old is not None and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "the file is write-protected")
        mode = PRIVATE_FILE if private or old is not None else SHARED_FILE
        with NewFile(folder, target.name, old, mode) as file:
            if goes_on:
                file.begin_with_old()
            yield file.file
            file.flush()
            file.take_its_place()
        folder.sync()


def make_folders(folder: Path, mode: int = SHARED_FOLDER) -> None:
    """Make a folder and those above it that are missing, all with the same rights.

    Args:
        folder: The folder.
        mode: The rights of each that is made, less the umask.

    Raises:
        OSError: It cannot be made, or something else has its name.
    """
    above = [parent for parent in folder.parents if not parent.exists()]
    for missing in (*reversed(above), folder):  # Path.mkdir gives its mode to the last one alone
        missing.mkdir(mode, exist_ok=True)


def refuse_odd_file(target: Path) -> None:
    """Refuse what a rename would replace and must not.

    Raises:
        OSError: It is a folder, a pipe, device or socket, a database of SQLite, or a file that is
            mounted by itself.
    """
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "it is a device, pipe or socket and no file")
    if target.exists() and _is_database(target):
        raise FileExistsError(errno.EEXIST, "it is a database, such as a journal")
    if target.exists() and _is_mounted(os.path.realpath(target)):
        raise OSError(errno.EBUSY, "it is mounted by itself, as into a container; mount its folder")


def _is_database(target: Path) -> bool:
    # One that is in use is never opened: closing it would drop the locks that this process has.
    if any(os.path.exists(f"{target}{end}") for end in ("-wal", "-shm")):  # noqa: PTH110  (too long a name)
        return True
    with contextlib.suppress(OSError), opened_regular(target, follow=True) as file:
        return file.read(len(_DATABASE)) == _DATABASE
    return False


def _is_mounted(file: str) -> bool:
    """Whether a file, by its real path, is where something is mounted; no rename replaces it then."""
    return _mount_of(file) != _mount_of(os.path.dirname(file))  # noqa: PTH120


def _mount_of(path: str) -> str:
    """The number of the mount that something is in; "" where the system does not say."""
    if hasattr(os, "O_PATH"):
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                told = Path(f"/proc/self/fdinfo/{handle}").read_text()
            finally:
                os.close(handle)
            return next((line for line in told.splitlines() if line.startswith("mnt_id:")), "")
    return ""
