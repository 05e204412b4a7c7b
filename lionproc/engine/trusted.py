"""Folders in which whoever can write is trusted, because their user says so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["VARIABLE", "is_trusted"]

VARIABLE: Final = "LIONPROC_TRUST"


def is_trusted(folder: Path) -> bool:
    """Whether `LIONPROC_TRUST` names a folder, or one above it.

    Args:
        folder: Its real path.
    """
    named = os.environ.get(VARIABLE, "").split(os.pathsep)
    trusted = [os.path.realpath(Path(name).expanduser()) for name in named if name.strip()]
    return any(folder.is_relative_to(root) for root in trusted)
