"""A budget in a file, for all processes of a user that keep their journals in one folder.

A process that asks locks the file, reads the budget, changes it and writes it back: a millisecond,
a few times a second. The operating system releases the lock of a process that is killed. The time
is that of the wall clock, which all share; what is dated later than now (the clock was set back) is
taken for now.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lionproc.engine.journal_file import MEMORY
from lionproc.engine.json_bounds import read_json
from lionproc.engine.lease_budget import LeaseBudget
from lionproc.engine.lease_messages import Ask, Grant
from lionproc.engine.new_file import temporary_name
from lionproc.engine.regular_file import read_regular
from lionproc.engine.whole_file import make_folders

__all__ = ["SharedFile", "shared_in"]

MOST_BYTES: Final = 1_000_000
LOCK_S: Final = 20.0  # to wait for the others, who take a millisecond each
POLL_S: Final = 0.005


class SharedFile:
    """An `Office` in a file. Nothing in it tells which endpoint, key or model it is about.

    Args:
        folder: Where the journal is, which is this user's alone.
        identity: What the budget is for.
        clock: Seconds, the same in all processes.
    """

    def __init__(self, folder: Path, identity: str, clock: Callable[[], float] = time.time) -> None:
        name = hashlib.sha256(identity.encode()).hexdigest()[:32]
        self._file = folder / f"limits-{name}.json"
        self._lock = folder / f"limits-{name}.lock"
        self._clock = clock

    async def __call__(self, ask: Ask) -> Grant:
        """Ask, while no other process does.

        Raises:
            OSError: The file cannot be used.
        """
        return await asyncio.to_thread(self.ask, ask)

    def ask(self, ask: Ask) -> Grant:
        """See `__call__`; blocks."""
        from filelock import FileLock

        make_folders(self._lock.parent, 0o700)
        if self._lock.is_symlink():
            raise OSError(f"{str(self._lock)!r} is a link, and nothing is locked where it leads")
        lock = FileLock(
            self._lock, mode=0o600, timeout=LOCK_S, thread_local=False, fallback_to_soft=False
        )
        with lock.acquire(poll_interval=POLL_S):
            budget = self._read()
            grant = budget.ask(ask, self._clock())
            self._write(budget)
        return grant

    def _read(self) -> LeaseBudget:
        """The budget; a new one where there is none, or where somebody wrote something else."""
        try:
            return LeaseBudget.from_json(read_json(read_regular(self._file, MOST_BYTES)))
        except (OSError, ValueError, RecursionError):
            return LeaseBudget()

    def _write(self, budget: LeaseBudget) -> None:
        """Put the file in place of the old one. A power cut may lose it: then a new one begins."""
        temporary = self._file.with_name(temporary_name(self._file.name))
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(temporary, flags, 0o600), "w") as file:
                json.dump(budget.as_json(), file)
            temporary.replace(self._file)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()


def shared_in(journal: str) -> Path | None:
    """Where the budgets of runs are that keep this journal; None for one in memory."""
    return None if journal == MEMORY else Path(journal).parent
