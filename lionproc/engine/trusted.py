"""Folders in which whoever can write is trusted, because their user says so."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Final

__all__ = ["VARIABLE", "is_trusted", "trusting"]

VARIABLE: Final = "LIONPROC_TRUST"


def trusting(folder: str | os.PathLike[str]) -> str:
    """What a person says to trust whoever can write in a folder, as a shell reads it.

    Args:
        folder: A stranger may have chosen its name.

    Example:
        >>> trusting("/shared/$(whoami)")
        "LIONPROC_TRUST='/shared/$(whoami)'"
    """
    name = os.fspath(folder)
    if os.pathsep in name or not name.isprintable():
        return f"{VARIABLE}= and its name, which has to be another one for that"
    return f"{VARIABLE}={name if os.name == 'nt' else shlex.quote(name)}"


def is_trusted(folder: Path) -> bool:
    """Whether `LIONPROC_TRUST` names a folder, or one above it.

    Args:
        folder: Its real path.
    """
    named = os.environ.get(VARIABLE, "").split(os.pathsep)
    trusted = [os.path.realpath(Path(name).expanduser()) for name in named if name.strip()]
    return any(folder.is_relative_to(root) for root in trusted)
