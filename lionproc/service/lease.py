"""Who works on a request: so that nobody else takes it up while they live."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # Windows; there, whoever resumes is taken for the only one
    fcntl = None  # type: ignore[assignment]

FOLDER: Final = ".owners"
_ID = re.compile(r"[0-9a-f]{32}")


class Lease:
    """A lock file that the kernel lets go of when this process ends, however it ends.

    Args:
        folder: The folder of the records.
    """

    def __init__(self, folder: Path) -> None:
        self.id = secrets.token_hex(16)
        self._folder = folder / FOLDER
        self._handle: int | None = None

    def claim(self) -> str:
        """Show that this owner lives, from now until `close`. Returns the owner's id."""
        if self._handle is None and fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                self._folder.mkdir(mode=0o700, exist_ok=True)
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
                self._handle = os.open(self._folder / self.id, flags, 0o600)
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self.id

    def lives(self, other: object) -> bool:
        """Whether the owner with this id still works, here or in another process."""
        if not isinstance(other, str) or not _ID.fullmatch(other):
            return False
        if other == self.id:
            return True
        if fcntl is None:
            return False
        path = self._folder / other
        try:
            handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        else:
            with contextlib.suppress(OSError):
                path.unlink()
            return False
        finally:
            os.close(handle)

    def is_another(self, other: object) -> bool:
        """Whether somebody else, who lives, has claimed it."""
        return other != self.id and self.lives(other)

    def close(self) -> None:
        """Work no more."""
        handle, self._handle = self._handle, None
        if handle is not None:
            with contextlib.suppress(OSError):
                (self._folder / self.id).unlink()
            os.close(handle)

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None:
            with contextlib.suppress(OSError):
                os.close(handle)
