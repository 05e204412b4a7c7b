"""A new file in a folder that others may write into, and how it takes the place of another one.

Whoever may write there can put a link in the place of the new file, or of the folder, between any two
calls, and what goes by a name follows it. So both are held by their descriptors where the system has
calls for that (not on Windows), and all is written through the one that made the file: disks that send
a file away when it is closed (rclone, FUSE) would send an empty one after what was written by another.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

from lionproc.engine.folder_lock import alone_in
from lionproc.engine.regular_file import first_hole

__all__ = ["ChangedError", "NewFile", "OpenFolder", "temporary_name"]

_HAS_CALLS = os.open in os.supports_dir_fd and hasattr(os, "fchown")
_SWAPPED = "somebody else has put something in its place while it was written"
_GONE = "it, or its folder, was removed while it was written"
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def temporary_name(name: str) -> str:
    """A name that nobody has, for a file that is to be called `name`."""
    # A leading dot and another ending: readers of the folder pass over it, should a power cut
    # leave one behind.
    return f".{name[:40]}.{secrets.token_hex(4)}.tmp"


class ChangedError(OSError):
    """Somebody else has written into a file while one was written that begins with what it held."""


class OpenFolder:
    """A folder that stays the same one, whatever its path leads to meanwhile. A context.

    Args:
        path: Its real path, with no link in it.

    Raises:
        OSError: It is not there, or a link is in the way to it by now.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._handle: int | None = None
        if not _HAS_CALLS:
            return
        # O_PATH: one that nobody may list can be written into all the same.
        how = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        self._handle = os.open(self.path, how)
        there = _path_of(self._handle)
        if there is not None and _folded(there) != _folded(self.path):
            self.close()
            raise OSError(errno.EPERM, f"a link was put into the way to {self.path!r}")

    def found(self, name: str) -> os.stat_result | None:
        """What has a name in it, None if nothing has. No link is followed."""
        try:
            return os.stat(self._at(name), dir_fd=self._handle, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def state_of(self, name: str) -> tuple[int, ...] | None:
        """By what it is seen whether a file was written into, or is another one; None if it is not there."""
        found = self.found(name)
        return None if found is None else _state_of(found)

    def open(self, name: str, flags: int, mode: int = 0) -> int:
        """As `os.open`."""
        return os.open(self._at(name), flags, mode, dir_fd=self._handle)

    def rename(self, name: str, other: str) -> None:
        """Give what has a name another one; what had that is replaced."""
        ways = {"src_dir_fd": self._handle, "dst_dir_fd": self._handle}
        os.replace(self._at(name), self._at(other), **ways)  # noqa: PTH105

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens if that cannot be."""
        with contextlib.suppress(OSError):
            os.unlink(self._at(name), dir_fd=self._handle)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time, of those that ask for it, on systems where a folder can be opened."""
        with contextlib.ExitStack() as held:
            if self._handle is not None:
                with contextlib.suppress(OSError):
                    handle = self.open(".", os.O_RDONLY | os.O_DIRECTORY)
                    held.callback(os.close, handle)
                    held.enter_context(alone_in(handle))
            yield

    def sync(self) -> None:
        """Put the names in it on the disk, on systems where a folder can be opened."""
        how = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)  # which waits for no pipe in its place
        with contextlib.suppress(OSError):
            handle = self.open("." if self._handle is not None else "", how)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def close(self) -> None:
        """It is held no more."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def _at(self, name: str) -> str:
        return name if self._handle is not None else f"{self.path}{os.sep}{name}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class NewFile:
    """A new file beside the one whose place it is to take. A context: it is gone at the end, if it did not.

    Args:
        folder: The folder of both.
        name: The name of the other one.
        old: What that is, None if it is not there.
        mode: The rights of the new one, less the umask, until it is as the old one.

    Attributes:
        name: The name of the other one.
        file: What it is written to, as long as it has not taken the place.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(
        self, folder: OpenFolder, name: str, old: os.stat_result | None, mode: int
    ) -> None:
        self.name = name
        self._folder = folder
        self._temporary = temporary_name(name)
        self._old = old
        self._goes_on = False
        self._begun_with: tuple[int, ...] | None = None
        self._is_in_place = False
        self.file: BinaryIO = os.fdopen(folder.open(self._temporary, _NEW, mode), "w+b")

    def begin_with_old(self) -> None:
        """Copy what the other one holds into it; it takes no other's place then."""
        self._goes_on = True
        if self._old is None:
            return
        how = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        source = os.fdopen(self._folder.open(self.name, how | getattr(os, "O_NONBLOCK", 0)), "rb")
        with source:
            found = os.fstat(source.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EPERM, _SWAPPED)
            if first_hole(source.fileno()) < found.st_size:  # they would be written out
                raise OSError(
                    errno.EINVAL, "it has holes, and no file that is written whole has any"
                )
            self._begun_with = _state_of(found)
            shutil.copyfileobj(source, self.file)

    def flush(self) -> None:
        """Give it the rights of the other one, and put it on the disk."""
        self.file.flush()
        if self._old is not None and os.name == "posix":
            _keep_rights(self.file.fileno(), self._old)
        os.fsync(self.file.fileno())

    def take_its_place(self) -> None:
        """Give it the name.

        Raises:
            ChangedError: The other one has changed since it was begun with.
            OSError: It cannot be, or is not there any more.
        """
        found, own = self._folder.found(self._temporary), os.fstat(self.file.fileno())
        if found is None:
            raise OSError(errno.ENOENT, _GONE)
        if not os.path.samestat(found, own):
            raise OSError(errno.EPERM, _SWAPPED)
        self.file.close()  # some systems give no name to what is open, and some disks only now say no
        with self._folder.alone() if self._goes_on else contextlib.nullcontext():
            if self._goes_on and self._begun_with != self._folder.state_of(self.name):
                raise ChangedError(errno.EAGAIN, "somebody else has written into it meanwhile")
            self._folder.rename(self._temporary, self.name)
        self._is_in_place = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # of what nobody wants any more
            self.file.close()
        if not self._is_in_place:
            self._folder.remove(self._temporary)


def _state_of(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _keep_rights(made: int, old: os.stat_result) -> None:
    """Give a file the owner and the rights of the one whose place it takes."""
    new, mode = os.fstat(made), stat.S_IMODE(old.st_mode) & 0o777
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(made, old.st_uid, old.st_gid)
        except OSError:
            with contextlib.suppress(OSError):
                os.fchown(made, -1, old.st_gid)
    new = os.fstat(made)
    if new.st_gid != old.st_gid:  # what was for one group is not for another
        mode = (mode & 0o707) | (mode & 0o007) << 3
    if stat.S_IMODE(new.st_mode) == mode:
        return  # a disk may say that it belongs to somebody else, who alone may change it
    try:
        os.fchmod(made, mode)
    except PermissionError:
        if stat.S_IMODE(new.st_mode) & ~mode:  # others may do more with it than with the old one
            raise


def _path_of(handle: int) -> str | None:
    """Where what is open is; None where the system does not say."""
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/self/fd/{handle}").readlink())
    return None


def _folded(path: str) -> str:
    """A path as a file system has it that takes names in any case and form."""
    return unicodedata.normalize("NFC", path).casefold()
