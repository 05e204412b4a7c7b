"""Where lionproc keeps its files: `.lionproc/` in the working directory, or `LIONPROC_HOME`."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from lionproc.engine.made_here import is_made_here, mark
from lionproc.engine.paths import local_path
from lionproc.engine.trust import check_found, check_journal, check_link
from lionproc.engine.whole_file import make_folders
from lionproc.errors import JournalError

__all__ = ["home", "make_private"]

VARIABLE = "LIONPROC_HOME"


def home(*, make: bool = True) -> Path:
    """The folder of lionproc's own files, made if it is not there yet.

    A folder made here is for its owner alone (0700), and holds a `.gitignore` that keeps
    answers out of a repository. A folder that `LIONPROC_HOME` names and that exists already
    belongs to somebody: nothing in it is changed. One that it names by a relative path is looked at
    as `.lionproc` is: whoever made the working folder may have put it there.

    Args:
        make: False makes nothing: to look is no reason to leave a folder behind.

    Returns:
        The absolute path of the folder.

    Raises:
        JournalError: The folder can be neither found nor made, or is not this user's alone.
    """
    named = os.environ.get(VARIABLE)
    folder = Path(named or ".lionproc")
    try:
        folder = local_path(folder)
        is_found = not folder.is_absolute()  # in whatever folder this is, perhaps a stranger's
        folder = Path.cwd() / folder
        check_journal(str(folder / "journal.sqlite"))
        if is_found:
            check_link(folder)
            check_found(str(folder / "journal.sqlite"))
        if make and (not named or not folder.exists()):
            make_private(folder)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise JournalError(
            f"lionproc keeps its journal in {str(folder)!r}, and that folder cannot be made: "
            f"{reason}. Set {VARIABLE} to a folder that can be written, or give journal= a file."
        ) from error
    return folder


def make_private(folder: Path) -> None:
    """Make a folder for its owner alone, and keep what will be in it out of repositories.

    Raises:
        OSError: It cannot be made.
    """
    make_folders(folder, 0o700)
    if not is_made_here(folder):
        mark(folder, with_secret=True)
    # O_EXCL never follows a link somebody left here, and never overwrites the user's own rules.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with contextlib.suppress(FileExistsError):
        handle = os.open(folder / ".gitignore", flags, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write("*\n")
