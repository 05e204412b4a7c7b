"""The journal's writer: what is appended is safe from a kill soon, and on disk a little later.

A record goes into a log beside the file at the end of the turn of the loop in which it is appended,
before anything more is sent (`journal_intake`, `turn`): the end of this process, however it comes,
does not lose it any more. One thread puts all that has come within milliseconds into the file and
flushes it to the disk: a power cut does not lose that, and only then a reply counts. Who sends
requests need not wait for that thread, and who counts answers does, so the slowest disk keeps no slot
from sending.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import queue
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from lionproc.engine.journal_file import BUSY_S, JournalFile
from lionproc.engine.journal_group import Durable, Group, resolve
from lionproc.engine.journal_intake import Intake, Log
from lionproc.engine.journal_owed import owe
from lionproc.engine.journal_record import Row
from lionproc.engine.journal_trouble import may_pass
from lionproc.engine.turn import turn_of
from lionproc.errors import JournalError

GATHER_S = 0.05
"""Seconds for which a group collects records, unless somebody waits for it or few come.

A group costs as much processor time as a row or two, however many are in it, and each of its keys
a page of the index, which is written once for all that are on it."""
IDLE_S = 0.03
"""Seconds after a group in which the next one collects records; who comes later goes at once."""
RETRY_S = 1.0
"""Seconds between attempts to write again after the journal failed."""


class Kept(NamedTuple):
    """What becomes of a record.

    Attributes:
        written: Whether it is in a log before anything else is sent, so that a kill of this process
            does not lose it.
        durable: Done when it is on disk: a power cut does not lose it. The record counts. It raises
            `JournalError` when it could not be kept.
    """

    written: bool
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
        self._intake = Intake(file.path)
        self._renew()

    def _renew(self) -> None:
        self.lock = threading.Lock()
        self._news = threading.Condition(self.lock)
        # Of a kind that takes no lock: who is interrupted in `flush` must not leave one taken.
        self._hurry: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._idle_since = math.inf  # nobody knows yet how many come
        self._group: Group | None = None  # to be written next
        self._writing: Group | None = None
        self._noting: set[asyncio.AbstractEventLoop] = set()  # that do so at the end of their turn

    def after_fork_in_child(self) -> None:
        """Go on with a thread and locks of the child's own; what waited stays the parent's."""
        for group in (self._writing, self._group):
            if group is not None and group.log is not None:
                group.log.close(is_ours=False)
        self._intake.close(is_ours=False)
        self._renew()

    @property
    def pending(self) -> int:
        """Records that are not yet on disk. With the lock held."""
        return sum(len(group.rows) for group in (self._writing, self._group) if group is not None)

    def append(self, row: Row) -> Kept:
        """Keep a record. On a running event loop."""
        loop = asyncio.get_running_loop()
        with self.lock:
            group = self._group
            if group is None:
                refusal = self._refusal() or self._start()
                if refusal is not None:
                    self._owe(refusal, [row])
                    refused = Durable(loop=loop)
                    resolve(refused, refusal)
                    return Kept(written=False, durable=refused)
                group = self._group = Group(self._log())
                self._news.notify()
            group.rows.append(row)
            written = group.log.add(row) if group.log is not None else self._file.mode == "memory"
            if loop not in self._noting:
                self._noting.add(loop)
                turn_of(loop).note(partial(self._note, loop))
            return Kept(written, group.future(loop))

    def _note(self, loop: asyncio.AbstractEventLoop) -> None:
        """All that came in a turn of the loop goes into the log."""
        with self.lock:
            self._noting.discard(loop)
            if self._group is not None:
                self._group.to_log()

    def hurry(self) -> None:
        """Somebody waits for what was appended last: do not gather any more."""
        if self._hurry.empty():
            self._hurry.put(None)

    def flush(self) -> None:
        """Block until everything appended so far is on disk.

        Raises:
            JournalError: Some of it could not be kept.
        """
        with self.lock:
            groups = [group for group in (self._writing, self._group) if group is not None]
            self._hurry.put(None)
        for group in groups:
            group.fate.wait()
        for group in groups:
            group.fate.result()

    def take_over(self) -> None:
        """Put in what is owed and what logs hold; then any trouble is over.

        Raises:
            JournalError: The file cannot take it.
        """
        self._file.take_over()
        self.trouble = None

    def catch_up(self) -> None:
        """The same after trouble, if it is over by now."""
        if self.trouble is not None:
            with contextlib.suppress(Exception):  # it stays where it is, for the next time
                self.take_over()

    def close(self) -> None:
        """Put everything on disk, and end the thread."""
        with self.lock:
            self.closing = True
            self._hurry.put(None)
            self._news.notify()
            thread = self._thread
        if thread is not None:
            thread.join(BUSY_S * 2 + 5)
        with self.lock:
            self._intake.close()

    # -- inside -----------------------------------------------------------------------------

    def _start(self) -> JournalError | None:
        """Have a thread, by the first record, so that readers need none; or say why there is none."""
        if self._thread is None:
            thread = threading.Thread(target=self._write, name="lionproc journal", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                return JournalError(
                    f"The journal {self._file.path!r} cannot be written: no thread can be started "
                    f"for it ({error}). This process or its container has as many as it may: end "
                    "some, or allow more (ulimit -u, the pids limit), and run it again."
                )
            self._thread = thread
        return None

    def _log(self) -> Log | None:
        # Where there is no WAL, as on network disks, files may not be locked or appended to either.
        return self._intake.take() if self._file.mode == "wal" else None

    def _refusal(self) -> JournalError | None:
        if self.closing:
            return JournalError(f"The journal {self._file.path!r} is closed. Open it again.")
        if self.trouble is not None and time.monotonic() < self._retry_at:
            return self.trouble
        return None

    def _owe(self, error: JournalError, rows: list[Row]) -> None:
        """What was paid for and could not be kept is put in when the trouble is over."""
        if may_pass(error) and self._file.mode != "memory":  # one in memory has no name of its own
            owe(self._file.path, rows)

    def _write(self) -> None:
        while True:
            with self.lock:
                while self._group is None:
                    if self.closing:
                        return
                    self._news.wait()
                # The wait of the group counts from its first record, not from our last flush.
                wait_s = self._group.born + GATHER_S - time.monotonic()
                if self._group.born > self._idle_since + IDLE_S:
                    wait_s = 0.0
            if wait_s > 0 and not self.closing:
                with contextlib.suppress(queue.Empty):
                    self._hurry.get(timeout=wait_s)
            with self.lock:
                while not self._hurry.empty():
                    self._hurry.get()
                self._group.to_log()  # before another thread has it
                group, self._group, self._writing = self._group, None, self._group
            error = self._kept(group)
            log = _emptied(group, error)  # before the lock: whoever appends need not wait for it
            with self.lock:
                self._writing = None
                if error is not None:
                    self.trouble, self._retry_at = error, time.monotonic() + RETRY_S
                else:
                    self.trouble = None
                    self.done.groups += 1
                    self.done.records += len(group.rows)
                    self.done.largest = max(self.done.largest, len(group.rows))
                if log is not None:
                    self._intake.give_back(log)
                self._idle_since = time.monotonic()
            group.settle(error)

    def _kept(self, group: Group) -> JournalError | None:
        try:
            self._file.write(group.rows)
            self._file.flush()
        except JournalError as error:
            self._owe(error, group.rows)
            return error
        except Exception as error:  # noqa: BLE001  (whoever waits must hear of it, whatever it is)
            trouble = JournalError(
                f"The journal {self._file.path!r} cannot be written: {type(error).__name__}. "
                "This is a fault of lionproc; please report it."
            )
            trouble.__cause__ = error
            return trouble
        self.catch_up()
        return None


def _emptied(group: Group, error: JournalError | None) -> Log | None:
    """The log of a group, to be used again.

    What the file did not take stays in it: whoever opens the journal next finds it there.
    """
    log = group.log
    if log is not None and error is not None:
        log.close(is_ours=False)
        return None
    if log is not None:
        log.clear()
    return log
