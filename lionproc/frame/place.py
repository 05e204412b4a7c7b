"""Where results are written and read: a path of this machine, or an address that fsspec knows.

A file of this machine is replaced whole or not at all (`engine/whole_file.py`). A file behind an
address is finished here first, and only then sent in one piece. Object stores (S3, Google Cloud
Storage, Azure) show an object when all of it has arrived; a server that shows files while they
grow (FTP, SSH) may show, or be left with, the beginning of one.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from lionproc.engine.new_file import temporary_name
from lionproc.engine.paths import is_url, local_path, shown
from lionproc.engine.whole_file import replace_whole
from lionproc.errors import ConfigurationError, LionprocError, MissingDependencyError, SaveError

__all__ = ["AnyPath", "Remote", "SaveError", "place_of", "saving", "saving_on"]

AnyPath: TypeAlias = "str | os.PathLike[str]"

# What fsspec itself needs for an address; others it names when it is asked.
_DRIVERS = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "adl": "adlfs",
    "hf": "huggingface_hub",
    "http": "aiohttp",
    "https": "aiohttp",
    "sftp": "paramiko",
    "ssh": "paramiko",
    "smb": "smbprotocol",
}


@dataclass(frozen=True, slots=True)
class Remote:
    """A file or folder behind an address, with what it needs of `pathlib.Path`.

    Attributes:
        url: The address.
        system: The file system of fsspec.
        path: The path there.
    """

    url: str
    system: Any
    path: str

    @property
    def name(self) -> str:
        """The last part of it."""
        return self.path.rstrip("/").rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return Path(self.name).suffix

    def exists(self) -> bool:
        """Whether it is there."""
        return bool(self.system.exists(self.path))

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return bool(self.system.isdir(self.path))

    def iterdir(self) -> Iterator[Remote]:
        """What is in the folder; nothing where there is none."""
        with contextlib.suppress(FileNotFoundError):
            for path in self.system.ls(self.path, detail=False):
                if path.rstrip("/") != self.path.rstrip("/"):
                    yield self / path.rstrip("/").rpartition("/")[2]

    def __truediv__(self, name: str) -> Remote:
        return Remote(
            f"{self.url.rstrip('/')}/{name}", self.system, f"{self.path.rstrip('/')}/{name}"
        )

    def open(self, mode: str) -> Any:
        """A file to read from."""
        return self.system.open(self.path, mode)

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Remove it."""
        try:
            self.system.rm_file(self.path)
        except FileNotFoundError:
            if not missing_ok:
                raise

    @contextlib.contextmanager
    def replaced(self) -> Iterator[BinaryIO]:
        """A file of this machine to write into, which is sent when the block ends well."""
        with tempfile.TemporaryDirectory(prefix="lionproc-") as folder:
            made = Path(folder, temporary_name(self.name))
            made.touch(0o600)
            with made.open("r+b") as file:
                yield file
            parent = self.path.rstrip("/").rpartition("/")[0]
            with contextlib.suppress(Exception):  # object stores have no folders to make
                self.system.makedirs(parent, exist_ok=True)
            self.system.put_file(str(made), self.path)

    def __str__(self) -> str:
        return shown(self.url)


def place_of(path: AnyPath, options: Mapping[str, Any] | None = None) -> Path | Remote:
    """The place that is meant.

    Args:
        path: A path of this machine (`~` is the home folder), or an address.
        options: What the file system of an address is made with, pandas' `storage_options`.

    Returns:
        A path, or what stands for one.

    Raises:
        ConfigurationError: It can be neither, or nothing knows such addresses.
        MissingDependencyError: What opens the address is not installed.
    """
    if not is_url(path):
        return local_path(path)
    url = os.fspath(path)
    scheme = url.partition("://")[0].rpartition(":")[2].lower()
    driver = _DRIVERS.get(scheme)
    if importlib.util.find_spec("fsspec") is None:
        raise MissingDependencyError(
            f"Addresses such as {shown(url)!r} need fsspec. "
            f"Run: pip install fsspec{f' {driver}' if driver else ''}"
        )
    import fsspec

    try:
        system, inside = fsspec.core.url_to_fs(url, **dict(options or {}))
    except ImportError as error:
        raise MissingDependencyError(
            f"Addresses such as {shown(url)!r} need more than fsspec. "
            + (f"Run: pip install {driver}" if driver else str(error))
        ) from None
    except Exception as error:  # noqa: BLE001  (every store has errors of its own)
        raise ConfigurationError(
            f"{shown(url)!r} cannot be used ({type(error).__name__}). Check the address, or save "
            "to a path of this machine."
        ) from None  # its words have the address
    return Remote(url, system, str(inside))


