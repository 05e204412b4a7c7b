"""What has come and is not yet in the journal's file: logs beside it, written at once.

To commit to the file takes a tenth of a millisecond and another thread, and a slot would wait for
both. To append to a plain file takes microseconds. So a record is appended to a log first, with all
that came in the same turn of the loop (`turn`): from then on no end of this process loses it. A
moment later the writer puts many of them into the file together, and the log is emptied. Each process
has logs of its own, and holds a lock on them as long as it lives. Whoever opens the journal and finds
a log without its lock reads it: its process was killed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from lionproc.engine.journal_record import LARGEST_REPLY, Row, from_row
from lionproc.engine.made_here import say_it_was_not, secret_of
from lionproc.engine.regular_file import written_part
from lionproc.engine.trusted import is_trusted, trusting

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["MOST_ALIKE", "Intake", "Log", "logs_beside", "take_in"]

told = logging.getLogger("lionproc")
ENDING: Final = ".intake"
MOST: Final = 32  # logs of all processes; whoever finds no place waits for the disk
LARGEST: Final = 256 * 2**20  # bytes of a log; a writer that is slow has never let one grow so far
# Bytes of damaged records that are looked through: each may say that it is as long as the log, and
# only a stranger's has thousands of them.
_EFFORT: Final = 4  # times those of the log
_LITTLE: Final = 64 * 2**20
MOST_ALIKE: Final = 100
"""Records with one prefix that are taken of a log, and looked at in the journal: a hash of eight bytes
is that of one question, and only a stranger's file has it more often."""
_TOGETHER: Final = 16 * 2**20  # bytes of replies that are put in together
_MOST_TOGETHER: Final = 10_000  # records
_REPLY: Final = 3  # its place in a row
_HEAD: Final = struct.Struct(">4s16sIIIIqqqddqq")
_MARK: Final = b"row2"
_FLAGS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Log:
    """One log. Used by one thread at a time.

    Args:
        path: A file that is not there.
        head: What it begins with.

    Raises:
        OSError: It cannot be made, or cannot be locked here.
    """

    def __init__(self, path: Path, head: bytes) -> None:
        self._path = path
        self._head = head
        self._size = 0
        self._new: list[bytes] = []  # that is not yet written
        self._file = os.open(
            path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600
        )
        try:
            _lock(self._file)
            self._is_sound = self._is_there()  # somebody may have taken it for one left behind
        except BaseException:
            self.close()
            raise

    def add(self, row: Row) -> bool:
        """Take a record, to be written by `flush`. False if it is kept by the file alone."""
        if self._is_sound:
            self._new.append(_packed(row))
        return self._is_sound

    def flush(self) -> None:
        """Append what was added: from now on no end of this process loses it."""
        if not self._new:
            return
        records = b"".join(self._new if self._size else [self._head, *self._new])
        self._new.clear()
        self._size += len(records)
        try:
            self._is_sound = os.write(self._file, records) == len(records)
        except OSError:
            self._is_sound = False
        self._is_sound &= self._size <= LARGEST

    def clear(self) -> None:
        """All of it is on disk elsewhere."""
        try:
            if self._size:
                os.ftruncate(self._file, 0)
            self._size = 0
            self._is_sound = self._is_there()
        except OSError:
            self._is_sound = False

    def close(self, *, is_ours: bool = True) -> None:
        """Give it up.

        Args:
            is_ours: Whether it is removed too. A forked child leaves it to its parent.
        """
        if is_ours:
            with contextlib.suppress(OSError):
                self._path.unlink()
        file, self._file = self._file, -1  # the number may soon be another file's
        with contextlib.suppress(OSError):
            os.close(file)

    def _is_there(self) -> bool:
        """Whether it can be found, should this process be killed."""
        return os.fstat(self._file).st_nlink > 0

    @property
    def is_believed(self) -> bool:
        """Whether it is taken for ours, should this process be killed."""
        return _is_trusted(self._file, self._path)

    @property
    def is_sound(self) -> bool:
        """Whether it takes records."""
        return self._is_sound


class Intake:
    """The logs of a journal in this process. The caller holds a lock.

    Args:
        path: The journal's file.
    """

    def __init__(self, path: str) -> None:
        self._journal = Path(path)
        self._free: list[Log] = []
        self._in_vain = False

    def take(self) -> Log | None:
        """An empty log; None where none can be made."""
        while self._free:
            log = self._free.pop()
            if log.is_sound:
                return log
            log.close()
        for path in () if self._in_vain else logs_beside(self._journal):
            try:
                log = Log(path, _head(str(self._journal)))
            except FileExistsError:
                continue  # another one's
            except OSError:
                break
            if log.is_believed:
                return log
            log.close()
            self._in_vain = True
            told.info(
                "files in %r cannot be for their owner alone, as on vfat and CIFS, so slots wait for "
                "the disk there; if you trust all who can write there: %s",
                *(str(self._journal.parent), trusting(self._journal.parent)),
            )
            break
        return None

    def give_back(self, log: Log) -> None:
        """A log is empty again."""
        self._free.append(log)

    def close(self, *, is_ours: bool = True) -> None:
        """Give up all that are free; see `Log.close`."""
        while self._free:
            self._free.pop().close(is_ours=is_ours)


