"""A lease: shows other processes that somebody is at work, as long as that is true.

A lease is a file that its process keeps locked. The operating system releases the lock when the
process ends, however it ends (`kill -9` and a power failure included), so a lease needs no
expiry time. A lease in a folder that was copied from elsewhere is not locked, so it has ended.

`filelock` takes the lock: `flock` on Unix, `LockFileEx` on Windows. Its "soft" locks, which are
files that merely exist, are refused: they outlive a killed process. On a file system without
locks (some network mounts) there are no leases, and whoever resumes is taken for the only one.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# Here, as it has part in every fork from now on: where it came in the middle of one, it would have
# half a part.
from filelock import FileLock, Timeout

from lionproc.engine.forked import leave_behind, renew_in_child

FOLDER: Final = ".owners"
CLAIMING: Final = "claiming"  # locked by whoever looks for what is free, and takes it
CLAIM_S: Final = 20.0  # to wait for the others, who read and write some records meanwhile
_ID = re.compile(r"[0-9a-f]{32}")


class Lease:
    """The lease of one service on the requests that it has taken.

    A forked child has one of its own, with another name: what its parent or another child has
    taken is not taken by it.

    Args:
        folder: The folder of the records.

    Attributes:
        id: The name of this lease; a record holds it as its `owner`.
    """

    def __init__(self, folder: Path) -> None:
        self.id = secrets.token_hex(16)
        self._folder = folder / FOLDER
        self._lock: FileLock | None = None
        self._claiming = threading.Lock()
        renew_in_child(self)

    def renew(self) -> None:
        """In a forked child: begin with another name, and leave the parent its lock and its file."""
        leave_behind(self._lock)
        self.id, self._lock = secrets.token_hex(16), None
        self._claiming = threading.Lock()

    def claim(self) -> str:
        """Hold the lease, from now until `close`. Returns its id."""
        with self._claiming:  # from several threads
            if self._lock is None:
                self._hold()
        return self.id

    def _hold(self) -> None:
        path = self._folder / self.id
        if self._folder.is_symlink():
            return  # a file that is made there, or removed, is somebody else's
        for _ in range(2):  # another process may just be removing the empty folder
            try:
                self._folder.mkdir(mode=0o700, exist_ok=True)
                self._lock = _locked(path)
                break
            except OSError:  # a file system without locks, or a folder that cannot be written
                with contextlib.suppress(OSError):
                    path.unlink()

    @property
    def is_seen(self) -> bool:
        """Whether others can see that it is held: not where files cannot be locked."""
        return self._lock is not None

    def is_held(self, other: object) -> bool:
        """Whether the lease with this id is held, by this process or by another one.

        The file of a lease that has ended is removed.
        """
        if not isinstance(other, str) or not _ID.fullmatch(other):
            return False
        if other == self.id:
            return True
        path = self._folder / other
        try:
            if not path.is_file() or path.is_symlink() or self._folder.is_symlink():
                return False
            lock = _locked(path)
        except OSError:
            return False
        if lock is None:
            return True
        _release(lock, path)
        return False

    def is_held_by_another(self, other: object) -> bool:
        """Whether the lease with this id is held, and is not this one."""
        return other != self.id and self.is_held(other)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one who looks for what is free here and takes it, as far as files have locks.

        Two who look at the same moment would both find it free.
        """
        self.claim()  # while it is held nobody removes the folder
        path = self._folder / CLAIMING
        with contextlib.ExitStack() as held:
            with contextlib.suppress(OSError):  # as in `claim`, or the others take too long
                if self._lock is not None:
                    lock = FileLock(path, mode=0o600, thread_local=False, fallback_to_soft=False)
                    lock.acquire(timeout=CLAIM_S, poll_interval=0.005)
                    held.callback(_release, lock, path)
            yield

    def close(self) -> None:
        """End the lease."""
        lock, self._lock = self._lock, None
        if lock is not None:
            _release(lock, self._folder / self.id)
            with contextlib.suppress(OSError):
                self._folder.rmdir()  # where it was the last one


def _locked(path: Path) -> FileLock | None:
    """A lock on this file, None where somebody else has it.

    Raises:
        OSError: The file cannot be opened, or the file system has no locks.
    """
    # Claimed on one thread and closed on another, so the lock belongs to no thread.
    lock = FileLock(path, mode=0o600, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


def _release(lock: FileLock, path: Path) -> None:
    """Release a lock and remove its file: nobody will ever lock a file of this name again."""
    with contextlib.suppress(OSError):
        path.unlink()  # Windows refuses this while the file is open; there, `release` removes it
    lock.release()
