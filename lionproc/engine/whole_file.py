"""Files that are written whole or not at all: the one way in which this package replaces one.

What is written goes into a file beside the target, is flushed to the disk and renamed. A reader
sees the old file or the new one, and a crash at any moment leaves one of the two.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from lionproc.engine.paths import local_path
from lionproc.engine.planted_links import refuse_planted_link

__all__ = [
    "keep_rights",
    "make_folders",
    "refuse_odd_file",
    "replace_whole",
    "sync_folder",
    "temporary_name",
]

SHARED_FILE = 0o664  # less the umask; never writable by everybody, whatever the umask is
SHARED_FOLDER = 0o775
PRIVATE_FILE = 0o600
_DATABASE = b"SQLite format 3\0"  # how such a file begins (sqlite.org, "Database File Format")


@contextlib.contextmanager
def replace_whole(path: str | os.PathLike[str], *, private: bool = False) -> Iterator[Path]:
    """A file to write to, which takes the place of `path` when the block ends well.

    A symbolic link stays one: the file it points to is replaced. Rights and owner of a file that
    is replaced are kept. What is no regular file (a pipe, a device, a folder) is never replaced, and
    neither is a database: it may be a journal, with all that was paid for.

    Args:
        path: The target; `~` is the home folder. Folders that are missing are made.
        private: A new file is for its owner alone (0600).

    Yields:
        An empty file to write into, in the folder of the target. Its name ends in .tmp.

    Raises:
        OSError: It cannot be written; what was there is untouched, and nothing else is left.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp(), "out.txt")
        >>> with replace_whole(target) as file:
        ...     _ = file.write_text("all of it")
        >>> target.read_text()
        'all of it'
    """
    refuse_planted_link(local_path(path))
    target = Path(os.path.realpath(local_path(path)))
    make_folders(target.parent)
    refuse_odd_file(target)
    old = target.stat() if target.exists() else None
    if old is not None and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is write-protected")
    temporary = target.with_name(temporary_name(target.name))
    mode = PRIVATE_FILE if private or old is not None else SHARED_FILE
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        yield temporary
        if old is not None:
            keep_rights(temporary, old)
        _sync(temporary)
        temporary.replace(target)
        sync_folder(target.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()  # there only if something went wrong


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
        OSError: It is a folder, a pipe, device or socket, or a database of SQLite.
    """
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "it is a device, pipe or socket and no file")
    if target.exists() and _is_database(target):
        raise FileExistsError(errno.EEXIST, "it is a database, such as a journal")


def _is_database(target: Path) -> bool:
    # One that is in use is never opened: closing it would drop the locks that this process has.
    if any(Path(f"{target}{end}").exists() for end in ("-wal", "-shm")):
        return True
    with contextlib.suppress(OSError), target.open("rb") as file:
        return file.read(len(_DATABASE)) == _DATABASE
    return False


def temporary_name(name: str) -> str:
    """A name that nobody has, for a file that is to be called `name`."""
    # A leading dot and another ending: readers of the folder pass over it, should a power cut
    # leave one behind.
    return f".{name[:40]}.{secrets.token_hex(4)}.tmp"


def keep_rights(made: Path, old: os.stat_result) -> None:
    """Give a file the owner and the rights of the one whose place it takes."""
    if os.name != "posix":
        return
    new, mode = made.stat(), stat.S_IMODE(old.st_mode) & 0o777
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.chown(made, old.st_uid, old.st_gid)
        except OSError:
            with contextlib.suppress(OSError):
                os.chown(made, -1, old.st_gid)
    if made.stat().st_gid != old.st_gid:  # what was for one group is not for another
        mode = (mode & 0o707) | (mode & 0o007) << 3
    made.chmod(mode)


def _sync(file: Path) -> None:
    handle = os.open(file, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make the rename durable, on systems where a folder can be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