def take_in(path: str, put_in: Callable[[Sequence[Row]], object]) -> None:
    """Put in what processes that were killed had not yet put into the journal; then it is removed.

    Args:
        path: The journal's file.
        put_in: Called with some records at a time, in the order they came in each log. They are on
            disk when it returns.

    Raises:
        Exception: What `put_in` raises; then that log and those behind it are left.

    Warns:
        LionprocWarning: Nothing says that they came here. Said once for all.
    """
    head = _head(path)
    is_foreign = False
    try:
        for log in logs_beside(Path(path)):
            with _left_behind(log) as file:
                if file is None:
                    continue
                content = written_part(file)
                came = False
                for some in _some(_rows(content)):
                    put_in(some)
                    came = True
                is_foreign |= came and not content.startswith(head)
                content = b""  # before the next one
                with contextlib.suppress(OSError):
                    log.unlink()
    finally:
        if is_foreign:
            say_it_was_not(path)


@contextlib.contextmanager
def _left_behind(log: Path) -> Iterator[int | None]:
    """The file of a log whose process was killed, locked; None where it is none."""
    with contextlib.ExitStack() as held:
        left = None
        with contextlib.suppress(OSError):
            file = os.open(log, os.O_RDWR | _FLAGS)  # where locks are those of NFS they want it
            held.callback(os.close, file)
            if _is_trusted(file, log):
                _lock(file)
                # Else another one has put it in: its name may be that of a new one by now.
                left = file if os.fstat(file).st_nlink else None
        yield left


def _some(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Records, as many at a time as are held in memory together."""
    held: list[Row] = []
    size = 0
    alike = Counter[int]()
    for row in rows:
        alike[row[0]] += 1
        if alike[row[0]] > MOST_ALIKE:
            continue
        held.append(row)
        size += len(row[_REPLY])
        if size >= _TOGETHER or len(held) >= _MOST_TOGETHER:
            yield held
            held, size = [], 0
    if held:
        yield held


def logs_beside(journal: Path) -> Iterator[Path]:
    """Where logs may be. A bounded number of names needs no look at all that is in the folder.

    Args:
        journal: The journal's file.
    """
    for number in range(MOST if fcntl is not None else 0):
        yield journal.with_name(f".{journal.name}.{number}{ENDING}")


def _is_trusted(file: int, path: Path) -> bool:
    """Whether lionproc made it for this user: what is in it would be answers.

    A log is made for its owner alone. One that others can read was cloned, unpacked or copied.
    """
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST + 64 * 2**20:
        return False
    is_private = found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return is_private or is_trusted(Path(os.path.realpath(path.parent)))


def _lock(file: int) -> None:
    """Lock a log; it stays so until the process ends.

    Raises:
        OSError: Another process has it, or files cannot be locked here.
    """
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _packed(row: Row) -> bytes:
    _, key, kind, reply, model, prompt, completion, attempts, seconds, at, total, used, run = row
    kind, model = kind.encode(), model.encode()
    sizes = len(kind), len(reply), len(model), len(used)
    head = _HEAD.pack(_MARK, key, *sizes, prompt, completion, attempts, seconds, at, total, run)
    return b"".join((head, kind, reply, model, used))


def _head(journal: str) -> bytes:
    """How the logs of a journal begin: with the secret of its folder, if it has one."""
    secret = secret_of(journal)
    return b"made here: " + secret + b"\n" if secret else b""


def _rows(content: bytes) -> Iterator[Row]:
    """The records of a log. What is torn or damaged is passed over: what follows was paid for too."""
    place = 0
    spare = _EFFORT * len(content) + _LITTLE
    while place >= 0 and spare >= 0:
        row, end = _row_at(content, place)
        if row is not None:
            yield row
        else:
            spare -= end - place
        if row is not None or content.startswith(_MARK, end):
            place = end  # no record is looked for inside of another, whose text is a stranger's
        else:
            place = content.find(_MARK, place + 1)


def _row_at(content: bytes, place: int) -> tuple[Row | None, int]:
    """The record that begins at a place, None if it is damaged; and where it says that it ends."""
    if len(content) - place < _HEAD.size:
        return None, len(content)
    mark, key, *numbers, total, run = _HEAD.unpack_from(content, place)
    sizes, numbers = numbers[:4], numbers[4:]
    place += _HEAD.size
    if mark != _MARK or len(content) - place < sum(sizes) or sizes[1] > LARGEST_REPLY:
        return None, len(content)
    parts = []
    for size in sizes:
        parts.append(content[place : place + size])
        place += size
    kind, reply, model, used = parts
    start = int.from_bytes(key[:8], "big", signed=True)
    if from_row((start, key, kind, reply, model, *numbers, total, used)) is None:
        return None, place
    try:
        return (start, key, kind.decode(), reply, model.decode(), *numbers, total, used, run), place
    except UnicodeDecodeError:  # of a failure, whose model nobody reads
        return None, place
