"""The journal's writer: what is appended is in the file at once, and on disk a little later.

Two threads, as the two take times that differ a hundredfold. One commits what has come within
milliseconds to the file: the end of this process, however it comes, does not lose that any more.
The other flushes the file to the disk: a power cut does not lose that, and only then a reply
counts. Who sends requests waits for the first, and who counts answers for the second, so the
slowest disk keeps no slot from sending.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from lionproc.engine.journal_file import BUSY_S, JournalFile
from lionproc.engine.journal_group import Durable, Group, resolve
from lionproc.engine.journal_record import Row
from lionproc.errors import JournalError

GATHER_S = 0.01
"""Seconds for which a group collects records before it is flushed to the disk."""
WRITE_S = 0.002
"""Seconds for which records are collected before they are committed to the file."""
RETRY_S = 1.0
"""Seconds between attempts to write again after the journal failed."""


class Kept(NamedTuple):
    """What becomes of a record. Both futures raise `JournalError` when it could not be kept.

    Attributes:
        written: Done when it is in the file: a kill of this process does not lose it.
        durable: Done when it is on disk: a power cut does not lose it. The record counts.
    """

    written: asyncio.Future[None]
    durable: asyncio.Future[None]


@dataclass(slots=True)
class Done:
    """What a writer has put on disk: records, in how many groups, the most in one of them."""

    records: int = 0
    groups: int = 0
    largest: int = 0


class JournalWriter:
    """Writes records to a file, from any thread that runs an event loop.

    Args:
        file: Where to.

    Attributes:
        done: What was put on disk.
        trouble: Why nothing can be written just now, or None.
    """

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        self.done = Done()
        self.trouble: JournalError | None = None
        self._retry_at = 0.0
        self.closing = False
        self.after_fork_in_child()

    def after_fork_in_child(self) -> None:
        """Go on with threads and locks of the child's own; what waited stays the parent's."""
        self.lock = threading.Lock()
        self._to_write, self._to_flush = (threading.Condition(self.lock) for _ in range(2))
        self._hurry = threading.Event()
        self._threads: list[threading.Thread] = []
        self._batch: Group | None = None  # to be written next
        self._writing: Group | None = None
        self._group: Group | None = None  # to be flushed next; has the records of many batches
        self._flushing: Group | None = None

    @property
    def pending(self) -> int:
        """Records that are not yet on disk. With the lock held."""
        return sum(group.size for group in (self._flushing, self._group) if group is not None)

    def append(self, row: Row) -> Kept:
        """Keep a record. On a running event loop."""
        loop = asyncio.get_running_loop()
        with self.lock:
            batch, group = self._batch, self._group
            if batch is None or group is None:
                refusal = self._refusal()
                if refusal is not None:
                    refused = Durable(loop=loop)
                    resolve(refused, refusal)
                    return Kept(refused, refused)
                if group is None:
                    group = self._group = Group()
                    self._to_flush.notify()
                if batch is None:
                    batch = self._batch = Group()
                    self._to_write.notify()
                self._start()
            batch.rows.append(row)
            if group not in batch.parts_of:
                batch.parts_of.append(group)
            group.size += 1
            return Kept(batch.future(loop), group.future(loop))

    def flush(self) -> None:
        """Block until everything appended so far is on disk.

        Raises:
            JournalError: Some of it could not be kept.
        """
        with self.lock:
            groups = [group for group in (self._flushing, self._group) if group is not None]
            self._hurry.set()
        for group in groups:
            group.settled.wait()
        for group in groups:
            if group.error is not None:
                raise group.error

    def close(self) -> None:
        """Put everything on disk, and end the threads."""
        with self.lock:
            self.closing = True
            self._hurry.set()
            self._to_write.notify()
            self._to_flush.notify()
            threads = list(self._threads)
        for thread in threads:
            thread.join(BUSY_S * 2 + 5)

    # -- inside -----------------------------------------------------------------------------

    def _start(self) -> None:
        if not self._threads:  # by the first record, so that readers need none
            for work in (self._write, self._flush):
                thread = threading.Thread(target=work, name="lionproc journal", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _refusal(self) -> JournalError | None:
        if self.closing:
            return JournalError(f"The journal {self._file.path!r} is closed. Open it again.")
        if self.trouble is not None and time.monotonic() < self._retry_at:
            return self.trouble
        return None

    def _write(self) -> None:
        while True:
            with self.lock:
                while self._batch is None:
                    if self.closing:
                        return
                    self._to_write.wait()
                wait_s = self._batch.born + WRITE_S - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            with self.lock:
                batch, self._batch, self._writing = self._batch, None, self._batch
            error = self._error_of(lambda: self._file.write(batch.rows))  # noqa: B023  (called at once)
            failed = None
            with self.lock:
                self._writing = None
                if error is not None:
                    self._fail(error)
                    for group in batch.parts_of:
                        group.error = error
                    if self._group in batch.parts_of:
                        failed, self._group = self._group, None
            batch.settle(error)
            if failed is not None:
                failed.settle(error)

    def _flush(self) -> None:
        while True:
            with self.lock:
                while self._group is None:
                    if self.closing:
                        return
                    self._to_flush.wait()
                # The wait of the group counts from its first record, not from our last flush.
                wait_s = self._group.born + GATHER_S - time.monotonic()
            if wait_s > 0:
                self._hurry.wait(wait_s)
            with self.lock:
                if not self.closing:
                    self._hurry.clear()
                group, self._group, self._flushing = self._group, None, self._group
                batches = [batch for batch in (self._writing, self._batch) if batch is not None]
            if group is None:  # it could not be written
                continue
            for batch in batches:
                batch.settled.wait()
            error = group.error or self._error_of(self._file.flush)
            with self.lock:
                self._flushing = None
                if error is not None:
                    self._fail(error)
                else:
                    self.trouble = None
                    self.done.groups += 1
                    self.done.records += group.size
                    self.done.largest = max(self.done.largest, group.size)
            group.settle(error)

    def _fail(self, error: JournalError) -> None:
        self.trouble, self._retry_at = error, time.monotonic() + RETRY_S

    def _error_of(self, work: Callable[[], None]) -> JournalError | None:
        try:
            work()
        except JournalError as error:
            return error
        except Exception as error:  # noqa: BLE001  (whoever waits must hear of it, whatever it is)
            trouble = JournalError(
                f"The journal {self._file.path!r} cannot be written: {type(error).__name__}. "
                "This is a fault of lionproc; please report it."
            )
            trouble.__cause__ = error
            return trouble
        return None
