"""Where lionproc keeps its files: `.lionproc/` in the working directory, or `LIONPROC_HOME`."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from lionproc.errors import JournalError

__all__ = ["home"]

VARIABLE = "LIONPROC_HOME"


def home() -> Path:
    """The folder of lionproc's own files, made if it is not there yet.

    A folder made here is for its owner alone (0700), and holds a `.gitignore` that keeps
    answers out of a repository. A folder that `LIONPROC_HOME` names and that exists already
    belongs to somebody: nothing in it is changed.

    Returns:
        The absolute path of the folder.

    Raises:
        JournalError: The folder can be neither found nor made.
    """
    named = os.environ.get(VARIABLE)
    folder = Path.cwd() / Path(named or ".lionproc").expanduser()
    try:
        ours = not named or not folder.exists()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if ours:
            _keep_out_of_git(folder)
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise JournalError(
            f"lionproc keeps its journal in {str(folder)!r}, and that folder cannot be made: "
            f"{reason}. Set {VARIABLE} to a folder that can be written, or give journal= a file."
        ) from error
    return folder


def _keep_out_of_git(folder: Path) -> None:
    # "x" never follows a link somebody left here, and never overwrites the user's own rules.
    with contextlib.suppress(FileExistsError), (folder / ".gitignore").open("x") as file:
        file.write("*\n")
