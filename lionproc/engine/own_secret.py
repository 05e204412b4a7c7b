"""A secret of this user on this machine, by which what was written here is known again.

It is made up when it is first needed, lies in the folder where programs keep their state, and is for
its owner alone. Where there is no such place, nothing is known again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from pathlib import Path
from typing import Final

from lionproc.engine.regular_file import read_regular
from lionproc.engine.trust import others_of
from lionproc.engine.whole_file import make_folders

__all__ = ["own_secret"]

_BYTES: Final = 64


def own_secret(*, make: bool) -> bytes | None:
    """The secret; None where there is none, or somebody else could know or change it.

    Args:
        make: Whether it is made up if it is not there yet.
    """
    try:
        file = _state() / "lionproc" / "secret"
        if make and not _is_whole(file):
            make_folders(file.parent, 0o700)
            file.unlink(missing_ok=True)  # a disk was full when it was made
            with contextlib.suppress(FileExistsError):  # another process was quicker
                made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                try:
                    os.write(made, secrets.token_bytes(_BYTES))
                finally:
                    os.close(made)
        found = file.stat()
        if others_of(found, file.parent) or (os.name == "posix" and found.st_mode & 0o077):
            return None
        secret = read_regular(file, _BYTES)
    except (OSError, RuntimeError):  # there is no home
        return None
    return secret if len(secret) == _BYTES else None


def _is_whole(file: Path) -> bool:
    return file.exists() and file.stat().st_size == _BYTES


def _state() -> Path:
    """Where programs of this user keep what they know between two runs."""
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    named = os.environ.get("XDG_STATE_HOME", "")
    return Path(named) if Path(named).is_absolute() else Path.home() / ".local" / "state"
