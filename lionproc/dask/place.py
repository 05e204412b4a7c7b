"""Where a worker keeps replies when nobody says where: in the notebook's journal, if that is here.

Workers of one machine that each had a journal of their working folder would each buy what another
one has: whichever partition comes to whom the next time. On another machine each keeps that of its own
folder. Where that is on a network disk, it may be the notebook's: a journal there is one that machines
can share. But not with the machine that has the disk for its own, which cannot know that others have
it too. Where that is the notebook's, the others have a file each beside its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from lionproc.engine.file_system import is_of_one_machine
from lionproc.engine.home import VARIABLE, home, make_private
from lionproc.engine.made_here import USUAL_JOURNAL, secret_of
from lionproc.engine.trust import check_found
from lionproc.errors import JournalError

__all__ = ["Home", "machine"]

_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Home:
    """The notebook's own folder.

    Attributes:
        folder: Its path; empty where there can be none.
        machine: What tells the machine and the user from all others.
        known_by: A hash of the secret in it; empty where there is none, or other machines have it
            over the same network as this one.
    """

    folder: str
    machine: tuple[object, ...]
    known_by: str = ""

    @classmethod
    def here(cls) -> Home:
        """That of this process. Nothing is made."""
        try:
            folder = home(make=False)
        except JournalError:
            return cls("", ())
        return cls(str(folder), machine(), _hash(folder) if is_of_one_machine(str(folder)) else "")

    def journal(self) -> str | None:
        """The notebook's journal, None where a worker keeps that of its own folder.

        It does on another machine, as another user, in a container, and where `LIONPROC_HOME` is
        set for it. A file beside it, where that folder is one of the notebook's machine.

        Raises:
            JournalError: The folder cannot be made, or the file is not one that was made here.
        """
        if os.environ.get(VARIABLE) or not self.folder or self.machine != machine():
            return self._beside_the_notebooks()
        folder = Path(self.folder)
        if not folder.exists():
            try:
                make_private(folder)
            except OSError as error:
                raise JournalError(
                    f"The journal of the notebook belongs into {self.folder!r}, and that folder "
                    f"cannot be made: {error.strerror}. Give journal= a file."
                ) from None
        return str(folder / USUAL_JOURNAL)

    def _beside_the_notebooks(self) -> str | None:
        """A journal of this machine, where its own folder is a disk of the notebook's machine."""
        if not self.known_by:
            return None
        own = home(make=False)
        if is_of_one_machine(str(own)) or _hash(own) != self.known_by:
            return None
        path = str(own / f"journal-{re.sub('[^0-9A-Za-z.-]', '_', socket.gethostname())}.sqlite")
        check_found(path)
        return path


def _hash(folder: Path) -> str:
    """What tells a folder that lionproc made from all others, without the secret in it."""
    secret = secret_of(str(folder / USUAL_JOURNAL))
    return hashlib.sha256(secret).hexdigest() if secret else ""


def machine() -> tuple[object, ...]:
    """The name of this machine, its boot, its disk, and who this is."""
    boot = ""
    with contextlib.suppress(OSError):
        boot = _BOOT.read_text()
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME")
    return (socket.gethostname(), boot, Path(os.sep).stat().st_dev, user)
