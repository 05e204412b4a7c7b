"""Where a worker keeps replies when nobody says where: in the notebook's journal, if that is here.

Workers of one machine that each had a journal of their working folder would each buy what another
one has: whichever partition comes to whom the next time. Between machines no file of SQLite can be
shared; there each keeps its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from lionproc.engine.home import VARIABLE, home, make_private
from lionproc.errors import JournalError

__all__ = ["Home", "machine"]

_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Home:
    """The notebook's own folder.

    Attributes:
        folder: Its path; empty where there can be none.
        machine: What tells the machine and the user from all others.
    """

    folder: str
    machine: tuple[object, ...]

    @classmethod
    def here(cls) -> Home:
        """That of this process. Nothing is made."""
        try:
            return cls(str(home(make=False)), machine())
        except JournalError:
            return cls("", ())

    def journal(self) -> str | None:
        """The notebook's journal, None where a worker keeps its own.

        It does on another machine, as another user, in a container, and where `LIONPROC_HOME` is
        set for it.

        Raises:
            JournalError: The folder cannot be made.
        """
        if os.environ.get(VARIABLE) or not self.folder or self.machine != machine():
            return None
        folder = Path(self.folder)
        if not folder.exists():
            try:
                make_private(folder)
            except OSError as error:
                raise JournalError(
                    f"The journal of the notebook belongs into {self.folder!r}, and that folder "
                    f"cannot be made: {error.strerror}. Give journal= a file."
                ) from None
        return str(folder / "journal.sqlite")


def machine() -> tuple[object, ...]:
    """The name of this machine, its boot, its disk, and who this is."""
    boot = ""
    with contextlib.suppress(OSError):
        boot = _BOOT.read_text()
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME")
    return (socket.gethostname(), boot, Path(os.sep).stat().st_dev, user)