@contextlib.contextmanager
def saving(
    path: AnyPath, options: Mapping[str, Any] | None = None, *, goes_on: bool = False
) -> Iterator[BinaryIO]:
    """An open file of this machine to write to; it takes its place when the block ends well.

    Args:
        path: Where it is to be, as for `place_of`.
        options: As for `place_of`.
        goes_on: It begins with what is in the file; only of a file of this machine.

    Raises:
        SaveError: It could not be written.
        ConfigurationError: As `place_of`.
    """
    place = place_of(path, options)
    failures: tuple[type[Exception], ...] = (OSError,)
    if isinstance(place, Remote):
        failures = (Exception,)  # every store has errors of its own
    try:
        replaced = (
            place.replaced() if isinstance(place, Remote) else replace_whole(place, goes_on=goes_on)
        )
        with replaced as file:
            yield file
    except LionprocError:
        raise
    except failures as error:
        name = str(place).rstrip("/").rpartition("/")[2]
        above = str(place).removesuffix(name) or "."
        why = getattr(error, "strerror", None) or type(error).__name__
        full = getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}
        raise SaveError(
            f"{name!r} could not be saved in {above!r}: {why}. Nothing is lost, the frame is still "
            f"in memory: {'free space or ' if full else ''}choose another path, and save it again."
        ) from (None if isinstance(place, Remote) else error)


@contextlib.contextmanager
def saving_on(
    path: AnyPath, mode: str, options: Mapping[str, Any] | None = None, *, lines: str | None
) -> Iterator[BinaryIO]:
    """As `saving`, in one of pandas' modes: "w", "x" (the file is new) or "a" (it goes on).

    Args:
        path: Where it is to be, as for `place_of`.
        mode: The mode.
        options: As for `place_of`.
        lines: The encoding of its lines; None if it has none that an editor knows.

    Raises:
        SaveError: It could not be written, or is there already in mode "x".
        ConfigurationError: As `place_of`, it is an address that cannot go on, or another mode.
    """
    place = place_of(path, options)
    if mode[:1] not in {"w", "x", "a"} or mode[1:].strip("bt+"):
        raise ConfigurationError(
            f"mode={mode!r} is none: 'w' replaces the file, 'x' makes a new one, 'a' adds rows to it."
        )
    if mode[:1] == "x" and place.exists():
        raise SaveError(f"{place.name!r} is there already, and mode='x' replaces nothing.")
    if mode[:1] == "a" and isinstance(place, Remote):
        raise ConfigurationError("mode='a' goes on in a file of this machine, not at an address.")
    with saving(path, options, goes_on=mode[:1] == "a") as file:
        if mode[:1] == "a" and lines is not None:
            _end_last_line(file, lines)
        yield file


def _end_last_line(file: BinaryIO, encoding: str) -> None:
    """End a line that an editor has left open, or it and the first new row were one."""
    marked = len("\n".encode(encoding))  # with the mark of its beginning, where there is one
    feed, back = ((end * 2).encode(encoding)[marked:] for end in "\n\r")
    if file.seek(0, os.SEEK_END) >= len(feed):
        file.seek(-len(feed), os.SEEK_END)
        if file.read(len(feed)) not in {feed, back}:
            file.seek(0, os.SEEK_END)
            file.write(feed)
