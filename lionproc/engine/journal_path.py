"""Where a journal's file is: the usual place, or the path that was given."""

from __future__ import annotations

import contextlib
import os

from lionproc.engine.home import home
from lionproc.engine.journal_file import MEMORY
from lionproc.engine.paths import absolute, local_path
from lionproc.engine.trust import check_way
from lionproc.errors import ConfigurationError, JournalError


def anchored(path: str | os.PathLike[str]) -> str:
    """The path of a journal, to be opened later, perhaps from another working directory.

    Args:
        path: As `Journal.open` takes it, but for None. What cannot be one stays as it is, for
            `Journal.open` to refuse.

    Raises:
        TypeError: It is no path at all.
    """
    if os.fspath(path) != MEMORY:
        with contextlib.suppress(ConfigurationError):
            return absolute(path)
    return os.fspath(path)


def real_path(path: str | os.PathLike[str] | None, *, make: bool = True) -> str:
    """The file that is opened, None for the usual one.

    Args:
        path: A path, or None.
        make: Whether the folder of the usual one is made.

    Raises:
        JournalError: It is the path of no file, or behind a link of somebody else.
    """
    if path is None:
        return os.path.realpath(home(make=make) / "journal.sqlite")
    try:
        # A whole path is never taken for a URI, whatever characters it has.
        place = local_path(path)
    except ConfigurationError as error:
        raise JournalError(f"{error} Give a file with journal=.") from None
    check_way(str(place))
    return os.path.realpath(place)
